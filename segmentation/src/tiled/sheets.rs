//! Sheets of an image that waits on disk, as the filter sees them, or as the filter and a network both do.

use ndarray::Array3;
use primordia_data::{ScratchVolume, Volume, VoxelSize};

use super::room::NETWORK_BYTES;
use super::{Room, apart, grid};
use crate::auto::Auto;
use crate::block::{Block, sides, whole};
use crate::error::Result;
use crate::evidence::Evidence;
use crate::network::{self, Boundary, Light};
use crate::resample::{Enlarged, coarse_size, divide, over, put};
use crate::sheet::{SheetFilter, SheetScale, Sheets, direction_reach, directions};
use crate::stencil::Direction;
use crate::strength::{
    CoarseSums, RawSheets, Strength, WIDTH_STEP, Width, choose_width, noise_gain,
};
use crate::tiles::{Cut, Tile};
use crate::witnesses::{agree, even_out, usual_evidence, usual_factors, width_cut, widths_um};
use crate::zoom::{Zoom, squares};

/// How the image shows its sheets.
pub(super) fn sheet_width(image: &ScratchVolume<f32>, params: &Auto, room: &Room) -> Result<Width> {
    const BYTES: u64 = 13; // the part, and both scales
    let (shape, size) = grid(image);
    let widths_um = widths_um(params, size);
    let mut contrasts = Vec::new();
    for width_um in widths_um {
        let scale = SheetScale::for_width(width_um);
        let mut strength = Strength::default();
        for tile in room.tiles(width_cut(scale, size), shape, BYTES, 0)? {
            strength.add(&image.read(&tile.around)?, &tile.part().core, scale, WIDTH_STEP)?;
        }
        contrasts.push(strength.contrast(image.n_voxels(), noise_gain(size, scale)?));
    }
    Ok(choose_width(&widths_um, &contrasts))
}

/// Sheets that wait on disk.
pub(super) struct ScratchSheets {
    pub(super) evidence: ScratchVolume<u16>,
    directions: ScratchVolume<u16>,
}

impl ScratchSheets {
    pub(super) fn read(&self, block: &Block) -> Result<Sheets> {
        let directions = self.directions.read(block)?.map(|&bits| Direction::from_bits(bits));
        Ok(Sheets { evidence: self.evidence(block)?, directions })
    }

    pub(super) fn evidence(&self, block: &Block) -> Result<Volume<Evidence>> {
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
pub(super) struct RawOnDisk {
    sheets: ScratchSheets,
    roughness: Volume<f32>,
}

pub(super) fn raw_sheets(
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
    pub(super) fn evened(self, scale: SheetScale, room: &Room) -> Result<ScratchSheets> {
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

/// What light there is in an image whose voxels are shown in some size.
fn light_of(image: &ScratchVolume<f32>, size: VoxelSize, room: &Room) -> Result<Light> {
    const BYTES: u64 = 4;
    let grid = (image.shape(), size);
    let factors = Light::factors(grid);
    let tiles = room.tiles(apart(factors), image.shape(), BYTES, 0)?;
    let mut total = 0.0;
    for tile in &tiles {
        total += image.read(&tile.core)?.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    let base = (total / image.n_voxels() as f64) as f32;
    let sums = coarse_sums(grid, factors, &tiles, |tile| {
        CoarseSums::new(&image.read(&tile.core)?, factors, |value| value - base)
    })?;
    Light::from_sums(factors, base, &sums)
}

/// What the network sees of an image.
pub(super) struct Seen {
    /// The probability of a boundary at each voxel; voxels have the size in which they were shown.
    probability: ScratchVolume<f32>,
    /// As [`Zoom::boundary_um2`].
    pub(super) boundary_um2: f64,
}

/// Shows an image to the network.
pub(super) fn seen(
    image: &ScratchVolume<f32>,
    zoom: Zoom,
    network: &Boundary,
    room: &Room,
) -> Result<Seen> {
    const BYTES: u64 = 4;
    room.check(NETWORK_BYTES)?;
    let (shape, size) = (image.shape(), zoom.voxel_size());
    let probability = room.scratch.volume::<f32>(shape, size)?;
    let light = light_of(image, size, room)?;
    network.add_probability(
        (shape, size),
        &light,
        |block| Ok(image.read(block)?.into_voxels()),
        |block, answer| {
            let mut sum = probability.read(block)?;
            network::add_to(&mut sum, &whole(sides(block)), &answer);
            Ok(probability.write(block.clone().map(|range| range.start), &sum)?)
        },
    )?;
    let mut sum = 0.0;
    for tile in room.tiles(apart([1; 3]), shape, BYTES, 0)? {
        sum += squares(probability.read(&tile.core)?.as_slice());
    }
    Ok(Seen { probability, boundary_um2: zoom.boundary_um2(sum) })
}

/// Sheets on which the filter and the network agree.
pub(super) fn with_network(
    sheets: ScratchSheets,
    seen: Seen,
    scale: SheetScale,
    room: &Room,
) -> Result<ScratchSheets> {
    const BYTES: u64 = 12; // what was learned, and evidence as bits and as such
    const DIRECTION_BYTES: u64 = 16; // what was learned, smooth, and directions as bits and as such
    let learned = seen.probability;
    let (shape, size) = grid(&learned);
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
    let size = sheets.evidence.voxel_size(); // as they are
    let cut = Cut { reach: direction_reach(scale, size), step: [1; 3] };
    for tile in room.tiles(cut, shape, DIRECTION_BYTES, 0)? {
        let part = Volume::new(learned.read(&tile.around)?.into_voxels(), size)?;
        sheets.write_directions(tile.from(), &directions(&part, &tile.part().core, scale)?)?;
    }
    Ok(sheets)
}
