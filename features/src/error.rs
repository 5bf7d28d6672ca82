//! Why cells could not be measured.
#![allow(missing_docs)] // the messages are the documentation

use primordia_data::DataError;
use thiserror::Error;

/// What the functions of this crate return.
pub type Result<T, E = FeatureError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeatureError {
    #[error("{name} must be positive and finite, got {value}")]
    Parameter { name: &'static str, value: f64 },
    #[error("channel {channel:?} does not fit the labels: {source}")]
    ChannelGrid { channel: String, source: DataError },
    #[error(
        "channel {channel:?} holds a value that is not finite in cell {cell}; repair the image"
    )]
    NotFinite { channel: String, cell: u32 },
    #[error("two channels are named {channel:?}; give each its own name")]
    DuplicateChannel { channel: String },
    #[error("{found} points for {wanted} cluster centres; give more points or fewer centres")]
    TooFewPoints { found: usize, wanted: usize },
    #[error("a cloud holds a point that is not finite")]
    PointNotFinite,
    #[error("a shape space of this kind stores {wanted}, got {found}")]
    Space { found: String, wanted: &'static str },
    #[error("cells move apart by a factor of at least 1 that is finite, got {value}")]
    Factor { value: f64 },
    #[error("cells are drawn at a size above 0 and at most 1 times their own, got {value}")]
    CellScale { value: f64 },
    #[error("an exploded image of {n_voxels:.1e} voxels is too large; choose a smaller factor")]
    ExplodedTooLarge { n_voxels: f64 },
    #[error(
        "cells still overlap at a factor of {factor:.1}; draw them smaller, or let them overlap"
    )]
    Overlap { factor: f64 },
    #[error("noise is estimated from at least two samplings, got {found}")]
    Repeats { found: usize },
    #[error(transparent)]
    Data(#[from] DataError),
}

/// `value`, if it is positive and finite.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(FeatureError::Parameter { name, value })
    }
}
