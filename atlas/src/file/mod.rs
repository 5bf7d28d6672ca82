//! The atlas in memory, and as one HDF5 file that is also a valid `AnnData` `.h5ad`.
//!
//! [`Atlas`] is what a build fills; [`Atlas::check`] says whether it holds together.

use primordia_data::CellId;

mod check;
mod contacts;
mod decode;
mod encode;
mod example;
mod model;
mod promise;
mod read;
mod references;
mod replace;
mod write;

pub use check::Problem;
pub use contacts::Contacts;
pub use model::{
    Atlas, Column, ColumnValues, Decision, FeatureMatrix, FittedSpace, Protein, Provenance, Score,
    ShapeBlock, Specimen,
};

pub(crate) use promise::broken_promises;
pub use read::{Header, read, read_header};
pub(crate) use read::{Selection, read_selected};
pub(crate) use replace::replace;
pub use write::write;

/// What `uns/primordia/format` says in every atlas.
const FORMAT: &str = "primordia-atlas";

/// The version of the atlas file that this program writes; it reads this and every older one.
pub const FORMAT_VERSION: u64 = 1;

/// The unique name of a cell's row: `specimen/cell`.
pub(crate) fn row_name(cell: &CellId) -> String {
    format!("{}/{}", cell.specimen, cell.cell)
}

/// The version of each part of `uns/primordia`, of which a reader needs to understand only those
/// that it uses.
const PART_VERSIONS: [(&str, u64); 6] = [
    ("arrays", 1),
    ("proteins", 1),
    ("provenance", 1),
    ("scores", 1),
    ("shape", 1),
    ("specimens", 1),
];

/// The key in `obsm` of shape space number `at`: the first is plain `shape`.
fn shape_key(at: usize, name: &str) -> String {
    if at == 0 { "shape".to_owned() } else { format!("shape_{name}") }
}

/// The key in `obsm` of one array of a protein.
fn protein_key(protein: &str, part: &str) -> String {
    format!("protein_{protein}_{part}")
}

/// The names of the columns of all shape spaces, as a query names them: `shape_1`, `shape_2`, …
/// for the first, `shape_NAME_1`, … for the others.
pub(crate) fn shape_columns(blocks: &[ShapeBlock]) -> impl Iterator<Item = String> + '_ {
    blocks.iter().enumerate().flat_map(|(at, block)| {
        (1..=block.scores.ncols()).map(move |axis| format!("{}_{axis}", shape_key(at, &block.name)))
    })
}

#[cfg(test)]
mod tests;
