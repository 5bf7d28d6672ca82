//! The microscope: blur, light lost with depth, background, photon and read noise.

use ndarray::{Array3, Axis};
use rayon::prelude::*;

use super::random::{Photons, Purpose, normal, stream};
use super::{positive, within};
use crate::VoxelSize;
use crate::error::{DataError, Result};

/// How a tissue is labelled and imaged. The default is [`Optics::clean`].
#[derive(Clone, Debug, PartialEq)]
pub struct Optics {
    /// The size of a voxel.
    pub voxel_size: VoxelSize,
    /// Standard deviation of the point spread function, along z and in the plane, in µm.
    pub psf_sigma_um: [f64; 2],
    /// Photons per voxel, over background, in the middle of a flat, upright, fully labelled border
    /// between two cells at the surface nearest to the objective.
    pub peak_counts: f64,
    /// Photons per voxel where nothing is labelled.
    pub background_counts: f64,
    /// Standard deviation of the noise of the camera, in counts.
    pub read_noise: f64,
    /// The depth in which light falls by a factor of e; depth grows with z of the image.
    pub attenuation_um: Option<f64>,
    /// The share of the label that is missing in the weakest patches, 0 to 1. Patches are smooth
    /// over some 15 µm and differ from face to face; the label varies evenly from 1 − patchiness
    /// to 1.
    pub patchiness: f64,
    /// A sheet of skin above the apical side.
    pub skin: Option<Skin>,
    /// Photons per voxel, over background, of the protein and the control in a cell whose amount
    /// is 1.
    pub protein_counts: f64,
}

/// Skin that lies over the tissue and carries the same label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skin {
    /// Its height above the highest point of the tissue, in µm.
    pub gap_um: f64,
    /// Its brightness against a border between cells.
    pub brightness: f64,
}

impl Default for Skin {
    fn default() -> Self {
        Self { gap_um: 1.5, brightness: 1.0 }
    }
}

impl Default for Optics {
    fn default() -> Self {
        Self::clean(demo_voxel_size())
    }
}

/// 0.5 × 0.25 × 0.25 µm: a specimen has some two million voxels.
fn demo_voxel_size() -> VoxelSize {
    VoxelSize::from_um([0.5, 0.25, 0.25]).expect("positive")
}

impl Optics {
    /// A good image: 70 counts on membranes over a background of 4.
    pub fn clean(voxel_size: VoxelSize) -> Self {
        Self {
            voxel_size,
            psf_sigma_um: [0.35, 0.12],
            peak_counts: 70.0,
            background_counts: 4.0,
            read_noise: 1.0,
            attenuation_um: None,
            patchiness: 0.0,
            skin: None,
            protein_counts: 40.0,
        }
    }

    /// 17 counts on membranes that are patchy (0.6).
    pub fn dim(voxel_size: VoxelSize) -> Self {
        Self { peak_counts: 17.0, patchiness: 0.6, ..Self::clean(voxel_size) }
    }

    /// 8 counts on patchy (0.8) membranes, over a background of 4 with read noise of 1.5; light
    /// falls by a factor of e in 50 µm.
    pub fn very_dim(voxel_size: VoxelSize) -> Self {
        Self {
            peak_counts: 8.0,
            patchiness: 0.8,
            read_noise: 1.5,
            attenuation_um: Some(50.0),
            ..Self::clean(voxel_size)
        }
    }

    /// As [`Optics::very_dim`], with 5 counts on membranes.
    pub fn edge_of_sight(voxel_size: VoxelSize) -> Self {
        Self { peak_counts: 5.0, ..Self::very_dim(voxel_size) }
    }

    pub(super) fn check(&self) -> Result<()> {
        let not_negative = |name, value| within(name, value, 0.0..=1e6, "from 0 to a million");
        for sigma_um in self.psf_sigma_um {
            within("psf_sigma_um", sigma_um, 0.0..=10.0, "from 0 to 10")?;
        }
        not_negative("peak_counts", self.peak_counts)?;
        not_negative("background_counts", self.background_counts)?;
        not_negative("read_noise", self.read_noise)?;
        not_negative("protein_counts", self.protein_counts)?;
        within("patchiness", self.patchiness, 0.0..=1.0, "from 0 to 1")?;
        if let Some(attenuation_um) = self.attenuation_um {
            positive("attenuation_um", attenuation_um)?;
        }
        if let Some(skin) = self.skin {
            within("skin.gap_um", skin.gap_um, 0.0..=1e3, "from 0 to 1000")?;
            not_negative("skin.brightness", skin.brightness)?;
        }
        Ok(())
    }

    /// The image of `scene`, in which 1 is as bright as `counts`.
    pub(super) fn image(
        &self,
        mut scene: Array3<f32>,
        counts: f64,
        noise: Purpose,
        seed: u64,
    ) -> Result<Array3<u16>> {
        let [dz, dy, dx] = self.voxel_size.um();
        let [along_z_um, in_plane_um] = self.psf_sigma_um;
        let sigmas = [along_z_um / dz, in_plane_um / dy, in_plane_um / dx];
        for (axis, sigma) in sigmas.into_iter().enumerate() {
            blur(&mut scene, Axis(axis), sigma);
        }
        let (nz, ny, nx) = scene.dim();
        let image = scene.outer_iter().into_par_iter().enumerate().map(|(z, plane)| {
            let mut rng = stream(seed, noise, z);
            let mut photons = Photons::new();
            let light = match self.attenuation_um {
                Some(attenuation_um) => counts * libm::exp(-(z as f64) * dz / attenuation_um),
                None => counts,
            };
            let measure = |&brightness: &f32| {
                let expected = self.background_counts + light * f64::from(brightness);
                let counted = f64::from(photons.draw(expected, &mut rng));
                // Rounds, and saturates at 0 and 65,535.
                (counted + self.read_noise * normal(&mut rng) + 0.5) as u16
            };
            plane.iter().map(measure).collect::<Vec<_>>()
        });
        let planes: Vec<_> = image.collect();
        let mut voxels = Vec::with_capacity(scene.len());
        for plane in planes {
            voxels.extend(plane);
        }
        Array3::from_shape_vec((nz, ny, nx), voxels)
            .map_err(|_| DataError::EmptyVolume { shape: [nz, ny, nx] })
    }
}

/// Convolves with a Gaussian of `sigma` voxels along `axis`; beyond the edge, the edge goes on.
fn blur(volume: &mut Array3<f32>, axis: Axis, sigma: f64) {
    let kernel = kernel(sigma);
    if kernel.len() == 1 {
        return;
    }
    // Planes across another axis are independent; along it, memory is as contiguous as can be.
    let across = Axis(usize::from(axis.index() == 0));
    let reach = kernel.len() / 2;
    volume.axis_iter_mut(across).into_par_iter().for_each(|mut plane| {
        let along = Axis(usize::from(axis.index() == 2));
        if along.index() == 1 {
            let mut line = Vec::new();
            for mut lane in plane.lanes_mut(along) {
                let (first, last) = (lane[0], lane[lane.len() - 1]);
                line.clear();
                line.extend(std::iter::repeat_n(first, reach));
                line.extend(lane.iter());
                line.extend(std::iter::repeat_n(last, reach));
                for (value, around) in lane.iter_mut().zip(line.windows(kernel.len())) {
                    *value = around.iter().zip(&kernel).map(|(a, b)| a * b).sum();
                }
            }
            return;
        }
        let before = plane.to_owned();
        let last = before.nrows() - 1;
        for (at, mut row) in plane.rows_mut().into_iter().enumerate() {
            row.fill(0.0);
            for (tap, &weight) in kernel.iter().enumerate() {
                let from = before.row((at + tap).saturating_sub(reach).min(last));
                row.scaled_add(weight, &from);
            }
        }
    });
}

/// A Gaussian of `sigma` voxels at whole voxels, out to 4 σ, its sum 1.
fn kernel(sigma: f64) -> Vec<f32> {
    const SIGMAS: f64 = 4.0;
    let reach = (SIGMAS * sigma).ceil() as i32;
    if sigma < 1e-3 {
        return vec![1.0];
    }
    let weights: Vec<f64> = (-reach..=reach)
        .map(|at| libm::exp(-0.5 * (f64::from(at) / sigma) * (f64::from(at) / sigma)))
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn image(optics: &Optics, scene: Array3<f32>) -> Array3<u16> {
        optics.image(scene, optics.peak_counts, Purpose::MembraneNoise, 5).unwrap()
    }

    fn mean_and_variance(counts: impl Iterator<Item = u16> + Clone) -> (f64, f64) {
        let n = counts.clone().count() as f64;
        let mean = counts.clone().map(f64::from).sum::<f64>() / n;
        (mean, counts.map(|count| (f64::from(count) - mean).powi(2)).sum::<f64>() / n)
    }

    /// 40,000 counts of a variance up to 80: means err by 0.05, variances by 1 %, here three times.
    const MEAN: f64 = 0.15;
    const VARIANCE: f64 = 0.03;

    #[test]
    fn counts_have_the_mean_of_peak_and_background_and_the_variance_of_photons_and_camera() {
        let optics = Optics { read_noise: 2.0, ..Optics::default() };
        for (brightness, expected) in [(0.25, 21.5), (1.0, 74.0)] {
            let image = image(&optics, Array3::from_elem((4, 100, 100), brightness));
            let (mean, variance) = mean_and_variance(image.iter().copied());
            assert_relative_eq!(mean, expected, epsilon = MEAN);
            // Rounding to whole counts adds 1/12 to the variance of the camera, not of photons.
            assert_relative_eq!(variance, expected + 4.0, max_relative = VARIANCE);
        }
    }

    #[test]
    fn light_falls_by_e_in_the_attenuation_length() {
        let attenuation_um = Some(10.0);
        let optics = Optics { attenuation_um, background_counts: 0.0, ..Optics::default() };
        let image = image(&optics, Array3::from_elem((21, 200, 200), 1.0));
        let plane = |z: usize| mean_and_variance(image.index_axis(Axis(0), z).iter().copied()).0;
        // Twenty planes of 0.5 µm.
        assert_relative_eq!(plane(0), 70.0, epsilon = MEAN);
        assert_relative_eq!(plane(20), 70.0 / std::f64::consts::E, epsilon = MEAN);
    }

    #[test]
    fn a_point_is_blurred_to_the_point_spread_function() {
        /// Samples of a Gaussian of σ ≥ 0.6 voxels, cut at 4 σ, have its variance so closely.
        const SAMPLED: f64 = 0.005;
        let mut scene = Array3::<f32>::zeros((31, 31, 31));
        scene[[15, 15, 15]] = 1.0;
        let sigmas = [1.5, 0.7, 2.0];
        for (axis, sigma) in sigmas.into_iter().enumerate() {
            blur(&mut scene, Axis(axis), sigma);
        }
        assert_relative_eq!(scene.sum(), 1.0, epsilon = 1e-5);
        for (axis, sigma) in sigmas.into_iter().enumerate() {
            let square = |at: usize| (at as f64 - 15.0).powi(2);
            let along = scene.axis_iter(Axis(axis)).enumerate();
            let variance: f64 = along.map(|(at, plane)| square(at) * f64::from(plane.sum())).sum();
            assert_relative_eq!(variance, sigma * sigma, max_relative = SAMPLED);
        }
    }

    #[test]
    fn blur_keeps_what_is_the_same_everywhere() {
        let mut scene = Array3::from_elem((3, 4, 5), 2.0_f32);
        (0..3).for_each(|axis| blur(&mut scene, Axis(axis), 1.3));
        scene.iter().for_each(|&value| assert_relative_eq!(value, 2.0, epsilon = 1e-5));
    }

    #[test]
    fn noise_differs_from_plane_to_plane() {
        let image = image(&Optics::default(), Array3::zeros((2, 30, 30)));
        assert_ne!(image.index_axis(Axis(0), 0), image.index_axis(Axis(0), 1));
    }
}
