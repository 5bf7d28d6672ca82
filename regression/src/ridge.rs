//! Linear regression with a penalty on large weights, the penalty chosen by leaving out each cell.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};
use primordia_data::linear::{column_means, product, symmetric_eigen, transposed_product};
use rayon::prelude::*;

use crate::check;
use crate::error::{RegressionError, Result};

/// Ridge regression, which minimises `‖Y − 1b − XW‖² + α‖W‖²`
/// (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634).
///
/// Of the given penalties `α`, the fit takes the one with the smallest error over cells that are left out one
/// at a time, summed over all targets. That error has a closed form in the eigenvectors of `XᵀX` (Golub,
/// Heath & Wahba 1979, doi:10.1080/00401706.1979.10489751), so that one
/// eigendecomposition serves every penalty and every target.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    penalties: Vec<f64>,
}

/// A fitted [`Ridge`].
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeModel {
    /// The penalty that was chosen.
    pub penalty: f64,
    /// The mean of each input.
    pub input_means: Array1<f64>,
    /// The mean of each target.
    pub target_means: Array1<f64>,
    /// Inputs × targets.
    pub weights: Array2<f64>,
    /// Inputs × directions; the squared coordinates of an input along them sum to its leverage.
    pub whitening: Array2<f64>,
    /// How many cells were fitted.
    pub n_cells: usize,
}

impl Default for Ridge {
    /// Thirteen penalties from 10⁻² to 10⁴, evenly spaced in their logarithm.
    fn default() -> Self {
        Self { penalties: (0..13).map(|step| 10_f64.powf(-2.0 + f64::from(step) / 2.0)).collect() }
    }
}

impl Ridge {
    /// Ridge regression that chooses among `penalties`.
    ///
    /// # Errors
    /// [`RegressionError::Empty`] without penalties, [`RegressionError::Parameter`] if one is not
    /// positive and finite.
    pub fn new(penalties: Vec<f64>) -> Result<Self> {
        if penalties.is_empty() {
            return Err(RegressionError::Empty { name: "penalties" });
        }
        penalties.iter().try_for_each(|&penalty| check::positive("a penalty", penalty))?;
        Ok(Self { penalties })
    }

    /// Fits `targets` (cells × targets) to `inputs` (cells × inputs).
    ///
    /// # Errors
    /// [`RegressionError::Rows`], [`RegressionError::TooFewCells`] or
    /// [`RegressionError::NotFinite`] if the tables do not pair up, are too short or hold NaN.
    pub fn fit(&self, inputs: ArrayView2<f64>, targets: ArrayView2<f64>) -> Result<RidgeModel> {
        check::pair(("the inputs", inputs), ("the targets", targets))?;
        let (input_means, target_means) = (column_means(inputs), column_means(targets));
        let (x, y) = (&inputs - &input_means, &targets - &target_means);
        let rotated = Rotated::new(x.view(), y.view())?;
        let penalty = self.best_penalty(&rotated, y.view());
        let shrunk = rotated.shrunk(penalty);
        let weights = product(rotated.directions.view(), shrunk.view());
        let whitening =
            &rotated.directions / &rotated.squares.mapv(|square| (square + penalty).sqrt());
        let n_cells = inputs.nrows();
        Ok(RidgeModel { penalty, input_means, target_means, weights, whitening, n_cells })
    }

    fn best_penalty(&self, rotated: &Rotated, targets: ArrayView2<f64>) -> f64 {
        let errors: Vec<f64> = self
            .penalties
            .par_iter()
            .map(|&penalty| rotated.left_out_error(penalty, targets))
            .collect();
        let pairs = self.penalties.iter().zip(&errors);
        let best = pairs.min_by(|a, b| a.1.total_cmp(b.1)).map(|(&penalty, _)| penalty);
        best.unwrap_or(1.0) // never: there is a penalty
    }
}

/// A regression in the eigenvectors of the inputs' products, where penalties act one by one.
struct Rotated {
    squares: Array1<f64>,     // eigenvalues of XᵀX
    directions: Array2<f64>,  // inputs × directions
    coordinates: Array2<f64>, // cells × directions
    overlaps: Array2<f64>,    // directions × targets
}

impl Rotated {
    fn new(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<Self> {
        let (squares, directions) = symmetric_eigen(transposed_product(x, x).view())?;
        let squares = squares.mapv(|square| square.max(0.0));
        let coordinates = product(x, directions.view());
        let overlaps = transposed_product(coordinates.view(), y);
        Ok(Self { squares, directions, coordinates, overlaps })
    }

    /// The weights along each direction.
    fn shrunk(&self, penalty: f64) -> Array2<f64> {
        let factors = self.squares.mapv(|square| 1.0 / (square + penalty));
        &self.overlaps * &factors.insert_axis(Axis(1))
    }

    /// The sum of squared errors of each cell, predicted from all others.
    fn left_out_error(&self, penalty: f64, targets: ArrayView2<f64>) -> f64 {
        let predicted = product(self.coordinates.view(), self.shrunk(penalty).view());
        let factors = self.squares.mapv(|square| 1.0 / (square + penalty));
        let of_the_mean = 1.0 / targets.nrows() as f64;
        let mut sum = 0.0;
        for ((coordinates, predicted), target) in
            self.coordinates.outer_iter().zip(predicted.outer_iter()).zip(targets.outer_iter())
        {
            let leverage = of_the_mean + weighted_square(coordinates, &factors);
            let error: f64 =
                predicted.iter().zip(target).map(|(guess, value)| (value - guess).powi(2)).sum();
            sum += error / (1.0 - leverage).max(f64::EPSILON).powi(2);
        }
        sum
    }
}

fn weighted_square(values: ArrayView1<f64>, weights: &Array1<f64>) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| value * value * weight).sum()
}

impl RidgeModel {
    /// The targets (cells × targets) predicted from `inputs` (cells × inputs).
    ///
    /// # Errors
    /// [`RegressionError::Columns`] if `inputs` has another number of columns than the fitted table.
    pub fn predict(&self, inputs: ArrayView2<f64>) -> Result<Array2<f64>> {
        check::columns("the inputs", inputs.ncols(), self.input_means.len())?;
        let centred = &inputs - &self.input_means;
        Ok(product(centred.view(), self.weights.view()) + &self.target_means)
    }

    /// How far each cell's inputs lie from those of the fitted cells: the leverage, which is the share of
    /// its own prediction that a fitted cell decides. Near 0 for cells like the fitted ones, large for strangers.
    ///
    /// # Errors
    /// [`RegressionError::Columns`] if `inputs` has another number of columns than the fitted table.
    pub fn leverage(&self, inputs: ArrayView2<f64>) -> Result<Array1<f64>> {
        check::columns("the inputs", inputs.ncols(), self.input_means.len())?;
        let centred = &inputs - &self.input_means;
        let whitened = product(centred.view(), self.whitening.view());
        let mut leverage = Array1::from_elem(inputs.nrows(), 1.0 / self.n_cells as f64);
        Zip::from(&mut leverage).and(whitened.rows()).for_each(|sum, row| *sum += row.dot(&row));
        Ok(leverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, concatenate, s};
    use proptest::prelude::*;

    /// Rounding of a small linear system.
    const ROUNDING: f64 = 1e-8;

    fn any_table(n_rows: usize, n_columns: usize) -> impl Strategy<Value = Array2<f64>> {
        proptest::collection::vec(-3.0..3.0_f64, n_rows * n_columns)
            .prop_map(move |values| Array2::from_shape_vec((n_rows, n_columns), values).unwrap())
    }

    fn one(penalty: f64) -> Ridge {
        Ridge::new(vec![penalty]).unwrap()
    }

    /// The error of leaving out each cell, by leaving out each cell.
    fn left_out_error_by_definition(penalty: f64, x: &Array2<f64>, y: &Array2<f64>) -> f64 {
        let others = |table: &Array2<f64>, row: usize| {
            concatenate![Axis(0), table.slice(s![..row, ..]), table.slice(s![row + 1.., ..])]
        };
        (0..x.nrows())
            .map(|row| {
                let model = one(penalty).fit(others(x, row).view(), others(y, row).view()).unwrap();
                let guess = model.predict(x.slice(s![row..=row, ..])).unwrap();
                (&guess - &y.slice(s![row..=row, ..])).mapv(|error| error * error).sum()
            })
            .sum()
    }

    #[test]
    fn one_input_has_the_weight_of_the_formula() {
        // Centred: w = Σxy / (Σx² + α) = 2·(−1·−2 + 1·2)/(2 + 2) with x = −1, 0, 1 and y = −2, 0, 2.
        let model =
            one(2.0).fit(array![[4.0], [5.0], [6.0]].view(), array![[1.0], [3.0], [5.0]].view());
        let model = model.unwrap();
        assert!((model.weights[[0, 0]] - 1.0).abs() < ROUNDING);
        assert!((model.predict(array![[7.0]].view()).unwrap()[[0, 0]] - 5.0).abs() < ROUNDING);
    }

    proptest! {
        #[test]
        fn weights_solve_the_normal_equations(x in any_table(9, 4), y in any_table(9, 2)) {
            let model = one(0.7).fit(x.view(), y.view()).unwrap();
            let (x, y) = (&x - &column_means(x.view()), &y - &column_means(y.view()));
            let left = x.t().dot(&x).dot(&model.weights) + &model.weights * 0.7;
            prop_assert!((left - x.t().dot(&y)).iter().all(|error| error.abs() < ROUNDING));
        }

        #[test]
        fn the_fast_error_of_leaving_out_is_the_slow_one(x in any_table(7, 3), y in any_table(7, 2)) {
            let (x0, y0) = (&x - &column_means(x.view()), &y - &column_means(y.view()));
            let fast = Rotated::new(x0.view(), y0.view()).unwrap().left_out_error(0.5, y0.view());
            let slow = left_out_error_by_definition(0.5, &x, &y);
            prop_assert!((fast - slow).abs() < ROUNDING * slow);
        }
    }

    #[test]
    fn noise_gets_the_largest_penalty_and_a_rule_the_smallest() {
        let x = Array2::from_shape_fn((60, 5), |(i, j)| ((i * 31 + j * 17) as f64).sin());
        let noise = Array2::from_shape_fn((60, 1), |(i, _)| ((i * i * 7) as f64 * 1.7).cos());
        let rule = x.dot(&array![[1.0], [-2.0], [0.5], [3.0], [0.0]]);
        assert!(
            (Ridge::default().fit(x.view(), rule.view()).unwrap().penalty - 0.01).abs() < 1e-12
        );
        assert!(Ridge::default().fit(x.view(), noise.view()).unwrap().penalty > 10.0);
    }

    #[test]
    fn strangers_have_leverage() {
        let x = Array2::from_shape_fn((50, 2), |(i, j)| ((i * 13 + j * 7) as f64).sin());
        let model = one(0.1).fit(x.view(), x.view()).unwrap();
        let leverage = model.leverage(array![[0.0, 0.1], [9.0, -9.0]].view()).unwrap();
        assert!(leverage[0] < 0.1 && leverage[1] > 2.0, "{leverage}");
    }

    #[test]
    fn impossible_tables_are_errors() {
        let x = array![[1.0], [2.0], [f64::NAN]];
        let y = array![[1.0], [2.0], [3.0]];
        let error = Ridge::default().fit(x.view(), y.view()).unwrap_err();
        assert!(error.to_string().contains("row 2, column 0 of the inputs"), "{error}");
        assert!(Ridge::default().fit(y.slice(s![..2, ..]), y.view()).is_err());
        assert!(Ridge::new(vec![]).is_err() && Ridge::new(vec![-1.0]).is_err());
    }
}
