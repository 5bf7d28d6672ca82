//! What every fit asks of its tables.

use ndarray::ArrayView2;

use crate::error::{RegressionError, Result};

/// A fit needs more than one cell.
const MIN_CELLS: usize = 3;

/// Checks two tables to be fitted: rows that pair up, enough of them, all finite.
pub(crate) fn pair(
    inputs: (&'static str, ArrayView2<f64>),
    targets: (&'static str, ArrayView2<f64>),
) -> Result<()> {
    rows(targets.0, targets.1.nrows(), inputs.1.nrows())?;
    if inputs.1.nrows() < MIN_CELLS {
        return Err(RegressionError::TooFewCells { found: inputs.1.nrows(), wanted: MIN_CELLS });
    }
    for (what, table) in [inputs, targets] {
        if table.ncols() == 0 {
            return Err(RegressionError::Empty { name: what });
        }
        finite(what, table)?;
    }
    Ok(())
}

pub(crate) fn rows(what: &'static str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(RegressionError::Rows { what, found, wanted }) }
}

pub(crate) fn columns(what: &'static str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(RegressionError::Columns { what, found, wanted }) }
}

pub(crate) fn finite(what: &'static str, table: ArrayView2<f64>) -> Result<()> {
    match table.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &value)) => {
            Err(RegressionError::NotFinite { what, row, column, value })
        }
        None => Ok(()),
    }
}

pub(crate) fn positive(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(RegressionError::Parameter { name, value })
    }
}
