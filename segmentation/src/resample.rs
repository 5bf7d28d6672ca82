//! Coarser grids and the way back.

use ndarray::{Array3, s};
use primordia_data::{DataError, Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::Block;
use crate::error::Result;

/// How many voxels along each axis make one of at most `length_um`, but for rounding.
pub(crate) fn factors_up_to<T>(volume: &Volume<T>, length_um: f64) -> [usize; 3] {
    factors_on((volume.shape(), volume.voxel_size()), length_um)
}

/// [`factors_up_to`] of a grid.
pub(crate) fn factors_on(
    (shape, voxel_size): ([usize; 3], VoxelSize),
    length_um: f64,
) -> [usize; 3] {
    const ROUNDING: f64 = 1.01;
    let um = voxel_size.um();
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
    let size = coarse_size(volume.voxel_size(), factors)?;
    let voxels = volume.as_slice();
    let mean = |block: &[T]| block.iter().map(|&value| of(value)).sum::<f32>() / block.len() as f32;
    let mut out = vec![0.0; small.iter().product()];
    out.par_chunks_mut(small[2]).enumerate().for_each(|(row, out)| {
        let (z, y) = (row / small[1] * factors[0], row % small[1] * factors[1]);
        let (z_end, y_end) = ((z + factors[0]).min(shape[0]), (y + factors[1]).min(shape[1]));
        let mut rows = (z..z_end).flat_map(|z| (y..y_end).map(move |y| (z, y))).map(|(z, y)| {
            let row = &voxels[(z * shape[1] + y) * shape[2]..][..shape[2]];
            row.chunks(factors[2]).map(mean)
        });
        // Memory that is read before it is written is given twice by the system.
        if let Some(first) = rows.next() {
            out.iter_mut().zip(first).for_each(|(out, mean)| *out = mean);
        }
        for row in rows {
            out.iter_mut().zip(row).for_each(|(out, mean)| *out += mean);
        }
        let n_rows = ((z_end - z) * (y_end - y)) as f32;
        for out in out {
            *out /= n_rows;
        }
    });
    let out =
        Array3::from_shape_vec(small, out).map_err(|_| DataError::EmptyVolume { shape: small })?;
    Ok(Volume::new(out, size)?)
}

/// Some voxels of what [`shrink`] makes of an image.
pub(crate) fn shrink_block<T: Copy + Sync>(
    volume: &Volume<T>,
    factors: [usize; 3],
    block: &Block,
    of: impl Fn(T) -> f32 + Sync,
) -> Result<Array3<f32>> {
    let [z, y, x] = enlarged(block, factors, volume.shape());
    let part = volume.voxels().slice(s![z, y, x]).to_owned();
    Ok(shrink(&Volume::new(part, volume.voxel_size())?, factors, of)?.into_voxels())
}

/// The voxels of an image of some shape from which a block of merged voxels came.
pub(crate) fn enlarged(block: &Block, factors: [usize; 3], shape: [usize; 3]) -> Block {
    [0, 1, 2].map(|axis| {
        block[axis].start * factors[axis]..(block[axis].end * factors[axis]).min(shape[axis])
    })
}

/// Puts a part of an image in its place, its first voxel at `from`.
pub(crate) fn put<T: Clone>(whole: &mut Volume<T>, from: [usize; 3], part: &Volume<T>) {
    let [z, y, x] = [0, 1, 2].map(|axis| from[axis]..from[axis] + part.shape()[axis]);
    whole.voxels_mut().slice_mut(s![z, y, x]).assign(part.voxels());
}

/// The size of blocks of `factors` voxels.
pub(crate) fn coarse_size(voxel_size: VoxelSize, factors: [usize; 3]) -> Result<VoxelSize> {
    let um = voxel_size.um();
    Ok(VoxelSize::from_um([0, 1, 2].map(|axis| um[axis] * factors[axis] as f64))?)
}

/// In which block of `factors` voxels a voxel is.
pub(crate) fn over(at: [usize; 3], factors: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|axis| at[axis] / factors[axis])
}

/// Where a voxel of the full image lies between the `n` blocks of `factor` voxels along an axis: the first, the
/// second, and the share of the second.
pub(crate) fn between(at: usize, factor: usize, n: usize) -> (usize, usize, f32) {
    let last = n - 1;
    let at = ((at as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, last as f32);
    let low = at as usize;
    (low, (low + 1).min(last), at - low as f32)
}

/// Divides the voxels of a part of an image by what is usual; the part begins at voxel `from` (z, y, x) of the whole.
pub(crate) fn divide<T: Copy + Send>(
    image: &mut Volume<T>,
    from: [usize; 3],
    usual: &Enlarged<'_>,
    by: impl Fn(T, f32) -> T + Sync,
) {
    let [_, n_y, n_x] = image.shape();
    if let Some(voxels) = image.voxels_mut().as_slice_mut() {
        voxels.par_chunks_mut(n_x).enumerate().for_each_init(
            || vec![0.0; n_x],
            |usual_row, (row, voxels)| {
                usual.row(from[0] + row / n_y, from[1] + row % n_y, from[2], usual_row);
                voxels
                    .iter_mut()
                    .zip(usual_row)
                    .for_each(|(value, usual)| *value = by(*value, *usual));
            },
        );
    }
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

    /// Fills `out` with the row at `z` and `y` of the full image, from `first_x` on.
    pub(crate) fn row(&self, z: usize, y: usize, first_x: usize, out: &mut [f32]) {
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
        for (x, out) in (first_x..).zip(out) {
            let (x0, x1, dx) = self.between(2, x);
            *out = columns[x0] + dx * (columns[x1] - columns[x0]);
        }
    }
}

/// The labels in the middle of the blocks of voxels that became one in `small`.
pub(crate) fn middles<T>(
    labels: &Volume<u32>,
    small: &Volume<T>,
    factors: [usize; 3],
) -> Volume<u32> {
    let mut middles = small.map(|_| 0);
    for ((z, y, x), label) in middles.voxels_mut().indexed_iter_mut() {
        let middle = |at: usize, axis: usize| {
            (at * factors[axis] + factors[axis] / 2).min(labels.shape()[axis] - 1)
        };
        *label = labels.voxels()[[middle(z, 0), middle(y, 1), middle(x, 2)]];
    }
    middles
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
        Enlarged::new(&small, [1, 2, 2]).row(2, 3, 0, &mut row);
        let wanted: Vec<f32> = (0..8).map(|x| 5.0 + (x as f32).clamp(0.5, 6.5)).collect();
        assert_eq!(row.to_vec(), wanted);
    }
}
