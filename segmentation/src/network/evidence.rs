//! Probabilities of boundaries as a share of what is usual nearby.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{Enlarged, shrink};

/// What is usual is taken over Gaussian surroundings of this standard deviation.
const RANGE_UM: f64 = 5.0;
/// Boundaries less probable than this are never usual: noise must not look like boundaries.
const LEAST: f32 = 0.7;

/// Divides each probability by the mean nearby of probabilities weighted by themselves (at least 0.7), so that 1 is usual
/// where the image is clear and where it is not.
pub(crate) fn evened(probabilities: &Volume<f32>) -> Result<Volume<f32>> {
    let (um, shape) = (probabilities.voxel_size().um(), probabilities.shape());
    let factors =
        [0, 1, 2].map(|axis| ((RANGE_UM / 4.0 / um[axis]) as usize).clamp(1, shape[axis]));
    let mean = gaussian(&shrink(probabilities, factors, |p| p)?, [RANGE_UM; 3])?;
    let mut usual = gaussian(&shrink(probabilities, factors, |p| p * p)?, [RANGE_UM; 3])?;
    for (usual, mean) in usual.voxels_mut().iter_mut().zip(mean.as_slice()) {
        *usual = (*usual / mean.max(f32::MIN_POSITIVE)).max(LEAST);
    }
    let usual = Enlarged::new(&usual, factors);
    let [_, n_y, n_x] = shape;
    let mut out = probabilities.clone();
    if let Some(voxels) = out.voxels_mut().as_slice_mut() {
        voxels.par_chunks_mut(n_x).enumerate().for_each_init(
            || vec![0.0; n_x],
            |row_usual, (row, values)| {
                usual.row(row / n_y, row % n_y, row_usual);
                values.iter_mut().zip(row_usual).for_each(|(value, usual)| *value /= *usual);
            },
        );
    }
    Ok(out)
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
            let evidence = evened(&sized_volume([5, 40, 40], values, [0.8, 0.4, 0.4])).unwrap();
            let most = evidence.as_slice().iter().copied().fold(0.0, f32::max);
            assert!((most - wanted).abs() < SINGLE, "{p}: {most}, wanted {wanted}");
        }
    }
}
