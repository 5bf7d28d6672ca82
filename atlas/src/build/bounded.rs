//! Finding the cells of an image in bounded memory: whole where that fits, else in tiles.

use std::path::Path;

use ndarray::Array3;
use primordia_data::image::{Pixel, PixelType, Voxels, write_labels, write_scratch_labels};
use primordia_data::{Scratch, ScratchVolume, Volume};
use primordia_segmentation::network::Boundary;
use primordia_segmentation::tiled::TiledPixel;
use primordia_segmentation::{
    Auto, Room, SegmentError, Segmentation, TiledSegmentation, Verdict, auto_in_tiles, doubtful,
    mends, or_shipped, whole_bytes,
};

use super::cells::{Finder, Reference, segment_image};
use crate::error::{AtlasError, Result};
use crate::measured::FoundCell;

/// The cells of an image, their labels in memory or on disk.
pub enum Segmented {
    /// In memory.
    Whole(Segmentation),
    /// On disk.
    Tiled(TiledSegmentation),
}

impl Segmented {
    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        match self {
            Self::Whole(found) => found.labels.n_cells(),
            Self::Tiled(found) => found.evidence.len(),
        }
    }

    /// What to make of the whole, where the method says.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Whole(found) => found.verdict(),
            Self::Tiled(found) => Some(found.verdict()),
        }
    }

    /// The cells, for a table.
    pub fn cells(&self) -> Vec<FoundCell> {
        match self {
            Self::Whole(found) => FoundCell::all(found),
            Self::Tiled(found) => FoundCell::all_tiled(found),
        }
    }

    /// Writes the label image.
    ///
    /// # Errors
    /// [`AtlasError::Data`] if the file cannot be written.
    pub fn write_labels(&self, path: &Path) -> Result<()> {
        match self {
            Self::Whole(found) => write_labels(path, &found.labels)?,
            Self::Tiled(found) => {
                write_scratch_labels(path, &found.labels, found.evidence.len() as u32)?;
            }
        }
        Ok(())
    }
}

/// Segments the membranes of `reference` in at most `max_bytes` of memory: as [`segment_image`] where that fits, else in tiles, while
/// what does not fit waits in nameless files beside `output`. Also tells whether the network was asked because sheets left doubts.
///
/// # Errors
/// Those of [`segment_image`]; [`AtlasError::Segment`] with the file if the memory does not suffice, which says what would.
pub fn segment_within(
    reference: &Reference<'_>,
    finder: &Finder,
    max_bytes: u64,
    output: &Path,
) -> Result<(Segmented, bool)> {
    let image = reference.image;
    let shape = image.shape();
    let pixel_bytes = if reference.dark { 4 } else { image.pixel_type().n_bytes() } as u64;
    let needed = match finder {
        Finder::Sheets(_) => whole_bytes(shape, pixel_bytes, false),
        Finder::Auto(..) | Finder::Network(..) => whole_bytes(shape, pixel_bytes, true),
        Finder::Hartmann2020(_) => primordia_segmentation::hartmann2020_bytes(shape, pixel_bytes),
    };
    if needed <= max_bytes {
        let found = segment_image(reference, finder)?;
        return Ok((Segmented::Whole(found.cells), found.network_was_asked));
    }
    let room = Room { max_bytes, scratch: Scratch::beside(output) };
    let found = match image.pixel_type() {
        _ if reference.dark => in_tiles(&inverted(reference, &room)?, finder, &room, needed),
        PixelType::U8 => in_tiles(&on_disk(reference, &room, bytes)?, finder, &room, needed),
        PixelType::U16 => in_tiles(&on_disk(reference, &room, words)?, finder, &room, needed),
        _ => in_tiles(&on_disk(reference, &room, Voxels::into_f32)?, finder, &room, needed),
    };
    let path = image.path().to_owned();
    let (found, network_was_asked) =
        found.map_err(|source| AtlasError::Segment { path, source })?;
    Ok((Segmented::Tiled(found), network_was_asked))
}

fn bytes(voxels: Voxels) -> Array3<u8> {
    let Voxels::U8(voxels) = voxels else { unreachable!("the image says that it is of bytes") };
    voxels
}

fn words(voxels: Voxels) -> Array3<u16> {
    let Voxels::U16(voxels) = voxels else { unreachable!("the image says that it is of words") };
    voxels
}

/// `needed` is what the whole image takes.
fn in_tiles<T: TiledPixel>(
    membrane: &ScratchVolume<T>,
    finder: &Finder,
    room: &Room,
    needed: u64,
) -> Result<(TiledSegmentation, bool), SegmentError> {
    let find =
        |params: &Auto, network: Option<&Boundary>| auto_in_tiles(membrane, params, network, room);
    match finder {
        Finder::Auto(params, network) => {
            let verdict = |found: &TiledSegmentation| Some(found.verdict());
            let sheets = find(params, None);
            if let Some(doubtful) = doubtful(&sheets, verdict) {
                // Both answers wait on disk. With too little memory for the network, sheets answer.
                let asked = or_shipped(network.as_deref(), |network| find(params, Some(network)));
                if mends(&asked, verdict, &doubtful) {
                    return Ok((asked?, true));
                }
            }
            Ok((sheets?, false))
        }
        Finder::Sheets(params) => Ok((find(params, None)?, false)),
        Finder::Network(params, network) => Ok((find(params, Some(network))?, false)),
        // Its flood looks at the whole image.
        Finder::Hartmann2020(_) => Err(SegmentError::Memory { max_bytes: room.max_bytes, needed }),
    }
}

/// Reads the channel plane by plane, each part turned into what is kept by `keep`, onto the disk.
fn on_disk<T: Pixel>(
    reference: &Reference<'_>,
    room: &Room,
    keep: impl Fn(Voxels) -> Array3<T>,
) -> Result<ScratchVolume<T>> {
    let (image, voxel_size) = (reference.image, reference.image.required_voxel_size()?);
    let kept = room.scratch.volume(image.shape(), voxel_size)?;
    for_parts(reference, room, |first, voxels| {
        Ok(kept.write([first, 0, 0], &Volume::new(keep(voxels), voxel_size)?)?)
    })?;
    Ok(kept)
}

/// The channel with dark what was bright, within the same range.
fn inverted(reference: &Reference<'_>, room: &Room) -> Result<ScratchVolume<f32>> {
    let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
    for_parts(reference, room, |_, voxels| {
        for value in voxels.into_f32() {
            (least, most) = (least.min(value), most.max(value));
        }
        Ok(())
    })?;
    on_disk(reference, room, |voxels| voxels.into_f32().mapv_into(|value| least + (most - value)))
}

/// Calls `work` with the first plane and the voxels of one part of the channel after another.
fn for_parts(
    reference: &Reference<'_>,
    room: &Room,
    mut work: impl FnMut(usize, Voxels) -> Result<()>,
) -> Result<()> {
    /// A part takes less than this share of what may be taken.
    const SHARE: u64 = 16;
    /// Planes of the chunks that HDF5 files are often made of: better read at once.
    const CHUNK: usize = 16;
    let image = reference.image;
    let [n_z, n_y, n_x] = image.shape();
    let plane_bytes = 8 * (n_y * n_x) as u64; // of any type
    let n = ((room.max_bytes / SHARE / plane_bytes) as usize).max(1);
    let n = if n > CHUNK { n / CHUNK * CHUNK } else { n };
    for start in (0..n_z).step_by(n) {
        work(start, image.read_planes(reference.channel, start..(start + n).min(n_z))?)?;
    }
    Ok(())
}
