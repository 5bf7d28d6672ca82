//! Bright blobs, at the scale at which those of an image stand out most.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{Enlarged, divide, factors_up_to, shrink};
use crate::strength::{CoarseSums, coarse_factors};

/// Blobs of these radii are looked for, in µm: from the smallest nuclei to large round cells.
const RADII_UM: [f64; 2] = [1.4, 7.5];
/// From one radius to the next.
const STEP: f64 = 1.25;
/// Bright blobs must stand out this many times more than dark ones: noise, whatever its grain, has as many of both.
const BRIGHT_OVER_DARK: f64 = 1.4;
/// How bright a blob each place is the middle of: `−σ² ∇²` of the image smoothed by `σ`, which for a ball is most where
/// `σ` is its radius over √3.
pub(super) fn blobs(image: &Volume<f32>, sigma_um: f64) -> Result<Volume<f32>> {
    let smooth = gaussian(image, [sigma_um; 3])?;
    let [n_z, n_y, n_x] = image.shape();
    let strides = [n_y * n_x, n_x, 1];
    let weights = image.voxel_size().um().map(|side_um| (sigma_um / side_um).powi(2) as f32);
    let values = smooth.as_slice();
    let mut blobs = smooth.map(|_| 0.0);
    if let Some(blobs) = blobs.voxels_mut().as_slice_mut() {
        blobs.par_chunks_mut(n_x).enumerate().for_each(|(row, blobs)| {
            for (x, blob) in blobs.iter_mut().enumerate() {
                let (at, here) = ([row / n_y, row % n_y, x], row * n_x + x);
                for axis in 0..3 {
                    let before = if at[axis] > 0 { here - strides[axis] } else { here };
                    let is_last = at[axis] + 1 == [n_z, n_y, n_x][axis];
                    let after = if is_last { here } else { here + strides[axis] };
                    *blob += weights[axis] * (2.0 * values[here] - values[before] - values[after]);
                }
            }
        });
    }
    Ok(blobs)
}

/// Divides the heights of blobs by what is usual nearby, which is so much that `least` becomes at most `share`.
pub(super) fn evened(
    mut blobs: Volume<f32>,
    sigma_um: f64,
    [least, share]: [f32; 2],
) -> Result<Volume<f32>> {
    /// Strength is taken over Gaussian surroundings of so many scales.
    const RANGE: f64 = 8.0;
    /// Blobs weaker than this share of the strongest are nowhere usual.
    const OF_STRONGEST: f32 = 0.2;
    let range_um = RANGE * sigma_um;
    let factors = coarse_factors((blobs.shape(), blobs.voxel_size()), range_um);
    blobs.voxels_mut().mapv_inplace(|height| height.max(0.0));
    let usual = CoarseSums::new(&blobs, factors, |height| height)?.strength(range_um)?;
    let strongest = usual.as_slice().iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let usual = usual.map(|usual| usual.max(OF_STRONGEST * strongest).max(least / share));
    divide(&mut blobs, [0; 3], &Enlarged::new(&usual, factors), |height, usual| height / usual);
    Ok(blobs)
}

/// The scale (standard deviation in µm) at which bright blobs stand out most over the noise; none if dark ones do as much,
/// or noise explains them.
pub(super) fn usual_scale(image: &Volume<f32>) -> Result<Option<f64>> {
    let longest_um = image.voxel_size().um().into_iter().fold(0.0, f64::max);
    let scale = |radius_um: f64| (radius_um / 3.0_f64.sqrt()).max(0.8 * longest_um);
    let mut best = (0.0, None);
    let mut radius_um = RADII_UM[0];
    while radius_um <= RADII_UM[1] {
        let sigma_um = scale(radius_um);
        radius_um *= STEP;
        let small = shrink(image, factors_up_to(image, 0.5 * sigma_um), |value| value)?;
        let blobs = blobs(&small, sigma_um)?;
        let [bright, dark] = [1.0, -1.0].map(|sign| strength(&blobs, sign));
        // The mean of the bright half of noise, weighted by itself, is √(π/2) standard deviations.
        let noise =
            std::f64::consts::FRAC_PI_2.sqrt() * f64::from(Noise::of(image).of_blobs(sigma_um));
        let over_noise = bright - noise;
        if over_noise > best.0 {
            let is_bright = bright > BRIGHT_OVER_DARK * dark && over_noise > noise;
            best = (over_noise, is_bright.then_some(sigma_um));
        }
    }
    Ok(best.1)
}

/// The mean of the positive values of `sign` × `blobs`, weighted by themselves.
fn strength(blobs: &Volume<f32>, sign: f64) -> f64 {
    let values = blobs.as_slice().iter().map(|&value| (sign * f64::from(value)).max(0.0));
    let (squares, sum) =
        values.fold((0.0, 0.0), |(squares, sum), value| (squares + value * value, sum + value));
    squares / f64::max(sum, f64::MIN_POSITIVE)
}

/// The noise of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    /// Its standard deviation × √(volume of a voxel in µm³): what merging voxels leaves as it is.
    density: f64,
}

impl Noise {
    /// From the second differences along rows, of which most are noise.
    pub(super) fn of(image: &Volume<f32>) -> Self {
        /// The median of absolute normal deviates.
        const MEDIAN: f64 = 0.6745;
        let n_x = image.shape()[2];
        let rows = image.as_slice().chunks_exact(n_x);
        let mut differences: Vec<f32> =
            rows.flat_map(|row| row.windows(3).map(|v| (v[0] - 2.0 * v[1] + v[2]).abs())).collect();
        let middle = differences.len() / 2;
        let median = if differences.is_empty() {
            0.0
        } else {
            f64::from(*differences.select_nth_unstable_by(middle, f32::total_cmp).1)
        };
        let deviation = median / MEDIAN / 6.0_f64.sqrt();
        Self { density: deviation * image.voxel_size().volume_um3().sqrt() }
    }

    /// The standard deviation of white noise in [`blobs`]: `density² σ⁴ ∫ |k|⁴ exp(−σ² k²) d³k / (2π)³` is its square.
    pub(super) fn of_blobs(self, sigma_um: f64) -> f32 {
        let integral = 15.0 / (32.0 * std::f64::consts::PI.powf(1.5));
        (self.density * (integral / sigma_um.powi(3)).sqrt()) as f32
    }

    /// The standard deviation of white noise smoothed by a Gaussian.
    pub(super) fn of_gaussian(self, sigma_um: f64) -> f64 {
        self.density / (8.0 * std::f64::consts::PI.powf(1.5) * sigma_um.powi(3)).sqrt()
    }
}
