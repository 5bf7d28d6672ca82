//! Gaussian smoothing, axis after axis, in pieces that fit the cache.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::ParallelSliceMut;

use crate::error::{Result, SegmentError};
use crate::vectorized::vectorized;

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

/// A kind of voxel. All are summed as f32; how good that is depends on what they become again.
trait Sample: Copy + Default + PartialEq + Send + Sync {
    /// Whether windows of equal values are looked for.
    const MARKS_FLATS: bool;
    fn to_f32(self) -> f32;
    /// The smooth voxels in the middle of `window`.
    fn smooth(window: Window<'_>, kernel: &Kernel) -> [Self; LANES];
}

impl Sample for f32 {
    const MARKS_FLATS: bool = false;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn smooth(window: Window<'_>, kernel: &Kernel) -> [f32; LANES] {
        window.sums(kernel)
    }
}

/// Cut to whole numbers, as scipy's sums in f64 are. A sum in f32 says which number that is, unless it
/// lies within its rounding of one: then all values are equal, or the sum is taken again in f64.
impl Sample for u8 {
    const MARKS_FLATS: bool = true;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline(always)]
    fn smooth(window: Window<'_>, kernel: &Kernel) -> [u8; LANES] {
        const WHOLE: f32 = (1_u32 << 23) as f32; // what is added to it is rounded and stands in the lowest bits
        let centre = window.line(kernel.radius());
        let mut smooth = [0; LANES];
        if window.flat == [true; LANES] {
            for lane in 0..LANES {
                smooth[lane] = kernel.of_flat[(centre[lane] + WHOLE).to_bits() as usize % 256];
            }
            return smooth;
        }
        let sums = window.sums(kernel);
        let (mut nearest, mut unsure) = ([0; LANES], [0; LANES]);
        for lane in 0..LANES {
            let shifted = sums[lane] + WHOLE;
            let off = sums[lane] - (shifted - WHOLE);
            nearest[lane] = shifted.to_bits() as u8;
            smooth[lane] = nearest[lane].wrapping_sub(u8::from(off < 0.0));
            unsure[lane] = u8::from(off.abs() <= kernel.rounding * sums[lane]);
        }
        if unsure == [0; LANES] {
            return smooth;
        }
        for lane in 0..LANES {
            if window.flat[lane] {
                smooth[lane] = kernel.of_flat[usize::from(nearest[lane])];
                unsure[lane] = 0;
            }
        }
        if unsure != [0; LANES] {
            for lane in (0..LANES).filter(|&lane| unsure[lane] > 0) {
                smooth[lane] = kernel.exact_sum(|line| window.line(line)[lane]) as u8;
            }
        }
        smooth
    }
}

/// Half a symmetric kernel, the centre first.
struct Kernel {
    weights: Vec<f32>,
    exact: Vec<f64>,
    /// Sums in f32 are at most this share of them from those in f64: half a unit in the last place for the
    /// weight, the product and each addition, and some to spare.
    rounding: f32,
    /// What the sum of equal bytes is cut to: 1 less than they are, where rounding loses.
    of_flat: [u8; 256],
}

impl Kernel {
    fn new(sigma: f64) -> Self {
        let radius = radius(sigma) as i32;
        let gauss = |step: i32| {
            if sigma > 0.0 { (-0.5 / (sigma * sigma) * f64::from(step * step)).exp() } else { 1.0 }
        };
        let sum = sum_as_numpy(&(-radius..=radius).map(gauss).collect::<Vec<_>>());
        let exact: Vec<f64> = (0..=radius).map(|step| gauss(step) / sum).collect();
        let weights = exact.iter().map(|&weight| weight as f32).collect();
        let rounding = (radius + 8) as f32 * f32::EPSILON / 2.0;
        let mut kernel = Self { weights, exact, rounding, of_flat: [0; 256] };
        kernel.of_flat = std::array::from_fn(|value| kernel.exact_sum(|_| value as f32) as u8);
        kernel
    }

    fn radius(&self) -> usize {
        self.weights.len() - 1
    }

    /// The sum over `2 · radius + 1` bytes, from the ends to the centre: the order in which scipy adds,
    /// because floating-point sums depend on it.
    fn exact_sum(&self, byte: impl Fn(usize) -> f32) -> f64 {
        let radius = self.radius();
        (1..=radius).rev().fold(f64::from(byte(radius)) * self.exact[0], |sum, step| {
            sum + f64::from(byte(radius - step) + byte(radius + step)) * self.exact[step]
        })
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
    let [along_z, along_y, along_x] = sigma_voxels.map(Kernel::new);
    let mut out = smooth_along_z(volume, &along_z, planes);
    let [_, n_y, n_x] = volume.shape();
    let room = || (Lines::default(), vec![T::default(); n_y * n_x]);
    if let Some(out) = out.as_slice_mut() {
        out.par_chunks_mut(n_y * n_x).for_each_init(room, |(lines, turned), plane| {
            vectorized(
                #[inline(always)]
                || lines.smooth_plane(plane, n_x, [&along_y, &along_x], turned),
            );
        });
    }
    Ok(Volume::new(out, volume.voxel_size())?)
}

/// Some planes of a volume, smooth along z alone.
fn smooth_along_z<T: Sample>(
    volume: &Volume<T>,
    kernel: &Kernel,
    planes: Range<usize>,
) -> Array3<T> {
    /// Values of y that one thread takes at a time.
    const ROWS: usize = 8;
    let [n_z, n_y, n_x] = volume.shape();
    let voxels = volume.as_slice();
    let mut out = Array3::from_elem((planes.len(), n_y, n_x), T::default());
    let blocks = out.axis_chunks_iter_mut(Axis(1), ROWS).into_par_iter();
    blocks.enumerate().for_each_init(Lines::default, |lines, (block, mut block_out)| {
        for (y, mut out) in (block * ROWS..).zip(block_out.axis_iter_mut(Axis(1))) {
            let row = |z: usize| &voxels[(z * n_y + y) * n_x..][..n_x];
            let put = |z: usize, x: usize, smooth: &[T]| {
                let mut row = out.row_mut(z);
                let row = row.as_slice_mut().unwrap_or_default();
                row[x..x + smooth.len()].copy_from_slice(smooth);
            };
            vectorized(
                #[inline(always)]
                || lines.smooth_across((row, n_z), planes.clone(), kernel, put),
            );
        }
    });
    out
}

/// Voxels that are summed side by side.
const LANES: usize = 32;

/// Room for some voxels as f32 and what the kernel sees beside them: a few kilobytes, so that they stay in the cache.
#[derive(Default)]
struct Lines {
    values: Vec<f32>,
    flat: Vec<bool>,  // whether all that the kernel sees from here on is equal
    wider: Vec<bool>, // room for the next of these
}

/// What the kernel sees: line after line of voxels, `stride` apart, the middle one to become smooth.
#[derive(Clone, Copy)]
struct Window<'a> {
    values: &'a [f32],
    flat: &'a [bool],
    stride: usize,
}

impl Lines {
    /// Smooths a plane along y, then x; `turned` is room for another.
    #[inline(always)]
    fn smooth_plane<T: Sample>(
        &mut self,
        plane: &mut [T],
        n_x: usize,
        [along_y, along_x]: [&Kernel; 2],
        turned: &mut [T],
    ) {
        let row = |y: usize| &plane[y * n_x..][..n_x];
        let n_y = plane.len() / n_x;
        self.smooth_across((row, n_y), 0..n_y, along_y, |y, x, smooth| {
            turned[y * n_x + x..][..smooth.len()].copy_from_slice(smooth);
        });
        for (row, out) in turned.chunks_exact(n_x).zip(plane.chunks_exact_mut(n_x)) {
            self.smooth_along(row, along_x, out);
        }
    }

    /// Smooths from row to row, of which there are `n`. Gives pieces of the smooth rows that are `wanted` to `put`, with the
    /// number of their row among these and that of their first voxel.
    #[inline(always)]
    fn smooth_across<'a, T: Sample + 'a>(
        &mut self,
        (row, n): (impl Fn(usize) -> &'a [T], usize),
        wanted: Range<usize>,
        kernel: &Kernel,
        mut put: impl FnMut(usize, usize, &[T]),
    ) {
        const BLOCK: usize = 128;
        let n_x = row(0).len();
        for x in (0..n_x).step_by(LANES) {
            let end = (x + LANES).min(n_x);
            for first in wanted.clone().step_by(BLOCK) {
                let n_lines = BLOCK.min(wanted.end - first);
                self.values.resize((n_lines + 2 * kernel.radius()) * LANES, 0.0);
                for (line, values) in self.values.chunks_exact_mut(LANES).enumerate() {
                    let at = (first + line) as isize - kernel.radius() as isize;
                    copy(&row(mirrored(at, n))[x..end], values);
                }
                self.weigh(LANES, kernel, |line, smooth| {
                    put(first - wanted.start + line, x, &smooth[..end - x]);
                });
            }
        }
    }

    /// Smooths one row along itself.
    #[inline(always)]
    fn smooth_along<T: Sample>(&mut self, row: &[T], kernel: &Kernel, out: &mut [T]) {
        let (radius, n_x) = (kernel.radius(), row.len());
        self.values.resize(n_x.next_multiple_of(LANES) + 2 * radius, 0.0);
        copy(row, &mut self.values[radius..]);
        for step in 1..=radius {
            self.values[radius - step] = row[mirrored(-(step as isize), n_x)].to_f32();
            self.values[radius + n_x - 1 + step] =
                row[mirrored((n_x - 1 + step) as isize, n_x)].to_f32();
        }
        let mut pieces = out.chunks_mut(LANES);
        self.weigh(1, kernel, |_, smooth| {
            if let Some(out) = pieces.next() {
                out.copy_from_slice(&smooth[..out.len()]);
            }
        });
    }

    /// Gives `put` the weighted sums of all windows, [`LANES`] at a time, with their number.
    #[inline(always)]
    fn weigh<T: Sample>(
        &mut self,
        stride: usize,
        kernel: &Kernel,
        mut put: impl FnMut(usize, &[T; LANES]),
    ) {
        if T::MARKS_FLATS {
            self.mark_flats(stride, 2 * kernel.radius());
        }
        let beyond = 2 * kernel.radius() * stride;
        for number in 0..(self.values.len() - beyond) / LANES {
            let start = number * LANES;
            let window = Window {
                values: &self.values[start..start + beyond + LANES],
                flat: if T::MARKS_FLATS { &self.flat[start..start + LANES] } else { &[] },
                stride,
            };
            put(number, &T::smooth(window, kernel));
        }
    }

    /// Marks where a value and all that follow it for `steps` strides are equal.
    #[inline(always)]
    fn mark_flats(&mut self, stride: usize, steps: usize) {
        let Self { values, flat, wider } = self;
        flat.clear();
        if steps == 0 {
            flat.resize(values.len(), true);
            return;
        }
        flat.extend(values.iter().zip(&values[stride..]).map(|(a, b)| a == b));
        let mut reach = 1;
        while reach < steps {
            let more = reach.min(steps - reach);
            wider.clear();
            wider.extend(flat.iter().zip(&flat[more * stride..]).map(|(a, b)| a & b));
            std::mem::swap(flat, wider);
            reach += more;
        }
    }
}

impl Window<'_> {
    #[inline(always)]
    fn line(&self, number: usize) -> &[f32; LANES] {
        let start = number * self.stride;
        self.values[start..].first_chunk().expect("a window holds a line for each weight")
    }

    /// From the centre, then from the ends inwards.
    #[inline(always)]
    fn sums(&self, kernel: &Kernel) -> [f32; LANES] {
        let radius = kernel.radius();
        let centre = self.line(radius);
        let mut sums = *centre;
        for sum in &mut sums {
            *sum *= kernel.weights[0];
        }
        for step in (1..=radius).rev() {
            let (before, after) = (self.line(radius - step), self.line(radius + step));
            let weight = kernel.weights[step];
            for ((sum, before), after) in sums.iter_mut().zip(before).zip(after) {
                *sum += (before + after) * weight;
            }
        }
        sums
    }
}

#[inline(always)]
fn copy<T: Sample>(voxels: &[T], values: &mut [f32]) {
    values.iter_mut().zip(voxels).for_each(|(value, voxel)| *value = voxel.to_f32());
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
        fn bytes_are_cut_after_each_axis(image in smooth_or_rough_bytes(), sigma in 0.1..3.5_f64) {
            let fast = gaussian_bytes(&image, sigma).unwrap();
            prop_assert_eq!(fast.voxels(), &bytes_by_definition(&image, sigma));
        }
    }

    /// Bytes as noise, as steps between flat regions, and as ramps, whose mean is a whole number.
    fn smooth_or_rough_bytes() -> impl Strategy<Value = Volume<u8>> {
        let ramp =
            (1..50_usize, 1..6_usize, 1..5_usize, 0..4_u8).prop_map(|(x, slope, step, base)| {
                let shape = [4, 5, x];
                volume(shape, (0..20 * x).map(|n| base + (n % x / step * slope) as u8).collect())
            });
        prop_oneof![any_bytes(40), ramp]
    }

    /// In f64, from the ends of the kernel to its centre, cut to whole numbers after each axis.
    fn bytes_by_definition(volume: &Volume<u8>, sigma: f64) -> Array3<u8> {
        let weights = Kernel::new(sigma).exact;
        let mut voxels = volume.voxels().clone();
        for axis in 0..3 {
            for mut line in voxels.lanes_mut(Axis(axis)) {
                let old = line.to_vec();
                for (at, value) in line.iter_mut().enumerate() {
                    let near =
                        |step: isize| f64::from(old[mirrored(at as isize + step, old.len())]);
                    let mut sum = near(0) * weights[0];
                    for step in (1..weights.len()).rev() {
                        sum += (near(-(step as isize)) + near(step as isize)) * weights[step];
                    }
                    *value = sum as u8;
                }
            }
        }
        voxels
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
