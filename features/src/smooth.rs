//! Gaussian smoothing of one cell's mask.

use crate::cell::CellMask;

/// Kernels end at this many standard deviations.
const REACH: f64 = 3.0;

/// The cell's mask (1 inside, 0 outside) after a Gaussian of standard deviation `sigma_um`, on
/// the grid of the cell's box; outside the box lies nothing.
pub(crate) fn smoothed(cell: &CellMask, sigma_um: f64) -> Vec<f32> {
    let [n_z, n_y, n_x] = cell.shape();
    let kernels = cell.voxel_size().um().map(|side| half_kernel(sigma_um / side));
    let mask: Vec<f32> = cell.inside().iter().map(|&inside| f32::from(inside)).collect();
    let mut along_x = vec![0.0; mask.len()];
    let reach = kernels[2].len() - 1;
    let mut padded = vec![0.0; n_x + 2 * reach];
    for (line, out) in mask.chunks_exact(n_x).zip(along_x.chunks_exact_mut(n_x)) {
        if line.iter().all(|value| *value == 0.0) {
            continue;
        }
        padded[reach..reach + n_x].copy_from_slice(line);
        for (offset, weight) in taps(&kernels[2]) {
            let from = (reach as isize + offset) as usize;
            add_scaled(out, &padded[from..from + n_x], weight);
        }
    }
    // Along y, then along z: whole lines, or whole planes, are added to one another.
    let mut along_y = mask;
    for (input, out) in along_x.chunks_exact(n_y * n_x).zip(along_y.chunks_exact_mut(n_y * n_x)) {
        blend_blocks(input, out, n_x, &kernels[1]);
    }
    let mut along_z = along_x;
    blend_blocks(&along_y, &mut along_z, n_y * n_x, &kernels[0]);
    debug_assert_eq!(along_z.len(), n_z * n_y * n_x);
    along_z
}

/// The weights at 0, 1, 2, … voxels from the middle; with their mirror image they sum to 1.
fn half_kernel(sigma_voxels: f64) -> Vec<f32> {
    let reach = (REACH * sigma_voxels).ceil() as usize;
    let weights: Vec<f64> =
        (0..=reach).map(|at| (-0.5 * (at as f64 / sigma_voxels).powi(2)).exp()).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

fn taps(half_kernel: &[f32]) -> impl Iterator<Item = (isize, f32)> {
    let reach = half_kernel.len() as isize - 1;
    (-reach..=reach).map(|offset| (offset, half_kernel[offset.unsigned_abs()]))
}

/// Each block of `len` values becomes the weighted sum of the blocks around it.
fn blend_blocks(input: &[f32], out: &mut [f32], len: usize, half_kernel: &[f32]) {
    let n_blocks = (input.len() / len) as isize;
    for (block, out) in out.chunks_exact_mut(len).enumerate() {
        out.fill(0.0);
        for (offset, weight) in taps(half_kernel) {
            let from = block as isize + offset;
            if (0..n_blocks).contains(&from) {
                add_scaled(out, &input[from as usize * len..][..len], weight);
            }
        }
    }
}

fn add_scaled(out: &mut [f32], values: &[f32], weight: f32) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += weight * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::{only_cell, solid};

    #[test]
    fn a_voxel_becomes_the_product_of_three_gaussians() {
        let labels = solid([1, 1, 1], [2.0, 1.0, 0.5], |_| true);
        let cell = only_cell(&labels, [4, 5, 8]);
        let smooth = smoothed(&cell, 1.0);
        let kernels = [0.5, 1.0, 2.0].map(half_kernel);
        for (index, value) in smooth.iter().enumerate() {
            let wanted: f32 = cell
                .position(index)
                .into_iter()
                .zip([4_usize, 5, 8])
                .zip(&kernels)
                .map(|((at, middle), kernel)| kernel.get(at.abs_diff(middle)).unwrap_or(&0.0))
                .product();
            assert!((value - wanted).abs() < 1e-7, "{index}: {value} {wanted}");
        }
    }
}
