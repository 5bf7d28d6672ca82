//! The atlas in memory, and as one HDF5 file that is also a valid `AnnData` `.h5ad`.
//!
//! [`Atlas`] is what a build fills; [`Atlas::check`] says whether it holds together.

use primordia_data::CellId;

mod check;
mod contacts;
mod example;
mod model;

pub use check::Problem;
pub use contacts::Contacts;
pub use model::{
    Atlas, Column, ColumnValues, Decision, FeatureMatrix, FittedSpace, Protein, Provenance, Score,
    ShapeBlock, Specimen,
};

/// The version of the atlas file that this program writes; it reads this and every older one.
pub const FORMAT_VERSION: u64 = 1;

/// The unique name of a cell's row: `specimen/cell`.
pub(crate) fn row_name(cell: &CellId) -> String {
    format!("{}/{}", cell.specimen, cell.cell)
}
