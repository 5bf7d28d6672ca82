//! Landmarks: a cell as a cloud of points, dense where its channel is bright.
//!
//! Intensity-biased stochastic landmark assignment (ISLA; Hartmann et al. 2020,
//! doi:10.7554/eLife.55913) draws voxels with replacement, with a probability that follows
//! brightness. The points of a shape are drawn from the outermost voxels, all alike.
//!
//! Random points make noisy features. [`Placement::Even`] draws nothing: it walks through the cell
//! along a curve that fills space (Morton 1966) and sets a point whenever it has passed another
//! n-th of the brightness, or of the area of the cell's surface.
//!
//! Each cell has its own stream of random numbers, named by seed, label and channel: no cell's
//! landmarks depend on the other cells, on their order, or on the number of threads.

use nalgebra::{Point3, Vector3};
use primordia_data::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::error::{FeatureError, Result};
use crate::intensity::Channel;
use crate::mesh::cell_mesh;
use crate::sweep::{Extent, extents};

/// Where landmarks lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// In voxels drawn at random, as published; the surface of a shape is its outermost voxels.
    #[default]
    Random,
    /// Evenly spread, by weight; the surface of a shape is its mesh. Uses no seed.
    Even,
}

/// How landmarks are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LandmarkParams {
    /// Landmarks per cell; little is gained beyond 500, nothing beyond 2,000.
    pub n_landmarks: usize,
    /// The seed of all draws.
    pub seed: u64,
    /// At random, or evenly.
    pub placement: Placement,
}

impl Default for LandmarkParams {
    fn default() -> Self {
        Self { n_landmarks: 2000, seed: 42, placement: Placement::Random }
    }
}

/// Landmarks of the shape of every cell, in the order of [`Labels::cells`], relative to the cell's
/// centroid, along the axes of the image, in µm. At random, they are centres of voxels that share
/// a face with what is not the cell; evenly, points of the cell's mesh.
pub fn sample_shape_landmarks(
    labels: &Labels,
    params: &LandmarkParams,
) -> Vec<PointCloud<ImageFrame>> {
    for_each_cell(labels, |label, extent| {
        let mask = CellMask::cut(labels, label, extent, [1; 3]);
        if params.placement == Placement::Even {
            let smoothing_um = mask.voxel_size().um().into_iter().fold(0.0, f64::max);
            let centroid_um = extent.centroid_um(mask.voxel_size()).coords;
            let patches = cell_mesh(&mask, smoothing_um);
            let patches = patches.patches().map(|(middle, area)| (middle - centroid_um, area));
            return PointCloud::new(evenly(patches.collect(), params.n_landmarks));
        }
        let surface = surface_voxels(&mask);
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
        let Some((voxels, cumulated)) = channel.above_mean(&mask) else {
            let channel = channel.name().to_owned();
            return Err(FeatureError::NotFinite { channel, cell: label });
        };
        let Some(&total) = cumulated.last().filter(|total| **total > 0.0) else {
            return Ok(PointCloud::new(Vec::new()));
        };
        if params.placement == Placement::Even {
            let centroid_um = extent.centroid_um(mask.voxel_size()).coords;
            let before = std::iter::once(0.0).chain(cumulated.iter().copied());
            let weights = cumulated.iter().zip(before).map(|(sum, before)| sum - before);
            let points = voxels.iter().map(|index| mask.point_um(*index as usize) - centroid_um);
            return Ok(PointCloud::new(evenly(points.zip(weights).collect(), params.n_landmarks)));
        }
        let mut rng = stream(params.seed, channel.name(), label);
        let draw = |_| {
            let at = total * rng.random::<f64>();
            let rank = cumulated.partition_point(|sum| *sum <= at);
            voxels[rank.min(voxels.len() - 1)] as usize
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
fn surface_voxels(cell: &CellMask) -> Vec<usize> {
    let (inside, [plane, line, _]) = (cell.inside(), cell.strides());
    let mut is_surface = vec![0_u8; inside.len()];
    let last = inside.len() - plane;
    for (at, is_surface) in is_surface.iter_mut().enumerate().take(last).skip(plane) {
        let all_around = inside[at - 1] & inside[at + 1];
        let all_around = all_around & inside[at - line] & inside[at + line];
        let all_around = all_around & inside[at - plane] & inside[at + plane];
        *is_surface = inside[at] & (1 - all_around);
    }
    (0..is_surface.len()).filter(|index| is_surface[*index] == 1).collect()
}

/// `n` of these points, so that each stands for the same weight, and points of one stretch of a
/// curve that fills space.
fn evenly(points: Vec<(Point3<f64>, f64)>, n: usize) -> Vec<Point3<f64>> {
    let low = points.iter().fold(Vector3::repeat(f64::MAX), |low, (p, _)| low.inf(&p.coords));
    let high = points.iter().fold(Vector3::repeat(f64::MIN), |high, (p, _)| high.sup(&p.coords));
    let longest = (high - low).max().max(f64::MIN_POSITIVE);
    let mut along: Vec<(u64, Point3<f64>, f64)> = points
        .into_iter()
        .map(|(point, weight)| (morton((point.coords - low) / longest), point, weight))
        .collect();
    along.sort_by_key(|(place, ..)| *place);
    let total: f64 = along.iter().map(|(.., weight)| weight).sum();
    let (mut passed, mut chosen) = (0.0, Vec::with_capacity(n));
    for (_, point, weight) in &along {
        passed += weight;
        while chosen.len() < n && (chosen.len() as f64 + 0.5) / n as f64 * total < passed {
            chosen.push(*point);
        }
    }
    // Rounding may leave the last one out.
    chosen.resize(n, along.last().map_or_else(Point3::origin, |(_, point, _)| *point));
    chosen
}

/// Where on the Morton curve a point of the unit cube lies.
fn morton(point: Vector3<f64>) -> u64 {
    const BITS: u32 = 16;
    let digits = point.map(|value| (value * f64::from((1_u32 << BITS) - 1)) as u64);
    (0..BITS).fold(0, |place, bit| {
        let bits = digits.map(|digit| digit >> bit & 1);
        place | (bits.x | bits.y << 1 | bits.z << 2) << (3 * bit)
    })
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

    const MANY: LandmarkParams =
        LandmarkParams { n_landmarks: 20_000, seed: 1, placement: Placement::Random };
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
        let params = LandmarkParams { n_landmarks: 10, seed: 7, ..LandmarkParams::default() };
        assert_eq!(
            sample_shape_landmarks(&labels, &params)[0],
            sample_shape_landmarks(&alone, &params)[0]
        );
    }

    /// The variance of a cloud along x, which for the surface of a ball is radius² / 3.
    fn variance_x(cloud: &PointCloud<ImageFrame>) -> f64 {
        cloud.points().iter().map(|point| point.x * point.x).sum::<f64>() / cloud.len() as f64
    }

    #[test]
    fn in_long_voxels_even_landmarks_are_true_and_random_ones_biased_and_noisy() {
        let labels = crate::cell::tests::solid([26, 52, 52], [0.5, 0.25, 0.25], |p| {
            (p - Point3::new(6.4, 6.5, 6.3)).norm() <= 5.0
        });
        let error = |seed: u64, placement: Placement| {
            let params = LandmarkParams { n_landmarks: 500, seed, placement };
            variance_x(&sample_shape_landmarks(&labels, &params)[0]) / (25.0 / 3.0) - 1.0
        };
        let even = error(0, Placement::Even);
        // A shell of long voxels holds too many voxels of flat sides: a bias, and noise around it.
        let random: Vec<f64> = (0..20).map(|seed| error(seed, Placement::Random)).collect();
        let mean = random.iter().sum::<f64>() / 20.0;
        let noise = (random.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / 19.0).sqrt();
        println!("even {even:.4}; random {mean:.4} ± {noise:.4}");
        assert!(even.abs() < 0.01, "{even}");
        assert!(mean < -0.1 && noise > 0.02, "{mean} {noise}");
    }

    #[test]
    fn even_landmarks_of_a_protein_lie_by_its_weight() {
        let labels = block();
        let mut actin = Array3::<u8>::zeros((6, 8, 8));
        actin[[1, 2, 2]] = 90;
        actin[[4, 6, 5]] = 30;
        let actin = Volume::new(actin, labels.volume().voxel_size()).unwrap();
        let params = LandmarkParams { n_landmarks: 400, placement: Placement::Even, ..MANY };
        let channel = Channel::new("actin", &actin);
        let cloud = &sample_protein_landmarks(&labels, &channel, &params).unwrap()[0];
        let low = cloud.points().iter().filter(|point| point.z < 0.0).count();
        // 88.5 above the mean of 1.5, and 28.5.
        assert_eq!((low, cloud.len()), (303, 400));
    }
}
