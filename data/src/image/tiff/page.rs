//! How the pixels of one page are stored, checked against the file before anything is allocated.

use super::directory::{ByteOrder, Directory, Reader, tag};
use crate::image::problem::{ImageProblem, Result};
use crate::image::voxels::PixelType;

/// How the bytes of a strip or tile are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Lzw => "LZW",
            Self::Deflate => "deflate",
            Self::PackBits => "PackBits",
            Self::Zstd => "zstd",
        }
    }

    /// The most bytes that one stored byte can stand for.
    fn largest_ratio(self) -> u64 {
        match self {
            Self::None => 1,
            Self::PackBits => 64,  // two bytes for a run of 128
            Self::Deflate => 1032, // two bits for a run of 258
            Self::Lzw => 2560,     // 12 bits for the longest string, 3839 bytes
            Self::Zstd => 44_000,  // three bytes for a block of 128 KiB
        }
    }

    fn from_code(code: u64) -> Result<Self> {
        let name = match code {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            50_000 | 34_926 => return Ok(Self::Zstd),
            2..=4 => "a fax code",
            6 | 7 => "JPEG",
            33_003 | 33_004 | 33_005 | 34_712 => "JPEG 2000",
            34_887 => "LERC",
            34_892 | 34_933 => "lossy JPEG or PNG",
            34_925 => "LZMA",
            22_610 | 34_934 => "JPEG XR",
            50_001 => "WebP",
            50_002 | 52_546 => "JPEG XL",
            _ => "an unknown method",
        };
        Err(ImageProblem::Compression { code, name })
    }
}

/// What is stored in place of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    /// The pixels themselves.
    None,
    /// Differences between neighbours in a row.
    Horizontal,
    /// Differences between the shuffled bytes of floats in a row (Adobe Photoshop TIFF note 3).
    Float,
}

/// The type of one stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) bytes: usize,
    pub(super) kind: SampleKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleKind {
    Unsigned,
    Signed,
    Float,
}

impl Sample {
    fn from_tags(bits: u64, format: u64) -> Result<Self> {
        let kind = match (format, bits) {
            (1 | 4, 8 | 16 | 32 | 64) => SampleKind::Unsigned,
            (2, 8 | 16 | 32 | 64) => SampleKind::Signed,
            (3, 32 | 64) => SampleKind::Float,
            _ => return Err(ImageProblem::PixelType { what: unread_type(bits, format) }),
        };
        Ok(Self { bytes: bits as usize / 8, kind })
    }

    /// The name that numpy gives it.
    pub(super) fn name(self) -> &'static str {
        match (self.kind, self.bytes) {
            (SampleKind::Unsigned, 1) => "uint8",
            (SampleKind::Unsigned, 2) => "uint16",
            (SampleKind::Unsigned, 4) => "uint32",
            (SampleKind::Unsigned, _) => "uint64",
            (SampleKind::Signed, 1) => "int8",
            (SampleKind::Signed, 2) => "int16",
            (SampleKind::Signed, 4) => "int32",
            (SampleKind::Signed, _) => "int64",
            (SampleKind::Float, 4) => "float32",
            (SampleKind::Float, _) => "float64",
        }
    }

    /// What it becomes when read: signed numbers, if none is negative, unsigned ones.
    pub(super) fn pixel_type(self) -> PixelType {
        match (self.kind, self.bytes) {
            (SampleKind::Float, 4) => PixelType::F32,
            (SampleKind::Float, _) => PixelType::F64,
            (_, 1) => PixelType::U8,
            (_, 2) => PixelType::U16,
            _ => PixelType::U32,
        }
    }
}

fn unread_type(bits: u64, format: u64) -> String {
    match format {
        1 | 4 => format!("{bits} bit integers"),
        2 => format!("{bits} bit signed integers"),
        3 => format!("{bits} bit floats"),
        5 | 6 => format!("complex numbers of {bits} bits"),
        _ => format!("{bits} bit numbers of unknown format {format}"),
    }
}

/// Beyond any microscope and any stitched slide; with [`LARGEST_SAMPLES`] of 8 bytes no product of
/// sizes overflows 64 bits.
const LARGEST_SIDE: u64 = 1 << 25;
const LARGEST_SAMPLES: u64 = 256;
const LARGEST_TILE: usize = 1 << 24; // pixels

/// One page, ready to be decoded.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) page: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Numbers per pixel: 1, or 3 for RGB.
    pub(super) samples: usize,
    /// Whether each sample has its own strips (or tiles).
    pub(super) planar: bool,
    pub(super) sample: Sample,
    pub(super) order: ByteOrder,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    pub(super) tiled: bool,
    /// Rows and columns of a strip or tile.
    pub(super) chunk: [usize; 2],
    /// Where each strip or tile begins and how long it is: row by row, then sample by sample.
    pub(super) chunks: Vec<(u64, u64)>,
}

impl Page {
    pub(super) fn read(reader: &mut Reader<'_>, directory: &Directory) -> Result<Self> {
        let page = directory.page;
        let width = size(reader, directory, tag::IMAGE_WIDTH, "ImageWidth")?;
        let height = size(reader, directory, tag::IMAGE_LENGTH, "ImageLength")?;
        let samples = reader.integer(directory, tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples == 0 || samples > LARGEST_SAMPLES {
            return Err(fault(page, "SamplesPerPixel", "has an impossible number of samples"));
        }
        if reader.integer(directory, tag::FILL_ORDER)?.unwrap_or(1) != 1 {
            return Err(ImageProblem::Unsupported { what: "its bits in reversed order" });
        }
        let tiled = reader.integer(directory, tag::TILE_WIDTH)?.is_some();
        let mut read = Self {
            page,
            width,
            height,
            samples: samples as usize,
            planar: reader.integer(directory, tag::PLANAR_CONFIGURATION)? == Some(2) && samples > 1,
            sample: sample(reader, directory)?,
            order: reader.dialect.order,
            compression: Compression::from_code(
                reader.integer(directory, tag::COMPRESSION)?.unwrap_or(1),
            )?,
            predictor: predictor(reader, directory)?,
            tiled,
            chunk: chunk_size(reader, directory, [height, width], tiled)?,
            chunks: Vec::new(),
        };
        read.check_predictor()?;
        read.chunks = read.chunk_places(reader, directory)?;
        Ok(read)
    }

    /// Strips (or tiles) down and across.
    pub(super) fn grid(&self) -> [usize; 2] {
        [self.height.div_ceil(self.chunk[0]), self.width.div_ceil(self.chunk[1])]
    }

    /// The numbers that a pixel has within one strip or tile.
    pub(super) fn chunk_samples(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// The bytes of one decoded plane of one sample.
    pub(super) fn plane_bytes(&self) -> u128 {
        self.width as u128 * self.height as u128 * self.sample.bytes as u128
    }

    /// What must agree between the pages of one image.
    pub(super) fn shape_in_words(&self) -> String {
        let Self { width, height, samples, sample, .. } = self;
        format!("{width} × {height} pixels of {samples} × {}", sample.name())
    }

    /// Checks that `file_bytes` can hold what `planes` such pages claim.
    pub(super) fn check_plausible(&self, planes: usize, file_bytes: u64) -> Result<()> {
        let claimed = self.plane_bytes() * planes as u128;
        if claimed > u128::from(file_bytes) * u128::from(self.compression.largest_ratio()) {
            return Err(ImageProblem::Implausible { claimed, found: file_bytes });
        }
        Ok(())
    }

    /// Checks that `stored` bytes can decode to `decoded` ones.
    pub(super) fn can_decode(&self, stored: u64, decoded: usize) -> bool {
        u128::from(stored) * u128::from(self.compression.largest_ratio()) >= decoded as u128
    }

    fn check_predictor(&self) -> Result<()> {
        let is_float = self.sample.kind == SampleKind::Float;
        match self.predictor {
            Predictor::Float if !is_float => {
                Err(fault(self.page, "Predictor", "has a float predictor for integers"))
            }
            _ => Ok(()),
        }
    }

    fn chunk_places(&self, reader: &mut Reader<'_>, page: &Directory) -> Result<Vec<(u64, u64)>> {
        let [offsets_tag, counts_tag] = if self.tiled {
            [tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS]
        } else {
            [tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS]
        };
        let missing =
            || fault(self.page, "StripOffsets or TileOffsets", "does not say where its pixels are");
        let offsets = reader.integers(page, offsets_tag)?.ok_or_else(missing)?;
        let counts = reader.integers(page, counts_tag)?;
        let [down, across] = self.grid();
        let planes = if self.planar { self.samples } else { 1 };
        let wanted = down.checked_mul(across).and_then(|n| n.checked_mul(planes));
        let Some(wanted) = wanted.filter(|&wanted| wanted <= offsets.len()) else {
            return Err(fault(
                self.page,
                "StripOffsets or TileOffsets",
                "lacks some of its strips or tiles",
            ));
        };
        let counts = match counts {
            Some(counts) if counts.len() >= wanted => counts,
            // Uncompressed strips have the length that their rows have.
            None if self.compression == Compression::None => vec![0; wanted],
            _ => {
                return Err(fault(
                    self.page,
                    "StripByteCounts or TileByteCounts",
                    "lacks the length of some strips or tiles",
                ));
            }
        };
        Ok(offsets.into_iter().zip(counts).take(wanted).collect())
    }
}

fn fault(page: usize, tag: &'static str, fault: &'static str) -> ImageProblem {
    ImageProblem::Tag { page, tag, fault }
}

fn size(reader: &mut Reader<'_>, page: &Directory, tag: u16, name: &'static str) -> Result<usize> {
    match reader.integer(page, tag)? {
        Some(0) => Err(ImageProblem::ZeroSize { shape: vec![0] }),
        Some(size) if size <= LARGEST_SIDE => Ok(size as usize),
        Some(_) => Err(fault(page.page, name, "has an impossible size")),
        None => Err(fault(page.page, name, "does not say its size")),
    }
}

fn sample(reader: &mut Reader<'_>, page: &Directory) -> Result<Sample> {
    let bits = reader.integers(page, tag::BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]);
    let formats = reader.integers(page, tag::SAMPLE_FORMAT)?.unwrap_or_else(|| vec![1]);
    let (Some(&first_bits), Some(&first_format)) = (bits.first(), formats.first()) else {
        return Err(fault(page.page, "BitsPerSample", "does not say the type of its pixels"));
    };
    if bits.iter().any(|&bits| bits != first_bits)
        || formats.iter().any(|&format| format != first_format)
    {
        return Err(ImageProblem::PixelType { what: "samples of several types".to_owned() });
    }
    Sample::from_tags(first_bits, first_format)
}

fn predictor(reader: &mut Reader<'_>, page: &Directory) -> Result<Predictor> {
    match reader.integer(page, tag::PREDICTOR)?.unwrap_or(1) {
        1 => Ok(Predictor::None),
        2 => Ok(Predictor::Horizontal),
        3 => Ok(Predictor::Float),
        _ => Err(ImageProblem::Unsupported { what: "its pixels through an unknown predictor" }),
    }
}

fn chunk_size(
    reader: &mut Reader<'_>,
    page: &Directory,
    [height, width]: [usize; 2],
    tiled: bool,
) -> Result<[usize; 2]> {
    if tiled {
        let tile_height = size(reader, page, tag::TILE_LENGTH, "TileLength")?;
        let tile_width = size(reader, page, tag::TILE_WIDTH, "TileWidth")?;
        // A tile may exceed a small image, but not so far that decoding one fills the memory.
        if tile_height * tile_width > LARGEST_TILE.max(4 * height * width) {
            return Err(fault(page.page, "TileWidth", "has tiles far larger than its image"));
        }
        return Ok([tile_height, tile_width]);
    }
    match reader.integer(page, tag::ROWS_PER_STRIP)? {
        Some(0) => Err(fault(page.page, "RowsPerStrip", "has strips without rows")),
        Some(rows) if rows < height as u64 => Ok([rows as usize, width]),
        _ => Ok([height, width]),
    }
}
