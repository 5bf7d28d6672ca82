//! A channel that bleeds into the membranes is taken out of them before cells are found.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

use std::path::Path;

use ndarray::Array3;
use primordia_data::image::{write_labels, write_ome_tiff};
use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
use primordia_data::{Labels, VoxelSize};
use serde_json::Value;

use super::exploded::said;
use super::interruption::build_to_the_end;

/// The share of the nuclei that is seen beside the membranes.
const SHARE: f64 = 0.5;
/// Membranes that cross nuclei, and rounding to whole counts.
const OFF: f64 = 0.02;
/// Counts of nuclei: with half of it, as bright as membranes.
const NUCLEUS: f64 = 140.0;

/// Nuclei of 2 µm around the centroids of the cells.
fn nuclei(labels: &Labels) -> Array3<u16> {
    let (volume, rows) = (labels.volume(), labels.rows());
    let mut sums = vec![([0.0; 3], 0.0); labels.n_cells()];
    for ((z, y, x), &label) in volume.voxels().indexed_iter() {
        let Some(row) = rows.row(label) else { continue };
        let point = volume.point_um([z, y, x]);
        (0..3).for_each(|axis| sums[row].0[axis] += point[axis]);
        sums[row].1 += 1.0;
    }
    Array3::from_shape_fn(volume.voxels().dim(), |(z, y, x)| {
        let here = volume.point_um([z, y, x]);
        let away = |(sum, n): &([f64; 3], f64)| {
            (0..3).map(|axis| (sum[axis] / n - here[axis]).powi(2)).sum::<f64>()
        };
        let inside = sums.iter().any(|sum| away(sum) < 4.0);
        if inside { NUCLEUS as u16 } else { 4 }
    })
}

/// Writes `raw/NAME.ome.tif` with the channels `membrane` and `nuclei`, and `truth_NAME.tif`.
fn write_mixed(folder: &Path, name: &str, seed: u64) {
    let voxel_size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
    let params = PhantomParams {
        tissue: TissueParams { n_cells: 16, ..TissueParams::default() },
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    let phantom = phantom::specimen(&params, seed).unwrap();
    let nuclei = nuclei(&phantom.truth);
    let mut membrane = phantom.membrane.into_voxels();
    membrane.zip_mut_with(&nuclei, |voxel, &nucleus| {
        *voxel += (SHARE * f64::from(nucleus)).round() as u16;
    });
    let channels = [("membrane", (&membrane).into()), ("nuclei", (&nuclei).into())];
    std::fs::create_dir_all(folder.join("raw")).unwrap();
    write_ome_tiff(folder.join(format!("raw/{name}.ome.tif")), &channels, voxel_size).unwrap();
    write_labels(folder.join(format!("truth_{name}.tif")), &phantom.truth).unwrap();
}

#[test]
fn cells_are_found_behind_nuclei_that_bleed_into_their_membranes() {
    let folder = tempfile::tempdir().unwrap();
    write_mixed(folder.path(), "a", 1);
    let line = "segment raw/a.ome.tif --channel membrane --unmix nuclei -o labels.tif";
    let words = said(folder.path(), line);
    let said_share = words.lines().nth(1).unwrap().split(' ').next().unwrap();
    let share: f64 = said_share.parse().unwrap();
    assert!((share - SHARE).abs() < OFF, "{words}");
    let scores = said(folder.path(), "evaluate labels.tif truth_a.tif --json");
    let scores: Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(scores["f1_iou_50"], 1.0, "{scores}");
}

#[test]
fn an_atlas_says_what_was_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, name) in (1..).zip(["a", "b", "c"]) {
        write_mixed(folder.path(), name, seed);
    }
    let text = "[experiment]\nreference = \"membrane\"\nunmix = \"nuclei\"\n\n\
                [[specimens]]\nimages = \"raw/*.ome.tif\"\n";
    std::fs::write(folder.path().join("experiment.toml"), text).unwrap();
    build_to_the_end(folder.path());
    let mut command = primordia_tests::primordia();
    let sql = "SELECT unmixed_share, unmixed_share_error FROM specimens";
    command.current_dir(folder.path()).args(["query", "atlas.h5", sql, "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let number = |name: &str| -> f64 { row[name].as_str().unwrap().parse().unwrap() };
        assert!((number("unmixed_share") - SHARE).abs() < OFF, "{row}");
        assert!(number("unmixed_share_error") < OFF, "{row}");
    }
}
