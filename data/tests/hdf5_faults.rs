//! HDF5 files that are damaged, lie, or hold something else than one image.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::path::{Path, PathBuf};

use hdf5_metno::File;
use ndarray::{Array2, Array3};
use primordia_data::image::{ImageFile, ImageProblem, write_labels};
use primordia_data::{DataError, Labels, VoxelSize};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn created(folder: &Path, fill: impl FnOnce(&File)) -> PathBuf {
    let path = folder.join("specimen_17.h5");
    let file = File::create(&path).unwrap();
    fill(&file);
    file.close().unwrap();
    path
}

fn problem_of(error: DataError) -> ImageProblem {
    assert!(error.to_string().contains("specimen_17.h5"), "{error}");
    match error {
        DataError::Image { problem, .. } => *problem,
        other => panic!("{other}"),
    }
}

fn open_problem(fill: impl FnOnce(&File), dataset: Option<&str>) -> ImageProblem {
    let folder = tempfile::tempdir().unwrap();
    let path = created(folder.path(), fill);
    problem_of(ImageFile::open_dataset(path, dataset).unwrap_err())
}

#[test]
fn a_missing_dataset_is_an_error_that_lists_what_there_is() {
    let fill = |file: &File| {
        let group = file.create_group("volume").unwrap();
        group
            .new_dataset_builder()
            .with_data(&Array3::<u8>::zeros((2, 3, 4)))
            .create("raw")
            .unwrap();
    };
    let message = open_problem(fill, Some("label")).to_string();
    assert!(
        message.contains("\"label\"") && message.contains("/volume/raw [2, 3, 4]"),
        "{message}"
    );
}

#[test]
fn several_images_ask_for_a_choice() {
    let fill = |file: &File| {
        for name in ["raw", "label"] {
            file.new_dataset_builder()
                .with_data(&Array3::<u8>::zeros((2, 3, 4)))
                .create(name)
                .unwrap();
        }
    };
    let message = open_problem(fill, None).to_string();
    assert!(message.contains("/label [2, 3, 4], /raw [2, 3, 4]"), "{message}");
}

#[test]
fn wrong_shapes_and_types_are_named() {
    let vector = |file: &File| {
        file.new_dataset_builder().with_data(&[1_u8, 2, 3]).create("raw").unwrap();
    };
    assert!(matches!(open_problem(vector, Some("raw")), ImageProblem::DatasetShape { .. }));
    assert!(matches!(open_problem(vector, None), ImageProblem::NoDataset { .. }));
    let bools = |file: &File| {
        file.new_dataset_builder()
            .with_data(&Array2::from_elem((2, 2), true))
            .create("raw")
            .unwrap();
    };
    assert!(matches!(open_problem(bools, Some("raw")), ImageProblem::PixelType { .. }));
    assert!(matches!(open_problem(|_| {}, None), ImageProblem::NoDataset { .. }));
}

#[test]
fn a_million_million_claimed_voxels_are_refused() {
    let fill = |file: &File| {
        let builder = file.new_dataset::<u8>().chunk((64, 64, 64)).deflate(1);
        builder.shape((10_000, 10_000, 10_000)).create("raw").unwrap();
    };
    assert!(matches!(open_problem(fill, None), ImageProblem::Implausible { .. }));
}

#[test]
fn negative_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = created(folder.path(), |file| {
        let labels = Array3::from_elem((1, 1, 3), -1_i64);
        file.new_dataset_builder().with_data(&labels).create("label").unwrap();
    });
    let problem = problem_of(ImageFile::open(path).unwrap().read_channel(0).unwrap_err());
    assert!(matches!(problem, ImageProblem::Negative { count: 3, .. }), "{problem:?}");
}

#[test]
fn truncated_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("specimen_17.h5");
    let voxels = Array3::from_shape_fn((4, 9, 9), |(z, y, x)| (z * y * x) as u32);
    let labels = Labels::from_voxels(voxels, VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap()).unwrap();
    write_labels(&path, &labels).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(ImageFile::open(&path).unwrap().read_labels().unwrap(), labels);
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let result = ImageFile::open(&path).and_then(|image| image.read_labels());
        let message = result.unwrap_err().to_string();
        assert!(message.contains("specimen_17.h5"), "{message}");
    }
}

fn seed() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.h5");
    let labels = Array3::from_shape_fn((4, 9, 9), |(z, y, x)| (z * y * x) as u32);
    let labels = Labels::from_voxels(labels, VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap()).unwrap();
    write_labels(&path, &labels).unwrap();
    std::fs::read(path).unwrap()
}

proptest! {
    // Always the same files: the library that reads HDF5 is not ours to mend on the day.
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn changed_bytes_never_panic(
        seed in Just(seed()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = seed;
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("specimen_17.h5");
        std::fs::write(&path, &bytes).unwrap();
        // Either answer is right; a panic is not.
        let _ = ImageFile::open(&path).and_then(|image| image.read_labels());
    }
}
