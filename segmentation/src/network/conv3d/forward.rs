//! The convolution itself, some values of some channels at a time, which stay in the processor's registers.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::window::Window;
use super::{Kernel, OUTPUTS, Sides};

/// Vectors of values that are computed at a time, of each of [`OUTPUTS`] channels: 12 sums, 3 values and a weight
/// fill the 16 registers of most processors.
const VECTORS: usize = 3;
/// Values in a window: they stay in the cache of a core.
pub(super) const WINDOW: usize = 1 << 16;
/// Planes that one task computes; each takes some planes around in again.
const MOST_PLANES: usize = 8;

/// `activation(kernel ∗ image + bias)`.
pub(super) fn convolve(
    image: &[f32],
    sides: Sides,
    kernel: Kernel<'_>,
    bias: &[f32],
    negative_slope: f32,
) -> Vec<f32> {
    let packed = Packed::new(kernel, bias);
    let plane = kernel.to * sides.y * sides.x;
    // Only who computes what depends on the number of threads.
    let tasks = 4 * rayon::current_num_threads();
    let n_planes = sides.n_planes().div_ceil(tasks).clamp(1, MOST_PLANES);
    let mut out = vec![0.0; sides.n_planes() * plane];
    let samples = out.par_chunks_mut(sides.z * plane).enumerate();
    let tasks = samples.flat_map(|(sample, out)| {
        let tasks = out.par_chunks_mut(n_planes * plane).enumerate();
        tasks.map(move |(task, out)| (sample, task * n_planes, out))
    });
    tasks.for_each(|(sample, z, out)| {
        let z = z..z + out.len() / plane;
        let window = Window::around(sides, kernel.side, WINDOW / (kernel.side * kernel.from));
        let packed = &packed;
        Arch::new().dispatch(Planes {
            image,
            sides,
            packed,
            negative_slope,
            sample,
            z,
            out,
            window,
        });
    });
    out
}

/// A kernel with its bias, in blocks of [`OUTPUTS`] channels of the result; the last is filled up with zeros.
struct Packed {
    side: usize,
    from: usize,
    to: usize,
    /// By block, then as [`Kernel::taps_by_plane`].
    weights: Vec<[f32; OUTPUTS]>,
    bias: Vec<[f32; OUTPUTS]>,
}

impl Packed {
    fn new(kernel: Kernel<'_>, bias: &[f32]) -> Self {
        let Kernel { weights, to, from, side } = kernel;
        let block = |block: usize, of: &dyn Fn(usize) -> f32| {
            let of = |to_channel| if to_channel < to { of(to_channel) } else { 0.0 };
            std::array::from_fn(|output| of(block * OUTPUTS + output))
        };
        let blocks = 0..to.div_ceil(OUTPUTS);
        let taps: Vec<usize> = kernel.taps_by_plane().collect();
        let weights = blocks.clone().flat_map(|n| {
            let of_tap = move |&tap| block(n, &|to| weights[to * kernel.taps() + tap]);
            taps.iter().map(of_tap)
        });
        Self {
            side,
            from,
            to,
            weights: weights.collect(),
            bias: blocks.map(|n| block(n, &|to| bias[to])).collect(),
        }
    }

    /// Weights that read plane `dz`, of a block.
    fn weights(&self, block: usize, dz: usize) -> &[[f32; OUTPUTS]] {
        let n = self.from * self.side.pow(2);
        &self.weights[(block * self.side + dz) * n..][..n]
    }

    /// How far from a value of the result a plane's values lie that it reads, in a window.
    fn offsets(&self, window: &Window) -> Vec<usize> {
        let (side, cube) = (self.side, self.side.pow(2));
        let offset = |tap: usize| {
            let (channel, dy, dx) = (tap / cube, tap % cube / side, tap % side);
            channel * window.channel + dy * window.stride + dx
        };
        (0..self.from * cube).map(offset).collect()
    }
}

/// The planes `z` of a sample.
struct Planes<'a> {
    image: &'a [f32],
    sides: Sides,
    packed: &'a Packed,
    negative_slope: f32,
    sample: usize,
    z: Range<usize>,
    out: &'a mut [f32],
    window: Window,
}

impl WithSimd for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let reach = self.packed.side / 2;
        let offsets = self.packed.offsets(&self.window);
        let mut results = Vec::new();
        for rows in self.window.blocks() {
            self.window.clear();
            let mut taken = self.z.start.saturating_sub(reach);
            for z in self.z.clone() {
                while taken < (z + reach + 1).min(self.sides.z) {
                    self.window.take(self.image, self.sample, taken, &rows);
                    taken += 1;
                }
                for block in 0..self.packed.bias.len() {
                    self.block(simd, &offsets, z, rows.len(), block, &mut results);
                    self.give(z, &rows, block, &results);
                }
            }
        }
    }
}

impl Planes<'_> {
    /// Computes a block of channels of plane `z`, as long rows, one after another.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        simd: S,
        offsets: &[usize],
        z: usize,
        n_rows: usize,
        block: usize,
        results: &mut Vec<f32>,
    ) {
        let at_a_time = VECTORS * S::F32_LANES;
        let n = (n_rows * self.window.stride).next_multiple_of(at_a_time);
        results.resize(OUTPUTS * n, 0.0);
        let reach = self.packed.side / 2;
        let (first, end) = (z.saturating_sub(reach), (z + reach + 1).min(self.sides.z));
        let slope = simd.splat_f32s(self.negative_slope);
        let zero = simd.splat_f32s(0.0);
        for at in (0..n).step_by(at_a_time) {
            let mut sums = self.packed.bias[block].map(|bias| [simd.splat_f32s(bias); VECTORS]);
            for from_z in first..end {
                let values = &self.window.values[self.window.plane(from_z) + at..];
                let weights = self.packed.weights(block, from_z + reach - z);
                add_products(simd, values, offsets, weights, &mut sums);
            }
            for (output, sums) in sums.iter().enumerate() {
                let (out, _) = S::as_mut_simd_f32s(&mut results[output * n + at..][..at_a_time]);
                for (out, &sum) in out.iter_mut().zip(sums) {
                    let below = simd.mul_f32s(slope, simd.min_f32s(sum, zero));
                    *out = simd.add_f32s(simd.max_f32s(sum, zero), below);
                }
            }
        }
    }

    /// Gives the results of a block of channels out, without what lies between rows.
    #[inline(always)]
    fn give(&mut self, z: usize, rows: &Range<usize>, block: usize, results: &[f32]) {
        let Sides { y: n_y, x: n_x, .. } = self.sides;
        let channels =
            results.chunks_exact(results.len() / OUTPUTS).take(self.packed.to - block * OUTPUTS);
        for (output, results) in channels.enumerate() {
            let channel = (z - self.z.start) * self.packed.to + block * OUTPUTS + output;
            let out = &mut self.out[(channel * n_y + rows.start) * n_x..][..rows.len() * n_x];
            let rows = out.chunks_exact_mut(n_x).zip(results.chunks(self.window.stride));
            rows.for_each(|(out, row)| out.copy_from_slice(&row[..n_x]));
        }
    }
}

/// Adds the products of weights and the values at `offsets`.
#[inline(always)]
fn add_products<S: Simd>(
    simd: S,
    values: &[f32],
    offsets: &[usize],
    weights: &[[f32; OUTPUTS]],
    sums: &mut [[S::f32s; VECTORS]; OUTPUTS],
) {
    let mut here = *sums;
    for (&offset, weights) in offsets.iter().zip(weights) {
        let (values, _) = S::as_simd_f32s(&values[offset..][..VECTORS * S::F32_LANES]);
        let values: [S::f32s; VECTORS] = std::array::from_fn(|vector| values[vector]);
        for (sums, &weight) in here.iter_mut().zip(weights) {
            let weight = simd.splat_f32s(weight);
            for (sum, &value) in sums.iter_mut().zip(&values) {
                *sum = simd.mul_add_e_f32s(value, weight, *sum);
            }
        }
    }
    *sums = here;
}
