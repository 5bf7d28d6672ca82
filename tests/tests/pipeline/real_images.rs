//! Real stacks go the whole way to an atlas by the experiment files in `docs/examples`.

use std::path::{Path, PathBuf};

use primordia_tests::{primordia, real_data, repository};
use serde_json::Value;

/// Adapted Rand error on the 35 large cells of the plant tissue, found without any tuning: it was
/// 0.21 when this bound was set. Not a goal, but what the method must not fall behind.
const PLANT_ERROR: f64 = 0.25;

/// Builds the atlas of an experiment in `docs/examples`, checks it, and returns its number of cells.
fn built(example: &str, atlas: &Path) -> usize {
    let experiment = repository().join("docs/examples").join(format!("{example}.toml"));
    let mut build = primordia();
    build.arg("build").arg(experiment).arg("-o").arg(atlas).args(["--json", "--quiet"]);
    let output = build.output().expect("the command starts");
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("build prints JSON");
    primordia().arg("validate").arg(atlas).assert().success();
    println!("{example}: {} cells in {} specimens", summary["n_cells"], summary["n_specimens"]);
    summary["n_cells"].as_u64().expect("a count") as usize
}

/// The cells of each specimen, as the atlas tells them.
fn cells_by_specimen(atlas: &Path) -> Vec<(String, u64)> {
    let sql = "SELECT specimen, COUNT(*) AS n_cells FROM cells GROUP BY specimen";
    let output = primordia().arg("query").arg(atlas).args([sql, "--json"]).output();
    let rows: Vec<Value> = serde_json::from_slice(&output.expect("the command starts").stdout)
        .expect("query prints JSON");
    let row = |row: &Value| Some((row["specimen"].as_str()?.to_owned(), row["n_cells"].as_u64()?));
    rows.iter().map(|cells| row(cells).expect("a name and a count")).collect()
}

/// The label image of a specimen, which a build leaves in the work folder.
fn labels_of(work: &Path, specimen: &str) -> PathBuf {
    let start = format!("{specimen}.labels.");
    let files = std::fs::read_dir(work).expect("a work folder");
    let mut paths = files.map(|file| file.expect("a file").path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".ome.tif")
    };
    paths.find(is_it).expect("labels in the work folder")
}

#[test]
fn a_plant_tissue_becomes_an_atlas_that_agrees_with_its_curated_cells() {
    let Some(data) = real_data("plant_membrane_3d_gt") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let atlas = folder.path().join("plant.h5");
    assert!(built("plant", &atlas) > 0);
    let labels = labels_of(&folder.path().join("plant.work"), "sample_patch");
    let mut evaluate = primordia();
    evaluate.arg("evaluate").arg(labels).arg(data.join("sample_patch_big_label.tif")).arg("--json");
    let output = evaluate.output().expect("the command starts");
    let scores: Value = serde_json::from_slice(&output.stdout).expect("evaluate prints JSON");
    println!("plant against big_label: {scores}");
    let error = scores["adapted_rand_error"].as_f64().expect("a number");
    assert!(error <= PLANT_ERROR, "adapted Rand error {error}");
}

#[test]
fn four_overview_stacks_of_the_lateral_line_become_an_atlas() {
    if real_data("zfish_pllp_dystrack").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let atlas = folder.path().join("pllp.h5");
    let n_cells = built("pllp", &atlas);
    let by_specimen = cells_by_specimen(&atlas);
    println!("{by_specimen:?}");
    let names: Vec<&str> = by_specimen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pllo_980", "pllp_880", "pllp_980", "pllp_AXR"]);
    assert_eq!(by_specimen.iter().map(|(_, n)| *n as usize).sum::<usize>(), n_cells);
}

#[test]
fn an_embryo_of_c_elegans_becomes_an_atlas() {
    if real_data("celegans_embryo_membrane_3d").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(built("celegans", &folder.path().join("celegans.h5")) > 0);
}
