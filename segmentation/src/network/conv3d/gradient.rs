//! The derivative of a convolution with respect to its kernel.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::window::Window;
use super::{Kernel, OUTPUTS, Sides};

/// Weights beside each other along x whose derivatives are computed at a time, for each of [`OUTPUTS`] channels.
const TAPS: usize = 3;
/// Values of a channel in a window: those of [`OUTPUTS`] channels stay in the fastest cache.
const CHANNEL: usize = 1 << 10;
/// Sums are of this many parts, whatever the number of threads.
const PARTS: usize = 16;

/// The derivative with respect to the kernel: `slope` is that with respect to the convolution.
pub(super) fn kernel_gradient(
    image: &[f32],
    sides: Sides,
    kernel: Kernel<'_>,
    slope: &[f32],
) -> Vec<f32> {
    let planes_per_part = sides.n_planes().div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f32>> = (0..sides.n_planes().div_ceil(planes_per_part))
        .into_par_iter()
        .map(|part| {
            let first = part * planes_per_part;
            let planes = first..(first + planes_per_part).min(sides.n_planes());
            Arch::new().dispatch(Part { image, sides, kernel, slope, planes })
        })
        .collect();
    let mut sum = vec![0.0; kernel.weights.len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// Some planes' share of the derivative.
struct Part<'a> {
    image: &'a [f32],
    sides: Sides,
    kernel: Kernel<'a>,
    slope: &'a [f32],
    planes: Range<usize>,
}

impl WithSimd for Part<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Kernel { to, side, .. } = self.kernel;
        let reach = side / 2;
        let mut window = Window::around(self.sides, side, CHANNEL);
        let mut slopes = Window::beside(&window, self.sides.with(to));
        let n_sums = to.div_ceil(OUTPUTS) * self.kernel.taps();
        let mut sums = vec![[simd.splat_f32s(0.0); OUTPUTS]; n_sums];
        for rows in window.blocks() {
            window.clear();
            slopes.clear();
            let mut taken = self.planes.start.saturating_sub(reach);
            for plane in self.planes.clone() {
                let (sample, z) = (plane / self.sides.z, plane % self.sides.z);
                let first = sample * self.sides.z;
                taken = taken.max(first);
                while taken < (plane + reach + 1).min(first + self.sides.z) {
                    window.take(self.image, sample, taken - first, &rows);
                    taken += 1;
                }
                slopes.take(self.slope, sample, z, &rows);
                self.add_plane(simd, &window, &slopes, z, rows.len(), &mut sums);
            }
        }
        self.reduced(simd, &sums)
    }
}

impl Part<'_> {
    /// Adds what plane `z` adds: sums are by block of channels, then as [`Kernel::taps_by_plane`].
    #[inline(always)]
    fn add_plane<S: Simd>(
        &self,
        simd: S,
        window: &Window,
        slopes: &Window,
        z: usize,
        n_rows: usize,
        sums: &mut [[S::f32s; OUTPUTS]],
    ) {
        let Kernel { to, from, side, .. } = self.kernel;
        let reach = side / 2;
        let n = (n_rows * window.stride).next_multiple_of(S::F32_LANES);
        for (block, sums) in sums.chunks_exact_mut(self.kernel.taps()).enumerate() {
            // Beyond the last channel, the last once more: nobody asks for it.
            let slopes: [&[S::f32s]; OUTPUTS] = std::array::from_fn(|output| {
                let channel = (block * OUTPUTS + output).min(to - 1);
                S::as_simd_f32s(&slopes.values[slopes.plane(z) + channel * slopes.channel..][..n]).0
            });
            for from_z in z.saturating_sub(reach)..(z + reach + 1).min(self.sides.z) {
                let dz = from_z + reach - z;
                for row in 0..from * side {
                    let (channel, dy) = (row / side, row % side);
                    let values =
                        window.plane(from_z) + channel * window.channel + dy * window.stride;
                    let values = &window.values[values..][..n + side - 1];
                    let sums = &mut sums[(dz * from * side + row) * side..][..side];
                    for (at, sums) in sums.chunks_mut(TAPS).enumerate() {
                        let values = &values[at * TAPS..];
                        match sums.first_chunk_mut::<TAPS>() {
                            Some(sums) => add_products(simd, &slopes, values, sums),
                            None => {
                                for (dx, sum) in sums.iter_mut().enumerate() {
                                    let sum = std::array::from_mut(sum);
                                    add_products(simd, &slopes, &values[dx..], sum);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The sums over the values of vectors, in the order of the kernel.
    #[inline(always)]
    fn reduced<S: Simd>(&self, simd: S, sums: &[[S::f32s; OUTPUTS]]) -> Vec<f32> {
        let taps = self.kernel.taps();
        let mut out = vec![0.0; self.kernel.weights.len()];
        for (block, sums) in sums.chunks_exact(taps).enumerate() {
            for (tap, sums) in self.kernel.taps_by_plane().zip(sums) {
                for (output, &sum) in sums.iter().enumerate() {
                    if let Some(out) = out.get_mut((block * OUTPUTS + output) * taps + tap) {
                        *out = simd.reduce_sum_f32s(sum);
                    }
                }
            }
        }
        out
    }
}

/// Adds the products of slopes and of the values `0..T` further on.
#[inline(always)]
fn add_products<S: Simd, const T: usize>(
    simd: S,
    slopes: &[&[S::f32s]; OUTPUTS],
    values: &[f32],
    sums: &mut [[S::f32s; OUTPUTS]; T],
) {
    let n = slopes[0].len();
    let slopes = slopes.map(|slopes| &slopes[..n]);
    let values: [&[S::f32s]; T] =
        std::array::from_fn(|dx| &S::as_simd_f32s(&values[dx..][..n * S::F32_LANES]).0[..n]);
    let mut here = *sums;
    for at in 0..n {
        // Values stay in registers, slopes come one by one: there are 16 registers.
        let values = values.map(|values| values[at]);
        for (output, slopes) in slopes.iter().enumerate() {
            let slope = slopes[at];
            for (sums, &value) in here.iter_mut().zip(&values) {
                sums[output] = simd.mul_add_e_f32s(slope, value, sums[output]);
            }
        }
    }
    *sums = here;
}
