//! How much of the targets' variance a prediction explains.

use ndarray::{ArrayView2, Axis};

use crate::check;
use crate::error::Result;

/// The coefficient of determination over all columns, each weighted by its variance:
/// `1 − Σ (y − ŷ)² / Σ (y − mean of the column)²`.
///
/// `measured` and `predicted` are cells × columns. 1 is perfect, 0 no better than the mean of these
/// cells, below 0 worse than that; NaN if no column varies. It is scikit-learn's
/// `r2_score(..., multioutput="variance_weighted")`.
///
/// # Errors
/// [`crate::RegressionError::Rows`] or [`crate::RegressionError::Columns`] if the shapes differ.
pub fn variance_weighted_r2(measured: ArrayView2<f64>, predicted: ArrayView2<f64>) -> Result<f64> {
    check::rows("the prediction", predicted.nrows(), measured.nrows())?;
    check::columns("the prediction", predicted.ncols(), measured.ncols())?;
    let (mut unexplained, mut total) = (0.0, 0.0);
    for (measured, predicted) in measured.axis_iter(Axis(1)).zip(predicted.axis_iter(Axis(1))) {
        let mean = measured.mean().unwrap_or(f64::NAN);
        for (value, guess) in measured.iter().zip(predicted) {
            unexplained += (value - guess).powi(2);
            total += (value - mean).powi(2);
        }
    }
    Ok(if total > 0.0 { 1.0 - unexplained / total } else { f64::NAN })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_score_is_that_of_scikit_learn() {
        // The example in scikit-learn's documentation of `r2_score`.
        let measured = array![[0.5, 1.0], [-1.0, 1.0], [7.0, -6.0]];
        let predicted = array![[0.0, 2.0], [-1.0, 2.0], [8.0, -5.0]];
        let score = variance_weighted_r2(measured.view(), predicted.view()).unwrap();
        assert!((score - 0.938_256_658).abs() < 1e-8);
    }

    #[test]
    fn the_truth_scores_one_and_the_mean_scores_nothing() {
        let measured = array![[1.0, 5.0], [2.0, 3.0], [3.0, 1.0]];
        let mean = array![[2.0, 3.0], [2.0, 3.0], [2.0, 3.0]];
        assert!(
            (variance_weighted_r2(measured.view(), measured.view()).unwrap() - 1.0).abs() < 1e-12
        );
        assert!(variance_weighted_r2(measured.view(), mean.view()).unwrap().abs() < 1e-12);
        assert!(variance_weighted_r2(mean.view(), mean.view()).unwrap().is_nan());
        assert!(variance_weighted_r2(mean.view(), array![[1.0]].view()).is_err());
    }
}
