//! Edit logs with one fault each, and edits that cannot be made.

use std::path::Path;

use ndarray::Array3;
use primordia_data::Volume;
use primordia_data::image::{write_labels, write_volume};

use super::experiments::{BUILD, FILE, image};
use super::{Case, case, put, specimen, voxel_size};

pub(super) const EDIT: &str =
    "edit labels.tif --log edits.toml --image image.tif --channel membrane -o out/labels.tif";
const LOG: &str = "edits.toml";

/// Labels, their image and a log of edits.
pub(super) fn sound(folder: &Path) {
    labels(folder);
    put(folder, LOG, b"[[edit]]\naction = \"merge\"\ncells = [1, 2]\n");
}

fn labels(folder: &Path) {
    write_labels(folder.join("labels.tif"), &specimen().truth).unwrap();
    image(folder, "image.tif");
}

/// A log that cannot be replayed.
fn log(kind: &'static str, says: &[&'static str], text: &'static str) -> Case {
    let says = [&[LOG], says].concat();
    case(kind, EDIT, &says, move |folder| {
        labels(folder);
        put(folder, LOG, text.as_bytes());
    })
}

/// A fault on the command line, beside a sound log.
fn typed(kind: &'static str, command: &'static str, says: &[&'static str]) -> Case {
    case(kind, command, says, sound)
}

pub(super) fn cases() -> Vec<Case> {
    [unreadable(), impossible(), on_the_command_line(), in_experiments()]
        .into_iter()
        .flatten()
        .collect()
}

fn unreadable() -> Vec<Case> {
    let csv = "edit labels.tif --log edits.csv -o out/labels.tif";
    vec![
        log("a log that is not TOML", &["not TOML"], "[[edit]\n"),
        log("a log with an unknown table", &["did you mean `edit`"], "[[edits]]\n"),
        log(
            "an edit without an action",
            &["edit 1", "`action` is missing"],
            "[[edit]]\ncells = [1]\n",
        ),
        log(
            "an unknown action",
            &["edit 1.action", "\"merge\"", "cut"],
            "[[edit]]\naction = \"cut\"\n",
        ),
        log(
            "an edit with an unknown field",
            &["edit 1.seeds", "unknown key"],
            "[[edit]]\naction = \"split\"\ncell = 1\nseeds = []\n",
        ),
        log(
            "a cell that is neither number nor point",
            &["edit 2.cell", "a point inside it"],
            "[[edit]]\naction = \"delete\"\ncells = [1]\n\
             [[edit]]\naction = \"split\"\ncell = \"left\"\nseeds_um = []\n",
        ),
        case("a log that is not UTF-8", EDIT, &[LOG, "UTF-8"], |folder| {
            labels(folder);
            put(folder, LOG, b"# \xb5m\n");
        }),
        case("a log that is not there", EDIT, &[LOG], labels),
        case(
            "a table of edits with an unknown column",
            csv,
            &["edits.csv:1", "unknown"],
            |folder| {
                labels(folder);
                put(folder, "edits.csv", b"action,who\n");
            },
        ),
        case("a table of edits with too few fields", csv, &["edits.csv:2", "edit 1"], |folder| {
            labels(folder);
            put(folder, "edits.csv", b"action,cells\nmerge\n");
        }),
    ]
}

fn impossible() -> Vec<Case> {
    vec![
        log(
            "an edit of a cell that is not there",
            &["edit 2 (delete)", "no cell 77"],
            "[[edit]]\naction = \"delete\"\ncells = [1]\n\
             [[edit]]\naction = \"delete\"\ncells = [77]\n",
        ),
        log(
            "an edit of the background",
            &["edit 1 (delete)", "no cell at x, y, z = 0.00", "background"],
            "[[edit]]\naction = \"delete\"\ncells = [[0, 0, 0]]\n",
        ),
        log(
            "an edit outside of the image",
            &["edit 1 (delete)", "outside", "ends at"],
            "[[edit]]\naction = \"delete\"\ncells = [[0, 0, 1e4]]\n",
        ),
        log(
            "a merge of one cell with itself",
            &["edit 1 (merge)", "one cell"],
            "[[edit]]\naction = \"merge\"\ncells = [3, 3]\n",
        ),
        log(
            "a merge of a single cell",
            &["edit 1 (merge)", "2 cells or more"],
            "[[edit]]\naction = \"merge\"\ncells = [3]\n",
        ),
        log(
            "a seed outside of its cell",
            &["edit 1 (split)", "in the background, not in cell 3"],
            "[[edit]]\naction = \"split\"\ncell = 3\nseeds_um = [[0, 0, 0], [0, 0, 1]]\n",
        ),
        log(
            "a number that is taken",
            &["edit 1 (relabel)", "already"],
            "[[edit]]\naction = \"relabel\"\ncell = 3\nlabel = 4\n",
        ),
        log(
            "edits that leave no cell",
            &["no cell"],
            "[[edit]]\naction = \"delete\"\ncells = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\n",
        ),
    ]
}

fn on_the_command_line() -> Vec<Case> {
    vec![
        typed(
            "an edit that is tried in vain",
            "edit labels.tif --log out/new.toml merge 1 77",
            &["new.toml", "edit 1 (merge)", "no cell 77"],
        ),
        typed(
            "a log in another format",
            "edit labels.tif --log edits.txt delete 1",
            &["edits.txt", ".csv"],
        ),
        typed("no labels to list edits of", "edit nope.tif list", &["nope.tif", "label image"]),
        typed("no folder for a log", "edit labels.tif --log nowhere/e.toml delete 1", &["nowhere"]),
        case(
            "nothing to undo",
            "edit labels.tif --log edits.toml undo",
            &[LOG, "undo"],
            |folder| {
                labels(folder);
                put(folder, LOG, b"# nothing yet\n");
            },
        ),
        typed(
            "corrected labels in place of the labels",
            "edit labels.tif --log edits.toml -o labels.tif",
            &["labels.tif", "another file"],
        ),
        typed(
            "corrected labels in a format that is not written",
            "edit labels.tif --log edits.toml -o out/labels.png",
            &["labels.png", ".tif"],
        ),
        typed(
            "no folder for corrected labels",
            "edit labels.tif --log edits.toml -o nowhere/labels.tif",
            &["nowhere", "no folder"],
        ),
        typed("a full disk for corrected labels", EDIT, &["labels.tif"])
            .after("ulimit -f 1; trap '' XFSZ"),
        case("edits of an image on another grid", EDIT, &["labels.tif", "grid"], |folder| {
            sound(folder);
            let labels = Volume::new(Array3::<u8>::ones((3, 4, 5)), voxel_size()).unwrap();
            write_volume(folder.join("labels.tif"), "labels", &labels).unwrap();
        }),
        typed(
            "no such membrane channel",
            "edit labels.tif --log edits.toml --image image.tif --channel ecad",
            &["image.tif", "ecad"],
        ),
    ]
}

fn in_experiments() -> Vec<Case> {
    let text = "experiment.reference = \"membrane\"\n[[specimen]]\nid = \"A\"\n\
                image = \"image.tif\"\nlabels = \"labels.tif\"\nedits = \"edits.toml\"\n";
    vec![
        case("an experiment with edits that are not there", BUILD, &[FILE, LOG], move |folder| {
            labels(folder);
            put(folder, FILE, text.as_bytes());
        }),
        case("an experiment with impossible edits", BUILD, &[LOG, "edit 1", "77"], move |folder| {
            labels(folder);
            put(folder, FILE, text.as_bytes());
            put(folder, LOG, b"[[edit]]\naction = \"delete\"\ncells = [77]\n");
        }),
    ]
}
