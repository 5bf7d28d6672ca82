//! Convolution in three dimensions, with its derivatives: what candle lacks.
//!
//! Images are `[sample, z, channel, y, x]`: a plane with all of its channels lies together in memory, so that planes
//! are computed apart. `window` holds the rows at hand with zeros around them; `forward` and `gradient` go over them with
//! the widest vectors that the processor has. Sums run in an order that no number of threads changes.

mod forward;
mod gradient;
mod window;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, Tensor};
use rayon::prelude::*;

use forward::convolve;
use gradient::kernel_gradient;

/// Channels of a result that are computed at a time.
const OUTPUTS: usize = 4;

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

    /// The weights of a channel of the result in the order in which they are worked on: by the plane that they read,
    /// then by channel, y and x.
    fn taps_by_plane(self) -> impl Iterator<Item = usize> {
        let (square, cube) = (self.side.pow(2), self.side.pow(3));
        let plane = move |dz| {
            (0..self.from * square).map(move |at| at / square * cube + dz * square + at % square)
        };
        (0..self.side).flat_map(plane)
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

/// The derivative with respect to the image, of sides `sides`: `slope` is that with respect to the convolution.
fn image_gradient(sides: Sides, kernel: Kernel<'_>, slope: &[f32]) -> Vec<f32> {
    let mirrored = kernel.mirrored();
    let (from, to) = (kernel.to, kernel.from);
    let kernel = Kernel { weights: &mirrored, from, to, side: kernel.side };
    convolve(slope, sides.with(from), kernel, &vec![0.0; to], 1.0)
}

/// The derivative with respect to the bias.
fn bias_gradient(slope: &[f32], sides: Sides) -> Vec<f32> {
    let of_plane = |plane: &[f32]| {
        plane.chunks_exact(sides.y * sides.x).map(|channel| f64::from(sum(channel))).collect()
    };
    let planes: Vec<Vec<f64>> = slope.par_chunks(sides.plane()).map(of_plane).collect();
    let mut sums = vec![0.0; sides.channels];
    for plane in planes {
        sums.iter_mut().zip(plane).for_each(|(sum, value)| *sum += value);
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// The sum of values; eight sums grow side by side, so that vectors can be used.
fn sum(values: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for values in whole {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
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
        let out = convolve(image, sides, kernel, bias, self.negative_slope);
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
            let to_image = self.image_has_gradient.then(|| image_gradient(sides, kernel, &slope));
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
    use super::window::Window;
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

    /// Calls `work` for each product that a convolution consists of: with the places of a value of the result, of a
    /// weight, and of a value of the image.
    fn for_products(sides: Sides, kernel: Kernel<'_>, mut work: impl FnMut(usize, usize, usize)) {
        let reach = kernel.side / 2;
        let places = sides.n_planes() * kernel.to * sides.y * sides.x;
        for out in 0..places {
            let (to, at) = (out / (sides.y * sides.x) % kernel.to, out % (sides.y * sides.x));
            let plane = out / (sides.y * sides.x) / kernel.to;
            for tap in 0..kernel.taps() {
                let (side, cube) = (kernel.side, kernel.side.pow(3));
                let d = [tap % cube / side / side, tap / side % side, tap % side];
                let here = [plane % sides.z, at / sides.x, at % sides.x];
                let [z, y, x] = [0, 1, 2].map(|i| (here[i] + d[i]).wrapping_sub(reach));
                if z < sides.z && y < sides.y && x < sides.x {
                    let plane = plane / sides.z * sides.z + z;
                    let row = (plane * sides.channels + tap / cube) * sides.y + y;
                    work(out, to * kernel.taps() + tap, row * sides.x + x);
                }
            }
        }
    }

    /// The sum over all channels and taps.
    fn by_definition(image: &[f32], sides: Sides, kernel: Kernel<'_>) -> Vec<f32> {
        let mut out = vec![0.0; sides.n_planes() * kernel.to * sides.y * sides.x];
        for_products(sides, kernel, |to, tap, from| {
            out[to] += f64::from(kernel.weights[tap]) * f64::from(image[from]);
        });
        out.into_iter().map(|sum| sum as f32).collect()
    }

    /// The derivatives of the sum of `slope · result` with respect to the image and to the kernel.
    fn derivatives_by_definition(
        image: &[f32],
        sides: Sides,
        kernel: Kernel<'_>,
        slope: &[f32],
    ) -> [Vec<f32>; 2] {
        let mut to_image = vec![0.0; image.len()];
        let mut to_kernel = vec![0.0; kernel.weights.len()];
        for_products(sides, kernel, |to, tap, from| {
            to_image[from] += f64::from(slope[to]) * f64::from(kernel.weights[tap]);
            to_kernel[tap] += f64::from(slope[to]) * f64::from(image[from]);
        });
        [to_image, to_kernel].map(|sums| sums.into_iter().map(|sum| sum as f32).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn the_fast_convolution_and_its_derivatives_are_the_slow_ones(
            n in 1..3_usize, z in 1..5_usize, y in 1..9_usize, x in 1..41_usize,
            from in 1..4_usize, to in 1..10_usize, side in prop_oneof![Just(1_usize), Just(3), Just(5)],
            seed in 0..1000_u32,
        ) {
            let number = |at: usize| ((at as f32 + 1.0) * (seed as f32 + 0.7)).sin();
            let sides = Sides { n, z, channels: from, y, x };
            let image: Vec<f32> = (0..n * z * from * y * x).map(number).collect();
            let weights: Vec<f32> = (0..to * from * side.pow(3)).map(|at| number(at + 7919)).collect();
            let kernel = Kernel { weights: &weights, to, from, side };
            let fast = convolve(&image, sides, kernel, &vec![0.0; to], 1.0);
            assert_close(&fast, &by_definition(&image, sides, kernel), SINGLE);
            // So that derivatives with respect to weights are no larger than sums of a hundred products near 1.
            let share = (100.0 / (n * z * y * x) as f32).min(1.0);
            let slope: Vec<f32> = (0..fast.len()).map(|at| share * number(at + 104_729)).collect();
            let [to_image, to_kernel] = derivatives_by_definition(&image, sides, kernel, &slope);
            assert_close(&image_gradient(sides, kernel, &slope), &to_image, SINGLE);
            assert_close(&kernel_gradient(&image, sides, kernel, &slope), &to_kernel, SINGLE);
        }
    }

    #[test]
    fn large_planes_go_through_the_window_in_parts() {
        let sides = Sides { n: 1, z: 4, channels: 24, y: 40, x: 60 };
        let number = |at: usize| (at as f32 * 0.37).sin();
        let image: Vec<f32> = (0..4 * 24 * 2400).map(number).collect();
        let weights: Vec<f32> = (0..2 * 24 * 27).map(number).collect();
        let kernel = Kernel { weights: &weights, to: 2, from: 24, side: 3 };
        let window = Window::around(sides, 3, forward::WINDOW / (3 * 24));
        assert!(window.blocks().count() > 1);
        let fast = convolve(&image, sides, kernel, &[0.0; 2], 1.0);
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
