//! A log of edits in a file, which grows and shrinks at its end.

use std::path::{Path, PathBuf};

use super::{Edit, csv, from_toml};
use crate::document::Document;
use crate::error::{DataError, Result};
use crate::experiment::Problem;
use crate::lock::FileLock;
use crate::replace::replace_file;

/// The edits of a file, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct EditLog {
    /// The edits.
    pub edits: Vec<Edit>,
    file: PathBuf,
    format: Format,
    text: String,
    starts: Vec<usize>, // of each edit, in bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Toml,
    Csv,
}

impl EditLog {
    /// Reads and checks a log (`.toml` or `.csv`).
    ///
    /// # Errors
    /// [`DataError::LogSuffix`] for another ending, [`DataError::Read`] if the file cannot be read,
    /// [`DataError::Experiment`] with the place and the [`Problem`] for anything wrong with it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref();
        let format = Format::of(file)?;
        let bytes = std::fs::read(file)
            .map_err(|source| DataError::Read { path: file.to_owned(), source })?;
        Self::parsed(file, format, &bytes)
    }

    /// As [`EditLog::read`], and an empty log where there is no file yet.
    ///
    /// # Errors
    /// Those of [`EditLog::read`].
    pub fn read_or_new(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref();
        if file.exists() { Self::read(file) } else { Self::parsed(file, Format::of(file)?, b"") }
    }

    /// The log of `text`, as if it were the content of `file`.
    ///
    /// # Errors
    /// Those of [`EditLog::read`].
    pub fn from_text(text: &str, file: impl AsRef<Path>) -> Result<Self> {
        Self::parsed(file.as_ref(), Format::of(file.as_ref())?, text.as_bytes())
    }

    /// The right to change the log at `path`, until it is dropped: of two who add an edit at the same moment, one waits.
    ///
    /// # Errors
    /// [`DataError::Write`] if the disk refuses.
    pub fn lock(path: impl AsRef<Path>) -> Result<FileLock> {
        let path = path.as_ref();
        FileLock::of(path).map_err(|source| DataError::Write { path: path.to_owned(), source })
    }

    fn parsed(file: &Path, format: Format, bytes: &[u8]) -> Result<Self> {
        let document = Document::new(bytes, file, &|_| None)?;
        let edits = match format {
            Format::Toml => from_toml::edits(&document)?,
            Format::Csv => csv::edits(&document)?,
        };
        let (edits, starts) = edits.into_iter().unzip();
        let text = document.text.to_owned();
        Ok(Self { edits, file: file.to_owned(), format, text, starts })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The log with one edit more; what is there stays as it is, with its comments.
    ///
    /// # Errors
    /// [`DataError::Experiment`] if it is a CSV table without a column that the edit needs.
    pub fn with(&self, edit: &Edit) -> Result<Self> {
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        match self.format {
            Format::Toml => {
                text.push_str(if text.is_empty() { "" } else { "\n" });
                text.push_str(&from_toml::table_of(edit));
            }
            Format::Csv => {
                let document =
                    Document { file: &self.file, text: &self.text, variables: &|_| None };
                text.push_str(&csv::line_of(&document, edit)?);
            }
        }
        Self::parsed(&self.file, self.format, text.as_bytes())
    }

    /// The log without its last edit and what follows it, and that edit.
    ///
    /// # Errors
    /// [`DataError::NothingToUndo`] if there is none, [`DataError::Experiment`] if it does not stand
    /// in a table of its own.
    pub fn without_last(&self) -> Result<(Self, Edit)> {
        let (Some(&start), Some(last)) = (self.starts.last(), self.edits.last()) else {
            return Err(DataError::NothingToUndo { path: self.file.clone() });
        };
        if self.format == Format::Toml && !self.text[start..].starts_with("[[") {
            let document = Document { file: &self.file, text: &self.text, variables: &|_| None };
            let name = from_toml::name(self.edits.len() - 1);
            return Err(document.error(start, &name, Problem::EditInList).into());
        }
        let mut text = &self.text[..start];
        if self.format == Format::Toml {
            text = text
                .strip_suffix('\n')
                .filter(|text| text.is_empty() || text.ends_with('\n'))
                .unwrap_or(text);
        }
        Ok((Self::parsed(&self.file, self.format, text.as_bytes())?, last.clone()))
    }

    /// Writes the log to its file, whole or not at all.
    ///
    /// # Errors
    /// [`DataError::Write`] if the disk refuses.
    pub fn write(&self) -> Result<()> {
        let failed = |source| DataError::Write { path: self.file.clone(), source };
        replace_file(&self.file, failed, |partial| {
            std::fs::write(partial, &self.text).map_err(failed)
        })
    }
}

impl Format {
    fn of(file: &Path) -> Result<Self> {
        let suffix = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match suffix.as_str() {
            "toml" => Ok(Self::Toml),
            "csv" => Ok(Self::Csv),
            _ => Err(DataError::LogSuffix { path: file.to_owned() }),
        }
    }
}
