//! Learns how each protein follows from cell shape, and says how well.
//!
//! [`ProteinRegressor`] can only fit, [`ProteinModel`] can only predict: standardise and find
//! components ([`primordia_data::principal_components`]) → [`expansion`] → [`ridge`] with its
//! penalty chosen inside. [`validation`] holds out whole specimens ([`folds`]) and scores
//! ([`score`]) beside baselines; [`intervals`] says how far a prediction may be off; [`map`] joins
//! them: a prediction with an interval for every cell. [`classes`] predicts
//! labels instead of numbers.
//!
//! Rows are cells, columns are features. No function here reads files.

// Views are passed by value, as ndarray's own functions take them.
#![allow(clippy::needless_pass_by_value)]

pub mod classes;
pub mod error;
pub mod expansion;
pub mod folds;
pub mod intervals;
pub mod map;
pub mod protein;
pub mod ridge;
pub mod score;
pub mod validation;

mod check;

pub use classes::{ClassModel, ClassRegressor, ClassValidation, cross_validate_classes};
pub use error::{RegressionError, Result};
pub use expansion::KernelExpansion;
pub use folds::Folds;
pub use intervals::Intervals;
pub use map::{Baseline, Cells, MapParams, MapValidation, Measured, ProteinMap, map_protein};
pub use protein::{Prediction, ProteinModel, ProteinRegressor};
pub use ridge::{Ridge, RidgeModel};
pub use score::variance_weighted_r2;
pub use validation::{CrossValidation, Score, cross_validate};
