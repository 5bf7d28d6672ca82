//! What can be wrong with an experiment file or an edit log, and where.
#![allow(missing_docs)] // the messages are the documentation

use std::path::PathBuf;

use thiserror::Error;

use crate::error::DataError;

/// A problem at one place of an experiment file or an edit log. Lines and columns count from 1, columns in
/// characters.
#[derive(Debug, Error)]
#[error("{file}:{line}:{column}: {key}: {problem}", file = file.display())]
pub struct ExperimentError {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
    /// The table and key, such as `specimen.image`.
    pub key: String,
    pub problem: Problem,
}

impl From<ExperimentError> for DataError {
    fn from(error: ExperimentError) -> Self {
        Self::Experiment(Box::new(error))
    }
}

/// What was found, what was wanted, and what to do.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    #[error("text in UTF-8 wanted, which this is not from here on; save it as UTF-8")]
    NotUtf8,
    #[error("not TOML: {message}")]
    Syntax { message: String },
    #[error("{wanted} wanted, got {found}")]
    WrongType { found: &'static str, wanted: &'static str },
    #[error("unknown key; did you mean `{suggestion}`?")]
    Misspelled { suggestion: String },
    #[error("unknown key; there are: {known}")]
    UnknownKey { known: String },
    #[error("`{missing}` is missing: {meaning}")]
    MissingKey { missing: &'static str, meaning: &'static str },
    #[error("{wanted} wanted, got {found:?}")]
    Value { found: String, wanted: &'static str },
    #[error("an ID is text, and {text} is a number here; put it in quotes: \"{text}\"")]
    UnquotedId { text: String },
    #[error(
        "{id:?} cannot be an ID: it must not be empty, start or end with a blank, be a dot, or hold / or \\"
    )]
    BadId { id: String },
    #[error("specimen {id:?} is here twice, first on line {first_line}; each needs its own ID")]
    DuplicateId { id: String, first_line: usize },
    #[error("{name:?} is here twice; give each its own name")]
    DuplicateName { name: String },
    #[error("{path} does not exist; paths start at the folder of the experiment file", path = path.display())]
    MissingFile { path: PathBuf },
    #[error("no file matches {pattern:?}; paths start at the folder of the experiment file")]
    NoMatch { pattern: String },
    #[error("{pattern:?} is no pattern: {reason}")]
    BadPattern { pattern: String, reason: &'static str },
    #[error("the name of {path:?} is not UTF-8; rename the file")]
    FileName { path: PathBuf },
    #[error("the environment variable {name} is not set; set it or write the path out")]
    UnsetVariable { name: String },
    #[error("{text:?} opens ${{ without closing it; write ${{NAME}}")]
    OpenVariable { text: String },
    #[error("three positive, finite numbers in µm (z, y, x) wanted, got {um:?}")]
    VoxelSize { um: Vec<f64> },
    #[error("the reference channel {reference:?} is not among the channels: {channels}")]
    NoSuchReference { reference: String, channels: String },
    #[error("{protein:?} is neither a channel nor a table; there are: {available}")]
    NoSuchProtein { protein: String, available: String },
    #[error("an edit inside a list cannot be undone here; remove it by hand")]
    EditInList,
    #[error(
        "{found} fields where the header has {wanted}; put a field that holds a comma in quotes"
    )]
    Fields { found: usize, wanted: usize },
    #[error("the quotes are not closed")]
    OpenQuotes,
    #[error(
        "this experiment has neither specimens nor tables; add [[specimen]], [[specimens]], [tables] or [[deposit]]"
    )]
    Empty,
}
