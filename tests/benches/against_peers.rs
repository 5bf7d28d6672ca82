//! Primordia against what a scipy user would write: one phantom, one machine, one run.
//!
//! Prints times, their ratios and how well the answers agree; ends with code 1 if segmentation is less than
//! [`RECIPE_BAR`] (the paper's recipe), [`AUTO_BAR`] or [`NETWORK_BAR`] times as fast as scipy, or the features
//! that both measure less than [`FEATURES_BAR`] times.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use primordia_data::image::{ImageFile, Voxels, write_labels, write_ome_tiff, write_volume};
use primordia_data::phantom::{self, Optics, PhantomParams, Pose, TissueParams};
use primordia_data::{Labels, Rigid, Volume, VoxelSize};
use primordia_features::{
    Channel, Group, Groups, LandmarkParams, MeasureParams, Measured, measure,
};
use primordia_tests::{Run, primordia, python, repository, run_peer, run_reference};

const RECIPE_BAR: f64 = 25.0;
const AUTO_BAR: f64 = 8.0;
const NETWORK_BAR: f64 = 1.0;
/// Of the features that both measure, on two cores; more cores hold more.
const FEATURES_BAR: f64 = 60.0;
/// z, y, x in µm: as the paper's images, but for a lateral side of 0.12 instead of 0.099, with which
/// a whole tissue of 113 cells fits in some 32 million voxels.
const VOXEL_UM: [f64; 3] = [0.25, 0.12, 0.12];
const N_CELLS: usize = 113;
/// Ours is timed this often; the best counts.
const REPEATS: usize = 3;

fn main() -> ExitCode {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    if python().is_none() {
        return ExitCode::SUCCESS;
    }
    let files = Files::make();
    let (Some(segmentation), Some(features)) = (race_segmentation(&files), race_features(&files))
    else {
        return ExitCode::SUCCESS;
    };
    println!();
    let recipe = verdict("segmentation (hartmann2020)", segmentation.recipe, RECIPE_BAR);
    let auto = verdict("segmentation (auto)", segmentation.auto, AUTO_BAR);
    let network = verdict("segmentation (network)", segmentation.network, NETWORK_BAR);
    let features = verdict("features", features, FEATURES_BAR);
    if recipe && auto && network && features { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(what: &str, ratio: f64, bar: f64) -> bool {
    let good = ratio >= bar;
    let mark = if good { "ok" } else { "TOO SLOW" };
    println!("{mark}: {what} {ratio:.1} times as fast as scipy (at least {bar} wanted)");
    good
}

/// The phantom on disk; kept from run to run.
struct Files {
    folder: PathBuf,
    membrane: PathBuf,
    channels: PathBuf,
    channels_for_scipy: PathBuf,
    truth: PathBuf,
    n_voxels: usize,
}

impl Files {
    fn make() -> Self {
        let [z, y, x] = VOXEL_UM;
        let folder = repository().join(format!("target/bench-data/{N_CELLS}_cells_{z}_{y}_{x}"));
        std::fs::create_dir_all(&folder).expect("target can be written");
        let at = |name: &str| folder.join(name);
        let mut files = Self {
            membrane: at("membrane.tif"),
            channels: at("channels.ome.tif"),
            channels_for_scipy: at("channels_zcyx.tif"),
            truth: at("truth.tif"),
            n_voxels: 0,
            folder,
        };
        if !files.channels_for_scipy.exists() {
            files.write();
        }
        let truth = ImageFile::open(&files.truth).expect("the phantom's labels");
        files.n_voxels = truth.shape().iter().product();
        let [z, y, x] = truth.shape();
        println!(
            "phantom: {z} × {y} × {x} = {:.1} million voxels of {VOXEL_UM:?} µm, {N_CELLS} cells; {} cores",
            files.n_voxels as f64 / 1e6,
            std::thread::available_parallelism().map_or(1, usize::from),
        );
        files
    }

    fn write(&self) {
        println!("making the phantom in {}", self.folder.display());
        let voxel_size = VoxelSize::from_um(VOXEL_UM).expect("positive");
        let params = PhantomParams {
            tissue: TissueParams {
                n_cells: N_CELLS,
                curvature_per_um: 0.0,
                ..TissueParams::default()
            },
            pose: Pose { margin_um: 1.5, ..Pose::default() },
            optics: Optics::clean(voxel_size),
            ..PhantomParams::default()
        };
        let phantom = phantom::specimen(&params, 1).expect("sensible parameters");
        let bytes = phantom.membrane.map(|&counts| counts.min(255) as u8);
        write_volume(&self.membrane, "membrane", &bytes).expect("room on the disk");
        write_labels(&self.truth, &phantom.truth).expect("room on the disk");
        let channels =
            [("membrane", (&phantom.membrane).into()), ("actin", (&phantom.protein).into())];
        write_ome_tiff(&self.channels, &channels, voxel_size).expect("room on the disk");
        let each = ["membrane_u16.tif", "actin_u16.tif"].map(|name| self.folder.join(name));
        write_volume(&each[0], "membrane", &phantom.membrane).expect("room on the disk");
        write_volume(&each[1], "actin", &phantom.protein).expect("room on the disk");
        // The last to be written: where it is there, all are.
        let partial = self.folder.join("partial.tif");
        run_reference("stack_channels.py", &[&partial, &each[0], &each[1]]);
        std::fs::rename(partial, &self.channels_for_scipy).expect("the script wrote it");
    }

    /// Prints a line of results, with its speed.
    fn report(&self, what: &str, run: &Run) {
        println!(
            "  {what:26} {:8.2} s  {:7.2} Mvoxel/s  {}",
            run.time.as_secs_f64(),
            self.n_voxels as f64 / 1e6 / run.time.as_secs_f64(),
            run.peak_bytes.map_or(String::new(), |bytes| {
                format!("peak {:.1} bytes per voxel", bytes as f64 / self.n_voxels as f64)
            })
        );
    }
}

/// Runs a process to its end.
fn run(command: Command) -> Run {
    Run::of(command).unwrap_or_else(|said| panic!("it ended badly: {said}"))
}

/// How many times as fast as scipy's recipe whole processes are.
struct SegmentationRatios {
    recipe: f64,
    auto: f64,
    network: f64,
}

/// Times our segmentations and the peer's; `None` without the peer.
fn race_segmentation(files: &Files) -> Option<SegmentationRatios> {
    println!("\nsegmentation, from file to file:");
    let by_scipy = files.folder.join("labels_scipy.tif");
    let start = Instant::now();
    let said = run_peer("scipy_segment.py", &[&files.membrane, Path::new("0"), &by_scipy])?;
    let scipy = Run { time: start.elapsed(), peak_bytes: None };
    files.report("scipy", &scipy);
    println!("    its own words, without reading and writing: {}", said.trim());

    let recipe = segment(files, "hartmann2020");
    let ratio = |ours: &Run| scipy.time.as_secs_f64() / ours.time.as_secs_f64();
    println!("    {:.1} times as fast as scipy", ratio(&recipe));
    print_agreement("against scipy", &labels_path(files, "hartmann2020"), &by_scipy);
    print_agreement("against truth", &labels_path(files, "hartmann2020"), &files.truth);

    let [auto, network] = ["auto", "network"].map(|method| {
        let ours = segment(files, method);
        println!("    {:.1} times as fast as scipy's recipe", ratio(&ours));
        print_agreement("against truth", &labels_path(files, method), &files.truth);
        ratio(&ours)
    });
    Some(SegmentationRatios { recipe: ratio(&recipe), auto, network })
}

fn labels_path(files: &Files, method: &str) -> PathBuf {
    files.folder.join(format!("labels_{method}.tif"))
}

/// Our best time with `method`.
fn segment(files: &Files, method: &str) -> Run {
    let labels = labels_path(files, method);
    let run_once = || {
        let mut command = Command::new(primordia().get_program());
        command.arg("segment").arg(&files.membrane).arg("-o").arg(&labels);
        command.args(["--method", method]);
        run(command)
    };
    let runs = (0..REPEATS).map(|_| run_once());
    let best = runs.min_by_key(|run| run.time).expect("at least one run");
    files.report(&format!("primordia, {method}"), &best);
    best
}

fn print_agreement(what: &str, labels: &Path, truth: &Path) {
    let output = primordia().arg("evaluate").args([labels, truth]).arg("--json").output();
    let output = output.expect("the command starts");
    let scores: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("evaluate prints JSON");
    println!(
        "    {what}: {} and {} cells, adapted Rand error {:.4}, F1 at IoU 0.5 {:.3}",
        scores["n_cells"], scores["n_true"], scores["adapted_rand_error"], scores["f1_iou_50"]
    );
}

/// How many times as fast as scipy features are, reading aside; `None` without the peer.
fn race_features(files: &Files) -> Option<f64> {
    println!("\nfeatures and landmarks of two channels, reading and writing aside:");
    let sides = VOXEL_UM.map(|side| side.to_string());
    let [z, y, x] = sides.each_ref().map(Path::new);
    let table = files.folder.join("features_scipy.csv");
    let said =
        run_peer("scipy_features.py", &[&files.channels_for_scipy, &files.truth, z, y, x, &table])?;
    let (n_cells, scipy_s) = cells_and_seconds(&said);
    print_cells("scipy", n_cells, scipy_s);

    let image = ImageFile::open(&files.channels).expect("the phantom's channels");
    let labels = ImageFile::open(&files.truth).expect("labels").read_labels().expect("labels");
    let volumes = [0, 1].map(|index| channel(&image, index));
    let (measured, same_s) = best_measured(&labels, &volumes, Groups::only(&SAME_GROUPS));
    print_cells("primordia, the same", labels.n_cells(), same_s);
    print_features_agreement(&labels, &measured, &table);
    let (measured, all_s) = best_measured(&labels, &volumes, Groups::default());
    print_cells("primordia, all it has", labels.n_cells(), all_s);
    let n_columns = [&measured.table, &measured.context, &measured.intensity]
        .map(|table| table.columns().len())
        .iter()
        .sum::<usize>();
    println!("    {n_columns} columns, landmarks of shape and both channels");
    Some((scipy_s / n_cells as f64) / (same_s / labels.n_cells() as f64))
}

/// What the peer measures: volume, axes and area by marching cubes (hence sphericity), neighbours,
/// means over the cell, its membrane and its inside.
const SAME_GROUPS: [Group; 3] = [Group::Size, Group::Contacts, Group::Brightness];

/// Says how far our numbers are from the peer's where both have one definition.
fn print_features_agreement(labels: &Labels, measured: &Measured, peer: &Path) {
    let text = std::fs::read_to_string(peer).expect("the peer wrote it");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let rows: Vec<Vec<f64>> = lines
        .map(|line| line.iter().map(|value| value.parse().unwrap_or(f64::NAN)).collect())
        .collect();
    assert_eq!(rows.len(), labels.n_cells(), "a row per cell");
    for (theirs, ours) in [
        ("volume", "volume_um3"),
        ("area", "surface_marching_cubes_um2"),
        ("neighbours", "n_neighbours"),
        ("mean_total_0", "membrane_mean_whole"),
        ("mean_total_1", "actin_mean_whole"),
    ] {
        let at = header.iter().position(|name| *name == theirs).expect("a column of the peer's");
        let found = measured.table.column(ours).or_else(|_| measured.intensity.column(ours));
        let found = found.expect("measured");
        let apart = |(row, found): (&Vec<f64>, &f64)| (found / row[at] - 1.0).abs();
        let largest = rows.iter().zip(found).map(apart).fold(0.0, f64::max);
        println!("    {ours} is the peer's {theirs} within {:.2} %", 100.0 * largest);
    }
}

/// `113 cells 4.20 s`.
fn cells_and_seconds(said: &str) -> (usize, f64) {
    let words: Vec<&str> = said.split_whitespace().collect();
    let n_cells = words.first().and_then(|word| word.parse().ok());
    let seconds = words.get(2).and_then(|word| word.parse().ok());
    n_cells.zip(seconds).unwrap_or_else(|| panic!("the peer says {said:?}"))
}

fn print_cells(who: &str, n_cells: usize, seconds: f64) {
    let per_second = n_cells as f64 / seconds;
    println!("  {who:26} {seconds:8.2} s  {per_second:7.1} cells/s of {n_cells} cells");
}

fn channel(image: &ImageFile, index: usize) -> Volume<u16> {
    let voxel_size = image.required_voxel_size().expect("we wrote it");
    match image.read_channel(index).expect("we wrote it") {
        Voxels::U16(voxels) => Volume::new(voxels, voxel_size).expect("not empty"),
        other => panic!("u16 was written, {} read", other.pixel_type().name()),
    }
}

/// Measures groups of features of all cells and sets the landmarks of shape and both channels: what
/// was found, and the best time that it took.
fn best_measured(labels: &Labels, volumes: &[Volume<u16>; 2], groups: Groups) -> (Measured, f64) {
    let [membrane, actin] = volumes;
    let channels = [Channel::new("membrane", membrane), Channel::new("actin", actin)];
    let landmarks = Some(LandmarkParams::default());
    let params = MeasureParams { groups, landmarks, ..MeasureParams::default() };
    let run = || {
        let start = Instant::now();
        let measured = measure(labels, &channels, "phantom", &Rigid::identity(), &params);
        (measured.expect("finite voxels"), start.elapsed().as_secs_f64())
    };
    let runs = (0..REPEATS).map(|_| run());
    runs.min_by(|a, b| a.1.total_cmp(&b.1)).expect("at least one run")
}
