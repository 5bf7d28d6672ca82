//! From points of a shape space to surfaces, and back.

use ndarray::{Array2, ArrayView1};
use primordia_features::Harmonics;

use crate::build::surface::{DEVIATIONS, HARMONICS};
use crate::error::{AtlasError, Result};
use crate::file::{Atlas, FittedSpace};

/// The space of an atlas whose points are surfaces of cells.
///
/// Nothing is estimated here: the space is that which the build found, and takes new cells as they are.
#[derive(Clone, Copy, Debug)]
pub struct SurfaceSpace<'a> {
    space: &'a FittedSpace,
    scores_um: &'a Array2<f32>,
    deviations_um: ArrayView1<'a, f64>,
}

impl<'a> SurfaceSpace<'a> {
    /// The space of surfaces of `atlas`.
    ///
    /// # Errors
    /// [`AtlasError::NoSurfaces`] if it has none: it was built from tables, or by an older version.
    pub fn of(atlas: &'a Atlas) -> Result<Self> {
        Self::found_in(atlas).ok_or_else(|| {
            let names: Vec<&str> = atlas.shape.iter().map(|block| block.name.as_str()).collect();
            let available = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            AtlasError::NoSurfaces { available }
        })
    }

    fn found_in(atlas: &'a Atlas) -> Option<Self> {
        let block = atlas.shape.iter().find(|block| block.name == HARMONICS)?;
        let space = block.space.as_ref()?;
        let l_max = space.input_names.len().isqrt().checked_sub(1)?;
        let deviations = atlas.arrays.get(DEVIATIONS)?.view().into_dimensionality().ok()?;
        let fits = space.input_names == Harmonics::names(l_max)
            && deviations.len() == space.components.nrows();
        fits.then_some(Self { space, scores_um: &block.scores, deviations_um: deviations })
    }

    /// The number of axes.
    pub fn n_axes(&self) -> usize {
        self.space.components.nrows()
    }

    /// The number of cells of the atlas that have a place in the space.
    pub fn n_cells(&self) -> usize {
        let known = |row: &ArrayView1<'_, f32>| row.iter().all(|score| score.is_finite());
        self.scores_um.rows().into_iter().filter(known).count()
    }

    /// The standard deviation in µm along axis number `at` (from 0): by how much the surfaces of one
    /// standard deviation and of the mean cell lie apart, as the root mean square over directions.
    pub fn deviation_um(&self, at: usize) -> f64 {
        self.deviations_um[at]
    }

    /// The share of the variance of surfaces along axis number `at` (from 0).
    pub fn explained(&self, at: usize) -> f64 {
        self.space.explained_variance_ratio[at]
    }

    /// The surface at a point of the space, `scores_um` along each axis; 0 along axes that are not given.
    ///
    /// # Errors
    /// [`AtlasError::NoSuchAxis`] for more scores than axes.
    pub fn surface(&self, scores_um: &[f64]) -> Result<Harmonics> {
        if scores_um.len() > self.n_axes() {
            return Err(AtlasError::NoSuchAxis { found: scores_um.len(), n_axes: self.n_axes() });
        }
        let mut moved = self.space.mean.clone();
        for (score, axis) in scores_um.iter().zip(self.space.components.rows()) {
            moved += &(&axis * &self.space.scale * *score);
        }
        Ok(Harmonics::from_coefficients(moved.to_vec())?)
    }

    /// Where a surface lies in the space, in µm along each axis.
    ///
    /// # Errors
    /// [`AtlasError::Feature`] if the surface has another degree than those of the space.
    pub fn scores(&self, surface: &Harmonics) -> Result<Vec<f64>> {
        let coefficients = ArrayView1::from(surface.coefficients());
        if coefficients.len() != self.space.mean.len() {
            let found = format!("{} coefficients", coefficients.len());
            let wanted = "surfaces of the degree of the atlas";
            return Err(primordia_features::FeatureError::Space { found, wanted }.into());
        }
        let off = (&coefficients - &self.space.mean) / &self.space.scale;
        Ok(self.space.components.dot(&off).to_vec())
    }
}
