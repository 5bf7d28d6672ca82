//! OME-TIFF out: one page per plane, deflated in parallel, sizes in µm.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use ndarray::{ArrayView3, Axis};
use rayon::prelude::*;

use super::directory::tag;
use crate::image::problem::{ImageProblem, Result};
use crate::image::voxels::{PixelType, VoxelsView, each_type};
use crate::replace::replace_file;
use crate::volume::VoxelSize;

/// Fast and, on microscopy, within 2 % of higher levels; labels become half as large again, but are small.
const DEFLATE_LEVEL: u32 = 2;
/// Planes deflated at once, whatever the number of threads: what bounds the memory.
const BATCH: usize = 16;
/// Below this many bytes of voxels a classic TIFF surely suffices (its offsets end at 4 GiB).
const CLASSIC_BYTES: u128 = 3_900_000_000;

/// Writes channels of one size and type.
pub(in crate::image) fn write(
    path: &Path,
    channels: &[(&str, VoxelsView<'_>)],
    voxel_size: VoxelSize,
) -> Result<()> {
    let (_, first) = channels.first().ok_or(ImageProblem::NoChannels)?;
    let n_voxels = first.shape().iter().map(|&n| n as u128).product::<u128>();
    let n_bytes = n_voxels * first.pixel_type().n_bytes() as u128 * channels.len() as u128;
    write_as(path, channels, voxel_size, n_bytes > CLASSIC_BYTES)
}

/// As [`write`], as classic TIFF or as `BigTIFF`.
fn write_as(
    path: &Path,
    channels: &[(&str, VoxelsView<'_>)],
    voxel_size: VoxelSize,
    big: bool,
) -> Result<()> {
    let (_, first) = channels.first().ok_or(ImageProblem::NoChannels)?;
    check_alike(channels)?;
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    let header = Header::new(&names, (first.shape(), first.pixel_type()), voxel_size, big);
    header.write_file(path, ImageProblem::Io, |out| {
        for (_, voxels) in channels {
            each_type!(VoxelsView, voxels, voxels => out.write_planes(voxels)?);
        }
        Ok(())
    })
}

/// Writes one channel whose planes come in parts, from the first plane on: `parts` writes each to what it is given.
pub(in crate::image) fn write_parts<E: From<ImageProblem>>(
    path: &Path,
    name: &str,
    (shape, pixel_type): ([usize; 3], PixelType),
    voxel_size: VoxelSize,
    parts: impl FnOnce(&mut dyn FnMut(VoxelsView<'_>) -> Result<()>) -> Result<(), E>,
) -> Result<(), E> {
    let n_bytes = shape.iter().map(|&n| n as u128).product::<u128>() * pixel_type.n_bytes() as u128;
    let header = Header::new(&[name], (shape, pixel_type), voxel_size, n_bytes > CLASSIC_BYTES);
    header.write_file(
        path,
        |error| ImageProblem::Io(error).into(),
        |out| {
            parts(&mut |voxels| each_type!(VoxelsView, voxels, voxels => out.write_planes(&voxels)))
        },
    )
}

fn check_alike(channels: &[(&str, VoxelsView<'_>)]) -> Result<()> {
    let in_words =
        |voxels: &VoxelsView<'_>| format!("{:?} {}", voxels.shape(), voxels.pixel_type());
    let wanted = in_words(&channels[0].1);
    for (name, voxels) in channels {
        let found = in_words(voxels);
        if found != wanted {
            return Err(ImageProblem::ChannelsDiffer { name: (*name).to_owned(), found, wanted });
        }
        if voxels.shape().contains(&0) {
            let shape = voxels.shape().map(|n| n as u64).to_vec();
            return Err(ImageProblem::ZeroSize { shape });
        }
    }
    Ok(())
}

/// The pixels of a file that is being written.
struct Pixels {
    out: BufWriter<File>,
    position: u64,
    strips: Vec<(u64, u64)>, // where each came to lie, and its length
}

impl Pixels {
    /// Deflates planes and writes them in order.
    fn write_planes<T: bytemuck::Pod + Sync>(&mut self, voxels: &ArrayView3<'_, T>) -> Result<()> {
        let slices = voxels.axis_iter(Axis(0)).collect::<Vec<_>>();
        for batch in slices.chunks(BATCH) {
            let deflated = batch
                .par_iter()
                .map(|plane| {
                    let plane = plane.as_standard_layout();
                    let values = plane.as_slice().unwrap_or_default();
                    deflate(bytemuck::cast_slice(values))
                })
                .collect::<std::io::Result<Vec<_>>>()?;
            for strip in deflated {
                self.strips.push((self.position, strip.len() as u64));
                self.out.write_all(&strip)?;
                // Directories and strips begin at even bytes.
                let padding = strip.len() % 2;
                self.out.write_all(&[0][..padding])?;
                self.position += (strip.len() + padding) as u64;
            }
        }
        Ok(())
    }
}

fn deflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let level = flate2::Compression::new(DEFLATE_LEVEL);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// What all pages share.
struct Header {
    shape: [usize; 3],
    pixel_type: PixelType,
    xml: String,
    voxel_size: VoxelSize,
    big: bool,
}

/// A tag before it has a place: its values as this machine's bytes.
struct Field {
    tag: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

impl Field {
    fn short(tag: u16, value: u16) -> Self {
        Self { tag, kind: 3, count: 1, bytes: value.to_ne_bytes().to_vec() }
    }

    fn long(tag: u16, value: u32) -> Self {
        Self { tag, kind: 4, count: 1, bytes: value.to_ne_bytes().to_vec() }
    }

    fn text(tag: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        Self { tag, kind: 2, count: bytes.len() as u64, bytes }
    }

    fn rational(tag: u16, value: f64) -> Self {
        let (above, below) = as_fraction(value);
        let bytes = [above.to_ne_bytes(), below.to_ne_bytes()].concat();
        Self { tag, kind: 5, count: 1, bytes }
    }
}

/// A fraction of 32 bit numbers near `value`, as exact as its size allows.
fn as_fraction(value: f64) -> (u32, u32) {
    let mut below = 1_u32;
    while below < 1_000_000 && value * f64::from(below) * 10.0 < f64::from(u32::MAX) {
        below *= 10;
    }
    ((value * f64::from(below)).round() as u32, below)
}

impl Header {
    fn new(
        names: &[&str],
        (shape, pixel_type): ([usize; 3], PixelType),
        voxel_size: VoxelSize,
        big: bool,
    ) -> Self {
        let xml = ome_xml(names, (shape, pixel_type), voxel_size);
        Self { shape, pixel_type, xml, voxel_size, big }
    }

    /// Writes a file whose pixels come from `pixels`.
    fn write_file<E: From<ImageProblem>>(
        &self,
        path: &Path,
        failed: impl Fn(std::io::Error) -> E,
        pixels: impl FnOnce(&mut Pixels) -> Result<(), E>,
    ) -> Result<(), E> {
        replace_file(path, &failed, |temporary| {
            let mut out = BufWriter::new(File::create(temporary).map_err(&failed)?);
            let position = self.write_start(&mut out)?;
            let mut written = Pixels { out, position, strips: Vec::new() };
            pixels(&mut written)?;
            let Pixels { mut out, position, strips } = written;
            self.write_directories(&mut out, position, &strips)?;
            out.flush().map_err(&failed)
        })
    }

    fn offset_bytes(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn offset(&self, offset: u64) -> Vec<u8> {
        if self.big {
            offset.to_ne_bytes().to_vec()
        } else {
            (offset as u32).to_ne_bytes().to_vec()
        }
    }

    /// Writes the header, its first directory still unknown, and returns where the data begin.
    fn write_start(&self, out: &mut impl Write) -> Result<u64> {
        let mark = if cfg!(target_endian = "little") { b"II" } else { b"MM" };
        out.write_all(mark)?;
        if self.big {
            for number in [43_u16, 8, 0] {
                out.write_all(&number.to_ne_bytes())?;
            }
        } else {
            out.write_all(&42_u16.to_ne_bytes())?;
        }
        out.write_all(&self.offset(0))?;
        Ok(if self.big { 16 } else { 8 })
    }

    /// Writes a directory per strip from `position` on and enters the first one in the header.
    fn write_directories(
        &self,
        out: &mut (impl Write + Seek),
        position: u64,
        strips: &[(u64, u64)],
    ) -> Result<()> {
        let mut start = position;
        for (page, &strip) in strips.iter().enumerate() {
            let directory = self.directory(page, strip, start, page + 1 == strips.len());
            out.write_all(&directory)?;
            start += directory.len() as u64;
        }
        out.seek(SeekFrom::Start(if self.big { 8 } else { 4 }))?;
        out.write_all(&self.offset(position))?;
        Ok(())
    }

    /// One directory that stands at `start`: its entries, the next one's place, then long values.
    fn directory(&self, page: usize, strip: (u64, u64), start: u64, is_last: bool) -> Vec<u8> {
        let fields = self.fields(page, strip);
        let width = self.offset_bytes();
        let count_bytes = if self.big { 8 } else { 2 };
        let table = count_bytes + fields.len() * (4 + 2 * width) + width;
        let mut entries = Vec::with_capacity(table);
        let mut values = Vec::new();
        let count = fields.len() as u64;
        entries.extend(if self.big {
            count.to_ne_bytes().to_vec()
        } else {
            (count as u16).to_ne_bytes().to_vec()
        });
        for field in fields {
            entries.extend(field.tag.to_ne_bytes());
            entries.extend(field.kind.to_ne_bytes());
            entries.extend(self.offset(field.count));
            if field.bytes.len() <= width {
                let padding = width - field.bytes.len();
                entries.extend(field.bytes);
                entries.extend(std::iter::repeat_n(0, padding));
            } else {
                entries.extend(self.offset(start + (table + values.len()) as u64));
                values.extend(field.bytes);
                values.resize(values.len().next_multiple_of(2), 0);
            }
        }
        let next = if is_last { 0 } else { start + (table + values.len()) as u64 };
        entries.extend(self.offset(next));
        entries.extend(values);
        entries
    }

    /// The tags of one page in ascending order.
    fn fields(&self, page: usize, (strip, strip_bytes): (u64, u64)) -> Vec<Field> {
        const DEFLATE: u16 = 8;
        const MIN_IS_BLACK: u16 = 1;
        const CENTIMETRE: u16 = 3;
        const SOFTWARE: u16 = 305;
        let [_, height, width] = self.shape.map(|n| n as u32);
        let [_, y_um, x_um] = self.voxel_size.um();
        let format = if matches!(self.pixel_type, PixelType::F32 | PixelType::F64) { 3 } else { 1 };
        let place = |tag: u16, value: u64| Field {
            tag,
            kind: if self.big { 16 } else { 4 },
            count: 1,
            bytes: self.offset(value),
        };
        let mut fields = vec![
            Field::long(tag::NEW_SUBFILE_TYPE, 0),
            Field::long(tag::IMAGE_WIDTH, width),
            Field::long(tag::IMAGE_LENGTH, height),
            Field::short(tag::BITS_PER_SAMPLE, 8 * self.pixel_type.n_bytes() as u16),
            Field::short(tag::COMPRESSION, DEFLATE),
            Field::short(tag::PHOTOMETRIC, MIN_IS_BLACK),
        ];
        if page == 0 {
            fields.push(Field::text(tag::IMAGE_DESCRIPTION, &self.xml));
        }
        fields.extend([
            place(tag::STRIP_OFFSETS, strip),
            Field::short(tag::SAMPLES_PER_PIXEL, 1),
            Field::long(tag::ROWS_PER_STRIP, height),
            place(tag::STRIP_BYTE_COUNTS, strip_bytes),
            Field::rational(tag::X_RESOLUTION, 1e4 / x_um),
            Field::rational(tag::Y_RESOLUTION, 1e4 / y_um),
            Field::short(tag::RESOLUTION_UNIT, CENTIMETRE),
            Field::text(SOFTWARE, concat!("primordia ", env!("CARGO_PKG_VERSION"))),
            Field::short(tag::SAMPLE_FORMAT, format),
        ]);
        fields
    }
}

/// OME-XML of the 2016-06 schema for planes that run through z, then channels.
fn ome_xml(
    names: &[&str],
    (shape, pixel_type): ([usize; 3], PixelType),
    voxel_size: VoxelSize,
) -> String {
    let [z, y, x] = shape;
    let [z_um, y_um, x_um] = voxel_size.um();
    let pixel_type = match pixel_type {
        PixelType::F32 => "float",
        PixelType::F64 => "double",
        integer => integer.name(),
    };
    let big_endian = cfg!(target_endian = "big");
    let n_channels = names.len();
    let mut xml = format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" "#,
            r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" "#,
            r#"xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 "#,
            r#"http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="primordia {}">"#,
            r#"<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{}" "#,
            r#"BigEndian="{}" SizeX="{}" SizeY="{}" SizeZ="{}" SizeC="{}" SizeT="1" "#,
            r#"PhysicalSizeX="{}" PhysicalSizeXUnit="µm" PhysicalSizeY="{}" PhysicalSizeYUnit="µm" "#,
            r#"PhysicalSizeZ="{}" PhysicalSizeZUnit="µm">"#
        ),
        env!("CARGO_PKG_VERSION"),
        pixel_type,
        big_endian,
        x,
        y,
        z,
        n_channels,
        x_um,
        y_um,
        z_um
    );
    for (i, name) in names.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(
            xml,
            r#"<Channel ID="Channel:0:{i}" Name="{}" SamplesPerPixel="1"/>"#,
            escaped(name)
        );
    }
    xml.push_str("<TiffData/></Pixels></Image></OME>");
    xml
}

/// `text` as the value of an XML attribute.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no place for these, escaped or not.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            '\n' | '\r' | '\t' => out.push(' '),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageFile, Voxels};
    use ndarray::Array3;

    #[test]
    fn a_big_tiff_reads_as_a_classic_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let voxels = Array3::from_shape_fn((3, 5, 7), |(z, y, x)| (100 * z + 10 * y + x) as u16);
        let voxel_size = VoxelSize::from_um([0.5, 0.1, 0.2]).unwrap();
        for big in [false, true] {
            let path = folder.path().join(format!("{big}.tif"));
            let channels = [("a & <b>", VoxelsView::from(&voxels))];
            write_as(&path, &channels, voxel_size, big).unwrap();
            let image = ImageFile::open(&path).unwrap();
            assert_eq!(image.describe().format.contains("BigTIFF"), big);
            assert_eq!(image.voxel_size(), Some(voxel_size));
            assert_eq!(image.channel_names(), [Some("a & <b>".to_owned())]);
            assert_eq!(image.read_channel(0).unwrap(), Voxels::U16(voxels.clone()));
        }
    }

    #[test]
    fn resolutions_keep_seven_digits() {
        for value in [1e4 / 0.099, 1e4 / 0.42017, 1.0, 1e4 / 1e-4, 0.5] {
            let (above, below) = as_fraction(value);
            let kept = f64::from(above) / f64::from(below);
            assert!((kept / value - 1.0).abs() < 1e-6, "{value} became {kept}");
        }
    }
}
