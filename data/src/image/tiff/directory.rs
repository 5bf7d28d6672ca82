//! The directories of a TIFF file: one list of tags per page, classic and `BigTIFF`, either byte order.
//!
//! After the TIFF 6.0 specification (Adobe 1992) and the `BigTIFF` extension of libtiff.

use std::collections::HashSet;

use crate::image::bytes::FileBytes;
use crate::image::problem::{ImageProblem, Result};

/// Tags that are read, by the names of the specification.
pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const IMAGE_WIDTH: u16 = 256;
    pub(in super::super) const IMAGE_LENGTH: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const IMAGE_DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const X_RESOLUTION: u16 = 282;
    pub(in super::super) const Y_RESOLUTION: u16 = 283;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const RESOLUTION_UNIT: u16 = 296;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const ZEISS_LSM: u16 = 34412;
    pub(in super::super) const IMAGEJ_BYTE_COUNTS: u16 = 50838;
    pub(in super::super) const IMAGEJ_METADATA: u16 = 50839;

    pub(super) const READ: [u16; 25] = [
        NEW_SUBFILE_TYPE,
        IMAGE_WIDTH,
        IMAGE_LENGTH,
        BITS_PER_SAMPLE,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        IMAGE_DESCRIPTION,
        STRIP_OFFSETS,
        SAMPLES_PER_PIXEL,
        ROWS_PER_STRIP,
        STRIP_BYTE_COUNTS,
        X_RESOLUTION,
        Y_RESOLUTION,
        PLANAR_CONFIGURATION,
        RESOLUTION_UNIT,
        PREDICTOR,
        TILE_WIDTH,
        TILE_LENGTH,
        TILE_OFFSETS,
        TILE_BYTE_COUNTS,
        SAMPLE_FORMAT,
        ZEISS_LSM,
        IMAGEJ_BYTE_COUNTS,
        IMAGEJ_METADATA,
    ];
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        }
    }

    pub(super) fn is_native(self) -> bool {
        (self == Self::Little) == cfg!(target_endian = "little")
    }

    /// The unsigned number of 1 to 8 bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, shift),
            Self::Big => bytes.iter().fold(0, shift),
        }
    }
}

/// How the file writes numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) order: ByteOrder,
    pub(super) big: bool,
}

/// The tags of one page.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// Its place in the chain, from 0.
    pub(super) page: usize,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    values: Values,
}

/// Where the values of a tag are.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// In the directory itself, as the file writes them.
    Here([u8; 8]),
    /// From this byte of the file on.
    At(u64),
}

impl Entry {
    /// The bytes of one value; 0 for a kind that the specification does not know.
    fn value_bytes(&self) -> u64 {
        match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 0,
        }
    }
}

/// An open TIFF: its bytes, its dialect and what remains of its reading budget.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a FileBytes,
    pub(super) dialect: Dialect,
    budget: u64,
}

impl<'a> Reader<'a> {
    /// Reads the header.
    pub(super) fn new(bytes: &'a FileBytes) -> Result<(Self, u64)> {
        let header = bytes.read("the TIFF header", 0, 8)?;
        let order = if header[0] == b'I' { ByteOrder::Little } else { ByteOrder::Big };
        let big = order.number(&header[2..4]) == 43;
        let first = if big {
            order.number(&bytes.read("the BigTIFF header", 8, 8)?)
        } else {
            order.number(&header[4..8])
        };
        // No honest file has its tables read more often than its length; overlapping ones would.
        let budget = bytes.len().saturating_mul(4).saturating_add(1 << 16);
        Ok((Self { bytes, dialect: Dialect { order, big }, budget }, first))
    }

    /// All pages, in the order of the chain that begins at `first`.
    pub(super) fn directories(&mut self, first: u64) -> Result<Vec<Directory>> {
        let mut directories = Vec::new();
        let mut seen = HashSet::new();
        let mut next = first;
        while next != 0 {
            if !seen.insert(next) {
                return Err(ImageProblem::CyclicPages { offset: next });
            }
            let (directory, following) = self.directory(directories.len(), next)?;
            directories.push(directory);
            next = following;
        }
        Ok(directories)
    }

    fn directory(&mut self, page: usize, offset: u64) -> Result<(Directory, u64)> {
        let (count_bytes, entry_bytes, next_bytes) =
            if self.dialect.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number("a page directory", offset, count_bytes)?;
        let length = count.saturating_mul(entry_bytes).saturating_add(next_bytes);
        let table = self.spend("a page directory", offset + count_bytes, length)?;
        let (entries, next) = table.split_at(table.len() - next_bytes as usize);
        let entries = entries
            .chunks_exact(entry_bytes as usize)
            .filter_map(|entry| self.entry(entry))
            .collect();
        Ok((Directory { page, entries }, self.dialect.order.number(next)))
    }

    fn entry(&self, entry: &[u8]) -> Option<Entry> {
        let order = self.dialect.order;
        let tag = order.number(&entry[0..2]) as u16;
        if !tag::READ.contains(&tag) {
            return None;
        }
        let width = if self.dialect.big { 8 } else { 4 };
        let count = order.number(&entry[4..4 + width]);
        let field = &entry[4 + width..];
        let kind = order.number(&entry[2..4]) as u16;
        let mut entry = Entry { tag, kind, count, values: Values::At(order.number(field)) };
        if entry.value_bytes().saturating_mul(count) <= width as u64 {
            let mut here = [0; 8];
            here[..width].copy_from_slice(field);
            entry.values = Values::Here(here);
        }
        Some(entry)
    }

    fn number(&mut self, what: &'static str, offset: u64, n: u64) -> Result<u64> {
        let bytes = self.spend(what, offset, n)?;
        Ok(self.dialect.order.number(&bytes))
    }

    fn spend(&mut self, what: &'static str, offset: u64, n: u64) -> Result<Vec<u8>> {
        self.bytes.check(what, offset, n)?;
        self.budget = self.budget.checked_sub(n).ok_or(ImageProblem::OverlappingPages)?;
        self.bytes.read(what, offset, n)
    }

    /// The bytes of a tag, as they stand in the file.
    pub(super) fn raw(&mut self, directory: &Directory, tag: u16) -> Result<Option<Vec<u8>>> {
        let Some(entry) = directory.entries.iter().find(|entry| entry.tag == tag).copied() else {
            return Ok(None);
        };
        let length = entry.value_bytes().saturating_mul(entry.count);
        match entry.values {
            Values::Here(bytes) => Ok(Some(bytes[..length as usize].to_vec())),
            Values::At(offset) => self.spend("the value of a tag", offset, length).map(Some),
        }
    }

    /// The unsigned whole numbers of a tag; `None` if the page lacks it or holds something else there.
    pub(super) fn integers(&mut self, page: &Directory, tag: u16) -> Result<Option<Vec<u64>>> {
        let kind = page.entries.iter().find(|entry| entry.tag == tag).map(|entry| entry.kind);
        let width = match kind {
            Some(1) => 1,
            Some(3) => 2,
            Some(4 | 13) => 4,
            Some(16 | 18) => 8,
            _ => return Ok(None),
        };
        let order = self.dialect.order;
        let raw = self.raw(page, tag)?.unwrap_or_default();
        Ok(Some(raw.chunks_exact(width).map(|bytes| order.number(bytes)).collect()))
    }

    /// The first number of a tag.
    pub(super) fn integer(&mut self, page: &Directory, tag: u16) -> Result<Option<u64>> {
        Ok(self.integers(page, tag)?.and_then(|numbers| numbers.first().copied()))
    }

    /// A fraction, as resolutions are.
    pub(super) fn rational(&mut self, page: &Directory, tag: u16) -> Result<Option<f64>> {
        let is_rational =
            page.entries.iter().any(|entry| entry.tag == tag && entry.kind == 5 && entry.count > 0);
        if !is_rational {
            return Ok(None);
        }
        let order = self.dialect.order;
        let raw = self.raw(page, tag)?.unwrap_or_default();
        let (above, below) = (order.number(&raw[0..4]), order.number(&raw[4..8]));
        Ok((below != 0).then(|| above as f64 / below as f64))
    }

    /// A text: UTF-8, else Latin-1 as old programs write it, up to its end mark.
    pub(super) fn text(&mut self, page: &Directory, tag: u16) -> Result<Option<String>> {
        let Some(mut raw) = self.raw(page, tag)? else { return Ok(None) };
        if let Some(end) = raw.iter().position(|&byte| byte == 0) {
            raw.truncate(end);
        }
        let text = String::from_utf8(raw).unwrap_or_else(|error| {
            error.into_bytes().iter().map(|&byte| char::from(byte)).collect()
        });
        Ok(Some(text))
    }
}
