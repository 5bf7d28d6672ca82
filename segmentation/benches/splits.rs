//! How well merged cells come back when they are split at their centres: the table of
//! `docs/editing.md`.

use nalgebra::Point3;
use primordia_data::phantom::{self, Optics, Phantom, PhantomParams, TissueParams};
use primordia_data::{CellName, Edit, Volume, VoxelSize};
use primordia_segmentation::{apply_edits, best_ious};

type Preset = (&'static str, fn(VoxelSize) -> Optics);
const OPTICS: [Preset; 3] =
    [("clean", Optics::clean), ("dim", Optics::dim), ("very dim", Optics::very_dim)];
/// z, y, x in µm.
const VOXEL_UM: [f64; 3] = [0.4, 0.2, 0.2];
/// Pairs of neighbours that are tried in each image.
const PAIRS: usize = 40;

fn main() {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("optics         worst IoU  median IoU");
    let blind = specimen(Optics::clean);
    report("without image", &ious(&blind, None));
    for (name, optics) in OPTICS {
        let phantom = specimen(optics);
        let membrane = phantom.membrane.map(|&value| f32::from(value));
        report(name, &ious(&phantom, Some(&membrane)));
    }
}

fn specimen(optics: fn(VoxelSize) -> Optics) -> Phantom {
    let tissue = TissueParams { n_cells: 40, ..TissueParams::default() };
    let optics = optics(VoxelSize::from_um(VOXEL_UM).expect("positive"));
    let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
    phantom::specimen(&params, 11).expect("sensible parameters")
}

/// Of both cells of each pair, the overlap with what they were; ascending.
fn ious(phantom: &Phantom, membrane: Option<&Volume<f32>>) -> Vec<f64> {
    let truth = &phantom.truth;
    let centre = |label: u32| centre(truth.volume(), label);
    let mut ious = Vec::new();
    for (a, b) in neighbours(truth.volume()).into_iter().take(PAIRS) {
        let cells = vec![CellName::Label(a), CellName::Label(b)];
        let seeds_um = vec![centre(a), centre(b)];
        let edits = [Edit::Merge { cells }, Edit::Split { cell: CellName::Label(a), seeds_um }];
        let edited = apply_edits(truth.clone(), &edits, membrane).expect("possible edits");
        let of_pair = best_ious(&edited.labels, truth).expect("one grid");
        let row = |label| edited.labels.rows().row(label).expect("a cell");
        ious.extend(edited.changed.iter().map(|&label| of_pair[row(label)]));
    }
    ious.sort_by(f64::total_cmp);
    ious
}

fn centre(labels: &Volume<u32>, label: u32) -> Point3<f64> {
    let voxels = labels.voxels().indexed_iter().filter(|(_, other)| **other == label);
    let points: Vec<_> = voxels.map(|((z, y, x), _)| labels.point_um([z, y, x])).collect();
    let sum = points.iter().fold(Point3::origin(), |sum, point| sum + point.coords);
    sum / points.len() as f64
}

/// Cells that touch along y, evenly through the tissue.
fn neighbours(labels: &Volume<u32>) -> Vec<(u32, u32)> {
    let voxels = labels.voxels();
    let (n_z, n_y, n_x) = voxels.dim();
    let mut pairs = std::collections::BTreeSet::new();
    for (z, y, x) in ndarray::indices((n_z, n_y - 1, n_x)) {
        let (a, b) = (voxels[[z, y, x]], voxels[[z, y + 1, x]]);
        if a > 0 && b > 0 && a != b {
            pairs.insert((a.min(b), a.max(b)));
        }
    }
    let every = (pairs.len() / PAIRS).max(1);
    pairs.into_iter().step_by(every).collect()
}

fn report(name: &str, ious: &[f64]) {
    println!("{name:13}  {:9.3}  {:10.3}", ious[0], ious[ious.len() / 2]);
}
