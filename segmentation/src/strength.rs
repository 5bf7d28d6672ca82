//! How strong sheets are, everywhere in an image, and how strong noise alone would look.

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{Enlarged, shrink};
use crate::sheet::{SheetFilter, SheetScale};

/// Sheets that are weaker than this multiple of what noise looks like do not count as usual.
const ABOVE_NOISE: f32 = 4.3;
/// Nor do those weaker than this share of the strongest anywhere.
const OF_STRONGEST: f32 = 0.2;

/// Divides evidence by the strength that sheets have nearby, so that 1 is usual whatever the depth,
/// the label and the light; but never by less than [`ABOVE_NOISE`] × what noise alone would give,
/// so that noise does not look like sheets.
///
/// Strength is the mean of the evidence weighted by itself over about `range_um`: it does not depend
/// on how many sheets there are.
pub(crate) fn even_out(evidence: &mut Volume<f32>, noise: &NoiseMap, range_um: f64) -> Result<()> {
    let factors = coarse_factors(evidence, range_um);
    let mut strength = local_strength(evidence, factors, range_um)?;
    let noise = noise.at_grid(factors, range_um)?;
    if let Some(strength) = strength.voxels_mut().as_slice_mut() {
        let strongest = quantile(strength, 0.98).max(f32::MIN_POSITIVE);
        for (strength, &noise) in strength.iter_mut().zip(noise.as_slice()) {
            *strength = strength.max(ABOVE_NOISE * noise).max(OF_STRONGEST * strongest);
        }
    }
    divide(evidence, &strength, factors);
    Ok(())
}

/// Divides evidence by what is usual, on a grid that is coarser by `factors`.
pub(crate) fn divide(evidence: &mut Volume<f32>, usual: &Volume<f32>, factors: [usize; 3]) {
    let usual = Enlarged::new(usual, factors);
    let [_, n_y, n_x] = evidence.shape();
    if let Some(voxels) = evidence.voxels_mut().as_slice_mut() {
        voxels.par_chunks_mut(n_x).enumerate().for_each_init(
            || vec![0.0; n_x],
            |usual_row, (row, evidence)| {
                usual.row(row / n_y, row % n_y, usual_row);
                evidence.iter_mut().zip(usual_row).for_each(|(value, usual)| *value /= *usual);
            },
        );
    }
}

fn quantile(values: &[f32], share: f64) -> f32 {
    let mut values = values.to_vec();
    let at = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

/// How many voxels become one of a grid that shows what changes over `range_um`.
pub(crate) fn coarse_factors<T>(volume: &Volume<T>, range_um: f64) -> [usize; 3] {
    let (um, shape) = (volume.voxel_size().um(), volume.shape());
    [0, 1, 2].map(|axis| ((range_um / 4.0 / um[axis]) as usize).clamp(1, shape[axis]))
}

/// The mean of the evidence about `range_um` around, weighted by itself.
pub(crate) fn local_strength(
    evidence: &Volume<f32>,
    factors: [usize; 3],
    range_um: f64,
) -> Result<Volume<f32>> {
    let mut strength = gaussian(&shrink(evidence, factors, |value| value * value)?, [range_um; 3])?;
    let mean = gaussian(&shrink(evidence, factors, |value| value)?, [range_um; 3])?;
    if let Some(strength) = strength.voxels_mut().as_slice_mut() {
        let pairs = strength.iter_mut().zip(mean.as_slice());
        pairs.for_each(|(strength, mean)| *strength /= mean.max(f32::MIN_POSITIVE));
    }
    Ok(strength)
}

/// What the sheet filter would make of noise as strong as that of an image.
pub(crate) struct NoiseMap {
    squared: Volume<f32>, // squared difference of each voxel from its smooth surroundings
    gain: f32, // strength of the evidence in pure noise, per standard deviation of that difference
}

impl NoiseMap {
    /// From an image and the filter that was made of it.
    pub(crate) fn new(
        image: &Volume<f32>,
        filter: &SheetFilter,
        scale: SheetScale,
    ) -> Result<Self> {
        Ok(Self {
            squared: squared_residual(image, filter),
            gain: noise_gain(image.voxel_size(), scale)?,
        })
    }

    fn at_grid(&self, factors: [usize; 3], range_um: f64) -> Result<Volume<f32>> {
        let squared = gaussian(&shrink(&self.squared, factors, |value| value)?, [range_um; 3])?;
        Ok(squared.map(|squared| squared.sqrt() * self.gain))
    }
}

fn squared_residual(image: &Volume<f32>, filter: &SheetFilter) -> Volume<f32> {
    let mut squared = image.clone();
    if let Some(voxels) = squared.voxels_mut().as_slice_mut() {
        let pairs = voxels.par_iter_mut().zip(filter.fine().as_slice());
        pairs.for_each(|(value, smooth)| *value = (*value - smooth).powi(2));
    }
    squared
}

/// Runs the filter on noise alone.
fn noise_gain(voxel_size: VoxelSize, scale: SheetScale) -> Result<f32> {
    const SIDE: usize = 32;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let noise =
        Array3::from_shape_simple_fn((SIDE, SIDE, SIDE), || rng.random_range(-1.0..1.0_f32));
    let noise = Volume::new(noise, voxel_size)?;
    let filter = SheetFilter::new(&noise, scale)?;
    let (squares, sum) = strength_sums(&filter, noise.shape(), 2);
    let residual = squared_residual(&noise, &filter);
    let deviation = (residual.as_slice().iter().sum::<f32>() / residual.n_voxels() as f32).sqrt();
    Ok((squares / sum.max(f64::MIN_POSITIVE)) as f32 / deviation.max(f32::MIN_POSITIVE))
}

/// The sums of the squared evidence and of the evidence over every `step`-th voxel along each axis.
fn strength_sums(filter: &SheetFilter, shape: [usize; 3], step: usize) -> (f64, f64) {
    let planes: Vec<(f64, f64)> = (0..shape[0].div_ceil(step))
        .into_par_iter()
        .map(|z| {
            let mut sums = (0.0, 0.0);
            for y in (0..shape[1]).step_by(step) {
                let row = filter.row(z * step, y);
                for x in (0..shape[2]).step_by(step) {
                    let evidence = f64::from(row.at(x).0);
                    sums.0 += evidence * evidence;
                    sums.1 += evidence;
                }
            }
            sums
        })
        .collect();
    planes.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// The width (standard deviation in µm) among `widths_um` at which an image's sheets stand out most over noise;
/// the first where none does.
pub(crate) fn choose_width(image: &Volume<f32>, widths_um: &[f64]) -> Result<f64> {
    const STEP: usize = 3;
    const ENOUGH: f64 = 0.85; // of the best: narrow filters see finer cells
    let mut strengths = Vec::new();
    for &width_um in widths_um {
        let scale = SheetScale::for_width(width_um);
        let filter = SheetFilter::new(image, scale)?;
        let (squares, sum) = strength_sums(&filter, image.shape(), STEP);
        let residual = squared_residual(image, &filter);
        let deviation = (residual.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>()
            / image.n_voxels() as f64)
            .sqrt();
        let noise = deviation * f64::from(noise_gain(image.voxel_size(), scale)?);
        strengths.push(squares / sum.max(f64::MIN_POSITIVE) - noise);
    }
    let best = strengths.iter().copied().fold(0.0, f64::max);
    let chosen = strengths.iter().position(|&strength| strength >= ENOUGH * best).unwrap_or(0);
    Ok(widths_um[chosen])
}
