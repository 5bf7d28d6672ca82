//! Broken input of every kind: exit code 1, one message that names the file, nothing written.
//!
//! A [`Case`] is one kind; each module lists those of one kind of file. What the cases are made
//! from is sound, which the last test shows: nothing but the fault makes them fail.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

mod atlases;
mod cells;
mod edits;
mod experiments;
mod hdf5;
mod labels;
mod outputs;
mod tables;
mod tiff;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use assert_cmd::Command;
use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
use primordia_data::{Volume, VoxelSize};
use primordia_tests::primordia;

/// z, y, x in µm: coarse, so that a volume is small.
const VOXEL_UM: [f64; 3] = [1.0, 0.5, 0.5];
/// No broken input keeps the command busy for longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// The kinds of broken input that are promised at least.
const PROMISED: usize = 45;

/// One kind of broken input.
struct Case {
    kind: &'static str,
    /// Words between blanks; what holds blanks stands in single quotes.
    command: &'static str,
    /// The name of the file, and words of what is wrong.
    says: Vec<&'static str>,
    /// Writes the input into a folder, in which the command then runs.
    make: Box<dyn Fn(&Path)>,
    /// What a shell does before it becomes the command.
    shell: Option<&'static str>,
}

fn case(
    kind: &'static str,
    command: &'static str,
    says: &[&'static str],
    make: impl Fn(&Path) + 'static,
) -> Case {
    Case { kind, command, says: says.to_vec(), make: Box::new(make), shell: None }
}

impl Case {
    /// The same case, run by a shell that first does `preparation`.
    fn after(self, preparation: &'static str) -> Self {
        Self { shell: Some(preparation), ..self }
    }

    /// What is wrong with how the command takes it, if anything is.
    fn complaint(&self) -> Option<String> {
        let folder = sandbox(&self.make);
        let before = contents(folder.path());
        let output = run(self.command, self.shell, folder.path());
        let message = String::from_utf8_lossy(&output.stderr);
        let mut complaints = Vec::new();
        if output.status.code() != Some(1) {
            complaints.push(format!("ends with {}", output.status));
        }
        let errors = message.lines().filter(|line| line.starts_with("error:")).count();
        if let Some(words) = twice(&message) {
            complaints.push(format!("says {words:?} twice"));
        }
        if errors != 1 {
            complaints.push(format!("writes {errors} lines that begin with `error:`"));
        }
        for word in self.says.iter().filter(|word| !message.contains(**word)) {
            complaints.push(format!("does not say {word:?}"));
        }
        for word in ["panicked", "HDF5-DIAG", "RUST_BACKTRACE"] {
            if message.contains(word) {
                complaints.push(format!("says {word:?}"));
            }
        }
        complaints.extend(changes(&before, &contents(folder.path())));
        (!complaints.is_empty())
            .then(|| format!("{}: {}\n  {}", self.kind, complaints.join("; "), message.trim()))
    }
}

/// What an error message says twice, if anything: a cause, between colons, of more than a few words.
fn twice(message: &str) -> Option<&str> {
    const MORE_THAN_A_NAME: usize = 40;
    let parts: Vec<&str> = message.split(": ").map(str::trim).collect();
    let long = |part: &&&str| part.len() > MORE_THAN_A_NAME;
    parts
        .iter()
        .filter(long)
        .find(|part| parts.iter().filter(|other| other == part).count() > 1)
        .copied()
}

/// A folder with the input in it and `out/`, which holds one file that must stay as it is.
fn sandbox(make: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "out/kept.txt", b"an older result");
    make(folder.path());
    folder
}

/// Runs the command in `folder`.
fn run(line: &str, shell: Option<&str>, folder: &Path) -> Output {
    let program = primordia().get_program().to_owned();
    let mut command = match shell {
        None => Command::new(program),
        Some(preparation) => {
            let mut command = Command::new("bash");
            command.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(program);
            command
        }
    };
    command.args(words(line)).current_dir(folder).timeout(PATIENCE).output().unwrap()
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Every file and folder below `folder`, but for work folders: a build may leave one.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "work") {
                continue;
            }
            let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, bytes);
        }
    }
    found
}

fn changes(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let all: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let changed = all.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| format!("wrote, changed or removed {}", path.display())).collect()
}

/// Checks that the command takes every case as it must; tells all that it does not.
#[track_caller]
fn assert_each_fails_well(cases: Vec<Case>) {
    let mut complaints = String::new();
    for case in cases {
        if let Some(complaint) = case.complaint() {
            writeln!(complaints, "{complaint}").unwrap();
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn voxel_size() -> VoxelSize {
    VoxelSize::from_um(VOXEL_UM).unwrap()
}

/// The membranes of a tissue of twelve cells.
fn membrane() -> &'static Volume<u16> {
    &specimen().membrane
}

fn specimen() -> &'static phantom::Phantom {
    static SPECIMEN: OnceLock<phantom::Phantom> = OnceLock::new();
    SPECIMEN.get_or_init(|| {
        let tissue = TissueParams { n_cells: 12, ..TissueParams::default() };
        let optics = Optics::clean(voxel_size());
        phantom::specimen(&PhantomParams { tissue, optics, ..PhantomParams::default() }, 1).unwrap()
    })
}

#[test]
fn broken_tiffs_fail_well() {
    assert_each_fails_well(tiff::cases());
}

#[test]
fn broken_hdf5_files_fail_well() {
    assert_each_fails_well(hdf5::cases());
}

#[test]
fn broken_experiment_files_fail_well() {
    assert_each_fails_well(experiments::cases());
}

#[test]
fn broken_labels_and_empty_images_fail_well() {
    assert_each_fails_well(labels::cases());
}

#[test]
fn what_cannot_be_exploded_or_measured_fails_well() {
    assert_each_fails_well(cells::cases());
}

#[test]
fn edits_that_cannot_be_made_fail_well() {
    assert_each_fails_well(edits::cases());
}

#[test]
fn broken_tables_fail_well() {
    assert_each_fails_well(tables::cases());
}

#[test]
fn outputs_that_cannot_be_written_fail_well() {
    assert_each_fails_well(outputs::cases());
}

#[test]
fn broken_atlases_and_wrong_questions_fail_well() {
    assert_each_fails_well(atlases::cases());
}

#[test]
fn as_many_kinds_are_tried_as_are_promised() {
    let all = [
        tiff::cases(),
        hdf5::cases(),
        experiments::cases(),
        labels::cases(),
        cells::cases(),
        edits::cases(),
        tables::cases(),
        outputs::cases(),
        atlases::cases(),
    ];
    let kinds: BTreeSet<_> = all.iter().flatten().map(|case| case.kind).collect();
    assert_eq!(kinds.len(), all.iter().flatten().count(), "two cases have one name");
    assert!(kinds.len() >= PROMISED, "{} kinds", kinds.len());
}

#[test]
fn without_its_fault_each_kind_of_input_is_accepted() {
    type Make = fn(&Path);
    let sound: [(&str, Make); 10] = [
        (tiff::SEGMENT, |folder| put(folder, "broken.tif", &tiff::sound())),
        (tiff::SEGMENT, |folder| put(folder, "broken.tif", &tiff::sound_lzw())),
        (hdf5::SEGMENT, hdf5::sound),
        (experiments::BUILD, tables::sound),
        (labels::EVALUATE, labels::sound),
        (cells::EXPLODE, cells::sound),
        (cells::FEATURES, cells::sound),
        (edits::EDIT, edits::sound),
        ("validate atlas.h5", |folder| put(folder, "atlas.h5", atlases::sound())),
        ("walk atlas.h5 --channel actin -o out/walk", |folder| {
            put(folder, "atlas.h5", atlases::imaged());
        }),
    ];
    for (command, make) in sound {
        let folder = sandbox(make);
        let output = run(command, None, folder.path());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {message}");
    }
}
