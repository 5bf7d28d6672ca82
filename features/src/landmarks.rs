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

use std::borrow::Borrow;

use nalgebra::{Point3, Vector3};
use primordia_data::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame, Volume};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bits::{Bits, for_each_one};
use crate::cell::Cut;
use crate::error::Result;
use crate::intensity::{Channel, Signal};
use crate::mesh::cell_mesh;
use crate::sweep::{Cells, Run};
use crate::values::{LANES, Mean, Padded, Value, excess, with_values};

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

/// The landmarks of all cells of a specimen, in the order of [`Labels::cells`], relative to each
/// cell's centroid, along the axes of the image, in µm.
#[derive(Clone, Debug, PartialEq)]
pub struct Landmarks {
    /// Of the shape. At random, they are centres of voxels that share a face with what is not the
    /// cell; evenly, points of the cell's mesh.
    pub shape: Vec<PointCloud<ImageFrame>>,
    /// Of each channel that is not [`Channel::without_landmarks`], whose mean over the cell is background. A cell without a voxel above its
    /// mean has no landmarks: its cloud is empty, and
    /// [`crate::CellQuality::channels_without_signal`] names the channel.
    pub proteins: Vec<Vec<PointCloud<ImageFrame>>>,
}

/// Sets the landmarks of the shape and of all channels; reads the label image once. Those who also
/// measure the cells get both from one reading by [`crate::MeasureParams::landmarks`].
///
/// # Errors
/// [`FeatureError::ChannelGrid`] if a channel lies on another grid, [`FeatureError::NotFinite`]
/// if it holds NaN or infinity inside a cell.
///
/// [`FeatureError::ChannelGrid`]: crate::FeatureError::ChannelGrid
/// [`FeatureError::NotFinite`]: crate::FeatureError::NotFinite
pub fn sample_landmarks(
    labels: &Labels,
    channels: &[Channel],
    params: &LandmarkParams,
) -> Result<Landmarks> {
    for channel in channels {
        channel.check_grid(labels.volume())?;
    }
    let cells = Cells::of(labels);
    let sampled: Vec<CellLandmarks> = (0..cells.n_cells())
        .into_par_iter()
        .map(|row| {
            let cell = Cut::of(&cells, row, labels);
            let signals = channels.iter().map(|channel| (channel, channel.signal(cell.runs)));
            params.of_cell(&cell, labels.volume(), signals)
        })
        .collect::<Result<_>>()?;
    Ok(Landmarks::of_cells(sampled, channels))
}

/// The landmarks of one cell: of its shape, then of each channel.
pub(crate) struct CellLandmarks(Vec<Vec<Point3<f64>>>);

impl Landmarks {
    pub(crate) fn of_cells(cells: Vec<CellLandmarks>, channels: &[Channel]) -> Self {
        let n_cells = cells.len();
        let n_channels = channels.iter().filter(|channel| channel.has_landmarks()).count();
        let mut clouds = vec![Vec::with_capacity(n_cells); 1 + n_channels];
        for points in cells {
            for (clouds, points) in clouds.iter_mut().zip(points.0) {
                clouds.push(PointCloud::new(points));
            }
        }
        let proteins = clouds.split_off(1);
        Self { shape: clouds.remove(0), proteins }
    }
}

impl LandmarkParams {
    /// The landmarks of a cell of `image` and of channels in it.
    pub(crate) fn of_cell<'a, S: Borrow<Signal>>(
        &self,
        cell: &Cut,
        image: &Volume<u32>,
        signals: impl Iterator<Item = (&'a Channel<'a>, S)>,
    ) -> Result<CellLandmarks> {
        let mut clouds = vec![self.of_shape(cell)];
        for (channel, signal) in signals.filter(|(channel, _)| channel.has_landmarks()) {
            clouds.push(self.of_channel(cell, image, channel, signal.borrow())?);
        }
        Ok(CellLandmarks(clouds))
    }

    fn of_shape(&self, cell: &Cut) -> Vec<Point3<f64>> {
        let (mask, centroid_um) = (&cell.mask, cell.centroid_um.coords);
        if self.placement == Placement::Even {
            let smoothing_um = mask.voxel_size().um().into_iter().fold(0.0, f64::max);
            let patches = cell_mesh(mask, smoothing_um);
            let patches = patches.patches().map(|(middle, area)| (middle - centroid_um, area));
            return evenly(patches.collect(), self.n_landmarks);
        }
        let surface = surface_voxels(mask.inside());
        let mut rng = stream(self.seed, "", cell.label);
        let draw = |_| {
            let voxel = surface[rng.random_range(0..surface.len())];
            mask.point_um(mask.inside().place(voxel)) - centroid_um
        };
        (0..self.n_landmarks).map(draw).collect()
    }

    fn of_channel(
        &self,
        cell: &Cut,
        image: &Volume<u32>,
        channel: &Channel,
        signal: &Signal,
    ) -> Result<Vec<Point3<f64>>> {
        if !signal.is_finite() {
            return Err(channel.not_finite(cell.label));
        }
        let centroid_um = cell.centroid_um.coords;
        let point = |run: Run, step: usize| {
            image.point_um([run.z(), run.y(), run.x().start + step]) - centroid_um
        };
        with_values!(&signal.values, values => {
            if self.placement == Placement::Even {
                let weighted = weighted(cell.runs, values, signal.mean, point);
                return Ok(evenly(weighted, self.n_landmarks));
            }
            let mut rng = stream(self.seed, channel.name(), cell.label);
            Ok(drawn(cell.runs, values, signal, point, self.n_landmarks, &mut rng))
        })
    }
}

/// The voxels of the cell above its mean, with their excess.
fn weighted<T: Value>(
    runs: &[Run],
    values: &Padded<T>,
    mean: f64,
    point: impl Fn(Run, usize) -> Point3<f64>,
) -> Vec<(Point3<f64>, f64)> {
    let mut weighted = Vec::new();
    for (run, values) in runs.iter().zip(values.by_run(runs)) {
        for (step, value) in values.iter().enumerate() {
            let excess = excess(*value, mean);
            if excess > 0.0 {
                weighted.push((point(*run, step), excess));
            }
        }
    }
    weighted
}

/// `n` voxels of the cell, drawn with a probability that follows their excess; none without any.
fn drawn<T: Value>(
    runs: &[Run],
    values: &Padded<T>,
    signal: &Signal,
    point: impl Fn(Run, usize) -> Point3<f64>,
    n: usize,
    rng: &mut impl Rng,
) -> Vec<Point3<f64>> {
    let mut total = 0.0;
    let cumulated: Vec<f64> = signal
        .excess
        .by_run
        .iter()
        .map(|excess| {
            total += excess;
            total
        })
        .collect();
    if total <= 0.0 {
        return Vec::new();
    }
    let (guide, mean) = (Guide::new(&cumulated), Mean::of(signal.mean));
    let draw = |_| {
        let at = total * rng.random::<f64>();
        let index = guide.first_above(at);
        let rest = at - index.checked_sub(1).map_or(0.0, |before| cumulated[before]);
        let run = runs[index];
        point(run, step_of(values.run(index), run.x().len(), mean, rest))
    };
    (0..n).map(draw).collect()
}

/// The first of a run of `n` values at which the sum of excess passes `rest`; the last with any if
/// rounding leaves none.
fn step_of<T: Value>(run: &[[T; LANES]], n: usize, mean: Mean, mut rest: f64) -> usize {
    let mut first = 0;
    for chunk in &run[..run.len() - 1] {
        let sum = T::excess_of_chunk(chunk, mean);
        if rest < sum {
            break;
        }
        (rest, first) = (rest - sum, first + LANES);
    }
    let values = &run.as_flattened()[..n];
    let passed = values[first..].iter().position(|value| {
        rest -= excess(*value, mean.value);
        rest < 0.0
    });
    let last = || values.iter().rposition(|value| excess(*value, mean.value) > 0.0);
    passed.map(|step| first + step).or_else(last).unwrap_or_default()
}

/// Searches growing sums in constant time on average: begins at the first sum above the lower end
/// of one of as many equal parts of the total (Chen & Asau 1974, doi:10.1080/05695557408974949).
struct Guide<'a> {
    sums: &'a [f64],
    first_above: Vec<u32>,
    parts_per_total: f64,
}

impl<'a> Guide<'a> {
    fn new(sums: &'a [f64]) -> Self {
        let total = sums[sums.len() - 1];
        let (first_above, parts_per_total) =
            (Vec::with_capacity(sums.len()), sums.len() as f64 / total);
        let mut guide = Self { sums, first_above, parts_per_total };
        let (mut first, part_of_total) = (0, total / sums.len() as f64);
        for part in 0..sums.len() {
            let low = part as f64 * part_of_total;
            while first + 1 < sums.len() && sums[first] <= low {
                first += 1;
            }
            guide.first_above.push(first as u32);
        }
        guide
    }

    /// The first sum above `value`, which is less than the total.
    fn first_above(&self, value: f64) -> usize {
        let last = self.sums.len() - 1;
        let part = value * self.parts_per_total;
        let mut index = self.first_above[(part as usize).min(last)] as usize;
        // Rounding may have led to the part after.
        while index > 0 && self.sums[index - 1] > value {
            index -= 1;
        }
        while index < last && self.sums[index] <= value {
            index += 1;
        }
        index
    }
}

/// A cell's cloud, turned to the axes of the tissue; it stays about the cell's centroid.
pub fn turned_to_tissue(
    cloud: &PointCloud<ImageFrame>,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
) -> PointCloud<TissueFrame> {
    let rotation = to_tissue.rotation();
    PointCloud::new(cloud.points().iter().map(|point| rotation * point).collect())
}

/// The voxels of a cell that share a face with what is not the cell, as numbers of bits. The cell
/// does not reach the faces of its box: so what is beside a voxel in memory is beside it in the box,
/// or neither is the cell's.
fn surface_voxels(inside: &Bits) -> Vec<u32> {
    let words = inside.words();
    let [plane, line] = inside.words_per_plane_and_line();
    let mut voxels = Vec::new();
    for at in (plane..words.len() - plane).filter(|at| words[*at] != 0) {
        let (bits, before, after) = (words[at], words[at - 1] >> 63, words[at + 1] << 63);
        let enclosed = (bits << 1 | before)
            & (bits >> 1 | after)
            & words[at - line]
            & words[at + line]
            & words[at - plane]
            & words[at + plane];
        for_each_one([bits & !enclosed], |bit| voxels.push((64 * at + bit) as u32));
    }
    voxels
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
    use crate::intensity::ChannelVoxels;
    use approx::assert_relative_eq;
    use ndarray::{Array3, s};
    use primordia_data::VoxelSize;
    use proptest::prelude::*;

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

    fn shapes(labels: &Labels, params: &LandmarkParams) -> Vec<PointCloud<ImageFrame>> {
        sample_landmarks(labels, &[], params).unwrap().shape
    }

    fn protein<'a>(
        labels: &Labels,
        actin: impl Into<ChannelVoxels<'a>>,
        params: &LandmarkParams,
    ) -> Vec<PointCloud<ImageFrame>> {
        let channels = [Channel::new("actin", actin)];
        sample_landmarks(labels, &channels, params).unwrap().proteins.remove(0)
    }

    proptest! {
        #[test]
        fn a_draw_falls_on_the_voxel_at_which_the_sum_of_excess_passes_it(
            values in proptest::collection::vec(0_u8..40, 1..40),
            part in 0.0..1.0_f64,
        ) {
            // Whole numbers, whose sums are exact.
            let mean = 20.0;
            let excess = |value: &u8| u32::from(value.saturating_sub(20));
            let total: u32 = values.iter().map(excess).sum();
            prop_assume!(total > 0);
            let rest = (part * f64::from(total)).floor();
            let mut passed = 0.0;
            let wanted = values.iter().position(|value| {
                passed += f64::from(excess(value));
                passed > rest
            });
            let mut run = vec![[0_u16; LANES]; values.len().div_ceil(LANES)];
            for (padded, &value) in run.as_flattened_mut().iter_mut().zip(&values) {
                *padded = u16::from(value);
            }
            let step = |rest: f64| Some(step_of(&run, values.len(), Mean::of(mean), rest));
            prop_assert_eq!(step(rest), wanted);
            // What rounding leaves beyond the end falls on the last that has any.
            let last = values.iter().rposition(|value| f64::from(*value) > mean);
            prop_assert_eq!(step(f64::from(total)), last);
        }
    }

    #[test]
    fn landmarks_of_shape_fall_alike_on_the_outermost_voxels() {
        let labels = block();
        let cloud = &shapes(&labels, &MANY)[0];
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
        let clouds = protein(&labels, &actin, &MANY);
        let low = clouds[0].points().iter().filter(|point| point.z < 0.0).count() as f64;
        assert_relative_eq!(low / 20_000.0, 89.0 / (89.0 + 67.0), epsilon = DRAWS);
        assert!(clouds[1].is_empty(), "one voxel has nothing above its mean");
    }

    #[test]
    fn a_cell_has_its_landmarks_whatever_surrounds_it() {
        let labels = block();
        let alone = Labels::new(labels.volume().map(|&label| if label == 3 { 3 } else { 0 }));
        let params = LandmarkParams { n_landmarks: 10, seed: 7, ..LandmarkParams::default() };
        assert_eq!(shapes(&labels, &params)[0], shapes(&alone, &params)[0]);
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
            variance_x(&shapes(&labels, &params)[0]) / (25.0 / 3.0) - 1.0
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
        let cloud = &protein(&labels, &actin, &params)[0];
        let low = cloud.points().iter().filter(|point| point.z < 0.0).count();
        // 88.5 above the mean of 1.5, and 28.5.
        assert_eq!((low, cloud.len()), (303, 400));
    }
}
