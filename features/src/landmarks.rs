//! Landmarks: a cell as a cloud of points, dense where its channel is bright.
//!
//! Intensity-biased stochastic landmark assignment (ISLA; Hartmann et al. 2020,
//! doi:10.7554/eLife.55913) draws voxels with replacement, with a probability that follows
//! brightness. The points of a shape are drawn from the outermost voxels, all alike.
//!
//! Each cell has its own stream of random numbers, named by seed, label and channel: no cell's
//! landmarks depend on the other cells, on their order, or on the number of threads.

use nalgebra::Point3;
use primordia_data::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::error::{FeatureError, Result};
use crate::intensity::Channel;
use crate::sweep::{Extent, extents};

/// How landmarks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LandmarkParams {
    /// Landmarks per cell; little is gained beyond 500, nothing beyond 2,000.
    pub n_landmarks: usize,
    /// The seed of all draws.
    pub seed: u64,
}

impl Default for LandmarkParams {
    fn default() -> Self {
        Self { n_landmarks: 2000, seed: 42 }
    }
}

/// Landmarks of the shape of every cell, in the order of [`Labels::cells`]: centres of voxels
/// that share a face with what is not the cell, relative to the cell's centroid, along the axes
/// of the image, in µm.
pub fn sample_shape_landmarks(
    labels: &Labels,
    params: &LandmarkParams,
) -> Vec<PointCloud<ImageFrame>> {
    for_each_cell(labels, |label, extent| {
        let mask = CellMask::cut(labels, label, extent, [1; 3]);
        let surface: Vec<usize> = surface_voxels(&mask).collect();
        let mut rng = stream(params.seed, "", label);
        let draw = |_| surface[rng.random_range(0..surface.len())];
        cloud(&mask, extent, (0..params.n_landmarks).map(draw))
    })
}

/// Landmarks of a channel in every cell, in the order of [`Labels::cells`], relative to the
/// cell's centroid, along the axes of the image, in µm. The mean over the cell is background.
///
/// A cell without a voxel above its mean has no landmarks: its cloud is empty, and
/// [`crate::CellQuality::channels_without_signal`] names the channel.
///
/// # Errors
/// [`FeatureError::ChannelGrid`] if the channel lies on another grid, [`FeatureError::NotFinite`]
/// if it holds NaN or infinity inside a cell.
pub fn sample_protein_landmarks(
    labels: &Labels,
    channel: &Channel,
    params: &LandmarkParams,
) -> Result<Vec<PointCloud<ImageFrame>>> {
    channel.check_grid(labels.volume())?;
    for_each_cell(labels, |label, extent| {
        let mask = CellMask::cut(labels, label, extent, [0; 3]);
        let (voxels, cumulated) = weights_above_mean(channel, &mask, label)?;
        let Some(&total) = cumulated.last().filter(|total| **total > 0.0) else {
            return Ok(PointCloud::new(Vec::new()));
        };
        let mut rng = stream(params.seed, channel.name(), label);
        let draw = |_| {
            let at = total * rng.random::<f64>();
            let rank = cumulated.partition_point(|sum| *sum <= at);
            voxels[rank.min(voxels.len() - 1)]
        };
        Ok(cloud(&mask, extent, (0..params.n_landmarks).map(draw)))
    })
    .into_iter()
    .collect()
}

/// A cell's cloud, turned to the axes of the tissue; it stays about the cell's centroid.
pub fn turned_to_tissue(
    cloud: &PointCloud<ImageFrame>,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
) -> PointCloud<TissueFrame> {
    let rotation = to_tissue.rotation();
    PointCloud::new(cloud.points().iter().map(|point| rotation * point).collect())
}

fn for_each_cell<T: Send>(labels: &Labels, of: impl Fn(u32, &Extent) -> T + Sync) -> Vec<T> {
    let extents = extents(labels);
    labels.cells().par_iter().zip(&extents).map(|(&label, extent)| of(label, extent)).collect()
}

/// The voxels of a cell that share a face with what is not the cell.
pub(crate) fn surface_voxels(cell: &CellMask) -> impl Iterator<Item = usize> + '_ {
    let inside = cell.inside();
    let is_surface = move |index: &usize| {
        inside[*index]
            && cell
                .strides()
                .into_iter()
                .any(|stride| !inside[*index - stride] || !inside[*index + stride])
    };
    (0..inside.len()).filter(is_surface)
}

/// The voxels that are brighter than the cell's mean, and the running sum of their excess.
fn weights_above_mean(
    channel: &Channel,
    cell: &CellMask,
    label: u32,
) -> Result<(Vec<usize>, Vec<f64>)> {
    let (mut sum, mut n) = (0.0, 0.0);
    channel.for_each_voxel(cell, |_, value| {
        sum += value;
        n += 1.0;
    });
    let mean: f64 = sum / n;
    if !mean.is_finite() {
        return Err(FeatureError::NotFinite { channel: channel.name().to_owned(), cell: label });
    }
    let (mut voxels, mut cumulated, mut total) = (Vec::new(), Vec::new(), 0.0);
    channel.for_each_voxel(cell, |index, value| {
        if value > mean {
            total += value - mean;
            voxels.push(index);
            cumulated.push(total);
        }
    });
    Ok((voxels, cumulated))
}

/// The centres of voxels of the box, relative to the cell's centroid.
fn cloud(
    cell: &CellMask,
    extent: &Extent,
    voxels: impl Iterator<Item = usize>,
) -> PointCloud<ImageFrame> {
    let centroid = extent.centroid_um(cell.voxel_size()).coords;
    PointCloud::new(
        voxels.map(|index| -> Point3<f64> { cell.point_um(index) - centroid }).collect(),
    )
}

/// The random numbers of one channel of one cell.
fn stream(seed: u64, channel: &str, label: u32) -> ChaCha8Rng {
    // FNV-1a: the stream must be the same with every compiler, unlike std's hashes.
    let hash = channel
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(hash) << 32 | u64::from(label));
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array3, s};
    use primordia_data::{Volume, VoxelSize};

    const MANY: LandmarkParams = LandmarkParams { n_landmarks: 20_000, seed: 1 };
    /// Five standard errors of a share of 20,000 draws.
    const DRAWS: f64 = 0.02;

    fn block() -> Labels {
        let mut voxels = Array3::zeros((6, 8, 8));
        voxels.slice_mut(s![1..5, 2..7, 2..6]).fill(3);
        voxels[[0, 0, 0]] = 8;
        Labels::from_voxels(voxels, VoxelSize::from_um([0.5, 0.2, 0.1]).unwrap()).unwrap()
    }

    #[test]
    fn landmarks_of_shape_fall_alike_on_the_outermost_voxels() {
        let labels = block();
        let cloud = &sample_shape_landmarks(&labels, &MANY)[0];
        let mut counts = std::collections::BTreeMap::new();
        for point in cloud.points() {
            *counts.entry(format!("{point:.3}")).or_insert(0) += 1;
        }
        // 4 × 5 × 4 voxels less the inner 2 × 3 × 2.
        assert_eq!(counts.len(), 80 - 12);
        assert!(counts.values().all(|n| (f64::from(*n) / 20_000.0 - 1.0 / 68.0).abs() < DRAWS));
        assert!(cloud.centroid().unwrap().coords.norm() < DRAWS);
    }

    #[test]
    fn landmarks_of_a_protein_follow_what_is_above_the_mean() {
        let labels = block();
        let mut actin = Array3::<u16>::from_elem((6, 8, 8), 1000); // neighbours do not count
        actin.slice_mut(s![1..5, 2..7, 2..6]).fill(10);
        actin[[1, 2, 2]] = 90 + 11; // with 91 more: the mean of 80 voxels is 12
        actin[[4, 6, 5]] = 10 + 69;
        let actin = Volume::new(actin, labels.volume().voxel_size()).unwrap();
        let clouds =
            sample_protein_landmarks(&labels, &Channel::new("actin", &actin), &MANY).unwrap();
        let low = clouds[0].points().iter().filter(|point| point.z < 0.0).count() as f64;
        assert_relative_eq!(low / 20_000.0, 89.0 / (89.0 + 67.0), epsilon = DRAWS);
        assert!(clouds[1].is_empty(), "one voxel has nothing above its mean");
    }

    #[test]
    fn a_cell_has_its_landmarks_whatever_surrounds_it() {
        let labels = block();
        let alone = Labels::new(labels.volume().map(|&label| if label == 3 { 3 } else { 0 }));
        let params = LandmarkParams { n_landmarks: 10, seed: 7 };
        assert_eq!(
            sample_shape_landmarks(&labels, &params)[0],
            sample_shape_landmarks(&alone, &params)[0]
        );
    }
}
