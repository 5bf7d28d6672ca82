//! [`auto`](fn@crate::auto) in bounded memory.
//!
//! What does not fit in memory waits on disk, and each step goes over it in tiles (`tiles`). Steps that look at what is
//! around a voxel read as much around each tile as counts for its voxels, so their answers are those of the whole
//! image, bit for bit. Floods alone have no such bound; they are given a cell's width of surroundings (8 µm), beyond which in practice
//! nothing changes. There is one set of seeds, one graph of regions and one merge for the whole image.

mod regions;
mod room;
mod sheets;

use ndarray::s;
use primordia_data::{ScratchVolume, Volume, VoxelSize};

use self::regions::{ScratchRegions, cells, with_cores};
pub use self::room::{Room, hartmann2020_bytes, whole_bytes};
use self::sheets::{ScratchSheets, Seen, raw_sheets, seen, sheet_width, with_network};
use crate::auto::Auto;
use crate::ceiling::{Bright, Ceiling, Histogram, block_factors, blocks, cube_sides, thin_reach};
use crate::cells::Cells;
use crate::confidence::{CellEvidence, Unfound, Verdict};
use crate::error::{Result, SegmentError};
use crate::finer::finer;
use crate::hartmann2020::finite_range;
use crate::network::Boundary;
use crate::refine::{Borders, FullGrid, refine_bytes, refine_reach};
use crate::regions::Part;
use crate::resample::{coarse_size, enlarged, factors_on, over, shrink};
use crate::sheet::SheetScale;
use crate::strength::Width;
use crate::tiles::{Cut, Tile};
use crate::zoom::Zoom;

/// The cells of one image, whose labels wait on disk.
#[derive(Debug)]
pub struct TiledSegmentation {
    /// The cells, numbered `1..=n`, on the grid of the image.
    pub labels: ScratchVolume<u32>,
    /// For each cell what speaks for it.
    pub evidence: Vec<CellEvidence>,
    /// For each cell its number of voxels and the sums of their positions (z, y, x).
    pub moments: Vec<(u64, [u64; 3])>,
    /// As that of a [`Segmentation`](crate::Segmentation).
    pub unfound: Unfound,
}

impl TiledSegmentation {
    /// For each cell the probability that it is one whole cell.
    pub fn confidence(&self) -> Vec<f32> {
        self.evidence.iter().map(|cell| cell.probability() as f32).collect()
    }

    /// What to make of the whole.
    pub fn verdict(&self) -> Verdict {
        let labels: Vec<u32> = (1..=self.evidence.len() as u32).collect();
        Verdict::new(&labels, &self.confidence()).with_unfound(self.unfound)
    }
}

/// A pixel of an image that waits on disk.
pub trait TiledPixel: bytemuck::Pod + Into<f32> + Send + Sync {}

impl<T: bytemuck::Pod + Into<f32> + Send + Sync> TiledPixel for T {}

/// As [`auto`](fn@crate::auto), or [`auto_with`](crate::auto_with) a network if there is one, in bounded memory.
///
/// # Errors
/// Those of [`auto`](fn@crate::auto); [`SegmentError::Memory`] if even the smallest tiles do not fit, with what is needed;
/// [`SegmentError::Data`] if the disk is full.
pub fn auto_in_tiles<T: TiledPixel>(
    membrane: &ScratchVolume<T>,
    params: &Auto,
    network: Option<&Boundary>,
    room: &Room,
) -> Result<TiledSegmentation> {
    params.check()?;
    range_of(membrane, room)?;
    let joined = joined(membrane, params, network, room)?;
    match finer(params, grid(membrane), joined.refine.width.um, joined.cells.usual_um3) {
        None => joined.segmentation(room),
        Some(finer) => {
            drop(joined); // the disk may be full
            self::joined(membrane, &finer, network, room)?.segmentation(room)
        }
    }
}

/// The cells of an image of merged voxels.
struct Joined<'a, T> {
    refine: Refine<'a, T>,
    sheets: ScratchSheets,
    regions: ScratchRegions,
    cells: Cells,
}

/// The cells that sheets in the shrunken image enclose.
fn joined<'a, T: TiledPixel>(
    membrane: &'a ScratchVolume<T>,
    params: &Auto,
    network: Option<&Boundary>,
    room: &Room,
) -> Result<Joined<'a, T>> {
    let usual = factors_on(grid(membrane), params.membrane_um);
    let near = Shrunken::new(membrane, usual, room)?;
    let width = sheet_width(&near.image, params, room)?;
    let (Shrunken { image, factors, bright }, seen) = match network {
        None => (further(membrane, near, width.um, room)?, None),
        Some(network) => {
            let (image, seen) = clearest(membrane, near, width.um, network, room)?;
            (image, Some(seen))
        }
    };
    let range = range_of(&image, room)?;
    let scale = SheetScale::for_width(width.um);
    let mut sheets = raw_sheets(&image, scale, range, room)?.evened(scale, room)?;
    if let Some(seen) = seen {
        sheets = with_network(sheets, seen, scale, room)?;
    }
    drop(image);
    let (regions, cells) = cells((&sheets, &bright), membrane.shape(), width.um, params, room)?;
    Ok(Joined { refine: Refine { membrane, factors, range, width }, sheets, regions, cells })
}

impl<T: TiledPixel> Joined<'_, T> {
    /// The cells in the full image.
    fn segmentation(self, room: &Room) -> Result<TiledSegmentation> {
        let Self { refine, sheets, mut regions, cells } = self;
        regions.rename(&cells.names);
        let has_core = with_cores(&regions, cells.evidence.len(), room)?;
        let (labels, moments) = refine.labels(&regions, &sheets, &has_core, room)?;
        let Cells { evidence, unfound, .. } = cells;
        Ok(TiledSegmentation { labels, evidence, moments, unfound })
    }
}

/// An image of merged voxels.
struct Shrunken {
    image: ScratchVolume<f32>,
    factors: [usize; 3],
    bright: Bright,
}

/// The image with as many voxels merged as show sheets of some width.
fn further<T: TiledPixel>(
    membrane: &ScratchVolume<T>,
    near: Shrunken,
    width_um: f64,
    room: &Room,
) -> Result<Shrunken> {
    let factors = factors_on(grid(membrane), width_um);
    if factors == near.factors {
        return Ok(near);
    }
    drop(near); // the disk may be full
    Shrunken::new(membrane, factors, room)
}

/// Of an image from near and from afar the one in which the network sees more boundaries, and what it sees.
fn clearest<T: TiledPixel>(
    membrane: &ScratchVolume<T>,
    near: Shrunken,
    width_um: f64,
    network: &Boundary,
    room: &Room,
) -> Result<(Shrunken, Seen)> {
    let zoom = Zoom::near(near.image.voxel_size())?;
    let from_near = seen(&near.image, zoom, network, room)?;
    let factors = factors_on(grid(membrane), width_um);
    if factors == near.factors {
        return Ok((near, from_near));
    }
    let far = Shrunken::new(membrane, factors, room)?;
    let zoom = Zoom::far(far.image.voxel_size(), zoom)?;
    let from_far = seen(&far.image, zoom, network, room)?;
    if from_far.boundary_um2 > from_near.boundary_um2 {
        Ok((far, from_far))
    } else {
        Ok((near, from_near))
    }
}

/// Tiles of a grid that read nothing around them.
fn apart(step: [usize; 3]) -> Cut {
    Cut { reach: [0; 3], step }
}

fn grid<T: bytemuck::Pod>(volume: &ScratchVolume<T>) -> ([usize; 3], VoxelSize) {
    (volume.shape(), volume.voxel_size())
}

/// The least and the largest value of an image that has finite and different values.
fn range_of<T: TiledPixel>(image: &ScratchVolume<T>, room: &Room) -> Result<(f32, f32)> {
    let (mut low, mut high, mut not_finite) = (f32::INFINITY, f32::NEG_INFINITY, 0);
    for tile in room.tiles(apart([1; 3]), image.shape(), size_of::<T>() as u64, 0)? {
        let range = match finite_range(&image.read(&tile.core)?) {
            Ok(range) => range,
            Err(SegmentError::Constant { value }) => (value as f32, value as f32),
            Err(SegmentError::NotFinite { count, .. }) => {
                not_finite += count;
                continue;
            }
            Err(error) => return Err(error),
        };
        (low, high) = (low.min(range.0), high.max(range.1));
    }
    if not_finite > 0 {
        return Err(SegmentError::NotFinite { count: not_finite, voxels: image.n_voxels() });
    }
    if low == high {
        return Err(SegmentError::Constant { value: f64::from(low) });
    }
    Ok((low, high))
}

impl Shrunken {
    /// The image with blocks of `factors` voxels merged, none brighter than its ceiling.
    fn new<T: TiledPixel>(
        membrane: &ScratchVolume<T>,
        factors: [usize; 3],
        room: &Room,
    ) -> Result<Self> {
        let (full, size) = grid(membrane);
        let shape = [0, 1, 2].map(|axis| full[axis].div_ceil(factors[axis]));
        let image = room.scratch.volume(shape, coarse_size(size, factors)?)?;
        let per_block = factors.iter().product::<usize>() as u64;
        let bytes = per_block * size_of::<T>() as u64 + 4;
        let mut all = Histogram::new();
        let step = block_factors(grid(&image));
        for tile in room.tiles(apart(step), shape, bytes, 0)? {
            let part = membrane.read(&enlarged(&tile.core, factors, full))?;
            let part = shrink(&part, factors, Into::into)?;
            all.add(blocks(&part)?.as_slice());
            image.write(tile.from(), &part)?;
        }
        let ceiling = ceiling(&image, &all, room)?;
        for tile in room.tiles(apart([1; 3]), shape, bytes, 0)? {
            let part = image.read(&tile.core)?;
            if part.as_slice().iter().any(|&value| value > ceiling.near_lumps) {
                let mut lowered = part.map(|value| value.min(ceiling.most));
                ceiling.lower_near_lumps(lowered.voxels_mut(), &tile.part());
                image.write(tile.from(), &lowered)?;
            }
        }
        Ok(Self { image, factors, bright: ceiling.bright })
    }
}

/// What counts as the largest value of an image, of which all blocks were counted.
fn ceiling(image: &ScratchVolume<f32>, all: &Histogram, room: &Room) -> Result<Ceiling> {
    /// The image; of its blocks, of which there are no more than voxels, the means, both boxes around them, two steps on the way
    /// there, and what is thin.
    const BYTES: u64 = 10 * size_of::<f32>() as u64;
    let step = block_factors(grid(image));
    let reach = thin_reach(coarse_size(image.voxel_size(), step)?);
    let cubes = cube_sides(coarse_size(image.voxel_size(), step)?);
    let times = |n: [usize; 3]| [0, 1, 2].map(|axis| n[axis] * step[axis]);
    let cut = Cut { reach: times(reach), step: times(cubes) };
    let tiles = room.tiles(cut, image.shape(), BYTES, 0)?;
    Ceiling::of_parts(all, step, &|show| {
        for tile in &tiles {
            show(&blocks(&image.read(&tile.around)?)?, &blocks_of(tile, step));
        }
        Ok(())
    })
}

/// A tile that begins and ends between blocks of `step` voxels, as a part of the image of these.
fn blocks_of(tile: &Tile, step: [usize; 3]) -> Part {
    let Part { core, from } = tile.part();
    let core =
        [0, 1, 2].map(|axis| core[axis].start / step[axis]..core[axis].end.div_ceil(step[axis]));
    Part { core, from: over(from, step) }
}

fn core_of(labels: &Volume<u32>, part: &Part) -> Result<Volume<u32>> {
    let [z, y, x] = part.core.clone();
    Ok(Volume::new(labels.voxels().slice(s![z, y, x]).to_owned(), labels.voxel_size())?)
}

/// For each cell its number of voxels and the sums of their positions (z, y, x).
type Moments = Vec<(u64, [u64; 3])>;

/// How cells get their borders in the full image.
struct Refine<'a, T> {
    membrane: &'a ScratchVolume<T>,
    factors: [usize; 3],
    range: (f32, f32),
    width: Width,
}

impl<T: TiledPixel> Refine<'_, T> {
    /// The labels on the full grid, and the number of voxels of each and the sums of their places.
    fn labels(
        &self,
        cells: &ScratchRegions,
        sheets: &ScratchSheets,
        has_core: &[bool],
        room: &Room,
    ) -> Result<(ScratchVolume<u32>, Moments)> {
        let (full, full_size) = grid(self.membrane);
        let (shape, size) = grid(&cells.regions);
        // Cells, whether voxels are cores, and sheets.
        let borders = Borders::of(self.factors, full_size, self.width);
        let per_voxel = 14 + refine_bytes(borders, self.factors, size_of::<T>());
        let labels = room.scratch.volume(full, full_size)?;
        let mut moments = vec![(0, [0; 3]); has_core.len() - 1];
        let cut = Cut { reach: refine_reach(borders, size, self.width.um), step: [1; 3] };
        for tile in room.tiles(cut, shape, per_voxel, cells.held())? {
            let image = self.membrane.read(&enlarged(&tile.around, self.factors, full))?;
            let grid = FullGrid {
                image: &image,
                factors: self.factors,
                range: self.range,
                width: self.width,
            };
            let found = grid.enlarge(
                cells.read(&tile.around)?,
                borders.needed(|| sheets.read(&tile.around))?,
                has_core,
            )?;
            drop(image);
            let part = tile.part();
            let core = Part { core: enlarged(&part.core, self.factors, found.shape()), ..part };
            let found = core_of(&found, &core)?;
            let from = enlarged(&tile.core, self.factors, full).map(|range| range.start);
            add_moments(&mut moments, from, &found);
            labels.write(from, &found)?;
        }
        Ok((labels, moments))
    }
}

fn add_moments(moments: &mut [(u64, [u64; 3])], from: [usize; 3], labels: &Volume<u32>) {
    for ((z, y, x), &label) in labels.voxels().indexed_iter().filter(|(_, label)| **label > 0) {
        let (count, sums) = &mut moments[label as usize - 1];
        *count += 1;
        for (sum, at) in sums.iter_mut().zip([from[0] + z, from[1] + y, from[2] + x]) {
            *sum += at as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use primordia_data::phantom::{self, Optics, PhantomParams};
    use primordia_data::{Labels, Scratch};

    use super::*;
    use crate::block::whole;
    use crate::testing::tissue_of;

    /// What floods do not see beyond their tiles changes single voxels.
    const SAME: f64 = 0.002;

    type Preset = fn(VoxelSize) -> Optics;

    /// Cells that are some times as wide as usual.
    fn tissue(optics: Preset, voxel_um: [f64; 3], times: f64) -> Volume<u16> {
        let voxel_size = VoxelSize::from_um(voxel_um).unwrap();
        let params = PhantomParams {
            tissue: tissue_of(30, times),
            optics: optics(voxel_size),
            ..PhantomParams::default()
        };
        phantom::specimen(&params, 4).unwrap().membrane
    }

    /// The labels of tiles of which the smallest that can be have room, and those of the whole.
    fn in_tiles_and_whole(image: &Volume<u16>) -> (Labels, Labels) {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::beside(&folder.path().join("labels.tif"));
        let membrane = scratch.volume(image.shape(), image.voxel_size()).unwrap();
        membrane.write([0; 3], image).unwrap();
        let params = Auto::default();
        let mut room = Room { max_bytes: 1 << 20, scratch };
        let found = loop {
            match auto_in_tiles(&membrane, &params, None, &room) {
                Err(SegmentError::Memory { needed, .. }) => {
                    assert!(needed > room.max_bytes, "an error asks for more");
                    room.max_bytes = needed;
                }
                found => break found.unwrap(),
            }
        };
        let labels = Labels::new(found.labels.read(&whole(image.shape())).unwrap());
        let sizes: u64 = found.moments.iter().map(|(n, _)| n).sum();
        assert_eq!(sizes as usize, labels.volume().as_slice().iter().filter(|l| **l > 0).count());
        (labels, crate::auto(image, &params).unwrap().labels)
    }

    #[test]
    fn labels_found_in_tiles_are_those_of_the_whole() {
        // Borders in planes, as found, and in blocks of voxels; small cells.
        const BRIGHT: u16 = 800;
        let all: [(Preset, [f64; 3], f64); 4] = [
            (Optics::dim, [1.0, 0.45, 0.45], 1.0),
            (Optics::very_dim, [1.0, 0.45, 0.45], 1.0),
            (Optics::dim, [0.5, 0.2, 0.2], 1.0),
            (Optics::dim, [0.5, 0.2, 0.2], 0.5),
        ];
        for (optics, voxel_um, times) in all {
            let mut image = tissue(optics, voxel_um, times);
            image.voxels_mut().slice_mut(s![..8, ..20, ..20]).fill(BRIGHT); // debris
            let (tiled, whole) = in_tiles_and_whole(&image);
            let scores = crate::score(&tiled, &whole).unwrap();
            assert_eq!(scores.n_cells, scores.n_true);
            assert!(scores.adapted_rand_error <= SAME, "{scores:?}");
        }
    }
}
