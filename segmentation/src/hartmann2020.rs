//! The segmentation recipe of the lateral-line atlas (Hartmann et al. 2020,
//! doi:10.7554/eLife.55913), in voxels as there.
//!
//! Median → Gaussian → the grey level above the background with most cell-sized holes → holes as
//! seeds → watershed → the largest tissue.

use primordia_data::{Labels, Volume};
use rayon::prelude::*;

use crate::components::Components;
use crate::confidence::Unfound;
use crate::error::{Result, SegmentError};
use crate::gaussian::gaussian_bytes;
use crate::median::median;
use crate::segmentation::{Segmentation, Threshold, label_sizes, rename, touching};
use crate::watershed::watershed;

/// What the recipe was tuned by; every set of the study used one of three presets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hartmann2020 {
    /// Thresholds lie less than this many grey levels above the background (the mode).
    pub max_offset: usize,
    /// Grey levels between thresholds.
    pub step: usize,
    /// Standard deviation of the Gaussian, in voxels along every axis.
    pub sigma_voxels: f64,
    /// Smaller holes are no seeds, in voxels.
    pub min_voxels: u64,
    /// Holes of this size and more are background, in voxels.
    pub max_voxels: u64,
}

impl Hartmann2020 {
    /// For membranes alone, atoh1a and actin: offsets 0 to 9.
    pub const MEMBRANES: Self = Self {
        max_offset: 10,
        step: 1,
        sigma_voxels: 3.0,
        min_voxels: 1_000,
        max_voxels: 1_000_000,
    };
    /// For nuclei (after unmixing) and smFISH: offsets 0 to 19.
    pub const NUCLEI_AND_SMFISH: Self = Self { max_offset: 20, ..Self::MEMBRANES };
    /// For Rab11, Rab5, GM130, CDMPR, `B4GalT1` and `LysoTracker`: offsets 0, 2 … 38.
    pub const ORGANELLES: Self = Self { max_offset: 40, step: 2, ..Self::MEMBRANES };

    fn check(&self) -> Result<()> {
        let wrong = |name, value: usize| {
            Err(SegmentError::Parameter { name, value: value as f64, wanted: "at least 1" })
        };
        match (self.max_offset, self.step) {
            (0, _) => wrong("max_offset", 0),
            (_, 0) => wrong("step", 0),
            _ => Ok(()),
        }
    }
}

impl Default for Hartmann2020 {
    /// [`Hartmann2020::MEMBRANES`].
    fn default() -> Self {
        Self::MEMBRANES
    }
}

/// Segments a membrane channel (bright membranes) by the recipe.
///
/// The labels equal those of `scipy.ndimage` and `skimage.segmentation` in the same steps, but for
/// single voxels where several seeds reach a voxel at once (see [`watershed`]). Images of other
/// types go through [`to_bytes`] first. Memory: 8 bytes per voxel and 8 for each that waits for the flood.
///
/// # Errors
/// [`SegmentError::Constant`] if all voxels are equal, [`SegmentError::NoCells`] if no hole is
/// cell-sized, [`SegmentError::Parameter`] if an offset or a step is 0, and those of [`watershed`].
pub fn hartmann2020(membrane: &Volume<u8>, params: &Hartmann2020) -> Result<Segmentation> {
    params.check()?;
    let first = membrane.as_slice()[0];
    if membrane.as_slice().par_iter().all(|&value| value == first) {
        return Err(SegmentError::Constant { value: f64::from(first) });
    }
    flood_bodies(&gaussian_bytes(&median(membrane), params.sigma_voxels)?, params)
}

/// The recipe from the smooth image on.
pub(crate) fn flood_bodies(smooth: &Volume<u8>, params: &Hartmann2020) -> Result<Segmentation> {
    let threshold = choose_threshold(smooth, params);
    let bodies = at_most(smooth, threshold.level as usize);
    let big: Vec<bool> = bodies.sizes().iter().map(|&size| size >= params.max_voxels).collect();
    let mut labels = watershed(smooth, seeds(&bodies, smooth, params.min_voxels))?;
    drop(bodies);
    let n_cells = keep_largest_tissue(&mut labels, &big);
    if n_cells == 0 {
        let min_volume_um3 = params.min_voxels as f64 * smooth.voxel_size().volume_um3();
        return Err(SegmentError::NoCells { shape: smooth.shape(), min_volume_um3 });
    }
    Ok(Segmentation {
        labels: Labels::new(labels),
        evidence: None,
        unfound: Unfound::default(),
        threshold,
    })
}

/// Stretches an image linearly to bytes: its least value becomes 0, its largest 255, with rounding.
///
/// # Errors
/// [`SegmentError::NotFinite`] if a voxel is NaN or infinite, [`SegmentError::Constant`] if all voxels are equal.
pub fn to_bytes(volume: &Volume<f32>) -> Result<Volume<u8>> {
    let (low, high) = finite_range(volume)?;
    let scale = 255.0 / (f64::from(high) - f64::from(low));
    let mut out = volume.blank();
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        let values = volume.as_slice();
        out.par_iter_mut().zip(values).for_each(|(byte, &value)| {
            *byte = ((f64::from(value) - f64::from(low)) * scale).round() as u8;
        });
    }
    Ok(out)
}

/// The least and the largest value of an image that has finite and different values.
pub(crate) fn finite_range<T>(volume: &Volume<T>) -> Result<(f32, f32)>
where
    T: Copy + Into<f32> + Sync,
{
    const CHUNK: usize = 1 << 16;
    let voxels = volume.as_slice();
    let range = |chunk: &[T]| {
        chunk.iter().fold((0, f32::INFINITY, f32::NEG_INFINITY), |(count, low, high), &value| {
            let value = value.into();
            (count + usize::from(!value.is_finite()), value.min(low), value.max(high))
        })
    };
    let (count, low, high) = voxels.par_chunks(CHUNK).map(range).reduce(
        || (0, f32::INFINITY, f32::NEG_INFINITY),
        |a, b| (a.0 + b.0, a.1.min(b.1), a.2.max(b.2)),
    );
    if count > 0 {
        return Err(SegmentError::NotFinite { count, voxels: voxels.len() });
    }
    if low == high {
        return Err(SegmentError::Constant { value: f64::from(low) });
    }
    Ok((low, high))
}

/// The level with most cell-sized holes, the first of equals.
fn choose_threshold(smooth: &Volume<u8>, params: &Hartmann2020) -> Threshold {
    let histogram = histogram(smooth.as_slice());
    let base =
        (0..256).max_by_key(|&level| (histogram[level], std::cmp::Reverse(level))).unwrap_or(0);
    let levels: Vec<usize> =
        (0..params.max_offset).step_by(params.step).map(|offset| base + offset).collect();
    let cell_sized = |size: &&u64| (params.min_voxels..params.max_voxels).contains(size);
    let tried: Vec<(f64, usize)> = levels
        .into_par_iter()
        .map(|level| {
            let holes = at_most(smooth, level);
            (level as f64, holes.sizes().iter().filter(cell_sized).count())
        })
        .collect();
    let most = tried.iter().map(|&(_, n)| n).max().unwrap_or(0);
    let level = tried.iter().find(|&&(_, n)| n == most).map_or(0.0, |&(level, _)| level);
    Threshold { level, tried }
}

/// The components of the voxels up to a grey level.
fn at_most(smooth: &Volume<u8>, level: usize) -> Components {
    let level = level.min(255) as u8;
    Components::new(smooth, |&value| value <= level)
}

/// How often each grey level occurs.
fn histogram(voxels: &[u8]) -> [u64; 256] {
    const CHUNK: usize = 1 << 20;
    const LANES: usize = 4; // equal neighbours do not wait for one another
    voxels
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut counts = [[0_u64; 256]; LANES];
            for (at, &value) in chunk.iter().enumerate() {
                counts[at % LANES][usize::from(value)] += 1;
            }
            std::array::from_fn(|level| counts.iter().map(|lane| lane[level]).sum())
        })
        .reduce(|| [0; 256], |a, b| std::array::from_fn(|level| a[level] + b[level]))
}

/// Every hole that is not too small, numbered by its component.
fn seeds(bodies: &Components, like: &Volume<u8>, min_voxels: u64) -> Volume<u32> {
    let names: Vec<u32> = (1..)
        .zip(bodies.sizes())
        .map(|(name, &size)| if size < min_voxels { 0 } else { name })
        .collect();
    let mut seeds = like.blank();
    bodies.paint(&names, &mut seeds);
    seeds
}

/// Clears background (`big`, by label − 1) and all tissues but the largest, and numbers what is
/// left `1..=n`. A tissue is what hangs together by faces; a flooded cell always does.
fn keep_largest_tissue(labels: &mut Volume<u32>, big: &[bool]) -> usize {
    let sizes = label_sizes(labels, big.len() as u32);
    let is_cell = |label: u32| label > 0 && sizes[label as usize] > 0 && !big[label as usize - 1];
    let mut tissue: Vec<u32> = (0..sizes.len() as u32).collect(); // a label of the same tissue, never higher
    for (a, b) in touching(labels) {
        if is_cell(a) && is_cell(b) {
            let (a, b) = (root(&tissue, a), root(&tissue, b));
            tissue[a.max(b) as usize] = a.min(b);
        }
    }
    let mut tissue_sizes = vec![0; sizes.len()];
    for label in (1..sizes.len() as u32).filter(|&label| is_cell(label)) {
        tissue_sizes[root(&tissue, label) as usize] += sizes[label as usize];
    }
    let Some(largest) =
        (1..sizes.len()).max_by_key(|&label| (tissue_sizes[label], std::cmp::Reverse(label)))
    else {
        return 0;
    };
    let mut n_cells = 0;
    let names: Vec<u32> = (0..sizes.len() as u32)
        .map(|label| {
            let kept = is_cell(label) && root(&tissue, label) as usize == largest;
            n_cells += u32::from(kept);
            if kept { n_cells } else { 0 }
        })
        .collect();
    rename(labels, &names);
    n_cells as usize
}

fn root(parents: &[u32], mut label: u32) -> u32 {
    while parents[label as usize] != label {
        label = parents[label as usize];
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_threads, reference_tissue, volume};

    /// Ties between seeds, which scikit-image leaves to its heap, may turn single voxels.
    const TIES: f64 = 0.01;

    #[test]
    fn the_recipe_is_that_of_scipy() {
        let (image, params, wanted) = reference_tissue();
        let found = hartmann2020(&image, &params).unwrap();
        let scores = crate::score(&found.labels, &Labels::new(wanted)).unwrap();
        assert_eq!(scores.n_cells, scores.n_true);
        assert!(scores.adapted_rand_error <= TIES, "{scores:?}");
    }

    #[test]
    fn threads_do_not_matter() {
        let (image, params, _) = reference_tissue();
        let segment = || hartmann2020(&image, &params).unwrap().labels;
        assert_eq!(on_threads(1, segment), on_threads(4, segment));
    }

    #[test]
    fn what_cannot_be_segmented_says_why() {
        let recipe = Hartmann2020::default();
        let constant = hartmann2020(&volume([1, 5, 5], vec![9; 25]), &recipe);
        assert!(matches!(constant, Err(SegmentError::Constant { value: 9.0 })));
        let noise = volume([3, 5, 5], (0..75).map(|n| (n * 37 % 251) as u8).collect());
        assert!(matches!(hartmann2020(&noise, &recipe), Err(SegmentError::NoCells { .. })));
        let no_step = Hartmann2020 { step: 0, ..recipe };
        assert!(matches!(
            hartmann2020(&noise, &no_step),
            Err(SegmentError::Parameter { name: "step", .. })
        ));
    }

    #[test]
    fn bytes_span_the_image() {
        let bytes = to_bytes(&volume([1, 1, 3], vec![-1.0, 0.0, 1.0])).unwrap();
        assert_eq!(bytes.as_slice(), [0, 128, 255]);
        let nan = to_bytes(&volume([1, 1, 2], vec![f32::NAN, 0.0]));
        assert!(matches!(nan, Err(SegmentError::NotFinite { count: 1, voxels: 2 })));
    }
}
