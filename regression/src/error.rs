//! Why a regression could not be fitted or validated.
#![allow(missing_docs)] // the messages are the documentation

use primordia_data::DataError;
use thiserror::Error;

/// What the functions of this crate return.
pub type Result<T, E = RegressionError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegressionError {
    #[error("{name} must be positive and finite, got {value}")]
    Parameter { name: &'static str, value: f64 },
    #[error("no {name} given; give at least one")]
    Empty { name: &'static str },
    #[error("{what} has {found} rows (cells), wanted {wanted}")]
    Rows { what: &'static str, found: usize, wanted: usize },
    #[error("{what} has {found} columns, wanted {wanted} as in the fit")]
    Columns { what: &'static str, found: usize, wanted: usize },
    #[error("row {row}, column {column} of {what} is {value}; leave such cells out or fill them")]
    NotFinite { what: &'static str, row: usize, column: usize, value: f64 },
    #[error("at least {wanted} cells wanted for a fit, got {found}")]
    TooFewCells { found: usize, wanted: usize },
    #[error("whole specimens are held out, which needs at least 2; got {found}")]
    TooFewSpecimens { found: usize },
    #[error("measured row {row} is not among the {cells} cells, or occurs twice")]
    MeasuredRow { row: usize, cells: usize },
    #[error(transparent)]
    Data(#[from] DataError),
}
