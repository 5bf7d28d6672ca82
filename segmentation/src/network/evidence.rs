//! Probabilities of boundaries as a share of what is usual nearby.

use primordia_data::{Volume, VoxelSize};

use crate::error::Result;
use crate::resample::{Enlarged, divide};
use crate::strength::{CoarseSums, coarse_factors};

/// What is usual is taken over Gaussian surroundings of this standard deviation.
const RANGE_UM: f64 = 5.0;
/// Boundaries less probable than this are never usual: noise must not look like boundaries.
const LEAST: f32 = 0.7;

/// Divides each probability by the mean nearby of probabilities weighted by themselves (at least 0.7), so that 1 is usual
/// where the image is clear and where it is not.
pub(crate) fn evened(mut probabilities: Volume<f32>) -> Result<Volume<f32>> {
    let factors = factors((probabilities.shape(), probabilities.voxel_size()));
    let usual = usual(&CoarseSums::new(&probabilities, factors, |value| value)?)?;
    let usual = Enlarged::new(&usual, factors);
    divide(&mut probabilities, [0; 3], &usual, |value, usual| value / usual);
    Ok(probabilities)
}

/// How many voxels become one of the grid on which it is found out what is usual.
pub(crate) fn factors(grid: ([usize; 3], VoxelSize)) -> [usize; 3] {
    coarse_factors(grid, RANGE_UM)
}

/// What probabilities are divided by, on the grid of their sums.
pub(crate) fn usual(sums: &CoarseSums) -> Result<Volume<f32>> {
    Ok(sums.strength(RANGE_UM)?.map(|usual| usual.max(LEAST)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

    /// Single precision.
    const SINGLE: f32 = 1e-5;

    #[test]
    fn the_usual_boundary_is_1_unless_it_is_improbable() {
        for (p, wanted) in [(0.9, 1.0), (0.7, 1.0), (0.35, 0.5), (0.0, 0.0)] {
            let values = (0..8000).map(|at| if at % 20 < 3 { p } else { 0.0 }).collect();
            let evidence = evened(sized_volume([5, 40, 40], values, [0.8, 0.4, 0.4])).unwrap();
            let most = evidence.as_slice().iter().copied().fold(0.0, f32::max);
            assert!((most - wanted).abs() < SINGLE, "{p}: {most}, wanted {wanted}");
        }
    }
}
