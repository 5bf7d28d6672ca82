//! Tissues to learn from: phantoms of any size and shape, pictured by microscopes of any kind.
//!
//! A [`Scene`] is a phantom under an ideal microscope, on the grid on which the network works. A picture of it adds
//! what real microscopes add.

use nalgebra::{Point3, Vector3};
use primordia_data::phantom::{self, Optics, PhantomParams, Pose, Skin};
use primordia_data::{Volume, VoxelSize};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson, StandardNormal};
use rayon::prelude::*;

use super::chance::{Purpose, log_uniform, stream};
use super::target::boundaries;
use crate::error::Result;
use crate::gaussian::gaussian;

/// The counts of an ideal microscope on a usual membrane: noise is 1 %, and no junction saturates.
const IDEAL_COUNTS: f64 = 10_000.0;
/// Phantoms to learn from have this seed or a higher one; benchmarks use lower ones.
const FIRST_SEED: u64 = 100_000;
/// Seeds of phantoms are this far apart for training seeds that follow one another.
const SEEDS_EACH: u64 = 1_000_000;

/// A tissue without faults of a microscope but blur.
pub(crate) struct Scene {
    /// 1 is a usual membrane.
    brightness: Volume<f32>,
    pub(crate) labels: Volume<u32>,
    /// What is to be learned: see [`boundaries`].
    pub(crate) target: Volume<f32>,
}

impl Scene {
    /// Scene `index` of a training `seed`.
    pub(crate) fn new(seed: u64, index: u64) -> Result<Self> {
        let mut rng = stream(seed, Purpose::Scene, index);
        let params = random_tissue(&mut rng)?;
        let (membrane, cells) =
            phantom::membranes(&params, FIRST_SEED + seed * SEEDS_EACH + index)?;
        let labels = cells.into_volume();
        Ok(Self {
            brightness: membrane.map(|&counts| f32::from(counts) / IDEAL_COUNTS as f32),
            target: boundaries(&labels),
            labels,
        })
    }

    /// Picture `index` of all pictures of a training `seed`.
    pub(crate) fn picture(&self, seed: u64, index: u64) -> Result<Volume<f32>> {
        let mut rng = stream(seed, Purpose::Picture, index);
        let microscope = Microscope::random(&mut rng);
        let mut light = self.brightness.clone();
        if rng.random_bool(0.3) {
            add_unfocused(&mut light, &mut rng)?;
        }
        self.add_haze(&mut light, haze(&mut rng), &mut rng);
        if rng.random_bool(0.2) {
            self.add_nuclei(&mut light, &mut rng);
        }
        if rng.random_bool(0.3) {
            add_texture(&mut light, &mut rng)?;
        }
        if rng.random_bool(0.1) {
            add_debris(&mut light, &mut rng);
        }
        microscope.photograph(&mut light, seed, index);
        Ok(light)
    }

    /// Lets each cell glow by its own share of `most`.
    fn add_haze(&self, light: &mut Volume<f32>, most: f32, rng: &mut ChaCha8Rng) {
        let n = self.labels.as_slice().iter().copied().max().unwrap_or(0) as usize + 1;
        let mut glow: Vec<f32> = (0..n).map(|_| most * rng.random::<f32>()).collect();
        glow[0] *= 0.5;
        if let Some(light) = light.voxels_mut().as_slice_mut() {
            let pairs = light.iter_mut().zip(self.labels.as_slice());
            pairs.for_each(|(light, &label)| *light += glow[label as usize]);
        }
    }

    /// Lets a ball in the middle of each cell glow, or be darker than the rest of a cell that glows: nuclei.
    fn add_nuclei(&self, light: &mut Volume<f32>, rng: &mut ChaCha8Rng) {
        let brightness = rng.random_range(0.05..0.6_f32);
        let is_dark = rng.random_bool(0.3);
        let share = rng.random_range(0.3..0.6); // of the radius of a ball as large as the cell
        let cells = middles(&self.labels);
        let edge_um = 0.4;
        let Some(voxels) = light.voxels_mut().into_slice() else { return };
        for (at, value) in voxels.iter_mut().enumerate() {
            let label = self.labels.as_slice()[at] as usize;
            if label == 0 {
                continue;
            }
            let (middle, radius_um) = cells[label];
            let point = self.labels.point_um(position(at, self.labels.shape()));
            let outside_um = (point - middle).norm() - share * radius_um;
            let inside = (1.0 / (1.0 + (outside_um / edge_um).exp())) as f32;
            *value += brightness * if is_dark { 1.0 - inside } else { inside };
        }
    }
}

/// The centre of each label and the radius in µm of a ball as large; entry 0 is the outside.
fn middles(labels: &Volume<u32>) -> Vec<(Point3<f64>, f64)> {
    let n = labels.as_slice().iter().copied().max().unwrap_or(0) as usize + 1;
    let mut sums = vec![(Vector3::zeros(), 0.0); n];
    for (at, &label) in labels.as_slice().iter().enumerate() {
        let (sum, count) = &mut sums[label as usize];
        *sum += labels.point_um(position(at, labels.shape())).coords;
        *count += 1.0;
    }
    let voxel_um3 = labels.voxel_size().volume_um3();
    let radius_um = |count: f64| (count * voxel_um3 * 0.75 / std::f64::consts::PI).cbrt();
    sums.into_iter()
        .map(|(sum, count)| (Point3::from(sum / f64::max(count, 1.0)), radius_um(count)))
        .collect()
}

/// Where the voxel `at` in memory is.
fn position(at: usize, [_, n_y, n_x]: [usize; 3]) -> [usize; 3] {
    [at / n_x / n_y, at / n_x % n_y, at % n_x]
}

/// How brightly cells glow at most: mostly little, at times half as brightly as membranes, seldom more brightly.
fn haze(rng: &mut ChaCha8Rng) -> f32 {
    let most = match rng.random_range(0..10) {
        0..2 => 0.5,
        2 => 1.5,
        _ => 0.15,
    };
    if rng.random_bool(0.4) { 0.0 } else { rng.random_range(0.0..most) }
}

/// Any tissue, any way up, under an ideal microscope with any voxels and any blur.
fn random_tissue(rng: &mut ChaCha8Rng) -> Result<PhantomParams> {
    let wide_um = rng.random_range(0.28..0.5);
    let long_um: f64 = match rng.random_range(0..10) {
        0..4 => wide_um * rng.random_range(0.8..1.35),
        4..8 => rng.random_range(wide_um..1.2),
        _ => rng.random_range(1.0..2.0),
    };
    // What merging finer voxels does to an image is a little more blur.
    let merged = |um: f64, rng: &mut ChaCha8Rng| {
        if rng.random_bool(0.5) { 0.75 * um * um / 12.0 } else { 0.0 }
    };
    let blur = |sigma_um: f64, merged: f64| (sigma_um * sigma_um + merged).sqrt();
    // Every fifth tissue has thick walls; every tenth has very thick ones, between large cells.
    let (thick, scale) = match rng.random_range(0..10) {
        0..2 => (rng.random_range(1.0..2.2), rng.random_range(0.8..1.4)),
        2 => (rng.random_range(2.0..4.0), rng.random_range(1.2..2.0)),
        _ => (1.0, rng.random_range(0.8..1.4)),
    };
    let psf_sigma_um = [
        blur(thick * rng.random_range(0.2..0.6), merged(long_um, rng)),
        blur(thick * rng.random_range(0.08..0.24), merged(wide_um, rng)),
    ];
    let mut params = PhantomParams::default();
    let tissue = &mut params.tissue;
    tissue.n_cells = rng.random_range(14..40);
    tissue.length_um *= scale * rng.random_range(0.7..1.0);
    tissue.width_um *= scale * rng.random_range(0.9..1.3);
    tissue.height_um *= scale * rng.random_range(0.9..1.3);
    tissue.curvature_per_um = rng.random_range(-0.004..0.004);
    tissue.constriction = rng.random_range(0.0..2.5);
    tissue.rosette_radius_um *= scale;
    tissue.waviness_um = rng.random_range(0.1..0.6);
    // Cells of half of all tissues are as good as equal; those of plants differ by far more.
    tissue.crowding = if rng.random_bool(0.5) { rng.random_range(0.2..0.9) } else { 0.0 };
    let turn = rng.random::<u32>().into();
    let pose = if rng.random_bool(0.3) { Pose::any(turn) } else { Pose::mounted(0.15, turn) };
    params.pose = Pose { margin_um: rng.random_range(2.0..8.0), ..pose };
    let skin = rng.random_bool(0.2).then(|| Skin {
        gap_um: rng.random_range(0.5..4.0),
        brightness: rng.random_range(0.4..1.5),
    });
    params.optics = Optics {
        psf_sigma_um,
        peak_counts: IDEAL_COUNTS,
        background_counts: 0.0,
        read_noise: 0.0,
        attenuation_um: None,
        patchiness: rng.random_range(0.0..0.85),
        skin,
        ..Optics::clean(VoxelSize::from_um([long_um, wide_um, wide_um])?)
    };
    Ok(params)
}

/// Adds light of what is out of focus: each membrane has a wide halo, wider along z.
fn add_unfocused(light: &mut Volume<f32>, rng: &mut ChaCha8Rng) -> Result<()> {
    let sigma_um = log_uniform(0.8, 4.0, rng);
    let share = log_uniform(0.3, 4.0, rng) as f32; // of the light in focus
    let halo = gaussian(light, [rng.random_range(1.0..2.5) * sigma_um, sigma_um, sigma_um])?;
    let pairs = light.voxels_mut().into_iter().zip(halo.as_slice());
    pairs.for_each(|(light, halo)| *light += share * halo);
    Ok(())
}

/// Adds smooth structure that is no membrane.
fn add_texture(light: &mut Volume<f32>, rng: &mut ChaCha8Rng) -> Result<()> {
    let sigma_um = rng.random_range(0.8..3.0);
    let most = rng.random_range(0.0..0.15_f32);
    let noise = light.map(|_| rng.sample::<f32, _>(StandardNormal));
    let smooth = gaussian(&noise, [sigma_um; 3])?;
    let square: f64 = smooth.as_slice().iter().map(|&value| f64::from(value).powi(2)).sum();
    let deviation = (square / smooth.n_voxels() as f64).sqrt().max(f64::MIN_POSITIVE) as f32;
    if let Some(light) = light.voxels_mut().as_slice_mut() {
        let pairs = light.iter_mut().zip(smooth.as_slice());
        pairs.for_each(|(light, value)| *light += most * (value / deviation).abs());
    }
    Ok(())
}

/// Adds a few bright lumps, in cells and outside: what is no membrane but shines.
fn add_debris(light: &mut Volume<f32>, rng: &mut ChaCha8Rng) {
    let um = light.voxel_size().um();
    let shape = light.shape();
    for _ in 0..rng.random_range(1..6) {
        let middle = shape.map(|n| rng.random_range(0.0..n as f64));
        let sigma_um = log_uniform(0.5, 5.0, rng);
        let brightness = log_uniform(0.3, 4.0, rng) as f32;
        for ((z, y, x), value) in light.voxels_mut().indexed_iter_mut() {
            let at = [z, y, x];
            let squared: f64 =
                (0..3).map(|axis| ((at[axis] as f64 - middle[axis]) * um[axis]).powi(2)).sum();
            *value += brightness * (-0.5 * squared / (sigma_um * sigma_um)).exp() as f32;
        }
    }
}

/// What a microscope adds to a scene; counts are photons per voxel before merging.
#[derive(Clone, Copy, Debug)]
struct Microscope {
    peak_counts: f64,
    background_counts: f64,
    read_noise: f64,
    /// How many voxels of the camera make one of the grid.
    merged: f64,
    attenuation_um: Option<f64>,
}

impl Microscope {
    /// From a good one to the edge of sight; most are poor, since only where light is dim is a network needed.
    fn random(rng: &mut ChaCha8Rng) -> Self {
        Self {
            peak_counts: 3.5 * 22.0_f64.powf(rng.random::<f64>().powi(2)),
            background_counts: rng.random_range(1.0..7.0),
            read_noise: rng.random_range(0.5..2.0),
            merged: if rng.random_bool(0.4) { 1.0 } else { log_uniform(1.0, 6.0, rng) },
            attenuation_um: rng.random_bool(0.65).then(|| log_uniform(25.0, 200.0, rng)),
        }
    }

    /// Turns brightness into counts: light lost with depth, photon and read noise.
    fn photograph(&self, light: &mut Volume<f32>, seed: u64, index: u64) {
        let long_um = light.voxel_size().um()[0];
        let [_, n_y, n_x] = light.shape();
        let Some(voxels) = light.voxels_mut().into_slice() else { return };
        voxels.par_chunks_mut(n_y * n_x).enumerate().for_each(|(z, plane)| {
            let mut rng = stream(seed, Purpose::Noise(index), z as u64);
            let lost = self.attenuation_um.map_or(1.0, |um| (-(z as f64) * long_um / um).exp());
            for value in plane {
                let light = self.peak_counts * lost * f64::from(*value);
                let expected = self.merged * (self.background_counts + light);
                let noise: f64 = rng.sample(StandardNormal);
                let read = self.read_noise * self.merged.sqrt() * noise;
                *value = ((photons(expected, &mut rng) + read) / self.merged) as f32;
            }
        });
    }
}

/// A number of photons; many are nearly normal.
fn photons(expected: f64, rng: &mut ChaCha8Rng) -> f64 {
    const MANY: f64 = 30.0;
    match Poisson::new(expected) {
        Ok(few) if expected < MANY => few.sample(rng),
        _ => {
            let noise: f64 = rng.sample(StandardNormal);
            (expected + expected.max(0.0).sqrt() * noise).round().max(0.0)
        }
    }
}
