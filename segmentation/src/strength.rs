//! How strong sheets are, everywhere in an image, and how strong noise alone would look.

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::block::{Block, whole};
use crate::error::Result;
use crate::gaussian::gaussian;
use crate::resample::{put, shrink};
use crate::sheet::{SheetFilter, SheetScale, Sheets};

/// Sheets that are weaker than this multiple of what noise looks like do not count as usual.
const ABOVE_NOISE: f32 = 4.3;
/// Nor do those weaker than this share of the strongest anywhere.
const OF_STRONGEST: f32 = 0.2;

/// What evidence is divided by, on a grid that is coarser by `factors`: the strength that sheets have nearby, but never less than
/// [`ABOVE_NOISE`] × what noise alone would give, so that noise does not look like sheets.
///
/// Strength is the mean of the evidence weighted by itself over about `range_um`: it does not depend
/// on how many sheets there are.
pub(crate) fn usual(
    sums: &CoarseSums,
    roughness: &Volume<f32>,
    noise_gain: f32,
    range_um: f64,
) -> Result<Volume<f32>> {
    let mut strength = sums.strength(range_um)?;
    let noise = gaussian(roughness, [range_um; 3])?;
    if let Some(strength) = strength.voxels_mut().as_slice_mut() {
        let strongest = quantile(strength, 0.98).max(f32::MIN_POSITIVE);
        for (strength, &squared) in strength.iter_mut().zip(noise.as_slice()) {
            let noise = squared.sqrt() * noise_gain;
            *strength = strength.max(ABOVE_NOISE * noise).max(OF_STRONGEST * strongest);
        }
    }
    Ok(strength)
}

fn quantile(values: &[f32], share: f64) -> f32 {
    let mut values = values.to_vec();
    let at = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

/// How many voxels become one of a grid that shows what changes over `range_um`.
pub(crate) fn coarse_factors(
    (shape, voxel_size): ([usize; 3], VoxelSize),
    range_um: f64,
) -> [usize; 3] {
    let um = voxel_size.um();
    [0, 1, 2].map(|axis| ((range_um / 4.0 / um[axis]) as usize).clamp(1, shape[axis]))
}

/// Means of evidence (or of something else) and of its square on a coarser grid.
pub(crate) struct CoarseSums {
    pub(crate) squared: Volume<f32>,
    pub(crate) mean: Volume<f32>,
}

impl CoarseSums {
    /// The means of blocks of `factors` voxels.
    pub(crate) fn new<T: Copy + Sync>(
        evidence: &Volume<T>,
        factors: [usize; 3],
        value: impl Fn(T) -> f32 + Sync,
    ) -> Result<Self> {
        let squared = shrink(evidence, factors, |voxel| value(voxel) * value(voxel))?;
        Ok(Self { squared, mean: shrink(evidence, factors, value)? })
    }

    /// Zeros, for parts to be put in their place.
    pub(crate) fn zeros(shape: [usize; 3], voxel_size: VoxelSize) -> Result<Self> {
        let zeros = Volume::new(Array3::zeros(shape), voxel_size)?;
        Ok(Self { squared: zeros.clone(), mean: zeros })
    }

    /// Puts a part in its place, its first block at `from`.
    pub(crate) fn put(&mut self, from: [usize; 3], part: &Self) {
        put(&mut self.squared, from, &part.squared);
        put(&mut self.mean, from, &part.mean);
    }

    /// The mean of the evidence about `range_um` around, weighted by itself.
    pub(crate) fn strength(&self, range_um: f64) -> Result<Volume<f32>> {
        let mut strength = gaussian(&self.squared, [range_um; 3])?;
        let mean = gaussian(&self.mean, [range_um; 3])?;
        if let Some(strength) = strength.voxels_mut().as_slice_mut() {
            let pairs = strength.iter_mut().zip(mean.as_slice());
            pairs.for_each(|(strength, mean)| *strength /= mean.max(f32::MIN_POSITIVE));
        }
        Ok(strength)
    }
}

/// Sheets before they are evened out: evidence as a share of a unit, and what noise there is.
pub(crate) struct RawSheets {
    pub(crate) sheets: Sheets,
    /// The mean squared roughness of blocks of voxels.
    pub(crate) roughness: Volume<f32>,
}

impl RawSheets {
    /// Those of the voxels in `core`, whose roughness is wanted in blocks of `factors` voxels.
    pub(crate) fn new(
        image: &Volume<f32>,
        core: &Block,
        scale: SheetScale,
        unit: f32,
        factors: [usize; 3],
    ) -> Result<Self> {
        let [zs, ys, xs] = core.clone();
        let found = SheetFilter::new(image, scale).planes(zs)?.found([ys, xs], unit)?;
        Ok(Self {
            sheets: found.sheets,
            roughness: shrink(&found.roughness, factors, |value| value)?,
        })
    }
}

/// Runs the filter on noise alone: the strength of its evidence per standard deviation of the roughness.
pub(crate) fn noise_gain(voxel_size: VoxelSize, scale: SheetScale) -> Result<f32> {
    const SIDE: usize = 32;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let noise =
        Array3::from_shape_simple_fn((SIDE, SIDE, SIDE), || rng.random_range(-1.0..1.0_f32));
    let mut strength = Strength::default();
    strength.add(&Volume::new(noise, voxel_size)?, &whole([SIDE; 3]), scale, 2)?;
    let deviation = (strength.squared_roughness as f32 / SIDE.pow(3) as f32).sqrt();
    Ok(strength.mean() as f32 / deviation.max(f32::MIN_POSITIVE))
}

/// How strong the sheets of an image are, from a sample of its voxels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Strength {
    squares: f64,
    sum: f64,
    squared_roughness: f64, // over all voxels
}

impl Strength {
    /// Adds the voxels in `core`, whose sides begin at multiples of `step` voxels of the image: every `step`-th along each axis.
    pub(crate) fn add(
        &mut self,
        image: &Volume<f32>,
        core: &Block,
        scale: SheetScale,
        step: usize,
    ) -> Result<()> {
        let filter = SheetFilter::new(image, scale);
        let [zs, ys, xs] = core;
        let planes = filter.planes(zs.clone())?;
        let sums: Vec<Self> = zs
            .clone()
            .into_par_iter()
            .map(|z| {
                let mut sums = Self::default();
                for y in ys.clone() {
                    let roughness = planes.roughness(z, y).skip(xs.start).take(xs.len());
                    sums.squared_roughness += roughness.map(f64::from).sum::<f64>();
                }
                if (z - zs.start).is_multiple_of(step) {
                    for y in ys.clone().step_by(step) {
                        let row = planes.row(z, y);
                        for x in xs.clone().step_by(step) {
                            let evidence = f64::from(row.at(x).0);
                            sums.squares += evidence * evidence;
                            sums.sum += evidence;
                        }
                    }
                }
                sums
            })
            .collect();
        for one in sums {
            self.squares += one.squares;
            self.sum += one.sum;
            self.squared_roughness += one.squared_roughness;
        }
        Ok(())
    }

    /// The mean of the evidence, weighted by itself.
    fn mean(&self) -> f64 {
        self.squares / self.sum.max(f64::MIN_POSITIVE)
    }

    /// Against what noise alone would give, in an image of `n_voxels`.
    pub(crate) fn contrast(&self, n_voxels: usize, noise_gain: f32) -> Contrast {
        let roughness = (self.squared_roughness / n_voxels as f64).sqrt();
        Contrast { sheets: self.mean(), noise: roughness * f64::from(noise_gain) }
    }
}

/// How strong sheets are, and how strong noise alone would look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contrast {
    sheets: f64,
    noise: f64,
}

impl Contrast {
    /// How much stronger sheets are.
    fn over_noise(self) -> f64 {
        self.sheets - self.noise
    }
}

/// Sheets are sampled at every third voxel along each axis to choose their width.
pub(crate) const WIDTH_STEP: usize = 3;

/// How an image shows its sheets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// The standard deviation of their profile.
    pub(crate) um: f64,
    /// Whether they are so far above noise that their place is told by single voxels.
    pub(crate) is_clear: bool,
}

/// The width at which an image's sheets stand out most over noise, of `widths_um`, narrowest first, with how
/// much they do; the first where none does. What stands out again where sheets no longer do is the tissue as a whole.
pub(crate) fn choose_width(widths_um: &[f64], contrasts: &[Contrast]) -> Width {
    const ENOUGH: f64 = 0.85; // of the best: narrow filters see finer cells
    const CLEAR: f64 = 2.5; // times as strong as what noise alone would give
    let over_noise = || contrasts.iter().map(|contrast| contrast.over_noise());
    let best =
        over_noise()
            .try_fold(0.0, |best: f64, strength| {
                if strength < ENOUGH * best { Err(best) } else { Ok(best.max(strength)) }
            })
            .unwrap_or_else(|best| best);
    let chosen = over_noise().position(|strength| strength >= ENOUGH * best).unwrap_or(0);
    Width {
        um: widths_um[chosen],
        is_clear: contrasts[chosen].sheets >= CLEAR * contrasts[chosen].noise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS_UM: [f64; 4] = [0.4, 0.6, 0.9, 1.3];

    fn chosen_um(over_noise: [f64; 4]) -> f64 {
        let contrasts = over_noise.map(|over| Contrast { sheets: over + 0.1, noise: 0.1 });
        choose_width(&WIDTHS_UM, &contrasts).um
    }

    #[test]
    fn sheets_are_sought_at_the_narrowest_width_at_which_they_are_clear() {
        assert_eq!(chosen_um([0.9, 1.0, 0.6, 0.3]), 0.4);
        assert_eq!(chosen_um([0.4, 0.7, 0.9, 1.3]), 1.3);
        assert_eq!(chosen_um([-0.1; 4]), 0.4);
    }

    #[test]
    fn a_flat_tissue_is_not_taken_for_a_sheet() {
        assert_eq!(chosen_um([0.12, 0.09, 0.11, 0.15]), 0.4);
    }
}
