//! TIFF in: pages found and understood when opened, decoded when read.
//!
//! [`directory`] lists the tags of every page, [`page`] checks how one is stored, [`decode`]
//! unpacks it; [`ome`], [`imagej`] and [`shaped`] say what the pages mean ([`meaning`]).

mod decode;
mod directory;
mod imagej;
mod meaning;
mod ome;
mod page;
mod shaped;
pub(super) mod write;

use std::borrow::Cow;
use std::ops::Range;

use ndarray::Array3;
use rayon::prelude::*;

use self::directory::{Directory, Reader, tag};
use self::meaning::Meaning;
use self::page::{Compression, Page, SampleKind};
use super::bytes::FileBytes;
use super::facts::Facts;
use super::problem::{ImageProblem, Result};
use super::voxels::Voxels;

/// The planes of an opened TIFF.
#[derive(Clone, Debug)]
pub(super) struct TiffImage {
    planes: Planes,
    n_page_channels: usize,
    n_slices: usize,
}

#[derive(Clone, Debug)]
enum Planes {
    /// One page per plane, in the order t, c, z.
    Pages(Vec<Page>),
    /// One page, its plane followed by all others without pages of their own. Where plane t, c, z
    /// stands among them is in the table.
    Contiguous { first: Page, places: Vec<usize> },
}

/// Whether a file begins like a TIFF.
pub(super) fn is_tiff(start: &[u8]) -> bool {
    matches!(start.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

impl TiffImage {
    /// Reads everything but the pixels.
    pub(super) fn open(bytes: &FileBytes) -> Result<(Self, Facts)> {
        let (mut reader, first) = Reader::new(bytes)?;
        let directories = reader.directories(first)?;
        let full = full_size(&mut reader, &directories)?;
        let first = full.first().ok_or(ImageProblem::NoPages)?;
        let page = Page::read(&mut reader, first)?;
        let meaning = understand(&mut reader, &directories, &full, &page)?;
        let planes = planes(&mut reader, &directories, &full, &page, &meaning)?;
        page.check_plausible(meaning.grid.z as usize, bytes.len())?;
        let facts = facts(&reader, &page, &meaning);
        let [c, z] = [meaning.grid.c as usize, meaning.grid.z as usize];
        Ok((Self { planes, n_page_channels: c, n_slices: z }, facts))
    }

    /// Decodes slices of one channel of one time point; all are known to exist.
    pub(super) fn read(
        &self,
        bytes: &FileBytes,
        t: usize,
        channel: usize,
        slices: Range<usize>,
    ) -> Result<Voxels> {
        let samples = self.page(0).samples;
        let (c, sample) = (channel / samples, channel % samples);
        let first = (t * self.n_page_channels + c) * self.n_slices;
        let planes = slices.map(|z| self.page(first + z)).collect::<Vec<_>>();
        read_stack(bytes, &planes, sample)
    }

    fn page(&self, plane: usize) -> Cow<'_, Page> {
        match &self.planes {
            Planes::Pages(pages) => Cow::Borrowed(&pages[plane]),
            Planes::Contiguous { first, places } => {
                let mut page = first.clone();
                let plane_bytes = first.plane_bytes() as u64 * first.samples as u64;
                let skipped = plane_bytes * places[plane] as u64;
                page.chunk = [page.height, page.width];
                page.chunks = vec![(first.chunks[0].0 + skipped, plane_bytes)];
                Cow::Owned(page)
            }
        }
    }
}

/// The pages that are no thumbnails and no coarser levels of others.
fn full_size<'a>(
    reader: &mut Reader<'_>,
    directories: &'a [Directory],
) -> Result<Vec<&'a Directory>> {
    let mut full = Vec::new();
    for directory in directories {
        let kind = reader.integer(directory, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0);
        if kind & 1 == 0 {
            full.push(directory);
        }
    }
    Ok(full)
}

fn understand(
    reader: &mut Reader<'_>,
    directories: &[Directory],
    full: &[&Directory],
    page: &Page,
) -> Result<Meaning> {
    let first = full[0];
    let description = reader.text(&directories[0], tag::IMAGE_DESCRIPTION)?.unwrap_or_default();
    if let Some(meaning) = ome::meaning(&description, page, directories.len())? {
        return Ok(meaning);
    }
    if let Some(meaning) = imagej::meaning(reader, first, &description)? {
        return Ok(meaning);
    }
    if let Some(meaning) = shaped::meaning(reader, first, page, &description)? {
        return Ok(meaning);
    }
    let n_alike = full.iter().take_while(|other| is_like(reader, other, page)).count();
    let mut meaning = meaning::plain(reader, first, n_alike)?;
    if n_alike < full.len() {
        meaning.warnings.push(format!(
            "{} of {} pages are left out: page {n_alike} has another size or type than the first",
            full.len() - n_alike,
            full.len()
        ));
    }
    Ok(meaning)
}

fn is_like(reader: &mut Reader<'_>, directory: &Directory, first: &Page) -> bool {
    Page::read(reader, directory).is_ok_and(|page| page.shape_in_words() == first.shape_in_words())
}

fn planes(
    reader: &mut Reader<'_>,
    directories: &[Directory],
    full: &[&Directory],
    first: &Page,
    meaning: &Meaning,
) -> Result<Planes> {
    if full.len() == 1 && meaning.grid.n_planes() > 1 && is_contiguous(first) {
        let places = contiguous_places(first, meaning, reader.bytes)?;
        return Ok(Planes::Contiguous { first: first.clone(), places });
    }
    let pages = if let Some(pages) = &meaning.pages {
        pages.iter().map(|&page| Page::read(reader, &directories[page])).collect::<Result<_>>()?
    } else {
        meaning.grid.check(full.len())?;
        let places = in_order(meaning).into_iter();
        places.map(|place| Page::read(reader, full[place])).collect::<Result<Vec<_>>>()?
    };
    check_alike(&pages, first)?;
    Ok(Planes::Pages(pages))
}

fn is_contiguous(page: &Page) -> bool {
    page.compression == Compression::None && !page.tiled && !page.planar
}

fn contiguous_places(first: &Page, meaning: &Meaning, bytes: &FileBytes) -> Result<Vec<usize>> {
    let grid = meaning.grid;
    let needed = (first.plane_bytes() * first.samples as u128).saturating_mul(grid.n_planes());
    let start = first.chunks[0].0;
    let room = bytes.len().saturating_sub(start);
    if needed > u128::from(room) {
        return Err(ImageProblem::Implausible { claimed: needed, found: room });
    }
    grid.check(grid.n_planes() as usize)?;
    Ok(in_order(meaning))
}

/// The place in the file of every plane, in the order t, c, z.
fn in_order(meaning: &Meaning) -> Vec<usize> {
    let grid = meaning.grid;
    let mut places = Vec::with_capacity(grid.n_planes() as usize);
    for t in 0..grid.t as usize {
        for c in 0..grid.c as usize {
            places.extend((0..grid.z as usize).map(|z| grid.place(t, c, z)));
        }
    }
    places
}

fn check_alike(pages: &[Page], first: &Page) -> Result<()> {
    let wanted = first.shape_in_words();
    for page in pages {
        let found = page.shape_in_words();
        if found != wanted {
            return Err(ImageProblem::PagesDiffer { page: page.page, found, wanted });
        }
    }
    Ok(())
}

fn facts(reader: &Reader<'_>, page: &Page, meaning: &Meaning) -> Facts {
    let grid = meaning.grid;
    let n_channels = grid.c as usize * page.samples;
    let mut channel_names = meaning.channel_names.clone();
    if channel_names.len() != n_channels {
        channel_names = vec![None; n_channels];
    }
    let big = if reader.dialect.big { " (BigTIFF)" } else { "" };
    let samples = if page.samples > 1 && !meaning.axes.contains('S') { "S" } else { "" };
    Facts {
        format: format!("{}{big}", meaning.format),
        byte_order: reader.dialect.order.name(),
        compression: page.compression.name().to_owned(),
        axes: format!("{}{samples}", meaning.axes),
        n_timepoints: grid.t as usize,
        channel_names,
        shape: [grid.z as usize, page.height, page.width],
        stored_type: page.sample.name().to_owned(),
        pixel_type: page.sample.pixel_type(),
        size: meaning.calibration.clone().verdict(grid.z as usize),
        warnings: meaning.warnings.clone(),
    }
}

fn read_stack(bytes: &FileBytes, planes: &[Cow<'_, Page>], sample: usize) -> Result<Voxels> {
    let stored = planes[0].sample;
    match (stored.kind, stored.bytes) {
        (SampleKind::Float, 4) => Ok(Voxels::F32(read_as(bytes, planes, sample)?)),
        (SampleKind::Float, _) => Ok(Voxels::F64(read_as(bytes, planes, sample)?)),
        (kind, 1) => {
            let voxels = read_as::<u8>(bytes, planes, sample)?;
            check_sign(kind, stored.name(), &voxels, |value| value > i8::MAX as u8)?;
            Ok(Voxels::U8(voxels))
        }
        (kind, 2) => {
            let voxels = read_as::<u16>(bytes, planes, sample)?;
            check_sign(kind, stored.name(), &voxels, |value| value > i16::MAX as u16)?;
            Ok(Voxels::U16(voxels))
        }
        (kind, 4) => {
            let voxels = read_as::<u32>(bytes, planes, sample)?;
            check_sign(kind, stored.name(), &voxels, |value| value > i32::MAX as u32)?;
            Ok(Voxels::U32(voxels))
        }
        (kind, _) => {
            let voxels = read_as::<u64>(bytes, planes, sample)?;
            check_sign(kind, stored.name(), &voxels, |value| value > i64::MAX as u64)?;
            narrowed(&voxels).map(Voxels::U32)
        }
    }
}

/// Refuses the negative numbers of a signed type; all others are the same bits unsigned.
fn check_sign<T: Copy + Sync>(
    kind: SampleKind,
    pixel_type: &'static str,
    voxels: &Array3<T>,
    is_negative: impl Fn(T) -> bool,
) -> Result<()> {
    if kind == SampleKind::Unsigned {
        return Ok(());
    }
    match voxels.iter().filter(|&&value| is_negative(value)).count() {
        0 => Ok(()),
        count => Err(ImageProblem::Negative { count, pixel_type }),
    }
}

/// 64 bit integers as 32 bit ones, if they fit.
pub(super) fn narrowed(voxels: &Array3<u64>) -> Result<Array3<u32>> {
    match voxels.iter().filter(|&&value| value > u64::from(u32::MAX)).count() {
        0 => Ok(voxels.mapv(|value| value as u32)),
        count => Err(ImageProblem::TooLarge { count }),
    }
}

/// Decodes planes in parallel, each straight into its place.
fn read_as<T: bytemuck::Pod + Send>(
    bytes: &FileBytes,
    planes: &[Cow<'_, Page>],
    sample: usize,
) -> Result<Array3<T>> {
    let (height, width) = (planes[0].height, planes[0].width);
    let n_bytes = planes[0].plane_bytes() * planes.len() as u128;
    let refused = || ImageProblem::Memory { bytes: n_bytes };
    let n_voxels = usize::try_from(n_bytes).map_err(|_| refused())? / size_of::<T>();
    let mut voxels: Vec<T> =
        bytemuck::allocation::try_zeroed_vec(n_voxels).map_err(|()| refused())?;
    voxels.par_chunks_mut(height * width).zip(planes).try_for_each(|(out, page)| {
        decode::read_plane(bytes, page, sample, bytemuck::cast_slice_mut(out))
    })?;
    Array3::from_shape_vec((planes.len(), height, width), voxels).map_err(|_| refused())
}
