//! One row per cell: who it is, and named columns of numbers with their units.

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::error::{DataError, Result};

/// Which cell: the specimen and the cell's name in it. Both are text, always: `2902E38204` is a
/// specimen, not infinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId {
    /// The specimen's name, shared by its cells.
    pub specimen: Arc<str>,
    /// The cell's name in its specimen: its label, for a segmented image.
    pub cell: Arc<str>,
}

impl CellId {
    /// Cell `cell` of specimen `specimen`.
    pub fn new(specimen: impl Into<Arc<str>>, cell: impl Into<Arc<str>>) -> Self {
        Self { specimen: specimen.into(), cell: cell.into() }
    }
}

/// Cells × named columns. Column names carry the unit (`volume_um3`, `sphericity`); a value that
/// could not be measured is NaN. Cells are unique and so are names.
#[derive(Clone, Debug, PartialEq)]
pub struct CellTable {
    cells: Vec<CellId>,
    columns: Vec<String>,
    values: Array2<f64>, // cells × columns
}

impl CellTable {
    /// A table of `values` (cells × columns).
    ///
    /// # Errors
    /// [`DataError::ColumnLength`] if the shapes do not fit, [`DataError::DuplicateCell`] and
    /// [`DataError::DuplicateColumn`] if a cell or a name occurs twice.
    pub fn new(cells: Vec<CellId>, columns: Vec<String>, values: Array2<f64>) -> Result<Self> {
        if values.nrows() != cells.len() || values.ncols() != columns.len() {
            return Err(DataError::ColumnLength {
                column: columns.first().cloned().unwrap_or_default(),
                found: values.nrows(),
                wanted: cells.len(),
            });
        }
        let mut seen = HashSet::new();
        if let Some(twice) = cells.iter().find(|cell| !seen.insert(*cell)) {
            let (specimen, cell) = (twice.specimen.to_string(), twice.cell.to_string());
            return Err(DataError::DuplicateCell { specimen, cell });
        }
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(*name)) {
            return Err(DataError::DuplicateColumn { column: twice.clone() });
        }
        Ok(Self { cells, columns, values })
    }

    /// The cells, one per row.
    pub fn cells(&self) -> &[CellId] {
        &self.cells
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// All values, cells × columns.
    pub fn values(&self) -> ArrayView2<'_, f64> {
        self.values.view()
    }

    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The values of one column.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`] if there is none of that name.
    pub fn column(&self, name: &str) -> Result<ArrayView1<'_, f64>> {
        let at = self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let available = self.columns.join(", ");
            DataError::MissingColumn { column: name.to_owned(), available }
        })?;
        Ok(self.values.column(at))
    }

    /// The table with the columns of `other`, which has the same cells in the same order, on its right.
    ///
    /// # Errors
    /// [`DataError::ColumnLength`] if the cells differ, [`DataError::DuplicateColumn`] if a name
    /// stands in both.
    pub fn beside(&self, other: &Self) -> Result<Self> {
        if self.cells != other.cells {
            return Err(DataError::ColumnLength {
                column: other.columns.first().cloned().unwrap_or_default(),
                found: other.cells.len(),
                wanted: self.cells.len(),
            });
        }
        let columns = self.columns.iter().chain(&other.columns).cloned().collect();
        let values = ndarray::concatenate![Axis(1), self.values, other.values];
        Self::new(self.cells.clone(), columns, values)
    }

    /// The rows of all `tables`, which share their columns, under one another.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`] if the columns differ, [`DataError::DuplicateCell`] if a cell
    /// occurs twice.
    pub fn stacked(tables: &[Self]) -> Result<Self> {
        let Some(first) = tables.first() else {
            return Self::new(Vec::new(), Vec::new(), Array2::zeros((0, 0)));
        };
        if let Some(other) = tables.iter().find(|table| table.columns != first.columns) {
            let missing = first.columns.iter().find(|name| !other.columns.contains(name));
            let column = missing.or(other.columns.first()).cloned().unwrap_or_default();
            return Err(DataError::MissingColumn { column, available: other.columns.join(", ") });
        }
        let cells = tables.iter().flat_map(|table| table.cells.iter().cloned()).collect();
        let views: Vec<_> = tables.iter().map(|table| table.values.view()).collect();
        let mut values = Array2::zeros((0, first.columns.len()));
        for view in views {
            for row in view.rows() {
                // The rows are as long as the columns are many, so every one fits.
                let _ = values.push_row(row);
            }
        }
        Self::new(cells, first.columns.clone(), values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(specimen: &str, cells: &[&str]) -> CellTable {
        let ids = cells.iter().map(|cell| CellId::new(specimen, *cell)).collect();
        let values = Array2::from_elem((cells.len(), 1), 2.5);
        CellTable::new(ids, vec!["volume_um3".into()], values).unwrap()
    }

    #[test]
    fn a_cell_has_one_row() {
        let ids = vec![CellId::new("A", "1"), CellId::new("A", "1")];
        let result = CellTable::new(ids, vec![], Array2::zeros((2, 0)));
        assert!(matches!(result, Err(DataError::DuplicateCell { .. })));
    }

    #[test]
    fn specimens_stack() {
        let both = CellTable::stacked(&[table("A", &["1", "2"]), table("B", &["1"])]).unwrap();
        assert_eq!(both.n_cells(), 3);
        assert_eq!(both.column("volume_um3").unwrap()[2], 2.5);
        assert!(both.column("area_um2").is_err());
    }
}
