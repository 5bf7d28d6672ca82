//! How far off a prediction may be.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::check;
use crate::error::{RegressionError, Result};
use crate::folds::Folds;

/// Conformal prediction intervals from the errors on specimens that were held out (Vovk et al. 2005,
/// doi:10.1007/b106715).
///
/// Cells of one specimen err together, so that specimens, not cells, are exchangeable: each
/// specimen's errors count as one (Dunn, Wasserman & Ramdas 2022,
/// doi:10.1080/01621459.2022.2060112). The half-width of a column is a quantile of its errors, times
/// `√(1 + leverage)`, by which cells unlike those measured get wider intervals. The quantile is the
/// smallest that covers the stated share of the cells of specimens whose own errors are left out.
///
/// The share is an average over specimens and columns. Few specimens cannot show rare errors: if even
/// the largest error of the others covers too little, intervals end there.
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
        let errors: Vec<Errors> = measured
            .axis_iter(Axis(1))
            .zip(predicted.axis_iter(Axis(1)))
            .map(|(measured, predicted)| Errors::new(measured, predicted, leverage, folds))
            .collect();
        let level = calibrated_level(&errors, coverage);
        let half_widths = errors.iter().map(|errors| errors.quantile(level, None)).collect();
        Ok(Self { coverage, half_widths })
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

/// Specimens are left out in at most this many groups.
const MAX_GROUPS: usize = 20;
/// Halvings of the range of levels: the level is known to 0.0002.
const N_HALVINGS: usize = 12;

/// The lowest level whose quantiles of the others' errors cover `coverage` of each group's cells, on average.
fn calibrated_level(errors: &[Errors], coverage: f64) -> f64 {
    let covers = |level: f64| {
        let shares: Vec<f64> =
            errors.par_iter().map(|errors| errors.share_left_out(level)).collect();
        shares.iter().sum::<f64>() >= coverage * shares.len() as f64
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..N_HALVINGS {
        let middle = f64::midpoint(low, high);
        if covers(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The errors of one column, ascending, at leverage 0.
struct Errors {
    ascending: Vec<CellError>,
    n_groups: usize,
}

struct CellError {
    size: f64,
    weight: f64, // one over the number of cells in its specimen
    group: usize,
}

impl Errors {
    fn new(
        measured: ArrayView1<f64>,
        predicted: ArrayView1<f64>,
        leverage: ArrayView1<f64>,
        folds: &Folds,
    ) -> Self {
        let mut n_cells = vec![0.0; folds.n_specimens()];
        folds.specimen_of_row().iter().for_each(|&specimen| n_cells[specimen] += 1.0);
        let n_groups = folds.n_specimens().min(MAX_GROUPS);
        let cell_error = |(row, &specimen): (usize, &usize)| CellError {
            size: (measured[row] - predicted[row]).abs() / spread(leverage[row]),
            weight: 1.0 / n_cells[specimen],
            group: specimen % n_groups,
        };
        let mut ascending: Vec<_> =
            folds.specimen_of_row().iter().enumerate().map(cell_error).collect();
        ascending.sort_by(|a, b| a.size.total_cmp(&b.size));
        Self { ascending, n_groups }
    }

    /// The smallest error at which the weights of errors up to it reach `level`; a group may be left out.
    fn quantile(&self, level: f64, left_out: Option<usize>) -> f64 {
        const ROUNDING: f64 = 1e-9;
        let others = || self.ascending.iter().filter(|error| Some(error.group) != left_out);
        let total: f64 = others().map(|error| error.weight).sum();
        let mut sum = 0.0;
        let mut reached = others().skip_while(|error| {
            sum += error.weight;
            sum < total * level - ROUNDING
        });
        reached.next().or(self.ascending.last()).map_or(0.0, |error| error.size)
    }

    /// The share of each group within the quantile of the other groups, weighted by specimens.
    fn share_left_out(&self, level: f64) -> f64 {
        let limits: Vec<f64> =
            (0..self.n_groups).map(|group| self.quantile(level, Some(group))).collect();
        let (mut within, mut total) = (0.0, 0.0);
        for error in &self.ascending {
            total += error.weight;
            within += if error.size <= limits[error.group] { error.weight } else { 0.0 };
        }
        within / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn errors(sizes: &[f64], specimens: &[&str]) -> Errors {
        let folds = Folds::whole_specimens(specimens, 2).unwrap();
        let nothing = Array1::zeros(sizes.len());
        Errors::new(ArrayView1::from(sizes), nothing.view(), nothing.view(), &folds)
    }

    #[test]
    fn the_quantile_is_the_smallest_error_that_reaches_the_level() {
        let errors = errors(&[3.0, 1.0, 2.0, 4.0], &["a", "b", "c", "d"]);
        assert!((errors.quantile(0.5, None) - 2.0).abs() < 1e-12);
        assert!((errors.quantile(0.51, None) - 3.0).abs() < 1e-12);
        assert!((errors.quantile(1.0, None) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_specimen_counts_once_however_many_cells_it_has() {
        let errors = errors(&[5.0, 1.0, 1.0, 1.0], &["a", "b", "b", "b"]);
        assert!((errors.quantile(0.5, None) - 1.0).abs() < 1e-12);
        assert!((errors.quantile(0.51, None) - 5.0).abs() < 1e-12);
    }

    #[test]
    fn a_specimen_is_judged_by_the_errors_of_the_others() {
        let errors = errors(&[1.0, 2.0, 3.0], &["a", "b", "c"]);
        // Below the largest of the others lie 1 (of 2, 3) and 2 (of 1, 3), but not 3 (of 1, 2).
        assert!((errors.share_left_out(1.0) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn strangers_get_wider_intervals() {
        let intervals = Intervals { coverage: 0.9, half_widths: array![2.0] };
        let (lower, upper) = intervals.around(array![[1.0], [1.0]].view(), array![0.0, 3.0].view());
        assert_eq!((lower, upper), (array![[-1.0], [-3.0]], array![[3.0], [5.0]]));
    }
}
