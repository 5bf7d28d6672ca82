//! From shape to one protein.

use ndarray::{Array1, Array2, ArrayView2};
use primordia_data::PrincipalComponents;

use crate::check;
use crate::error::Result;
use crate::expansion::KernelExpansion;
use crate::ridge::{Ridge, RidgeModel};

/// How a protein's features are predicted from shape features.
///
/// Both are z-scored and turned to their principal components; the shape is expanded by a few
/// curved functions ([`KernelExpansion`]); [`Ridge`] regression joins them. It can only fit; the
/// fitted [`ProteinModel`] can only predict.
#[derive(Clone, Debug, PartialEq)]
pub struct ProteinRegressor {
    /// At most this many components of the shape; `None` for all: the penalty already shrinks the small ones.
    pub shape_components: Option<usize>,
    /// At most this many components of the protein; `None` for all.
    pub protein_components: Option<usize>,
    /// At most this many centres of curved functions, and at most one per ten cells; 0 for a linear rule.
    pub n_centres: usize,
    /// The regression and its penalties.
    pub ridge: Ridge,
}

impl Default for ProteinRegressor {
    /// All of the shape, 20 components of the protein, 300 centres.
    fn default() -> Self {
        Self {
            shape_components: None,
            protein_components: Some(20),
            n_centres: 300,
            ridge: Ridge::default(),
        }
    }
}

/// Curved functions are for many cells: at most one centre per this many.
pub(crate) const CELLS_PER_CENTRE: usize = 10;

impl ProteinRegressor {
    /// A linear rule between 20 components of shape and 20 of protein, as in Hartmann et al. 2020 (doi:10.7554/eLife.55913).
    pub fn linear() -> Self {
        Self { shape_components: Some(20), n_centres: 0, ..Self::default() }
    }

    /// Learns `protein` (cells × protein features) from `shape` (cells × shape features).
    ///
    /// # Errors
    /// [`crate::RegressionError::Rows`], [`crate::RegressionError::TooFewCells`] or
    /// [`crate::RegressionError::NotFinite`] if the tables do not pair up, are too short or hold NaN;
    /// [`crate::RegressionError::Data`] if one of them does not vary at all.
    pub fn fit(&self, shape: ArrayView2<f64>, protein: ArrayView2<f64>) -> Result<ProteinModel> {
        check::pair(("shape", shape), ("protein", protein))?;
        let shape_space = PrincipalComponents::fit(shape, self.shape_components)?;
        let protein_space = PrincipalComponents::fit(protein, self.protein_components)?;
        let coordinates = shape_space.transform(shape);
        let n_centres = self.n_centres.min(shape.nrows() / CELLS_PER_CENTRE);
        let expansion = KernelExpansion::fit(coordinates.view(), n_centres)?;
        let inputs = expanded(expansion.as_ref(), coordinates);
        let ridge = self.ridge.fit(inputs.view(), protein_space.transform(protein).view())?;
        Ok(ProteinModel { shape_space, expansion, ridge, protein_space })
    }
}

/// A fitted [`ProteinRegressor`].
#[derive(Clone, Debug, PartialEq)]
pub struct ProteinModel {
    /// Where shapes are described.
    pub shape_space: PrincipalComponents,
    /// The curved functions of shape, if there are any.
    pub expansion: Option<KernelExpansion>,
    /// From shape to protein.
    pub ridge: RidgeModel,
    /// Where the protein is described.
    pub protein_space: PrincipalComponents,
}

/// What a model says about cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Cells × components of the protein.
    pub components: Array2<f64>,
    /// How unlike the fitted cells each cell is (see [`RidgeModel::leverage`]).
    pub leverage: Array1<f64>,
}

impl ProteinModel {
    /// The protein features (cells × protein features) of cells with `shape` (cells × shape features).
    ///
    /// # Errors
    /// [`crate::RegressionError::Columns`] if `shape` has another number of columns than the fitted table.
    pub fn predict(&self, shape: ArrayView2<f64>) -> Result<Array2<f64>> {
        let prediction = self.predict_components(shape)?;
        Ok(self.protein_space.inverse_transform(prediction.components.view()))
    }

    /// The protein's components, and how far each cell is from the fitted ones.
    ///
    /// # Errors
    /// As [`ProteinModel::predict`].
    pub fn predict_components(&self, shape: ArrayView2<f64>) -> Result<Prediction> {
        check::columns("shape", shape.ncols(), self.shape_space.mean.len())?;
        let inputs = expanded(self.expansion.as_ref(), self.shape_space.transform(shape));
        let components = self.ridge.predict(inputs.view())?;
        Ok(Prediction { components, leverage: self.ridge.leverage(inputs.view())? })
    }
}

/// The coordinates, with their curved functions beside them if there are any.
pub(crate) fn expanded(
    expansion: Option<&KernelExpansion>,
    coordinates: Array2<f64>,
) -> Array2<f64> {
    match expansion {
        Some(expansion) => expansion.transform(coordinates.view()),
        None => coordinates,
    }
}
