//! How bright an image is but for what shines: lumps of debris, saturated spots, broken pixels.
//!
//! A lump many times as bright as membranes says nothing of them, yet what is usual, how wide sheets are and what stands out are
//! means in which it outweighs all else. So whatever is far brighter than membranes counts as less bright. How bright they are
//! tells what is thin: how far each place is above the brightest box around it that no membrane fills, the white top-hat
//! (Meyer 1979, doi:10.1177/27.1.438499), of which a lump has none but its corners.

use ndarray::s;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::{Block, whole};
use crate::error::Result;
use crate::resample::{factors_on, shrink};

/// The box is larger than sheets are wide, but smaller than lumps of which there is much.
const BOX_UM: f64 = 3.5;
/// It is sought among blocks of voxels of up to this size.
const BLOCK_UM: f64 = 0.25 * BOX_UM;
/// At least this share of an image is no lump.
const AROUND: f64 = 0.9;
/// What is thin is so many times as far above its surroundings as half of all places, where there is but noise.
const ABOVE_NOISE: f32 = 5.0;
/// The ceiling is so many times as far above surroundings as sheets: higher than the junctions of membranes that are nearest to the
/// objective.
const HEADROOM: f32 = 3.0;
/// Nearly all blocks are no brighter than this share of them,
const BRIGHT: f64 = 0.995;
/// and those that are count at most as so many times as far above the median.
const MOST: f32 = 3.0;
/// Values are counted by their upper bits, which are right to a hundredth.
const BITS: u32 = 16;

/// What counts as the largest value of an image; infinite where nearly all of it is the same.
pub(crate) fn ceiling<T: Copy + Into<f32> + Sync>(image: &Volume<T>) -> Result<f32> {
    let blocks = blocks(image)?;
    let mut all = Histogram::new();
    all.add(blocks.as_slice());
    let mut thin = Thin::new(&all);
    thin.add(&blocks, &whole(blocks.shape()));
    Ok(thin.ceiling())
}

/// How many voxels make a block.
pub(crate) fn block_factors(grid: ([usize; 3], VoxelSize)) -> [usize; 3] {
    factors_on(grid, BLOCK_UM)
}

/// The means of blocks of an image.
pub(crate) fn blocks<T: Copy + Into<f32> + Sync>(image: &Volume<T>) -> Result<Volume<f32>> {
    shrink(image, block_factors((image.shape(), image.voxel_size())), Into::into)
}

/// How many blocks of some size away the furthest are that count for one.
pub(crate) fn thin_reach(block_size: VoxelSize) -> [usize; 3] {
    box_radius(block_size).map(|radius| 2 * radius)
}

/// A box reaches so many blocks to each side.
fn box_radius(block_size: VoxelSize) -> [usize; 3] {
    block_size.um().map(|um| ((BOX_UM / um - 1.0) / 2.0).ceil().max(1.0) as usize)
}

/// Counts how far blocks are above their surroundings, in any number of parts in any order.
pub(crate) struct Thin {
    most: f32,
    /// What counts as the largest value where nothing is thin.
    or_else: f32,
    around: Histogram,
    above: Histogram,
}

impl Thin {
    /// Of an image whose blocks were counted.
    pub(crate) fn new(blocks: &Histogram) -> Self {
        let (median, bright) = (blocks.quantile(0.5), blocks.quantile(BRIGHT));
        let above_median = |times: f32| {
            if bright > median { median + times * (bright - median) } else { f32::INFINITY }
        };
        Self {
            most: above_median(MOST),
            or_else: above_median(2.0 * MOST),
            around: Histogram::new(),
            above: Histogram::new(),
        }
    }

    /// Adds those in `core` of a part of the image, which reaches [`thin_reach`] further.
    pub(crate) fn add(&mut self, blocks: &Volume<f32>, core: &Block) {
        let blocks = blocks.map(|value| value.min(self.most));
        let around = opening(&blocks, box_radius(blocks.voxel_size()));
        let [z, y, x] = core.clone();
        let of_core = |volume: &Volume<f32>| {
            volume.voxels().slice(s![z.clone(), y.clone(), x.clone()]).iter().copied().collect()
        };
        let (blocks, around): (Vec<f32>, Vec<f32>) = (of_core(&blocks), of_core(&around));
        self.around.add(&around);
        let above = blocks.iter().zip(&around).map(|(block, around)| block - around);
        self.above.add(&above.collect::<Vec<f32>>());
    }

    /// What counts as the largest value of the image; where nothing is thin, it follows from the brightest blocks.
    pub(crate) fn ceiling(&self) -> f32 {
        let noise = ABOVE_NOISE * self.above.quantile(0.5);
        let of_sheets = self.above.middle_of_those_above(noise);
        of_sheets
            .map_or(self.or_else, |of_sheets| self.around.quantile(AROUND) + HEADROOM * of_sheets)
    }
}

/// The brightest box around each voxel that is filled as bright, a box being as bright as its darkest voxel; boxes are cut
/// at the border of the image.
fn opening(volume: &Volume<f32>, radius: [usize; 3]) -> Volume<f32> {
    let mut opened = volume.clone();
    for pick in [f32::min, f32::max] {
        for (axis, &radius) in radius.iter().enumerate() {
            opened = of_neighbours(&opened, axis, radius, pick);
        }
    }
    opened
}

/// For each voxel what is picked of those up to `radius` away along an axis.
fn of_neighbours(
    volume: &Volume<f32>,
    axis: usize,
    radius: usize,
    pick: fn(f32, f32) -> f32,
) -> Volume<f32> {
    let shape = volume.shape();
    let stride: usize = shape[axis + 1..].iter().product();
    let voxels = volume.as_slice();
    let mut out = volume.clone();
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        out.par_chunks_mut(shape[2]).enumerate().for_each(|(row, out)| {
            let first = row * shape[2];
            for (x, out) in out.iter_mut().enumerate() {
                let at = (first + x) / stride % shape[axis];
                let from = first + x - at.min(radius) * stride;
                let n = at.min(radius) + 1 + radius.min(shape[axis] - 1 - at);
                *out = voxels[from..].iter().step_by(stride).take(n).copied().fold(*out, pick);
            }
        });
    }
    out
}

/// Counts values (not NaN), of any number of parts in any order.
#[derive(Clone, Debug)]
pub(crate) struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self(vec![0; 1 << BITS])
    }

    pub(crate) fn add<T: Copy + Into<f32> + Sync>(&mut self, values: &[T]) {
        const CHUNK: usize = 1 << 18;
        let counted = values.par_chunks(CHUNK).fold(Self::new, |mut counts, chunk| {
            for &value in chunk {
                counts.0[(ordered(value.into()) >> BITS) as usize] += 1;
            }
            counts
        });
        let counted = counted.reduce(Self::new, |mut sum, counts| {
            sum.0.iter_mut().zip(counts.0).for_each(|(sum, count)| *sum += count);
            sum
        });
        self.0.iter_mut().zip(counted.0).for_each(|(sum, count)| *sum += count);
    }

    /// The value up to which the values above some make half of their sum.
    fn middle_of_those_above(&self, least: f32) -> Option<f32> {
        let bins = || {
            let bins = (0_u32..).zip(&self.0).filter(|(_, count)| **count > 0);
            let values = bins.map(|(bin, &count)| (from_ordered(bin << BITS), count));
            values.filter(|(value, _)| *value > least)
        };
        let sum_of = |(value, count): (f32, u64)| f64::from(value) * count as f64;
        let half = 0.5 * bins().map(sum_of).sum::<f64>();
        let mut up_to = 0.0;
        let middle = bins().find(|&bin| {
            up_to += sum_of(bin);
            up_to >= half
        });
        middle.map(|(value, _)| value)
    }

    /// The value, rounded down, that a share of all does not exceed.
    fn quantile(&self, share: f64) -> f32 {
        let rank = (self.0.iter().sum::<u64>() as f64 * share) as u64;
        let mut up_to = 0;
        let above = self.0.iter().position(|&count| {
            up_to += count;
            up_to > rank
        });
        from_ordered((above.unwrap_or(0) as u32) << BITS)
    }
}

/// Bits that are in the order of the values.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 > 0 { !bits } else { bits | 1 << 31 }
}

fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 > 0 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;
    use proptest::prelude::*;

    fn of(parts: &[&[f32]]) -> Histogram {
        let mut histogram = Histogram::new();
        parts.iter().for_each(|part| histogram.add(part));
        histogram
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_value_of_its_rank_to_a_hundredth(
            values in prop::collection::vec(prop_oneof![-1e9..1e9_f32, -3.0..3.0_f32, Just(2.5)], 1..900),
            share in 0.0..1.0_f64,
            cut in 0..900_usize,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            let wanted = sorted[(values.len() as f64 * share) as usize];
            let found = of(&[&values]).quantile(share);
            prop_assert!((found - wanted).abs() <= 0.01 * wanted.abs(), "{found}, wanted {wanted}");
            let (some, others) = values.split_at(cut.min(values.len()));
            prop_assert_eq!(of(&[others, some]).quantile(share), found);
        }
    }

    proptest! {
        #[test]
        fn an_opening_is_the_brightest_box_that_is_filled(
            (shape, voxels) in prop::array::uniform3(1..6_usize).prop_flat_map(|shape| {
                (Just(shape), prop::collection::vec(0..20_u8, shape.iter().product::<usize>()))
            }),
            radius in prop::array::uniform3(0..3_usize),
        ) {
            let volume = sized_volume(shape, voxels, [1.0; 3]).map(|&value| f32::from(value));
            let all = |at: [usize; 3]| {
                let range = |axis: usize| at[axis].saturating_sub(radius[axis])..(at[axis] + radius[axis] + 1).min(shape[axis]);
                let [zs, ys, xs] = [0, 1, 2].map(range);
                zs.flat_map(move |z| { let xs = xs.clone(); ys.clone().flat_map(move |y| xs.clone().map(move |x| [z, y, x])) })
            };
            let darkest = |at| all(at).map(|at| volume.voxels()[at]).fold(f32::MAX, f32::min);
            let found = opening(&volume, radius);
            for ((z, y, x), &found) in found.voxels().indexed_iter() {
                prop_assert_eq!(found, all([z, y, x]).map(darkest).fold(0.0, f32::max));
            }
        }
    }

    /// Walls of 64 every 10 µm along each axis, 4 elsewhere, in voxels of 0.5 µm; a ball of some radius and brightness.
    fn walls_and_a_ball(radius_um: f32, bright: f32) -> Volume<f32> {
        const SIDE: usize = 80;
        let voxels = (0..SIDE.pow(3)).map(|at| {
            let at = [at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE];
            let to_ball = at.map(|at| (0.5 * at as f32 - 16.0).powi(2)).iter().sum::<f32>();
            let is_wall = at.iter().any(|&at| at % 20 == 0);
            if to_ball < radius_um.powi(2) { bright } else { [4.0, 64.0][usize::from(is_wall)] }
        });
        sized_volume([SIDE; 3], voxels.collect(), [0.5; 3])
    }

    #[test]
    fn the_ceiling_is_some_times_as_high_as_walls_however_bright_lumps_are() {
        let alone = ceiling(&walls_and_a_ball(0.0, 0.0)).unwrap();
        assert!((128.0..384.0).contains(&alone), "{alone}");
        for (radius_um, bright) in [(1.0, 1e6), (4.0, 1e3), (8.0, 1e3), (10.0, 1e3)] {
            let found = ceiling(&walls_and_a_ball(radius_um, bright)).unwrap();
            assert!((found / alone - 1.0).abs() < 0.3, "{radius_um} µm: {found}, alone {alone}");
        }
    }

    #[test]
    fn parts_of_an_image_count_as_the_whole() {
        let blocks = blocks(&walls_and_a_ball(6.0, 1e3)).unwrap();
        let [n_z, n_y, n_x] = blocks.shape();
        let reach = thin_reach(blocks.voxel_size())[0];
        let mut all = Histogram::new();
        all.add(blocks.as_slice());
        let (mut whole, mut parts) = (Thin::new(&all), Thin::new(&all));
        whole.add(&blocks, &crate::block::whole(blocks.shape()));
        for core in [0..n_z / 2, n_z / 2..n_z] {
            let from = core.start.saturating_sub(reach);
            let around = from..(core.end + reach).min(n_z);
            let part = blocks.voxels().slice(s![around, .., ..]).to_owned();
            let part = Volume::new(part, blocks.voxel_size()).unwrap();
            parts.add(&part, &[core.start - from..core.end - from, 0..n_y, 0..n_x]);
        }
        assert_eq!(parts.above.0, whole.above.0);
        assert_eq!(parts.around.0, whole.around.0);
    }

    #[test]
    fn an_image_of_one_value_has_no_ceiling() {
        assert_eq!(
            ceiling(&sized_volume([8; 3], vec![5_u8; 512], [1.0; 3])).unwrap(),
            f32::INFINITY
        );
    }
}
