//! Coarser grids and the way back.

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::Result;

/// How many voxels along each axis make one of at most `length_um`, but for rounding.
pub(crate) fn factors_up_to<T>(volume: &Volume<T>, length_um: f64) -> [usize; 3] {
    const ROUNDING: f64 = 1.01;
    let (um, shape) = (volume.voxel_size().um(), volume.shape());
    [0, 1, 2].map(|axis| ((length_um / um[axis] * ROUNDING) as usize).clamp(1, shape[axis]))
}

/// The mean of each block of `factors` voxels (z, y, x); blocks at the far borders may be cut.
pub(crate) fn shrink<T: Copy + Sync>(
    volume: &Volume<T>,
    factors: [usize; 3],
    of: impl Fn(T) -> f32 + Sync,
) -> Result<Volume<f32>> {
    let shape = volume.shape();
    let small = [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]));
    let um = volume.voxel_size().um();
    let size = VoxelSize::from_um([0, 1, 2].map(|axis| um[axis] * factors[axis] as f64))?;
    let voxels = volume.as_slice();
    let mut out = vec![0.0; small.iter().product()];
    out.par_chunks_mut(small[2]).enumerate().for_each(|(row, out)| {
        let (z, y) = (row / small[1] * factors[0], row % small[1] * factors[1]);
        let (z_end, y_end) = ((z + factors[0]).min(shape[0]), (y + factors[1]).min(shape[1]));
        for z in z..z_end {
            for y in y..y_end {
                let row = &voxels[(z * shape[1] + y) * shape[2]..][..shape[2]];
                for (out, block) in out.iter_mut().zip(row.chunks(factors[2])) {
                    *out += block.iter().map(|&value| of(value)).sum::<f32>() / block.len() as f32;
                }
            }
        }
        let n_rows = ((z_end - z) * (y_end - y)) as f32;
        for out in out {
            *out /= n_rows;
        }
    });
    let small = Array3::from_shape_vec(small, out)
        .map_err(|_| primordia_data::DataError::EmptyVolume { shape: small })?;
    Ok(Volume::new(small, size)?)
}

/// Where a voxel of the full image lies between the `n` blocks of `factor` voxels along an axis: the first, the
/// second, and the share of the second.
pub(crate) fn between(at: usize, factor: usize, n: usize) -> (usize, usize, f32) {
    let last = n - 1;
    let at = ((at as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, last as f32);
    let low = at as usize;
    (low, (low + 1).min(last), at - low as f32)
}

/// Reads a shrunken image at the centres of the full image's voxels: linear between the centres of the blocks, in rows.
pub(crate) struct Enlarged<'a> {
    small: &'a Volume<f32>,
    factors: [usize; 3],
}

impl<'a> Enlarged<'a> {
    pub(crate) fn new(small: &'a Volume<f32>, factors: [usize; 3]) -> Self {
        Self { small, factors }
    }

    fn between(&self, axis: usize, at: usize) -> (usize, usize, f32) {
        between(at, self.factors[axis], self.small.shape()[axis])
    }

    /// Fills `out` with the row at `z` and `y` of the full image.
    pub(crate) fn row(&self, z: usize, y: usize, out: &mut [f32]) {
        let [_, n_y, n_x] = self.small.shape();
        let voxels = self.small.as_slice();
        let ((z0, z1, dz), (y0, y1, dy)) = (self.between(0, z), self.between(1, y));
        let column = |x: usize| {
            let value = |z: usize, y: usize| voxels[(z * n_y + y) * n_x + x];
            let (near, far) = (value(z0, y0), value(z1, y0));
            let (near_1, far_1) = (value(z0, y1), value(z1, y1));
            let (a, b) = (near + dz * (far - near), near_1 + dz * (far_1 - near_1));
            a + dy * (b - a)
        };
        let columns: Vec<f32> = (0..n_x).map(column).collect();
        for (x, out) in out.iter_mut().enumerate() {
            let (x0, x1, dx) = self.between(2, x);
            *out = columns[x0] + dx * (columns[x1] - columns[x0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sized_volume, volume};

    #[test]
    fn blocks_become_their_mean() {
        let image = sized_volume([1, 2, 5], (0..10).map(|n| n as f32).collect(), [2.0, 0.5, 0.25]);
        let small = shrink(&image, [1, 2, 2], |value| value).unwrap();
        assert_eq!(small.as_slice(), [3.0, 5.0, 6.5]);
        assert_eq!(small.voxel_size().um(), [2.0, 1.0, 0.5]);
    }

    #[test]
    fn a_ramp_comes_back() {
        let image =
            volume([4, 6, 8], (0..192).map(|n| (n % 8 + n / 8 % 6 + n / 48) as f32).collect());
        let small = shrink(&image, [1, 2, 2], |value| value).unwrap();
        let mut row = [0.0; 8];
        Enlarged::new(&small, [1, 2, 2]).row(2, 3, &mut row);
        let wanted: Vec<f32> = (0..8).map(|x| 5.0 + (x as f32).clamp(0.5, 6.5)).collect();
        assert_eq!(row.to_vec(), wanted);
    }
}
