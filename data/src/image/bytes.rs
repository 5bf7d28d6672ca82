//! A file read at any place by any number of threads.

use std::fs::File;
use std::path::Path;

use super::problem::{ImageProblem, Result};
use crate::positioned::read_exact_at;

/// An open file and its length when it was opened.
#[derive(Debug)]
pub(super) struct FileBytes {
    file: File,
    len: u64,
}

impl FileBytes {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory).into());
        }
        Ok(Self { file, len: metadata.len() })
    }

    /// The length of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` from `offset` on; `what` is being read.
    pub(super) fn read_into(&self, what: &'static str, offset: u64, out: &mut [u8]) -> Result<()> {
        self.check(what, offset, out.len() as u64)?;
        Ok(read_exact_at(&self.file, out, offset)?)
    }

    /// The `n` bytes from `offset` on; allocated only if the file has them.
    pub(super) fn read(&self, what: &'static str, offset: u64, n: u64) -> Result<Vec<u8>> {
        self.check(what, offset, n)?;
        let mut out = vec![0; n as usize];
        read_exact_at(&self.file, &mut out, offset)?;
        Ok(out)
    }

    /// Checks that `n` bytes from `offset` on lie inside the file.
    pub(super) fn check(&self, what: &'static str, offset: u64, n: u64) -> Result<()> {
        let needed = offset.saturating_add(n);
        if needed > self.len {
            return Err(ImageProblem::Truncated { what, needed, found: self.len });
        }
        Ok(())
    }
}
