//! Segmentation without anything to tune.
//!
//! Sheets are enhanced ([`crate::sheet`]) and evened out by the strength of the sheets around; a watershed
//! cuts the image into more regions than cells; regions part only where the face between them carries
//! a sheet ([`crate::merge`]); what is far larger than a cell is background.

use primordia_data::{Labels, Volume};
use rayon::prelude::*;

use crate::error::{Result, SegmentError};
use crate::gaussian::gaussian;
use crate::hartmann2020::finite_range;
use crate::merge::merge_by_average;
use crate::regions::{local_minima, region_graph};
use crate::resample::{Enlarged, enlarge_labels, shrink};
use crate::segmentation::{Segmentation, Threshold, label_sizes, rename};
use crate::sheet::{SheetScale, sheet_evidence};
use crate::watershed::flood;

/// What membranes and cells are, in µm; the defaults fit animal and plant tissues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auto {
    /// How wide the image shows a membrane: the standard deviation of its profile, in µm. Where
    /// voxels are too coarse for it, 1.1 voxels.
    pub membrane_um: f64,
    /// Smaller pieces are no cells, in µm³; where voxels are too coarse for it, 100 voxels.
    pub min_volume_um3: f64,
    /// How much of the usual strength of membranes nearby parts two cells, 0 to 1.
    pub parting: f64,
}

impl Default for Auto {
    fn default() -> Self {
        Self { membrane_um: 0.22, min_volume_um3: 10.0, parting: 0.35 }
    }
}

impl Auto {
    fn check(&self) -> Result<()> {
        let all = [
            ("membrane_um", self.membrane_um),
            ("min_volume_um3", self.min_volume_um3),
            ("parting", self.parting),
        ];
        for (name, value) in all {
            if !(value > 0.0 && value.is_finite()) {
                return Err(SegmentError::Parameter { name, value, wanted: "positive and finite" });
            }
        }
        Ok(())
    }
}

/// Segments a membrane channel (bright membranes) of any voxel size and type.
///
/// # Errors
/// [`SegmentError::NotFinite`], [`SegmentError::Constant`], [`SegmentError::NoCells`] for images without finite values,
/// contrast or cells; [`SegmentError::Parameter`] for impossible `params`.
pub fn auto(membrane: &Volume<f32>, params: &Auto) -> Result<Segmentation> {
    params.check()?;
    finite_range(membrane)?;
    let factors = working_factors(membrane, params.membrane_um);
    let image = shrink(membrane, factors, |value| value)?;
    let side_um = image.voxel_size().um().into_iter().fold(f64::INFINITY, f64::min);
    let width_um = params.membrane_um.max(1.1 * side_um);
    let evidence = evened_out(&sheet_evidence(&image, SheetScale::for_width(width_um))?, 20.0 * width_um)?;
    let seeds = local_minima(&gaussian(&evidence, [2.5 * width_um; 3])?);
    let n_regions = seeds.as_slice().par_iter().copied().max().unwrap_or(0) as usize;
    let mut labels = flood(&levels(&evidence), seeds)?;
    tracing::debug!(n_regions, width_um, ?factors, "over-segmented");
    let graph = region_graph(&labels, &evidence, n_regions);
    if std::env::var("DUMP").is_ok() {
        let dump = |name: &str, v: Vec<u8>| std::fs::write(format!("/tmp/dump_{name}.raw"), v);
        let _ = dump("evidence", evidence.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect());
        let _ = dump("regions", labels.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect());
        let _ = std::fs::write("/tmp/dump_shape", format!("{:?} {n_regions} {width_um}", evidence.shape()));
    }
    let (groups, n_groups) = merge_by_average(&graph, params.parting);
    let names: Vec<u32> = std::iter::once(0).chain(groups.iter().map(|group| group + 1)).collect();
    rename(&mut labels, &names);
    let n_cells = name_cells(&mut labels, n_groups, params);
    if n_cells == 0 {
        return Err(SegmentError::NoCells { shape: membrane.shape(), min_volume_um3: params.min_volume_um3 });
    }
    let labels = enlarge_labels(&labels, factors, membrane.shape(), membrane.voxel_size())?;
    let labels = Labels::new(labels);
    let confidence = vec![1.0; labels.n_cells()];
    Ok(Segmentation { labels, confidence, threshold: Threshold { level: params.parting, tried: Vec::new() } })
}

/// How many voxels along each axis make one of the working grid: fine enough for a membrane.
fn working_factors(image: &Volume<f32>, membrane_um: f64) -> [usize; 3] {
    let shape = image.shape();
    let um = image.voxel_size().um();
    [0, 1, 2].map(|axis| ((membrane_um / um[axis] * 1.01) as usize).clamp(1, shape[axis]))
}

/// Evidence as a share of the strength that sheets have within about `range_um`: 1 is usual.
fn evened_out(evidence: &Volume<f32>, range_um: f64) -> Result<Volume<f32>> {
    let um = evidence.voxel_size().um();
    let shape = evidence.shape();
    let factors = [0, 1, 2].map(|axis| ((range_um / 4.0 / um[axis]) as usize).clamp(1, shape[axis]));
    let mut strength = gaussian(&shrink(evidence, factors, |value| value * value)?, [range_um; 3])?;
    let mean = gaussian(&shrink(evidence, factors, |value| value)?, [range_um; 3])?;
    let strongest = strength.as_slice().iter().zip(mean.as_slice()).map(|(a, b)| a / b.max(f32::MIN_POSITIVE)).fold(0.0, f32::max);
    if let Some(strength) = strength.voxels_mut().as_slice_mut() {
        for (strength, &mean) in strength.iter_mut().zip(mean.as_slice()) {
            *strength = (*strength / mean.max(f32::MIN_POSITIVE)).max(0.03 * strongest);
        }
    }
    let strength = Enlarged::new(&strength, factors);
    let [_, n_y, n_x] = shape;
    let mut out = evidence.map(|_| 0.0);
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        out.par_chunks_mut(n_x).zip(evidence.as_slice().par_chunks(n_x)).enumerate().for_each(|(row, (out, evidence))| {
            strength.row(row / n_y, row % n_y, out);
            out.iter_mut().zip(evidence).for_each(|(out, evidence)| *out = evidence / *out);
        });
    }
    Ok(out)
}

/// Evidence in whole steps, for the flood.
fn levels(evidence: &Volume<f32>) -> Volume<u16> {
    const PER_UNIT: f32 = 512.0;
    evidence.map(|&value| (value * PER_UNIT).min(4095.0) as u16)
}

/// Clears what is no cell and numbers the rest `1..=n`.
fn name_cells(labels: &mut Volume<u32>, n_groups: usize, params: &Auto) -> usize {
    let voxel_um3 = labels.voxel_size().volume_um3();
    let min_volume_um3 = params.min_volume_um3.max(100.0 * voxel_um3);
    let sizes = label_sizes(labels, n_groups as u32);
    let volumes_um3: Vec<f64> = sizes.iter().map(|&n| n as f64 * voxel_um3).collect();
    let mut usual: Vec<f64> = volumes_um3[1..].iter().copied().filter(|&volume| volume >= min_volume_um3).collect();
    usual.sort_by(f64::total_cmp);
    let median = usual.get(usual.len() / 2).copied().unwrap_or(0.0);
    let mut n_cells = 0;
    let names: Vec<u32> = volumes_um3
        .iter()
        .enumerate()
        .map(|(label, &volume)| {
            let cell = label > 0 && volume >= min_volume_um3 && volume <= 20.0 * median;
            n_cells += u32::from(cell);
            if cell { n_cells } else { 0 }
        })
        .collect();
    rename(labels, &names);
    n_cells as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reference_tissue, volume};

    #[test]
    fn cells_are_found_without_a_parameter() {
        let (image, _, _) = reference_tissue(); // drawn from 18 cells
        let found = auto(&image.map(|&value| f32::from(value)), &Auto::default()).unwrap();
        assert!((17..=19).contains(&found.labels.n_cells()), "{:?}", found.labels.n_cells());
    }

    #[test]
    fn what_cannot_be_segmented_says_why() {
        let with = |value: f32| auto(&volume([1, 1, 3], vec![value, 0.0, 0.0]), &Auto::default());
        assert!(matches!(with(0.0), Err(SegmentError::Constant { .. })));
        assert!(matches!(with(f32::NAN), Err(SegmentError::NotFinite { .. })));
        assert!(matches!(with(1.0), Err(SegmentError::NoCells { .. })));
    }
}
