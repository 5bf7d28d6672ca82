//! Standardised principal components: the axes along which rows of a table differ most.

// Views are passed by value, as ndarray's own functions take them.
#![allow(clippy::needless_pass_by_value)]

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};

use crate::error::{DataError, Result};
use crate::linear::{column_means, product, symmetric_eigen, transposed_product};

/// Principal components of z-scored columns (Hotelling 1933, doi:10.1037/h0071325).
///
/// Each column is shifted to mean 0 and divided by its standard deviation (over n, as scikit-learn
/// does); then the components are the orthonormal directions of largest variance, in descending
/// order. The largest loading of each component is positive, so that signs do not depend on the
/// algorithm.
///
/// ```
/// # use ndarray::array;
/// # use primordia_data::PrincipalComponents;
/// let line = array![[0.0, 10.0], [1.0, 12.0], [2.0, 14.0]];
/// let space = PrincipalComponents::fit(line.view(), None)?;
/// assert_eq!(space.n_components(), 1);
/// assert!((space.explained_variance_ratio[0] - 1.0).abs() < 1e-12);
/// # Ok::<_, primordia_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalComponents {
    /// The mean of each column.
    pub mean: Array1<f64>,
    /// The standard deviation of each column; 1 where a column is constant.
    pub scale: Array1<f64>,
    /// The directions: components × columns, orthonormal rows.
    pub components: Array2<f64>,
    /// The share of the variance of the z-scored columns along each component, descending.
    pub explained_variance_ratio: Array1<f64>,
}

impl PrincipalComponents {
    /// Finds the components of `rows` (observations × columns).
    ///
    /// Keeps at most `at_most` components (`None` for all), and never directions without variance:
    /// their number is at most the rank of the centred table.
    ///
    /// # Errors
    /// [`DataError::TooFewRows`] below two rows, [`DataError::NotFinite`] if a value is NaN or
    /// infinite, [`DataError::NoVariance`] if every column is constant.
    pub fn fit(rows: ArrayView2<f64>, at_most: Option<usize>) -> Result<Self> {
        check(rows)?;
        let mean = column_means(rows);
        let scale = standard_deviations(rows, &mean);
        Self::fit_scaled(rows, mean, scale, at_most)
    }

    /// Finds the components of `rows` (observations × columns) whose columns are of one unit: they are
    /// centred, but not divided by their standard deviations, so that distances stay what they are
    /// and a column counts by how much it varies. Every `scale` is 1.
    ///
    /// # Errors
    /// As [`PrincipalComponents::fit`].
    pub fn fit_unscaled(rows: ArrayView2<f64>, at_most: Option<usize>) -> Result<Self> {
        check(rows)?;
        Self::fit_scaled(rows, column_means(rows), Array1::ones(rows.ncols()), at_most)
    }

    /// Finds the components of `rows`, checked, less `mean` and over `scale`.
    fn fit_scaled(
        rows: ArrayView2<f64>,
        mean: Array1<f64>,
        scale: Array1<f64>,
        at_most: Option<usize>,
    ) -> Result<Self> {
        let scored = standardised(rows, &mean, &scale);
        let (variances, directions) =
            if rows.ncols() <= rows.nrows() { of_tall(&scored)? } else { of_wide(&scored)? };
        let total: f64 = scored.iter().map(|value| value * value).sum();
        let rank = variances.iter().take_while(|&&v| v > NO_VARIANCE * total).count();
        if rank == 0 {
            return Err(DataError::NoVariance { rows: rows.nrows() });
        }
        let kept = at_most.unwrap_or(rank).clamp(1, rank);
        let components = with_positive_largest(directions.slice(s![..kept, ..]).to_owned());
        let explained_variance_ratio = variances.slice(s![..kept]).mapv(|v| v / total);
        Ok(Self { mean, scale, components, explained_variance_ratio })
    }

    /// The number of components.
    pub fn n_components(&self) -> usize {
        self.components.nrows()
    }

    /// The coordinates of `rows` (observations × columns) along the components: observations ×
    /// components.
    ///
    /// # Panics
    /// If `rows` has not as many columns as the fitted table.
    pub fn transform(&self, rows: ArrayView2<f64>) -> Array2<f64> {
        let scored = standardised(rows, &self.mean, &self.scale);
        product(scored.view(), self.components.t())
    }

    /// The rows (observations × columns) at `coordinates` (observations × components).
    ///
    /// # Panics
    /// If `coordinates` has not as many columns as there are components.
    pub fn inverse_transform(&self, coordinates: ArrayView2<f64>) -> Array2<f64> {
        let mut rows = product(coordinates, self.components.view());
        for mut row in rows.axis_iter_mut(Axis(0)) {
            Zip::from(&mut row).and(&self.mean).and(&self.scale).for_each(|value, mean, scale| {
                *value = *value * scale + mean;
            });
        }
        rows
    }
}

/// Variance below this share of the total is rounding: the square of a relative error of 1e-7.
const NO_VARIANCE: f64 = 1e-14;

/// A column varies if its standard deviation exceeds this share of its mean's size.
const CONSTANT: f64 = 1e-13;

fn check(rows: ArrayView2<f64>) -> Result<()> {
    if rows.nrows() < 2 {
        return Err(DataError::TooFewRows { found: rows.nrows(), wanted: 2 });
    }
    match rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &value)) => Err(DataError::NotFinite { row, column, value }),
        None => Ok(()),
    }
}

/// The standard deviation (over n) of each column, and 1 for constant columns.
fn standard_deviations(rows: ArrayView2<f64>, mean: &Array1<f64>) -> Array1<f64> {
    let mut squares = Array1::<f64>::zeros(rows.ncols());
    for row in rows.axis_iter(Axis(0)) {
        Zip::from(&mut squares).and(&row).and(mean).for_each(|sum, x, m| *sum += (x - m).powi(2));
    }
    Zip::from(&squares).and(mean).map_collect(|sum, mean| {
        let deviation = (sum / rows.nrows() as f64).sqrt();
        if deviation > CONSTANT * mean.abs() { deviation } else { 1.0 }
    })
}

fn standardised(rows: ArrayView2<f64>, mean: &Array1<f64>, scale: &Array1<f64>) -> Array2<f64> {
    let mut scored = rows.as_standard_layout().into_owned();
    for mut row in scored.axis_iter_mut(Axis(0)) {
        Zip::from(&mut row).and(mean).and(scale).for_each(|value, mean, scale| {
            *value = (*value - mean) / scale;
        });
    }
    scored
}

/// Sums of squares along the components and their directions (as rows), from the columns' products.
fn of_tall(scored: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let products = transposed_product(scored.view(), scored.view());
    let (squares, vectors) = symmetric_eigen(products.view())?;
    Ok((squares, vectors.reversed_axes()))
}

/// The same from the rows' products, which are fewer when there are more columns than rows.
fn of_wide(scored: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let products = product(scored.view(), scored.t());
    let (squares, vectors) = symmetric_eigen(products.view())?;
    let mut directions = transposed_product(vectors.view(), scored.view());
    for (mut direction, &square) in directions.axis_iter_mut(Axis(0)).zip(&squares) {
        direction /= square.max(f64::MIN_POSITIVE).sqrt();
    }
    Ok((squares, directions))
}

fn with_positive_largest(mut components: Array2<f64>) -> Array2<f64> {
    for mut component in components.axis_iter_mut(Axis(0)) {
        let largest = component.iter().fold(0.0_f64, |a, &b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            component.mapv_inplace(|loading| -loading);
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    /// Rounding of an eigendecomposition of order-one numbers.
    const ROUNDING: f64 = 1e-9;
    /// Digits in the printed reference values.
    const PRINTED: f64 = 1e-8;

    fn largest_error<D: ndarray::Dimension>(errors: &ndarray::Array<f64, D>) -> f64 {
        errors.iter().fold(0.0, |largest, error| error.abs().max(largest))
    }

    fn any_rows(n_rows: usize, n_columns: usize) -> impl Strategy<Value = Array2<f64>> {
        proptest::collection::vec(-5.0..5.0_f64, n_rows * n_columns)
            .prop_map(move |values| Array2::from_shape_vec((n_rows, n_columns), values).unwrap())
    }

    proptest! {
        #[test]
        fn all_components_keep_everything(rows in any_rows(12, 5)) {
            for fit in [PrincipalComponents::fit, PrincipalComponents::fit_unscaled] {
                let space = fit(rows.view(), None).unwrap();
                let again = space.inverse_transform(space.transform(rows.view()).view());
                prop_assert!((&again - &rows).iter().all(|e| e.abs() < 1e-6));
                prop_assert!((space.explained_variance_ratio.sum() - 1.0).abs() < ROUNDING);
            }
        }

        #[test]
        fn without_scaling_distances_stay_what_they_are(rows in any_rows(12, 5)) {
            let space = PrincipalComponents::fit_unscaled(rows.view(), None).unwrap();
            let scores = space.transform(rows.view());
            for (i, j) in [(0, 1), (2, 7), (5, 11)] {
                let apart = |table: &Array2<f64>| {
                    (&table.row(i) - &table.row(j)).mapv(|value| value * value).sum().sqrt()
                };
                prop_assert!((apart(&rows) - apart(&scores)).abs() < ROUNDING);
            }
        }

        #[test]
        fn components_are_orthonormal_in_tall_and_wide_tables(rows in any_rows(8, 11)) {
            for rows in [rows.view(), rows.t()] {
                let space = PrincipalComponents::fit(rows, Some(4)).unwrap();
                let products = space.components.dot(&space.components.t());
                prop_assert!((products - Array2::<f64>::eye(4)).iter().all(|e| e.abs() < 1e-8));
            }
        }

        #[test]
        fn a_shift_or_a_change_of_units_of_a_column_changes_nothing(rows in any_rows(12, 4)) {
            let space = PrincipalComponents::fit(rows.view(), None).unwrap();
            let other_units = &rows * &array![1.0, 100.0, 0.01, 3.0] + 7.0;
            let again = PrincipalComponents::fit(other_units.view(), None).unwrap();
            prop_assert!((space.transform(rows.view()) - again.transform(other_units.view()))
                .iter().all(|e| e.abs() < 1e-6));
        }
    }

    /// scikit-learn 1.9.1 `make_pipeline(StandardScaler(), PCA())` on the same six rows; the script is
    /// `data/tests/reference/principal_components.py`.
    #[test]
    fn components_are_those_of_scikit_learn() {
        let rows = six_rows();
        let space = PrincipalComponents::fit(rows.view(), None).unwrap();
        let ratios = array![0.645_321_67, 0.296_950_07, 0.057_728_26];
        assert!(largest_error(&(&space.explained_variance_ratio - &ratios)) < PRINTED);
        // scikit-learn's own sign for a component is arbitrary; ours makes the largest positive.
        let components = array![
            [0.684_634_6, 0.556_980_5, 0.470_157_61],
            [-0.027_856_05, -0.624_570_29, 0.780_471_65],
            [0.728_353_97, -0.547_434_63, -0.412_087_15],
        ];
        assert!(largest_error(&(&space.components - &components)) < PRINTED);
    }

    fn six_rows() -> Array2<f64> {
        array![
            [1.0, 2.0, 0.5],
            [2.0, 1.5, -1.0],
            [3.5, 4.0, 2.0],
            [-1.0, 0.0, 1.0],
            [0.5, 3.0, -2.0],
            [4.0, 2.5, 3.0],
        ]
    }

    #[test]
    fn the_largest_loading_is_positive() {
        let space = PrincipalComponents::fit(six_rows().view(), None).unwrap();
        for component in space.components.rows() {
            let largest = component
                .iter()
                .copied()
                .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            assert!(largest > 0.0);
        }
    }

    #[test]
    fn a_constant_column_has_no_part() {
        let rows = array![[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]];
        let space = PrincipalComponents::fit(rows.view(), None).unwrap();
        assert!((space.scale[1] - 1.0).abs() < ROUNDING);
        assert!(largest_error(&(space.components - array![[1.0, 0.0]])) < ROUNDING);
    }

    #[test]
    fn without_scaling_the_axis_is_that_of_the_largest_variance_in_its_own_unit() {
        // Variances of 2 and 0.02, uncorrelated: scaled, the two would count alike.
        let rows = array![[2.0, 0.1], [-2.0, 0.1], [0.0, -0.2], [0.0, 0.0]];
        let space = PrincipalComponents::fit_unscaled(rows.view(), None).unwrap();
        assert!(largest_error(&(&space.components - &array![[1.0, 0.0], [0.0, 1.0]])) < ROUNDING);
        let ratios = array![8.0 / 8.06, 0.06 / 8.06];
        assert!(largest_error(&(&space.explained_variance_ratio - &ratios)) < ROUNDING);
        let moved = space.inverse_transform(array![[1.0, 0.0]].view());
        assert!((moved[[0, 0]] - 1.0).abs() < ROUNDING, "a step of 1 is a step of 1");
    }

    #[test]
    fn what_has_no_answer_is_an_error() {
        let one = array![[1.0, 2.0]];
        assert!(matches!(
            PrincipalComponents::fit(one.view(), None),
            Err(DataError::TooFewRows { found: 1, wanted: 2 })
        ));
        let hole = array![[1.0, 2.0], [3.0, f64::NAN]];
        assert!(matches!(
            PrincipalComponents::fit(hole.view(), None),
            Err(DataError::NotFinite { row: 1, column: 1, .. })
        ));
        let flat = array![[1.0, 2.0], [1.0, 2.0]];
        assert!(matches!(
            PrincipalComponents::fit(flat.view(), None),
            Err(DataError::NoVariance { rows: 2 })
        ));
    }

    #[test]
    fn the_answer_has_the_same_bits_on_any_number_of_threads() {
        let rows =
            Array2::from_shape_fn((900, 70), |(i, j)| ((i * 7 + j * j * 13) as f64 * 0.37).sin());
        let fit = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| PrincipalComponents::fit(rows.view(), None).unwrap())
        };
        assert_eq!(fit(1), fit(4));
    }
}
