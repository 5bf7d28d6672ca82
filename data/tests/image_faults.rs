//! Damaged, lying and foreign files: an error that names the file, never a panic.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::path::{Path, PathBuf};

use ndarray::Array3;
use primordia_data::image::{ImageFile, ImageProblem, VoxelsView, write_ome_tiff, write_volume};
use primordia_data::{DataError, Volume, VoxelSize};
use proptest::prelude::*;

/// Little-endian classic TIFFs, byte by byte.
#[derive(Clone, Default)]
struct Builder {
    tags: Vec<(u16, u16, u32, u32)>, // tag, kind, count, value
    data: Vec<u8>,
}

const FIRST_DATA: u32 = 8;

impl Builder {
    /// One page of `width` × `height` bytes.
    fn page(width: u32, height: u32) -> Self {
        let tags = vec![
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (273, 4, 1, FIRST_DATA),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, width.wrapping_mul(height)),
        ];
        Self { tags, data: vec![7; 64] }
    }

    fn with(mut self, tag: u16, kind: u16, value: u32) -> Self {
        self.tags.retain(|&(found, ..)| found != tag);
        self.tags.push((tag, kind, 1, value));
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.tags.retain(|&(found, ..)| found != tag);
        self
    }

    fn described(mut self, text: &str) -> Self {
        let place = FIRST_DATA + self.data.len() as u32;
        self.data.extend(text.as_bytes());
        self.data.extend([0; 4]);
        self.tags.push((270, 2, text.len() as u32 + 1, place));
        self
    }

    /// The file; its only directory names `next` as the following one (`None`: itself).
    fn bytes(mut self, next: Option<u32>) -> Vec<u8> {
        self.tags.sort_unstable();
        let directory = FIRST_DATA + self.data.len() as u32;
        let mut bytes = b"II*\0".to_vec();
        bytes.extend(directory.to_le_bytes());
        bytes.extend(self.data);
        bytes.extend((self.tags.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in self.tags {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(next.unwrap_or(directory).to_le_bytes());
        bytes
    }
}

fn saved(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("specimen_17.tif");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Opens and reads every channel.
fn read_all(path: &Path) -> Result<(), DataError> {
    let image = ImageFile::open(path)?.with_timepoint(0)?;
    for channel in 0..image.n_channels().min(4) {
        image.read_channel(channel)?;
    }
    let _ = image.describe().to_string();
    Ok(())
}

/// The problem of a file, whose message names it.
fn problem_of(bytes: &[u8]) -> ImageProblem {
    let folder = tempfile::tempdir().unwrap();
    let error = read_all(&saved(folder.path(), bytes)).unwrap_err();
    assert!(error.to_string().contains("specimen_17.tif"), "{error}");
    match error {
        DataError::Image { problem, .. } => *problem,
        other => panic!("{other}"),
    }
}

#[test]
fn the_builder_builds_readable_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), &Builder::page(8, 8).bytes(Some(0)));
    read_all(&path).unwrap();
}

#[test]
fn sizes_beyond_the_file_are_refused_before_memory_is_asked_for() {
    let lying = [
        Builder::page(1 << 20, 1 << 20),
        Builder::page(1 << 24, 1 << 24).with(258, 3, 32),
        Builder::page(1 << 20, 1 << 20).with(259, 3, 8),
        Builder::page(8, 8).described("ImageJ=1.53t\nimages=1000000000000\n"),
        Builder::page(8, 8).described("ImageJ=1.53t\nimages=18446744073709551615\n"),
        Builder::page(8, 8).described(
            "ImageJ=1.53t\nchannels=18446744073709551615\nslices=18446744073709551615\nframes=18446744073709551615\n",
        ),
        Builder::page(8, 8).with(322, 4, 1 << 24).with(323, 4, 1 << 24).with(324, 4, 8).with(325, 4, 64),
    ];
    for builder in lying {
        let problem = problem_of(&builder.bytes(Some(0)));
        let is_refused = matches!(
            problem,
            ImageProblem::Implausible { .. }
                | ImageProblem::Truncated { .. }
                | ImageProblem::Tag { .. }
                | ImageProblem::PlaneCount { .. }
        );
        assert!(is_refused, "{problem:?}");
    }
}

#[test]
fn a_circle_of_pages_ends() {
    let problem = problem_of(&Builder::page(8, 8).bytes(None));
    assert!(matches!(problem, ImageProblem::CyclicPages { .. }), "{problem:?}");
}

#[test]
fn truncation_at_any_byte_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Builder::page(8, 8).bytes(Some(0));
    for length in 0..whole.len() {
        assert!(read_all(&saved(folder.path(), &whole[..length])).is_err(), "{length} bytes");
    }
}

#[test]
fn what_is_not_read_is_named() {
    let page = || Builder::page(8, 8);
    let cases: [(Builder, &str); 9] = [
        (page().with(259, 3, 7), "JPEG"),
        (page().with(259, 3, 34887), "LERC"),
        (page().with(259, 3, 4711), "4711"),
        (page().with(258, 3, 1), "1 bit integers"),
        (page().with(258, 3, 64).with(339, 3, 6), "complex"),
        (page().with(258, 3, 16).with(339, 3, 3), "16 bit floats"),
        (page().with(256, 4, 0), "zero size"),
        (page().without(273), "where its pixels are"),
        (page().with(317, 3, 9), "predictor"),
    ];
    for (builder, wanted) in cases {
        let message = problem_of(&builder.bytes(Some(0))).to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn negative_voxels_are_counted() {
    let mut builder = Builder::page(8, 8).with(339, 3, 2);
    builder.data[3] = 0xff;
    let problem = problem_of(&builder.bytes(Some(0)));
    assert!(
        matches!(problem, ImageProblem::Negative { count: 1, pixel_type: "int8" }),
        "{problem:?}"
    );
}

#[test]
fn nan_voxels_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.tif");
    let mut voxels = Array3::<f32>::zeros((2, 3, 4));
    voxels[[1, 2, 3]] = f32::NAN;
    voxels[[0, 0, 0]] = f32::INFINITY;
    let volume = Volume::new(voxels, VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap()).unwrap();
    write_volume(&path, "membrane", &volume).unwrap();
    let error = ImageFile::open(&path).unwrap().read_volume_f32(0).unwrap_err().to_string();
    assert!(error.contains("nan.tif") && error.contains("2 voxels"), "{error}");
}

#[test]
fn foreign_formats_say_how_to_convert() {
    for (start, wanted) in [
        (&b"ZISRAWFILE\0\0\0\0\0\0"[..], "CZI"),
        (&[0x70, 0, 0, 0, 1, 2, 3, 4][..], "LIF"),
        (&[0xda, 0xce, 0xbe, 0x0a, 0, 0][..], "ND2"),
        (&b"\x89PNG\r\n\x1a\n"[..], "PNG"),
    ] {
        let message = problem_of(start).to_string();
        assert!(message.contains(wanted) && message.contains("bfconvert"), "{message}");
    }
    assert!(matches!(problem_of(b"hello"), ImageProblem::UnknownFormat { .. }));
    assert!(matches!(problem_of(b""), ImageProblem::UnknownFormat { .. }));
}

#[test]
fn a_missing_voxel_size_is_an_error_that_says_how_to_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), &Builder::page(8, 8).bytes(Some(0)));
    let image = ImageFile::open(&path).unwrap();
    assert_eq!(image.voxel_size(), None);
    let message = image.read_volume_f32(0).unwrap_err().to_string();
    assert!(message.contains("voxel_size_um"), "{message}");
    let given = VoxelSize::from_um([0.3, 0.1, 0.1]).unwrap();
    assert_eq!(image.with_voxel_size(given).read_volume_f32(0).unwrap().voxel_size(), given);
}

/// Zeiss's tag states metres: 0.1 µm along x and y, 0.5 µm along z.
#[test]
fn the_zeiss_tag_gives_the_voxel_size() {
    let mut builder = Builder::page(8, 8);
    let place = FIRST_DATA + builder.data.len() as u32;
    builder.data.extend([0; 40]);
    for metres in [1e-7_f64, 1e-7, 5e-7] {
        builder.data.extend(metres.to_le_bytes());
    }
    builder.tags.push((34412, 1, 64, place));
    let folder = tempfile::tempdir().unwrap();
    let image = ImageFile::open(saved(folder.path(), &builder.bytes(Some(0)))).unwrap();
    for (found, wanted) in image.voxel_size().unwrap().um().into_iter().zip([0.5, 0.1, 0.1]) {
        approx::assert_relative_eq!(found, wanted, max_relative = 1e-12);
    }
}

#[test]
fn ome_files_that_refer_to_others_are_refused() {
    let xml = |inner: &str| {
        let text = format!(
            r#"<OME UUID="urn:uuid:1"><Image><Pixels DimensionOrder="XYZCT" SizeX="8" SizeY="8" SizeZ="1" SizeC="1" SizeT="1"><TiffData>{inner}</TiffData></Pixels></Image></OME>"#
        );
        Builder::page(8, 8).described(&text).bytes(Some(0))
    };
    let other = problem_of(&xml(r#"<UUID FileName="b.ome.tif">urn:uuid:2</UUID>"#)).to_string();
    assert!(other.contains("b.ome.tif"), "{other}");
    let folder = tempfile::tempdir().unwrap();
    let own = xml(r#"<UUID FileName="renamed.ome.tif">urn:uuid:1</UUID>"#);
    read_all(&saved(folder.path(), &own)).unwrap();
}

#[test]
fn channels_are_chosen_by_name_then_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.ome.tif");
    let voxels = Array3::<u8>::zeros((2, 3, 4));
    let channels = [("membrane", VoxelsView::from(&voxels)), ("1", VoxelsView::from(&voxels))];
    write_ome_tiff(&path, &channels, VoxelSize::from_um([1.0; 3]).unwrap()).unwrap();
    let image = ImageFile::open(&path).unwrap();
    for (selector, index) in [("membrane", 0), ("Membrane", 0), ("0", 0), ("1", 1)] {
        assert_eq!(image.channel_index(selector).unwrap(), index, "{selector}");
    }
    let message = image.channel_index("actin").unwrap_err().to_string();
    assert!(message.contains("0 membrane, 1 1"), "{message}");
}

#[test]
fn the_same_volume_makes_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = Array3::from_shape_fn((40, 30, 20), |(z, y, x)| (z * y + x) as u16);
    let written = |threads: usize| {
        let path = folder.path().join(format!("{threads}.tif"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let channels = [("membrane", VoxelsView::from(&voxels))];
        let size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
        pool.install(|| write_ome_tiff(&path, &channels, size)).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(written(1) == written(3));
}

/// Small valid files of several kinds.
fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.tif");
    let voxels = Array3::from_shape_fn((2, 6, 5), |(z, y, x)| (z + y * x) as u16);
    let channels = [("a", VoxelsView::from(&voxels)), ("b", VoxelsView::from(&voxels))];
    write_ome_tiff(&path, &channels, VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap()).unwrap();
    let ome = std::fs::read(&path).unwrap();
    let imagej = Builder::page(4, 4)
        .described("ImageJ=1.53t\nimages=4\nchannels=2\nslices=2\nunit=um\nspacing=2\n")
        .bytes(Some(0));
    let json =
        Builder::page(8, 8).described(r#"{"shape": [1, 8, 8], "axes": "ZYX"}"#).bytes(Some(0));
    let packed = |code: u32| Builder::page(8, 8).with(259, 3, code).with(317, 3, 2).bytes(Some(0));
    vec![ome, imagej, json, packed(5), packed(8), packed(32_773), packed(50_000)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_never_panic(
        seed in prop::sample::select(seeds()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = seed;
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        // Either answer is right; a panic or an allocation beyond reason is not.
        let _ = read_all(&saved(folder.path(), &bytes));
    }
}
