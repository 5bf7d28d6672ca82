//! How far off a prediction may be.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::check;
use crate::error::{RegressionError, Result};
use crate::folds::Folds;

/// Conformal prediction intervals from the errors on specimens that were held out (Vovk et al. 2005, doi:10.1007/b106715).
///
/// Cells of one specimen err together, so that specimens, not cells, are exchangeable: each specimen's
/// errors count as one (Dunn, Wasserman & Ramdas 2022, doi:10.1080/01621459.2022.2060112). The half-width of a column is the smallest error that covers
/// the stated share of a new specimen's cells on average, times `√(1 + leverage)`, by
/// which cells unlike those measured get wider intervals.
///
/// `k` specimens cannot show errors rarer than one in `k + 1`: with fewer than nine specimens, a 90 %
/// interval ends at the largest error seen, and may cover less.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// The share of cells to be covered.
    pub coverage: f64,
    /// The half-width of each column's interval at leverage 0.
    pub half_widths: Array1<f64>,
}

impl Intervals {
    /// Learns the half-widths from `predicted`, made out of fold, beside `measured` (cells × columns).
    ///
    /// # Errors
    /// [`RegressionError::Parameter`] unless `coverage` lies between 0 and 1,
    /// [`RegressionError::Rows`] or [`RegressionError::Columns`] if the tables do not pair up.
    pub fn fit(
        measured: ArrayView2<f64>,
        predicted: (ArrayView2<f64>, ArrayView1<f64>),
        folds: &Folds,
        coverage: f64,
    ) -> Result<Self> {
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(RegressionError::Parameter { name: "coverage (below 1)", value: coverage });
        }
        let (predicted, leverage) = predicted;
        check::rows("the prediction", predicted.nrows(), measured.nrows())?;
        check::columns("the prediction", predicted.ncols(), measured.ncols())?;
        check::rows("the leverage", leverage.len(), measured.nrows())?;
        check::rows("the folds", folds.n_rows(), measured.nrows())?;
        let weights = specimen_weights(folds);
        let n_specimens = folds.n_specimens() as f64;
        let level = (coverage * (n_specimens + 1.0) / n_specimens).min(1.0);
        let half_widths = measured.axis_iter(Axis(1)).zip(predicted.axis_iter(Axis(1))).map(
            |(measured, predicted)| {
                let errors = measured.iter().zip(predicted).zip(&leverage).zip(&weights);
                let errors = errors.map(|(((value, guess), leverage), &weight)| {
                    ((value - guess).abs() / spread(*leverage), weight)
                });
                weighted_quantile(errors.collect(), level)
            },
        );
        Ok(Self { coverage, half_widths: half_widths.collect() })
    }

    /// The lower and upper ends (cells × columns) around `predicted` for cells of that `leverage`.
    pub fn around(
        &self,
        predicted: ArrayView2<f64>,
        leverage: ArrayView1<f64>,
    ) -> (Array2<f64>, Array2<f64>) {
        let spreads = leverage.mapv(spread).insert_axis(Axis(1));
        let half = &spreads * &self.half_widths;
        (&predicted - &half, &predicted + &half)
    }
}

fn spread(leverage: f64) -> f64 {
    (1.0 + leverage).sqrt()
}

/// One over the number of specimens and of the specimen's cells, for each cell.
fn specimen_weights(folds: &Folds) -> Vec<f64> {
    let mut n_cells = vec![0.0; folds.n_specimens()];
    folds.specimen_of_row().iter().for_each(|&specimen| n_cells[specimen] += 1.0);
    let n_specimens = folds.n_specimens() as f64;
    folds
        .specimen_of_row()
        .iter()
        .map(|&specimen| 1.0 / (n_specimens * n_cells[specimen]))
        .collect()
}

/// The smallest value at which the weights of values up to it reach `level`.
fn weighted_quantile(mut values: Vec<(f64, f64)>, level: f64) -> f64 {
    const ROUNDING: f64 = 1e-12;
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sum = 0.0;
    for &(value, weight) in &values {
        sum += weight;
        if sum >= level - ROUNDING {
            return value;
        }
    }
    values.last().map_or(0.0, |&(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_quantile_is_the_smallest_value_that_reaches_the_level() {
        let values = vec![(3.0, 0.25), (1.0, 0.25), (2.0, 0.25), (4.0, 0.25)];
        assert!((weighted_quantile(values.clone(), 0.5) - 2.0).abs() < 1e-12);
        assert!((weighted_quantile(values.clone(), 0.51) - 3.0).abs() < 1e-12);
        assert!((weighted_quantile(values, 1.0) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_specimen_counts_once_however_many_cells_it_has() {
        let folds = Folds::whole_specimens(&["a", "b", "b", "b"], 2).unwrap();
        let measured = array![[5.0], [1.0], [1.0], [1.0]];
        let nothing = (Array2::zeros((4, 1)), Array1::zeros(4));
        let predicted = (nothing.0.view(), nothing.1.view());
        let intervals = Intervals::fit(measured.view(), predicted, &folds, 0.3).unwrap();
        assert!((intervals.half_widths[0] - 1.0).abs() < 1e-12); // 0.45 of the weight, 0.5 at 1.0
        let intervals = Intervals::fit(measured.view(), predicted, &folds, 0.5).unwrap();
        assert!((intervals.half_widths[0] - 5.0).abs() < 1e-12); // 0.75 of the weight
    }

    #[test]
    fn strangers_get_wider_intervals() {
        let intervals = Intervals { coverage: 0.9, half_widths: array![2.0] };
        let (lower, upper) = intervals.around(array![[1.0], [1.0]].view(), array![0.0, 3.0].view());
        assert_eq!((lower, upper), (array![[-1.0], [-3.0]], array![[3.0], [5.0]]));
    }
}
