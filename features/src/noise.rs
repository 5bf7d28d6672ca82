//! How far features move when nothing but the sampling changes.
//!
//! The same cells are laid on another grid, shifted by a random part of a voxel, as if they had been
//! imaged again, and their landmarks are drawn again. What then changes is noise; how much it
//! matters, only the spread between cells can tell.

use ndarray::{Array2, Array3, Axis};
use primordia_data::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame, Volume};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cbe::{CbeFrame, CbeParams, CbeSpace};
use crate::error::{FeatureError, Result};
use crate::landmarks::{LandmarkParams, Placement, sample_landmarks, turned_to_tissue};
use crate::measure::{MeasureParams, measure};
use crate::moments::{moment_names, moments};

/// How noise is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseParams {
    /// How often the cells are sampled; 2 or more.
    pub n_repeats: usize,
    /// The seed of shifts and landmarks.
    pub seed: u64,
    /// How cells are measured.
    pub measure: MeasureParams,
    /// Landmarks per cell.
    pub n_landmarks: usize,
}

impl Default for NoiseParams {
    fn default() -> Self {
        Self { n_repeats: 8, seed: 42, measure: MeasureParams::default(), n_landmarks: 2000 }
    }
}

/// What a feature is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseOf {
    /// The mask, its mesh, or its neighbours.
    Mask,
    /// Landmarks of the shape.
    Landmarks(Placement),
}

/// The noise of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureNoise {
    /// The feature's name.
    pub name: String,
    /// What it is made from.
    pub of: NoiseOf,
    /// The standard deviation between cells, each averaged over all samplings.
    pub between_cells: f64,
    /// The standard deviation between samplings of one cell: the root of the mean square.
    pub noise: f64,
}

impl FeatureNoise {
    /// Noise over the spread between cells: what part of a difference of one standard deviation is
    /// chance. NaN where cells do not differ.
    pub fn share(&self) -> f64 {
        self.noise / self.between_cells
    }
}

/// The order of the moments whose noise is estimated.
const ORDER: usize = 3;

/// The noise of the features of shape and context, of moments (up to order 3) of random and of even
/// landmarks, and of the embedding of both (CBE in the tissue's frame, learned from the first
/// sampling). Cells at the border of the image, and those that are not in one piece, do not count.
///
/// A label of the shifted grid is the one that linear interpolation gives the most weight. Channels
/// are left out: to interpolate them would smooth them.
///
/// # Errors
/// [`FeatureError::Repeats`] for fewer than two samplings; [`FeatureError::TooFewPoints`] if there
/// are too few whole cells to learn an embedding from; as [`measure`].
pub fn resampling_noise(
    labels: &Labels,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    params: &NoiseParams,
) -> Result<Vec<FeatureNoise>> {
    if params.n_repeats < 2 {
        return Err(FeatureError::Repeats { found: params.n_repeats });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    let samplings: Vec<Labels> = (0..params.n_repeats)
        .map(|_| shifted(labels, [rng.random(), rng.random(), rng.random()]))
        .collect();
    let mut spaces = [None, None];
    let mut samples = Vec::new();
    for (repeat, sampling) in samplings.iter().enumerate() {
        let sample = Sample::of(sampling, to_tissue, params, repeat as u64, &mut spaces)?;
        samples.push(sample);
    }
    let whole =
        |label: &u32| samples.iter().all(|sample| sample.whole.binary_search(label).is_ok());
    let cells: Vec<u32> = labels.cells().iter().copied().filter(whole).collect();
    let values: Vec<Array2<f64>> = samples.iter().map(|sample| sample.rows(&cells)).collect();
    let noise = |(column, (name, of)): (usize, &(String, NoiseOf))| {
        let of_cells = (0..cells.len()).map(|row| values.iter().map(move |v| v[[row, column]]));
        let (between_cells, noise) = spreads(of_cells.map(Iterator::collect));
        FeatureNoise { name: name.clone(), of: *of, between_cells, noise }
    };
    Ok(samples[0].columns.iter().enumerate().map(noise).collect())
}

/// All features of one sampling.
struct Sample {
    columns: Vec<(String, NoiseOf)>,
    labels: Vec<u32>,
    /// The labels of cells that are whole, ascending.
    whole: Vec<u32>,
    values: Array2<f64>, // cells × columns
}

impl Sample {
    /// `spaces` are the embeddings of random and of even landmarks, learned if not yet there.
    fn of(
        labels: &Labels,
        to_tissue: &Rigid<ImageFrame, TissueFrame>,
        params: &NoiseParams,
        repeat: u64,
        spaces: &mut [Option<CbeSpace>; 2],
    ) -> Result<Self> {
        let measured = measure(labels, &[], "", to_tissue, &params.measure)?;
        let table = measured.table.beside(&measured.context)?;
        let mut columns: Vec<_> =
            table.columns().iter().map(|name| (name.clone(), NoiseOf::Mask)).collect();
        let mut values = table.values().to_owned();
        let is_whole = |row: &usize| {
            !measured.quality[*row].touches_border && measured.quality[*row].n_pieces == 1
        };
        let whole = (0..labels.n_cells()).filter(is_whole).map(|row| labels.cells()[row]);
        for (placement, space) in [Placement::Random, Placement::Even].into_iter().zip(spaces) {
            let landmarks = LandmarkParams {
                n_landmarks: params.n_landmarks,
                seed: params.seed.wrapping_add(repeat),
                placement,
            };
            let clouds = sample_landmarks(labels, &[], &landmarks)?.shape;
            let clouds: Vec<PointCloud<TissueFrame>> =
                clouds.iter().map(|cloud| turned_to_tissue(cloud, to_tissue)).collect();
            let embedded = embedded(&clouds, params.seed, space)?;
            let moments: Vec<Vec<f64>> =
                clouds.par_iter().map(|cloud| moments(cloud, ORDER)).collect();
            let moments = Array2::from_shape_fn(
                (clouds.len(), moments.first().map_or(0, Vec::len)),
                |(row, at)| moments[row][at],
            );
            let names = moment_names(ORDER).into_iter().take(moments.ncols());
            let names = names.chain((0..embedded.ncols()).map(cbe_name));
            columns.extend(names.map(|name| (name, NoiseOf::Landmarks(placement))));
            values = ndarray::concatenate![Axis(1), values, moments, embedded];
        }
        Ok(Self { columns, labels: labels.cells().to_vec(), whole: whole.collect(), values })
    }

    /// The values of these cells, which all are there.
    fn rows(&self, cells: &[u32]) -> Array2<f64> {
        let rows: Vec<usize> =
            cells.iter().filter_map(|cell| self.labels.binary_search(cell).ok()).collect();
        self.values.select(Axis(0), &rows)
    }
}

/// As features of embeddings are named in atlases.
fn cbe_name(at: usize) -> String {
    format!("shape_tissue_centre{:02}_{}", at / 3 + 1, ["x", "y", "z"][at % 3])
}

fn embedded(
    clouds: &[PointCloud<TissueFrame>],
    seed: u64,
    space: &mut Option<CbeSpace>,
) -> Result<Array2<f64>> {
    if let Some(space) = space {
        return space.embed_all(clouds);
    }
    let params = CbeParams { seed, ..CbeParams::in_frame(CbeFrame::Tissue) };
    let (learned, values) = CbeSpace::fit_embed(clouds, &params)?;
    *space = Some(learned);
    Ok(values)
}

/// The standard deviation between the means of cells, and that within cells; cells with a value
/// that could not be measured do not count.
fn spreads(cells: impl Iterator<Item = Vec<f64>>) -> (f64, f64) {
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for values in cells.filter(|values| values.iter().all(|value| value.is_finite())) {
        let (mean, variance) = mean_and_variance(&values);
        means.push(mean);
        variances.push(variance);
    }
    if means.len() < 2 {
        return (f64::NAN, f64::NAN);
    }
    (mean_and_variance(&means).1.sqrt(), mean_and_variance(&variances).0.sqrt())
}

/// The mean, and the variance over n − 1.
fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// The cells on a grid that is shifted by `parts` of a voxel, each from 0 to 1 along `[z, y, x]`.
fn shifted(labels: &Labels, parts: [f64; 3]) -> Labels {
    let image = labels.volume();
    let [n_z, n_y, n_x] = image.shape();
    let voxels = image.as_slice();
    let mut shifted = vec![0; voxels.len()];
    shifted.par_chunks_mut(n_x).enumerate().for_each(|(line, shifted)| {
        let (z, y) = (line / n_y, line % n_y);
        let beyond = [(z + 1).min(n_z - 1), (y + 1).min(n_y - 1)];
        let lines = [(z, y), (z, beyond[1]), (beyond[0], y), (beyond[0], beyond[1])]
            .map(|(z, y)| &voxels[(z * n_y + y) * n_x..][..n_x]);
        for (x, shifted) in shifted.iter_mut().enumerate() {
            let next = (x + 1).min(n_x - 1);
            *shifted = weightiest(lines.map(|line| [line[x], line[next]]), parts);
        }
    });
    let voxels = Array3::from_shape_vec((n_z, n_y, n_x), shifted);
    // The voxels are as many as before; an image without them would be one without cells.
    let volume = voxels.ok().and_then(|voxels| Volume::new(voxels, image.voxel_size()).ok());
    volume.map_or_else(|| labels.clone(), Labels::new)
}

/// The label of most weight at a place between eight; the lowest of several.
fn weightiest(corners: [[u32; 2]; 4], parts: [f64; 3]) -> u32 {
    let all = corners.as_flattened();
    if all.iter().all(|label| *label == all[0]) {
        return all[0];
    }
    let weight = |corner: usize| {
        let along = |axis: usize| {
            if corner >> (2 - axis) & 1 == 1 { parts[axis] } else { 1.0 - parts[axis] }
        };
        along(0) * along(1) * along(2)
    };
    let of_label =
        |label: u32| -> f64 { (0..8).filter(|corner| all[*corner] == label).map(weight).sum() };
    let better = |best: (u32, f64), label: &u32| {
        let weight = of_label(*label);
        let is_better = weight > best.1 || (weight >= best.1 && *label < best.0);
        if is_better { (*label, weight) } else { best }
    };
    all.iter().fold((u32::MAX, -1.0), better).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use nalgebra::Point3;
    use primordia_data::VoxelSize;
    use std::f64::consts::PI;

    /// Balls of 3 to 5 µm in background, in voxels three times longer in z.
    fn balls() -> Labels {
        let um = [0.6, 0.2, 0.2];
        let voxels = Array3::from_shape_fn((20, 56, 340), |(z, y, x)| {
            let p = Point3::new(x as f64 * um[2], y as f64 * um[1], z as f64 * um[0]);
            let ball = |k: u32| {
                let middle = Point3::new(6.0 + 11.0 * f64::from(k), 5.5, 5.7);
                (p - middle).norm() <= radius_um(k)
            };
            (0..6).find(|k| ball(*k)).map_or(0, |k| k + 1)
        });
        Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap()
    }

    fn radius_um(ball: u32) -> f64 {
        3.0 + 0.4 * f64::from(ball)
    }

    fn noise_of<'a>(found: &'a [FeatureNoise], name: &str, of: NoiseOf) -> &'a FeatureNoise {
        found.iter().find(|feature| feature.name == name && feature.of == of).unwrap()
    }

    #[test]
    fn a_shifted_grid_shows_the_same_cells_in_other_voxels() {
        let labels = balls();
        assert_eq!(shifted(&labels, [0.0; 3]), labels);
        let moved = shifted(&labels, [0.4, 0.3, 0.8]);
        assert_eq!(moved.cells(), labels.cells());
        assert_ne!(moved, labels);
        let volume = |labels: &Labels, cell: u32| {
            labels.volume().as_slice().iter().filter(|label| **label == cell).count() as f64
        };
        for cell in 1..=6 {
            assert_relative_eq!(volume(&moved, cell), volume(&labels, cell), max_relative = 0.02);
        }
    }

    #[test]
    fn noise_is_small_where_features_are_integrals_and_known_for_random_landmarks() {
        let params = NoiseParams { n_repeats: 5, n_landmarks: 500, ..NoiseParams::default() };
        let found = resampling_noise(&balls(), &Rigid::identity(), &params).unwrap();
        let volume = noise_of(&found, "volume_um3", NoiseOf::Mask);
        // The spread of the volumes of the balls, over n − 1.
        let volumes: Vec<f64> =
            (0..6).map(|ball| 4.0 / 3.0 * PI * radius_um(ball).powi(3)).collect();
        let spread = mean_and_variance(&volumes).1.sqrt();
        assert_relative_eq!(volume.between_cells, spread, max_relative = 0.02);
        assert!(volume.share() < 0.01, "{volume:?}");
        // The mean of 500 draws whose variance is about radius² / 3 along each axis.
        let random = NoiseOf::Landmarks(Placement::Random);
        let mean_x = noise_of(&found, "moment_z0_y0_x1_um", random);
        let squares = (0..6).map(|ball| radius_um(ball).powi(2) / 3.0).sum::<f64>() / 6.0;
        assert_relative_eq!(mean_x.noise, (squares / 500.0).sqrt(), max_relative = 0.35);
        let even = NoiseOf::Landmarks(Placement::Even);
        for name in ["moment_z0_y0_x1_um", "moment_z0_y0_x2_um2", "shape_tissue_centre01_x"] {
            let [random, even] = [random, even].map(|of| noise_of(&found, name, of).noise);
            println!("{name}: {random:.4} with random landmarks, {even:.4} with even ones");
            assert!(even < random, "{name}: {even}, {random}");
        }
    }

    #[test]
    fn noise_needs_two_samplings() {
        let params = NoiseParams { n_repeats: 1, ..NoiseParams::default() };
        let result = resampling_noise(&balls(), &Rigid::identity(), &params);
        assert!(matches!(result, Err(FeatureError::Repeats { found: 1 })));
    }
}
