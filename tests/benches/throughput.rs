//! Whether large images take as long per voxel as small ones: whole processes, from file to file.
//!
//! Prints voxels per second from 8 to 256 million voxels; ends with code 1 if a method is less than [`FLAT`] times as fast on
//! an image as on the one on which it is fastest.

mod mirrored;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use primordia_data::image::{ImageFile, write_volume};
use primordia_tests::{Run, primordia, repository};

use crate::mirrored::mirrored;

/// z, y, x in µm: with them one phantom has some eight million voxels.
const VOXEL_UM: [f64; 3] = [0.4, 0.2, 0.2];
/// Images have about so many voxels.
const N_VOXELS: [usize; 4] = [8_000_000, 32_000_000, 128_000_000, 256_000_000];
const METHODS: [&str; 2] = ["hartmann2020", "auto"];
/// Each image is segmented this often; the best time counts.
const REPEATS: usize = 2;
/// The least share of the best speed.
const FLAT: f64 = 0.7;

fn main() -> ExitCode {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let folder = repository().join("target/bench-data/throughput");
    std::fs::create_dir_all(&folder).expect("target can be written");
    let images = N_VOXELS.map(|n_voxels| image(&folder, n_voxels));
    let good = METHODS.map(|method| is_flat(method, &images));
    if good.into_iter().all(|good| good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An image on disk; kept from run to run.
fn image(folder: &Path, n_voxels: usize) -> PathBuf {
    let path = folder.join(format!("{n_voxels}.tif"));
    if !path.exists() {
        write_volume(&path, "membrane", &mirrored(VOXEL_UM, n_voxels)).expect("room on the disk");
    }
    path
}

/// Prints the speed of a method on all images; whether it is about the same.
fn is_flat(method: &str, images: &[PathBuf]) -> bool {
    println!("{method}:");
    let speeds: Vec<f64> = images.iter().map(|image| voxels_per_second(method, image)).collect();
    let best = speeds.iter().copied().fold(f64::MIN, f64::max);
    let least = speeds.iter().copied().fold(f64::MAX, f64::min) / best;
    let good = least >= FLAT;
    let mark = if good { "ok" } else { "NOT FLAT" };
    println!(
        "  {mark}: the slowest is {least:.2} times as fast as the fastest (at least {FLAT} wanted)"
    );
    good
}

fn voxels_per_second(method: &str, image: &Path) -> f64 {
    let n_voxels = ImageFile::open(image).expect("we wrote it").shape().iter().product::<usize>();
    let labels = image.with_extension("labels.tif");
    let run_once = || {
        let mut command = Command::new(primordia().get_program());
        command.arg("segment").arg(image).arg("-o").arg(&labels).args(["--method", method]);
        Run::of(command).unwrap_or_else(|said| panic!("it ended badly: {said}"))
    };
    let best = (0..REPEATS).map(|_| run_once()).min_by_key(|run| run.time).expect("a run");
    let _ = std::fs::remove_file(labels); // up to a gigabyte; written anew next time
    let speed = n_voxels as f64 / best.time.as_secs_f64();
    let millions = n_voxels as f64 / 1e6;
    println!(
        "  {millions:6.1} million voxels  {:7.2} s  {:6.2} Mvoxel/s",
        best.time.as_secs_f64(),
        speed / 1e6
    );
    speed
}
