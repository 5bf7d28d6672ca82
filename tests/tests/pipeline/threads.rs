//! The same bytes on any number of threads.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use primordia_data::VoxelSize;
use primordia_data::image::write_ome_tiff;
use primordia_data::phantom::{self, Optics, PhantomParams, Pose, TissueParams};
use primordia_tests::primordia;

/// Cells of each specimen of [`write_experiment`].
const CELLS: [usize; 3] = [14, 18, 22];
/// z, y, x in µm: coarse, so that a build takes seconds.
const VOXEL_UM: [f64; 3] = [1.0, 0.5, 0.5];

/// Writes an experiment of three small phantoms with two proteins: `experiment.toml`, `raw/`.
pub(super) fn write_experiment(folder: &Path) {
    std::fs::create_dir(folder.join("raw")).unwrap();
    for (seed, n_cells) in (1..).zip(CELLS) {
        write_specimen(&folder.join(format!("raw/embryo{seed}.ome.tif")), n_cells, seed);
    }
    let text = "[experiment]\nname = \"Small phantoms\"\nreference = \"membrane\"\n\n\
                [[specimens]]\nimages = \"raw/*.ome.tif\"\n";
    std::fs::write(folder.join("experiment.toml"), text).unwrap();
}

fn write_specimen(path: &Path, n_cells: usize, seed: u64) {
    let voxel_size = VoxelSize::from_um(VOXEL_UM).unwrap();
    let params = PhantomParams {
        tissue: TissueParams { n_cells, ..TissueParams::default() },
        pose: Pose::mounted(0.1, seed),
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    let phantom = phantom::specimen(&params, seed).unwrap();
    let channels = [
        ("membrane", (&phantom.membrane).into()),
        ("actin", (&phantom.protein).into()),
        ("control", (&phantom.control).into()),
    ];
    write_ome_tiff(path, &channels, voxel_size).unwrap();
}

/// Every file below `folder`, by its path from there.
pub(super) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Everything that `commands` leave in a folder of the experiment, on `threads` threads.
fn made_on(threads: &str, commands: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    for command in commands {
        let mut primordia = primordia();
        primordia.current_dir(folder.path()).args(command.split_whitespace());
        primordia.args(["--threads", threads]).assert().success();
    }
    files(folder.path())
}

/// Checks that one thread and four leave the same files with the same bytes.
#[track_caller]
fn assert_same_on_any_number_of_threads(commands: &[&str], wanted: &[&str]) {
    let (one, four) = (made_on("1", commands), made_on("4", commands));
    assert!(one.keys().eq(four.keys()), "{:?} and {:?}", one.keys(), four.keys());
    let differing: Vec<_> = one.iter().filter(|(name, bytes)| four[*name] != **bytes).collect();
    let names: Vec<_> = differing.iter().map(|(name, _)| name.display().to_string()).collect();
    assert!(names.is_empty(), "differ between one thread and four: {}", names.join(", "));
    for name in wanted {
        assert!(one.contains_key(Path::new(name)), "no {name} among {:?}", one.keys());
    }
}

#[test]
fn one_thread_and_four_make_the_same_atlas_and_tables() {
    assert_same_on_any_number_of_threads(
        &[
            "build experiment.toml -o atlas.h5",
            "walk atlas.h5 --channel actin -o walk",
            "export atlas.h5 -o csv",
            "export atlas.h5 -o parquet --format parquet",
        ],
        &[
            "atlas.h5",
            "walk/axis1.svg",
            "walk/axis1_step7_2.00sd.ome.tif",
            "csv/cells.csv",
            "csv/actin.csv",
            "csv/scores.csv",
            "parquet/cells.parquet",
        ],
    );
}

#[test]
fn one_thread_and_four_find_the_same_cells() {
    assert_same_on_any_number_of_threads(
        &[
            "segment raw/embryo1.ome.tif --channel membrane -o auto.ome.tif",
            "segment raw/embryo1.ome.tif --channel membrane -o auto.h5",
            "segment raw/embryo1.ome.tif --channel 0 --method hartmann2020 -o hartmann.ome.tif",
        ],
        &["auto.ome.tif", "auto.h5", "hartmann.ome.tif"],
    );
}

#[test]
fn one_thread_and_four_explode_and_measure_alike() {
    assert_same_on_any_number_of_threads(
        &[
            "segment raw/embryo1.ome.tif --channel membrane -o labels.ome.tif",
            "explode labels.ome.tif --image raw/embryo1.ome.tif -o exploded.ome.tif",
            "explode labels.ome.tif --shrink 0.9 --apart -o apart.h5",
            "features labels.ome.tif --image raw/embryo1.ome.tif -o cells.csv",
            "features labels.ome.tif --image raw/embryo1.ome.tif -o cells.parquet",
        ],
        &["exploded.ome.tif", "exploded_image.ome.tif", "apart.h5", "cells.csv", "cells.parquet"],
    );
}
