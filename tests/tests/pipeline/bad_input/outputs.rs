//! Outputs that cannot be written: no folder, a folder, a disk that is full, rights that lack.

use std::path::Path;

use super::experiments::{BUILD, FILE, image};
use super::{Case, atlases, case, put, tables, tiff};

/// No file may grow beyond 1 KiB: writing fails as on a full disk, without a signal.
const FULL_DISK: &str = "ulimit -f 1; trap '' XFSZ";

fn raw_image(folder: &Path) {
    put(folder, "broken.tif", &tiff::sound());
}

pub(super) fn images(folder: &Path) {
    image(folder, "raw/a.ome.tif");
    let text = "experiment.reference = \"membrane\"\n[[specimens]]\nimages = \"raw/*.ome.tif\"\n";
    put(folder, FILE, text.as_bytes());
}

fn atlas(folder: &Path) {
    put(folder, "atlas.h5", atlases::sound());
}

fn imaged_atlas(folder: &Path) {
    put(folder, "atlas.h5", atlases::imaged());
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = missing_folders();
    cases.extend(full_disks());
    cases.extend(unwritable_folders());
    cases
}

fn missing_folders() -> Vec<Case> {
    const SEGMENT: &str = "segment broken.tif --voxel-size 1,0.5,0.5 -o nowhere/labels.tif";
    const EXPORT: &str = "export atlas.h5 -o nowhere/answer.csv --sql 'SELECT * FROM cells'";
    const PNG: &str = "segment broken.tif --voxel-size 1,0.5,0.5 -o out/labels.png";
    let nowhere = ["nowhere", "no folder"];
    vec![
        case("no folder for labels", SEGMENT, &nowhere, raw_image),
        case("no folder for an atlas", "build experiment.toml -o nowhere/a.h5", &nowhere, images),
        case("no folder for an answer", EXPORT, &nowhere, atlas),
        case("no folder for a demo", "demo -o nowhere/demo", &nowhere, |_| ()),
        case(
            "a picture in a format that is not written",
            "segment broken.tif --voxel-size 1,0.5,0.5 -o labels.tif --picture found.png",
            &["found.png", ".svg"],
            raw_image,
        ),
        case(
            "a partition for the recipe that has none",
            "segment broken.tif -o labels.tif --method hartmann2020 --partition multicut",
            &["--partition", "auto"],
            raw_image,
        ),
        case("labels in a format that is not written", PNG, &["labels.png", ".tif"], raw_image),
        case("a folder in place of an atlas", "build experiment.toml -o out", &["out"], images),
        case(
            "a folder in place of labels",
            "segment broken.tif --voxel-size 1,0.5,0.5 -o out",
            &["out", "folder"],
            raw_image,
        ),
        case(
            "a file in place of a folder of tables",
            "export atlas.h5 -o out/kept.txt",
            &["kept.txt"],
            atlas,
        ),
        case("no folder for a walk", "walk atlas.h5 -o nowhere/walk", &nowhere, imaged_atlas),
        case("a folder for a walk that is there", "walk atlas.h5 -o out", &["out"], imaged_atlas),
        case(
            "a file in place of a walk",
            "walk atlas.h5 -o out/kept.txt",
            &["kept.txt", "there already"],
            imaged_atlas,
        ),
        case(
            "a file in place of a work folder",
            "build experiment.toml -o out/atlas.h5 --work out/kept.txt",
            &["kept.txt"],
            images,
        ),
    ]
}

fn full_disks() -> Vec<Case> {
    const SEGMENT_HDF5: &str = "segment broken.tif --voxel-size 1,0.5,0.5 -o out/labels.h5";
    const EXPORT: &str = "export atlas.h5 -o out/answer.parquet --sql 'SELECT * FROM actin'";
    [
        case("a full disk for labels", tiff::SEGMENT, &["labels.ome.tif"], raw_image),
        case("a full disk for labels in HDF5", SEGMENT_HDF5, &["labels.h5"], raw_image),
        case("a full disk for finished specimens", BUILD, &["atlas.work"], images),
        case("a full disk for an atlas", BUILD, &["atlas.h5"], tables::sound),
        case("a full disk for an answer", EXPORT, &["answer.parquet"], atlas),
        case("a full disk for a walk", "walk atlas.h5 -o out/walk", &["out/walk"], imaged_atlas),
    ]
    .map(|case| case.after(FULL_DISK))
    .into()
}

/// `/proc` takes no files, not even of root; a folder without rights stops everybody else.
fn unwritable_folders() -> Vec<Case> {
    const SEGMENT: &str = "segment broken.tif --voxel-size 1,0.5,0.5 -o /proc/labels.tif";
    let mut cases = vec![
        case("a system folder for labels", SEGMENT, &["/proc/labels.tif"], raw_image),
        case(
            "a system folder for an atlas",
            "build experiment.toml -o /proc/a.h5",
            &["/proc/a."],
            images,
        ),
    ];
    if is_root() {
        eprintln!("SKIPPED: root may write to folders without rights");
    } else {
        let locked = |folder: &Path| {
            raw_image(folder);
            let rights = std::os::unix::fs::PermissionsExt::from_mode(0o555);
            std::fs::set_permissions(folder.join("out"), rights).unwrap();
        };
        cases.push(case("a folder without rights", tiff::SEGMENT, &["labels.ome.tif"], locked));
    }
    cases
}

/// Whether this process may write where no one is allowed to.
fn is_root() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(folder.path(), rights).unwrap();
    std::fs::write(folder.path().join("file"), "").is_ok()
}
