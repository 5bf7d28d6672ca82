//! The times that are promised: all features of the cells of a whole ovule, and a shape space of
//! 15,000 cells.
//!
//! Prints times and the most memory held; ends with code 1 if one takes longer than promised, or if
//! the space holds more memory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use nalgebra::Point3;
use ndarray::Array2;
use primordia_data::image::ImageFile;
use primordia_data::{Labels, PointCloud, Rigid, TissueFrame, Volume, VoxelSize};
use primordia_features::{CbeFrame, CbeParams, CbeSpace, Channel, MeasureParams, measure};
use rayon::prelude::*;

/// All features of 461 cells, one channel.
const OVULE_S: f64 = 2.0;
/// Fitting a space on four cores, embedding its cells included; fewer cores have as much longer.
const SPACE_S: f64 = 60.0;
const SPACE_CORES: usize = 4;
/// The clouds themselves, 720 MB, included.
const SPACE_BYTES: u64 = 2_000_000_000;
/// Embedding the cells of one more specimen.
const SPECIMEN_S: f64 = 1.0;
const N_CELLS: usize = 15_000;
const N_LANDMARKS: usize = 2000;
const N_CELLS_OF_SPECIMEN: usize = 113;
/// Short work is timed this often; the best counts.
const REPEATS: usize = 3;

fn main() -> ExitCode {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    println!("{} threads", rayon::current_num_threads());
    let mut kept = vec![ovule()];
    kept.extend([CbeFrame::Tissue, CbeFrame::Cell].map(space));
    if kept.into_iter().all(|kept| kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a time beside what is promised; whether it is kept.
fn verdict(what: &str, seconds: f64, promised_s: f64) -> bool {
    let mark = if seconds <= promised_s { "ok" } else { "TOO SLOW" };
    println!("{mark}: {what} in {seconds:.2} s (at most {promised_s} wanted)");
    seconds <= promised_s
}

/// The best time of several.
fn best_s(mut work: impl FnMut()) -> f64 {
    let times = (0..REPEATS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::MAX, f64::min)
}

/// The folder of real data.
fn real_data() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from)
}

/// Measures real cells; true without them.
fn ovule() -> bool {
    let path = real_data().join("plant_ovule_labels_3d/sample_cells_label.tif");
    let Ok(image) = ImageFile::open(&path) else {
        println!("SKIPPED: no {}; set PRIMORDIA_DATA", path.display());
        return true;
    };
    let voxel_size = VoxelSize::from_um([0.4, 0.25, 0.25]).expect("positive");
    let labels = image.with_voxel_size(voxel_size).read_labels().expect("a label image");
    let bright = brightness(&labels);
    let channels = [Channel::new("bright", &bright)];
    let params = MeasureParams::default();
    let seconds = best_s(|| {
        let measured = measure(&labels, &channels, "ovule", &Rigid::identity(), &params);
        std::hint::black_box(measured.expect("finite voxels"));
    });
    let million = labels.volume().n_voxels() as f64 / 1e6;
    let what = format!("all features of {} cells, {million:.0} million voxels", labels.n_cells());
    verdict(&what, seconds, OVULE_S)
}

/// A pattern that differs from voxel to voxel.
fn brightness(labels: &Labels) -> Volume<u8> {
    let [n_z, n_y, n_x] = labels.volume().shape();
    let voxels = ndarray::Array3::from_shape_fn((n_z, n_y, n_x), |(z, y, x)| {
        ((7 * z + 3 * y + 5 * x) % 251) as u8
    });
    Volume::new(voxels, labels.volume().voxel_size()).expect("not empty")
}

/// Landmarks all over an ellipsoid whose axes and bumps differ from cell to cell.
fn cloud(cell: usize) -> PointCloud<TissueFrame> {
    let [a, b, c, bump] = [1.3, 2.7, 4.1, 0.9].map(|factor: f64| (factor * cell as f64).sin());
    let axes = [a, b, c].map(|wave| 4.5 + 1.5 * wave);
    let point = |k: usize| {
        let z = 1.0 - (2 * k + 1) as f64 / N_LANDMARKS as f64;
        let (sin, cos) = (2.399_963_229_728_653 * k as f64 + cell as f64).sin_cos();
        let ring = (1.0 - z * z).sqrt();
        let reach = 1.0 + 0.2 * bump * cos * z;
        Point3::new(axes[0] * ring * cos, axes[1] * ring * sin, axes[2] * z) * reach
    };
    PointCloud::new((0..N_LANDMARKS).map(point).collect())
}

/// Fits a space and embeds its cells, then those of one more specimen.
fn space(frame: CbeFrame) -> bool {
    let params = CbeParams::in_frame(frame);
    let clouds: Vec<_> = (0..N_CELLS).into_par_iter().map(cloud).collect();
    let start = Instant::now();
    let (space, features) = CbeSpace::fit_embed(&clouds, &params).expect("enough points");
    let fit_s = start.elapsed().as_secs_f64();
    assert_eq!(features.dim(), (N_CELLS, space.n_features()));
    let peak_bytes = peak_bytes();
    let more: Vec<_> = (N_CELLS..N_CELLS + N_CELLS_OF_SPECIMEN).map(cloud).collect();
    let embed_s = best_s(|| {
        let features: Array2<f64> = space.embed_all(&more).expect("finite points");
        std::hint::black_box(features);
    });
    let what = format!("a space of {N_CELLS} cells in the frame of the {frame:?}");
    let n_cores = rayon::current_num_threads().min(SPACE_CORES);
    let fitted = verdict(&what, fit_s, SPACE_S * SPACE_CORES as f64 / n_cores as f64);
    let what = format!("{N_CELLS_OF_SPECIMEN} more cells embedded");
    let embedded = verdict(&what, embed_s, SPECIMEN_S);
    println!("    {:.2} GB of memory at most so far", peak_bytes as f64 / 1e9);
    fitted && embedded && peak_bytes <= SPACE_BYTES
}

/// The most memory that this process held: `VmHWM` of Linux; 0 elsewhere.
fn peak_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    kibibytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}
