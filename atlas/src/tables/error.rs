//! Why a table of cells could not be read.
#![allow(missing_docs)] // the messages are the documentation

use std::path::PathBuf;

use primordia_data::advice;
use thiserror::Error;

/// What reading tables returns.
pub type Result<T, E = TableError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do. Rows count from 1, without the header; lines
/// count from 1, with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    #[error("cannot read {path}: {source}; {todo}", path = path.display(), todo = advice::to_read(source))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no table by its name; .csv, .tsv, .txt (each also with .gz) or .parquet wanted", path = path.display())]
    Format { path: PathBuf },
    #[error("cannot read the zip file {path}: {source}", path = path.display())]
    Zip { path: PathBuf, source: zip::result::ZipError },
    #[error("{path} holds more than {limit} bytes of text; split it, or write it as Parquet", path = path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{path}, line {line}: not UTF-8 text; save the table as UTF-8", path = path.display())]
    NotUtf8 { path: PathBuf, line: usize },
    #[error("{path} is empty; a row with the names of the columns wanted", path = path.display())]
    NoHeader { path: PathBuf },
    #[error("{path}, line {line}: a quotation mark that does not close, or text behind one", path = path.display())]
    Quote { path: PathBuf, line: usize },
    #[error("{path}, line {line}: {found} fields, the header has {wanted}; is the file cut?", path = path.display())]
    Ragged { path: PathBuf, line: usize, found: usize, wanted: usize },
    #[error("{path}: two columns are named {column:?}; rename one", path = path.display())]
    DuplicateColumn { path: PathBuf, column: String },
    #[error("{path} is no Parquet file, damaged, or of an unknown kind: {reason}", path = path.display())]
    Parquet { path: PathBuf, reason: String },
    #[error("{path} has no column {column:?}; there are: {available}", path = path.display())]
    MissingColumn { path: PathBuf, column: String, available: String },
    #[error("{path}: column {column:?} is {found}; {wanted} wanted", path = path.display())]
    ColumnType { path: PathBuf, column: String, found: String, wanted: &'static str },
    #[error("{path}, row {row}: no value in column {column:?}, which names the cell", path = path.display())]
    MissingId { path: PathBuf, row: usize, column: String },
    #[error("{path}, row {row}, column {column:?}: a number wanted, got {text:?}", path = path.display())]
    NotNumber { path: PathBuf, row: usize, column: String, text: String },
    #[error("{path}, row {row}, column {column:?}: a finite number wanted, got {text}; leave unknown values empty", path = path.display())]
    Infinite { path: PathBuf, row: usize, column: String, text: String },
    #[error("{path}, row {row}: cell {cell:?} of specimen {specimen:?} is here twice; one row a cell wanted", path = path.display())]
    DuplicateCell { path: PathBuf, row: usize, specimen: String, cell: String },
    #[error("cell {cell:?} of specimen {specimen:?} is in two sets of tables; list each cell once")]
    CellInTwoSets { specimen: String, cell: String },
    #[error("{path} has no column of numbers beside {ids}", path = path.display())]
    NoNumbers { path: PathBuf, ids: String },
    #[error("{path}: which column is {name:?}? {candidates}; write {name} = {{ file = \"…\", column = \"…\" }}", path = path.display())]
    WhichColumn { path: PathBuf, name: String, candidates: String },
    #[error("{path}: the columns of {block} are {found}, in other tables they are {wanted}", path = path.display())]
    ColumnsDiffer { path: PathBuf, block: String, found: String, wanted: String },
    #[error("{path}: feature {column:?} is in another table of features too; keep one", path = path.display())]
    FeatureTwice { path: PathBuf, column: String },
    #[error("no cell of {path} is among the cells of the experiment (here: {found}; there: {wanted}); are the IDs written alike?", path = path.display())]
    NoCommonCells { path: PathBuf, found: String, wanted: String },
    #[error("the experiment describes specimen {id:?}, which no table has; is the ID right?")]
    UnknownSpecimen { id: String },
    #[error("{path} holds no deposited tables, <ID>/<ID>_<what>.tsv", path = path.display())]
    NoDeposit { path: PathBuf },
    #[error("{path}: these are cells of specimen {found:?}, the name of the file says {wanted:?}", path = path.display())]
    WrongSpecimen { path: PathBuf, found: String, wanted: String },
    #[error("{path} has no rows, only the names of its columns, but says which cells there are; write it again, or name another table", path = path.display())]
    NoRows { path: PathBuf },
    #[error("neither shapes, features nor positions in {path}; no cells to start from", path = path.display())]
    NoCells { path: PathBuf },
}
