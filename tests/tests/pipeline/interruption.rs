//! A build that is killed at any moment goes on where it was, and ends as if nothing had happened.
#![allow(clippy::unwrap_used)] // where a test cannot go on, it fails

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use primordia_tests::primordia;

use crate::threads::write_experiment;

/// When each build is killed, as a share of the time of a whole one: drawn once, evenly, from 0 to
/// 1 (Python 3, `random.Random(20201113)`).
const MOMENTS: [f64; 10] = [0.21, 0.224, 0.586, 0.178, 0.636, 0.283, 0.676, 0.64, 0.801, 0.975];
const ATLAS: &str = "atlas.h5";
const WORK: &str = "atlas.work";

fn start_build(folder: &Path) -> Child {
    Command::new(primordia().get_program())
        .args(["build", "experiment.toml", "-o", ATLAS])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(super) fn build_to_the_end(folder: &Path) {
    let mut primordia = primordia();
    primordia.current_dir(folder).args(["build", "experiment.toml", "-o", ATLAS]);
    primordia.assert().success();
}

/// A folder with the experiment in it.
pub(super) fn experiment() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    folder
}

/// Every file of the work folder with the time when it was last written.
pub(super) fn work_times(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let entries = std::fs::read_dir(folder.join(WORK)).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
}

/// Kills a build after `moment`; whether it was still running.
fn build_and_kill(folder: &Path, moment: Duration) -> bool {
    let mut build = start_build(folder);
    std::thread::sleep(moment);
    let runs = build.try_wait().unwrap().is_none();
    build.kill().unwrap(); // SIGKILL
    build.wait().unwrap();
    runs
}

#[test]
fn a_build_killed_ten_times_ends_as_if_never_killed() {
    let undisturbed = experiment();
    let start = Instant::now();
    build_to_the_end(undisturbed.path());
    let whole = start.elapsed();
    let wanted = std::fs::read(undisturbed.path().join(ATLAS)).unwrap();

    let folder = experiment();
    let (atlas, work) = (folder.path().join(ATLAS), folder.path().join(WORK));
    for share in MOMENTS {
        let mut moment = whole.mul_f64(share);
        while !build_and_kill(folder.path(), moment) {
            // It went on where the last one was, and was done too soon: anew, and a little earlier.
            assert!(
                std::fs::read(&atlas).unwrap() == wanted,
                "not the atlas at {share} of the time"
            );
            std::fs::remove_file(&atlas).unwrap();
            std::fs::remove_dir_all(&work).unwrap();
            moment = moment.mul_f64(0.9);
        }
        if atlas.exists() {
            assert!(
                std::fs::read(&atlas).unwrap() == wanted,
                "half an atlas at {share} of the time"
            );
            let mut primordia = primordia();
            primordia.arg("validate").arg(&atlas).assert().success();
            std::fs::remove_file(&atlas).unwrap();
        }
    }

    build_to_the_end(folder.path());
    assert!(std::fs::read(&atlas).unwrap() == wanted, "the atlas differs from an undisturbed one");
    primordia().arg("validate").arg(&atlas).assert().success();
}

#[test]
fn a_second_build_repeats_no_specimen() {
    let folder = experiment();
    build_to_the_end(folder.path());
    let (first, times) =
        (std::fs::read(folder.path().join(ATLAS)).unwrap(), work_times(folder.path()));
    build_to_the_end(folder.path());
    assert_eq!(work_times(folder.path()), times);
    assert!(std::fs::read(folder.path().join(ATLAS)).unwrap() == first, "the atlas differs");
}

#[test]
fn a_changed_image_repeats_one_specimen() {
    let folder = experiment();
    build_to_the_end(folder.path());
    let before = work_times(folder.path());
    std::fs::copy(
        folder.path().join("raw/embryo1.ome.tif"),
        folder.path().join("raw/embryo2.ome.tif"),
    )
    .unwrap();
    build_to_the_end(folder.path());
    let after = work_times(folder.path());
    let anew: Vec<_> =
        after.iter().filter(|(file, time)| before.get(*file) != Some(*time)).collect();
    assert!(!anew.is_empty());
    for (file, _) in anew {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with("embryo2."), "{name} was made again");
    }
}
