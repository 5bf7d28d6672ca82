//! Gaussian smoothing, axis after axis, in slabs that fit the cache.

use std::ops::Range;

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::{Result, SegmentError};

/// A kernel ends this many standard deviations from its centre.
const TRUNCATE: f64 = 4.0;

/// Smooths 8-bit voxels with a standard deviation of `sigma_voxels`, along z, then y, then x.
///
/// After each axis the values are cut to whole numbers, and the image is mirrored at its borders
/// (border voxels counted twice): voxel for voxel what `scipy.ndimage.gaussian_filter` makes of
/// bytes.
///
/// # Errors
/// [`SegmentError::Parameter`] unless `sigma_voxels` is positive and at most 1000.
pub fn gaussian_bytes(volume: &Volume<u8>, sigma_voxels: f64) -> Result<Volume<u8>> {
    if !(sigma_voxels > 0.0 && sigma_voxels <= 1000.0) {
        let wanted = "positive and at most 1000 voxels";
        return Err(SegmentError::Parameter { name: "sigma_voxels", value: sigma_voxels, wanted });
    }
    smooth(volume, [sigma_voxels; 3], 0..volume.shape()[0])
}

/// Smooths with standard deviations of `sigma_um` (z, y, x; in µm); 0 leaves an axis as it is.
/// The image is mirrored at its borders, border voxels counted twice.
///
/// # Errors
/// [`SegmentError::Parameter`] unless all are between 0 and 1000 voxels.
pub fn gaussian(volume: &Volume<f32>, sigma_um: [f64; 3]) -> Result<Volume<f32>> {
    gaussian_planes(volume, sigma_um, 0..volume.shape()[0])
}

/// Some planes across z of what [`gaussian`] makes of an image.
pub(crate) fn gaussian_planes(
    volume: &Volume<f32>,
    sigma_um: [f64; 3],
    planes: Range<usize>,
) -> Result<Volume<f32>> {
    let side_um = volume.voxel_size().um();
    let sigma_voxels = [0, 1, 2].map(|axis| sigma_um[axis] / side_um[axis]);
    if let Some(&value) = sigma_voxels.iter().find(|sigma| !(**sigma >= 0.0 && **sigma <= 1000.0)) {
        let wanted = "between 0 and 1000 voxels";
        return Err(SegmentError::Parameter { name: "sigma_um, in voxels,", value, wanted });
    }
    smooth(volume, sigma_voxels, planes)
}

/// How many voxels (z, y, x) away the furthest voxels are that count for a voxel of the smooth image.
pub(crate) fn gaussian_reach(voxel_size: VoxelSize, sigma_um: f64) -> [usize; 3] {
    voxel_size.um().map(|side_um| radius(sigma_um / side_um))
}

fn radius(sigma_voxels: f64) -> usize {
    (TRUNCATE * sigma_voxels + 0.5) as usize
}

/// A kind of voxel: how sums of it are kept, and how a sum becomes a voxel again.
trait Sample: Copy + Default + Send + Sync {
    type Sum: Copy + Default + Send + Sync;
    fn weight(weight: f64) -> Self::Sum;
    fn weighted(self, weight: Self::Sum) -> Self::Sum;
    /// Adds the two voxels at one distance from the centre.
    fn add(sum: &mut Self::Sum, before: Self, after: Self, weight: Self::Sum);
    fn from_sum(sum: Self::Sum) -> Self;
}

impl Sample for u8 {
    type Sum = f64;
    fn weight(weight: f64) -> f64 {
        weight
    }
    #[inline(always)]
    fn weighted(self, weight: f64) -> f64 {
        f64::from(self) * weight
    }
    #[inline(always)]
    fn add(sum: &mut f64, before: u8, after: u8, weight: f64) {
        *sum += f64::from(i32::from(before) + i32::from(after)) * weight;
    }
    /// The whole part of a sum from 0 to 255, by additions alone so that it vectorises: adding
    /// 2⁵² rounds to the nearest whole number, which then stands in the lowest bits.
    #[inline(always)]
    fn from_sum(sum: f64) -> u8 {
        const WHOLE: f64 = (1_u64 << 52) as f64;
        let shifted = sum + WHOLE;
        let rounded_up = shifted - WHOLE > sum;
        (shifted.to_bits() as u8).wrapping_sub(u8::from(rounded_up))
    }
}

impl Sample for f32 {
    type Sum = f32;
    fn weight(weight: f64) -> f32 {
        weight as f32
    }
    #[inline(always)]
    fn weighted(self, weight: f32) -> f32 {
        self * weight
    }
    #[inline(always)]
    fn add(sum: &mut f32, before: f32, after: f32, weight: f32) {
        *sum += (before + after) * weight;
    }
    #[inline(always)]
    fn from_sum(sum: f32) -> f32 {
        sum
    }
}

/// Half a symmetric kernel: the centre first.
struct Kernel<W> {
    weights: Vec<W>,
}

impl<W: Copy> Kernel<W> {
    fn new<T: Sample<Sum = W>>(sigma: f64) -> Self {
        let radius = radius(sigma) as i32;
        let gauss = |step: i32| {
            if sigma > 0.0 { (-0.5 / (sigma * sigma) * f64::from(step * step)).exp() } else { 1.0 }
        };
        let sum = sum_as_numpy(&(-radius..=radius).map(gauss).collect::<Vec<_>>());
        Self { weights: (0..=radius).map(|step| T::weight(gauss(step) / sum)).collect() }
    }

    fn radius(&self) -> usize {
        self.weights.len() - 1
    }
}

/// The sum in numpy's order (eight running sums), so that kernels agree to the last bit.
fn sum_as_numpy(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() > BLOCK {
        let half = values.len() / 2 / LANES * LANES;
        return sum_as_numpy(&values[..half]) + sum_as_numpy(&values[half..]);
    }
    let rows = values.chunks_exact(LANES);
    let rest = rows.remainder();
    let mut sums = [0.0; LANES];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

fn smooth<T: Sample>(
    volume: &Volume<T>,
    sigma_voxels: [f64; 3],
    planes: Range<usize>,
) -> Result<Volume<T>> {
    /// Planes per slab: few, so that threads share the work; not one, because a slab reads its
    /// surroundings along z as well.
    const SLAB: usize = 8;
    let [_, n_y, n_x] = volume.shape();
    let [along_z, along_y, along_x] = sigma_voxels.map(Kernel::new::<T>);
    let mut out = Array3::default([planes.len(), n_y, n_x]);
    if let Some(out) = out.as_slice_mut() {
        out.par_chunks_mut(SLAB * n_y * n_x).enumerate().for_each_init(
            || (vec![T::default(); n_y * n_x], vec![T::default(); n_x + 2 * along_x.radius()]),
            |(turned, padded), (slab, out)| {
                smooth_along_z(volume, &along_z, planes.start + slab * SLAB, out);
                for plane in out.chunks_exact_mut(n_y * n_x) {
                    smooth_along_y(plane, &along_y, n_x, turned);
                    smooth_along_x(turned, &along_x, padded, plane);
                }
            },
        );
    }
    Ok(Volume::new(out, volume.voxel_size())?)
}

/// Fills `out`, planes from `first_z` on, in blocks of rows whose surroundings fit the cache.
fn smooth_along_z<T: Sample>(
    volume: &Volume<T>,
    kernel: &Kernel<T::Sum>,
    first_z: usize,
    out: &mut [T],
) {
    const ROWS: usize = 8;
    let [n_z, n_y, n_x] = volume.shape();
    let voxels = volume.as_slice();
    for y in (0..n_y).step_by(ROWS) {
        let rows = y * n_x..(y + ROWS).min(n_y) * n_x;
        for (z, plane) in out.chunks_exact_mut(n_y * n_x).enumerate() {
            let near = |step: isize| {
                let at = mirrored((first_z + z) as isize + step, n_z) * n_y * n_x;
                &voxels[at + rows.start..at + rows.end]
            };
            weigh(near, kernel, &mut plane[rows.clone()]);
        }
    }
}

fn smooth_along_y<T: Sample>(plane: &[T], kernel: &Kernel<T::Sum>, n_x: usize, out: &mut [T]) {
    let n_y = plane.len() / n_x;
    for (y, out) in out.chunks_exact_mut(n_x).enumerate() {
        let near = |step: isize| {
            let at = mirrored(y as isize + step, n_y) * n_x;
            &plane[at..at + n_x]
        };
        weigh(near, kernel, out);
    }
}

/// `padded` holds one row and, on both sides, what the kernel sees beyond it.
fn smooth_along_x<T: Sample>(
    plane: &[T],
    kernel: &Kernel<T::Sum>,
    padded: &mut [T],
    out: &mut [T],
) {
    let radius = kernel.radius();
    let n_x = padded.len() - 2 * radius;
    for (row, out) in plane.chunks_exact(n_x).zip(out.chunks_exact_mut(n_x)) {
        padded[radius..radius + n_x].copy_from_slice(row);
        for step in 1..=radius {
            padded[radius - step] = row[mirrored(-(step as isize), n_x)];
            padded[radius + n_x - 1 + step] = row[mirrored((n_x - 1 + step) as isize, n_x)];
        }
        weigh(|step| &padded[(radius as isize + step) as usize..][..n_x], kernel, out);
    }
}

/// Sums `near(step)`, the row `step` away, over the kernel from its ends to its centre: the order
/// in which scipy adds, because floating-point sums depend on it.
fn weigh<'a, T: Sample + 'a>(
    near: impl Fn(isize) -> &'a [T],
    kernel: &Kernel<T::Sum>,
    out: &mut [T],
) {
    const LANES: usize = 32;
    let centre = near(0);
    let mut sums = [T::Sum::default(); LANES];
    for start in (0..out.len()).step_by(LANES) {
        let end = (start + LANES).min(out.len());
        for (sum, &value) in sums.iter_mut().zip(&centre[start..end]) {
            *sum = value.weighted(kernel.weights[0]);
        }
        for step in (1..=kernel.radius()).rev() {
            let weight = kernel.weights[step];
            let before = &near(-(step as isize))[start..end];
            let after = &near(step as isize)[start..end];
            for ((sum, &before), &after) in sums.iter_mut().zip(before).zip(after) {
                T::add(sum, before, after, weight);
            }
        }
        for (out, &sum) in out[start..end].iter_mut().zip(&sums) {
            *out = T::from_sum(sum);
        }
    }
}

/// The position inside `0..n` that a position beyond the borders mirrors.
fn mirrored(at: isize, n: usize) -> usize {
    let at = at.rem_euclid(2 * n as isize) as usize;
    at.min(2 * n - 1 - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, on_threads, reference, sized_volume, volume};
    use approx::assert_abs_diff_eq;
    use ndarray::Axis;
    use proptest::prelude::*;

    /// Sums of some tens of f32 products of size 1.
    const SINGLE_PRECISION: f32 = 1e-5;

    fn smooth_by_definition(volume: &Volume<f32>, sigma_voxels: [f64; 3]) -> Array3<f64> {
        let mut voxels = volume.voxels().mapv(f64::from);
        for (axis, sigma) in sigma_voxels.into_iter().enumerate() {
            let radius = (TRUNCATE * sigma + 0.5) as isize;
            for mut line in voxels.lanes_mut(Axis(axis)) {
                let old = line.to_vec();
                for (at, value) in line.iter_mut().enumerate() {
                    let (mut sum, mut weights) = (0.0, 0.0);
                    for step in -radius..=radius {
                        let weight = if sigma == 0.0 {
                            1.0
                        } else {
                            (-0.5 * (step as f64 / sigma).powi(2)).exp()
                        };
                        sum += weight * old[mirrored(at as isize + step, old.len())];
                        weights += weight;
                    }
                    *value = sum / weights;
                }
            }
        }
        voxels
    }

    proptest! {
        #[test]
        fn smoothing_is_the_weighted_mean(image in any_bytes(9), sigma in prop::array::uniform3(0.0..3.0_f64)) {
            let image = image.map(|&value| f32::from(value) / 255.0);
            let fast = gaussian(&image, sigma).unwrap();
            let slow = smooth_by_definition(&image, sigma);
            for (fast, slow) in fast.voxels().iter().zip(&slow) {
                prop_assert!((f64::from(*fast) - slow).abs() < f64::from(SINGLE_PRECISION), "{} {}", fast, slow);
            }
        }

        #[test]
        fn whole_parts_are_whole_parts(sum in prop_oneof![0.0..255.999_f64, (0..=255_u8).prop_map(f64::from)]) {
            prop_assert_eq!(u8::from_sum(sum), sum as u8);
            prop_assert_eq!(u8::from_sum(sum.next_down().max(0.0)), sum.next_down().max(0.0) as u8);
        }
    }

    #[test]
    fn bytes_are_smoothed_as_by_scipy() {
        let image = volume(reference().shape, reference().image);
        assert_eq!(gaussian_bytes(&image, 3.0).unwrap().as_slice(), reference().gaussian_3);
    }

    #[test]
    fn some_planes_are_those_of_the_whole() {
        let image = volume([20, 9, 11], (0..20 * 99).map(|n| (n * n % 251) as f32).collect());
        let whole = gaussian(&image, [1.3, 0.9, 2.0]).unwrap();
        let some = gaussian_planes(&image, [1.3, 0.9, 2.0], 3..15).unwrap();
        assert_eq!(some.as_slice(), &whole.as_slice()[3 * 99..15 * 99]);
    }

    #[test]
    fn a_point_spreads_by_the_physical_width() {
        let mut voxels = vec![0.0; 21 * 41 * 41];
        voxels[10 * 41 * 41 + 20 * 41 + 20] = 1.0;
        let smooth =
            gaussian(&sized_volume([21, 41, 41], voxels, [0.5, 0.25, 0.25]), [1.0; 3]).unwrap();
        let along_z = smooth.voxels()[[12, 20, 20]];
        let along_x = smooth.voxels()[[10, 20, 24]];
        assert_abs_diff_eq!(along_z, along_x, epsilon = 1e-6);
    }

    #[test]
    fn threads_do_not_matter() {
        let image = volume([20, 9, 11], (0..20 * 99).map(|n| (n * n % 251) as f32).collect());
        let smooth = || gaussian(&image, [1.3, 0.9, 2.0]).unwrap();
        assert_eq!(on_threads(1, smooth), on_threads(4, smooth));
    }

    #[test]
    fn widths_are_checked() {
        let image = volume([1, 1, 1], vec![0.0_f32]);
        for bad in [-1.0, f64::NAN, 1e9] {
            assert!(gaussian(&image, [bad, 1.0, 1.0]).is_err());
        }
        assert!(gaussian_bytes(&volume([1, 1, 1], vec![0]), 0.0).is_err());
    }
}
