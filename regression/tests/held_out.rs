//! What validation by whole specimens must and must not find.
#![allow(clippy::unwrap_used)] // a test that fails says where

use ndarray::{Array2, ArrayView2, Axis, s};
use primordia_regression::{
    Baseline, Cells, Folds, MapParams, Measured, ProteinRegressor, RegressionError, cross_validate,
    map_protein,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What 1200 cells in 24 specimens can score by chance.
const CHANCE: f64 = 0.05;

const N_SPECIMENS: usize = 24;
const CELLS_PER_SPECIMEN: usize = 50;
const N_CELLS: usize = N_SPECIMENS * CELLS_PER_SPECIMEN;

fn normal(n_rows: usize, n_columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n_rows, n_columns), || StandardNormal.sample(&mut rng))
}

fn names(n_specimens: usize, first: usize) -> Vec<String> {
    let cells = 0..n_specimens * CELLS_PER_SPECIMEN;
    cells.map(|cell| format!("embryo {}", first + cell / CELLS_PER_SPECIMEN)).collect()
}

fn score(shape: ArrayView2<f64>, protein: ArrayView2<f64>) -> f64 {
    let folds = Folds::whole_specimens(&names(N_SPECIMENS, 0), 5).unwrap();
    let regressor = ProteinRegressor::default();
    cross_validate(&regressor, shape, protein, &folds).unwrap().score.mean()
}

#[test]
fn a_linear_rule_is_found() {
    let shape = normal(N_CELLS, 12, 1);
    let protein = shape.dot(&normal(12, 6, 2));
    assert!(score(shape.view(), protein.view()) > 0.999);
}

#[test]
fn a_curved_rule_is_found() {
    let shape = normal(N_CELLS, 3, 3);
    let protein = shape.mapv(|x| (x * 0.8).cos());
    assert!(score(shape.view(), protein.view()) > 0.8);
}

#[test]
fn a_protein_that_follows_nothing_scores_nothing() {
    let found = score(normal(N_CELLS, 12, 4).view(), normal(N_CELLS, 6, 5).view());
    assert!(found.abs() < CHANCE, "{found}");
}

/// Cells of one specimen share a stain's brightness and a mounting's tilt. A model that has seen
/// some of them would predict the others; one that has not, cannot.
#[test]
fn what_only_the_specimen_shares_does_not_score() {
    let of_specimen = |table: &Array2<f64>| {
        Array2::from_shape_fn((N_CELLS, table.ncols()), |(i, j)| table[[i / CELLS_PER_SPECIMEN, j]])
    };
    let shape = of_specimen(&normal(N_SPECIMENS, 12, 6)) + normal(N_CELLS, 12, 7) * 0.1;
    let protein = of_specimen(&normal(N_SPECIMENS, 6, 8)) + normal(N_CELLS, 6, 9) * 0.1;
    let found = score(shape.view(), protein.view());
    assert!(found < CHANCE, "{found}");
}

#[test]
fn intervals_cover_new_specimens_as_often_as_they_say() {
    /// The spread of the covered share over 24 new specimens whose cells err together.
    const SPREAD: f64 = 0.04;
    let (n_new, weights) = (24, normal(8, 5, 10));
    let n_all = N_CELLS + n_new * CELLS_PER_SPECIMEN;
    let shape = normal(n_all, 8, 11);
    let shared = normal(n_all / CELLS_PER_SPECIMEN, 5, 12);
    let own = normal(n_all, 5, 13);
    let mut protein = shape.dot(&weights) + own;
    for (row, mut cell) in protein.axis_iter_mut(Axis(0)).enumerate() {
        cell.scaled_add(0.7, &shared.row(row / CELLS_PER_SPECIMEN));
    }
    let all = names(N_SPECIMENS + n_new, 0);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let rows: Vec<usize> = (0..N_CELLS).collect();
    let cells = Cells { specimens: &all, shape: shape.view(), baselines: &[] };
    let measured = Measured { rows: &rows, protein: protein.slice(s![..N_CELLS, ..]) };
    let map = map_protein(&cells, &measured, &MapParams::default()).unwrap();
    let covered = protein
        .indexed_iter()
        .filter(|((row, column), value)| {
            *row >= N_CELLS
                && (map.lower[[*row, *column]]..=map.upper[[*row, *column]]).contains(*value)
        })
        .count();
    let share = covered as f64 / (n_new * CELLS_PER_SPECIMEN * 5) as f64;
    assert!((share - 0.9).abs() < SPREAD, "{share}");
}

#[test]
fn a_map_has_every_cell_and_measured_cells_out_of_fold() {
    let shape = normal(N_CELLS, 6, 14);
    let protein = shape.dot(&normal(6, 4, 15)) + normal(N_CELLS, 4, 16) * 0.2;
    let specimens = names(N_SPECIMENS, 0);
    let specimens: Vec<&str> = specimens.iter().map(String::as_str).collect();
    let rows: Vec<usize> = (0..N_CELLS / 2).collect();
    let position = normal(N_CELLS, 3, 17);
    let baselines = [Baseline { name: "position", features: position.view() }];
    let cells = Cells { specimens: &specimens, shape: shape.view(), baselines: &baselines };
    let measured = Measured { rows: &rows, protein: protein.slice(s![..N_CELLS / 2, ..]) };
    let map = map_protein(&cells, &measured, &MapParams::default()).unwrap();
    let validation = map.validation.unwrap();

    assert!(
        map.predicted.iter().chain(&map.lower).chain(&map.upper).all(|value| value.is_finite())
    );
    assert_eq!(map.predicted.slice(s![..N_CELLS / 2, ..]), validation.shape.predicted);
    assert!(validation.shape.score.mean() > 0.9);
    let baselines: Vec<&str> = validation.baselines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(baselines, ["mean", "position"]);
    assert!(validation.baselines.iter().all(|(_, score)| score.mean().abs() < 2.0 * CHANCE));
}

#[test]
fn one_specimen_is_predicted_without_scores_and_intervals() {
    let (shape, protein) = (normal(100, 4, 18), normal(50, 3, 19));
    let specimens = names(2, 0);
    let specimens: Vec<&str> = specimens.iter().map(String::as_str).collect();
    let rows: Vec<usize> = (0..50).collect();
    let cells = Cells { specimens: &specimens, shape: shape.view(), baselines: &[] };
    let measured = Measured { rows: &rows, protein: protein.view() };
    let map = map_protein(&cells, &measured, &MapParams::default()).unwrap();
    assert!(map.validation.is_none() && map.lower.iter().all(|value| value.is_nan()));
    assert!(map.predicted.iter().all(|value| value.is_finite()));

    let twice = Measured { rows: &[3, 3], protein: protein.slice(s![..2, ..]) };
    let error = map_protein(&cells, &twice, &MapParams::default()).unwrap_err();
    assert!(matches!(error, RegressionError::MeasuredRow { row: 3, cells: 100 }));
}

#[test]
fn the_answer_has_the_same_bits_on_any_number_of_threads() {
    let shape = normal(N_CELLS, 20, 20);
    let protein = shape.dot(&normal(20, 8, 21)) + normal(N_CELLS, 8, 22);
    let folds = Folds::whole_specimens(&names(N_SPECIMENS, 0), 5).unwrap();
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let regressor = ProteinRegressor::default();
        pool.install(|| cross_validate(&regressor, shape.view(), protein.view(), &folds).unwrap())
    };
    assert_eq!(on(1), on(4));
}
