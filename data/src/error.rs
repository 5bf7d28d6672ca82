//! Why data could not be understood, read or written.
#![allow(missing_docs)] // the messages are the documentation

use std::path::PathBuf;

use thiserror::Error;

use crate::advice;
use crate::image::ImageProblem;

/// What the functions of this crate return.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("voxel size must be three positive, finite numbers in µm (z, y, x), got {um:?}")]
    VoxelSize { um: [f64; 3] },
    #[error("a volume needs at least one voxel along each axis, got z, y, x = {shape:?}")]
    EmptyVolume { shape: [usize; 3] },
    #[error("volumes on one grid wanted, got {found:?} voxels beside {wanted:?} (z, y, x)")]
    GridMismatch { found: [usize; 3], wanted: [usize; 3] },
    #[error("a rigid motion keeps lengths and handedness; this matrix does not (error {error:.3})")]
    NotRigid { error: f64 },
    #[error("column {column:?} has {found} values for {wanted} cells")]
    ColumnLength { column: String, found: usize, wanted: usize },
    #[error("two columns are named {column:?}; give each its own name")]
    DuplicateColumn { column: String },
    #[error("cell {cell:?} of specimen {specimen:?} occurs twice; each cell needs one row")]
    DuplicateCell { specimen: String, cell: String },
    #[error("no column {column:?}; there are: {available}")]
    MissingColumn { column: String, available: String },
    #[error("at least {wanted} rows (cells) wanted, got {found}")]
    TooFewRows { found: usize, wanted: usize },
    #[error("row {row}, column {column} is {value}; leave such rows out or fill them first")]
    NotFinite { row: usize, column: usize, value: f64 },
    #[error("all {rows} rows are alike; principal components need a column that varies")]
    NoVariance { rows: usize },
    #[error("the eigenvalues of a {side} × {side} matrix did not converge; is it finite?")]
    Eigen { side: usize },
    #[error(transparent)]
    Experiment(Box<crate::experiment::ExperimentError>),
    #[error("{path} cannot hold edits: it ends in neither .toml nor .csv", path = path.display())]
    LogSuffix { path: PathBuf },
    #[error("{path} has no edit to undo", path = path.display())]
    NothingToUndo { path: PathBuf },
    #[error("{name} must be {wanted}, got {value}")]
    Parameter { name: &'static str, value: f64, wanted: &'static str },
    #[error("a phantom of {n_voxels:.2e} voxels is too large; use larger voxels or a smaller body")]
    PhantomTooLarge { n_voxels: f64 },
    #[error("cannot read {path}: {source}; {todo}", path = path.display(), todo = advice::to_read(source))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} {problem}", path = path.display())]
    Image { path: PathBuf, problem: Box<ImageProblem> },
    #[error(
        "cannot keep in a nameless file in {folder} what does not fit in memory: {source}; {todo}",
        folder = folder.display(), todo = advice::to_write(source)
    )]
    Scratch { folder: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}; {todo}", path = path.display(), todo = advice::to_write(source))]
    Write { path: PathBuf, source: std::io::Error },
}
