//! Cells measured elsewhere: pooled tables and the origin's deposit, joined on (specimen, cell).
//!
//! [`read_tables`] is all of it: files → tables as they lie → one row per cell.
//! Tables may be CSV, TSV (both also with `.gz`) or Parquet. Specimens and cells are text, always:
//! a reader that infers types takes `2902E38204` for infinity and loses the cells of `8713481504`.
//! Missing values (empty, `NA`, `nan`) are NaN or `None`; an infinite number, or a word in a column
//! of numbers, is an error with file, column and row.

mod delimited;
pub(crate) mod deposit;
mod error;
mod file;
mod join;
pub mod names;
mod parquet;
mod pool;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ndarray::{Array1, Array2};
use primordia_data::CellId;
use primordia_data::experiment::{Attributes, Experiment, Frame};

pub use self::error::{Result, TableError};

/// Cells measured elsewhere, one row each: specimens in the order of their first appearance, the
/// cells of each in the order of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableCells {
    /// Which cell each row is.
    pub cells: Vec<CellId>,
    /// x, y, z in the tissue frame in µm (cells × 3); NaN where unknown.
    pub positions_um: Array2<f64>,
    /// x, y, z in each specimen's image in µm (cells × 3); NaN where unknown.
    pub image_positions_um: Option<Array2<f64>>,
    /// Blocks of shape features, by name.
    pub shape: BTreeMap<String, FeatureBlock>,
    /// Named features: the columns of numbers that are not positions.
    pub features: FeatureBlock,
    /// Blocks of protein features, by protein and frame; NaN in cells where it was not measured.
    pub proteins: BTreeMap<String, BTreeMap<Frame, FeatureBlock>>,
    /// Classes, by name; `None` where a cell has none.
    pub classes: BTreeMap<String, Vec<Option<String>>>,
    /// Counts, by name; NaN where nothing was counted.
    pub counts: BTreeMap<String, Array1<f64>>,
    /// The specimens, in the order of their cells.
    pub specimens: Vec<TableSpecimen>,
    /// Tables with rows of cells that are not among [`TableCells::cells`]; those rows are left out.
    pub unmatched: Vec<Unmatched>,
}

/// Cells × features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureBlock {
    /// Our names of the features, with units where known.
    pub names: Vec<String>,
    /// The names in the table.
    pub published: Vec<String>,
    /// Cells × features; NaN where unknown.
    pub values: Array2<f64>,
}

impl FeatureBlock {
    /// The rows in which every feature is known.
    pub fn complete_rows(&self) -> Vec<usize> {
        let complete = |row: &usize| !self.values.row(*row).iter().any(|value| value.is_nan());
        (0..self.values.nrows()).filter(complete).collect()
    }
}

/// A specimen whose cells come from tables.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpecimen {
    /// Its name: text, always.
    pub id: Arc<str>,
    /// The number of its cells.
    pub n_cells: usize,
    /// Its columns: text columns of the tables of shapes (else of features or positions) that are
    /// the same for all its cells, and what the experiment file says. Other columns of text are
    /// left out.
    pub attributes: Attributes,
}

/// A table with rows of unknown cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The table; the first one, of a deposit.
    pub file: PathBuf,
    /// How many of its cells are unknown.
    pub n_cells: usize,
}

/// Reads and joins all tables and deposits of an experiment; without any, there are no cells.
///
/// # Errors
/// [`TableError`] for a table that cannot be read or understood, or does not fit the others.
pub fn read_tables(experiment: &Experiment) -> Result<TableCells> {
    let tables = experiment.tables.iter().map(|tables| pool::Pool::read(tables, &experiment.file));
    let deposits = experiment.deposits.iter().map(deposit::read);
    let pools: Vec<_> = tables.chain(deposits).collect::<Result<_>>()?;
    join::join(&pools, &experiment.annotations)
}

#[cfg(test)]
pub(crate) mod tests;
