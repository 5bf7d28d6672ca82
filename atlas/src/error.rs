//! Why an atlas could not be made, written, read or asked.
#![allow(missing_docs)] // the messages are the documentation

use std::fmt;
use std::path::PathBuf;

use polars::prelude::PolarsError;
use primordia_data::advice;
use thiserror::Error;

use crate::file::Problem;

/// What the functions of this crate return.
pub type Result<T, E = AtlasError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AtlasError {
    #[error("this atlas does not hold together: {}", listed(problems))]
    Inconsistent { problems: Vec<Problem> },
    #[error("{path} is an atlas that does not hold together: {}", listed(problems), path = path.display())]
    Damaged { path: PathBuf, problems: Vec<Problem> },
    #[error("specimen {specimen}: {source}")]
    Specimen { specimen: String, source: Box<AtlasError> },
    #[error("{path}: {source}", path = path.display())]
    Segment { path: PathBuf, source: primordia_segmentation::SegmentError },
    #[error("{path} has {found:?} voxels (z, y, x), its image {wanted:?}; labels must lie on the grid of the image", path = path.display())]
    LabelGrid { path: PathBuf, found: [usize; 3], wanted: [usize; 3] },
    #[error("{path} has no cells: every label is 0", path = path.display())]
    NoCells { path: PathBuf },
    #[error("{path}: {source}", path = path.display())]
    Edits { path: PathBuf, source: primordia_segmentation::SegmentError },
    #[error("{path} leaves no cell; take back an edit that deletes", path = path.display())]
    NoCellsLeft { path: PathBuf },
    #[error("{path} names the protein {protein:?}, which no specimen has as a channel", path = path.display())]
    NoSuchProtein { path: PathBuf, protein: String },
    #[error("{path}: specimen {specimen:?} comes from an image and from a table; give it one name in each", path = path.display())]
    SpecimenTwice { path: PathBuf, specimen: String },
    #[error("{path}: the images' shape space {space:?} and that of the tables are not the same space; make two experiments of them", path = path.display())]
    MixedSpaces { path: PathBuf, space: String },
    #[error("{path} leads to no cell at all; give it images, tables or a deposit", path = path.display())]
    EmptyExperiment { path: PathBuf },
    #[error(transparent)]
    Registration(#[from] primordia_registration::RegistrationError),
    #[error(transparent)]
    Feature(#[from] primordia_features::FeatureError),
    #[error(transparent)]
    Data(#[from] primordia_data::DataError),
    #[error(transparent)]
    CellTables(#[from] crate::tables::TableError),
    #[error("cannot learn {protein}: {source}")]
    Learn { protein: String, source: primordia_regression::RegressionError },
    #[error("cannot read {path}: {source}; {todo}", path = path.display(), todo = advice::to_read(source))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}; {todo}", path = path.display(), todo = advice::to_write(source))]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot write the atlas {path}: {source}", path = path.display())]
    WriteHdf5 { path: PathBuf, source: hdf5_metno::Error },
    #[error("{path} is not an HDF5 file, or only the beginning of one; an atlas (.h5, .h5ad) wanted", path = path.display())]
    NotHdf5 { path: PathBuf },
    #[error("{path} is {found}, not an atlas; `primordia build` makes one", path = path.display())]
    NotAtlas { path: PathBuf, found: &'static str },
    #[error("{path}: {part} has format version {found}, and this program reads up to {wanted}; a newer Primordia opens it", path = path.display())]
    NewerFormat { path: PathBuf, part: String, found: u64, wanted: u64 },
    #[error("{path} has no {object}, which every atlas has; it was cut, or changed by another program", path = path.display())]
    Missing { path: PathBuf, object: String },
    #[error("{path}: {object} is {found}; {wanted} wanted", path = path.display())]
    Malformed { path: PathBuf, object: String, found: String, wanted: &'static str },
    #[error("{path}: {object} cannot be read ({source}); the file is damaged, take a copy of it", path = path.display())]
    Unreadable { path: PathBuf, object: String, source: hdf5_metno::Error },
    #[error(
        "it has no shape space `harmonics`, from which cells are drawn (its shape spaces: {available}); build it again from images, with this version of Primordia"
    )]
    NoSurfaces { available: String },
    #[error("it has no shape axis {found}; choose one from 1 to {n_axes}")]
    NoSuchAxis { found: usize, n_axes: usize },
    #[error(
        "it does not say where in the cells {found:?} lies; proteins of which it does: {available}"
    )]
    NoLayout { found: String, available: String },
    #[error("no table {found:?}; there are: {available}")]
    UnknownTable { found: String, available: String },
    #[error(
        "this is not a query that Primordia understands ({source}); try: SELECT * FROM cells LIMIT 5"
    )]
    Syntax { source: PolarsError },
    #[error("cannot answer: {source}; {available}")]
    Query { source: PolarsError, available: String },
    #[error("table {table:?} cannot be made: {source}")]
    Table { table: String, source: PolarsError },
    #[error("cannot write the answer: {source}")]
    Output { source: std::io::Error },
    #[error("cannot encode the table: {source}")]
    Encode { source: PolarsError },
    #[error("{path} says not what to write; end it with .csv, .tsv, .json or .parquet", path = path.display())]
    ExportFormat { path: PathBuf },
}

/// The first of `names`, and how many more there are.
pub(crate) fn in_short(names: &[&str]) -> String {
    const SHOWN: usize = 30;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

/// The first few of `items` and how many more there are: a message is read, not scrolled.
fn listed(items: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 5;
    let mut texts: Vec<_> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    if items.len() > SHOWN {
        texts.push(format!("and {} more", items.len() - SHOWN));
    }
    texts.join("; ")
}
