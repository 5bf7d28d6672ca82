//! Evens out light and label: what the network sees of an image.

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::Enlarged;
use crate::strength::{CoarseSums, coarse_factors};

/// Mean and deviation are taken over Gaussian surroundings of this standard deviation.
const RANGE_UM: f64 = 6.0;
/// Places with less than this share of the whole image's deviation count as flat.
const FLAT: f32 = 0.05;
/// Values in standard deviations are cut to this range.
const CUT: [f32; 2] = [-4.0, 8.0];

/// Mean and deviation of the surroundings of each place of an image.
pub(crate) struct Light {
    factors: [usize; 3],
    base: f32,
    mean: Volume<f32>,
    deviation: Volume<f32>,
}

impl Light {
    pub(crate) fn new(image: &Volume<f32>) -> Result<Self> {
        let factors = Self::factors((image.shape(), image.voxel_size()));
        let total: f64 = image.as_slice().iter().map(|&value| f64::from(value)).sum();
        let base = (total / image.n_voxels() as f64) as f32;
        let sums = CoarseSums::new(image, factors, |value| value - base)?;
        Self::from_sums(factors, base, &sums)
    }

    /// How many voxels become one of the grid on which surroundings are looked at.
    pub(crate) fn factors(grid: ([usize; 3], VoxelSize)) -> [usize; 3] {
        coarse_factors(grid, RANGE_UM)
    }

    /// From the sums of an image less the mean of all, so that a large offset costs no digits.
    pub(crate) fn from_sums(factors: [usize; 3], base: f32, sums: &CoarseSums) -> Result<Self> {
        let mean = gaussian(&sums.mean, [RANGE_UM; 3])?;
        let mut deviation = gaussian(&sums.squared, [RANGE_UM; 3])?;
        if let Some(deviation) = deviation.voxels_mut().as_slice_mut() {
            let variance = |square: f32, mean: f32| (square - mean * mean).max(0.0);
            let whole = deviation.iter().copied().fold(0.0, f32::max).sqrt();
            let least = (FLAT * whole).max(f32::MIN_POSITIVE);
            for (value, &mean) in deviation.iter_mut().zip(mean.as_slice()) {
                *value = variance(*value, mean).sqrt().max(least);
            }
        }
        Ok(Self { factors, base, mean, deviation })
    }

    /// How many standard deviations of its surroundings each voxel of a part of the image is above their mean, cut to −4 to 8.
    /// `from` is the first voxel (z, y, x) of the part.
    pub(crate) fn standardise(&self, part: &mut Array3<f32>, from: [usize; 3]) {
        let (mean, deviation) =
            (Enlarged::new(&self.mean, self.factors), Enlarged::new(&self.deviation, self.factors));
        let (_, n_y, n_x) = part.dim();
        let Some(voxels) = part.as_slice_mut() else { return };
        voxels.par_chunks_mut(n_x).enumerate().for_each_init(
            || [vec![0.0; n_x], vec![0.0; n_x]],
            |[means, deviations], (row, values)| {
                let (z, y) = (from[0] + row / n_y, from[1] + row % n_y);
                mean.row(z, y, from[2], means);
                deviation.row(z, y, from[2], deviations);
                for ((value, mean), deviation) in values.iter_mut().zip(means).zip(deviations) {
                    *value = ((*value - self.base - *mean) / *deviation).clamp(CUT[0], CUT[1]);
                }
            },
        );
    }
}

/// How many standard deviations of its surroundings each voxel is above their mean, cut to −4 to 8.
pub(crate) fn standardised(image: &Volume<f32>) -> Result<Volume<f32>> {
    let light = Light::new(image)?;
    let mut voxels = image.voxels().clone();
    light.standardise(&mut voxels, [0; 3]);
    Ok(Volume::new(voxels, image.voxel_size())?)
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
