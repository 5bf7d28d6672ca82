//! How much memory a segmentation may take, and what it takes for what.

use primordia_data::Scratch;

use crate::error::{Result, SegmentError};
use crate::tiles::{Cut, Tile};

/// What a process takes before it has any voxels: its code, tables of stencils, threads' stacks and small maps.
const BASE: u64 = 32 << 20;

/// Bytes per voxel, besides the image itself, while sheets are sought: the merged image, evidence and directions.
const SHEET_BYTES: u64 = 8;
/// What is kept for the voxels of one small tile meanwhile.
const TILE_BYTES: u64 = 80 << 20;
/// Per voxel while the network answers: evidence, and the answer.
const LEARNED_BYTES: u64 = 8;
/// Per voxel while regions are found and joined: evidence, directions, labels, and what waits for the flood; fewer wait while borders
/// are sought.
const REGIONS_BYTES: u64 = 11;
/// Bytes that a tile of the network takes.
pub(super) const NETWORK_BYTES: u64 = 200 << 20;

/// What may be taken.
#[derive(Clone, Debug)]
pub struct Room {
    /// Bytes of memory of the whole process.
    pub max_bytes: u64,
    /// Where what does not fit waits.
    pub scratch: Scratch,
}

impl Room {
    /// The tiles of a grid for a step that takes some bytes per voxel, beside `held` bytes that are taken already.
    pub(super) fn tiles(
        &self,
        cut: Cut,
        shape: [usize; 3],
        bytes_per_voxel: u64,
        held: u64,
    ) -> Result<Vec<Tile>> {
        let free = self.max_bytes.saturating_sub(BASE + held);
        cut.tiles(shape, free / bytes_per_voxel).ok_or_else(|| {
            self.too_small(BASE + held + cut.least(shape).saturating_mul(bytes_per_voxel))
        })
    }

    /// Refuses what needs more than may be taken.
    pub(super) fn check(&self, needed: u64) -> Result<()> {
        if needed > self.max_bytes { Err(self.too_small(needed)) } else { Ok(()) }
    }

    fn too_small(&self, needed: u64) -> SegmentError {
        SegmentError::Memory { max_bytes: self.max_bytes, needed }
    }
}

/// Bytes that a process takes at most to segment an image of some shape whole, by [`auto`](fn@crate::auto) or with a network, and to
/// write the labels. Where cells are large, voxels are merged, and it takes less.
pub fn whole_bytes(shape: [usize; 3], pixel_bytes: u64, with_network: bool) -> u64 {
    let n_voxels = voxels(shape);
    let sheets = n_voxels * SHEET_BYTES + TILE_BYTES;
    let learned = if with_network { n_voxels * LEARNED_BYTES + NETWORK_BYTES } else { 0 };
    let regions = n_voxels * REGIONS_BYTES;
    BASE + n_voxels * pixel_bytes + sheets.max(learned).max(regions)
}

/// Bytes that a process takes at most to segment an image by [`hartmann2020`](fn@crate::hartmann2020) and to write the labels.
pub fn hartmann2020_bytes(shape: [usize; 3], pixel_bytes: u64) -> u64 {
    // The smooth image, the labels and the voxels that wait for the flood; images of other types are turned into bytes first.
    let other = if pixel_bytes > 1 { pixel_bytes + 5 } else { 0 };
    BASE + voxels(shape) * (9 + other)
}

fn voxels(shape: [usize; 3]) -> u64 {
    shape.iter().map(|&n| n as u64).product()
}
