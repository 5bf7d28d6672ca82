//! The linear rule is scikit-learn's, number by number.
//!
//! Values by scikit-learn 1.9.1 and numpy 2.4.6, from `regression/tests/reference/regression.py`.
#![allow(clippy::unwrap_used)] // a test that fails says where

use ndarray::Array2;
use primordia_regression::{Folds, ProteinRegressor, cross_validate};

/// Digits in the printed reference values.
const PRINTED: f64 = 1e-6;

const N_CELLS: usize = 240;
const FOLDS_OF_EMBRYOS: [usize; 12] = [1, 3, 4, 2, 0, 4, 1, 1, 2, 0, 3, 0];
const SCORES: [f64; 5] =
    [0.703_124_732, 0.635_322_826, 0.555_176_769, 0.559_201_806, 0.612_985_937];
const PENALTY: f64 = 31.622_777;
/// The first three features of each fold's first held-out cell.
const FIRST_CELLS: [[f64; 3]; 5] = [
    [-5.406_891_5, -2.707_708_5, 1.786_767_5],
    [4.540_890_5, 1.764_324_9, -2.038_361_6],
    [-7.368_456_5, -3.569_813_4, 3.702_798_2],
    [9.246_348_5, 4.799_064_4, -3.944_708_1],
    [0.829_972_4, 0.243_893_4, 0.632_937_3],
];

fn tables() -> (Array2<f64>, Array2<f64>, Vec<String>) {
    let shape = Array2::from_shape_fn((N_CELLS, 30), |(i, j)| {
        let (i, j) = (i as f64, j as f64);
        (1.3 * i + 0.7 * j * j).sin() + 0.5 * (0.11 * i * (1.0 + j)).cos()
    });
    let weights = Array2::from_shape_fn((30, 25), |(i, j)| (i as f64 * 2.1 + j as f64 * 0.9).cos());
    let other = Array2::from_shape_fn((N_CELLS, 25), |(i, j)| {
        let (i, j) = (i as f64, j as f64);
        4.0 * (7.7 * i * i + 1.9 * j * i).sin()
    });
    let names = (0..N_CELLS).map(|cell| format!("embryo {}", cell % 12)).collect();
    (shape.clone(), shape.dot(&weights) + other, names)
}

#[test]
fn folds_are_those_of_the_reference() {
    let folds = Folds::whole_specimens(&tables().2, 5).unwrap();
    assert_eq!(folds.fold_of_row()[..12], FOLDS_OF_EMBRYOS);
}

#[test]
fn scores_and_predictions_are_those_of_the_reference() {
    let (shape, protein, names) = tables();
    let folds = Folds::whole_specimens(&names, 5).unwrap();
    let regressor = ProteinRegressor::linear();
    let validated = cross_validate(&regressor, shape.view(), protein.view(), &folds).unwrap();
    for (fold, (score, expected)) in validated.score.folds.iter().zip(SCORES).enumerate() {
        assert!((score - expected).abs() < PRINTED, "fold {fold}: {score} is not {expected}");
        let first = folds.split(fold).1[0];
        for (column, expected) in FIRST_CELLS[fold].into_iter().enumerate() {
            let found = validated.predicted[[first, column]];
            assert!((found - expected).abs() < PRINTED, "fold {fold}: {found} is not {expected}");
        }
    }
}

#[test]
fn the_penalty_is_that_of_the_reference() {
    let (shape, protein, names) = tables();
    let (training, _) = Folds::whole_specimens(&names, 5).unwrap().split(0);
    let part = |table: &Array2<f64>| table.select(ndarray::Axis(0), &training);
    let model = ProteinRegressor::linear().fit(part(&shape).view(), part(&protein).view()).unwrap();
    assert!((model.ridge.penalty - PENALTY).abs() < PRINTED);
}
