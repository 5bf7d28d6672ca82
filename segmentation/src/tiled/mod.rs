//! [`auto`](fn@crate::auto) in bounded memory.
//!
//! What does not fit in memory waits on disk, and each step goes over it in tiles (`tiles`). Steps that look at what is
//! around a voxel read as much around each tile as counts for its voxels, so their answers are those of the whole
//! image, bit for bit. Floods alone have no such bound; they are given a cell's width of surroundings (8 µm), beyond which in practice
//! nothing changes. There is one set of seeds, one graph of regions and one merge for the whole image.

mod room;

use ndarray::{Array3, s};
use primordia_data::{ScratchVolume, Volume, VoxelSize};

use self::room::NETWORK_BYTES;
pub use self::room::{Room, hartmann2020_bytes, whole_bytes};
use crate::auto::{
    Auto, Cells, agree, even_out, seed_reach, seeds, usual_evidence, usual_factors, width_cut,
    widths_um,
};
use crate::block::{Block, sides, whole};
use crate::confidence::{CellEvidence, Verdict};
use crate::error::{Result, SegmentError};
use crate::evidence::Evidence;
use crate::guide::Guide;
use crate::hartmann2020::finite_range;
use crate::joining::Image;
use crate::network::{self, Boundary, Light};
use crate::pieces::Counts;
use crate::refine::{FullGrid, mark_cores, refine_reach};
use crate::regions::{Part, Seams};
use crate::resample::{Enlarged, coarse_size, divide, enlarged, factors_on, over, put, shrink};
use crate::segmentation::rename;
use crate::sheet::{SheetFilter, SheetScale, Sheets, direction_reach, directions};
use crate::stencil::Direction;
use crate::strength::{CoarseSums, RawSheets, Strength, WIDTH_STEP, choose_width, noise_gain};
use crate::tiles::{Cut, Tile};
use crate::watershed::flood;

/// Floods see at least so much around a tile.
const FLOOD_UM: f64 = 8.0;
/// Bytes that a region, with its faces, takes while regions are joined.
const REGION_BYTES: u64 = 1_200;

/// The cells of one image, whose labels wait on disk.
#[derive(Debug)]
pub struct TiledSegmentation {
    /// The cells, numbered `1..=n`, on the grid of the image.
    pub labels: ScratchVolume<u32>,
    /// For each cell what speaks for it.
    pub evidence: Vec<CellEvidence>,
    /// For each cell its number of voxels and the sums of their positions (z, y, x).
    pub moments: Vec<(u64, [u64; 3])>,
}

impl TiledSegmentation {
    /// For each cell the probability that it is one whole cell.
    pub fn confidence(&self) -> Vec<f32> {
        self.evidence.iter().map(|cell| cell.probability() as f32).collect()
    }

    /// What to make of the whole.
    pub fn verdict(&self) -> Verdict {
        let labels: Vec<u32> = (1..=self.evidence.len() as u32).collect();
        Verdict::new(&labels, &self.confidence())
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
    let full = (membrane.shape(), membrane.voxel_size());
    let mut factors = factors_on(full, params.membrane_um);
    let mut image = shrunken(membrane, factors, room)?;
    let width_um = sheet_width(&image, params, room)?;
    if network.is_none() && factors_on(full, width_um) != factors {
        factors = factors_on(full, width_um);
        image = shrunken(membrane, factors, room)?;
    }
    let range = range_of(&image, room)?;
    let scale = SheetScale::for_width(width_um);
    let sheets = match network {
        None => raw_sheets(&image, scale, range, room)?.evened(scale, room)?,
        Some(network) => {
            let sheets = raw_sheets(&image, scale, range, room)?.evened(scale, room)?;
            with_network(sheets, &image, network, scale, room)?
        }
    };
    drop(image);
    let (mut regions, cells) = cells(&sheets, full.0, width_um, params, room)?;
    regions.rename(&cells.names);
    let has_core = with_cores(&regions, cells.evidence.len(), room)?;
    let refine = Refine { membrane, factors, range, width_um };
    let (labels, moments) = refine.labels(&regions, &sheets, &has_core, room)?;
    Ok(TiledSegmentation { labels, evidence: cells.evidence, moments })
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

/// The image with blocks of `factors` voxels merged.
fn shrunken<T: TiledPixel>(
    membrane: &ScratchVolume<T>,
    factors: [usize; 3],
    room: &Room,
) -> Result<ScratchVolume<f32>> {
    let (full, size) = grid(membrane);
    let shape = [0, 1, 2].map(|axis| full[axis].div_ceil(factors[axis]));
    let image = room.scratch.volume(shape, coarse_size(size, factors)?)?;
    let per_block = factors.iter().product::<usize>() as u64;
    let bytes = per_block * size_of::<T>() as u64 + 4;
    for tile in room.tiles(apart([1; 3]), shape, bytes, 0)? {
        let part = membrane.read(&enlarged(&tile.core, factors, full))?;
        image.write(tile.from(), &shrink(&part, factors, Into::into)?)?;
    }
    Ok(image)
}

/// How wide the image shows its sheets.
fn sheet_width(image: &ScratchVolume<f32>, params: &Auto, room: &Room) -> Result<f64> {
    const BYTES: u64 = 13; // the part, and both scales
    let (shape, size) = grid(image);
    let widths_um = widths_um(params, size);
    let mut over_noise = Vec::new();
    for width_um in widths_um {
        let scale = SheetScale::for_width(width_um);
        let mut strength = Strength::default();
        for tile in room.tiles(width_cut(scale, size), shape, BYTES, 0)? {
            strength.add(&image.read(&tile.around)?, &tile.part().core, scale, WIDTH_STEP)?;
        }
        over_noise.push(strength.over_noise(image.n_voxels(), noise_gain(size, scale)?));
    }
    Ok(choose_width(&widths_um, &over_noise))
}

/// Sheets that wait on disk.
struct ScratchSheets {
    evidence: ScratchVolume<u16>,
    directions: ScratchVolume<u16>,
}

impl ScratchSheets {
    fn read(&self, block: &Block) -> Result<Sheets> {
        let directions = self.directions.read(block)?.map(|&bits| Direction::from_bits(bits));
        Ok(Sheets { evidence: self.evidence(block)?, directions })
    }

    fn evidence(&self, block: &Block) -> Result<Volume<Evidence>> {
        Ok(self.evidence.read(block)?.map(|&bits| Evidence::from_bits(bits)))
    }

    fn write_evidence(&self, from: [usize; 3], evidence: &Volume<Evidence>) -> Result<()> {
        Ok(self.evidence.write(from, &evidence.map(|evidence| evidence.bits()))?)
    }

    fn write_directions(&self, from: [usize; 3], directions: &Volume<Direction>) -> Result<()> {
        Ok(self.directions.write(from, &directions.map(|direction| direction.bits()))?)
    }
}

/// Sheets that are not evened out, and the roughness of the image.
struct RawOnDisk {
    sheets: ScratchSheets,
    roughness: Volume<f32>,
}

fn raw_sheets(
    image: &ScratchVolume<f32>,
    scale: SheetScale,
    range: (f32, f32),
    room: &Room,
) -> Result<RawOnDisk> {
    const BYTES: u64 = 24; // the part, both scales, what is found in the core, and that as bits
    let (shape, size) = grid(image);
    let factors = usual_factors((shape, size), scale);
    let coarse = [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]));
    let mut roughness = Volume::new(Array3::zeros(coarse), coarse_size(size, factors)?)?;
    let sheets = ScratchSheets {
        evidence: room.scratch.volume(shape, size)?,
        directions: room.scratch.volume(shape, size)?,
    };
    let cut = Cut { reach: SheetFilter::reach(scale, size), step: factors };
    for tile in room.tiles(cut, shape, BYTES, 0)? {
        let part = image.read(&tile.around)?;
        let raw = RawSheets::new(&part, &tile.part().core, scale, range.1 - range.0, factors)?;
        sheets.write_evidence(tile.from(), &raw.sheets.evidence)?;
        sheets.write_directions(tile.from(), &raw.sheets.directions)?;
        put(&mut roughness, over(tile.from(), factors), &raw.roughness);
    }
    Ok(RawOnDisk { sheets, roughness })
}

impl RawOnDisk {
    /// Divided by what is usual nearby.
    fn evened(self, scale: SheetScale, room: &Room) -> Result<ScratchSheets> {
        const BYTES: u64 = 8; // as bits and as evidence, read and to be written
        let (shape, size) = grid(&self.sheets.evidence);
        let factors = usual_factors((shape, size), scale);
        let tiles = room.tiles(apart(factors), shape, BYTES, 0)?;
        let sums = coarse_sums((shape, size), factors, &tiles, |tile| {
            CoarseSums::new(&self.sheets.evidence(&tile.core)?, factors, Evidence::value)
        })?;
        let usual = usual_evidence(&sums, &self.roughness, size, scale)?;
        let usual = Enlarged::new(&usual, factors);
        for tile in &tiles {
            let mut evidence = self.sheets.evidence(&tile.core)?;
            even_out(&mut evidence, tile.from(), &usual);
            self.sheets.write_evidence(tile.from(), &evidence)?;
        }
        Ok(self.sheets)
    }
}

/// Coarse sums of a grid from those of its tiles.
fn coarse_sums(
    (shape, size): ([usize; 3], VoxelSize),
    factors: [usize; 3],
    tiles: &[Tile],
    of: impl Fn(&Tile) -> Result<CoarseSums>,
) -> Result<CoarseSums> {
    let coarse = [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]));
    let mut sums = CoarseSums::zeros(coarse, coarse_size(size, factors)?)?;
    for tile in tiles {
        sums.put(over(tile.from(), factors), &of(tile)?);
    }
    Ok(sums)
}

/// What light there is in an image.
fn light_of(image: &ScratchVolume<f32>, room: &Room) -> Result<Light> {
    const BYTES: u64 = 4;
    let factors = Light::factors(grid(image));
    let tiles = room.tiles(apart(factors), image.shape(), BYTES, 0)?;
    let mut total = 0.0;
    for tile in &tiles {
        total += image.read(&tile.core)?.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    let base = (total / image.n_voxels() as f64) as f32;
    let sums = coarse_sums(grid(image), factors, &tiles, |tile| {
        CoarseSums::new(&image.read(&tile.core)?, factors, |value| value - base)
    })?;
    Light::from_sums(factors, base, &sums)
}

/// Sheets on which the filter and the network agree.
fn with_network(
    sheets: ScratchSheets,
    image: &ScratchVolume<f32>,
    network: &Boundary,
    scale: SheetScale,
    room: &Room,
) -> Result<ScratchSheets> {
    const BYTES: u64 = 12; // what was learned, and evidence as bits and as such
    const DIRECTION_BYTES: u64 = 16; // what was learned, smooth, and directions as bits and as such
    room.check(NETWORK_BYTES)?;
    let (shape, size) = grid(image);
    let learned = room.scratch.volume::<f32>(shape, size)?;
    let light = light_of(image, room)?;
    network.add_probability(
        (shape, size),
        &light,
        |block| Ok(image.read(block)?.into_voxels()),
        |block, answer| {
            let mut sum = learned.read(block)?;
            network::add_to(&mut sum, &whole(sides(block)), &answer);
            Ok(learned.write(block.clone().map(|range| range.start), &sum)?)
        },
    )?;
    let factors = network::usual_factors((shape, size));
    let tiles = room.tiles(apart(factors), shape, BYTES, 0)?;
    let sums = coarse_sums((shape, size), factors, &tiles, |tile| {
        CoarseSums::new(&learned.read(&tile.core)?, factors, |value| value)
    })?;
    let usual = network::usual(&sums)?;
    let usual = Enlarged::new(&usual, factors);
    for tile in &tiles {
        let mut part = learned.read(&tile.core)?;
        divide(&mut part, tile.from(), &usual, |value, usual| value / usual);
        learned.write(tile.from(), &part)?;
        let mut evidence = sheets.evidence(&tile.core)?;
        agree(&mut evidence, part.as_slice());
        sheets.write_evidence(tile.from(), &evidence)?;
    }
    let cut = Cut { reach: direction_reach(scale, size), step: [1; 3] };
    for tile in room.tiles(cut, shape, DIRECTION_BYTES, 0)? {
        let found = directions(&learned.read(&tile.around)?, &tile.part().core, scale)?;
        sheets.write_directions(tile.from(), &found)?;
    }
    Ok(sheets)
}

/// Regions of the over-segmentation, or cells, that wait on disk.
struct ScratchRegions {
    regions: ScratchVolume<u32>,
    /// What each region is called by now.
    names: Option<Vec<u32>>,
}

impl ScratchRegions {
    fn rename(&mut self, names: &[u32]) {
        self.names = Some(names.to_vec());
    }

    fn read(&self, block: &Block) -> Result<Volume<u32>> {
        let mut regions = self.regions.read(block)?;
        if let Some(names) = &self.names {
            rename(&mut regions, names);
        }
        Ok(regions)
    }

    /// What the names take.
    fn held(&self) -> u64 {
        self.names.as_ref().map_or(0, |names| 4 * names.len() as u64)
    }
}

/// The regions of an image whose full grid has some shape, and which cells they are.
fn cells(
    sheets: &ScratchSheets,
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

fn core_of(labels: &Volume<u32>, part: &Part) -> Result<Volume<u32>> {
    let [z, y, x] = part.core.clone();
    Ok(Volume::new(labels.voxels().slice(s![z, y, x]).to_owned(), labels.voxel_size())?)
}

/// Which of the cells `0..=n_cells` have a core.
fn with_cores(cells: &ScratchRegions, n_cells: usize, room: &Room) -> Result<Vec<bool>> {
    const BYTES: u64 = 5;
    let mut has_core = vec![false; n_cells + 1];
    let cut = Cut { reach: [1; 3], step: [1; 3] };
    for tile in room.tiles(cut, cells.regions.shape(), BYTES, cells.held())? {
        mark_cores(&cells.read(&tile.around)?, &tile.part().core, &mut has_core);
    }
    Ok(has_core)
}

/// For each cell its number of voxels and the sums of their positions (z, y, x).
type Moments = Vec<(u64, [u64; 3])>;

/// How cells get their borders in the full image.
struct Refine<'a, T> {
    membrane: &'a ScratchVolume<T>,
    factors: [usize; 3],
    range: (f32, f32),
    width_um: f64,
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
        // Cells, whether voxels are cores, and sheets; at the full grid the image, labels, levels, and the voxels that wait.
        let per_voxel = 14 + self.factors.iter().product::<usize>() as u64 * Self::full_bytes();
        let (full, full_size) = grid(self.membrane);
        let (shape, size) = grid(&cells.regions);
        let labels = room.scratch.volume(full, full_size)?;
        let mut moments = vec![(0, [0; 3]); has_core.len() - 1];
        let cut = Cut { reach: refine_reach(size, self.factors, self.width_um), step: [1; 3] };
        for tile in room.tiles(cut, shape, per_voxel, cells.held())? {
            let image = self.membrane.read(&enlarged(&tile.around, self.factors, full))?;
            let grid = FullGrid {
                image: &image,
                factors: self.factors,
                range: self.range,
                width_um: self.width_um,
            };
            let found = grid.enlarge(
                cells.read(&tile.around)?,
                sheets.read(&tile.around)?.into(),
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

    /// Bytes per voxel of the full grid.
    fn full_bytes() -> u64 {
        size_of::<T>() as u64 + 4 + 2 + 6
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
    use super::*;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
    use primordia_data::{Labels, Scratch};

    /// What floods do not see beyond their tiles changes single voxels.
    const SAME: f64 = 0.002;

    fn tissue(voxel_um: [f64; 3]) -> Volume<u16> {
        let voxel_size = VoxelSize::from_um(voxel_um).unwrap();
        let params = PhantomParams {
            tissue: TissueParams { n_cells: 30, ..TissueParams::default() },
            optics: Optics::dim(voxel_size),
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
        for voxel_um in [[1.0, 0.45, 0.45], [0.5, 0.2, 0.2]] {
            let (tiled, whole) = in_tiles_and_whole(&tissue(voxel_um));
            let scores = crate::score(&tiled, &whole).unwrap();
            assert_eq!(scores.n_cells, scores.n_true);
            assert!(scores.adapted_rand_error <= SAME, "{scores:?}");
        }
    }
}
