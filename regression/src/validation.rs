//! How well a rule predicts specimens that it has not seen.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use primordia_data::PrincipalComponents;
use rayon::prelude::*;

use crate::check;
use crate::error::Result;
use crate::folds::Folds;
use crate::protein::ProteinRegressor;
use crate::score::variance_weighted_r2;

/// A score for each fold that was held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The score of each fold.
    pub folds: Vec<f64>,
}

impl Score {
    /// The mean over folds.
    pub fn mean(&self) -> f64 {
        self.folds.iter().sum::<f64>() / self.folds.len() as f64
    }

    /// The standard deviation over folds (over n).
    pub fn sd(&self) -> f64 {
        let mean = self.mean();
        let squares = self.folds.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
        (squares / self.folds.len() as f64).sqrt()
    }
}

/// Predictions of every cell by a model that saw no cell of its specimen.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidation {
    /// Cells × protein features, out of fold.
    pub predicted: Array2<f64>,
    /// How unlike the cells of its model each cell is (see [`crate::RidgeModel::leverage`]).
    pub leverage: Array1<f64>,
    /// The variance-weighted R² of each fold over the protein's components, which are those of the training part.
    pub score: Score,
}

/// Fits without each fold in turn and predicts it.
///
/// Everything that is fitted (scaling, components, curved functions, penalty, weights) is fitted to
/// the training part alone.
///
/// # Errors
/// As [`ProteinRegressor::fit`], and [`crate::RegressionError::Rows`] if `folds` is for another number of cells.
pub fn cross_validate(
    regressor: &ProteinRegressor,
    shape: ArrayView2<f64>,
    protein: ArrayView2<f64>,
    folds: &Folds,
) -> Result<CrossValidation> {
    check::pair(("shape", shape), ("protein", protein))?;
    check::rows("the folds", folds.n_rows(), shape.nrows())?;
    let parts: Vec<HeldOut> = (0..folds.n_folds())
        .into_par_iter()
        .map(|fold| hold_out(regressor, shape, protein, folds.split(fold)))
        .collect::<Result<_>>()?;
    let mut predicted = Array2::zeros(protein.dim());
    let mut leverage = Array1::zeros(protein.nrows());
    for part in &parts {
        for (at, &row) in part.rows.iter().enumerate() {
            predicted.row_mut(row).assign(&part.predicted.row(at));
            leverage[row] = part.leverage[at];
        }
    }
    let score = Score { folds: parts.iter().map(|part| part.score).collect() };
    Ok(CrossValidation { predicted, leverage, score })
}

/// The score of predicting that every cell is the mean of the training part: near 0 by construction.
///
/// # Errors
/// As [`cross_validate`].
pub fn mean_score(
    regressor: &ProteinRegressor,
    protein: ArrayView2<f64>,
    folds: &Folds,
) -> Result<Score> {
    check::pair(("protein", protein), ("protein", protein))?;
    check::rows("the folds", folds.n_rows(), protein.nrows())?;
    let score = |fold| {
        let (training, held_out) = folds.split(fold);
        let training = protein.select(Axis(0), &training);
        let space = PrincipalComponents::fit(training.view(), regressor.protein_components)?;
        let measured = space.transform(protein.select(Axis(0), &held_out).view());
        variance_weighted_r2(measured.view(), Array2::zeros(measured.dim()).view())
    };
    Ok(Score { folds: (0..folds.n_folds()).map(score).collect::<Result<_>>()? })
}

struct HeldOut {
    rows: Vec<usize>,
    predicted: Array2<f64>,
    leverage: Array1<f64>,
    score: f64,
}

fn hold_out(
    regressor: &ProteinRegressor,
    shape: ArrayView2<f64>,
    protein: ArrayView2<f64>,
    (training, rows): (Vec<usize>, Vec<usize>),
) -> Result<HeldOut> {
    let part = |table: ArrayView2<f64>, rows: &[usize]| table.select(Axis(0), rows);
    let model = regressor.fit(part(shape, &training).view(), part(protein, &training).view())?;
    let prediction = model.predict_components(part(shape, &rows).view())?;
    let measured = model.protein_space.transform(part(protein, &rows).view());
    let score = variance_weighted_r2(measured.view(), prediction.components.view())?;
    let predicted = model.protein_space.inverse_transform(prediction.components.view());
    Ok(HeldOut { rows, predicted, leverage: prediction.leverage, score })
}
