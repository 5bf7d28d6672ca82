//! Regions of an over-segmentation that wait on disk, and the cells that they become.

use ndarray::Array3;
use primordia_data::{ScratchVolume, Volume, VoxelSize};

use super::sheets::ScratchSheets;
use super::{Room, core_of, grid};
use crate::auto::{Auto, seed_reach, seeds};
use crate::block::{Block, sides};
use crate::ceiling::Bright;
use crate::cells::Cells;
use crate::error::Result;
use crate::guide::Guide;
use crate::joining::Image;
use crate::pieces::Counts;
use crate::refine::mark_cores;
use crate::regions::Seams;
use crate::segmentation::rename;
use crate::tiles::Cut;
use crate::watershed::flood;

/// Floods see at least so much around a tile.
const FLOOD_UM: f64 = 8.0;
/// Bytes that a region, with its faces, takes while regions are joined.
const REGION_BYTES: u64 = 1_200;

/// Regions of the over-segmentation, or cells, that wait on disk.
pub(super) struct ScratchRegions {
    pub(super) regions: ScratchVolume<u32>,
    /// What each region is called by now.
    names: Option<Vec<u32>>,
}

impl ScratchRegions {
    pub(super) fn rename(&mut self, names: &[u32]) {
        self.names = Some(names.to_vec());
    }

    pub(super) fn read(&self, block: &Block) -> Result<Volume<u32>> {
        let mut regions = self.regions.read(block)?;
        if let Some(names) = &self.names {
            rename(&mut regions, names);
        }
        Ok(regions)
    }

    /// What the names take.
    pub(super) fn held(&self) -> u64 {
        self.names.as_ref().map_or(0, |names| 4 * names.len() as u64)
    }
}

/// The regions of an image whose full grid has some shape, and which cells they are.
pub(super) fn cells(
    (sheets, bright): (&ScratchSheets, &Bright),
    full: [usize; 3],
    width_um: f64,
    params: &Auto,
    room: &Room,
) -> Result<(ScratchRegions, Cells)> {
    const SEAM_BYTES: u64 = 32; // regions, evidence and directions, and the seams of some slabs
    let (shape, size) = grid(&sheets.evidence);
    let seeds = all_seeds(sheets, width_um, room)?;
    let n_regions = seeds.len();
    let held = REGION_BYTES * n_regions as u64;
    let regions = flooded(sheets, &seeds, room)?;
    drop(seeds);
    let mut seams = Seams::default();
    let mut counts = Counts::new(n_regions, size);
    // Steps go to the voxels that follow.
    for tile in room.tiles(Cut { reach: [1; 3], step: [1; 3] }, shape, SEAM_BYTES, held)? {
        let (labels, part) = (regions.read(&tile.around)?, tile.part());
        let sheets = sheets.read(&tile.around)?;
        counts.add(&labels, &sheets.evidence, &part, shape);
        counts.add_bright(&labels, &part, bright);
        seams.add(&labels, &sheets, &part.core);
    }
    let image = Image { graph: seams.graph(n_regions), pieces: counts.pieces(), width_um };
    let cells = Cells::new(image, &Guide::default(), (full, size), params)?;
    Ok((ScratchRegions { regions, names: None }, cells))
}

/// Where floods begin, as places in memory, ascending.
fn all_seeds(sheets: &ScratchSheets, width_um: f64, room: &Room) -> Result<Vec<u64>> {
    const BYTES: u64 = 16; // evidence as bits, as such, as numbers, and smooth
    let (shape, size) = grid(&sheets.evidence);
    let cut = Cut { reach: seed_reach(size, width_um), step: [1; 3] };
    let mut all = Vec::new();
    for tile in room.tiles(cut, shape, BYTES, 0)? {
        let part = tile.part();
        let found = seeds(&sheets.evidence(&tile.around)?, &part, width_um)?;
        all.extend(found.into_iter().map(|at| {
            let [z, y, x] = part.in_whole(at).map(|at| at as u64);
            (z * shape[1] as u64 + y) * shape[2] as u64 + x
        }));
    }
    all.sort_unstable();
    Ok(all)
}

/// The regions that the flood makes of seeds, numbered `1..` in their order.
fn flooded(sheets: &ScratchSheets, seeds: &[u64], room: &Room) -> Result<ScratchVolume<u32>> {
    const BYTES: u64 = 20; // evidence, regions, and the voxels that wait for the flood
    let (shape, size) = grid(&sheets.evidence);
    let regions = room.scratch.volume(shape, size)?;
    let cut = Cut { reach: flood_reach(size), step: [1; 3] };
    for tile in room.tiles(cut, shape, BYTES, 8 * seeds.len() as u64)? {
        let [zs, ys, xs] = &tile.around;
        let mut labels = Volume::new(Array3::zeros(sides(&tile.around)), size)?;
        for (z, y) in zs.clone().flat_map(|z| ys.clone().map(move |y| (z, y))) {
            let row = ((z * shape[1] + y) * shape[2]) as u64;
            let [first, last] =
                [xs.start, xs.end].map(|x| seeds.partition_point(|&seed| seed < row + x as u64));
            for (number, seed) in (first as u32 + 1..).zip(&seeds[first..last]) {
                let x = (seed - row) as usize;
                labels.voxels_mut()[[z - zs.start, y - ys.start, x - xs.start]] = number;
            }
        }
        let labels = flood(&sheets.evidence(&tile.around)?, labels)?;
        regions.write(tile.from(), &core_of(&labels, &tile.part())?)?;
    }
    Ok(regions)
}

fn flood_reach(voxel_size: VoxelSize) -> [usize; 3] {
    voxel_size.um().map(|side_um| (FLOOD_UM / side_um).ceil() as usize)
}

/// Which of the cells `0..=n_cells` have a core.
pub(super) fn with_cores(cells: &ScratchRegions, n_cells: usize, room: &Room) -> Result<Vec<bool>> {
    const BYTES: u64 = 5;
    let mut has_core = vec![false; n_cells + 1];
    let cut = Cut { reach: [1; 3], step: [1; 3] };
    for tile in room.tiles(cut, cells.regions.shape(), BYTES, cells.held())? {
        mark_cores(&cells.read(&tile.around)?, &tile.part().core, &mut has_core);
    }
    Ok(has_core)
}
