//! The embedding, against scikit-learn's steps (`tests/reference/features_cbe.py` made the values).
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use nalgebra::{Point3, Rotation3, Vector3};
use ndarray::{Array2, ArrayView1};
use primordia_data::{PointCloud, TissueFrame};
use primordia_features::{CbeFrame, CbeParams, CbeSpace};

const N_CELLS: usize = 40;
/// The same points and centres: only the five digits of the file differ.
const SAME: f64 = 0.999;
/// Sums of squares around centres that two searches found.
const AS_CLOSE: f64 = 1.02;

/// A turned ellipsoid with bumps, its points spread by the golden angle.
fn cloud(cell: f64, n: usize) -> PointCloud<TissueFrame> {
    let axis = |factor: f64| 4.5 + 1.5 * (factor * (cell + 1.0)).sin();
    let axes = Vector3::new(axis(1.3), axis(2.7), axis(4.1));
    let turn = Rotation3::from_axis_angle(&Vector3::x_axis(), 0.8 * (3.1 * cell).cos())
        * Rotation3::from_axis_angle(&Vector3::z_axis(), 0.8 * (2.3 * cell).sin());
    let point = |k: usize| {
        let z = 1.0 - (2 * k + 1) as f64 / n as f64;
        let angle = 2.399_963_229_728_653 * k as f64;
        let ring = (1.0 - z * z).sqrt();
        let direction = Vector3::new(ring * angle.cos(), ring * angle.sin(), z);
        let bump = 1.0
            + 0.15 * (0.9 * cell).sin() * direction.x * direction.z
            + 0.2 * (1.7 * cell).cos() * z.powi(3);
        Point3::from(turn * direction.component_mul(&axes) * bump)
    };
    PointCloud::new((0..n).map(point).collect())
}

struct Reference {
    centres: Array2<f64>,
    standardisation: Array2<f64>,
    features: Array2<f64>,
    presampled: [Array2<f64>; 2],
}

impl Reference {
    fn read(text: &str) -> Self {
        let rows = |names: &[&str]| {
            let lines = text.lines().filter_map(|line| line.split_once(','));
            let rows: Vec<Vec<f64>> = lines
                .filter(|(name, _)| names.contains(name))
                .map(|(_, values)| values.split(',').map(|value| value.parse().unwrap()).collect())
                .collect();
            Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
        };
        let presampled = [rows(&["p"]), rows(&["q"])];
        let (centres, standardisation, features) = (rows(&["c"]), rows(&["m", "s"]), rows(&["f"]));
        Self { centres, standardisation, features, presampled }
    }
}

fn correlation(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let [a, b] = [a, b].map(|values| &values - values.mean().unwrap());
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

fn median_correlation(found: &Array2<f64>, wanted: &Array2<f64>) -> f64 {
    let columns = 0..found.ncols();
    let mut all: Vec<f64> =
        columns.map(|at| correlation(found.column(at), wanted.column(at)).abs()).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The mean squared distance from points to the nearest centre.
fn spread(clouds: &[PointCloud<TissueFrame>], centres: &Array2<f64>) -> f64 {
    let nearest = |point: &Point3<f64>| {
        let squares = centres
            .outer_iter()
            .map(|centre| (point - Point3::new(centre[0], centre[1], centre[2])).norm_squared());
        squares.fold(f64::INFINITY, f64::min)
    };
    let points = clouds.iter().flat_map(PointCloud::points);
    let n: usize = clouds.iter().map(PointCloud::len).sum();
    points.map(nearest).sum::<f64>() / n as f64
}

fn clouds(n_points: usize) -> Vec<PointCloud<TissueFrame>> {
    (0..N_CELLS).map(|cell| cloud(cell as f64, n_points)).collect()
}

fn params(frame: CbeFrame) -> CbeParams {
    CbeParams { max_pooled: 20_000, ..CbeParams::in_frame(frame) }
}

fn compare(frame: CbeFrame, reference: &Reference) {
    let (centres, scales) = (reference.centres.clone(), reference.standardisation.clone());
    let space = CbeSpace::from_parts(params(frame), centres, scales).unwrap();
    let found = space.embed_all(&clouds(500)).unwrap();
    let agreement = median_correlation(&found, &reference.features);
    assert!(agreement >= SAME, "{agreement}");

    // Presampling is a draw: ours is as close to theirs as theirs with another seed is.
    let found = space.embed_all(&clouds(2000)).unwrap();
    let [theirs, again] = &reference.presampled;
    let (ours, noise) = (median_correlation(&found, theirs), median_correlation(again, theirs));
    println!("{frame:?}: median |r| {agreement:.5}; presampled {ours:.3}, two seeds {noise:.3}");
    assert!(ours >= noise, "{ours} {noise}");
}

#[test]
fn in_the_tissue_the_features_are_those_of_scikit_learn() {
    let text = include_str!("../../tests/reference/features_cbe_tissue.csv");
    let reference = Reference::read(text);
    compare(CbeFrame::Tissue, &reference);
    let clouds = clouds(500);
    let ours = CbeSpace::fit(&clouds, &params(CbeFrame::Tissue)).unwrap();
    let [ours, theirs] = [ours.centres(), &reference.centres].map(|all| spread(&clouds, all));
    println!("mean squared distance to centres: {ours:.3} µm², by scikit-learn {theirs:.3} µm²");
    assert!(ours < AS_CLOSE * theirs);
}

#[test]
fn in_the_cell_the_features_are_those_of_scikit_learn() {
    let text = include_str!("../../tests/reference/features_cbe_cell.csv");
    let reference = Reference::read(text);
    compare(CbeFrame::Cell, &reference);
    let ours = CbeSpace::fit(&clouds(500), &params(CbeFrame::Cell)).unwrap();
    let difference = ours.standardisation() - &reference.standardisation;
    let largest = difference.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    assert!(largest < 1e-4 * reference.standardisation[[0, 2]], "{largest}");
}
