//! The work folder: what has been computed, so that a build that stops goes on where it was.
//!
//! Each result is a file named after what it is and a hash of everything that it depends on, and
//! holds a checksum of itself. A file that is damaged or of another version counts as absent.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{AtlasError, Result};
use crate::file::replace;

/// Bytes at the start of each file: what wrote it.
const MAGIC: &[u8; 16] = b"primordia work 1";
const CHECKSUM: usize = 32;

/// A folder of finished results.
#[derive(Clone, Debug)]
pub struct WorkFolder {
    root: PathBuf,
}

/// The name of a result: what it is of, and a hash of all that it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkKey {
    name: String,
}

impl WorkKey {
    /// The key of the result `kind` for `subject`, which depends on `inputs` and on this version.
    pub fn new(kind: &str, subject: &str, inputs: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [env!("CARGO_PKG_VERSION").as_bytes(), kind.as_bytes(), subject.as_bytes()] {
            hash_part(&mut hasher, part);
        }
        for input in inputs {
            hash_part(&mut hasher, input);
        }
        let hash = hasher.finalize().to_hex();
        Self { name: format!("{subject}.{kind}.{}", &hash[..16]) }
    }

    /// The name of the file, without its folder; `suffix` begins with a dot.
    pub fn file_name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }
}

fn hash_part(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

impl WorkFolder {
    /// The work folder at `root`, made if it is not there.
    ///
    /// # Errors
    /// [`AtlasError::Write`] if the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root)
            .map_err(|source| AtlasError::Write { path: root.to_owned(), source })?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where the folder is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that `key` names.
    pub fn path(&self, key: &WorkKey, suffix: &str) -> PathBuf {
        self.root.join(key.file_name(suffix))
    }

    /// The result of `key`; `None` if it is not there or not whole.
    pub fn load<T: DeserializeOwned>(&self, key: &WorkKey) -> Option<T> {
        let bytes = std::fs::read(self.path(key, ".work")).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (checksum, payload) = rest.split_at_checked(CHECKSUM)?;
        if blake3::hash(payload).as_bytes() != checksum {
            return None;
        }
        postcard::from_bytes(payload).ok()
    }

    /// Keeps `result` under `key`: whole, or not at all.
    ///
    /// # Errors
    /// [`AtlasError::Write`] if the file cannot be written.
    ///
    /// # Panics
    /// Never for the types of this crate, which have no maps with unknown lengths.
    pub fn store<T: Serialize>(&self, key: &WorkKey, result: &T) -> Result<()> {
        let payload = postcard::to_stdvec(result).expect("plain data can be serialised");
        let path = self.path(key, ".work");
        replace(&path, |partial| {
            let write = || -> std::io::Result<()> {
                let mut file = std::fs::File::create(partial)?;
                file.write_all(MAGIC)?;
                file.write_all(blake3::hash(&payload).as_bytes())?;
                file.write_all(&payload)
            };
            write().map_err(|source| AtlasError::Write { path: path.clone(), source })
        })
    }
}

/// The hash of a file's bytes, hexadecimal.
///
/// # Errors
/// [`AtlasError::Read`] if the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    read().map_err(|source| AtlasError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::open(&folder.path().join("a.work")).unwrap();
        let key = WorkKey::new("cells", "056F63395C", &[b"image", b"parameters"]);
        assert_eq!(work.load::<Vec<f64>>(&key), None);
        work.store(&key, &vec![1.5, 2.5]).unwrap();
        assert_eq!(work.load::<Vec<f64>>(&key), Some(vec![1.5, 2.5]));

        let path = work.path(&key, ".work");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(work.load::<Vec<f64>>(&key), None, "a damaged file counts as absent");
        std::fs::write(&path, &bytes[..20]).unwrap();
        assert_eq!(work.load::<Vec<f64>>(&key), None, "so does half of one");
    }

    #[test]
    fn another_input_is_another_key() {
        let one = WorkKey::new("cells", "A", &[b"ab", b"c"]);
        assert_ne!(one, WorkKey::new("cells", "A", &[b"a", b"bc"]));
        assert_eq!(one, WorkKey::new("cells", "A", &[b"ab", b"c"]));
    }
}
