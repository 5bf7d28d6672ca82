//! Cells that were measured elsewhere, as a pool.

use std::collections::BTreeMap;

use ndarray::Array2;
use primordia_data::experiment::Attribute;

use super::pool::{Block, Pool};
use crate::file::{Column, Specimen};
use crate::tables::{FeatureBlock, TableCells};

/// The pool of the cells of tables. All are trusted: whoever made the tables has chosen them.
pub fn pool_of_tables(tables: TableCells) -> Pool {
    let n_cells = tables.cells.len();
    let unknown = || Array2::from_elem((n_cells, 3), f64::NAN);
    let classes = tables.classes.into_iter().map(|(name, values)| Column::text(name, values));
    let counts =
        tables.counts.into_iter().map(|(name, values)| Column::number(name, values.to_vec()));
    let proteins = tables.proteins.into_iter().map(|(name, frames)| {
        let blocks: BTreeMap<String, Block> = frames
            .into_iter()
            .map(|(frame, block)| (frame.name().to_owned(), block.into()))
            .collect();
        (name, blocks)
    });
    let specimens = tables.specimens.into_iter().map(|specimen| Specimen {
        id: specimen.id.to_string(),
        source: "table".to_owned(),
        n_cells: specimen.n_cells,
        attributes: specimen.attributes.into_iter().map(|(k, v)| (k, attribute_text(&v))).collect(),
        ..Specimen::default()
    });
    Pool {
        trusted: vec![true; n_cells],
        features: tables.features.into(),
        shape: tables.shape.into_iter().map(|(name, block)| (name, block.into())).collect(),
        harmonics: Block { names: Vec::new(), values: Array2::zeros((n_cells, 0)) },
        proteins: proteins.collect(),
        spatial_um: tables.positions_um,
        image_um: tables.image_positions_um.unwrap_or_else(unknown),
        columns: classes.chain(counts).collect(),
        specimens: specimens.collect(),
        contacts: None,
        cells: tables.cells,
        intensities: Block { names: Vec::new(), values: Array2::zeros((n_cells, 0)) },
    }
}

/// An attribute of a specimen, as text.
pub fn attribute_text(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Text(text) => text.clone(),
        Attribute::Number(number) => number.to_string(),
    }
}

impl From<FeatureBlock> for Block {
    fn from(block: FeatureBlock) -> Self {
        Self { names: block.names, values: block.values }
    }
}
