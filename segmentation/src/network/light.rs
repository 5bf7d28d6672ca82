//! Evens out light and label: what the network sees of an image.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{Enlarged, shrink};
use crate::strength::coarse_factors;

/// Mean and deviation are taken over Gaussian surroundings of this standard deviation.
const RANGE_UM: f64 = 6.0;
/// Places with less than this share of the whole image's deviation count as flat.
const FLAT: f32 = 0.05;
/// Values in standard deviations are cut to this range.
const CUT: [f32; 2] = [-4.0, 8.0];

/// How many standard deviations of its surroundings each voxel is above their mean, cut to −4 to 8.
pub(crate) fn standardised(image: &Volume<f32>) -> Result<Volume<f32>> {
    let factors = coarse_factors(image, RANGE_UM);
    // Squares are taken about the mean of all, so that a large offset costs no digits.
    let total: f64 = image.as_slice().iter().map(|&value| f64::from(value)).sum();
    let base = (total / image.n_voxels() as f64) as f32;
    let mean = gaussian(&shrink(image, factors, |value| value - base)?, [RANGE_UM; 3])?;
    let square = gaussian(&shrink(image, factors, |value| (value - base).powi(2))?, [RANGE_UM; 3])?;
    let mut deviation = square;
    if let Some(deviation) = deviation.voxels_mut().as_slice_mut() {
        let variance = |square: f32, mean: f32| (square - mean * mean).max(0.0);
        let whole = deviation.iter().copied().fold(0.0, f32::max).sqrt();
        let least = (FLAT * whole).max(f32::MIN_POSITIVE);
        for (value, &mean) in deviation.iter_mut().zip(mean.as_slice()) {
            *value = variance(*value, mean).sqrt().max(least);
        }
    }
    let (mean, deviation) = (Enlarged::new(&mean, factors), Enlarged::new(&deviation, factors));
    let [_, n_y, n_x] = image.shape();
    let mut out = image.clone();
    if let Some(voxels) = out.voxels_mut().as_slice_mut() {
        voxels.par_chunks_mut(n_x).enumerate().for_each_init(
            || [vec![0.0; n_x], vec![0.0; n_x]],
            |[means, deviations], (row, values)| {
                mean.row(row / n_y, row % n_y, means);
                deviation.row(row / n_y, row % n_y, deviations);
                for ((value, mean), deviation) in values.iter_mut().zip(means).zip(deviations) {
                    *value = ((*value - base - *mean) / *deviation).clamp(CUT[0], CUT[1]);
                }
            },
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sized_volume, volume};

    /// Single precision, with an offset of a thousand times the contrast.
    const SINGLE: f32 = 0.01;

    fn stripes(gain: f32, offset: f32) -> Volume<f32> {
        let value = |at: usize| gain * ((at % 5) as f32 + (at % 7) as f32) + offset;
        sized_volume([6, 20, 30], (0..3600).map(value).collect(), [0.8, 0.4, 0.4])
    }

    #[test]
    fn gain_and_offset_do_not_matter() {
        let plain = standardised(&stripes(1.0, 0.0)).unwrap();
        let mut squares = 0.0;
        for (gain, offset) in [(50.0, 0.0), (0.01, 3.0), (4.0, 2000.0)] {
            let other = standardised(&stripes(gain, offset)).unwrap();
            for (a, b) in plain.as_slice().iter().zip(other.as_slice()) {
                assert!((a - b).abs() < SINGLE, "{a} {b}");
                squares += a * a / 3600.0;
            }
        }
        assert!((squares / 3.0 - 1.0).abs() < 0.1, "the deviation is 1: {squares}");
    }

    #[test]
    fn flat_images_are_0() {
        let flat = standardised(&volume([2, 3, 4], vec![7.5; 24])).unwrap();
        assert!(flat.as_slice().iter().all(|&value| value == 0.0));
    }
}
