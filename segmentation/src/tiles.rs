//! How an image is cut into tiles, so that what is kept for each voxel of a tile counts little.

use std::ops::Range;

use ndarray::s;
use primordia_data::Volume;

use crate::block::{Block, sides};
use crate::error::Result;
use crate::regions::Part;

/// A piece of an image, and what around it must be read with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    /// What the tile answers for; the cores of all tiles fill the image.
    pub(crate) core: Block,
    /// What is read.
    pub(crate) around: Block,
}

impl Tile {
    pub(crate) fn part(&self) -> Part {
        let from = self.around.clone().map(|range| range.start);
        let within = |axis: usize, at: usize| at - from[axis];
        let core = [0, 1, 2]
            .map(|axis| within(axis, self.core[axis].start)..within(axis, self.core[axis].end));
        Part { core, from }
    }

    /// Calls `work` with what is read of an image.
    pub(crate) fn with<T: Clone, U>(
        &self,
        image: &Volume<T>,
        work: impl FnOnce(&Volume<T>) -> Result<U>,
    ) -> Result<U> {
        if sides(&self.around) == image.shape() {
            return work(image);
        }
        let [z, y, x] = self.around.clone();
        let part = image.voxels().slice(s![z, y, x]).to_owned();
        work(&Volume::new(part, image.voxel_size())?)
    }

    /// Where the core begins.
    pub(crate) fn from(&self) -> [usize; 3] {
        self.core.clone().map(|range| range.start)
    }
}

/// Voxels of a tile for which memory counts little, but which is large enough for many threads.
pub(crate) const SMALL: u64 = 1 << 22;

/// What tiles must be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Voxels that are read on each side of a core.
    pub(crate) reach: [usize; 3],
    /// Cores begin at multiples of so many voxels.
    pub(crate) step: [usize; 3],
}

impl Cut {
    /// Tiles of at most [`SMALL`] voxels with what is around them, where such can be had.
    pub(crate) fn small_tiles(self, shape: [usize; 3]) -> Vec<Tile> {
        self.tiles_or_least(shape, SMALL)
    }

    /// As [`Cut::tiles`], or the smallest where even those are larger.
    pub(crate) fn tiles_or_least(self, shape: [usize; 3], most: u64) -> Vec<Tile> {
        self.tiles(shape, most.max(self.least(shape))).unwrap_or_default()
    }

    /// Tiles of at most `most` voxels with what is around them, such that few voxels are read twice; `None` if even the smallest are larger.
    pub(crate) fn tiles(self, shape: [usize; 3], most: u64) -> Option<Vec<Tile>> {
        let lengths = self.best_lengths(shape, most)?;
        let cores = [0, 1, 2].map(|axis| pieces(shape[axis], lengths[axis]));
        let around = |axis: usize, core: &Range<usize>| {
            core.start.saturating_sub(self.reach[axis])
                ..(core.end + self.reach[axis]).min(shape[axis])
        };
        let mut tiles = Vec::new();
        for z in &cores[0] {
            for y in &cores[1] {
                for x in &cores[2] {
                    tiles.push(Tile {
                        core: [z.clone(), y.clone(), x.clone()],
                        around: [around(0, z), around(1, y), around(2, x)],
                    });
                }
            }
        }
        Some(tiles)
    }

    /// The voxels of the smallest tile, with what is around it.
    pub(crate) fn least(self, shape: [usize; 3]) -> u64 {
        (0..3).map(|axis| self.side(axis, shape, self.least_length(axis)) as u64).product()
    }

    /// Cores are at least as long as what is around them on both sides: shorter ones would read most voxels often.
    fn least_length(self, axis: usize) -> usize {
        const LEAST: usize = 8;
        (2 * self.reach[axis]).max(LEAST).next_multiple_of(self.step[axis])
    }

    /// The side of the largest tile with what is around it, for cores of a length.
    fn side(self, axis: usize, shape: [usize; 3], length: usize) -> usize {
        (length + 2 * self.reach[axis]).min(shape[axis])
    }

    /// The lengths of cores for which fewest voxels are read.
    fn best_lengths(self, shape: [usize; 3], most: u64) -> Option<[usize; 3]> {
        let choices = [0, 1, 2].map(|axis| self.choices(axis, shape));
        let mut best: Option<(u64, [usize; 3])> = None;
        for &z in &choices[0] {
            for &y in &choices[1] {
                for &x in &choices[2] {
                    let lengths = [z, y, x];
                    let sides = [0, 1, 2].map(|axis| self.side(axis, shape, lengths[axis]) as u64);
                    if sides.iter().product::<u64>() > most {
                        continue;
                    }
                    let read = (0..3)
                        .map(|axis| sides[axis] * shape[axis].div_ceil(lengths[axis]) as u64)
                        .product();
                    if best.is_none_or(|(least, _)| read < least) {
                        best = Some((read, lengths));
                    }
                }
            }
        }
        best.map(|(_, lengths)| lengths)
    }

    /// Lengths that cut an axis into 1, 2, 3, … pieces, and the least.
    fn choices(self, axis: usize, shape: [usize; 3]) -> Vec<usize> {
        let (n, least) = (shape[axis], self.least_length(axis));
        let fewest = std::iter::successors(Some(1), |&pieces: &usize| {
            Some((pieces + 1).max(pieces * 9 / 8))
        });
        let mut choices: Vec<usize> = fewest
            .map(|pieces| n.div_ceil(pieces).next_multiple_of(self.step[axis]))
            .take_while(|&length| length > least)
            .collect();
        choices.push(least);
        choices.dedup();
        choices
    }
}

/// An axis in pieces of a length; the last may be shorter.
fn pieces(n: usize, length: usize) -> Vec<Range<usize>> {
    (0..n).step_by(length).map(|start| start..(start + length).min(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cores_fill_the_image_and_tiles_fit(
            shape in prop::array::uniform3(1..90_usize),
            reach in prop::array::uniform3(0..6_usize),
            step in prop::array::uniform3(1..5_usize),
            most in 1..200_000_u64,
        ) {
            let cut = Cut { reach, step };
            let tiles = cut.tiles(shape, most);
            prop_assert_eq!(tiles.is_none(), most < cut.least(shape));
            let mut seen = vec![0; shape.iter().product()];
            for tile in tiles.iter().flatten() {
                let n: usize = tile.around.iter().map(ExactSizeIterator::len).product();
                prop_assert!(n as u64 <= most);
                for axis in 0..3 {
                    let (core, around) = (&tile.core[axis], &tile.around[axis]);
                    prop_assert_eq!(core.start % step[axis], 0);
                    prop_assert!(around.start == 0 || around.start + reach[axis] == core.start);
                    prop_assert!(around.end == shape[axis] || core.end + reach[axis] == around.end);
                }
                for z in tile.core[0].clone() {
                    for y in tile.core[1].clone() {
                        tile.core[2].clone().for_each(|x| seen[(z * shape[1] + y) * shape[2] + x] += 1);
                    }
                }
            }
            prop_assert!(tiles.is_none() || seen.iter().all(|&times| times == 1));
        }
    }
}
