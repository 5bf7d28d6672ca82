//! Cluster-based embedding (CBE): a cell's landmarks as 60 numbers.
//!
//! The landmarks of many cells, overlaid, are summed up by 20 reference centres. For every centre,
//! a cell is described by the vector from the centre to the mean of the cell's nearest landmarks
//! (Hartmann et al. 2020, doi:10.7554/eLife.55913). What is learned when a space is fitted is
//! stored in it: new cells are embedded without estimating anything again.
//!
//! Two changes against the publication, both without noticeable effect on the features: clusters
//! come from Lloyd's k-means instead of mini-batches of it, and densities of pools above
//! `max_pooled` points are counted against a random subset of that size.

use nalgebra::Point3;
use ndarray::{Array2, Axis};
use primordia_data::{PointCloud, TissueFrame};
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::{FeatureError, Result};
use crate::points::{Points, Tree, k_means};

/// In which coordinates cells are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CbeFrame {
    /// As they lie in the tissue (TFOR): size and orientation count.
    Tissue,
    /// By distances between their own landmarks (CFOR): size, place and orientation do not count.
    Cell,
}

/// How a space is made; the defaults are the published values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CbeParams {
    /// In which coordinates cells are compared.
    pub frame: CbeFrame,
    /// Landmarks to which each cell is summed up before all else.
    pub n_presampled: usize,
    /// Reference centres; each gives three features.
    pub n_centres: usize,
    /// Points of all cells that are clustered, after thinning out crowded places.
    pub max_pooled: usize,
    /// Local density is counted within this many median nearest-neighbour distances.
    pub density_reach: f64,
    /// Places denser than this percentile of densities are thinned out to it.
    pub density_percentile: f64,
    /// The seed of all draws.
    pub seed: u64,
}

impl CbeParams {
    /// The published parameters in `frame`.
    pub fn in_frame(frame: CbeFrame) -> Self {
        Self {
            frame,
            n_presampled: 500,
            n_centres: 20,
            max_pooled: 200_000,
            density_reach: 5.0,
            density_percentile: 3.0,
            seed: 42,
        }
    }
}

/// A fitted space: embeds cells, estimates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct CbeSpace {
    params: CbeParams,
    centres: Array2<f64>,
    standardisation: Array2<f64>,
}

/// Rounds of k-means for the landmarks of one cell; more move the features by less than the
/// draw of landmarks does.
const PRESAMPLE_ROUNDS: usize = 5;
/// Rounds of k-means for the reference centres.
const CENTRE_ROUNDS: usize = 300;
/// Starts of k-means for the reference centres, of which the best is kept.
const CENTRE_STARTS: usize = 4;
/// Percentiles of the distances to all landmarks that describe one of them in the cell's frame.
const DISTANCE_PERCENTILES: [f64; 3] = [10.0, 50.0, 90.0];

impl CbeSpace {
    /// Learns the reference centres from the clouds of many cells, which lie about their centroids
    /// along the axes of the tissue, in µm. Empty clouds are passed over.
    ///
    /// # Errors
    /// [`FeatureError::TooFewPoints`] if there are fewer points than centres,
    /// [`FeatureError::PointNotFinite`] and [`FeatureError::Parameter`].
    pub fn fit(clouds: &[PointCloud<TissueFrame>], params: &CbeParams) -> Result<Self> {
        check(params)?;
        Self::learn(&all_described(clouds, params)?, params)
    }

    /// [`CbeSpace::fit`], then [`CbeSpace::embed_all`] of the same clouds, in half the time.
    ///
    /// # Errors
    /// As [`CbeSpace::fit`].
    pub fn fit_embed(
        clouds: &[PointCloud<TissueFrame>],
        params: &CbeParams,
    ) -> Result<(Self, Array2<f64>)> {
        check(params)?;
        let described = all_described(clouds, params)?;
        let space = Self::learn(&described, params)?;
        let rows: Vec<Vec<f64>> =
            described.par_iter().map(|points| space.features_of(points)).collect();
        Ok((space.clone(), space.table(&rows)))
    }

    /// Learns from the described points of each cell; cells without any are passed over.
    fn learn(described: &[Points], params: &CbeParams) -> Result<Self> {
        let standardisation = match params.frame {
            CbeFrame::Tissue => ndarray::array![[0.0; 3], [1.0; 3]],
            CbeFrame::Cell => standardisation(described),
        };
        let pool: Points = described
            .iter()
            .flat_map(Points::iter)
            .map(|point| standardised(&standardisation, point))
            .collect();
        if pool.len() < params.n_centres {
            let (found, wanted) = (pool.len(), params.n_centres);
            return Err(FeatureError::TooFewPoints { found, wanted });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
        let pool = thinned_out(&pool, params, &mut rng);
        let (centres, _) = (0..CENTRE_STARTS)
            .map(|_| k_means(&pool, params.n_centres, CENTRE_ROUNDS, &mut rng))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or_default();
        let centres = Array2::from_shape_fn((params.n_centres, 3), |(centre, axis)| {
            f64::from(centres.get(centre)[axis])
        });
        Ok(Self { params: *params, centres, standardisation })
    }

    /// A space from its stored parts.
    ///
    /// # Errors
    /// [`FeatureError::Space`] if the parts do not have the shapes of [`CbeSpace::centres`] and
    /// [`CbeSpace::standardisation`].
    pub fn from_parts(
        params: CbeParams,
        centres: Array2<f64>,
        standardisation: Array2<f64>,
    ) -> Result<Self> {
        check(&params)?;
        let found = format!("{:?} and {:?}", centres.dim(), standardisation.dim());
        if centres.dim() != (params.n_centres, 3) || standardisation.dim() != (2, 3) {
            let wanted = "centres × 3 and 2 × 3 values";
            return Err(FeatureError::Space { found, wanted });
        }
        Ok(Self { params, centres, standardisation })
    }

    /// How the space was made.
    pub fn params(&self) -> &CbeParams {
        &self.params
    }

    /// The reference centres, centres × (x, y, z): in µm in the tissue's frame, in standard
    /// deviations of the three distances in the cell's.
    pub fn centres(&self) -> &Array2<f64> {
        &self.centres
    }

    /// Means (first row) and standard deviations (second) by which coordinates were standardised;
    /// 0 and 1 in the tissue's frame.
    pub fn standardisation(&self) -> &Array2<f64> {
        &self.standardisation
    }

    /// The number of features: three per centre.
    pub fn n_features(&self) -> usize {
        3 * self.params.n_centres
    }

    /// The features of one cell: for each centre, the vector (x, y, z) from it to the mean of the
    /// cell's nearest landmarks. All NaN for a cell without landmarks.
    ///
    /// # Errors
    /// [`FeatureError::PointNotFinite`].
    pub fn embed(&self, cloud: &PointCloud<TissueFrame>) -> Result<Vec<f64>> {
        Ok(self.features_of(&described(cloud, &self.params)?))
    }

    /// The features of a cell's described points; all NaN without points.
    fn features_of(&self, points: &Points) -> Vec<f64> {
        if points.len() == 0 {
            return vec![f64::NAN; self.n_features()];
        }
        let points: Points =
            points.iter().map(|point| standardised(&self.standardisation, point)).collect();
        let n_nearest = (points.len() / self.params.n_centres).max(1);
        let features = self.centres.axis_iter(Axis(0)).flat_map(|centre| {
            let centre = [centre[0], centre[1], centre[2]];
            let nearest = mean_of_nearest(&points, centre, n_nearest);
            [0, 1, 2].map(|axis| nearest[axis] - centre[axis])
        });
        features.collect()
    }

    /// The features of many cells, cells × features.
    ///
    /// # Errors
    /// [`FeatureError::PointNotFinite`].
    pub fn embed_all(&self, clouds: &[PointCloud<TissueFrame>]) -> Result<Array2<f64>> {
        let rows: Vec<Vec<f64>> =
            clouds.par_iter().map(|cloud| self.embed(cloud)).collect::<Result<_>>()?;
        Ok(self.table(&rows))
    }

    fn table(&self, rows: &[Vec<f64>]) -> Array2<f64> {
        Array2::from_shape_fn((rows.len(), self.n_features()), |(row, column)| rows[row][column])
    }
}

/// The described points of each cell; none for an empty cloud.
fn all_described(clouds: &[PointCloud<TissueFrame>], params: &CbeParams) -> Result<Vec<Points>> {
    clouds.par_iter().map(|cloud| described(cloud, params)).collect()
}

fn check(params: &CbeParams) -> Result<()> {
    let counts = [
        ("n_presampled", params.n_presampled),
        ("n_centres", params.n_centres),
        ("max_pooled", params.max_pooled),
    ];
    for (name, value) in counts {
        crate::error::positive(name, value as f64)?;
    }
    crate::error::positive("density_reach", params.density_reach)?;
    crate::error::positive("density_percentile", params.density_percentile)?;
    Ok(())
}

/// The few points that stand for a cell, in the coordinates of the frame, not yet standardised.
fn described(cloud: &PointCloud<TissueFrame>, params: &CbeParams) -> Result<Points> {
    if cloud.points().iter().any(|point| !point.coords.iter().all(|value| value.is_finite())) {
        return Err(FeatureError::PointNotFinite);
    }
    // Without size, all vectors together have length 1.
    let length: f64 = cloud.points().iter().map(|point| point.coords.norm()).sum();
    let scale = match params.frame {
        CbeFrame::Cell if length > 0.0 => 1.0 / length,
        _ => 1.0,
    };
    let to_f32 = |point: &Point3<f64>| [point.x, point.y, point.z].map(|v| (v * scale) as f32);
    let points: Points = cloud.points().iter().map(to_f32).collect();
    let few = if points.len() > params.n_presampled {
        // Every cell has the same stream, so that none depends on the cells around it.
        let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
        k_means(&points, params.n_presampled, PRESAMPLE_ROUNDS, &mut rng).0
    } else {
        points
    };
    Ok(match params.frame {
        CbeFrame::Tissue => few,
        CbeFrame::Cell => distance_percentiles(&few),
    })
}

/// Each point as percentiles of its distances to all points, itself included.
fn distance_percentiles(points: &Points) -> Points {
    let mut distances = vec![0.0; points.len()];
    points
        .iter()
        .map(|point| {
            points.squared_distances(point, &mut distances);
            DISTANCE_PERCENTILES.map(|percent| percentile_of_roots(&mut distances, percent))
        })
        .collect()
}

/// The percentile of the square roots of `squares`, linear between ranks; reorders them.
fn percentile_of_roots(squares: &mut [f32], percent: f64) -> f32 {
    let rank = percent / 100.0 * (squares.len() - 1) as f64;
    let (_, &mut low, above) = squares.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let low = low.sqrt();
    let high = above.iter().copied().fold(f32::INFINITY, f32::min).sqrt();
    let between = rank.fract() as f32;
    if between > 0.0 && high.is_finite() { low + between * (high - low) } else { low }
}

/// The mean and the standard deviation of each coordinate over all points of all cells.
fn standardisation(clouds: &[Points]) -> Array2<f64> {
    let n = clouds.iter().map(Points::len).sum::<usize>() as f64;
    let total = |of: &dyn Fn(f64, usize) -> f64| {
        let mut sums = [0.0; 3];
        for point in clouds.iter().flat_map(Points::iter) {
            for (axis, sum) in sums.iter_mut().enumerate() {
                *sum += of(f64::from(point[axis]), axis);
            }
        }
        sums
    };
    let mean = total(&|value, _| value).map(|sum| sum / n);
    let variance = total(&|value, axis| (value - mean[axis]).powi(2)).map(|sum| sum / n);
    let deviation = variance.map(|variance| if variance > 0.0 { variance.sqrt() } else { 1.0 });
    ndarray::array![mean, deviation]
}

fn standardised(standardisation: &Array2<f64>, point: [f32; 3]) -> [f32; 3] {
    [0, 1, 2].map(|axis| {
        let centred = f64::from(point[axis]) - standardisation[[0, axis]];
        (centred / standardisation[[1, axis]]) as f32
    })
}

/// The points of all cells, fewer where they crowd: density-dependent downsampling (Qiu et al.
/// 2011, doi:10.1038/nbt.1991), then a random cut to `max_pooled`.
fn thinned_out(pool: &Points, params: &CbeParams, rng: &mut ChaCha8Rng) -> Points {
    /// Points per stream of random numbers.
    const CHUNK: usize = 1 << 14;
    let subset = if pool.len() > params.max_pooled {
        pool.at(&index::sample(rng, pool.len(), params.max_pooled).into_vec())
    } else {
        pool.clone()
    };
    let tree = Tree::new(&subset);
    let mut distances = tree.nearest_other_distances();
    let reach = median(&mut distances) * params.density_reach as f32;
    let densities: Vec<f32> = (0..pool.len())
        .into_par_iter()
        .map(|index| tree.count_within(pool.get(index), reach).max(1) as f32)
        .collect();
    let target = percentile(&mut densities.clone(), params.density_percentile);
    let seed = rng.random();
    let kept: Vec<usize> = densities
        .par_chunks(CHUNK)
        .enumerate()
        .flat_map_iter(|(chunk, densities)| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(chunk as u64);
            let keep = move |density: &f32| f64::from(target / density) > rng.random::<f64>();
            let mut keep = keep;
            let kept: Vec<usize> = densities
                .iter()
                .enumerate()
                .filter(|(_, density)| keep(density))
                .map(|(at, _)| chunk * CHUNK + at)
                .collect();
            kept
        })
        .collect();
    // So few that centres would be missing: then crowding does no harm.
    if kept.len() < params.n_centres {
        return subset;
    }
    if kept.len() <= params.max_pooled {
        return pool.at(&kept);
    }
    let chosen = index::sample(rng, kept.len(), params.max_pooled);
    pool.at(&chosen.into_iter().map(|at| kept[at]).collect::<Vec<_>>())
}

fn median(values: &mut [f32]) -> f32 {
    percentile(values, 50.0)
}

/// The percentile of `values`, linear between ranks; reorders them.
fn percentile(values: &mut [f32], percent: f64) -> f32 {
    let rank = percent / 100.0 * (values.len() - 1) as f64;
    let (_, &mut low, above) = values.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let high = above.iter().copied().fold(f32::INFINITY, f32::min);
    let between = rank.fract() as f32;
    if between > 0.0 && high.is_finite() { low + between * (high - low) } else { low }
}

/// The mean of the `n` points nearest to `centre`.
fn mean_of_nearest(points: &Points, centre: [f64; 3], n: usize) -> [f64; 3] {
    let mut distances = vec![0.0; points.len()];
    points.squared_distances(centre.map(|value| value as f32), &mut distances);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.select_nth_unstable_by(n - 1, |a, b| {
        distances[*a].total_cmp(&distances[*b]).then(a.cmp(b))
    });
    let mut mean = [0.0; 3];
    for &index in &order[..n] {
        for (mean, value) in mean.iter_mut().zip(points.get(index)) {
            *mean += f64::from(value) / n as f64;
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use nalgebra::{Rotation3, Vector3};

    /// Clusters of a turned cloud differ where rounding tips a point to another centre.
    const TURNED: f64 = 0.1;

    /// Points of a bumpy ellipsoid, evenly spread by the golden angle.
    fn cloud(seed: usize, n: usize) -> PointCloud<TissueFrame> {
        let axes = Vector3::new(3.0 + (seed % 5) as f64, 4.0 + (seed % 3) as f64, 5.0);
        let turn = Rotation3::from_euler_angles(seed as f64, 0.7 * seed as f64, 0.2);
        let point = |k: usize| {
            let z = 1.0 - (2 * k + 1) as f64 / n as f64;
            let angle = 2.399_963_229_728_653 * k as f64;
            let ring = (1.0 - z * z).sqrt();
            let direction = Vector3::new(ring * angle.cos(), ring * angle.sin(), z);
            let bump = 1.0 + 0.1 * (3.0 * angle + seed as f64).sin();
            Point3::from(turn * direction.component_mul(&axes) * bump)
        };
        PointCloud::new((0..n).map(point).collect())
    }

    fn clouds() -> Vec<PointCloud<TissueFrame>> {
        (0..12).map(|seed| cloud(seed, 700)).collect()
    }

    fn params(frame: CbeFrame) -> CbeParams {
        CbeParams { n_presampled: 200, n_centres: 8, ..CbeParams::in_frame(frame) }
    }

    #[test]
    fn a_cell_that_is_one_point_is_described_by_vectors_to_it() {
        let space = CbeSpace::fit(&clouds(), &params(CbeFrame::Tissue)).unwrap();
        let point = Point3::new(1.0, -2.0, 0.5);
        let features = space.embed(&PointCloud::new(vec![point; 700])).unwrap();
        for (vector, centre) in features.chunks(3).zip(space.centres().outer_iter()) {
            for axis in 0..3 {
                assert_relative_eq!(vector[axis], point[axis] - centre[axis], epsilon = 1e-6);
            }
        }
    }

    #[test]
    fn in_the_frame_of_the_cell_size_and_orientation_do_not_count() {
        let space = CbeSpace::fit(&clouds(), &params(CbeFrame::Cell)).unwrap();
        let cell = cloud(3, 700);
        let turn = Rotation3::from_euler_angles(1.0, 2.0, 3.0);
        let moved = cell.points().iter().map(|point| turn * point * 2.5).collect();
        let before = space.embed(&cell).unwrap();
        let after = space.embed(&PointCloud::new(moved)).unwrap();
        for (before, after) in before.iter().zip(after) {
            assert_relative_eq!(*before, after, epsilon = TURNED);
        }
    }

    #[test]
    fn a_stored_space_embeds_like_the_fitted_one_whatever_else_is_embedded() {
        for frame in [CbeFrame::Tissue, CbeFrame::Cell] {
            let clouds = clouds();
            let space = CbeSpace::fit(&clouds, &params(frame)).unwrap();
            let (centres, scales) = (space.centres().clone(), space.standardisation().clone());
            let stored = CbeSpace::from_parts(*space.params(), centres, scales).unwrap();
            let all = space.embed_all(&clouds).unwrap();
            let one = stored.embed(&clouds[5]).unwrap();
            assert_eq!(all.row(5).to_vec(), one);
        }
    }

    #[test]
    fn threads_change_nothing() {
        let fit = |n_threads: usize| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let small = CbeParams { max_pooled: 1500, ..params(CbeFrame::Cell) };
            threads.install(|| CbeSpace::fit(&clouds(), &small).unwrap())
        };
        assert_eq!(fit(1), fit(5));
    }

    #[test]
    fn cells_without_landmarks_are_nan_and_few_points_are_refused() {
        let space = CbeSpace::fit(&clouds(), &params(CbeFrame::Tissue)).unwrap();
        let features = space.embed(&PointCloud::new(Vec::new())).unwrap();
        assert!(features.len() == 24 && features.iter().all(|value| value.is_nan()));
        let few = [cloud(0, 7)];
        let result = CbeSpace::fit(&few, &params(CbeFrame::Tissue));
        assert!(matches!(result, Err(FeatureError::TooFewPoints { found: 7, wanted: 8 })));
    }

    #[test]
    fn percentiles_are_linear_between_ranks() {
        assert_relative_eq!(percentile(&mut [4.0, 1.0, 3.0, 2.0], 50.0), 2.5);
        assert_relative_eq!(percentile(&mut [5.0, 1.0, 2.0], 10.0), 1.2);
    }
}
