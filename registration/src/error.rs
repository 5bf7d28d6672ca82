//! Why a specimen could not be brought into the common frame.
#![allow(missing_docs)] // the messages are the documentation

use primordia_data::DataError;
use thiserror::Error;

/// What the functions of this crate return.
pub type Result<T, E = RegistrationError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrationError {
    #[error("no cells to register; are the labels empty?")]
    NoCells,
    #[error("all cells lie in one place, which has no axes; are positions in µm?")]
    NoExtent,
    #[error("{found} {what} for {cells} cells; give one for each")]
    Count { what: &'static str, found: usize, cells: usize },
    #[error("{what} of cell {cell} is {value}; positions must be finite and volumes positive")]
    Value { what: &'static str, cell: usize, value: f64 },
    #[error(
        "the hint for the {which} is {x}, {y}, {z}; wanted a direction such as +x or [1, 0, 0]"
    )]
    Hint { which: &'static str, x: f64, y: f64, z: f64 },
    #[error(
        "the hint for the {which} lies {angle_deg:.0}° from the axis it should tell the sign of, \
         which is across it; correct the hint or leave it out"
    )]
    HintAcross { which: &'static str, angle_deg: f64 },
    #[error(transparent)]
    Data(#[from] DataError),
}
