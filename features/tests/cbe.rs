//! The embedding, against scikit-learn's steps (`tests/reference/features_cbe.py` made the values).

use nalgebra::{Point3, Rotation3, Vector3};
use ndarray::{Array2, ArrayView1};
use primordia_data::{PointCloud, TissueFrame};
use primordia_features::{CbeFrame, CbeParams, CbeSpace};

const N_CELLS: usize = 80;
const N_POINTS: usize = 2000;
/// Two draws of k-means: the median feature correlates at least so well over cells.
const AGREEMENT: f64 = 0.99;

/// A turned ellipsoid with bumps, its points spread by the golden angle.
fn cloud(cell: f64) -> PointCloud<TissueFrame> {
    let axis = |factor: f64| 4.5 + 1.5 * (factor * (cell + 1.0)).sin();
    let axes = Vector3::new(axis(1.3), axis(2.7), axis(4.1));
    let turn = Rotation3::from_axis_angle(&Vector3::x_axis(), 0.8 * (3.1 * cell).cos())
        * Rotation3::from_axis_angle(&Vector3::z_axis(), 0.8 * (2.3 * cell).sin());
    let point = |k: usize| {
        let z = 1.0 - (2 * k + 1) as f64 / N_POINTS as f64;
        let angle = 2.399_963_229_728_653 * k as f64;
        let ring = (1.0 - z * z).sqrt();
        let direction = Vector3::new(ring * angle.cos(), ring * angle.sin(), z);
        let bump = 1.0
            + 0.15 * (0.9 * cell).sin() * direction.x * direction.z
            + 0.2 * (1.7 * cell).cos() * z.powi(3);
        Point3::from(turn * direction.component_mul(&axes) * bump)
    };
    PointCloud::new((0..N_POINTS).map(point).collect())
}

struct Reference {
    centres: Array2<f64>,
    standardisation: Array2<f64>,
    features: Array2<f64>,
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
        Self { centres: rows(&["c"]), standardisation: rows(&["m", "s"]), features: rows(&["f"]) }
    }
}

fn correlation(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let [a, b] = [a, b].map(|values| &values - values.mean().unwrap());
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

fn median_correlation(found: &Array2<f64>, wanted: &Array2<f64>, columns: &[usize]) -> f64 {
    let mut all: Vec<f64> = columns
        .iter()
        .enumerate()
        .map(|(here, &there)| correlation(found.column(here), wanted.column(there)).abs())
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// For each feature of ours, the reference's feature of the centre nearest to ours.
fn matched(ours: &Array2<f64>, theirs: &Array2<f64>) -> Vec<usize> {
    let nearest = ours.outer_iter().map(|centre| {
        let distance = |other: usize| (&theirs.row(other) - &centre).mapv(|v| v * v).sum();
        let others = 0..theirs.nrows();
        others.min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap()
    });
    nearest.flat_map(|centre| [0, 1, 2].map(|axis| 3 * centre + axis)).collect()
}

fn compare(frame: CbeFrame, reference: &str) {
    let reference = Reference::read(reference);
    let clouds: Vec<_> = (0..N_CELLS).map(|cell| cloud(cell as f64)).collect();
    let params = CbeParams { max_pooled: 20_000, ..CbeParams::in_frame(frame) };

    let (centres, scales) = (reference.centres.clone(), reference.standardisation.clone());
    let theirs = CbeSpace::from_parts(params, centres, scales).unwrap();
    let found = theirs.embed_all(&clouds).unwrap();
    let same: Vec<usize> = (0..60).collect();
    let agreement = median_correlation(&found, &reference.features, &same);
    println!("{frame:?}: median |r| {agreement:.5} with the centres of the reference");
    assert!(agreement >= AGREEMENT, "{agreement}");

    let ours = CbeSpace::fit(&clouds, &params).unwrap();
    let found = ours.embed_all(&clouds).unwrap();
    let columns = matched(ours.centres(), &reference.centres);
    let agreement = median_correlation(&found, &reference.features, &columns);
    println!("{frame:?}: median |r| {agreement:.5} with our own centres");
    assert!(agreement >= AGREEMENT, "{agreement}");
}

#[test]
fn in_the_tissue_the_features_are_those_of_scikit_learn() {
    compare(CbeFrame::Tissue, include_str!("../../tests/reference/features_cbe_tissue.csv"));
}

#[test]
fn in_the_cell_the_features_are_those_of_scikit_learn() {
    compare(CbeFrame::Cell, include_str!("../../tests/reference/features_cbe_cell.csv"));
}
