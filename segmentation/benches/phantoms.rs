//! How well `auto` finds the cells of phantoms of known truth, and how well it knows that.
//!
//! Prints a line per microscope and voxel size. `PRIMORDIA_CELLS=FILE` also writes what speaks for
//! each cell and its overlap with the truth: what `training/confidence.py` learns from.
//! `PRIMORDIA_SEED=N` takes other phantoms (default 1), `PRIMORDIA_METHOD=sheets` never asks the network and
//! `PRIMORDIA_METHOD=network` always; `PRIMORDIA_NUCLEI=true` adds
//! the nuclei, as dim as the membranes; `PRIMORDIA_NUCLEI=noise` gives noise for nuclei. A word, as in
//! `cargo bench --package primordia-segmentation --bench phantoms -- edge`, takes only microscopes of that name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use ndarray::s;
use primordia_data::phantom::{self, Optics, Phantom, PhantomParams, Skin};
use primordia_data::{Labels, Volume, VoxelSize};
use primordia_segmentation::network::Boundary;
use primordia_segmentation::{
    Auto, CellEvidence, Guides, Nuclei, Segmentation, auto_asking, auto_with, best_ious, score,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Specimens per line.
const SPECIMENS: u64 = 2;
/// The curvature of tissues that are much bent: by a third of a turn over their length.
const BENT_PER_UM: f64 = 0.015;
/// How many times as wide as usual small cells are: they have a fifth of the volume.
const SMALL: f64 = 0.6;
/// How much the volumes of cells differ where a part of a tissue is shown.
const CROWDING: f64 = 0.5;
/// The share of cells at the surface that are missing where a tissue has notches.
const NOTCHES: f64 = 0.3;
/// Cells of which less is shown count as none, in µm³.
const LEAST_SHOWN_UM3: f64 = 2.5;
type Preset = (&'static str, fn(VoxelSize) -> Optics);
const OPTICS: [Preset; 4] = [
    ("clean", Optics::clean),
    ("dim", Optics::dim),
    ("very dim", Optics::very_dim),
    ("edge of sight", Optics::edge_of_sight),
];
/// z, y, x in µm.
const VOXELS_UM: [[f64; 3]; 3] = [[0.4, 0.2, 0.2], [0.6, 0.3, 0.3], [1.0, 0.4, 0.4]];

/// A found cell: what speaks for it and its largest overlap (IoU) with a true one.
struct Judged {
    evidence: CellEvidence,
    iou: f64,
}

impl Judged {
    fn is_right(&self) -> bool {
        self.iou >= 0.5
    }
}

fn main() {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let first = std::env::var("PRIMORDIA_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = 1000 * first.unwrap_or(1);
    let method = Method::chosen();
    let network = Boundary::shipped().expect("weights come with the crate");
    println!(
        "optics          voxel µm         cells      F1 at IoU 0.5  0.75   mean IoU   wrong  expected"
    );
    let mut all = Vec::new();
    let mut table = String::from(
        "optics,voxel_um,around,weakest,most_joined,least_parted,relative_volume,is_cut,iou\n",
    );
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for scene in
        scenes().iter().filter(|scene| scene.name.contains(wanted.as_deref().unwrap_or("")))
    {
        let cells = race(scene, first, method, &network);
        for cell in &cells {
            let e = cell.evidence;
            let is_cut = f64::from(u8::from(e.is_cut));
            let numbers = [e.around, e.weakest, e.most_joined, e.least_parted, e.relative_volume];
            let numbers = [&numbers[..], &[is_cut, cell.iou]].concat();
            let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
            let _ = writeln!(table, "\"{}\",{},{}", scene.name, scene.um[0], numbers.join(","));
        }
        all.extend(cells);
    }
    report(&all);
    if let Some(path) = std::env::var_os("PRIMORDIA_CELLS") {
        std::fs::write(path, table).expect("the file can be written");
    }
}

/// Specimens under a microscope.
struct Scene {
    name: String,
    um: [f64; 3],
    optics: Optics,
    /// Otherwise specimens are bent a little, each as it happens to be.
    curvature_per_um: Option<f64>,
    /// How many times as wide as usual cells are.
    cell_width: f64,
    /// Whether only the middle of a crowded tissue is shown: the border of the image cuts most cells.
    is_part: bool,
    has_notches: bool,
}

impl Scene {
    fn new((name, optics): Preset, um: [f64; 3]) -> Self {
        let optics = optics(VoxelSize::from_um(um).expect("positive"));
        Self {
            name: name.to_owned(),
            um,
            optics,
            curvature_per_um: None,
            cell_width: 1.0,
            is_part: false,
            has_notches: false,
        }
    }

    fn params(&self, seed: u64) -> PhantomParams {
        let base = PhantomParams { optics: self.optics.clone(), ..PhantomParams::default() };
        let mut params = base.varied(seed);
        let tissue = &mut params.tissue;
        tissue.curvature_per_um = self.curvature_per_um.unwrap_or(tissue.curvature_per_um);
        for side_um in [
            &mut tissue.length_um,
            &mut tissue.width_um,
            &mut tissue.height_um,
            &mut tissue.rosette_radius_um,
        ] {
            *side_um *= self.cell_width;
        }
        tissue.curvature_per_um /= self.cell_width;
        tissue.crowding = if self.is_part { CROWDING } else { tissue.crowding };
        tissue.notches = if self.has_notches { NOTCHES } else { tissue.notches };
        params
    }

    /// What is shown of a specimen.
    fn block(&self, truth: &Volume<u32>) -> [Range<usize>; 3] {
        if self.is_part { middle(truth) } else { truth.shape().map(|side| 0..side) }
    }
}

/// The middle of a tissue.
fn middle(truth: &Volume<u32>) -> [Range<usize>; 3] {
    /// How much of the tissue's length along each axis (z, y, x) is left out at either end.
    const LEFT_OUT: [f64; 3] = [0.2, 0.3, 0.3];
    let (mut from, mut to) = (truth.shape(), [0; 3]);
    for ((z, y, x), _) in truth.voxels().indexed_iter().filter(|(_, label)| **label > 0) {
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            from[axis] = from[axis].min(at);
            to[axis] = to[axis].max(at + 1);
        }
    }
    [0, 1, 2].map(|axis| {
        let cut = ((to[axis] - from[axis]) as f64 * LEFT_OUT[axis]) as usize;
        from[axis] + cut..to[axis] - cut
    })
}

/// A part of a volume.
fn part<T: Copy>(volume: &Volume<T>, [z, y, x]: &[Range<usize>; 3]) -> Volume<T> {
    let voxels = volume.voxels().slice(s![z.clone(), y.clone(), x.clone()]).to_owned();
    Volume::new(voxels, volume.voxel_size()).expect("some voxels")
}

/// The cells of which enough is shown to count as one.
fn cells_shown(truth: Volume<u32>) -> Labels {
    let least = LEAST_SHOWN_UM3 / truth.voxel_size().volume_um3();
    let mut counts = BTreeMap::<u32, usize>::new();
    truth.as_slice().iter().for_each(|&label| *counts.entry(label).or_default() += 1);
    Labels::new(truth.map(|label| if counts[label] as f64 >= least { *label } else { 0 }))
}

/// All microscopes at all voxel sizes; then skin above the tissue, tissues that are much bent, small cells, and the finest and the
/// coarsest voxels; then parts of tissues, and tissues with notches.
fn scenes() -> Vec<Scene> {
    let usual = OPTICS.into_iter().flat_map(|preset| VOXELS_UM.map(|um| Scene::new(preset, um)));
    let mut scenes: Vec<Scene> = usual.collect();
    for (name, optics) in [OPTICS[0], OPTICS[2]] {
        let scene = |what: &str, um| Scene {
            name: format!("{name}, {what}"),
            ..Scene::new((name, optics), um)
        };
        let mut skin = scene("skin", VOXELS_UM[0]);
        skin.optics.skin = Some(Skin::default());
        let bent = Scene { curvature_per_um: Some(BENT_PER_UM), ..scene("bent", VOXELS_UM[0]) };
        let small = Scene { cell_width: SMALL, ..scene("small cells", VOXELS_UM[0]) };
        let sizes = [("fine", [0.2, 0.1, 0.1]), ("coarse", [1.0, 0.5, 0.5])];
        scenes.extend([skin, bent, small]);
        scenes.extend(sizes.map(|(what, um)| scene(what, um)));
    }
    scenes.extend(OPTICS.map(|(name, optics)| Scene {
        name: format!("{name}, part"),
        is_part: true,
        ..Scene::new((name, optics), VOXELS_UM[1])
    }));
    scenes.extend(OPTICS.map(|(name, optics)| Scene {
        name: format!("{name}, notches"),
        has_notches: true,
        ..Scene::new((name, optics), VOXELS_UM[1])
    }));
    scenes
}

/// Segments the specimens of one line and prints it.
fn race(scene: &Scene, first: u64, method: Method, network: &Boundary) -> Vec<Judged> {
    let mut cells = Vec::new();
    let (mut n_true, mut f1, mut f1_75, mut iou) = (0, 0.0, 0.0, 0.0);
    for seed in first..first + SPECIMENS {
        let phantom = phantom::specimen(&scene.params(seed), seed).expect("sensible parameters");
        let params = Auto::default();
        let block = scene.block(phantom.truth.volume());
        let truth = cells_shown(part(phantom.truth.volume(), &block));
        let nuclei = nuclei_channel(&phantom, &scene.optics, seed);
        let nuclei = nuclei.map(|image| {
            Nuclei::find(&part(&image, &block), params.membrane_um).expect("an image")
        });
        let found = method.find(&part(&phantom.membrane, &block), nuclei.as_ref(), network);
        let scores = score(&found.labels, &truth).expect("one grid");
        n_true += scores.n_true;
        f1 += scores.f1_iou_50 / SPECIMENS as f64;
        f1_75 += scores.f1_iou_75 / SPECIMENS as f64;
        iou += scores.mean_matched_iou / SPECIMENS as f64;
        let ious = best_ious(&found.labels, &truth).expect("one grid");
        let evidence = found.evidence.expect("auto says");
        cells
            .extend(evidence.into_iter().zip(ious).map(|(evidence, iou)| Judged { evidence, iou }));
    }
    let wrong = cells.iter().filter(|cell| !cell.is_right()).count();
    let expected: f64 = cells.iter().map(|cell| 1.0 - cell.evidence.probability()).sum();
    println!(
        "{:14}  {:15}  {:4} / {n_true:<4}  {f1:12.3}  {f1_75:5.3}  {iou:9.3}  {wrong:6}  {expected:8.1}",
        scene.name,
        format!("{:?}", scene.um),
        cells.len(),
    );
    cells
}

/// When the network is asked.
#[derive(Clone, Copy)]
enum Method {
    /// Where sheets leave doubts.
    Auto,
    /// Never.
    Sheets,
    /// Always.
    Network,
}

impl Method {
    fn chosen() -> Self {
        match std::env::var("PRIMORDIA_METHOD").as_deref() {
            Err(_) | Ok("auto") => Self::Auto,
            Ok("sheets") => Self::Sheets,
            Ok("network") => Self::Network,
            Ok(other) => panic!("PRIMORDIA_METHOD is auto, sheets or network, not {other}"),
        }
    }

    fn find(
        self,
        membrane: &Volume<u16>,
        nuclei: Option<&Nuclei>,
        network: &Boundary,
    ) -> Segmentation {
        let params = Auto::default();
        let by = |network| auto_with(membrane, &params, &Guides { network, nuclei });
        let found = match self {
            Self::Auto => {
                auto_asking(membrane, &params, Some(network), nuclei).map(|(found, _)| found)
            }
            Self::Sheets => by(None),
            Self::Network => by(Some(network)),
        };
        found.expect("an image with cells")
    }
}

/// The nuclei of a phantom, or noise, as `PRIMORDIA_NUCLEI` says.
fn nuclei_channel(phantom: &Phantom, optics: &Optics, seed: u64) -> Option<Volume<u16>> {
    match std::env::var("PRIMORDIA_NUCLEI").as_deref() {
        Ok("noise") => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Some(phantom.membrane.map(|_| (0..8).map(|_| rng.random_range(0..3)).sum()))
        }
        Ok(_) => Some(phantom::nuclei(phantom, optics, seed).expect("sensible optics").image),
        Err(_) => None,
    }
}

/// Prints how well probabilities agree with the truth: the expected calibration error in ten bins (Naeini et al. 2015,
/// doi:10.1609/aaai.v29i1.9602), and how many of the errors are among the least sure tenth.
fn report(cells: &[Judged]) {
    const BINS: usize = 10;
    let mut bins = [(0.0, 0.0); BINS];
    for cell in cells {
        let p = cell.evidence.probability();
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += p;
        bin.1 += f64::from(cell.is_right());
    }
    let error = bins.iter().map(|(expected, right)| (expected - right).abs()).sum::<f64>();
    let mut order: Vec<&Judged> = cells.iter().collect();
    order.sort_by(|a, b| a.evidence.probability().total_cmp(&b.evidence.probability()));
    let wrong = |cells: &[&Judged]| cells.iter().filter(|cell| !cell.is_right()).count();
    println!(
        "confidence: expected calibration error {:.3}; the least sure tenth of {} cells holds {} of {} wrong ones",
        error / cells.len() as f64,
        cells.len(),
        wrong(&order[..cells.len() / 10]),
        wrong(&order),
    );
}
