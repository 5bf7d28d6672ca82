//! Where an image is far brighter than membranes are: debris, yolk and whatever else shines.

use primordia_data::Volume;

use crate::block::Block;
use crate::regions::Part;

/// The blocks of voxels of an image that are bright; there are few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bright {
    /// How many voxels make a block.
    factors: [usize; 3],
    /// Places among blocks.
    blocks: Vec<[u32; 3]>,
}

impl Bright {
    /// None yet, in an image of which blocks of `factors` voxels are looked at.
    pub(crate) fn none(factors: [usize; 3]) -> Self {
        Self { factors, blocks: Vec::new() }
    }

    /// Adds the blocks that are brighter than `least` among those asked for of a part of the image.
    pub(crate) fn add(&mut self, blocks: &Volume<f32>, part: &Part, least: f32) {
        let [zs, ys, xs] = part.core.clone();
        for at in zs.flat_map(|z| {
            let xs = xs.clone();
            ys.clone().flat_map(move |y| xs.clone().map(move |x| [z, y, x]))
        }) {
            if blocks.voxels()[at] > least {
                self.blocks.push(part.in_whole(at).map(|at| at as u32));
            }
        }
    }

    /// The same, whatever the order in which parts were added.
    pub(crate) fn in_order(mut self) -> Self {
        self.blocks.sort_unstable();
        self
    }

    /// With all blocks up to so many away.
    pub(crate) fn widened(&self, by: u32) -> Self {
        let mut blocks = self.blocks.clone();
        for axis in 0..3 {
            let moved = |at: &[u32; 3]| {
                let mut at = *at;
                let last = at[axis] + by;
                (at[axis].saturating_sub(by)..=last).map(move |moved| {
                    at[axis] = moved;
                    at
                })
            };
            blocks = blocks.iter().flat_map(moved).collect();
            blocks.sort_unstable();
            blocks.dedup();
        }
        Self { blocks, ..*self }
    }

    pub(crate) fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The voxels of bright blocks, in boxes, among those asked for of a part of the image.
    pub(crate) fn within<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = Block> + 'a {
        self.boxes(part, self.factors)
    }

    /// As [`Bright::within`], of a part of the image of blocks.
    pub(crate) fn blocks_within<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = Block> + 'a {
        self.boxes(part, [1; 3])
    }

    fn boxes<'a>(&'a self, part: &'a Part, sides: [usize; 3]) -> impl Iterator<Item = Block> + 'a {
        let along = move |axis: usize, block: usize| {
            let (core, from) = (&part.core[axis], part.from[axis]);
            let [first, end] = [block, block + 1].map(|at| (at * sides[axis]).saturating_sub(from));
            first.clamp(core.start, core.end)..end.clamp(core.start, core.end)
        };
        self.blocks.iter().map(move |block| [0, 1, 2].map(|axis| along(axis, block[axis] as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

    #[test]
    fn bright_voxels_are_told_part_by_part() {
        // Blocks of 2 × 1 × 3 voxels, of which [0, 1, 1] and [1, 0, 0] are bright.
        let blocks =
            sized_volume([2, 2, 2], vec![0.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 0.0], [1.0; 3]);
        let mut bright = Bright::none([2, 1, 3]);
        bright.add(&blocks, &Part::whole([2; 3]), 5.0);
        let all = |part: &Part| bright.within(part).collect::<Vec<Block>>();
        assert_eq!(all(&Part::whole([4, 2, 6])), [[0..2, 1..2, 3..6], [2..4, 0..1, 0..3]]);
        // A part that begins at voxel [1, 0, 2], and asks for less than all of it.
        let part = Part { core: [0..2, 0..2, 1..3], from: [1, 0, 2] };
        assert_eq!(all(&part), [[0..1, 1..2, 1..3], [1..2, 0..1, 1..1]]);
    }
}
