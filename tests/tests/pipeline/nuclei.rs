//! Nuclei in a channel of their own guide which regions become one cell.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

use std::path::Path;

use primordia_data::image::{ImageFile, write_labels, write_ome_tiff};
use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
use primordia_data::{Labels, VoxelSize};
use primordia_segmentation::Nuclei;
use primordia_tests::real_data;
use serde_json::Value;

use super::exploded::said;

/// Writes `image.ome.tif` with the channels `membrane` and `nuclei`, and `truth.tif`: dim, and of coarse voxels.
fn write_dim(folder: &Path) {
    let optics = Optics::very_dim(VoxelSize::from_um([1.0, 0.4, 0.4]).unwrap());
    let tissue = TissueParams { n_cells: 40, ..TissueParams::default() };
    let params = PhantomParams { tissue, optics: optics.clone(), ..PhantomParams::default() };
    let phantom = phantom::specimen(&params, 8).unwrap();
    let nuclei = phantom::nuclei(&phantom, &optics, 8).unwrap();
    let channels =
        [("membrane", phantom.membrane.voxels().into()), ("nuclei", nuclei.image.voxels().into())];
    write_ome_tiff(folder.join("image.ome.tif"), &channels, optics.voxel_size).unwrap();
    write_labels(folder.join("truth.tif"), &phantom.truth).unwrap();
}

fn f1(folder: &Path, labels: &str) -> f64 {
    let scores = said(folder, &format!("evaluate {labels} truth.tif --json"));
    let scores: Value = serde_json::from_str(&scores).unwrap();
    scores["f1_iou_50"].as_f64().unwrap()
}

#[test]
fn nuclei_find_cells_whose_membranes_are_too_dim() {
    let folder = tempfile::tempdir().unwrap();
    write_dim(folder.path());
    let segment = "segment image.ome.tif --channel membrane --method sheets";
    said(folder.path(), &format!("{segment} -o alone.tif"));
    let words = said(folder.path(), &format!("{segment} --nuclei nuclei -o guided.tif"));
    let line = words.lines().find(|line| line.starts_with("guided by ")).unwrap();
    let n_nuclei: usize = line.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((36..=44).contains(&n_nuclei), "{words}");
    let [alone, guided] = ["alone.tif", "guided.tif"].map(|labels| f1(folder.path(), labels));
    println!("F1 {alone} alone, {guided} with nuclei");
    assert!(guided > 0.85 && guided > alone + 0.05, "{alone} {guided}");
    let multicut = format!("{segment} --nuclei nuclei --partition multicut -o multicut.tif");
    said(folder.path(), &multicut);
    let multicut = f1(folder.path(), "multicut.tif");
    assert!(multicut > 0.75, "{multicut}");
}

#[test]
fn the_network_finds_cells_that_sheets_leave_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    write_dim(folder.path());
    let segment = "segment image.ome.tif --channel membrane";
    let sheets = said(folder.path(), &format!("{segment} --method sheets -o sheets.tif"));
    let auto = said(folder.path(), &format!("{segment} -o auto.tif"));
    said(folder.path(), &format!("{segment} --method network -o network.tif"));
    assert!(auto.contains("the network was asked") && !sheets.contains("network"), "{auto}");
    let [sheets, auto, network] =
        ["sheets.tif", "auto.tif", "network.tif"].map(|labels| f1(folder.path(), labels));
    println!("F1 {sheets} by sheets, {auto} by auto, {network} with the network");
    assert!(auto >= network && auto > sheets, "{sheets} {auto} {network}");
}

/// What the detector makes of real nuclei of a voxel size: how many it finds, how many there are (but for crumbs), and how
/// many of these have one that was found inside.
fn detected(image: &Path, truth: &Path, um: [f64; 3]) -> [usize; 3] {
    const LEAST_UM3: f64 = 0.1;
    let file = ImageFile::open(image).unwrap().with_voxel_size(VoxelSize::from_um(um).unwrap());
    let channel = file.read_volume_f32(0).unwrap();
    let truth = ImageFile::open(truth).unwrap().with_voxel_size(channel.voxel_size());
    let truth: Labels = truth.read_labels().unwrap();
    let found = Nuclei::find(&channel, 0.44).unwrap();
    let mut hits: Vec<u32> = Vec::new();
    for nucleus in found.all() {
        let at = [0, 1, 2].map(|axis| {
            let at = (nucleus.centre_um[2 - axis] / um[axis]).round() as usize;
            at.min(truth.volume().shape()[axis] - 1)
        });
        hits.push(truth.volume().voxels()[at]);
    }
    hits.sort_unstable();
    hits.dedup();
    let mut sizes = std::collections::BTreeMap::new();
    truth.volume().as_slice().iter().for_each(|label| *sizes.entry(*label).or_insert(0.0) += 1.0);
    let voxel_um3 = channel.voxel_size().volume_um3();
    let is_large = |label: &u32| *label > 0 && sizes[label] * voxel_um3 >= LEAST_UM3;
    let n_true = sizes.keys().filter(|label| is_large(label)).count();
    [found.all().len(), n_true, hits.iter().filter(|label| is_large(label)).count()]
}

fn assert_detected(folder: &str, [image, truth]: [&str; 2], um: [f64; 3], least_f1: f64) {
    let Some(data) = real_data(folder) else { return };
    let [found, n_true, hit] = detected(&data.join(image), &data.join(truth), um);
    let f1 = 2.0 * hit as f64 / (found + n_true) as f64;
    println!("{folder}/{truth}: {hit} of {n_true} nuclei, {found} found: F1 {f1:.3}");
    assert!(f1 >= least_f1, "{folder}/{truth}: F1 {f1}");
}

/// Bounds are what was reached when they were set, less one nucleus: the method must not fall behind.
#[test]
fn nuclei_of_cultured_cells_and_of_a_plant_ovule_are_found() {
    let cultured = [0.29, 0.26, 0.26];
    let labels = ["nuclei_label_cellprofiler.tif", "nuclei_label_napari.tif"];
    for (truth, least_f1) in labels.into_iter().zip([0.89, 0.8]) {
        assert_detected("cells3d_nuclei", ["nuclei.tif", truth], cultured, least_f1);
    }
    let ovule = [0.283_718, 0.126_786, 0.126_786];
    assert_detected("ovule_nuclei_3d_gt", ["1135_raw.tif", "1135_label.tif"], ovule, 0.85);
}
