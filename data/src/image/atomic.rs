//! Files that appear whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::problem::Result;

/// Calls `write` with a temporary path beside `path`, syncs what it wrote and renames it to `path`.
///
/// Whoever opens `path` sees the old file or the new one; after an error the old one is untouched
/// and the temporary file is gone.
pub(super) fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder_of(path);
    let temporary = temporary_beside(&folder)?;
    write(&temporary)?;
    File::options().write(true).open(&temporary)?.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(&folder)?;
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn temporary_beside(folder: &Path) -> Result<tempfile::TempPath> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".primordia-").suffix(".part");
    #[cfg(unix)]
    {
        // What any new file gets: the user's umask decides.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    Ok(builder.tempfile_in(folder)?.into_temp_path())
}

/// Makes the rename itself durable; folders cannot be opened on every system.
fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::problem::ImageProblem;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tif");
        std::fs::write(&path, "old").unwrap();
        let result = write_atomically(&path, |temporary| {
            std::fs::write(temporary, "half")?;
            Err(ImageProblem::NoChannels)
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_finished_write_replaces_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tif");
        std::fs::write(&path, "old").unwrap();
        write_atomically(&path, |temporary| Ok(std::fs::write(temporary, "new")?)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
