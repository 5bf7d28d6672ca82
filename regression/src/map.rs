//! A protein on every cell, measured or not, with what the prediction is worth.

use ndarray::{Array2, ArrayView2, Axis};

use crate::check;
use crate::error::{RegressionError, Result};
use crate::folds::Folds;
use crate::intervals::Intervals;
use crate::protein::{ProteinModel, ProteinRegressor};
use crate::validation::{CrossValidation, Score, cross_validate, mean_score};

/// All cells of an atlas.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    /// The specimen of each cell.
    pub specimens: &'a [&'a str],
    /// Cells × shape features.
    pub shape: ArrayView2<'a, f64>,
    /// What else might predict the protein, to be scored beside shape.
    pub baselines: &'a [Baseline<'a>],
}

/// Simpler features that a prediction has to beat, such as the position, or size and orientation.
#[derive(Clone, Debug)]
pub struct Baseline<'a> {
    /// What they are, as reports name it.
    pub name: &'a str,
    /// Cells × features.
    pub features: ArrayView2<'a, f64>,
}

/// The cells in which the protein was imaged.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// Which rows of [`Cells`] they are, each once.
    pub rows: &'a [usize],
    /// Those rows × protein features.
    pub protein: ArrayView2<'a, f64>,
}

/// How a protein is mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct MapParams {
    /// From shape to protein.
    pub regressor: ProteinRegressor,
    /// Into how many parts the specimens are divided for validation.
    pub n_folds: usize,
    /// The share of cells that the intervals cover.
    pub coverage: f64,
}

impl Default for MapParams {
    /// Five folds and intervals that cover 90 %.
    fn default() -> Self {
        Self { regressor: ProteinRegressor::default(), n_folds: 5, coverage: 0.9 }
    }
}

/// A protein on every cell.
#[derive(Clone, Debug, PartialEq)]
pub struct ProteinMap {
    /// Cells × protein features. A measured cell's prediction is by a model that saw no cell of its specimen.
    pub predicted: Array2<f64>,
    /// The lower ends of the intervals; NaN without validation.
    pub lower: Array2<f64>,
    /// The upper ends of the intervals; NaN without validation.
    pub upper: Array2<f64>,
    /// The model of all measured cells.
    pub model: ProteinModel,
    /// What held-out specimens say; `None` if the protein was measured in one specimen only.
    pub validation: Option<MapValidation>,
}

/// What held-out specimens say about a map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapValidation {
    /// Predictions and score of the measured cells, in the order of [`Measured::rows`].
    pub shape: CrossValidation,
    /// The baselines' scores, by name: first `mean`, then those given.
    pub baselines: Vec<(String, Score)>,
    /// How wide the intervals are.
    pub intervals: Intervals,
    /// How many specimens were measured.
    pub n_specimens: usize,
}

/// Learns a protein where it was measured and predicts it in every cell.
///
/// Validation holds out whole specimens ([`Folds::whole_specimens`]); everything is fitted inside the
/// training parts. A protein that was measured in a single specimen is predicted too, but without
/// scores and intervals, since nothing was held out.
///
/// # Errors
/// [`RegressionError::MeasuredRow`] if a measured row is not a cell or occurs twice, and those of
/// [`ProteinRegressor::fit`] and [`Folds::whole_specimens`].
pub fn map_protein(cells: &Cells, measured: &Measured, params: &MapParams) -> Result<ProteinMap> {
    check_tables(cells, measured)?;
    let shape = cells.shape.select(Axis(0), measured.rows);
    let model = params.regressor.fit(shape.view(), measured.protein)?;
    let prediction = model.predict_components(cells.shape)?;
    let mut predicted = model.protein_space.inverse_transform(prediction.components.view());
    let mut leverage = prediction.leverage;
    let Some(validation) = validate(cells, measured, params)? else {
        let unknown = Array2::from_elem(predicted.dim(), f64::NAN);
        let (lower, upper) = (unknown.clone(), unknown);
        return Ok(ProteinMap { predicted, lower, upper, model, validation: None });
    };
    for (at, &row) in measured.rows.iter().enumerate() {
        predicted.row_mut(row).assign(&validation.shape.predicted.row(at));
        leverage[row] = validation.shape.leverage[at];
    }
    let (lower, upper) = validation.intervals.around(predicted.view(), leverage.view());
    Ok(ProteinMap { predicted, lower, upper, model, validation: Some(validation) })
}

fn check_tables(cells: &Cells, measured: &Measured) -> Result<()> {
    let n_cells = cells.shape.nrows();
    check::rows("the list of specimens", cells.specimens.len(), n_cells)?;
    check::rows("protein", measured.protein.nrows(), measured.rows.len())?;
    check::finite("shape", cells.shape)?;
    for baseline in cells.baselines {
        check::rows("a baseline", baseline.features.nrows(), n_cells)?;
    }
    let mut seen = vec![false; n_cells];
    for &row in measured.rows {
        if row >= n_cells || std::mem::replace(&mut seen[row], true) {
            return Err(RegressionError::MeasuredRow { row, cells: n_cells });
        }
    }
    Ok(())
}

/// `None` if there is one specimen only.
fn validate(
    cells: &Cells,
    measured: &Measured,
    params: &MapParams,
) -> Result<Option<MapValidation>> {
    let specimens: Vec<&str> = measured.rows.iter().map(|&row| cells.specimens[row]).collect();
    let folds = match Folds::whole_specimens(&specimens, params.n_folds) {
        Err(RegressionError::TooFewSpecimens { .. }) => return Ok(None),
        folds => folds?,
    };
    let validated = |features: ArrayView2<f64>| {
        let features = features.select(Axis(0), measured.rows);
        cross_validate(&params.regressor, features.view(), measured.protein, &folds)
    };
    let shape = validated(cells.shape)?;
    let mean = mean_score(&params.regressor, measured.protein, &folds)?;
    let mut baselines = vec![("mean".to_owned(), mean)];
    for baseline in cells.baselines {
        baselines.push((baseline.name.to_owned(), validated(baseline.features)?.score));
    }
    let predicted = (shape.predicted.view(), shape.leverage.view());
    let intervals = Intervals::fit(measured.protein, predicted, &folds, params.coverage)?;
    Ok(Some(MapValidation { shape, baselines, intervals, n_specimens: folds.n_specimens() }))
}
