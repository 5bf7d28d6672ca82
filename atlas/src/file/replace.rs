//! Files that appear whole or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use crate::error::{AtlasError, Result};

/// Has `fill` write a file beside `path`, syncs it, and renames it to `path`: a reader sees the
/// old file or the new one, never half. Where `fill` fails, nothing is left.
pub(crate) fn replace<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let failed = |source| AtlasError::Write { path: path.to_owned(), source };
    // A link stays a link: what it points to is what is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&target);
    let partial = new_file_in(&folder, &target).map_err(failed)?;
    let answer = fill(&partial)?;
    // Windows syncs only files that are open for writing.
    OpenOptions::new()
        .write(true)
        .open(&partial)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    partial.persist(&target).map_err(|error| failed(error.error))?;
    sync_folder(&folder).map_err(failed)?;
    Ok(answer)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// An empty file in `folder`, with the rights of any new file, that goes away unless kept.
fn new_file_in(folder: &Path, target: &Path) -> io::Result<TempPath> {
    let name = target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let prefix = format!(".{name}.");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the user's umask
    }
    Ok(builder.tempfile_in(folder)?.into_temp_path())
}

/// Makes a rename in `folder` last through a crash; only Unix has such a call.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn put(path: &Path, text: &str) {
        let written = replace(path, |partial| {
            std::fs::write(partial, text).unwrap();
            Ok(())
        });
        written.unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        std::fs::write(&path, "old").unwrap();
        let result: Result<()> = replace(&path, |partial| {
            std::fs::write(partial, "half").unwrap();
            Err(AtlasError::NotHdf5 { path: partial.to_owned() })
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["atlas.h5"]);
    }

    #[test]
    fn a_write_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        for text in ["old", "new"] {
            put(&path, text);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["atlas.h5"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("v1.h5"), folder.path().join("atlas.h5"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        put(&link, "new");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    }
}
