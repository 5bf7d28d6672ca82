//! Takes out of one channel what another one bleeds into it.

use primordia_data::Volume;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Result, SegmentError};

/// Voxels that are looked at to find the coefficient.
const SAMPLE: usize = 1 << 18;
/// Parts of the sample that are looked at on their own, to see how sure the coefficient is.
const PARTS: usize = 8;
/// The search ends when the coefficient is known to this share of its largest possible value.
const PRECISION: f64 = 1e-5;
/// The dark level of the other channel, which is no bleed-through, as a quantile.
const DARK: f64 = 0.05;

/// How much of one channel is in another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unmixing {
    /// The share of the other channel's brightness that was taken out.
    pub coefficient: f64,
    /// The standard error of the coefficient, from eighths of the voxels.
    pub standard_error: f64,
    /// How much smaller the image's deviations from its median became, 0 to 1: near 0 there was nothing
    /// to take out.
    pub explained: f64,
}

/// `image` without what `other` bleeds into it: `max(image − a (other − dark), 0)`, where `dark` is
/// the dark level of `other`.
///
/// The coefficient `a` makes the sum of `|image − a other − median(image − a other)|` least, over a
/// quarter of a million voxels spread evenly: the line of least absolute deviations, on which
/// membranes, few and bright, have little influence. The sum is convex in `a`, so a golden-section
/// search (Kiefer 1953, doi:10.2307/2032161) between 0 and the largest `a` that leaves no voxel
/// negative by far, `max(image) / max(other)`, finds the least.
///
/// This is the linear unmixing of Hartmann et al. 2020 (doi:10.7554/eLife.55913) with another loss. Theirs,
/// the correlation of `|image − a other − mean|` with `other`, is least where nuclei are as bright as the
/// *mean* of the clean image, so it takes out too little.
///
/// # Errors
/// [`SegmentError::Data`] if the two are not on one grid, [`SegmentError::NotFinite`] if a voxel is not
/// finite, [`SegmentError::NothingToUnmix`] if `other` is the same everywhere or nowhere positive.
pub fn unmix(image: &Volume<f32>, other: &Volume<f32>) -> Result<(Volume<f32>, Unmixing)> {
    image.check_same_grid(other)?;
    for volume in [image, other] {
        let count = volume.as_slice().par_iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(SegmentError::NotFinite { count, voxels: volume.n_voxels() });
        }
    }
    let sample = Sample::of(image, other);
    let unmixing = sample.unmixing()?;
    let (dark, a) = (sample.dark(), unmixing.coefficient as f32);
    let mut clean = image.clone();
    if let Some(voxels) = clean.voxels_mut().as_slice_mut() {
        let pairs = voxels.par_iter_mut().zip(other.as_slice());
        pairs.for_each(|(voxel, &other)| *voxel = (*voxel - a * (other - dark)).max(0.0));
    }
    Ok((clean, unmixing))
}

/// The values of both channels in some voxels.
struct Sample {
    pairs: Vec<(f32, f32)>,
}

impl Sample {
    /// Voxels at even distances, which is no divisor of the row: so they come from everywhere.
    fn of(image: &Volume<f32>, other: &Volume<f32>) -> Self {
        let n_x = image.shape()[2];
        let mut step = image.n_voxels().div_ceil(SAMPLE);
        while greatest_common_divisor(step, n_x) > 1 {
            step += 1;
        }
        let pairs = image.as_slice().iter().zip(other.as_slice()).step_by(step);
        Self { pairs: pairs.map(|(&image, &other)| (image, other)).collect() }
    }

    fn unmixing(&self) -> Result<Unmixing> {
        let most = |pick: fn(&(f32, f32)) -> f32| {
            self.pairs.iter().map(pick).fold(f32::NEG_INFINITY, f32::max)
        };
        let (brightest, other) = (most(|pair| pair.0), most(|pair| pair.1));
        if other <= 0.0 || self.pairs.iter().all(|pair| pair.1 == other) {
            return Err(SegmentError::NothingToUnmix { value: f64::from(other) });
        }
        let largest = f64::from((brightest / other).max(0.0));
        let coefficient = least(|a| deviation(self.pairs.iter(), a), largest);
        let parts: Vec<f64> = (0..PARTS.min(self.pairs.len()))
            .into_par_iter()
            .map(|part| {
                least(|a| deviation(self.pairs.iter().skip(part).step_by(PARTS), a), largest)
            })
            .collect();
        let mean = parts.iter().sum::<f64>() / parts.len() as f64;
        let squares = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>();
        let n = parts.len() as f64;
        let before = deviation(self.pairs.iter(), 0.0);
        let after = deviation(self.pairs.iter(), coefficient);
        Ok(Unmixing {
            coefficient,
            standard_error: (squares / (n * (n - 1.0).max(1.0))).sqrt(),
            explained: if before > 0.0 { 1.0 - after / before } else { 0.0 },
        })
    }

    fn dark(&self) -> f32 {
        let mut values: Vec<f32> = self.pairs.iter().map(|pair| pair.1).collect();
        let at = (DARK * (values.len() - 1) as f64) as usize;
        *values.select_nth_unstable_by(at, f32::total_cmp).1
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The mean absolute deviation of `image − a other` from its median.
fn deviation<'p>(pairs: impl Iterator<Item = &'p (f32, f32)>, a: f64) -> f64 {
    let mut clean: Vec<f64> =
        pairs.map(|&(image, other)| f64::from(image) - a * f64::from(other)).collect();
    let middle = clean.len() / 2;
    let median = *clean.select_nth_unstable_by(middle, f64::total_cmp).1;
    clean.iter().map(|value| (value - median).abs()).sum::<f64>() / clean.len() as f64
}

/// Where a convex `loss` is least between 0 and `largest`, by golden section.
fn least(loss: impl Fn(f64) -> f64, largest: f64) -> f64 {
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (0.0, largest);
    let inner = |low: f64, high: f64| (high - golden * (high - low), low + golden * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    while high - low > PRECISION * largest {
        if at_left <= at_right {
            high = right;
            (right, at_right) = (left, at_left);
            left = inner(low, high).0;
            at_left = loss(left);
        } else {
            low = left;
            (left, at_left) = (right, at_right);
            right = inner(low, high).1;
            at_right = loss(right);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{centres, on_threads, volume};
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
    use rand::{Rng, SeedableRng};

    /// Photons of the two channels are counted separately, so noise remains.
    const NOISE: f64 = 0.02;

    /// A phantom's membranes and nuclei of 2 µm around the centres of its cells, 100 photons each
    /// voxel over a background of 4; counted with noise.
    fn membranes_and_nuclei() -> (Volume<f32>, Volume<f32>) {
        let voxel_size = VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap();
        let params = PhantomParams {
            tissue: TissueParams { n_cells: 20, ..TissueParams::default() },
            optics: Optics::clean(voxel_size),
            ..PhantomParams::default()
        };
        let phantom = phantom::specimen(&params, 5).unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let centres = centres(&phantom.truth);
        let mut nuclei = phantom.membrane.map(|_| 0.0);
        for ((z, y, x), value) in nuclei.voxels_mut().indexed_iter_mut() {
            let here = phantom.truth.volume().point_um([z, y, x]);
            let inside = centres.iter().any(|centre| (centre - here).norm() < 2.0);
            let mean = if inside { 100.0 } else { 4.0 };
            // Of variance `mean`, like photons.
            *value = mean + f32::sqrt(12.0 * mean) * (rng.random::<f32>() - 0.5);
        }
        (phantom.membrane.map(|&value| f32::from(value)), nuclei)
    }

    fn mixed(membranes: &Volume<f32>, nuclei: &Volume<f32>, a: f32) -> Volume<f32> {
        let mut mixed = membranes.clone();
        mixed.voxels_mut().zip_mut_with(nuclei.voxels(), |value, nucleus| *value += a * nucleus);
        mixed
    }

    /// Of |clean − mean(clean)| with the other channel, as Hartmann et al. have it.
    fn published_loss(image: &Volume<f32>, other: &Volume<f32>, a: f64) -> f64 {
        let clean: Vec<f64> = image
            .as_slice()
            .iter()
            .zip(other.as_slice())
            .map(|(&m, &c)| f64::from(m) - a * f64::from(c))
            .collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let of_clean = mean(&clean);
        let deviations: Vec<f64> = clean.iter().map(|value| (value - of_clean).abs()).collect();
        let other: Vec<f64> = other.as_slice().iter().map(|&c| f64::from(c)).collect();
        let (x, y) = (mean(&deviations), mean(&other));
        let product = |f: &dyn Fn(usize) -> f64| (0..other.len()).map(f).sum::<f64>();
        product(&|i| (deviations[i] - x) * (other[i] - y))
            / (product(&|i| (deviations[i] - x).powi(2)) * product(&|i| (other[i] - y).powi(2)))
                .sqrt()
    }

    #[test]
    fn a_known_share_of_nuclei_is_taken_out_of_membranes() {
        let (membranes, nuclei) = membranes_and_nuclei();
        for share in [0.0, 0.1, 0.35, 1.4_f32] {
            let image = mixed(&membranes, &nuclei, share);
            let (clean, unmixing) = unmix(&image, &nuclei).unwrap();
            let off = (unmixing.coefficient - f64::from(share)).abs();
            assert!(off < NOISE, "{share}: {unmixing:?}");
            assert!(unmixing.standard_error < NOISE, "{share}: {unmixing:?}");
            let far = clean.as_slice().iter().zip(membranes.as_slice()).map(|(a, b)| (a - b).abs());
            assert!(far.fold(0.0, f32::max) < 10.0, "{share}");
        }
    }

    #[test]
    fn the_published_loss_takes_out_less_than_there_is() {
        let (membranes, nuclei) = membranes_and_nuclei();
        let image = mixed(&membranes, &nuclei, 0.35);
        let theirs = least(|a| published_loss(&image, &nuclei, a), 1.0);
        assert!(theirs < 0.35 - NOISE, "{theirs}");
    }

    #[test]
    fn golden_section_finds_the_least_of_a_parabola() {
        let found = least(|a| (a - 0.3).powi(2), 2.0);
        assert!((found - 0.3).abs() < 2.0 * PRECISION, "{found}");
        assert!(least(|a| a, 2.0) < 2.0 * PRECISION);
    }

    #[test]
    fn what_cannot_be_unmixed_is_an_error() {
        let image = volume([1, 1, 4], vec![1.0, 2.0, 3.0, 4.0]);
        let nothing = volume([1, 1, 4], vec![0.0; 4]);
        assert!(matches!(unmix(&image, &nothing), Err(SegmentError::NothingToUnmix { .. })));
        let nan = volume([1, 1, 4], vec![f32::NAN; 4]);
        assert!(matches!(unmix(&image, &nan), Err(SegmentError::NotFinite { count: 4, .. })));
        assert!(matches!(
            unmix(&image, &volume([1, 1, 3], vec![1.0; 3])),
            Err(SegmentError::Data(_))
        ));
    }

    #[test]
    fn one_thread_and_four_unmix_alike() {
        let (membranes, nuclei) = membranes_and_nuclei();
        let image = mixed(&membranes, &nuclei, 0.35);
        let run = || unmix(&image, &nuclei).unwrap();
        assert_eq!(on_threads(1, run), on_threads(4, run));
    }
}
