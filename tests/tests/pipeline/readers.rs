//! Other programs open what we write: atlases in h5py and anndata, images in tifffile and h5py.

use std::path::Path;

use primordia_data::image::{write_labels, write_ome_tiff, write_volume};
use primordia_data::phantom::{self, Optics, Phantom, PhantomParams, Pose, TissueParams};
use primordia_data::{Labels, VoxelSize};
use primordia_tests::{primordia, run_reference};
use serde_json::{Value, json};

/// z, y, x in µm.
const VOXEL_UM: [f64; 3] = [1.0, 0.5, 0.4];
const N_SPECIMENS: u64 = 4;
const N_CELLS: usize = 14;
/// A resolution tag holds two whole numbers.
const RATIONAL_UM: f64 = 1e-6;

fn small_phantom(seed: u64) -> Phantom {
    let voxel_size = VoxelSize::from_um(VOXEL_UM).expect("positive");
    let params = PhantomParams {
        tissue: TissueParams { n_cells: N_CELLS, ..TissueParams::default() },
        pose: Pose::mounted(0.1, seed),
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    phantom::specimen(&params, seed).expect("sensible parameters")
}

/// Writes images, true labels and the experiment file of a few small specimens.
fn write_experiment(folder: &Path) {
    for seed in 0..N_SPECIMENS {
        let phantom = small_phantom(seed);
        let channels = [
            ("membrane", (&phantom.membrane).into()),
            ("actin", (&phantom.protein).into()),
            ("control", (&phantom.control).into()),
        ];
        let voxel_size = phantom.membrane.voxel_size();
        write_ome_tiff(folder.join(format!("fish{seed}.ome.tif")), &channels, voxel_size)
            .expect("room on the disk");
        write_labels(folder.join(format!("fish{seed}.labels.tif")), &phantom.truth)
            .expect("room on the disk");
    }
    let text = "[experiment]\nname = \"readers\"\nreference = \"membrane\"\n\n\
                [[specimens]]\nimages = \"*.ome.tif\"\nlabels = \"{id}.labels.tif\"\n";
    std::fs::write(folder.join("experiment.toml"), text).expect("room on the disk");
}

/// What `open_images.py` says of one file.
fn opened(path: &Path) -> Option<Value> {
    let said = run_reference("open_images.py", &[path])?;
    Some(serde_json::from_str(&said).expect("the script prints JSON"))
}

#[test]
fn an_atlas_opens_in_h5py_and_anndata_and_what_anndata_writes_is_an_atlas() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write_experiment(folder.path());
    let (atlas, rewritten) = (at("atlas.h5"), at("rewritten.h5ad"));
    let mut build = primordia();
    build.arg("build").arg(at("experiment.toml")).arg("-o").arg(&atlas).assert().success();

    let Some(seen) = run_reference("open_atlas.py", &[&atlas, &rewritten]) else { return };
    let seen: Value = serde_json::from_str(&seen).expect("the script prints JSON");
    assert_eq!(seen["cells"], N_SPECIMENS * N_CELLS as u64);
    assert_eq!(seen["proteins"], json!(["actin", "control"]));
    assert_eq!(seen["cells_of"]["fish0"], N_CELLS);
    assert_eq!(seen["format"], "primordia-atlas");
    assert_eq!(seen["name"], "readers");
    assert_eq!(seen["voxel_um"], json!(vec![VOXEL_UM; N_SPECIMENS as usize]));

    primordia().arg("validate").arg(&rewritten).assert().success();
    let answer = |atlas: &Path| {
        let sql = "SELECT * EXCLUDE (cluster) FROM cells";
        let whole = "SELECT * FROM cells";
        let sql = if atlas == rewritten { sql } else { whole };
        let output = primordia().arg("query").arg(atlas).args([sql, "--csv"]).output();
        String::from_utf8(output.expect("the command starts").stdout).expect("text")
    };
    assert_eq!(answer(&atlas), answer(&rewritten));
}

#[test]
fn images_open_in_tifffile_with_their_voxel_size_and_channels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = small_phantom(0);
    let image = folder.path().join("image.ome.tif");
    let channels = [("membrane", (&phantom.membrane).into()), ("actin", (&phantom.protein).into())];
    write_ome_tiff(&image, &channels, phantom.membrane.voxel_size()).expect("room on the disk");
    let Some(seen) = opened(&image) else { return };
    let [z, y, x] = phantom.membrane.shape();
    assert_eq!((&seen["axes"], &seen["shape"]), (&json!("CZYX"), &json!([2, z, y, x])));
    assert_eq!(seen["channels"], json!(["membrane", "actin"]));
    assert_eq!((&seen["type"], &seen["voxel_um"]), (&json!("uint16"), &json!(VOXEL_UM)));
    for (seen_um, wanted_um) in
        seen["resolution_um"].as_array().expect("y, x").iter().zip([0.5, 0.4])
    {
        assert!((seen_um.as_f64().expect("a number") - wanted_um).abs() < RATIONAL_UM);
    }
}

#[test]
fn labels_and_volumes_open_elsewhere_with_their_voxel_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = small_phantom(1);
    let many = |factor: u32| {
        let labels = phantom.truth.volume().map(|label| label * factor);
        Labels::new(labels)
    };
    for (factor, kind) in [(1, "uint8"), (300, "uint16"), (70_000, "uint32")] {
        for name in ["labels.tif", "labels.h5"] {
            let path = folder.path().join(format!("{kind}_{name}"));
            write_labels(&path, &many(factor)).expect("room on the disk");
            let Some(seen) = opened(&path) else { return };
            assert_eq!(seen["shape"], json!(phantom.truth.volume().shape()), "{kind} {name}");
            assert_eq!((&seen["axes"], &seen["type"]), (&json!("ZYX"), &json!(kind)));
            assert_eq!(seen["largest"].as_f64(), Some(f64::from(factor) * N_CELLS as f64));
            assert_eq!(seen["voxel_um"], json!(VOXEL_UM), "{kind} {name}");
        }
    }
    let volume = folder.path().join("membrane.h5");
    write_volume(&volume, "membrane", &phantom.membrane).expect("room on the disk");
    let seen = opened(&volume).expect("Python is there");
    assert_eq!((&seen["type"], &seen["voxel_um"]), (&json!("uint16"), &json!(VOXEL_UM)));
}

#[test]
fn labels_of_the_command_open_in_tifffile_with_the_voxel_size_of_the_image() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let phantom = small_phantom(2);
    write_volume(at("fish.tif"), "membrane", &phantom.membrane).expect("room on the disk");
    let mut segment = primordia();
    segment.arg("segment").arg(at("fish.tif")).arg("-o").arg(at("found.tif")).assert().success();
    let Some(seen) = opened(&at("found.tif")) else { return };
    assert_eq!(seen["shape"], json!(phantom.membrane.shape()));
    assert_eq!(seen["voxel_um"], json!(VOXEL_UM));
}
