//! Experiment files: which images and tables make an atlas (TOML).
//!
//! [`Experiment::read`] checks the whole file before any work starts: unknown keys, missing files,
//! IDs that are there twice, voxel sizes, channel names. Every error names file, line, column and
//! key. Paths are relative to the file and may hold environment variables: `"${DATA}/fish.tif"`.
//!
//! ```toml
//! [experiment]
//! name = "pLLP, 32-36 hpf"
//! reference = "membrane"                 # the channel that is segmented
//! proteins = ["actin"]                   # to be mapped; default: every other channel
//! unmix = "nuclei"                       # optional: a channel that bleeds into the reference
//! nuclei = "nuclei"                      # optional: a channel whose nuclei guide the segmentation
//! migration = "+x"                       # optional: where the tissue goes in the images
//!
//! [[specimen]]
//! id = "056F63395C"
//! image = "raw/056F63395C.ome.tif"
//! channels = ["membrane", "actin"]       # default: the file's own
//! voxel_size_um = [0.225, 0.099, 0.099]  # z, y, x; only where the file lacks it
//! condition = "live"                     # any further key becomes a column of specimens
//!
//! [[specimens]]                          # many at once; the ID is the file's stem
//! images = "raw/*.ome.tif"
//! labels = "curated/{id}.tif"
//! edits = "edits/{id}.toml"              # corrections of the cells, where there are some
//!
//! [tables]                               # cells measured elsewhere, pooled over specimens
//! specimen = "Source Name"
//! cell = "Cell ID"
//! shape.tissue = "shape_TFOR_raw_measured.parquet"
//! protein.actin.tissue = "tagRFPtUtrCH_TFOR_raw_measured.parquet"
//!
//! [[deposit]]                            # the origin's deposit: a folder or zip per specimen
//! path = "deposit/*.zip"
//! ```

mod check;
mod paths;
pub mod problem;
mod settings;
mod specimens;
mod tables;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{UnitVector3, Vector3};

pub use self::paths::stem;
pub use self::problem::{ExperimentError, Problem};
use crate::document::{Document, Lookup, Table};
use crate::error::{DataError, Result};
use crate::volume::VoxelSize;

/// Which images and tables make an atlas, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The experiment file.
    pub file: PathBuf,
    /// What the experiment is called; the name of the file's folder unless it says.
    pub name: String,
    /// The channel that is segmented; always there if a specimen has an image without labels.
    pub reference: Option<String>,
    /// The channels to be mapped; `None` is every channel but the reference.
    pub proteins: Option<Vec<String>>,
    /// How cells are found.
    pub segmentation: Segmentation,
    /// The seed of everything that is drawn by chance.
    pub seed: u64,
    /// The imaged specimens, in the order of the file.
    pub specimens: Vec<Specimen>,
    /// Pooled tables of cells measured elsewhere.
    pub tables: Vec<Tables>,
    /// Folders and zip files of the origin's deposit.
    pub deposits: Vec<Deposit>,
    /// Columns of specimens that come from tables, not images (`[[specimen]]` without an image).
    pub annotations: Vec<Annotation>,
}

/// How cells are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Segmentation {
    /// Parameters come from each image.
    #[default]
    Automatic,
    /// As [`Segmentation::Automatic`], with a network that learned boundaries as a second witness.
    Network,
    /// The recipe of Hartmann et al. 2020 (doi:10.7554/eLife.55913): thresholds `0, step, …` below
    /// `max_offset` grey levels above the histogram's mode are tried.
    Hartmann2020 {
        /// Where the search ends, in grey levels.
        max_offset: u32,
        /// The step of the search, in grey levels.
        step: u32,
    },
}

/// A unit direction x, y, z in the image.
pub type Direction = UnitVector3<f64>;

/// One imaged specimen.
#[derive(Clone, Debug, PartialEq)]
pub struct Specimen {
    /// Its name: text, always.
    pub id: Arc<str>,
    /// Its image.
    pub image: PathBuf,
    /// The data set that holds the image in an HDF5 file.
    pub dataset: Option<String>,
    /// Names of the channels in file order; `None` is the file's own.
    pub channels: Option<Vec<String>>,
    /// The size of a voxel, where the file lacks it.
    pub voxel_size: Option<VoxelSize>,
    /// Cells found elsewhere: a label image.
    pub labels: Option<PathBuf>,
    /// The data set that holds the labels in an HDF5 file.
    pub labels_dataset: Option<String>,
    /// Corrections of its cells: an [edit log](crate::edits).
    pub edits: Option<PathBuf>,
    /// The channel that bleeds into the reference, and is taken out of it before cells are found.
    pub unmix: Option<String>,
    /// The channel whose nuclei guide which regions become one cell.
    pub nuclei: Option<String>,
    /// Where the tissue migrates or points, if the experiment file says.
    pub migration: Option<Direction>,
    /// Where its apical side is, if the experiment file says.
    pub apical: Option<Direction>,
    /// Further columns, in the order of the file.
    pub attributes: Attributes,
}

/// Named columns of one specimen, in the order of the file.
pub type Attributes = Vec<(String, Attribute)>;

/// The value of a further key of a specimen; `true` and `false` are text.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// Such as `condition = "live"`.
    Text(String),
    /// Such as `temperature = 28.5`.
    Number(f64),
}

/// Further columns of a specimen that comes from a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The specimen.
    pub id: Arc<str>,
    /// Its columns.
    pub attributes: Attributes,
}

/// Tables of cells measured elsewhere, each row one cell, pooled over specimens.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// The column that names the specimen.
    pub specimen: String,
    /// The column that names the cell in its specimen.
    pub cell: String,
    /// Where the cells are in the tissue frame.
    pub position_um: Option<PositionColumns>,
    /// Where the cells are in their image.
    pub image_position_um: Option<PositionColumns>,
    /// Blocks of shape features: name and file.
    pub shape: Vec<(String, PathBuf)>,
    /// Files of named features.
    pub features: Vec<PathBuf>,
    /// Blocks of protein features.
    pub proteins: Vec<ProteinTable>,
    /// Classes of cells.
    pub classes: Vec<ValueColumn>,
    /// Counts per cell.
    pub counts: Vec<ValueColumn>,
}

/// Three columns of a file: x, y, z in µm.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionColumns {
    /// The table.
    pub file: PathBuf,
    /// The columns of x, y and z.
    pub columns: [String; 3],
}

/// A table of protein features in one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ProteinTable {
    /// The protein.
    pub name: String,
    /// The frame in which the features were made.
    pub frame: Frame,
    /// The table.
    pub file: PathBuf,
}

/// A frame that features were made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    /// The frame that all tissues share (TFOR).
    Tissue,
    /// Each cell's own frame (CFOR).
    Cell,
}

impl Frame {
    /// The name in experiment files: `tissue` or `cell`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tissue => "tissue",
            Self::Cell => "cell",
        }
    }
}

/// One column of a table: a class or a count.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueColumn {
    /// What the column is called in the atlas.
    pub name: String,
    /// The table.
    pub file: PathBuf,
    /// The column; `None` is the only one that the table has beside the cells' names.
    pub column: Option<String>,
    /// New names for classes: as they are in the table, as they shall be.
    pub names: Vec<(String, String)>,
}

/// Per-specimen tables as Hartmann et al. deposited them (IDR idr0079): `<ID>/<ID>_<what>.tsv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Deposit {
    /// Folders and zip files, in the order of their names.
    pub paths: Vec<PathBuf>,
    /// Columns for all its specimens.
    pub attributes: Attributes,
}

impl Experiment {
    /// Reads and checks an experiment file.
    ///
    /// # Errors
    /// [`DataError::Read`] if the file cannot be read, [`DataError::Experiment`] with the place
    /// and the [`Problem`] for anything wrong with it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref();
        let bytes = std::fs::read(file)
            .map_err(|source| DataError::Read { path: file.to_owned(), source })?;
        Self::from_bytes(&bytes, file, &|name| std::env::var(name).ok())
    }

    /// The experiment of `text`, as if it were the content of `file`.
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn from_toml(text: &str, file: impl AsRef<Path>) -> Result<Self> {
        Self::from_bytes(text.as_bytes(), file.as_ref(), &|name| std::env::var(name).ok())
    }

    fn from_bytes(bytes: &[u8], file: &Path, variables: Lookup<'_>) -> Result<Self> {
        let document = Document::new(bytes, file, variables)?;
        let root = document.parsed()?;
        let root = Table::new(&document, String::new(), 0..0, root.get_ref());
        Self::from_table(&document, &root)
    }

    fn from_table(document: &Document<'_>, root: &Table<'_>) -> Result<Self> {
        root.only(&["experiment", "segmentation", "specimen", "specimens", "tables", "deposit"])?;
        let settings = settings::Settings::of(document, root)?;
        let (specimens, annotations) = specimens::specimens(root, &settings)?;
        let experiment = Self {
            file: document.file.to_owned(),
            name: settings.name,
            reference: settings.reference,
            proteins: settings.proteins,
            segmentation: settings.segmentation,
            seed: settings.seed,
            specimens,
            tables: tables::tables(root)?,
            deposits: tables::deposits(root)?,
            annotations,
        };
        check::check(&experiment, root)?;
        Ok(experiment)
    }

    /// The proteins among `channels`: those that the experiment names, or all but the reference.
    pub fn proteins_among<'c>(&self, channels: &'c [String]) -> Vec<&'c str> {
        let wanted = |channel: &&String| match &self.proteins {
            Some(proteins) => proteins.contains(channel),
            None => self.reference.as_ref() != Some(*channel),
        };
        channels.iter().filter(wanted).map(String::as_str).collect()
    }
}

/// The unit vector along `[x, y, z]`; `None` for zero and for what is not finite.
fn direction(x: f64, y: f64, z: f64) -> Option<Direction> {
    let vector = Vector3::new(x, y, z);
    vector.iter().all(|part| part.is_finite()).then_some(())?;
    UnitVector3::try_new(vector, f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
