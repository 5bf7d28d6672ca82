//! Tissues and solids whose answers are known.
//!
//! [`ball`], [`ellipsoid`], [`torus`], [`cuboid`] and [`honeycomb`] are exact: their volumes, areas
//! and contacts follow from formulas.

mod solids;

pub use solids::{Honeycomb, ball, cuboid, ellipsoid, honeycomb, torus};

use crate::error::{DataError, Result};

/// The number of voxels beyond which no phantom is made: 2³¹.
const MAX_VOXELS: f64 = 2_147_483_648.0;

/// `value`, if it is positive and finite.
fn positive(name: &'static str, value: f64) -> Result<f64> {
    within(name, value, f64::MIN_POSITIVE..=f64::MAX, "positive and finite")
}

/// `value`, if it lies in `range`, which `wanted` says in words.
fn within(
    name: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    wanted: &'static str,
) -> Result<f64> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(DataError::Parameter { name, value, wanted })
    }
}

/// The number of voxels of each side, if all of them fit in memory.
fn grid_of(sides_voxels: [f64; 3]) -> Result<[usize; 3]> {
    let n_voxels = sides_voxels.iter().product::<f64>();
    if n_voxels <= MAX_VOXELS {
        Ok(sides_voxels.map(|side| side as usize))
    } else {
        Err(DataError::PhantomTooLarge { n_voxels })
    }
}
