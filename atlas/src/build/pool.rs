//! The cells of all specimens, before anything is learned from them.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis, s};
use primordia_data::CellId;

use crate::file::{Column, ColumnValues, Contacts, Specimen};

/// Named columns of numbers over all cells of a pool; NaN where a cell has none.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The name of each column.
    pub names: Vec<String>,
    /// Cells × columns.
    pub values: Array2<f64>,
}

/// One protein's blocks of features by target: `intensity`, `layout`, `tissue`, `cell`.
pub type ProteinBlocks = BTreeMap<String, Block>;

/// All cells of an experiment in one frame.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Which cell each row is.
    pub cells: Vec<CellId>,
    /// Engineered features.
    pub features: Block,
    /// Brightness of every channel, by `CHANNEL_feature`; never an input of a prediction.
    pub intensities: Block,
    /// Embeddings of the shape, by the frame they were made in: `tissue`, `cell`.
    pub shape: BTreeMap<String, Block>,
    /// Surfaces as harmonics, in µm; cells are drawn from them, and nothing is predicted from them.
    pub harmonics: Block,
    /// Proteins by name.
    pub proteins: BTreeMap<String, ProteinBlocks>,
    /// Centroids in the tissue frame: cells × (x, y, z), µm.
    pub spatial_um: Array2<f64>,
    /// Centroids in the image: cells × (x, y, z), µm; NaN where there is no image.
    pub image_um: Array2<f64>,
    /// Whether to learn from a cell: a whole cell, as far as one can tell.
    pub trusted: Vec<bool>,
    /// Further columns: quality, classes, counts, conditions.
    pub columns: Vec<Column>,
    /// Areas over which cells touch, if the cells come from label images.
    pub contacts: Option<Contacts>,
    /// The specimens.
    pub specimens: Vec<Specimen>,
}

impl Block {
    /// The block with the columns of `blocks` side by side, each named `NAME.column`.
    pub fn side_by_side<'b>(blocks: impl IntoIterator<Item = (&'b str, &'b Self)>) -> Self {
        let blocks: Vec<_> = blocks.into_iter().collect();
        let names = blocks
            .iter()
            .flat_map(|(name, block)| {
                block.names.iter().map(move |column| format!("{name}.{column}"))
            })
            .collect();
        let n_cells = blocks.first().map_or(0, |(_, block)| block.values.nrows());
        let mut values = Array2::zeros((n_cells, blocks.iter().map(|(_, b)| b.names.len()).sum()));
        let mut at = 0;
        for (_, block) in blocks {
            let end = at + block.names.len();
            values.slice_mut(s![.., at..end]).assign(&block.values);
            at = end;
        }
        Self { names, values }
    }

    /// The columns of two blocks of the same cells, unchanged; of a name that both have, the first.
    pub fn beside(first: &Self, second: &Self) -> Self {
        let new: Vec<usize> = (0..second.names.len())
            .filter(|&column| !first.names.contains(&second.names[column]))
            .collect();
        let names =
            first.names.iter().chain(new.iter().map(|&column| &second.names[column])).cloned();
        let values =
            ndarray::concatenate![Axis(1), first.values, second.values.select(Axis(1), &new)];
        Self { names: names.collect(), values }
    }

    /// The block, or for a block without columns one of `n_cells` rows.
    fn with_rows(&self, n_cells: usize) -> Self {
        let values =
            if self.names.is_empty() { Array2::zeros((n_cells, 0)) } else { self.values.clone() };
        Self { names: self.names.clone(), values }
    }

    /// The columns of these names that there are, in the order of `names`.
    pub fn select(&self, names: &[&str]) -> Self {
        let at: Vec<usize> = names
            .iter()
            .filter_map(|name| self.names.iter().position(|column| column == name))
            .collect();
        Self {
            names: at.iter().map(|&column| self.names[column].clone()).collect(),
            values: self.values.select(Axis(1), &at),
        }
    }

    /// Blocks of other cells under one another: the union of their columns, in order of first
    /// appearance, NaN where a block lacks one.
    pub fn stacked(blocks: &[Self]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for name in blocks.iter().flat_map(|block| &block.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let n_cells = blocks.iter().map(|block| block.values.nrows()).sum();
        let mut values = Array2::from_elem((n_cells, names.len()), f64::NAN);
        let mut row = 0;
        for block in blocks {
            let end = row + block.values.nrows();
            for (name, column) in block.names.iter().zip(block.values.columns()) {
                if let Some(at) = names.iter().position(|wanted| wanted == name) {
                    values.slice_mut(s![row..end, at]).assign(&column);
                }
            }
            row = end;
        }
        Self { names, values }
    }

    /// Which rows have a number in every column.
    pub fn complete_rows(&self) -> Vec<bool> {
        self.values.rows().into_iter().map(|row| row.iter().all(|v| v.is_finite())).collect()
    }

    /// The block with each missing value replaced by its column's median over `trusted` cells, or 0
    /// for a column that nobody has: what is not known of a cell shall not tell it from others.
    #[must_use]
    pub fn filled(&self, trusted: &[bool]) -> Self {
        let mut values = self.values.clone();
        for mut column in values.columns_mut() {
            if column.iter().all(|value| value.is_finite()) {
                continue;
            }
            let mut known: Vec<f64> = column
                .iter()
                .zip(trusted)
                .filter(|(value, trusted)| value.is_finite() && **trusted)
                .map(|(value, _)| *value)
                .collect();
            known.sort_by(f64::total_cmp);
            let median = known.get(known.len() / 2).copied().unwrap_or(0.0);
            column.mapv_inplace(|value| if value.is_finite() { value } else { median });
        }
        Self { names: self.names.clone(), values }
    }
}

impl Pool {
    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The specimen of each cell.
    pub fn specimen_names(&self) -> Vec<&str> {
        self.cells.iter().map(|cell| &*cell.specimen).collect()
    }

    /// The centroids in the tissue frame as a block.
    pub fn positions(&self) -> Block {
        let names = ["x_um", "y_um", "z_um"].map(String::from).to_vec();
        Block { names, values: self.spatial_um.clone() }
    }

    /// The cells of `self`, then those of `other`.
    #[must_use]
    pub fn joined(mut self, mut other: Self) -> Self {
        if self.cells.is_empty() {
            return other;
        }
        if other.cells.is_empty() {
            return self;
        }
        let sizes = [self.n_cells(), other.n_cells()];
        let both =
            |a: &Block, b: &Block| Block::stacked(&[a.with_rows(sizes[0]), b.with_rows(sizes[1])]);
        self.features = both(&self.features, &other.features);
        self.intensities = both(&self.intensities, &other.intensities);
        self.shape = joined_blocks(&self.shape, &other.shape, both);
        self.harmonics = both(&self.harmonics, &other.harmonics);
        let names: BTreeSet<String> =
            self.proteins.keys().chain(other.proteins.keys()).cloned().collect();
        let none = ProteinBlocks::new();
        self.proteins = names
            .into_iter()
            .map(|name| {
                let mine = self.proteins.get(&name).unwrap_or(&none);
                let theirs = other.proteins.get(&name).unwrap_or(&none);
                let joined = joined_blocks(mine, theirs, both);
                (name, joined)
            })
            .collect();
        self.columns = joined_columns(self.columns, other.columns, sizes);
        self.spatial_um = ndarray::concatenate![Axis(0), self.spatial_um, other.spatial_um];
        self.image_um = ndarray::concatenate![Axis(0), self.image_um, other.image_um];
        self.contacts = joined_contacts(self.contacts.as_ref(), other.contacts.as_ref(), sizes);
        self.cells.append(&mut other.cells);
        self.trusted.append(&mut other.trusted);
        self.specimens.append(&mut other.specimens);
        self
    }
}

/// Blocks by name, of both.
fn joined_blocks(
    mine: &BTreeMap<String, Block>,
    theirs: &BTreeMap<String, Block>,
    both: impl Fn(&Block, &Block) -> Block,
) -> BTreeMap<String, Block> {
    let none = Block::default();
    let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let joined = both(mine.get(name).unwrap_or(&none), theirs.get(name).unwrap_or(&none));
            (name.clone(), joined)
        })
        .collect()
}

/// Columns by name, of both; not known where one has none.
fn joined_columns(mine: Vec<Column>, theirs: Vec<Column>, sizes: [usize; 2]) -> Vec<Column> {
    let mut joined: Vec<Column> = mine
        .into_iter()
        .map(|column| {
            let other = theirs.iter().find(|other| other.name == column.name);
            let more = other.map_or_else(
                || unknown_like(&column.values, sizes[1]),
                |other| other.values.clone(),
            );
            after(column, &more)
        })
        .collect();
    for column in theirs {
        if joined.iter().all(|known| known.name != column.name) {
            let before = unknown_like(&column.values, sizes[0]);
            joined
                .push(after(Column { name: column.name.clone(), values: before }, &column.values));
        }
    }
    joined
}

fn unknown_like(values: &ColumnValues, n_cells: usize) -> ColumnValues {
    match values {
        ColumnValues::Number(_) => ColumnValues::Number(vec![f64::NAN; n_cells]),
        _ => ColumnValues::Text(vec![None; n_cells]),
    }
}

/// The values of `column`, then `more`: numbers if both are, text otherwise.
fn after(column: Column, more: &ColumnValues) -> Column {
    let values = match (column.values, more) {
        (ColumnValues::Number(mut values), ColumnValues::Number(more)) => {
            values.extend(more);
            ColumnValues::Number(values)
        }
        (values, more) => {
            ColumnValues::Text(texts(&values).into_iter().chain(texts(more)).collect())
        }
    };
    Column { name: column.name, values }
}

fn texts(values: &ColumnValues) -> Vec<Option<String>> {
    match values {
        ColumnValues::Text(values) => values.clone(),
        ColumnValues::Number(values) => {
            values.iter().map(|v| v.is_finite().then(|| v.to_string())).collect()
        }
        ColumnValues::Flag(values) => values.iter().map(|v| Some(v.to_string())).collect(),
    }
}

fn joined_contacts(
    mine: Option<&Contacts>,
    theirs: Option<&Contacts>,
    [first, second]: [usize; 2],
) -> Option<Contacts> {
    if mine.is_none() && theirs.is_none() {
        return None;
    }
    let mine = mine.into_iter().flat_map(Contacts::pairs);
    let theirs = theirs.into_iter().flat_map(Contacts::pairs);
    let theirs = theirs.map(|(a, b, area_um2)| (first + a, first + b, area_um2));
    Some(Contacts::from_pairs(first + second, mine.chain(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn block(names: &[&str], values: Array2<f64>) -> Block {
        Block { names: names.iter().map(ToString::to_string).collect(), values }
    }

    #[test]
    fn specimens_with_other_columns_stack_with_gaps() {
        let stacked = Block::stacked(&[
            block(&["volume_um3", "sphericity"], array![[270.0, 0.8]]),
            block(&["sphericity", "area_um2"], array![[0.7, 300.0]]),
        ]);
        assert_eq!(stacked.names, ["volume_um3", "sphericity", "area_um2"]);
        assert_eq!(stacked.values.row(0).to_vec()[..2], [270.0, 0.8]);
        assert!(stacked.values[[1, 0]].is_nan() && stacked.values[[0, 2]].is_nan());
        assert_eq!(stacked.complete_rows(), [false, false]);
    }

    #[test]
    fn a_missing_value_becomes_the_median_of_trusted_cells() {
        let gaps = block(&["a"], array![[1.0], [f64::NAN], [3.0], [1000.0]]);
        let filled = gaps.filled(&[true, true, true, false]);
        assert_eq!(filled.values.column(0).to_vec(), [1.0, 3.0, 3.0, 1000.0]);
    }
}
