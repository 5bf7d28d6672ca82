//! From features to the class of a cell, such as its archetype.

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use primordia_data::PrincipalComponents;
use rayon::prelude::*;

use crate::check;
use crate::error::Result;
use crate::expansion::KernelExpansion;
use crate::folds::Folds;
use crate::protein::{CELLS_PER_CENTRE, expanded};
use crate::ridge::{Ridge, RidgeModel};

/// How classes are predicted: ridge regression of each class' membership (1 or 0) on the
/// components of the features and a few curved functions of them ([`KernelExpansion`]).
///
/// The regression of a membership estimates its probability; the estimates of all classes are moved to
/// the nearest set of numbers that are probabilities, none negative and with a sum of one.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRegressor {
    /// At most this many centres of curved functions, and at most one per ten cells; 0 for a linear rule.
    pub n_centres: usize,
    /// The regression and its penalties.
    pub ridge: Ridge,
}

impl Default for ClassRegressor {
    /// 300 centres.
    fn default() -> Self {
        Self { n_centres: 300, ridge: Ridge::default() }
    }
}

/// A fitted [`ClassRegressor`].
#[derive(Clone, Debug, PartialEq)]
pub struct ClassModel {
    /// The classes, in alphabetical order.
    pub classes: Vec<String>,
    /// Where features are described.
    pub space: PrincipalComponents,
    /// The curved functions, if there are any.
    pub expansion: Option<KernelExpansion>,
    /// From features to memberships.
    pub ridge: RidgeModel,
}

impl ClassRegressor {
    /// Learns the `class` of each cell from `features` (cells × features).
    ///
    /// # Errors
    /// [`crate::RegressionError::Rows`], [`crate::RegressionError::TooFewCells`] or
    /// [`crate::RegressionError::NotFinite`] if the two do not pair up, are too short or hold NaN;
    /// [`crate::RegressionError::Data`] if the features do not vary.
    pub fn fit<S: AsRef<str>>(&self, features: ArrayView2<f64>, class: &[S]) -> Result<ClassModel> {
        self.fit_among(features, class, classes_of(class))
    }

    fn fit_among<S: AsRef<str>>(
        &self,
        features: ArrayView2<f64>,
        class: &[S],
        classes: Vec<String>,
    ) -> Result<ClassModel> {
        let members = Array2::from_shape_fn((class.len(), classes.len()), |(row, column)| {
            f64::from(u8::from(class[row].as_ref() == classes[column]))
        });
        check::pair(("the features", features), ("the classes", members.view()))?;
        let space = PrincipalComponents::fit(features, None)?;
        let coordinates = space.transform(features);
        let n_centres = self.n_centres.min(features.nrows() / CELLS_PER_CENTRE);
        let expansion = KernelExpansion::fit(coordinates.view(), n_centres)?;
        let inputs = expanded(expansion.as_ref(), coordinates);
        let ridge = self.ridge.fit(inputs.view(), members.view())?;
        Ok(ClassModel { classes, space, expansion, ridge })
    }
}

impl ClassModel {
    /// The probability of each class (cells × classes) for cells with `features`.
    ///
    /// # Errors
    /// [`crate::RegressionError::Columns`] if `features` has another number of columns than the fitted table.
    pub fn predict(&self, features: ArrayView2<f64>) -> Result<Array2<f64>> {
        check::columns("the features", features.ncols(), self.space.mean.len())?;
        let inputs = expanded(self.expansion.as_ref(), self.space.transform(features));
        let mut memberships = self.ridge.predict(inputs.view())?;
        for mut row in memberships.axis_iter_mut(Axis(0)) {
            let nearest = nearest_probabilities(row.view());
            row.iter_mut().zip(nearest).for_each(|(value, probability)| *value = probability);
        }
        Ok(memberships)
    }
}

/// Class probabilities of every cell by a model that saw no cell of its specimen.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassValidation {
    /// The classes, in alphabetical order.
    pub classes: Vec<String>,
    /// Cells × classes, out of fold.
    pub probabilities: Array2<f64>,
    /// Cells of each class (rows) that were given each class (columns).
    pub confusion: Array2<usize>,
}

impl ClassValidation {
    /// The share of cells that were given their class.
    pub fn accuracy(&self) -> f64 {
        self.confusion.diag().sum() as f64 / self.confusion.sum() as f64
    }

    /// The mean over classes of the harmonic mean of precision and recall.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |class: usize| {
            let both = self.confusion.row(class).sum() + self.confusion.column(class).sum();
            2.0 * self.confusion[[class, class]] as f64 / both.max(1) as f64
        };
        (0..self.classes.len()).map(f1).sum::<f64>() / self.classes.len() as f64
    }
}

/// Fits without each fold in turn and predicts its classes.
///
/// # Errors
/// As [`ClassRegressor::fit`], and [`crate::RegressionError::Rows`] if `folds` is for another number of cells.
pub fn cross_validate_classes<S: AsRef<str> + Sync>(
    regressor: &ClassRegressor,
    features: ArrayView2<f64>,
    class: &[S],
    folds: &Folds,
) -> Result<ClassValidation> {
    check::rows("the features", features.nrows(), class.len())?;
    check::rows("the folds", folds.n_rows(), class.len())?;
    let classes = classes_of(class);
    let hold_out = |fold| {
        let (training, rows) = folds.split(fold);
        let known: Vec<&str> = training.iter().map(|&row| class[row].as_ref()).collect();
        let features = |rows: &[usize]| features.select(Axis(0), rows);
        let model = regressor.fit_among(features(&training).view(), &known, classes.clone())?;
        Ok((model.predict(features(&rows).view())?, rows))
    };
    let parts: Vec<_> =
        (0..folds.n_folds()).into_par_iter().map(hold_out).collect::<Result<_>>()?;
    let mut probabilities = Array2::zeros((class.len(), classes.len()));
    let mut confusion = Array2::zeros((classes.len(), classes.len()));
    for (predicted, rows) in parts {
        for (predicted, row) in predicted.outer_iter().zip(rows) {
            probabilities.row_mut(row).assign(&predicted);
            let truth = classes.iter().position(|name| name == class[row].as_ref());
            confusion[[truth.unwrap_or(0), most_likely(predicted)]] += 1; // always among them
        }
    }
    Ok(ClassValidation { classes, probabilities, confusion })
}

/// The class of largest probability, the first if several are.
pub fn most_likely(probabilities: ArrayView1<f64>) -> usize {
    let mut best = 0;
    for (class, &probability) in probabilities.iter().enumerate() {
        if probability > probabilities[best] {
            best = class;
        }
    }
    best
}

fn classes_of<S: AsRef<str>>(class: &[S]) -> Vec<String> {
    let classes: BTreeSet<&str> = class.iter().map(AsRef::as_ref).collect();
    classes.into_iter().map(str::to_owned).collect()
}

/// The probabilities nearest to `values` (Duchi et al. 2008, doi:10.1145/1390156.1390191).
fn nearest_probabilities(values: ArrayView1<f64>) -> Vec<f64> {
    let mut descending = values.to_vec();
    descending.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (n, value) in descending.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (n + 1) as f64;
        if value - candidate > 0.0 {
            shift = candidate;
        }
    }
    values.iter().map(|value| (value - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn probabilities_stay_and_others_move_to_the_nearest() {
        let near = |values: ndarray::Array1<f64>, expected: &[f64]| {
            let found = nearest_probabilities(values.view());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        near(array![0.2, 0.5, 0.3], &[0.2, 0.5, 0.3]);
        near(array![0.5, 0.7, -0.4], &[0.4, 0.6, 0.0]);
        near(array![3.0, 0.0], &[1.0, 0.0]);
    }

    #[test]
    fn classes_that_lie_apart_are_told_apart() {
        let features = Array2::from_shape_fn((120, 2), |(i, j)| {
            let middle = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]][i % 3][j];
            middle + ((i * 7 + j * 5) as f64 * 1.3).sin()
        });
        let class: Vec<&str> = (0..120).map(|i| ["leader", "inner", "outer"][i % 3]).collect();
        let specimens: Vec<String> = (0..120).map(|i| (i / 12).to_string()).collect();
        let folds = Folds::whole_specimens(&specimens, 5).unwrap();
        let regressor = ClassRegressor::default();
        let found = cross_validate_classes(&regressor, features.view(), &class, &folds).unwrap();
        assert_eq!(found.classes, ["inner", "leader", "outer"]);
        assert!(found.accuracy() > 0.95 && found.macro_f1() > 0.95);
        assert!(found.probabilities.sum_axis(Axis(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-9));

        let unrelated: Vec<&str> = (0..120).map(|i| ["a", "b"][(i * i / 7) % 2]).collect();
        let found =
            cross_validate_classes(&regressor, features.view(), &unrelated, &folds).unwrap();
        assert!((found.accuracy() - 0.5).abs() < 0.2, "{}", found.accuracy());
    }

    #[test]
    fn scores_are_those_of_the_definition() {
        let found = ClassValidation {
            classes: vec!["a".into(), "b".into()],
            probabilities: Array2::zeros((0, 2)),
            confusion: array![[3, 1], [2, 4]],
        };
        assert!((found.accuracy() - 0.7).abs() < 1e-12);
        // F1: a 2·3/(4 + 5), b 2·4/(6 + 5)
        assert!((found.macro_f1() - f64::midpoint(6.0 / 9.0, 8.0 / 11.0)).abs() < 1e-12);
    }
}
