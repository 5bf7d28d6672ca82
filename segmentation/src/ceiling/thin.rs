//! How bright membranes are, and what is around them, told by what is thin.
//!
//! A place is thin by how far it is above the brightest box around it that no membrane fills, the white top-hat (Meyer 1979,
//! doi:10.1177/27.1.438499), of which a lump has none but its border. It must stand out of the noise of a cube of the image, since
//! noise, too, is stronger where it is bright.

use ndarray::s;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use super::EachPart;
use super::bright::Bright;
use super::histogram::Histogram;
use super::opening::opening;
use crate::block::Block;
use crate::error::Result;
use crate::regions::Part;

/// The box is larger than sheets are wide, but smaller than lumps of which there is much.
pub(super) const BOX_UM: f64 = 3.5;
/// Noise is looked at in cubes of this side:
const CUBE_UM: f64 = 3.0 * BOX_UM;
/// this share of a cube is no higher above its surroundings than noise is,
const QUIET: f64 = 0.25;
/// what is so many times as high is thin,
const ABOVE_NOISE: f32 = 4.0;
/// and a cube counts if this share of it is.
const THIN: f64 = 0.05;
/// A box of this side is filled by no junction of membranes.
pub(super) const WIDE_UM: f64 = 0.75 * BOX_UM;
/// What is wide in a clear cube is at most so many times as high as what is thin.
const CLEAR: f32 = 0.75;
/// Clear cubes alone count if they are this share of all.
const ENOUGH: f64 = 0.1;
/// A weight of 1 counts as so many.
const WEIGHTS: f64 = (1 << 20) as f64;

/// How many blocks of some size away the furthest are that count for one.
pub(crate) fn thin_reach(block_size: VoxelSize) -> [usize; 3] {
    box_radius(block_size, BOX_UM).map(|radius| 2 * radius)
}

/// A cube has so many blocks of some size along each axis; parts begin between cubes.
pub(crate) fn cube_sides(block_size: VoxelSize) -> [usize; 3] {
    block_size.um().map(|um| (CUBE_UM / um).round().max(1.0) as usize)
}

/// A box reaches so many blocks to each side.
fn box_radius(block_size: VoxelSize, box_um: f64) -> [usize; 3] {
    block_size.um().map(|um| ((box_um / um - 1.0) / 2.0).ceil().max(1.0) as usize)
}

/// The values that count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) dark: f32,
    pub(super) most: f32,
}

/// How bright the surroundings of membranes are at most, and how far what is thin is above its own, and noise in single voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heights {
    around: f32,
    of_sheets: f32,
    pub(super) noise: f32,
}

impl Heights {
    /// So many times as far above surroundings as what is thin.
    pub(super) fn above_sheets(self, times: f32) -> f32 {
        self.around + times * self.of_sheets
    }
}

/// What is thin in the cubes of an image.
pub(super) struct Thin {
    all: Tally,
    /// In cubes in which nothing that is wide is nearly as bright.
    clear: Tally,
}

impl Thin {
    /// Of an image but for some blocks.
    pub(super) fn counted(
        range: Range,
        but_for: &Bright,
        each_part: &EachPart<'_>,
    ) -> Result<Self> {
        let mut thin = Self { all: Tally::new(), clear: Tally::new() };
        each_part(&mut |blocks, part| thin.add(blocks, part, range, but_for))?;
        Ok(thin)
    }

    fn add(&mut self, blocks: &Volume<f32>, part: &Part, range: Range, but_for: &Bright) {
        let mut around = boxes(blocks, range.most, BOX_UM);
        for [z, y, x] in but_for.blocks_within(part) {
            around.voxels_mut().slice_mut(s![z, y, x]).fill(f32::NAN);
        }
        let wide = boxes(blocks, range.most, WIDE_UM);
        let found: Vec<Option<Cube>> = cubes(&part.core, cube_sides(blocks.voxel_size()))
            .into_par_iter()
            .map(|[z, y, x]| {
                let [blocks, around, wide] = [blocks, &around, &wide]
                    .map(|of| of.voxels().slice(s![z.clone(), y.clone(), x.clone()]));
                let places = blocks
                    .into_iter()
                    .zip(around)
                    .zip(wide)
                    .filter(|((_, around), _)| !around.is_nan());
                Cube::of(
                    places
                        .map(|((&block, &around), &wide)| Place {
                            around,
                            wide,
                            above: block.min(range.most) - around,
                        })
                        .collect(),
                )
            })
            .collect();
        for cube in found.iter().flatten() {
            self.all.add(cube, range);
            if cube.is_clear() {
                self.clear.add(cube, range);
            }
        }
    }

    /// None where nothing is thin. Surroundings may be as far again above the dark elsewhere; of noise in blocks of `factors` voxels
    /// more is left in each.
    pub(super) fn heights(&self, range: Range, factors: [usize; 3]) -> Option<Heights> {
        let enough = ENOUGH * self.all.noise.count() as f64;
        let is_enough = self.clear.noise.count() as f64 >= enough;
        let Tally { around, above, noise } = if is_enough { &self.clear } else { &self.all };
        let n_voxels = factors.iter().product::<usize>() as f32;
        let usual = around.quantile(0.5);
        (above.count() > 0).then(|| Heights {
            around: usual + (usual - range.dark).max(0.0),
            of_sheets: above.quantile(0.5),
            noise: noise.quantile(0.5) * n_voxels.sqrt(),
        })
    }
}

/// Counts what is thin, and how bright it is around it, by how high it is above that; and cubes, by how high noise is in them.
struct Tally {
    around: Histogram,
    above: Histogram,
    noise: Histogram,
}

impl Tally {
    fn new() -> Self {
        Self { around: Histogram::new(), above: Histogram::new(), noise: Histogram::new() }
    }

    fn add(&mut self, cube: &Cube, range: Range) {
        self.noise.add_weighted(cube.noise, 1);
        for place in &cube.thin {
            // Whole numbers, so that no order of parts matters.
            let weight = (f64::from(place.above / (range.most - range.dark)) * WEIGHTS) as u64;
            self.around.add_weighted(place.around, weight);
            self.above.add_weighted(place.above, weight);
        }
    }
}

/// How bright it is around a place, by a box that no membrane fills and by one that no junction of membranes does, and how far the
/// place is above the first.
#[derive(Clone, Copy, Debug)]
struct Place {
    around: f32,
    wide: f32,
    above: f32,
}

/// A cube of an image.
struct Cube {
    noise: f32,
    /// How far the brightest that is wide is above what usually is.
    wide: f32,
    /// What is thin, lowest first.
    thin: Vec<Place>,
}

impl Cube {
    /// None where little is thin, since that is noise.
    fn of(mut places: Vec<Place>) -> Option<Self> {
        if places.is_empty() {
            return None;
        }
        let least = (THIN * places.len() as f64).max(1.0);
        let quiet = (QUIET * places.len() as f64) as usize;
        let mut quantile = |of: fn(&Place) -> f32| {
            let by = |a: &Place, b: &Place| of(a).total_cmp(&of(b));
            of(places.select_nth_unstable_by(quiet, by).1)
        };
        let (noise, dark) = (quantile(|place| place.above), quantile(|place| place.wide));
        let brightest = places.iter().map(|place| place.wide).fold(dark, f32::max);
        places.retain(|place| place.above > ABOVE_NOISE * noise);
        places.sort_unstable_by(|a, b| a.above.total_cmp(&b.above));
        let cube = Self { noise, wide: brightest - dark, thin: places };
        (cube.thin.len() as f64 >= least).then_some(cube)
    }

    /// Whether what is thin is higher than what is wide: membranes are, the borders of lumps are not.
    fn is_clear(&self) -> bool {
        let sum = |places: &[Place]| places.iter().map(|place| place.above).sum::<f32>();
        let half = 0.5 * sum(&self.thin);
        let mut up_to = 0.0;
        let middle = self.thin.iter().find(|place| {
            up_to += place.above;
            up_to >= half
        });
        middle.is_some_and(|middle| self.wide <= CLEAR * middle.above)
    }
}

/// Cubes of some sides that fill a block, cut where it ends.
fn cubes(block: &Block, sides: [usize; 3]) -> Vec<Block> {
    let along = |axis: usize| {
        let (range, side) = (block[axis].clone(), sides[axis]);
        range.clone().step_by(side).map(move |from| from..(from + side).min(range.end))
    };
    let planes = along(0).flat_map(|z| along(1).map(move |y| (z.clone(), y)));
    planes.flat_map(|(z, y)| along(2).map(move |x| [z.clone(), y.clone(), x])).collect()
}

/// The brightest box around each of some blocks that is filled as bright, where none counts as brighter than `most`.
pub(super) fn boxes(blocks: &Volume<f32>, most: f32, box_um: f64) -> Volume<f32> {
    opening(&blocks.map(|value| value.min(most)), box_radius(blocks.voxel_size(), box_um))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::testing::sized_volume;

    const SIDE: usize = 48;

    /// Noise of deviation 1 around 10, and of 10 around 1,000 in the half further along x, in blocks of 0.88 µm; where `bright` says
    /// so it is higher.
    fn heights(bright: impl Fn([usize; 3]) -> f32) -> Option<Heights> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let voxels = (0..SIDE.pow(3)).map(|at| {
            let at = [at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE];
            let (mean, deviation) = if at[2] < SIDE / 2 { (10.0, 1.0) } else { (1000.0, 10.0) };
            let noise: f32 = StandardNormal.sample(&mut rng);
            mean + deviation * noise + bright(at)
        });
        let blocks = sized_volume([SIDE; 3], voxels.collect(), [0.88; 3]);
        let range = Range { dark: 10.0, most: 2000.0 };
        let none = Bright::none([1; 3]);
        let thin = Thin::counted(range, &none, &|show| {
            show(&blocks, &Part::whole(blocks.shape()));
            Ok(())
        });
        thin.unwrap().heights(range, [1; 3])
    }

    #[test]
    fn noise_is_not_thin_however_much_of_it_there_is() {
        assert_eq!(heights(|_| 0.0), None);
    }

    #[test]
    fn walls_in_the_dark_tell_how_high_walls_are_beside_something_large_and_bright() {
        let is_wall = |at: [usize; 3]| at[2] < SIDE / 2 && at.iter().any(|&at| at % 12 == 6);
        let found = heights(|at| if is_wall(at) { 50.0 } else { 0.0 }).unwrap();
        // Boxes are as bright as their darkest voxel, some deviations below the mean.
        assert!((50.0..56.0).contains(&found.of_sheets), "{found:?}");
        assert!(found.around < 12.0, "{found:?}");
    }
}
