//! One writer at a time: what is read, changed and written again must not change between.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::path::{Path, PathBuf};

/// The right to change a file, until it is dropped; who asks for it meanwhile waits. The system takes it back when a
/// process ends, however it ends.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf, // `.NAME.lock` beside the file: the file itself is replaced when it is written
}

impl FileLock {
    /// Waits until nobody else has the right to change `target`, which need not be there yet.
    ///
    /// # Errors
    /// What the disk says if no file can be made beside `target`.
    pub fn of(target: &Path) -> io::Result<Self> {
        // A link and what it points to are one file.
        let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.lock"));
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            // Who had it before may have taken the file away, and then another one may be in its place.
            if is_at(&file, &path) {
                return Ok(Self { file, path });
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Elsewhere one cannot tell whether the file is still the one that is locked, so it stays.
        if cfg!(unix) {
            let _ = remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

/// Whether the open `file` is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_who_add_one_at_once_none_is_lost() {
        const WRITERS: usize = 8;
        const EACH: usize = 25;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count.txt");
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let _lock = FileLock::of(&path).unwrap();
                        let count = std::fs::read_to_string(&path).unwrap_or_default();
                        std::fs::write(&path, count + "1").unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), WRITERS * EACH);
        if cfg!(unix) {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no lock is left");
        }
    }
}
