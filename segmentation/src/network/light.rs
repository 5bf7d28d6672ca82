//! Evens out light and label: what the network sees of an image.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{Enlarged, shrink};

/// Mean and deviation are taken over Gaussian surroundings of this standard deviation.
const RANGE_UM: f64 = 6.0;
/// Places with less than this share of the whole image's deviation count as flat.
const FLAT: f32 = 0.05;
/// Values in standard deviations are cut to this range.
const CUT: [f32; 2] = [-4.0, 8.0];

/// How many standard deviations of its surroundings each voxel is above their mean, cut to −4 to 8.
pub(crate) fn standardised(image: &Volume<f32>) -> Result<Volume<f32>> {
    let (um, shape) = (image.voxel_size().um(), image.shape());
    let factors =
        [0, 1, 2].map(|axis| ((RANGE_UM / 4.0 / um[axis]) as usize).clamp(1, shape[axis]));
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
    let [_, n_y, n_x] = shape;
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
