//! How much memory finding cells takes: whole, and in tiles within half and a quarter of that.
//!
//! Ends with code 1 if a method takes more bytes per voxel than it may, if `--max-memory` is not kept, or if the labels
//! are others than those of the whole image.

mod mirrored;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use primordia_data::image::{ImageFile, write_volume};
use primordia_tests::{Run, primordia, repository};

use crate::mirrored::mirrored;

/// A method, and the most bytes per voxel that it may take.
type Method = (&'static str, f64);
const HARTMANN2020: Method = ("hartmann2020", 12.0);
const AUTO: Method = ("auto", 12.0);
const NETWORK: Method = ("network", 16.0);
/// The most that labels found in tiles may differ from those of the whole image.
const SAME: f64 = 0.002;
/// z, y, x in µm: as the race against scipy, whose voxels are merged; and as many microscopes have them, which are not,
/// and which are too coarse for the recipe, whose sizes are in voxels.
const IMAGES: [([f64; 3], &[Method]); 2] =
    [([0.25, 0.12, 0.12], &[HARTMANN2020, AUTO, NETWORK]), ([1.0, 0.4, 0.4], &[AUTO, NETWORK])];
/// Images have about so many voxels.
const N_VOXELS: usize = 32_000_000;

fn main() -> ExitCode {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut good = true;
    for (voxel_um, methods) in IMAGES {
        let image = Image::make(voxel_um);
        for (method, most) in methods {
            good &= image.race(method, *most);
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An image on disk; kept from run to run.
struct Image {
    folder: PathBuf,
    path: PathBuf,
    n_voxels: usize,
}

impl Image {
    fn make(voxel_um: [f64; 3]) -> Self {
        let [z, y, x] = voxel_um;
        let folder = repository().join(format!("target/bench-data/memory_{z}_{y}_{x}"));
        std::fs::create_dir_all(&folder).expect("target can be written");
        let path = folder.join("membrane.tif");
        if !path.exists() {
            write_volume(&path, "membrane", &mirrored(voxel_um, N_VOXELS))
                .expect("room on the disk");
        }
        let [z, y, x] = ImageFile::open(&path).expect("we wrote it").shape();
        let n_voxels = z * y * x;
        let millions = n_voxels as f64 / 1e6;
        println!("\n{z} × {y} × {x} = {millions:.1} million voxels of {voxel_um:?} µm");
        Self { folder, path, n_voxels }
    }

    /// Segments the image whole and in tiles; whether all was as it should be.
    fn race(&self, method: &str, most: f64) -> bool {
        let whole = self.folder.join(format!("{method}.tif"));
        let run = self.segment(method, &whole, None).expect("images of this size fit in memory");
        let Some(peak) = run.peak_bytes else {
            println!("{method}: this system does not tell the memory of a process");
            return true;
        };
        let mut good = self.report(&format!("{method}, whole"), run, most);
        for (share, name) in [(2, "half"), (4, "a quarter")] {
            let max_bytes = peak / share;
            let tiled = self.folder.join(format!("{method}_{share}.tif"));
            match self.segment(method, &tiled, Some(max_bytes)) {
                Ok(run) => {
                    let most = max_bytes as f64 / self.n_voxels as f64;
                    good &= self.report(&format!("{method}, {name}"), run, most);
                    let apart = adapted_rand_error(&tiled, &whole);
                    println!("    adapted Rand error against the whole {apart:.5}");
                    good &= apart <= SAME;
                }
                Err(said) => println!("  {method}, {name}: {}", said.trim()),
            }
        }
        good
    }

    fn segment(&self, method: &str, labels: &Path, max_bytes: Option<u64>) -> Result<Run, String> {
        let mut command = Command::new(primordia().get_program());
        command.arg("segment").arg(&self.path).arg("-o").arg(labels);
        command.args(["--method", method]);
        if let Some(bytes) = max_bytes {
            command.args(["--max-memory", &bytes.to_string()]);
        }
        Run::of(command)
    }

    /// Prints what a run took; whether that is at most `most` bytes per voxel.
    fn report(&self, what: &str, run: Run, most: f64) -> bool {
        let peak = run.peak_bytes.unwrap_or(0) as f64;
        let per_voxel = peak / self.n_voxels as f64;
        let mark = if per_voxel <= most { "ok" } else { "TOO MUCH" };
        println!(
            "  {what:24} {:7.2} s  peak {:5.0} MB, {per_voxel:5.2} bytes per voxel, at most {most:.2}: {mark}",
            run.time.as_secs_f64(),
            peak / 1e6
        );
        per_voxel <= most
    }
}

fn adapted_rand_error(labels: &Path, truth: &Path) -> f64 {
    let output = primordia().arg("evaluate").args([labels, truth]).arg("--json").output();
    let output = output.expect("the command starts");
    let scores: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("evaluate prints JSON");
    scores["adapted_rand_error"].as_f64().expect("a number")
}
