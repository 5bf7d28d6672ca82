//! How far features move when nothing but the sampling changes.
//!
//! The same cells are imaged again: on a grid shifted by a random part of a voxel, turned with all the
//! tissue, or in larger or smaller voxels; and their landmarks are drawn again. What then changes is
//! noise; how much it matters, only the spread between cells can tell.

use std::f64::consts::SQRT_2;

use ndarray::{Array2, Axis};
use primordia_data::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::again::{Pose, imaged_again};
use crate::cbe::{CbeFrame, CbeParams, CbeSpace};
use crate::error::{FeatureError, Result};
use crate::groups::Groups;
use crate::landmarks::{LandmarkParams, Placement, sample_landmarks, turned_to_tissue};
use crate::measure::{CellQuality, MeasureParams, Measured, measure};
use crate::moments::{moment_names, moments};

/// How noise is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseParams {
    /// How often the cells are sampled in each of the three ways; 2 or more.
    pub n_repeats: usize,
    /// The seed of turns, shifts and landmarks.
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

/// The noise of one feature: standard deviations, as roots of mean squares over cells.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureNoise {
    /// The feature's name.
    pub name: String,
    /// What it is made from.
    pub of: NoiseOf,
    /// Between cells, each averaged over all shifts.
    pub between_cells: f64,
    /// Between samplings of one cell on grids that are shifted by parts of a voxel.
    pub shifted: f64,
    /// Of samplings of one cell that is turned in any way, from the mean over all shifts.
    pub turned: f64,
    /// Of samplings of one cell in voxels up to √2 smaller or larger, from the mean over all shifts.
    pub resampled: f64,
}

impl FeatureNoise {
    /// The largest: how far the feature may be off, however the cell was imaged.
    pub fn noise(&self) -> f64 {
        self.shifted.max(self.turned).max(self.resampled)
    }

    /// What two images of one cell differ by at most, 19 times in 20, if differences are normal: the repeatability
    /// limit of ISO 5725-6, 1.96 √2 times the noise.
    pub fn limit(&self) -> f64 {
        1.96 * SQRT_2 * self.noise()
    }

    /// Noise over the spread between cells: what part of a difference of one standard deviation is
    /// chance. NaN where cells do not differ.
    pub fn share(&self) -> f64 {
        self.noise() / self.between_cells
    }
}

/// The order of the moments whose noise is estimated.
const ORDER: usize = 3;

/// The noise of the features of shape and context, of moments (up to order 3) of random and of even
/// landmarks, and of the embedding of both (CBE in the tissue's frame, learned from the first
/// sampling). Cells at the border of the image, and those that are not in one piece, do not count.
///
/// A turned image is as large as the box around the turned tissue, and takes 4 bytes for each of
/// its voxels. Channels are left out: to interpolate them would smooth them.
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
    let mut spaces = [None, None];
    let mut samplings = |pose: fn(&mut ChaCha8Rng) -> Pose, first: u64| {
        let samples = (first..first + params.n_repeats as u64).map(|repeat| {
            let (labels, back) = imaged_again(labels, &pose(&mut rng));
            Sample::of(&labels, &back.then(to_tissue), params, repeat, &mut spaces)
        });
        samples.collect::<Result<Vec<_>>>()
    };
    let n = params.n_repeats as u64;
    let shifted = samplings(Pose::shifted, 0)?;
    let turned = samplings(Pose::turned, n)?;
    let resampled = samplings(Pose::resampled, 2 * n)?;

    let nothing = MeasureParams { groups: Groups::only(&[]), ..params.measure };
    let mut cells = whole(labels, &measure(labels, &[], "", to_tissue, &nothing)?);
    let all = || shifted.iter().chain(&turned).chain(&resampled);
    cells.retain(|label| all().all(|sample| sample.whole.binary_search(label).is_ok()));
    let rows = |samples: &[Sample]| -> Vec<Array2<f64>> {
        samples.iter().map(|sample| sample.rows(&cells)).collect()
    };
    let ways = [&shifted, &turned, &resampled].map(|samples| rows(samples));
    let columns = shifted[0].columns.iter().enumerate();
    let noise = columns.map(|(column, (name, of))| {
        let spreads = Spreads::of(&ways, cells.len(), column);
        let Spreads { between_cells, within: [shifted, turned, resampled] } = spreads;
        FeatureNoise { name: name.clone(), of: *of, between_cells, shifted, turned, resampled }
    });
    Ok(noise.collect())
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
        let whole = whole(labels, &measured);
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
        Ok(Self { columns, labels: labels.cells().to_vec(), whole, values })
    }

    /// The values of these cells, which all are there.
    fn rows(&self, cells: &[u32]) -> Array2<f64> {
        let rows: Vec<usize> =
            cells.iter().filter_map(|cell| self.labels.binary_search(cell).ok()).collect();
        self.values.select(Axis(0), &rows)
    }
}

/// The labels of the cells of which no part is missing, and which are in one piece; ascending.
fn whole(labels: &Labels, measured: &Measured) -> Vec<u32> {
    let cells = labels.cells().iter().zip(&measured.quality);
    let is_whole = |quality: &CellQuality| !quality.touches_border && quality.n_pieces == 1;
    cells.filter(|(_, quality)| is_whole(quality)).map(|(label, _)| *label).collect()
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

/// Standard deviations of one feature.
struct Spreads {
    /// Between the means of cells over the samplings of the first way.
    between_cells: f64,
    /// Of one cell from its mean, for each way of sampling.
    within: [f64; 3],
}

impl Spreads {
    /// `ways` hold samplings, each cells × columns. Cells with a value that could not be measured do
    /// not count; without two others, all is NaN.
    fn of(ways: &[Vec<Array2<f64>>; 3], n_cells: usize, column: usize) -> Self {
        let (mut means, mut squares, mut n) = (Vec::new(), [0.0; 3], 0.0);
        for row in 0..n_cells {
            let values = [0, 1, 2].map(|way| {
                ways[way].iter().map(|sampling| sampling[[row, column]]).collect::<Vec<f64>>()
            });
            if values.iter().flatten().any(|value| !value.is_finite()) {
                continue;
            }
            let (mean, variance) = mean_and_variance(&values[0]);
            let from_mean = |values: &[f64]| {
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
            };
            let of_cell = [variance, from_mean(&values[1]), from_mean(&values[2])];
            squares = [0, 1, 2].map(|way| squares[way] + of_cell[way]);
            means.push(mean);
            n += 1.0;
        }
        if means.len() < 2 {
            return Self { between_cells: f64::NAN, within: [f64::NAN; 3] };
        }
        let between_cells = mean_and_variance(&means).1.sqrt();
        Self { between_cells, within: squares.map(|sum| (sum / n).sqrt()) }
    }
}

/// The mean, and the variance over n − 1.
fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use nalgebra::Point3;
    use ndarray::Array3;
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
        assert_relative_eq!(mean_x.shifted, (squares / 500.0).sqrt(), max_relative = 0.35);
        let even = NoiseOf::Landmarks(Placement::Even);
        for name in ["moment_z0_y0_x1_um", "moment_z0_y0_x2_um2", "shape_tissue_centre01_x"] {
            let [random, even] = [random, even].map(|of| noise_of(&found, name, of).noise());
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
