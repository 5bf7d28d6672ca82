//! The segmentation and its scores against what a scipy user would write.

use std::path::{Path, PathBuf};

use primordia_data::image::{ImageFile, write_labels, write_volume};
use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
use primordia_data::{Labels, Volume, VoxelSize};
use primordia_tests::{primordia, real_data, run_peer};
use serde_json::Value;

use super::exploded::{said, write_phantom};

/// The two compute smoothing in different precision, so some borders lie a voxel apart.
const SAME_RECIPE: f64 = 0.01;
/// `score_labels.py` prints four decimals.
const FOUR_DECIMALS: f64 = 1e-4;
/// Sums in another order.
const ROUNDING: f64 = 1e-9;
/// Our names of the scores, and the peer's.
const SCORES: [(&str, &str); 8] = [
    ("n_cells", "cells_pred"),
    ("n_true", "cells_true"),
    ("adapted_rand_error", "are"),
    ("voi_split", "voi_split"),
    ("voi_merge", "voi_merge"),
    ("f1_iou_50", "f1_50"),
    ("f1_iou_75", "f1_75"),
    ("mean_matched_iou", "miou"),
];

/// A phantom and its truth. Twice as coarse as the paper's images: the recipe counts voxels, and so
/// a cell still has several thousand, the background its million.
fn small_tissue() -> (Volume<u16>, Labels) {
    let voxel_size = VoxelSize::from_um([0.45, 0.198, 0.198]).expect("positive");
    let params = PhantomParams {
        tissue: TissueParams { n_cells: 24, ..TissueParams::default() },
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    let phantom = phantom::specimen(&params, 3).expect("sensible parameters");
    (phantom.membrane, phantom.truth)
}

/// What `primordia evaluate` says of two label images.
fn evaluate(labels: &Path, truth: &Path) -> Value {
    let output = primordia().arg("evaluate").args([labels, truth]).arg("--json").output();
    let output = output.expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("evaluate prints JSON")
}

/// Compares our scores with the peer's; `false` where there is no peer.
fn scores_agree(labels: &Path, truth: &Path) -> bool {
    let Some(peer) = run_peer("score_labels.py", &[labels, truth]) else { return false };
    let peer: Value = serde_json::from_str(&peer).expect("the peer prints JSON");
    let ours = evaluate(labels, truth);
    for (name, peer_name) in SCORES {
        let number = |scores: &Value, name: &str| scores[name].as_f64().expect("a number");
        let (found, wanted) = (number(&ours, name), number(&peer, peer_name));
        let off = (found - wanted).abs();
        assert!(
            off <= FOUR_DECIMALS,
            "{name} of {} is {found}, by scipy {wanted}",
            labels.display()
        );
    }
    true
}

#[test]
fn the_recipe_finds_the_cells_that_it_finds_in_scipy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let truth = at("truth.tif");
    let (membrane, true_labels) = small_tissue();
    write_labels(&truth, &true_labels).expect("room on the disk");
    // With more gain, the best threshold lies beyond the usual search.
    for (gain, max_offset) in [(1, "10"), (4, "40")] {
        let image = at(&format!("gain_{gain}.tif"));
        let bytes = membrane.map(|&counts| (gain * counts).min(255) as u8);
        write_volume(&image, "membrane", &bytes).expect("room on the disk");
        let by_scipy = at(&format!("scipy_{max_offset}.tif"));
        let arguments: [&Path; 4] = [&image, Path::new("0"), &by_scipy, Path::new(max_offset)];
        if run_peer("scipy_segment.py", &arguments).is_none() {
            return;
        }
        let ours = at(&format!("ours_{max_offset}.tif"));
        let mut command = primordia();
        command.arg("segment").arg(&image).arg("-o").arg(&ours);
        command.args(["--method", "hartmann2020", "--max-offset", max_offset, "--step", "1"]);
        command.assert().success();

        let scores = evaluate(&ours, &by_scipy);
        println!("max_offset {max_offset}: {scores}");
        assert_eq!(scores["n_cells"], scores["n_true"], "max_offset {max_offset}");
        let error = scores["adapted_rand_error"].as_f64().expect("a number");
        assert!(error <= SAME_RECIPE, "max_offset {max_offset}: adapted Rand error {error}");
        assert!(scores_agree(&ours, &by_scipy));
        assert!(scores_agree(&ours, &truth));
        assert!(scores_agree(&truth, &ours));
    }
}

#[test]
fn a_negative_shows_the_cells_of_its_image() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (membrane, truth) = small_tissue();
    let at = |name: &str| folder.path().join(name);
    let brightest = *membrane.as_slice().iter().max().expect("voxels");
    let negative = membrane.map(|&value| brightest - value);
    write_volume(at("image.tif"), "membrane", &membrane).expect("room on the disk");
    write_volume(at("negative.tif"), "inside", &negative).expect("room on the disk");
    write_labels(at("truth.tif"), &truth).expect("room on the disk");
    said(folder.path(), "segment image.tif -o found.tif --picture found.svg");
    said(folder.path(), "segment negative.tif --dark-membranes -o again.tif");
    let scores = evaluate(&at("again.tif"), &at("found.tif"));
    assert_eq!(scores["adapted_rand_error"], 0.0, "{scores}");
    assert_eq!(evaluate(&at("found.tif"), &at("truth.tif"))["f1_iou_50"], 1.0);
    let picture = std::fs::read_to_string(at("found.svg")).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.contains("24 cells"));
}

#[test]
fn the_table_of_found_cells_has_the_least_sure_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_phantom(folder.path());
    let line = "segment image.ome.tif --channel membrane -o found.ome.tif --cells cells.json";
    said(folder.path(), line);
    let labels = ImageFile::open(folder.path().join("found.ome.tif")).and_then(|f| f.read_labels());
    let labels = labels.expect("labels");
    let text = std::fs::read_to_string(folder.path().join("cells.json")).expect("a table");
    let rows: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let column = |name: &str| -> Vec<f64> {
        rows.iter().map(|row| row[name].as_f64().expect("a number")).collect()
    };
    assert!(column("whole_cell_probability").is_sorted());
    let cell = |row: &Value| row["cell"].as_str().expect("IDs are text").parse().expect("a label");
    let cells: Vec<u32> = rows.iter().map(cell).collect();
    let mut sorted = cells.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, labels.cells());

    // The sums, written out: a centroid is a mean, a volume is a number of voxels.
    let volume = labels.volume();
    let voxel_um3 = volume.voxel_size().um().iter().product::<f64>();
    let (cell, mut n, mut x_um) = (cells[0], 0.0, 0.0);
    for ((z, y, x), _) in volume.voxels().indexed_iter().filter(|(_, label)| **label == cell) {
        n += 1.0;
        x_um += volume.point_um([z, y, x]).x;
    }
    let close = |found: f64, wanted: f64| (found - wanted).abs() <= ROUNDING * wanted;
    assert!(close(column("volume_um3")[0], n * voxel_um3));
    assert!(close(column("image_x_um")[0], x_um / n));
}

#[test]
fn scores_of_two_curations_of_a_real_tissue_are_those_of_scipy() {
    let Some(data) = real_data("plant_membrane_3d_gt") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [all, big] = ["sample_patch_label.tif", "sample_patch_big_label.tif"]
        .map(|name| renumbered(&data.join(name), folder.path().join(name)));
    if scores_agree(&big, &all) {
        assert!(scores_agree(&all, &big));
    }
}

/// Writes labels as 1, 2, …: the peer makes a table as wide and as high as the largest label.
fn renumbered(labels: &Path, to: PathBuf) -> PathBuf {
    let any_size = VoxelSize::from_um([1.0; 3]).expect("positive");
    let labels = ImageFile::open(labels).expect("an image").with_voxel_size(any_size);
    let labels = labels.read_labels().expect("labels").renumbered();
    write_labels(&to, &labels).expect("room on the disk");
    to
}

/// What a tile's flood does not see of its surroundings changes single voxels.
const IN_TILES: f64 = 0.002;

#[test]
fn bounded_memory_gives_the_labels_of_the_whole_or_says_what_it_needs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (membrane, _) = small_tissue();
    let image = at("membrane.tif");
    write_volume(&image, "membrane", &membrane).expect("room on the disk");
    let segment = |labels: &Path, more: &[&str]| {
        let output =
            primordia().arg("segment").arg(&image).arg("-o").arg(labels).args(more).output();
        output.expect("the command starts")
    };
    let (whole, cells) = (at("whole.tif"), at("whole.csv"));
    let cells_of_whole = cells.to_str().expect("plain letters");
    assert!(segment(&whole, &["--cells", cells_of_whole]).status.success());
    let n_rows = |path: &Path| std::fs::read_to_string(path).expect("a table").lines().count();
    for name in ["tiled.tif", "tiled.h5"] {
        let (tiled, table) = (at(name), at("tiled.csv"));
        let more = ["--max-memory", "90M", "--cells", table.to_str().expect("plain letters")];
        let output = segment(&tiled, &more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let scores = evaluate(&tiled, &whole);
        let error = scores["adapted_rand_error"].as_f64().expect("a number");
        assert!(error <= IN_TILES, "{name}: {scores}");
        assert_eq!(n_rows(&table), n_rows(&cells));
    }
    let refused = segment(&at("none.tif"), &["--max-memory", "10M"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("10 MB of memory are too few: at least"), "{message}");
    assert!(!at("none.tif").exists());
}
