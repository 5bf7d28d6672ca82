//! `primordia edit`: corrections are data, and builds replay them.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

use std::path::Path;

use primordia_data::Labels;
use primordia_tests::primordia;
use serde_json::Value;

use super::exploded::{said, write_phantom};
use super::interruption::{build_to_the_end, experiment, work_times};

/// The centroid of a cell, as it is typed.
fn centre(labels: &Labels, cell: u32) -> String {
    let volume = labels.volume();
    let voxels = volume.voxels().indexed_iter().filter(|(_, label)| **label == cell);
    let points: Vec<_> = voxels.map(|((z, y, x), _)| volume.point_um([z, y, x])).collect();
    let mean =
        |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64;
    format!("{:.3},{:.3},{:.3}", mean(0), mean(1), mean(2))
}

/// Two cells that touch.
fn neighbours(labels: &Labels) -> (u32, u32) {
    let pairs = labels.volume().as_slice().windows(2).map(|pair| (pair[0], pair[1]));
    let touching = |&(a, b): &(u32, u32)| a > 0 && b > 0 && a != b;
    pairs.skip(labels.volume().n_voxels() / 2).find(touching).unwrap()
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn two_cells_that_were_merged_come_back_when_they_are_split_at_their_centres() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_phantom(folder.path()).truth;
    let before = bytes(folder.path(), "labels.ome.tif");
    let (a, b) = neighbours(&truth);
    let (at_a, at_b) = (centre(&truth, a), centre(&truth, b));

    let words = said(folder.path(), &format!("edit labels.ome.tif merge {a} {at_b}"));
    assert!(words.starts_with("1 edit of labels.edits.toml: 15 cells, 1 of them"), "{words}");
    let split = format!(
        "edit labels.ome.tif --image image.ome.tif split {at_a} --at {at_a} --at {at_b} -o c.ome.tif"
    );
    let words = said(folder.path(), &split);
    assert!(words.contains("16 cells, 2 of them new or changed in c.ome.tif"), "{words}");
    let scores = said(folder.path(), "evaluate c.ome.tif labels.ome.tif --json");
    let scores: Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(scores["f1_iou_75"], 1.0);
    // Two of sixteen cells may differ by a twentieth each.
    assert!(scores["mean_matched_iou"].as_f64().unwrap() >= (14.0 + 2.0 * 0.95) / 16.0, "{scores}");
    assert!(bytes(folder.path(), "labels.ome.tif") == before, "labels never change");

    let listed = said(folder.path(), "edit labels.ome.tif list");
    assert_eq!(listed, format!("1\tmerge {a} {at_b}\n2\tsplit {at_a} --at {at_a} --at {at_b}\n"));
}

#[test]
fn undo_gives_the_former_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = neighbours(&write_phantom(folder.path()).truth);
    for log in ["edits.toml", "edits.csv"] {
        let edit =
            |rest: &str| said(folder.path(), &format!("edit labels.ome.tif -l {log} {rest}"));
        edit(&format!("merge {a} {b} -o one.h5"));
        let (text, labels) = (bytes(folder.path(), log), bytes(folder.path(), "one.h5"));
        edit(&format!("delete {a} -o two.h5"));
        assert!(bytes(folder.path(), "two.h5") != labels);
        let words = edit("undo -o two.h5");
        assert!(words.starts_with(&format!("undone: edit 2, delete {a}\n1 edit of")), "{words}");
        assert!(bytes(folder.path(), log) == text && bytes(folder.path(), "two.h5") == labels);
        edit("-o three.h5");
        assert!(bytes(folder.path(), "three.h5") == labels, "replayed anew");
    }
}

#[test]
fn edits_are_replayed_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = neighbours(&write_phantom(folder.path()).truth);
    let rows = [format!("relabel,{a},100"), format!("merge,100; {b},")];
    let log = |first: usize| format!("action,cells,label\n{}\n{}\n", rows[first], rows[1 - first]);
    std::fs::write(folder.path().join("e.csv"), log(0)).unwrap();
    let words = said(folder.path(), "edit labels.ome.tif --log e.csv");
    assert!(words.starts_with("2 edits of e.csv: 15 cells, 1 of them"), "{words}");
    std::fs::write(folder.path().join("e.csv"), log(1)).unwrap();
    let mut command = primordia_tests::primordia();
    command.current_dir(folder.path()).args(["edit", "labels.ome.tif", "--log", "e.csv"]);
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("edit 1 (merge): there is no cell 100"), "{message}");
}

/// The number of cells of each specimen, and how many have no probability.
fn cells_of(folder: &Path) -> Vec<(u64, u64)> {
    let sql = "SELECT specimen, COUNT(*) AS n, COUNT(whole_cell_probability) AS sure FROM cells \
               GROUP BY specimen ORDER BY specimen";
    let mut command = primordia_tests::primordia();
    command.current_dir(folder).args(["query", "atlas.h5", sql, "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    rows.iter().map(|row| (number(row, "n"), number(row, "n") - number(row, "sure"))).collect()
}

#[test]
fn a_build_replays_the_edits_of_a_specimen_and_looks_for_no_cells_again() {
    let folder = experiment();
    let at = |name: &str| folder.path().join(name);
    let text = std::fs::read_to_string(at("experiment.toml")).unwrap();
    std::fs::write(at("experiment.toml"), text + "edits = \"{id}.edits.toml\"\n").unwrap();
    let no_edits = "# embryo 2\n";
    std::fs::write(at("embryo2.edits.toml"), no_edits).unwrap();
    build_to_the_end(folder.path());
    let (atlas, first) = (bytes(folder.path(), "atlas.h5"), cells_of(folder.path()));
    let before = work_times(folder.path());

    let merge = "[[edit]]\naction = \"merge\"\ncells = [3, 4]\n\
                 [[edit]]\naction = \"delete\"\ncells = [5]\n";
    std::fs::write(at("embryo2.edits.toml"), merge).unwrap();
    build_to_the_end(folder.path());
    let wanted = [first[0], (first[1].0 - 2, first[1].1 + 1), first[2]];
    assert_eq!(cells_of(folder.path()), wanted, "two cells less, one that was corrected");
    let after = work_times(folder.path());
    for (file, time) in after {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let kept = before.get(&file) == Some(&time);
        let corrected = ["embryo2.cells.", "embryo2.corrected."];
        assert!(
            kept || corrected.iter().any(|start| name.starts_with(start)),
            "{name} was made again"
        );
    }

    std::fs::write(at("embryo2.edits.toml"), no_edits).unwrap();
    build_to_the_end(folder.path());
    assert!(bytes(folder.path(), "atlas.h5") == atlas, "without the edits, the atlas of before");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    write_phantom(folder.path());
    said(folder.path(), "edit labels.ome.tif delete 1");
    for words in ["edit labels.ome.tif list", "evaluate labels.ome.tif labels.ome.tif"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(primordia().get_program());
        command.current_dir(folder.path()).args(words.split(' ')).stdout(writer);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        assert!(output.stderr.is_empty(), "{words}: {output:?}");
    }
}
