//! How bright an image is but for what shines: lumps of debris, yolk, saturated spots, broken pixels.
//!
//! A lump many times as bright as membranes says nothing of them, yet what is usual, how wide sheets are and what stands out are
//! means in which it outweighs all else. So whatever is far brighter than membranes counts as less bright, and no brighter than
//! membranes where a lump is near.

mod bright;
mod histogram;
mod opening;
mod thin;

use ndarray::{ArrayViewMut3, s};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

pub(crate) use self::bright::Bright;
pub(crate) use self::histogram::Histogram;
use self::thin::{BOX_UM, Heights, Range, Thin, WIDE_UM, boxes};
pub(crate) use self::thin::{cube_sides, thin_reach};
use crate::error::Result;
use crate::regions::Part;
use crate::resample::{factors_on, shrink};
use crate::tiles::{Cut, Tile};

/// The image is looked at in blocks of voxels of up to this size.
const BLOCK_UM: f64 = 0.25 * BOX_UM;
/// The ceiling is so many times as far above surroundings as sheets, higher than the junctions of membranes that are nearest to the
/// objective,
const HEADROOM: f32 = 3.0;
/// and this much more of what noise is in single voxels.
const NOISE: f32 = 3.0;
/// A box that is filled so many times as far above surroundings as sheets are is a lump.
const LUMP: f32 = 2.0;
/// How often it is asked what is thin, and then what is a lump.
const ROUNDS: usize = 4;
/// Up to so many blocks away from it
const NEAR: u32 = 2;
/// nothing is so many times as far above surroundings.
const NEAR_LUMPS: f32 = 1.25;
/// No more than this share of an image is lumps.
const MOST_LUMPS: f64 = 0.5;
/// Nearly all blocks are no brighter than this share of them,
const BRIGHT: f64 = 0.995;
/// and those that are count at most as so many times as far above the median.
const MOST: f32 = 3.0;
/// Blocks that are looked at at a time, for which memory counts little.
const PART: u64 = 1 << 20;
/// This share of an image is darker than anything of it.
const DARK: f64 = 0.01;

/// What counts as the largest value of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ceiling {
    /// Anywhere; infinite where nearly all of the image is the same.
    pub(crate) most: f32,
    /// Near lumps.
    pub(crate) near_lumps: f32,
    /// What is far brighter than membranes,
    pub(crate) bright: Bright,
    /// and what of it is as wide as no membrane,
    lumps: Bright,
    /// with what is near.
    widened: Bright,
}

/// Shows the parts of an image as blocks of voxels, and what of them is asked for; each part reaches [`thin_reach`] further.
pub(crate) type EachPart<'a> = dyn Fn(&mut dyn FnMut(&Volume<f32>, &Part)) -> Result<()> + 'a;

impl Ceiling {
    pub(crate) fn of<T: Copy + Into<f32> + Sync>(image: &Volume<T>) -> Result<Self> {
        let blocks = blocks(image)?;
        let mut all = Histogram::new();
        all.add(blocks.as_slice());
        let factors = block_factors((image.shape(), image.voxel_size()));
        let size = blocks.voxel_size();
        let cut = Cut { reach: thin_reach(size), step: cube_sides(size) };
        let tiles = cut.tiles_or_least(blocks.shape(), PART);
        Self::of_parts(&all, factors, &|show| {
            let mut show_tile = |tile: &Tile| {
                tile.with(&blocks, |part| {
                    show(part, &tile.part());
                    Ok(())
                })
            };
            tiles.iter().try_for_each(&mut show_tile)
        })
    }

    /// Of an image of which all blocks of `factors` voxels were counted.
    pub(crate) fn of_parts(
        all: &Histogram,
        factors: [usize; 3],
        each_part: &EachPart<'_>,
    ) -> Result<Self> {
        let (median, bright) = (all.quantile(0.5), all.quantile(BRIGHT));
        if bright <= median {
            return Ok(Self::without_lumps(f32::INFINITY, factors));
        }
        let above_median = |times: f32| median + times * (bright - median);
        let range = Range { dark: all.quantile(DARK), most: above_median(MOST) };
        // Where nothing is thin, it follows from the brightest blocks.
        let mut ceiling = Self::without_lumps(above_median(2.0 * MOST), factors);
        let most_lumps = (MOST_LUMPS * all.count() as f64) as usize;
        // The fewer lumps count as sheets, the more are seen to be lumps.
        for _ in 0..ROUNDS {
            let thin = Thin::counted(range, &ceiling.widened, each_part)?;
            let Some(heights) = thin.heights(range, factors) else { break };
            let [bright, lumps] = bright_places(heights, range.most, factors, each_part)?;
            if lumps.n_blocks() > most_lumps {
                break;
            }
            let is_last = lumps == ceiling.lumps;
            ceiling = Self {
                most: heights.above_sheets(HEADROOM) + NOISE * heights.noise,
                near_lumps: heights.above_sheets(NEAR_LUMPS),
                widened: lumps.widened(NEAR),
                bright,
                lumps,
            };
            if is_last {
                break;
            }
        }
        Ok(ceiling)
    }

    fn without_lumps(most: f32, factors: [usize; 3]) -> Self {
        let none = || Bright::none(factors);
        Self { most, near_lumps: most, bright: none(), lumps: none(), widened: none() }
    }

    /// Lowers what is brighter near lumps, among the voxels asked for of a part of the image.
    pub(crate) fn lower_near_lumps(&self, mut image: ArrayViewMut3<'_, f32>, part: &Part) {
        for [z, y, x] in self.widened.within(part) {
            image.slice_mut(s![z, y, x]).mapv_inplace(|value| value.min(self.near_lumps));
        }
    }
}

/// The blocks of an image that are far brighter than what is thin, and those around which a box is filled as brightly.
fn bright_places(
    heights: Heights,
    most: f32,
    factors: [usize; 3],
    each_part: &EachPart<'_>,
) -> Result<[Bright; 2]> {
    let (mut bright, mut lumps) = (Bright::none(factors), Bright::none(factors));
    let least = heights.above_sheets(LUMP);
    each_part(&mut |blocks, part| {
        if blocks.as_slice().par_iter().any(|&value| value > least) {
            bright.add(blocks, part, least);
            lumps.add(&boxes(blocks, most, WIDE_UM), part, least);
        }
    })?;
    Ok([bright.in_order(), lumps.in_order()])
}

/// How many voxels make a block.
pub(crate) fn block_factors(grid: ([usize; 3], VoxelSize)) -> [usize; 3] {
    factors_on(grid, BLOCK_UM)
}

/// The means of blocks of an image.
pub(crate) fn blocks<T: Copy + Into<f32> + Sync>(image: &Volume<T>) -> Result<Volume<f32>> {
    shrink(image, block_factors((image.shape(), image.voxel_size())), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

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

    /// Of lumps in such an image.
    fn volume_um3(lumps: &Bright) -> f64 {
        let boxes = |part: &Part| {
            lumps
                .within(part)
                .map(|block| block.map(|range| range.len()).iter().product::<usize>())
                .sum::<usize>()
        };
        boxes(&Part::whole([80; 3])) as f64 * 0.125
    }

    #[test]
    fn the_ceiling_is_some_times_as_high_as_walls_however_bright_lumps_are() {
        let Ceiling { most: alone, lumps, .. } = Ceiling::of(&walls_and_a_ball(0.0, 0.0)).unwrap();
        assert_eq!(volume_um3(&lumps), 0.0);
        assert!((128.0..384.0).contains(&alone), "{alone}");
        for (radius_um, bright) in [(1.0, 1e6), (4.0, 1e3), (8.0, 1e3), (15.0, 1e3)] {
            let Ceiling { most: found, lumps, .. } =
                Ceiling::of(&walls_and_a_ball(radius_um, bright)).unwrap();
            assert!((found / alone - 1.0).abs() < 0.3, "{radius_um} µm: {found}, alone {alone}");
            let ball_um3 = 4.0 / 3.0 * std::f64::consts::PI * f64::from(radius_um).powi(3);
            let share = volume_um3(&lumps) / ball_um3;
            // Boxes do not fill a ball; small ones are no wider than membranes.
            let wanted = if radius_um > 2.0 { 0.5..1.2 } else { 0.0..1e-9 };
            assert!(wanted.contains(&share), "{radius_um} µm: {share}");
        }
    }

    #[test]
    fn parts_of_an_image_count_as_the_whole() {
        let blocks = blocks(&walls_and_a_ball(6.0, 1e3)).unwrap();
        let [n_z, n_y, n_x] = blocks.shape();
        let reach = thin_reach(blocks.voxel_size())[0];
        let cube = cube_sides(blocks.voxel_size())[0];
        let mut all = Histogram::new();
        all.add(blocks.as_slice());
        let parts = |show: &mut dyn FnMut(&Volume<f32>, &Part)| {
            for core in [0..2 * cube, 2 * cube..n_z] {
                let from = core.start.saturating_sub(reach);
                let around = from..(core.end + reach).min(n_z);
                let part = blocks.voxels().slice(s![around, .., ..]).to_owned();
                let part = Volume::new(part, blocks.voxel_size()).unwrap();
                let core = [core.start - from..core.end - from, 0..n_y, 0..n_x];
                show(&part, &Part { core, from: [from, 0, 0] });
            }
            Ok(())
        };
        let whole = |show: &mut dyn FnMut(&Volume<f32>, &Part)| {
            show(&blocks, &Part::whole(blocks.shape()));
            Ok(())
        };
        let of = |each_part: &EachPart<'_>| Ceiling::of_parts(&all, [1; 3], each_part).unwrap();
        let found = of(&whole);
        assert!(found.lumps.n_blocks() > 0);
        assert_eq!(of(&parts), found);
    }

    #[test]
    fn an_image_of_one_value_has_no_ceiling() {
        assert_eq!(
            Ceiling::of(&sized_volume([8; 3], vec![5_u8; 512], [1.0; 3])).unwrap().most,
            f32::INFINITY
        );
    }
}
