//! TIFF files with one fault each, written byte by byte.

use std::collections::BTreeMap;

use ndarray::{ArrayView2, Axis, s};
use primordia_data::image::write_volume;

use super::{Case, case, membrane, put};

pub(super) const SEGMENT: &str = "segment broken.tif --voxel-size 1,0.5,0.5 -o out/labels.ome.tif";

// Types of values, by the TIFF specification.
const TEXT: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const DESCRIPTION: u16 = 270;
const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const SAMPLE_FORMAT: u16 = 339;

const LZW: u64 = 5;

/// A page of one strip: its tags (type, count, bytes) and its pixels.
#[derive(Clone)]
struct Page {
    tags: BTreeMap<u16, (u16, u64, Vec<u8>)>,
    pixels: Vec<u8>,
}

impl Page {
    fn of(plane: &ArrayView2<'_, u16>) -> Self {
        let (height, width) = plane.dim();
        let pixels: Vec<u8> = plane.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { tags: BTreeMap::new(), pixels: Vec::new() }
            .with(WIDTH, LONG, &[width as u64])
            .with(HEIGHT, LONG, &[height as u64])
            .with(COMPRESSION, SHORT, &[1])
            .with(ROWS_PER_STRIP, LONG, &[height as u64])
            .filled(16, 1, pixels)
    }

    fn with(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        let width = match kind {
            TEXT => 1,
            SHORT => 2,
            _ => 4,
        };
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()).collect();
        self.tags.insert(tag, (kind, values.len() as u64, bytes));
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.tags.remove(&tag);
        self
    }

    fn described(self, text: &str) -> Self {
        let text: Vec<u64> = text.bytes().chain([0]).map(u64::from).collect();
        self.with(DESCRIPTION, TEXT, &text)
    }

    /// The page with other pixels of `bits` bits, of `format` 1 (unsigned), 2 (signed), 3 (float).
    fn filled(self, bits: u64, format: u64, pixels: Vec<u8>) -> Self {
        let page = self.with(BITS, SHORT, &[bits]).with(SAMPLE_FORMAT, SHORT, &[format]).with(
            STRIP_BYTES,
            LONG,
            &[pixels.len() as u64],
        );
        Self { pixels, ..page }
    }

    fn packed_with_lzw(self) -> Self {
        let pixels = lzw(&self.pixels);
        let page =
            self.with(COMPRESSION, SHORT, &[LZW]).with(STRIP_BYTES, LONG, &[pixels.len() as u64]);
        Self { pixels, ..page }
    }
}

/// A page for every plane of the phantom's membranes.
fn pages() -> Vec<Page> {
    membrane().voxels().axis_iter(Axis(0)).map(|plane| Page::of(&plane)).collect()
}

fn each(change: impl Fn(Page) -> Page) -> Vec<u8> {
    tiff(&pages().into_iter().map(change).collect::<Vec<_>>())
}

pub(super) fn sound() -> Vec<u8> {
    tiff(&pages())
}

pub(super) fn sound_lzw() -> Vec<u8> {
    each(Page::packed_with_lzw)
}

fn tiff(pages: &[Page]) -> Vec<u8> {
    linked(pages, |_| 0)
}

/// A little-endian TIFF whose last page refers to what `last` makes of all directories' places.
fn linked(pages: &[Page], last: impl Fn(&[u32]) -> u32) -> Vec<u8> {
    let mut out = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    let mut directories = Vec::new();
    for page in pages {
        let strip = out.len() as u64;
        out.extend(&page.pixels);
        let mut page = page.clone();
        if !page.tags.contains_key(&STRIP_OFFSETS) {
            page = page.with(STRIP_OFFSETS, LONG, &[strip]);
        }
        let mut entries = Vec::new();
        for (tag, (kind, count, bytes)) in &page.tags {
            let mut value = bytes.clone();
            if bytes.len() > 4 {
                value = (out.len() as u32).to_le_bytes().to_vec();
                out.extend(bytes);
            }
            value.resize(4, 0);
            entries.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            entries.extend((*count as u32).to_le_bytes());
            entries.extend(value);
        }
        let at = out.len() as u32;
        directories.push(at);
        out[link..link + 4].copy_from_slice(&at.to_le_bytes());
        out.extend((page.tags.len() as u16).to_le_bytes());
        out.extend(entries);
        link = out.len();
        out.extend([0; 4]);
    }
    out[link..link + 4].copy_from_slice(&last(&directories).to_le_bytes());
    out
}

/// TIFF's LZW without any compression: codes of 9 bits, the table cleared before they grow.
fn lzw(bytes: &[u8]) -> Vec<u8> {
    const CLEAR: u16 = 256;
    const END: u16 = 257;
    let mut codes = Vec::new();
    for part in bytes.chunks(200) {
        codes.push(CLEAR);
        codes.extend(part.iter().map(|&byte| u16::from(byte)));
    }
    codes.push(END);
    let bits: Vec<u8> = codes
        .iter()
        .flat_map(|code| (0..9).rev().map(move |bit| (code >> bit & 1) as u8))
        .collect();
    bits.chunks(8)
        .map(|bits| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i)))
        .collect()
}

/// OME-XML for pages of the phantom.
fn ome(z: usize, t: usize) -> String {
    let [_, y, x] = membrane().shape();
    format!(
        "<?xml version=\"1.0\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\">\
         <Image ID=\"Image:0\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"uint16\" \
         SizeX=\"{x}\" SizeY=\"{y}\" SizeZ=\"{z}\" SizeC=\"1\" SizeT=\"{t}\">\
         <Channel ID=\"Channel:0:0\" SamplesPerPixel=\"1\"/><TiffData/></Pixels></Image></OME>"
    )
}

fn described(pages: Vec<Page>, text: &str) -> Vec<u8> {
    let mut pages = pages;
    pages[0] = pages[0].clone().described(text);
    tiff(&pages)
}

/// The phantom as this crate's own writer writes it, deflated.
fn deflated() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.ome.tif");
    write_volume(&path, "membrane", membrane()).unwrap();
    std::fs::read(path).unwrap()
}

/// The file with bytes of its first strip, which begins it, made unreadable.
fn scarred(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[200..300].fill(0xff);
    bytes
}

/// A `BigTIFF` directory at byte 16 with `count` entries, of which one is there.
fn big(count: u64, entry: (u16, u16, u64, u64)) -> Vec<u8> {
    let (tag, kind, values, value) = entry;
    let mut out = b"II+\0\x08\0\0\0".to_vec();
    out.extend(16_u64.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
    out.extend([values.to_le_bytes(), value.to_le_bytes(), [0; 8]].concat());
    out
}

fn broken(kind: &'static str, says: &'static str, bytes: Vec<u8>) -> Case {
    case(kind, SEGMENT, &["broken.tif", says], move |folder| put(folder, "broken.tif", &bytes))
}

pub(super) fn cases() -> Vec<Case> {
    [damaged(), lying(), unsupported(), meaningless()].into_iter().flatten().collect()
}

/// Cut, overwritten, or knotted.
fn damaged() -> Vec<Case> {
    let n_pixels: usize = membrane().shape()[1..].iter().product();
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let mut past_the_end = sound();
    past_the_end[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    vec![
        broken("an empty file", "neither TIFF nor HDF5", Vec::new()),
        broken("a TIFF header and nothing else", "damaged", b"II*\0\x08\0\0\0".to_vec()),
        broken("a TIFF cut in the middle", "damaged", cut(sound())),
        broken("a deflated TIFF cut in the middle", "damaged", cut(deflated())),
        broken("a TIFF whose first page is past its end", "damaged", past_the_end),
        broken("a TIFF whose pages form a circle", "circle", linked(&pages(), |at| at[0])),
        broken("a TIFF without pages", "no image", b"II*\0\0\0\0\0".to_vec()),
        broken("a TIFF with damaged deflate data", "deflate", scarred(deflated())),
        broken("a TIFF with damaged LZW data", "LZW", scarred(sound_lzw())),
        broken(
            "a TIFF with 16 bit numbers below zero",
            "negative",
            each(|page| page.filled(16, 2, (-5_i16).to_le_bytes().repeat(n_pixels))),
        ),
        broken(
            "a TIFF of NaN",
            "NaN",
            each(|page| page.filled(32, 3, f32::NAN.to_le_bytes().repeat(n_pixels))),
        ),
    ]
}

/// Claims that the file cannot keep.
fn lying() -> Vec<Case> {
    const FAR: u64 = 4_000_000_000;
    let million = |page: Page| {
        page.with(WIDTH, LONG, &[1_000_000]).with(HEIGHT, LONG, &[1_000_000]).with(
            ROWS_PER_STRIP,
            LONG,
            &[1_000_000],
        )
    };
    vec![
        broken("a TIFF that claims a million rows and columns", "claims", each(million)),
        broken(
            "a packed TIFF that claims a million rows and columns",
            "claims",
            each(|page| million(page.packed_with_lzw())),
        ),
        broken(
            "a TIFF with pixels past its end",
            "damaged",
            each(|page| page.with(STRIP_OFFSETS, LONG, &[FAR])),
        ),
        broken(
            "a TIFF with a packed strip longer than the file",
            "damaged",
            each(|page| page.packed_with_lzw().with(STRIP_BYTES, LONG, &[FAR])),
        ),
        broken(
            "a TIFF with a packed strip of one byte",
            "LZW",
            each(|page| page.packed_with_lzw().with(STRIP_BYTES, LONG, &[1])),
        ),
        broken("a TIFF of zero width", "zero size", each(|page| page.with(WIDTH, LONG, &[0]))),
        broken("a TIFF without a width", "ImageWidth", each(|page| page.without(WIDTH))),
        broken("a TIFF with no strips", "strips", each(|page| page.with(STRIP_OFFSETS, LONG, &[]))),
        broken(
            "a TIFF with strips without rows",
            "RowsPerStrip",
            each(|page| page.with(ROWS_PER_STRIP, LONG, &[0])),
        ),
        broken("a BigTIFF of 2^60 tags", "damaged", big(1 << 60, (WIDTH, LONG, 1, 8))),
        broken("a BigTIFF with a tag of 2^60 numbers", "damaged", {
            let mut bytes = big(1, (WIDTH, 16, 1 << 60, 16));
            bytes.extend([0; 64]);
            bytes
        }),
    ]
}

/// Sound files that are not read.
fn unsupported() -> Vec<Case> {
    let n_pixels: usize = membrane().shape()[1..].iter().product();
    let mut czi = b"ZISRAWFILE".to_vec();
    czi.extend([0; 512]);
    vec![
        broken(
            "a TIFF of unknown compression",
            "12345",
            each(|page| page.with(COMPRESSION, SHORT, &[12_345])),
        ),
        broken("a TIFF of JPEGs", "JPEG", each(|page| page.with(COMPRESSION, SHORT, &[7]))),
        broken("a TIFF of 12 bits", "12 bit", each(|page| page.with(BITS, SHORT, &[12]))),
        broken(
            "a TIFF of complex numbers",
            "complex",
            each(|page| page.with(SAMPLE_FORMAT, SHORT, &[6])),
        ),
        broken(
            "a TIFF of 64 bit integers that are too large",
            "too large",
            each(|page| page.filled(64, 1, u64::MAX.to_le_bytes().repeat(n_pixels))),
        ),
        broken("a text called .tif", "neither TIFF nor HDF5", b"These are not pixels.\n".to_vec()),
        broken("a CZI called .tif", "CZI", czi),
        broken("a PNG called .tif", "PNG", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec()),
        case("a folder called .tif", SEGMENT, &["broken.tif"], |folder| {
            std::fs::create_dir(folder.join("broken.tif")).unwrap();
        }),
        case("an image that is not there", SEGMENT, &["broken.tif"], |_| ()),
        case("a text to inspect", "inspect notes.tif", &["notes.tif", "TIFF"], |folder| {
            put(folder, "notes.tif", b"Tuesday: mounted six embryos.\n");
        }),
    ]
}

/// Sound pages whose description does not fit them, or says too little.
fn meaningless() -> Vec<Case> {
    let n = pages().len() / 2 * 2;
    let even = || pages()[..n].to_vec();
    let mut differing = even();
    let smaller = membrane().voxels().index_axis(Axis(0), 1);
    differing[1] = Page::of(&smaller.slice(s![1.., ..]));
    let ill_formed = ome(n, 1).replace("</Pixels>", "");
    let elsewhere = "<TiffData><UUID FileName=\"b.tif\">urn:b</UUID></TiffData>";
    let two_files = ome(n, 1).replace("<TiffData/>", elsewhere);
    let two_files = two_files.replace("<OME ", "<OME UUID=\"urn:a\" ");
    let no_size = "segment broken.tif -o out/labels.ome.tif";
    vec![
        broken("an OME-TIFF of two time points", "time points", described(even(), &ome(n / 2, 2))),
        broken("an OME-TIFF with pages that differ", "differ", described(differing, &ome(n, 1))),
        broken("an OME-TIFF that lies about SizeZ", "planes", described(even(), &ome(9 * n, 1))),
        broken("an OME-TIFF with SizeZ of zero", "zero size", described(even(), &ome(0, 1))),
        broken("an OME-TIFF with ill-formed XML", "OME-XML", described(even(), &ill_formed)),
        broken("an OME-TIFF of two files", "several files", described(even(), &two_files)),
        case(
            "a channel that is not there",
            "segment broken.tif --channel myosin --voxel-size 1,0.5,0.5 -o out/labels.tif",
            &["broken.tif", "myosin"],
            |folder| put(folder, "broken.tif", &deflated()),
        ),
        case("a TIFF without a voxel size", no_size, &["broken.tif", "--voxel-size "], |folder| {
            put(folder, "broken.tif", &sound());
        }),
        case(
            "a data set of a TIFF",
            "segment broken.tif --dataset raw --voxel-size 1,0.5,0.5 -o out/labels.tif",
            &["broken.tif", "raw"],
            |folder| put(folder, "broken.tif", &sound()),
        ),
    ]
}
