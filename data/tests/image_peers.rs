//! Files of tifffile and h5py read here, and files written here read by them.
//!
//! Needs a Python with the packages that `image_peers.py` names: `$PRIMORDIA_PYTHON`, else `.venv` at the
//! root of the repository. Without it, and without the real data, the tests say aloud that they skip.
#![allow(clippy::unwrap_used)] // a test that fails says where
#![allow(clippy::float_cmp)] // written numbers come back bit for bit

use std::path::{Path, PathBuf};
use std::process::Command;

use approx::assert_relative_eq;
use ndarray::Array3;
use primordia_data::image::{
    ImageFile, Voxels, VoxelsView, write_labels, write_ome_tiff, write_volume,
};
use primordia_data::{Labels, Volume, VoxelSize};
use serde::Deserialize;

/// Resolution tags are fractions of 32 bit numbers: seven digits.
const RESOLUTION: f64 = 1e-6;

/// An image that Python wrote, and what it holds.
#[derive(Deserialize)]
struct Case {
    file: PathBuf,
    raw: Vec<String>,
    shape: [usize; 3],
    dtype: String,
    names: Vec<Option<String>>,
    voxel_size: Option<[f64; 3]>,
    dataset: Option<String>,
    timepoint: Option<usize>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn python() -> Option<PathBuf> {
    let given = std::env::var_os("PRIMORDIA_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| root().join(".venv/bin/python"));
    let probe = "import tifffile, imagecodecs, h5py, numpy";
    let works = Command::new(&python).args(["-c", probe]).status().is_ok_and(|s| s.success());
    if !works {
        eprintln!("SKIPPED: {} lacks tifffile, imagecodecs or h5py", python.display());
    }
    works.then_some(python)
}

fn run(python: &Path, arguments: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image_peers.py");
    let status = Command::new(python).arg(script).args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn numbers_of(voxels: &Voxels) -> Vec<u8> {
    fn bytes<T: bytemuck::Pod>(voxels: &Array3<T>) -> Vec<u8> {
        bytemuck::cast_slice(voxels.as_slice().unwrap()).to_vec()
    }
    match voxels {
        Voxels::U8(voxels) => bytes(voxels),
        Voxels::U16(voxels) => bytes(voxels),
        Voxels::U32(voxels) => bytes(voxels),
        Voxels::F32(voxels) => bytes(voxels),
        Voxels::F64(voxels) => bytes(voxels),
    }
}

fn check(case: &Case, folder: &Path) {
    let path = folder.join(&case.file);
    let mut image = ImageFile::open_dataset(&path, case.dataset.as_deref())
        .unwrap_or_else(|error| panic!("{error}"));
    if let Some(timepoint) = case.timepoint {
        image = image.with_timepoint(timepoint).unwrap();
    }
    let what = image.describe();
    assert_eq!(image.shape(), case.shape, "{what}");
    assert_eq!(image.pixel_type().name(), case.dtype, "{what}");
    assert_eq!(image.channel_names(), case.names, "{what}");
    match (image.voxel_size(), case.voxel_size) {
        (Some(found), Some(wanted)) => {
            for (found, wanted) in found.um().into_iter().zip(wanted) {
                assert_relative_eq!(found, wanted, max_relative = RESOLUTION);
            }
        }
        (found, wanted) => assert_eq!(found.map(|size| size.um()), wanted, "{what}"),
    }
    for (index, raw) in case.raw.iter().enumerate() {
        let voxels = image.read_channel(index).unwrap_or_else(|error| panic!("{error}"));
        let wanted = std::fs::read(folder.join(raw)).unwrap();
        assert!(numbers_of(&voxels) == wanted, "channel {index} differs: {what}");
    }
}

fn cases(folder: &Path) -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap()
}

#[test]
fn files_of_other_software_read_as_they_read_them() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    run(&python, &[Path::new("write"), folder.path()]);
    let cases = cases(folder.path());
    assert!(cases.len() > 100);
    cases.iter().for_each(|case| check(case, folder.path()));
}

#[test]
fn real_images_read_as_tifffile_reads_them() {
    let given = std::env::var_os("PRIMORDIA_DATA").map(PathBuf::from);
    let data = given.unwrap_or_else(|| root().join("../shared/data/real"));
    if !data.is_dir() {
        eprintln!("SKIPPED: no real images at {}", data.display());
        return;
    }
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    run(&python, &[Path::new("real"), &data, folder.path()]);
    let cases = cases(folder.path());
    assert!(cases.len() > 20);
    cases.iter().for_each(|case| check(case, folder.path()));
}

/// What another program found in a file written here.
#[derive(Deserialize)]
struct Found {
    axes: String,
    shape: Vec<usize>,
    dtype: String,
    sum: f64,
    names: Vec<String>,
    voxel_size: [f64; 3],
    units: Vec<String>,
    tags_um: Vec<f64>,
}

/// A number in which each voxel counts with its place.
fn weighted_sum(values: impl Iterator<Item = f64>) -> f64 {
    values.enumerate().map(|(i, value)| (i + 1) as f64 * value).sum()
}

#[test]
fn files_written_here_read_alike_elsewhere() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let size = VoxelSize::from_um([0.5, 0.2, 0.099]).unwrap();
    let voxels = Array3::from_shape_fn((5, 20, 31), |(z, y, x)| (z * 7 + y * 3 + x) as u16);
    let floats = voxels.mapv(|value| f32::from(value) / 4.0);
    let doubled = voxels.mapv(|value| 2 * value);
    let channels =
        [("membrane", VoxelsView::from(&voxels)), ("Äktin & <co>", VoxelsView::from(&doubled))];
    write_ome_tiff(at("two.ome.tif"), &channels, size).unwrap();
    for suffix in ["tif", "h5"] {
        let volume = Volume::new(floats.clone(), size).unwrap();
        write_volume(at(&format!("float.{suffix}")), "membrane", &volume).unwrap();
        for (name, scale) in [("u8", 1), ("u16", 300), ("u32", 70_000)] {
            let labels = voxels.mapv(|value| u32::from(value) * scale);
            let labels = Labels::from_voxels(labels, size).unwrap();
            write_labels(at(&format!("{name}.{suffix}")), &labels).unwrap();
        }
    }
    run(&python, &[Path::new("check"), folder.path()]);
    let found = std::fs::read_to_string(at("found.json")).unwrap();
    let found: std::collections::BTreeMap<String, Found> = serde_json::from_str(&found).unwrap();

    assert_eq!(found.len(), 9);
    for (name, found) in &found {
        assert_eq!(found.voxel_size, size.um(), "{name}");
        assert_eq!(found.units, ["µm"; 3], "{name}");
        for (tag, wanted) in found.tags_um.iter().zip(&size.um()[1..]) {
            assert_relative_eq!(tag, wanted, max_relative = RESOLUTION);
        }
    }
    let two = &found["two.ome.tif"];
    assert_eq!((two.axes.as_str(), two.dtype.as_str()), ("CZYX", "uint16"));
    assert_eq!(two.names, ["membrane", "Äktin & <co>"]);
    assert_eq!(two.sum, weighted_sum(voxels.iter().chain(&doubled).map(|&value| f64::from(value))));
    for suffix in ["tif", "h5"] {
        let float = &found[&format!("float.{suffix}")];
        assert_eq!((float.dtype.as_str(), float.shape.as_slice()), ("float32", &[5, 20, 31][..]));
        assert_eq!(float.sum, weighted_sum(floats.iter().map(|&value| f64::from(value))));
        for (name, dtype, scale) in
            [("u8", "uint8", 1.0), ("u16", "uint16", 300.0), ("u32", "uint32", 70_000.0)]
        {
            let labels = &found[&format!("{name}.{suffix}")];
            assert_eq!(labels.dtype, dtype);
            let sum = weighted_sum(voxels.iter().map(|&value| f64::from(value) * scale));
            assert_eq!(labels.sum, sum, "{name}.{suffix}");
        }
    }
}
