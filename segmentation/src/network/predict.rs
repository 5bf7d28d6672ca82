//! The network on a whole image: tile by tile, in bounded memory.

use candle_core::{Device, Tensor};
use ndarray::Array3;
use primordia_data::VoxelSize;

use super::conv3d::with_values;
use super::training::probability;
use super::unet::{INPUTS, Steps, UNet, conditions};
use crate::block::Block;
use crate::error::Result;

/// How an image is cut.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    /// Voxels of a tile along z, y and x, without what is added around it.
    inner: [usize; 3],
    /// Voxels that are added on each side: most of what an answer depends on. Tiles are blended over them.
    around: [usize; 3],
}

/// A tile takes some 200 MB while it is computed, one after another: the planes of one keep all cores busy.
const TILES: Tiles = Tiles { inner: [32, 96, 96], around: [8, 12, 12] };

/// Adds up the probability of a boundary at each voxel of an image of some shape, tile by tile: `read` gives blocks of the standardised image, `add` takes what a
/// block adds; answers of overlapping blocks add up to probabilities. Always in the same order.
pub(crate) fn probabilities(
    net: &UNet,
    (shape, voxel_size): ([usize; 3], VoxelSize),
    read: impl Fn(&Block) -> Result<Array3<f32>>,
    add: impl FnMut(&Block, Array3<f32>) -> Result<()>,
) -> Result<()> {
    in_tiles(net, (shape, voxel_size), TILES, read, add)
}

fn in_tiles(
    net: &UNet,
    (shape, voxel_size): ([usize; 3], VoxelSize),
    cut: Tiles,
    read: impl Fn(&Block) -> Result<Array3<f32>>,
    mut add: impl FnMut(&Block, Array3<f32>) -> Result<()>,
) -> Result<()> {
    let steps = Steps::new(voxel_size);
    let [zs, ys, xs] = [0, 1, 2]
        .map(|axis| spans(shape[axis], cut.inner[axis], cut.around[axis], steps.whole()[axis]));
    for z in &zs {
        for y in &ys {
            for x in &xs {
                let tile = [*z, *y, *x];
                let block = tile.map(|span| span.from..span.to);
                add(&block, answer(net, read(&block)?, voxel_size, &tile, steps)?)?;
            }
        }
    }
    Ok(())
}

/// A piece of an axis, with what is added around it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: usize,
    to: usize,
    /// Over how many voxels it shares with the piece before and after it.
    shared: [usize; 2],
}

impl Span {
    /// What the answer at `at`, counted from `from`, counts: pieces that share a voxel count 1 together. The outer
    /// third of what they share, which the edge disturbs, counts nothing for a piece.
    fn weight(&self, at: usize) -> f32 {
        let ramp = |from_edge: usize, shared: usize| {
            if shared == 0 {
                return 1.0;
            }
            let share = (from_edge as f32 + 0.5) / shared as f32;
            (3.0 * share - 1.0).clamp(0.0, 1.0)
        };
        let last = self.to - self.from - 1;
        ramp(at, self.shared[0]) * ramp(last - at, self.shared[1])
    }
}

/// Cuts an axis of `n` voxels into pieces of about `tile` voxels that share `2 * around` with each neighbour.
/// They begin at whole multiples of `step`, so that every voxel lies in the same block of the coarser grids.
fn spans(n: usize, tile: usize, around: usize, step: usize) -> Vec<Span> {
    if n <= tile + 2 * around {
        return vec![Span { from: 0, to: n, shared: [0, 0] }];
    }
    let around = around.next_multiple_of(step);
    let n_tiles = n.div_ceil(tile.max(3 * around));
    let edge = |tile: usize| (tile * n / n_tiles).next_multiple_of(step).min(n);
    (0..n_tiles)
        .map(|tile| {
            let is_last = tile + 1 == n_tiles;
            Span {
                from: if tile == 0 { 0 } else { edge(tile) - around },
                to: if is_last { n } else { (edge(tile + 1) + around).min(n) },
                shared: [
                    if tile == 0 { 0 } else { shared(edge(tile), around, n) },
                    if is_last { 0 } else { shared(edge(tile + 1), around, n) },
                ],
            }
        })
        .collect()
}

/// How many voxels the two pieces on both sides of `edge` share.
fn shared(edge: usize, around: usize, n: usize) -> usize {
    (edge + around).min(n) - (edge - around)
}

/// The answer in a tile, weighted.
fn answer(
    net: &UNet,
    part: Array3<f32>,
    voxel_size: VoxelSize,
    tile: &[Span; 3],
    steps: Steps,
) -> Result<Array3<f32>> {
    let shape = tile.map(|span| span.to - span.from);
    let input = input(part.outer_iter().map(|plane| plane.iter().copied().collect()), voxel_size);
    drop(part);
    let input = Tensor::from_vec(input, (1, shape[0], INPUTS, shape[1], shape[2]), &Device::Cpu)?;
    let logits = net.logits(&input, steps)?;
    let values = with_values(&logits, <[f32]>::to_vec)?;
    let mut answer = Array3::zeros(shape);
    let [weight_z, weight_y, weight_x] =
        tile.map(|span| (0..span.to - span.from).map(|at| span.weight(at)).collect::<Vec<f32>>());
    for (((z, y, x), answer), logit) in answer.indexed_iter_mut().zip(values) {
        *answer = weight_z[z] * weight_y[y] * weight_x[x] * probability(logit);
    }
    Ok(answer)
}

/// The input of the network: the planes of an image, each followed by what tells how large voxels are.
pub(crate) fn input(planes: impl Iterator<Item = Vec<f32>>, voxel_size: VoxelSize) -> Vec<f32> {
    let conditions = conditions(voxel_size);
    let mut input = Vec::new();
    for plane in planes {
        let n = plane.len();
        input.extend(plane);
        conditions.iter().for_each(|&value| input.extend(std::iter::repeat_n(value, n)));
    }
    input
}

#[cfg(test)]
mod tests {
    use ndarray::s;
    use primordia_data::Volume;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::testing::{on_threads, sized_volume};

    /// Sums in single precision over blocks of other sizes.
    const SINGLE: f32 = 1e-5;

    fn noise(shape: [usize; 3]) -> Volume<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let voxels = (0..shape.iter().product()).map(|_| rng.random_range(-2.0..2.0)).collect();
        sized_volume(shape, voxels, [0.8, 0.4, 0.4])
    }

    /// Tile by tile, added up.
    fn in_tiles(net: &UNet, image: &Volume<f32>, cut: Tiles) -> Result<Volume<f32>> {
        let mut sum = image.map(|_| 0.0);
        let part = |[z, y, x]: &Block| image.voxels().slice(s![z.clone(), y.clone(), x.clone()]);
        super::in_tiles(
            net,
            (image.shape(), image.voxel_size()),
            cut,
            |block| Ok(part(block).to_owned()),
            |[z, y, x], answer| {
                let mut sum = sum.voxels_mut();
                let mut sum = sum.slice_mut(s![z.clone(), y.clone(), x.clone()]);
                sum += &answer;
                Ok(())
            },
        )?;
        Ok(sum)
    }

    fn net() -> UNet {
        UNet::random(&mut ChaCha8Rng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn tiles_that_hold_all_that_an_answer_depends_on_give_the_answer_of_the_whole() {
        let image = noise([6, 110, 130]);
        let whole =
            in_tiles(&net(), &image, Tiles { inner: [64, 256, 256], around: [0; 3] }).unwrap();
        let tiles = in_tiles(&net(), &image, Tiles { inner: [64, 32, 32], around: [8, 40, 40] });
        for (tile, whole) in tiles.unwrap().as_slice().iter().zip(whole.as_slice()) {
            assert!((tile - whole).abs() < SINGLE, "{tile} {whole}");
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let image = noise([12, 50, 60]);
        let cut = Tiles { inner: [6, 20, 20], around: [2, 4, 4] };
        let on = |threads| on_threads(threads, || in_tiles(&net(), &image, cut).unwrap());
        assert_eq!(on(1), on(4));
    }

    proptest! {
        #[test]
        fn pieces_cover_an_axis_with_a_weight_of_one(
            n in 1..400_usize, tile in 8..60_usize, around in 0..20_usize, step in prop_oneof![Just(1_usize), Just(2), Just(4)],
        ) {
            let mut weights = vec![0.0_f32; n];
            for span in spans(n, tile, around, step) {
                prop_assert_eq!(span.from % step, 0);
                (span.from..span.to).for_each(|at| weights[at] += span.weight(at - span.from));
            }
            prop_assert!(weights.iter().all(|weight| (weight - 1.0).abs() < SINGLE), "{:?}", weights);
        }
    }
}
