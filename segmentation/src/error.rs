//! Why a segmentation failed.
#![allow(missing_docs)] // the messages are the documentation

use primordia_data::DataError;
use thiserror::Error;

use crate::edits::EditProblem;

/// What the functions of this crate return.
pub type Result<T, E = SegmentError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SegmentError {
    #[error("{name} must be {wanted}, got {value}")]
    Parameter { name: &'static str, value: f64, wanted: &'static str },
    #[error(
        "every voxel is {value}: there is nothing to segment; is this the membrane channel, and was it read whole?"
    )]
    Constant { value: f64 },
    #[error(
        "every voxel of the nuclei channel is {value}: it shows no nuclei; is it the right channel, and was it read whole?"
    )]
    ConstantNuclei { value: f64 },
    #[error(
        "{count} of {voxels} voxels are NaN or infinite; replace them (for example by 0) first"
    )]
    NotFinite { count: usize, voxels: usize },
    #[error(
        "no cells found in {shape:?} voxels (z, y, x); membranes must be the bright structures, and cells larger than {min_volume_um3} µm³: are channel and voxel size right?"
    )]
    NoCells { shape: [usize; 3], min_volume_um3: f64 },
    #[error("{voxels} voxels are more than the {most} that fit in one piece; crop the image")]
    TooLarge { voxels: usize, most: usize },
    #[error(
        "{} MB of memory are too few: at least {} MB are needed; allow more, or crop the image", max_bytes / MEGABYTE, needed.div_ceil(MEGABYTE)
    )]
    Memory { max_bytes: u64, needed: u64 },
    #[error("the truth has no cells (every label is 0): nothing to score against")]
    NoTruth,
    #[error(
        "a scribble is 1 (boundary) or 2 (inside a cell), and 0 where nothing is known; found {value}"
    )]
    NotScribbles { value: u32 },
    #[error("every voxel is 0: there are no scribbles; 1 is a boundary, 2 the inside of a cell")]
    NoScribbles,
    #[error(
        "the channel to unmix is nowhere brighter than {value}: it cannot bleed; is it the right one?"
    )]
    NothingToUnmix { value: f64 },
    #[error("edit {number} ({action}): {problem}")]
    Edit { number: usize, action: &'static str, problem: Box<EditProblem> },
    #[error("these are no weights of a network (safetensors): {0}")]
    NotWeights(#[from] safetensors::SafeTensorError),
    #[error(
        "these are weights of another network; wanted are the tensors {}: give a file of `primordia train boundary`", wanted.join(", ")
    )]
    MissingWeights { wanted: Vec<String> },
    #[error(
        "these are weights of another network: a tensor has the shape {found:?}, wanted is {wanted:?} as 32-bit floats"
    )]
    WrongWeights { found: Vec<usize>, wanted: Vec<usize> },
    #[error("these weights are not all finite: the training that made them has diverged")]
    WeightsNotFinite,
    #[error(
        "the file does not say how its weights came about, so training cannot go on from it; begin from its weights instead"
    )]
    NoRecipe,
    #[error("this does not say which regions are one cell: wanted is the JSON that training wrote")]
    NotJoining,
    #[error("the loss is no number after {step} steps; try a lower learning rate")]
    Diverged { step: u64 },
    #[error("the network could not be computed: {0}")]
    Network(#[from] candle_core::Error),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Rounded up, so that what an error asks for suffices.
const MEGABYTE: u64 = 1_000_000;
