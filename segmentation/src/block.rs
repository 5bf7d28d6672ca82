//! Boxes of voxels in an image.

use std::ops::Range;

/// The voxels of an image between two along z, y and x.
pub(crate) type Block = [Range<usize>; 3];

/// All voxels of an image.
pub(crate) fn whole(shape: [usize; 3]) -> Block {
    shape.map(|n| 0..n)
}

/// How many voxels along each axis.
pub(crate) fn sides(block: &Block) -> [usize; 3] {
    block.clone().map(|range| range.len())
}
