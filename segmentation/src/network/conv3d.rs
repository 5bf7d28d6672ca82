//! Convolution in three dimensions, with its derivatives: what candle lacks.
//!
//! Images are `[sample, z, channel, y, x]`: a plane with all of its channels lies together in memory, so that planes
//! are computed apart. For some rows of a plane, every value that the kernel reads is laid out as a column per voxel
//! (im2col: Chellapilla, Puri & Simard 2006, hal:inria-00112631), in a buffer that fits the cache; then one
//! product of matrices gives these rows of all channels. Sums run in an order that no number of threads changes.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, Tensor};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};
use rayon::prelude::*;

/// Numbers in the buffer of columns of a thread: 512 KiB of them.
const BUFFER: usize = 1 << 17;
/// Derivatives with respect to weights are summed in this many parts, whatever the number of threads.
const PARTS: usize = 16;

/// `activation(kernel ∗ image + bias)`: arguments are the image `[n, z, from, y, x]`, the kernel
/// `[to, from, side, side, side]` and the bias `[to]`; the result is `[n, z, to, y, x]`.
///
/// Beyond its borders the image is 0. As everywhere in networks, the kernel is not mirrored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv3d {
    /// What negative values are multiplied by (Maas, Hannun & Ng 2013); 1 leaves all values as they are.
    pub(crate) negative_slope: f32,
    /// Whether the derivative with respect to the image is wanted.
    pub(crate) image_has_gradient: bool,
}

/// The sides of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sides {
    n: usize,
    z: usize,
    channels: usize,
    y: usize,
    x: usize,
}

impl Sides {
    fn of(shape: &Shape) -> candle_core::Result<Self> {
        let (n, z, channels, y, x) = shape.dims5()?;
        Ok(Self { n, z, channels, y, x })
    }

    fn with(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    fn plane(self) -> usize {
        self.channels * self.y * self.x
    }

    fn n_planes(self) -> usize {
        self.n * self.z
    }

    fn shape(self) -> Shape {
        Shape::from((self.n, self.z, self.channels, self.y, self.x))
    }
}

/// A kernel `[to, from, side, side, side]`.
#[derive(Clone, Copy, Debug)]
struct Kernel<'a> {
    weights: &'a [f32],
    to: usize,
    from: usize,
    side: usize,
}

impl<'a> Kernel<'a> {
    fn new(weights: &'a [f32], shape: &Shape) -> candle_core::Result<Self> {
        let (to, from, side, side_y, side_x) = shape.dims5()?;
        if side != side_y || side != side_x || side % 2 == 0 {
            candle_core::bail!("kernels are cubes of an odd side, got {shape:?}");
        }
        Ok(Self { weights, to, from, side })
    }

    /// The number of values that a voxel of the result is made of.
    fn taps(self) -> usize {
        self.from * self.side.pow(3)
    }

    /// The kernel whose convolution gives the derivative with respect to the image.
    fn mirrored(self) -> Vec<f32> {
        let cube = self.side.pow(3);
        let mut out = vec![0.0; self.weights.len()];
        for to in 0..self.to {
            for from in 0..self.from {
                let kernel = &self.weights[(to * self.from + from) * cube..][..cube];
                let out = &mut out[(from * self.to + to) * cube..][..cube];
                out.iter_mut().zip(kernel.iter().rev()).for_each(|(out, &weight)| *out = weight);
            }
        }
        out
    }
}

/// Lays the columns of the rows `rows` of plane `plane` out in `columns`: a row of it per tap.
fn lay_out(
    image: &[f32],
    sides: Sides,
    side: usize,
    plane: usize,
    rows: std::ops::Range<usize>,
    columns: &mut [f32],
) {
    let (reach, width) = (side / 2, sides.x);
    let (sample, z) = (plane / sides.z, plane % sides.z);
    let taps = columns.chunks_exact_mut(rows.len() * width);
    for (tap, out) in taps.enumerate() {
        let (channel, tap) = (tap / side.pow(3), tap % side.pow(3));
        let (dz, dy, dx) = (tap / side.pow(2), tap / side % side, tap % side);
        let from_z = (z + dz).wrapping_sub(reach);
        for (y, out) in rows.clone().zip(out.chunks_exact_mut(width)) {
            let from_y = (y + dy).wrapping_sub(reach);
            if from_z >= sides.z || from_y >= sides.y {
                out.fill(0.0);
                continue;
            }
            let plane = (sample * sides.z + from_z) * sides.channels + channel;
            shift(&image[(plane * sides.y + from_y) * width..][..width], dx, reach, out);
        }
    }
}

/// `out[x] = row[x + dx − reach]`, 0 beyond the row.
fn shift(row: &[f32], dx: usize, reach: usize, out: &mut [f32]) {
    let width = row.len();
    if dx >= reach {
        let by = (dx - reach).min(width);
        out[..width - by].copy_from_slice(&row[by..]);
        out[width - by..].fill(0.0);
    } else {
        let by = (reach - dx).min(width);
        out[..by].fill(0.0);
        out[by..].copy_from_slice(&row[..width - by]);
    }
}

/// The rows that one buffer holds.
fn blocks(sides: Sides, taps: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let rows = (BUFFER / (taps * sides.x)).clamp(1, sides.y);
    (0..sides.y).step_by(rows).map(move |y| y..(y + rows).min(sides.y))
}

/// The convolution of `image` with `kernel`.
fn convolve(
    image: &[f32],
    sides: Sides,
    kernel: Kernel<'_>,
    bias: Option<&[f32]>,
    negative_slope: f32,
) -> Vec<f32> {
    let area = sides.y * sides.x;
    let mut out = vec![0.0; sides.n_planes() * kernel.to * area];
    out.par_chunks_mut(kernel.to * area).enumerate().for_each_init(
        Vec::new,
        |buffer, (plane, out)| {
            if kernel.side == 1 {
                let from = &image[plane * sides.plane()..][..sides.plane()];
                multiply(kernel, from, area, out, area);
            } else {
                for rows in blocks(sides, kernel.taps()) {
                    let n = rows.len() * sides.x;
                    buffer.resize(kernel.taps() * n, 0.0);
                    let out = &mut out[rows.start * sides.x..];
                    lay_out(image, sides, kernel.side, plane, rows, buffer);
                    multiply(kernel, buffer, n, out, area);
                }
            }
            if let Some(bias) = bias {
                for (out, &bias) in out.chunks_exact_mut(area).zip(bias) {
                    out.iter_mut().for_each(|value| {
                        let sum = *value + bias;
                        *value = sum.max(0.0) + negative_slope * sum.min(0.0);
                    });
                }
            }
        },
    );
    out
}

/// `out = kernel · columns`: `columns` has `n` values per tap, rows of `out` begin `apart` values from each other.
fn multiply(kernel: Kernel<'_>, columns: &[f32], n: usize, out: &mut [f32], apart: usize) {
    let weights = ArrayView2::from_shape((kernel.to, kernel.taps()), kernel.weights);
    let columns = ArrayView2::from_shape((kernel.taps(), n), columns);
    let out = ArrayViewMut2::from_shape((kernel.to, n).strides((apart, 1)), out);
    let (Ok(weights), Ok(columns), Ok(mut out)) = (weights, columns, out) else {
        unreachable!("buffers are as long as their sides say")
    };
    general_mat_mul(1.0, &weights, &columns, 0.0, &mut out);
}

/// `sum += slope · columnsᵀ`, the other way round.
fn add_product(slope: &[f32], apart: usize, columns: &[f32], n: usize, sum: &mut [f32], to: usize) {
    let taps = sum.len() / to;
    let slope = ArrayView2::from_shape((to, n).strides((apart, 1)), slope);
    let columns = ArrayView2::from_shape((taps, n), columns);
    let sum = ArrayViewMut2::from_shape((to, taps), sum);
    let (Ok(slope), Ok(columns), Ok(mut sum)) = (slope, columns, sum) else {
        unreachable!("buffers are as long as their sides say")
    };
    general_mat_mul(1.0, &slope, &columns.t(), 1.0, &mut sum);
}

/// The derivative with respect to the kernel: `slope` is that with respect to the convolution.
fn kernel_gradient(image: &[f32], sides: Sides, kernel: Kernel<'_>, slope: &[f32]) -> Vec<f32> {
    let area = sides.y * sides.x;
    let (to, taps) = (kernel.to, kernel.taps());
    let planes_per_part = sides.n_planes().div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f32>> = (0..sides.n_planes().div_ceil(planes_per_part))
        .into_par_iter()
        .map(|part| {
            let mut sum = vec![0.0; to * taps];
            let mut buffer = Vec::new();
            let first = part * planes_per_part;
            for plane in first..(first + planes_per_part).min(sides.n_planes()) {
                let slope = &slope[plane * to * area..][..to * area];
                for rows in blocks(sides, taps) {
                    let (start, n) = (rows.start * sides.x, rows.len() * sides.x);
                    buffer.resize(taps * n, 0.0);
                    lay_out(image, sides, kernel.side, plane, rows, &mut buffer);
                    add_product(&slope[start..], area, &buffer, n, &mut sum, to);
                }
            }
            sum
        })
        .collect();
    let mut sum = vec![0.0; to * taps];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// The derivative with respect to the bias.
fn bias_gradient(slope: &[f32], sides: Sides) -> Vec<f32> {
    let area = sides.y * sides.x;
    let mut sums = vec![0.0_f64; sides.channels];
    for plane in slope.chunks_exact(sides.plane()) {
        for (sum, channel) in sums.iter_mut().zip(plane.chunks_exact(area)) {
            *sum += f64::from(channel.iter().sum::<f32>());
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// The values of a tensor whose values lie in order.
pub(crate) fn values<'a>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => candle_core::bail!("the values of {:?} must lie in order", layout.shape()),
    }
}

/// Calls `work` with the values of `tensor`.
pub(crate) fn with_values<T>(
    tensor: &Tensor,
    work: impl FnOnce(&[f32]) -> T,
) -> candle_core::Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(work(values(storage, layout)?)),
        _ => candle_core::bail!("networks run on the processor"),
    }
}

impl CustomOp3 for Conv3d {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        image: &CpuStorage,
        image_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sides = Sides::of(image_layout.shape())?;
        let kernel = Kernel::new(values(kernel, kernel_layout)?, kernel_layout.shape())?;
        let bias = values(bias, bias_layout)?;
        if kernel.from != sides.channels || bias.len() != kernel.to {
            candle_core::bail!(
                "{} channels do not fit a kernel from {}",
                sides.channels,
                kernel.from
            );
        }
        let image = values(image, image_layout)?;
        let out = convolve(image, sides, kernel, Some(bias), self.negative_slope);
        Ok((CpuStorage::F32(out), sides.with(kernel.to).shape()))
    }

    fn bwd(
        &self,
        image: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sides = Sides::of(image.shape())?;
        let slope = with_values(gradient, |gradient| {
            // The activation keeps signs: the result tells which side of it a value was on.
            let slope_at = |(&gradient, &result): (&f32, &f32)| {
                if result > 0.0 { gradient } else { self.negative_slope * gradient }
            };
            with_values(result, |result| {
                gradient.par_iter().zip(result).map(slope_at).collect::<Vec<f32>>()
            })
        })??;
        let device = image.device();
        let (to_image, to_kernel, to_bias) = with_values(kernel, |weights| {
            let kernel = Kernel::new(weights, kernel.shape())?;
            let to_image = self.image_has_gradient.then(|| {
                let mirrored = kernel.mirrored();
                let (from, to) = (kernel.to, kernel.from);
                let kernel = Kernel { weights: &mirrored, from, to, side: kernel.side };
                convolve(&slope, sides.with(from), kernel, None, 1.0)
            });
            let to_kernel =
                with_values(image, |image| kernel_gradient(image, sides, kernel, &slope))?;
            Ok::<_, candle_core::Error>((
                to_image,
                to_kernel,
                bias_gradient(&slope, sides.with(kernel.to)),
            ))
        })??;
        Ok((
            to_image.map(|out| Tensor::from_vec(out, image.shape(), device)).transpose()?,
            Some(Tensor::from_vec(to_kernel, kernel.shape(), device)?),
            Some(Tensor::from_vec(to_bias, bias.shape(), device)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::reference::{assert_close, derivatives, numbers, reference, variable};
    use super::*;
    use crate::testing::on_threads;

    /// Sums of some hundred products of numbers near 1 in single precision.
    const SINGLE: f32 = 2e-4;
    const LEAKY: Conv3d = Conv3d { negative_slope: 0.1, image_has_gradient: true };

    #[test]
    fn convolution_and_its_derivatives_are_those_of_pytorch() {
        for case in reference().convolutions {
            let side = case.kernel_side;
            let image = variable(&case.image, (2, 3, 3, 4, 5));
            let kernel = variable(&case.kernel, (4, 3, side, side, side));
            let bias = variable(&case.bias, 4);
            let result = image.apply_op3(&kernel, &bias, LEAKY).unwrap();
            assert_eq!(result.dims(), [2, 3, 4, 4, 5]);
            assert_close(&numbers(&result), &case.result, SINGLE);
            let slopes = derivatives(&result, &case.gradient, &[&image, &kernel, &bias]);
            assert_close(&slopes[0], &case.to_image, SINGLE);
            assert_close(&slopes[1], &case.to_kernel, SINGLE);
            assert_close(&slopes[2], &case.to_bias, SINGLE);
        }
    }

    /// The sum over all channels and taps, voxel by voxel.
    fn by_definition(image: &[f32], sides: Sides, kernel: Kernel<'_>) -> Vec<f32> {
        let reach = kernel.side / 2;
        let mut out = Vec::new();
        for plane in 0..sides.n_planes() {
            for to in 0..kernel.to {
                for at in 0..sides.y * sides.x {
                    let mut sum = 0.0;
                    for tap in 0..kernel.taps() {
                        let (side, cube) = (kernel.side, kernel.side.pow(3));
                        let d = [tap % cube / side / side, tap / side % side, tap % side];
                        let here = [plane % sides.z, at / sides.x, at % sides.x];
                        let [z, y, x] = [0, 1, 2].map(|i| (here[i] + d[i]).wrapping_sub(reach));
                        if z < sides.z && y < sides.y && x < sides.x {
                            let plane = plane / sides.z * sides.z + z;
                            let row = (plane * sides.channels + tap / cube) * sides.y + y;
                            sum +=
                                kernel.weights[to * kernel.taps() + tap] * image[row * sides.x + x];
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn the_fast_convolution_is_the_slow_one(
            n in 1..3_usize, z in 1..4_usize, y in 1..9_usize, x in 1..9_usize,
            from in 1..4_usize, to in 1..4_usize, side in prop_oneof![Just(1_usize), Just(3), Just(5)],
            seed in 0..1000_u32,
        ) {
            let number = |at: usize| ((at as f32 + 1.0) * (seed as f32 + 0.7)).sin();
            let sides = Sides { n, z, channels: from, y, x };
            let image: Vec<f32> = (0..n * z * from * y * x).map(number).collect();
            let weights: Vec<f32> = (0..to * from * side.pow(3)).map(|at| number(at + 7919)).collect();
            let kernel = Kernel { weights: &weights, to, from, side };
            let fast = convolve(&image, sides, kernel, None, 1.0);
            assert_close(&fast, &by_definition(&image, sides, kernel), SINGLE);
        }
    }

    #[test]
    fn wide_rows_go_through_the_buffer_in_parts() {
        let sides = Sides { n: 1, z: 2, channels: 4, y: 40, x: 60 };
        let number = |at: usize| (at as f32 * 0.37).sin();
        let image: Vec<f32> = (0..2 * 4 * 2400).map(number).collect();
        let weights: Vec<f32> = (0..2 * 4 * 27).map(number).collect();
        let kernel = Kernel { weights: &weights, to: 2, from: 4, side: 3 };
        assert!(blocks(sides, kernel.taps()).count() > 1);
        let fast = convolve(&image, sides, kernel, None, 1.0);
        assert_close(&fast, &by_definition(&image, sides, kernel), SINGLE);
    }

    #[test]
    fn threads_do_not_matter() {
        let on = |threads: usize| {
            on_threads(threads, || {
                let number = |at: usize| (at as f32 * 0.37).sin();
                let values = |n: usize| (0..n).map(number).collect::<Vec<f32>>();
                let image = variable(&values(40 * 3 * 12 * 20), (2, 20, 3, 12, 20));
                let kernel = variable(&values(5 * 3 * 27), (5, 3, 3, 3, 3));
                let bias = variable(&values(5), 5);
                let result = image.apply_op3(&kernel, &bias, LEAKY).unwrap();
                let gradient = values(result.elem_count());
                (numbers(&result), derivatives(&result, &gradient, &[&image, &kernel, &bias]))
            })
        };
        assert_eq!(on(1), on(4));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = variable(&[0.0; 8], (1, 1, 2, 2, 2));
        let refused = |shape: (usize, usize, usize, usize, usize)| {
            let kernel =
                variable(&vec![0.0; shape.0 * shape.1 * shape.2 * shape.3 * shape.4], shape);
            let bias = variable(&[0.0], 1);
            assert!(image.apply_op3(&kernel, &bias, LEAKY).is_err(), "{shape:?}");
        };
        refused((1, 3, 3, 3, 3));
        refused((1, 2, 2, 2, 2));
        refused((1, 2, 3, 3, 1));
    }
}
