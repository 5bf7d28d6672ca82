//! HDF5 files with one fault each.

use std::path::Path;

use hdf5_metno::types::VarLenUnicode;
use hdf5_metno::{Dataset, File};
use ndarray::{Array1, Array3, Array5};
use primordia_data::image::write_volume;

use super::{Case, VOXEL_UM, case, membrane, put};

pub(super) const SEGMENT: &str = "segment broken.h5 -o out/labels.h5";
const SEGMENT_RAW: &str = "segment broken.h5 --dataset raw -o out/labels.h5";
const FILE: &str = "broken.h5";

pub(super) fn sound(folder: &Path) {
    write_volume(folder.join(FILE), "membrane", membrane()).unwrap();
}

/// A file with what `fill` puts into it.
fn written(
    kind: &'static str,
    command: &'static str,
    says: &'static str,
    fill: impl Fn(&File) + 'static,
) -> Case {
    case(kind, command, &[FILE, says], move |folder| {
        let file = File::create(folder.join(FILE)).unwrap();
        fill(&file);
        file.close().unwrap();
    })
}

/// A file of one data set, `raw`.
fn holding<A, T, D>(kind: &'static str, command: &'static str, says: &'static str, data: A) -> Case
where
    A: Fn() -> ndarray::Array<T, D> + 'static,
    T: hdf5_metno::H5Type,
    D: ndarray::Dimension,
{
    written(kind, command, says, move |file| {
        sized(&file.new_dataset_builder().with_data(&data()).create("raw").unwrap());
    })
}

fn sized(dataset: &Dataset) {
    dataset.new_attr_builder().with_data(&VOXEL_UM).create("element_size_um").unwrap();
}

fn text(text: &str) -> VarLenUnicode {
    text.parse().unwrap()
}

pub(super) fn cases() -> Vec<Case> {
    let volume = || Array3::<u16>::from_elem((6, 20, 20), 9);
    let mut cases = unreadable();
    cases.extend(misshapen());
    cases.extend([
        holding("HDF5 voxels below zero", SEGMENT, "negative", move || {
            volume().mapv(|value| value as i16 - 10)
        }),
        holding("HDF5 voxels that are NaN", SEGMENT, "NaN", move || {
            volume().mapv(|value| f32::from(value) / 0.0 - f32::INFINITY)
        }),
        written("HDF5 without element_size_um", SEGMENT, "voxel_size_um", move |file| {
            file.new_dataset_builder().with_data(&volume()).create("raw").unwrap();
        }),
        written("HDF5 with a voxel size of zero", SEGMENT, "voxel_size_um", move |file| {
            let dataset = file.new_dataset_builder().with_data(&volume()).create("raw").unwrap();
            let attribute = dataset.new_attr_builder().with_data(&[0.0, 0.5, 0.5]);
            attribute.create("element_size_um").unwrap();
        }),
        written("HDF5 with axes that mean nothing here", SEGMENT, "axes", move |file| {
            let dataset = file.new_dataset_builder().with_data(&volume()).create("raw").unwrap();
            sized(&dataset);
            let axes = dataset.new_attr::<VarLenUnicode>().create("axes").unwrap();
            axes.write_scalar(&text("ABC")).unwrap();
        }),
    ]);
    cases
}

/// Not HDF5, or not all of it.
fn unreadable() -> Vec<Case> {
    vec![
        case("a text called .h5", SEGMENT, &[FILE, "neither TIFF nor HDF5"], |folder| {
            put(folder, FILE, b"These are not voxels.\n");
        }),
        case("an HDF5 file cut in the middle", SEGMENT, &[FILE, "HDF5"], |folder| {
            sound(folder);
            let bytes = std::fs::read(folder.join(FILE)).unwrap();
            put(folder, FILE, &bytes[..bytes.len() / 2]);
        }),
        case("an HDF5 signature and nothing else", SEGMENT, &[FILE, "HDF5"], |folder| {
            put(folder, FILE, b"\x89HDF\r\n\x1a\n");
        }),
        case("an HDF5 file with damaged voxels", SEGMENT, &[FILE, "HDF5"], |folder| {
            sound(folder);
            let mut bytes = std::fs::read(folder.join(FILE)).unwrap();
            let file = File::open(folder.join(FILE)).unwrap();
            let chunk = file.dataset("raw").unwrap().chunk_info(0).unwrap();
            file.close().unwrap();
            let at = chunk.addr as usize + chunk.size as usize / 2;
            bytes[at..at + 256].fill(0xff);
            put(folder, FILE, &bytes);
        }),
    ]
}

/// Without an image, or with one that cannot be meant.
fn misshapen() -> Vec<Case> {
    vec![
        written("HDF5 without data sets", SEGMENT, "no dataset", |file| {
            file.create_group("empty").unwrap();
        }),
        written("HDF5 with several images", SEGMENT, "several datasets", |file| {
            for name in ["left", "right"] {
                let data = Array3::<u8>::ones((4, 8, 8));
                file.new_dataset_builder().with_data(&data).create(name).unwrap();
            }
        }),
        holding(
            "an HDF5 data set that is not there",
            "segment broken.h5 --dataset membranes -o out/labels.h5",
            "membranes",
            || Array3::<u8>::ones((4, 8, 8)),
        ),
        holding("an HDF5 data set of one axis", SEGMENT_RAW, "axes", || Array1::<u8>::ones(64)),
        holding("an HDF5 data set of five axes without names", SEGMENT, "meaning", || {
            Array5::<u8>::ones((3, 2, 4, 8, 8))
        }),
        holding("an HDF5 data set of text", SEGMENT, "no dataset", || {
            Array3::from_shape_fn((2, 2, 2), |_| text("a cell"))
        }),
        holding("a chosen HDF5 data set of text", SEGMENT_RAW, "type", || {
            Array3::from_shape_fn((2, 2, 2), |_| text("a cell"))
        }),
        written("an HDF5 data set of size zero", SEGMENT, "zero size", |file| {
            sized(&file.new_dataset::<u8>().shape((0, 8, 8)).create("raw").unwrap());
        }),
        written("an HDF5 data set that claims 10^12 voxels", SEGMENT, "claims", |file| {
            let builder = file.new_dataset::<u16>().chunk((64, 64, 64)).deflate(4);
            sized(&builder.shape((10_000, 10_000, 10_000)).create("raw").unwrap());
        }),
    ]
}
