//! Files of this crate that appear whole or not at all.

use std::path::Path;

use primordia_data::replace_file;

use crate::error::{AtlasError, Result};

/// [`replace_file`] with the errors of this crate.
pub(crate) fn replace<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    replace_file(path, |source| AtlasError::Write { path: path.to_owned(), source }, fill)
}
