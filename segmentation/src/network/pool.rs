//! Coarser grids and back, inside the network: the largest of each block of voxels, and each voxel again for all of its block.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::conv3d::{values, with_values};

/// Takes the largest value of each block of `factors` voxels (z, y, x) of an image `[n, z, channel, y, x]`; blocks
/// at the far borders may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool {
    pub(crate) factors: [usize; 3],
}

/// Gives every voxel of a grid of `sides` (z, y, x) the value of its block of `factors` voxels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enlarge {
    pub(crate) factors: [usize; 3],
    pub(crate) sides: [usize; 3],
}

/// A fine grid in blocks, and the grid of its blocks.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    n: usize,
    channels: usize,
    fine: [usize; 3],
    coarse: [usize; 3],
    factors: [usize; 3],
}

impl Blocks {
    fn new(n: usize, channels: usize, fine: [usize; 3], factors: [usize; 3]) -> Self {
        let coarse = [0, 1, 2].map(|axis| fine[axis].div_ceil(factors[axis]));
        Self { n, channels, fine, coarse, factors }
    }

    fn of_fine(shape: &Shape, factors: [usize; 3]) -> candle_core::Result<Self> {
        let (n, z, channels, y, x) = shape.dims5()?;
        Ok(Self::new(n, channels, [z, y, x], factors))
    }

    fn shape(&self, [z, y, x]: [usize; 3]) -> Shape {
        Shape::from((self.n, z, self.channels, y, x))
    }

    /// Where row `y` of channel `channel` of plane `z` of sample `n` of a grid begins.
    fn row(&self, sides: [usize; 3], n: usize, z: usize, channel: usize, y: usize) -> usize {
        (((n * sides[0] + z) * self.channels + channel) * sides[1] + y) * sides[2]
    }

    /// Calls `work` for each coarse row, in parallel, with the beginnings of the fine rows of its blocks.
    fn for_coarse_rows(&self, out: &mut [f32], work: impl Fn(&mut [f32], &[usize]) + Sync) {
        let [n_z, n_y, n_x] = self.coarse;
        let planes = out.par_chunks_mut(self.channels * n_y * n_x).enumerate();
        planes.for_each_init(Vec::new, |rows, (plane, out)| {
            let (n, z) = (plane / n_z, plane % n_z * self.factors[0]);
            for (row, out) in out.chunks_exact_mut(n_x).enumerate() {
                let (channel, y) = (row / n_y, row % n_y * self.factors[1]);
                rows.clear();
                for z in z..(z + self.factors[0]).min(self.fine[0]) {
                    let y = y..(y + self.factors[1]).min(self.fine[1]);
                    rows.extend(y.map(|y| self.row(self.fine, n, z, channel, y)));
                }
                work(out, rows);
            }
        });
    }

    fn largest(&self, image: &[f32]) -> Vec<f32> {
        self.folded(image, f32::NEG_INFINITY, f32::max)
    }

    fn sums(&self, image: &[f32]) -> Vec<f32> {
        self.folded(image, 0.0, |sum, value| sum + value)
    }

    /// Each block's values, one after another put together with what came before.
    fn folded(&self, image: &[f32], first: f32, fold: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
        let mut out = vec![first; self.shape(self.coarse).elem_count()];
        self.for_coarse_rows(&mut out, |out, rows| {
            for &row in rows {
                let row = &image[row..][..self.fine[2]];
                for (out, block) in out.iter_mut().zip(row.chunks(self.factors[2])) {
                    *out = block.iter().copied().fold(*out, &fold);
                }
            }
        });
        out
    }

    fn enlarged(&self, coarse: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.shape(self.fine).elem_count()];
        let [n_z, n_y, n_x] = self.fine;
        out.par_chunks_mut(self.channels * n_y * n_x).enumerate().for_each(|(plane, out)| {
            let (n, z) = (plane / n_z, plane % n_z / self.factors[0]);
            for (row, out) in out.chunks_exact_mut(n_x).enumerate() {
                let row = self.row(self.coarse, n, z, row / n_y, row % n_y / self.factors[1]);
                let row = &coarse[row..][..self.coarse[2]];
                out.chunks_mut(self.factors[2]).zip(row).for_each(|(out, &value)| out.fill(value));
            }
        });
        out
    }

    /// Where blocks have their largest value, the first of equals, that of `gradient`; 0 elsewhere.
    fn at_largest(&self, image: &[f32], gradient: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; image.len()];
        let [c_z, c_y, c_x] = self.coarse;
        // A slab of fine planes per coarse plane; the last of a sample may be cut, so samples come one by one.
        let plane = self.channels * self.fine[1] * self.fine[2];
        for n in 0..self.n {
            let from = n * self.fine[0] * plane;
            let slabs = out[from..][..self.fine[0] * plane].par_chunks_mut(self.factors[0] * plane);
            slabs.enumerate().for_each(|(z, slab)| {
                let base = from + z * self.factors[0] * plane;
                let image = &image[base..][..slab.len()];
                for channel in 0..self.channels {
                    for y in 0..c_y {
                        for x in 0..c_x {
                            let coarse = [z, y, x];
                            let at = self.place_of_largest(image, channel, [y, x]);
                            slab[at] =
                                gradient[self.row([c_z, c_y, c_x], n, coarse[0], channel, y) + x];
                        }
                    }
                }
            });
        }
        out
    }

    /// The place in a slab of fine planes of the largest value of a block.
    fn place_of_largest(&self, slab: &[f32], channel: usize, [y, x]: [usize; 2]) -> usize {
        let [_, n_y, n_x] = self.fine;
        let plane = self.channels * n_y * n_x;
        let (mut best, mut at) = (f32::NEG_INFINITY, 0);
        for z in 0..slab.len() / plane {
            for y in y * self.factors[1]..((y + 1) * self.factors[1]).min(n_y) {
                let row = z * plane + (channel * n_y + y) * n_x;
                for x in x * self.factors[2]..((x + 1) * self.factors[2]).min(n_x) {
                    if slab[row + x] > best {
                        (best, at) = (slab[row + x], row + x);
                    }
                }
            }
        }
        at
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(
        &self,
        image: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let blocks = Blocks::of_fine(layout.shape(), self.factors)?;
        let out = blocks.largest(values(image, layout)?);
        Ok((CpuStorage::F32(out), blocks.shape(blocks.coarse)))
    }

    fn bwd(
        &self,
        image: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let blocks = Blocks::of_fine(image.shape(), self.factors)?;
        let out = with_values(image, |image| {
            with_values(gradient, |gradient| blocks.at_largest(image, gradient))
        })??;
        Ok(Some(Tensor::from_vec(out, image.shape(), image.device())?))
    }
}

impl Enlarge {
    fn blocks(&self, coarse: &Shape) -> candle_core::Result<Blocks> {
        let (n, z, channels, y, x) = coarse.dims5()?;
        let blocks = Blocks::new(n, channels, self.sides, self.factors);
        if blocks.coarse != [z, y, x] {
            candle_core::bail!(
                "{coarse:?} does not fit {:?} in blocks of {:?}",
                self.sides,
                self.factors
            );
        }
        Ok(blocks)
    }
}

impl CustomOp1 for Enlarge {
    fn name(&self) -> &'static str {
        "enlarge"
    }

    fn cpu_fwd(
        &self,
        image: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let blocks = self.blocks(layout.shape())?;
        Ok((CpuStorage::F32(blocks.enlarged(values(image, layout)?)), blocks.shape(blocks.fine)))
    }

    fn bwd(
        &self,
        image: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let blocks = self.blocks(image.shape())?;
        let out = with_values(gradient, |gradient| blocks.sums(gradient))?;
        Ok(Some(Tensor::from_vec(out, image.shape(), image.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, derivatives, numbers, reference, variable};
    use super::*;

    /// No arithmetic but sums of up to eight numbers near 1.
    const SINGLE: f32 = 1e-5;

    #[test]
    fn the_largest_of_blocks_and_its_derivative_are_those_of_pytorch() {
        for case in reference().poolings {
            let image = variable(&case.image, (2, 3, 2, 5, 4));
            let result = image.apply_op1(MaxPool { factors: case.factors }).unwrap();
            assert_eq!(result.dims(), [2, 3_usize.div_ceil(case.factors[0]), 2, 3, 2]);
            assert_close(&numbers(&result), &case.result, 0.0);
            let slopes = derivatives(&result, &case.gradient, &[&image]);
            assert_close(&slopes[0], &case.to_image, 0.0);
        }
    }

    #[test]
    fn larger_grids_and_their_derivative_are_those_of_pytorch() {
        for case in reference().enlargings {
            let factors = case.factors;
            let image = variable(&case.image, (2, 2, 2, 3, 2));
            let sides = [2 * factors[0], 3 * factors[1], 2 * factors[2]];
            let result = image.apply_op1(Enlarge { factors, sides }).unwrap();
            assert_close(&numbers(&result), &case.result, 0.0);
            let slopes = derivatives(&result, &case.gradient, &[&image]);
            assert_close(&slopes[0], &case.to_image, SINGLE);
        }
    }

    #[test]
    fn cut_blocks_come_back_cut() {
        let image = variable(&(0..30).map(|n| n as f32).collect::<Vec<_>>(), (1, 3, 1, 2, 5));
        let small = image.apply_op1(MaxPool { factors: [2, 2, 2] }).unwrap();
        assert_eq!(numbers(&small), [16.0, 18.0, 19.0, 26.0, 28.0, 29.0]);
        let back = small.apply_op1(Enlarge { factors: [2, 2, 2], sides: [3, 2, 5] }).unwrap();
        let row = [16.0, 16.0, 18.0, 18.0, 19.0];
        assert_eq!(numbers(&back)[..5], row);
        assert_eq!(numbers(&back)[20..25], row.map(|value| value + 10.0));
        assert!(small.apply_op1(Enlarge { factors: [2, 2, 2], sides: [5, 2, 5] }).is_err());
    }
}
