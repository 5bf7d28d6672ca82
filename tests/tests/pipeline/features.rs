//! `primordia features`: the table of a label image, and the list that says what its columns are.

use std::collections::BTreeSet;

use primordia_tests::primordia;
use serde_json::Value;

use super::exploded::{said, write_phantom};

/// Columns that say which cell a row is, or what is wrong with it.
const NO_FEATURES: [&str; 15] = [
    "cell",
    "image_x_um",
    "image_y_um",
    "image_z_um",
    "rosette",
    "box_first_z_voxel",
    "box_end_z_voxel",
    "box_first_y_voxel",
    "box_end_y_voxel",
    "box_first_x_voxel",
    "box_end_x_voxel",
    "n_voxels",
    "n_pieces",
    "touches_border",
    "quality",
];

#[test]
fn the_table_has_a_row_per_cell_and_a_column_per_listed_feature() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = write_phantom(folder.path());
    let line =
        "features labels.ome.tif --image image.ome.tif --landmarks --moments 1 -o cells.json";
    let words = said(folder.path(), line);
    assert!(words.starts_with("16 cells, "), "{words}");
    let text = std::fs::read_to_string(folder.path().join("cells.json")).expect("a table");
    let rows: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let cells: Vec<_> = rows.iter().map(|row| row["cell"].as_str().expect("text")).collect();
    let wanted: Vec<_> = phantom.truth.cells().iter().map(ToString::to_string).collect();
    assert_eq!(cells, wanted);

    let listed = said(folder.path(), "features --list --json");
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let mut wanted: BTreeSet<String> = NO_FEATURES.iter().map(|&name| name.to_owned()).collect();
    for feature in &listed {
        let name = feature["name"].as_str().expect("text");
        assert_eq!(feature["per_channel"], name.starts_with("CHANNEL_"), "{name}");
        if name.starts_with("CHANNEL_") {
            wanted.extend(["membrane", "actin"].map(|channel| name.replace("CHANNEL", channel)));
        } else {
            wanted.insert(name.to_owned());
        }
        if feature["group"] == "landmarks" {
            wanted.extend(["membrane", "actin"].map(|channel| format!("{channel}_{name}")));
        }
    }
    for cloud in ["", "membrane_", "actin_"] {
        wanted.extend(
            ["z1_y0_x0", "z0_y1_x0", "z0_y0_x1"].map(|of| format!("{cloud}moment_{of}_um")),
        );
    }
    let columns: BTreeSet<String> = rows[0].as_object().expect("a row").keys().cloned().collect();
    assert_eq!(columns, wanted);
}

#[test]
fn chosen_groups_have_the_columns_that_the_list_says_and_the_values_of_the_whole_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_phantom(folder.path());
    let rows = |line: &str, name: &str| -> Vec<Value> {
        said(folder.path(), line);
        let text = std::fs::read_to_string(folder.path().join(name)).expect("a table");
        serde_json::from_str(&text).expect("JSON")
    };
    let all = rows("features labels.ome.tif --image image.ome.tif -o all.json", "all.json");
    let line = "features labels.ome.tif --image image.ome.tif --only size,texture -o some.json";
    let some = rows(line, "some.json");
    let listed: Vec<Value> =
        serde_json::from_str(&said(folder.path(), "features --list --json")).expect("JSON");
    let chosen = listed
        .iter()
        .filter(|feature| ["size", "texture"].iter().any(|group| feature["group"] == *group));
    let mut wanted: BTreeSet<String> = NO_FEATURES
        .iter()
        .filter(|name| **name != "rosette")
        .map(|&name| name.to_owned())
        .collect();
    for name in chosen.map(|feature| feature["name"].as_str().expect("text")) {
        wanted.extend(["membrane", "actin"].map(|channel| name.replace("CHANNEL", channel)));
    }
    for (some, all) in some.iter().zip(&all) {
        let some = some.as_object().expect("a row");
        assert_eq!(some.keys().cloned().collect::<BTreeSet<_>>(), wanted);
        // What is wrong with the brightness of a cell is told with its brightness.
        assert!(some.iter().all(|(name, value)| name == "quality" || *value == all[name]));
    }
    primordia().args("features labels.ome.tif --only colour -o a.csv".split(' ')).assert().code(2);
}

#[test]
fn volumes_are_those_of_the_phantom() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = write_phantom(folder.path());
    said(folder.path(), "features labels.ome.tif -o cells.tsv");
    let text = std::fs::read_to_string(folder.path().join("cells.tsv")).expect("a table");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let at = header.iter().position(|name| *name == "volume_um3").expect("volumes");
    let found: f64 = lines.map(|row| row[at].parse::<f64>().expect("a number")).sum();
    let truth = phantom.truth.volume();
    let n_voxels = truth.as_slice().iter().filter(|label| **label != 0).count();
    let wanted = n_voxels as f64 * truth.voxel_size().volume_um3();
    assert!((found / wanted - 1.0).abs() < 1e-9, "{found} for {wanted}");
}

#[test]
fn a_list_takes_no_labels_and_a_table_needs_them() {
    for line in ["features", "features labels.tif", "features labels.tif --list", "features --json"]
    {
        primordia().args(line.split_whitespace()).assert().code(2);
    }
}
