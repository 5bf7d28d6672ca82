//! The atlas in memory: one row per cell, and what the rows mean.
//!
//! Arrays are `cells × something`, coordinates are x, y, z in µm, and a value that was never
//! measured is NaN.

use std::collections::BTreeMap;

use nalgebra::Matrix4;
use ndarray::{Array1, Array2, ArrayD};
use primordia_data::{CellId, CellTable};

use super::check::problems;
use super::contacts::Contacts;
use crate::error::{AtlasError, Result};

/// A cell atlas: cells of many specimens in one frame, with the measured and the predicted.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    /// The experiment's name.
    pub name: String,
    /// Which cell each row is.
    pub cells: Vec<CellId>,
    /// Measurements of the cells.
    pub features: FeatureMatrix,
    /// Cell centroids in the tissue frame: cells × (x, y, z), µm.
    pub spatial_um: Array2<f32>,
    /// Cell centroids in their own image: cells × (x, y, z), µm.
    pub image_um: Option<Array2<f32>>,
    /// Further columns, one value per cell: quality, classes, counts, conditions.
    pub columns: Vec<Column>,
    /// Shape spaces; the first is the one that is meant where none is named.
    pub shape: Vec<ShapeBlock>,
    /// Proteins, measured in some cells and predicted in all.
    pub proteins: Vec<Protein>,
    /// Which cells touch, and over which area.
    pub contacts: Option<Contacts>,
    /// The specimens that the cells come from.
    pub specimens: Vec<Specimen>,
    /// How well each protein is predicted, beside baselines.
    pub scores: Vec<Score>,
    /// Fitted models, landmarks, embeddings, densities: arrays by path, such as
    /// `models/actin/coefficients`.
    pub arrays: BTreeMap<String, ArrayD<f64>>,
    /// Names that belong to the arrays (axes, inputs), by path.
    pub texts: BTreeMap<String, Vec<String>>,
    /// What made this atlas.
    pub provenance: Provenance,
}

/// Cells × named measurements. Names carry units, such as `volume_um3`.
#[derive(Clone, Debug, Default)]
pub struct FeatureMatrix {
    /// The name of each column of `values`.
    pub names: Vec<String>,
    /// Cells × features; NaN where not measured.
    pub values: Array2<f32>,
}

/// A column with one value per cell.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column's name; without `/`.
    pub name: String,
    /// One value per cell.
    pub values: ColumnValues,
}

/// The values of a [`Column`].
#[derive(Clone, Debug)]
pub enum ColumnValues {
    /// Classes and conditions; `None` where not known.
    Text(Vec<Option<String>>),
    /// Counts and measures; NaN where not known.
    Number(Vec<f64>),
    /// Yes or no.
    Flag(Vec<bool>),
}

/// Where the cells lie in a space of shapes.
#[derive(Clone, Debug)]
pub struct ShapeBlock {
    /// What the space describes, such as `tissue` or `cell`.
    pub name: String,
    /// Cells × axes of the space.
    pub scores: Array2<f32>,
    /// How scores follow from landmarks; `None` for scores that came ready made.
    pub space: Option<FittedSpace>,
}

/// A linear space: `score = components · ((input − mean) / scale)`.
#[derive(Clone, Debug)]
pub struct FittedSpace {
    /// The name of each input.
    pub input_names: Vec<String>,
    /// The mean of each input.
    pub mean: Array1<f64>,
    /// What each centred input is divided by.
    pub scale: Array1<f64>,
    /// Axes × inputs.
    pub components: Array2<f64>,
    /// The share of the variance along each axis.
    pub explained_variance_ratio: Array1<f64>,
}

/// One protein over all cells.
#[derive(Clone, Debug)]
pub struct Protein {
    /// The protein's name; without `/`.
    pub name: String,
    /// The name of each column of the arrays below.
    pub feature_names: Vec<String>,
    /// Cells × features; NaN in cells where the protein was not imaged.
    pub measured: Array2<f32>,
    /// Cells × features, from shape.
    pub predicted: Array2<f32>,
    /// The lower end of the prediction interval.
    pub lower: Array2<f32>,
    /// The upper end of the prediction interval.
    pub upper: Array2<f32>,
}

/// Where a specimen came from and how it came into the common frame.
#[derive(Clone, Debug, Default)]
pub struct Specimen {
    /// The specimen's name, as in [`CellId::specimen`].
    pub id: String,
    /// The image's path as the experiment file gives it, or `table`.
    pub source: String,
    /// The hash of the input, in hexadecimal.
    pub input_hash: String,
    /// How many cells of the atlas are this specimen's.
    pub n_cells: usize,
    /// The voxel of the image, `[z, y, x]` in µm; `None` without an image.
    pub voxel_size_um: Option<[f64; 3]>,
    /// From image to tissue frame, on (x, y, z, 1) in µm; `None` if never registered.
    pub image_to_tissue: Option<Matrix4<f64>>,
    /// What registration left between this specimen and the common frame, µm.
    pub residual_um: Option<f64>,
    /// Which way the tissue points, and how surely.
    pub direction: Option<Decision>,
    /// Which side is apical, and how surely.
    pub apical: Option<Decision>,
    /// Further keys of the experiment file, such as `condition`.
    pub attributes: BTreeMap<String, String>,
}

/// Something that was decided, and how surely.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What was decided, and on which grounds.
    pub text: String,
    /// 0 (a guess) to 1 (certain).
    pub confidence: f64,
}

/// How well a model predicts a protein in embryos that it never saw.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// What is predicted: a protein's name, or that of a class or count.
    pub protein: String,
    /// Which features of it: `tissue`, `cell`, `intensity`, `layout`.
    pub target: String,
    /// What it is predicted with: `shape`, or a baseline: `mean`, `position`, `size_orientation`.
    pub model: String,
    /// Mean R² over the folds.
    pub r2_mean: f64,
    /// Standard deviation of R² over the folds.
    pub r2_sd: f64,
    /// The number of folds.
    pub folds: usize,
    /// The number of cells scored.
    pub n_cells: usize,
    /// The number of specimens scored.
    pub n_specimens: usize,
    /// The R² that measurement noise would leave to a perfect model.
    pub best_reachable_r2: Option<f64>,
}

/// What made an atlas: the same provenance on the same inputs gives the same bytes. No times,
/// hosts, absolute paths or thread counts.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The version of Primordia.
    pub primordia_version: String,
    /// The experiment file, word for word.
    pub experiment: String,
    /// All parameters, as JSON.
    pub parameters_json: String,
    /// The command.
    pub command: String,
    /// The seed of all chance.
    pub seed: u64,
    /// The hash of every input, by its path as given.
    pub input_hashes: BTreeMap<String, String>,
}

impl Atlas {
    /// An atlas of `cells` at `spatial_um` (cells × (x, y, z) in the tissue frame), to be filled.
    pub fn new(name: impl Into<String>, cells: Vec<CellId>, spatial_um: Array2<f32>) -> Self {
        let features = FeatureMatrix { names: Vec::new(), values: Array2::zeros((cells.len(), 0)) };
        Self { name: name.into(), cells, spatial_um, features, ..Self::default() }
    }

    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The protein of this name.
    pub fn protein(&self, name: &str) -> Option<&Protein> {
        self.proteins.iter().find(|protein| protein.name == name)
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The specimen of this name.
    pub fn specimen(&self, id: &str) -> Option<&Specimen> {
        self.specimens.iter().find(|specimen| specimen.id == id)
    }

    /// Checks every invariant: shapes fit, names are unique and can be stored, each cell has a
    /// specimen, intervals are intervals, contacts are symmetric, transforms can be inverted.
    ///
    /// # Errors
    /// [`AtlasError::Inconsistent`] with everything that is wrong.
    pub fn check(&self) -> Result<()> {
        let problems = problems(self);
        if problems.is_empty() { Ok(()) } else { Err(AtlasError::Inconsistent { problems }) }
    }
}

impl FeatureMatrix {
    /// The columns of a cell table.
    pub fn from_table(table: &CellTable) -> Self {
        Self { names: table.columns().to_vec(), values: table.values().mapv(|value| value as f32) }
    }
}

impl Column {
    /// A column of text.
    pub fn text(name: impl Into<String>, values: Vec<Option<String>>) -> Self {
        Self { name: name.into(), values: ColumnValues::Text(values) }
    }

    /// A column of numbers.
    pub fn number(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values: ColumnValues::Number(values) }
    }

    /// A column of flags.
    pub fn flag(name: impl Into<String>, values: Vec<bool>) -> Self {
        Self { name: name.into(), values: ColumnValues::Flag(values) }
    }
}

impl ColumnValues {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Protein {
    /// A protein with these measurements (cells × features), predicted nowhere yet.
    pub fn measured(
        name: impl Into<String>,
        feature_names: Vec<String>,
        measured: Array2<f32>,
    ) -> Self {
        let nowhere = Array2::from_elem(measured.dim(), f32::NAN);
        Self {
            name: name.into(),
            feature_names,
            measured,
            predicted: nowhere.clone(),
            lower: nowhere.clone(),
            upper: nowhere,
        }
    }

    /// The four arrays by name: `measured`, `predicted`, `lower`, `upper`.
    pub fn parts(&self) -> [(&'static str, &Array2<f32>); 4] {
        [
            ("measured", &self.measured),
            ("predicted", &self.predicted),
            ("lower", &self.lower),
            ("upper", &self.upper),
        ]
    }
}
