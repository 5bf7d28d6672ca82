//! Opens tables by the ending of their name.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::error::{Result, TableError};
use super::raw::RawTable;
use super::{delimited, parquet};

/// No table of cells is larger; a compressed file that claims to be is a bomb.
const LARGEST: u64 = 4 << 30;

/// How the rows of a table are written.
#[derive(Clone, Copy)]
enum Format {
    Commas,
    Tabs,
    Parquet,
}

/// The table of the file `path`.
pub(super) fn read(path: &Path) -> Result<RawTable> {
    let file = std::fs::File::open(path)
        .map_err(|source| TableError::Read { path: path.to_owned(), source })?;
    read_from(file, path)
}

/// The table that `source` holds, which `path` is the name of.
pub(super) fn read_from(source: impl Read, path: &Path) -> Result<RawTable> {
    let (format, compressed) = format_of(path)?;
    let bytes = if compressed {
        bytes_of(MultiGzDecoder::new(source), path)?
    } else {
        bytes_of(source, path)?
    };
    match format {
        Format::Commas => delimited::parse(bytes, b',', path),
        Format::Tabs => delimited::parse(bytes, b'\t', path),
        Format::Parquet => parquet::parse(bytes, path),
    }
}

fn bytes_of(source: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| TableError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > LARGEST {
        return Err(TableError::TooLarge { path: path.to_owned(), limit: LARGEST });
    }
    Ok(bytes)
}

/// The format of a file by its name, and whether it is compressed.
fn format_of(path: &Path) -> Result<(Format, bool)> {
    let compressed = has_ending(path, "gz");
    let name = if compressed { path.with_extension("") } else { PathBuf::from(path) };
    let format = if has_ending(&name, "csv") {
        Format::Commas
    } else if ["tsv", "txt", "tab"].iter().any(|ending| has_ending(&name, ending)) {
        Format::Tabs
    } else if has_ending(&name, "parquet") && !compressed {
        Format::Parquet
    } else {
        return Err(TableError::Format { path: path.to_owned() });
    };
    Ok((format, compressed))
}

/// Whether the name of a file ends in `.ending`, in capitals or not.
pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}
