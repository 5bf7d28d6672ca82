//! Tissues to learn from: phantoms under microscopes of all kinds, whole or in part, of any size.

use ndarray::s;
use primordia_data::phantom::{self, Optics, PhantomParams, Pose, Skin, TissueParams};
use primordia_data::{Labels, Volume, VoxelSize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::block::Block;
use crate::error::Result;
use crate::network::{Scene, log_uniform};

/// A membrane channel and its cells.
pub(crate) type Known = (Volume<f32>, Labels);

/// Phantoms to learn from have this seed or a higher one; benchmarks use lower ones.
const FIRST_SEED: u64 = 800_000;

/// Scenes to learn from have this training seed; networks have lower ones.
const SCENES_SEED: u64 = 800;

/// A microscope.
type Preset = fn(VoxelSize) -> Optics;

/// Microscopes that show embryos, with their voxels (z, y, x) in µm: the dimmer and the coarser, the more there is to learn.
const EMBRYOS: [(Preset, [f64; 3]); 10] = [
    (Optics::edge_of_sight, [1.0, 0.4, 0.4]),
    (Optics::very_dim, [1.0, 0.4, 0.4]),
    (Optics::edge_of_sight, [0.6, 0.3, 0.3]),
    (Optics::very_dim, [0.6, 0.3, 0.3]),
    (Optics::edge_of_sight, [1.0, 0.4, 0.4]),
    (Optics::dim, [1.0, 0.4, 0.4]),
    (Optics::edge_of_sight, [0.6, 0.3, 0.3]),
    (Optics::very_dim, [0.4, 0.2, 0.2]),
    (Optics::very_dim, [1.0, 0.4, 0.4]),
    (Optics::clean, [0.6, 0.3, 0.3]),
];

/// Phantom `index` of all to learn from, by turns an embryo, any other tissue, and a part of a scene like those that networks
/// learn from: glowing cells, halos, thick walls.
pub(crate) fn known(index: u64) -> Result<Known> {
    let (seed, nth) = (FIRST_SEED + index, index / 3);
    match index % 3 {
        0 => {
            let (optics, voxel_um) = EMBRYOS[nth as usize % EMBRYOS.len()];
            embryo(optics, voxel_um, seed)
        }
        1 => any_tissue(seed),
        _ => any_scene(nth),
    }
}

/// A part of a scene, if possible without outside, pictured by any microscope. The outside of scenes, which may glow, would
/// teach that cells at the border of an image whose walls are hard to see are none.
fn any_scene(nth: u64) -> Result<Known> {
    let mut rng = ChaCha8Rng::seed_from_u64(nth);
    let scene = Scene::new(SCENES_SEED, nth)?;
    let membrane = scene.picture(SCENES_SEED, nth)?;
    let block = part_within(&scene.labels, &mut rng);
    let shown = membrane.voxel_size();
    Ok((part(&membrane, &block, shown)?, Labels::new(part(&scene.labels, &block, shown)?)))
}

fn embryo(optics: Preset, voxel_um: [f64; 3], seed: u64) -> Result<Known> {
    let optics = optics(VoxelSize::from_um(voxel_um)?);
    let params = PhantomParams { optics, ..PhantomParams::default() };
    let (membrane, cells) = phantom::membranes(&params.varied(seed), seed)?;
    Ok((membrane.map(|&counts| f32::from(counts)), cells))
}

/// Any tissue under any microscope; four in ten are shown as smaller or larger than they are, and of four in ten there is only
/// a part, if possible without outside.
fn any_tissue(seed: u64) -> Result<Known> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let voxel_um = any_voxel_um(&mut rng);
    let params = any_params(VoxelSize::from_um(voxel_um)?, seed, &mut rng);
    let (membrane, cells) = phantom::membranes(&params, seed)?;
    let scale = if rng.random_bool(0.4) { log_uniform(0.7, 2.2, &mut rng) } else { 1.0 };
    let shown = VoxelSize::from_um(voxel_um.map(|um| um * scale))?;
    let labels = cells.into_volume();
    let block = if rng.random_bool(0.4) {
        part_within(&labels, &mut rng)
    } else {
        labels.shape().map(|side| 0..side)
    };
    let membrane = part(&membrane.map(|&counts| f32::from(counts)), &block, shown)?;
    Ok((membrane, Labels::new(part(&labels, &block, shown)?)))
}

fn any_voxel_um(rng: &mut ChaCha8Rng) -> [f64; 3] {
    let in_plane = log_uniform(0.18, 0.5, rng);
    let along_z = (in_plane * log_uniform(1.0, 3.0, rng)).min(1.1);
    [along_z, in_plane, in_plane]
}

/// Three in four are dim.
fn any_params(voxel_size: VoxelSize, seed: u64, rng: &mut ChaCha8Rng) -> PhantomParams {
    let dim = rng.random_bool(0.75);
    let optics = Optics {
        peak_counts: if dim { log_uniform(4.0, 18.0, rng) } else { log_uniform(15.0, 90.0, rng) },
        background_counts: rng.random_range(2.0..6.0),
        read_noise: rng.random_range(0.7..1.8),
        patchiness: if dim { rng.random_range(0.4..0.85) } else { rng.random_range(0.0..0.7) },
        attenuation_um: rng
            .random_bool(if dim { 0.8 } else { 0.4 })
            .then(|| log_uniform(35.0, 150.0, rng)),
        psf_sigma_um: [log_uniform(0.25, 0.6, rng), log_uniform(0.1, 0.22, rng)],
        skin: rng.random_bool(0.2).then(|| Skin {
            gap_um: rng.random_range(0.5..4.0),
            brightness: rng.random_range(0.5..1.5),
        }),
        ..Optics::clean(voxel_size)
    };
    let tissue = TissueParams {
        n_cells: rng.random_range(50..130),
        length_um: rng.random_range(90.0..135.0),
        waviness_um: rng.random_range(0.1..0.5),
        constriction: rng.random_range(0.5..2.5),
        crowding: if rng.random_bool(0.4) { rng.random_range(0.2..0.9) } else { 0.0 },
        ..TissueParams::default()
    };
    let pose = if rng.random_bool(0.5) { Pose::any(seed) } else { Pose::mounted(0.12, seed) };
    PhantomParams { optics, tissue, pose, ..PhantomParams::default() }
}

/// Of some boxes around cells the one with most tissue and, above all, least outside.
fn part_within(labels: &Volume<u32>, rng: &mut ChaCha8Rng) -> Block {
    const TRIES: usize = 40;
    const EVERY: usize = 97;
    /// As good as no outside.
    const FULL: f64 = 0.98;
    /// More tissue is no better.
    const MUCH_CELLS: f64 = 24.0;
    let shape = labels.shape();
    let um = labels.voxel_size().um();
    let cell_um3 = mean_um3(labels);
    let cell_um = cell_um3.cbrt();
    let places = labels.voxels().indexed_iter().step_by(EVERY).filter(|(_, label)| **label > 0);
    let places: Vec<[usize; 3]> = places.map(|((z, y, x), _)| [z, y, x]).collect();
    let mut best = (0.0, shape.map(|side| 0..side));
    for _ in 0..TRIES {
        let at = places[rng.random_range(0..places.len())];
        let sides = [1.3..2.6, 2.6..6.5, 2.6..6.5].map(|cells| rng.random_range(cells) * cell_um);
        let block = [0, 1, 2].map(|axis| {
            let half = (sides[axis] / 2.0 / um[axis]) as usize;
            at[axis].saturating_sub(half)..(at[axis] + half).min(shape[axis])
        });
        let [z, y, x] = block.clone();
        let inside = labels.voxels().slice(s![z, y, x]);
        let n_inside = inside.iter().filter(|label| **label > 0).count() as f64;
        let share = n_inside / inside.len() as f64;
        let n_cells = n_inside * labels.voxel_size().volume_um3() / cell_um3;
        let much = n_cells.min(MUCH_CELLS).sqrt();
        let good = if share > FULL { 1.0 } else { share } * much;
        if good > best.0 {
            best = (good, block);
        }
    }
    best.1
}

/// The mean volume of cells.
fn mean_um3(labels: &Volume<u32>) -> f64 {
    let n_inside = labels.as_slice().iter().filter(|label| **label > 0).count() as f64;
    let n_cells = labels.as_slice().iter().copied().max().unwrap_or(0).max(1);
    n_inside * labels.voxel_size().volume_um3() / f64::from(n_cells)
}

/// A part of a volume, whose voxels are as large as told.
fn part<T: Copy>(volume: &Volume<T>, [z, y, x]: &Block, shown: VoxelSize) -> Result<Volume<T>> {
    let voxels = volume.voxels().slice(s![z.clone(), y.clone(), x.clone()]).to_owned();
    Ok(Volume::new(voxels, shown)?)
}
