//! Files and folders that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::{Builder, TempDir, TempPath};

/// What the names of unfinished files end in.
const PARTIAL: &str = ".partial";
/// An unfinished file that nobody wrote to for so long is what a killed process left; none takes as
/// long for one file, so nothing is taken from a writer at work beside this one.
const ABANDONED: Duration = Duration::from_hours(24);

/// Has `fill` write a file beside `path`, syncs it, and renames it to `path`: a reader sees the old
/// file or the new one, never half. Where `fill` fails, nothing is left. What a process that was
/// killed left of an earlier try goes after a day.
///
/// # Errors
/// What `fill` returns, or what `failed` makes of the disk's refusal.
pub fn replace_file<T, E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    // A link stays a link: what it points to is what is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&target);
    let prefix = prefix_of(&target);
    clear_abandoned(&folder, &prefix);
    let partial = new_file_in(&folder, &prefix).map_err(&failed)?;
    let answer = fill(&partial)?;
    // Windows syncs only files that are open for writing.
    OpenOptions::new()
        .write(true)
        .open(&partial)
        .and_then(|file| file.sync_all())
        .map_err(&failed)?;
    partial.persist(&target).map_err(|error| failed(error.error))?;
    sync_folder(&folder).map_err(&failed)?;
    Ok(answer)
}

/// Has `fill` write files into a new folder beside `path`, syncs them, and renames it to `path`. Where
/// `fill` fails, nothing is left; what is there already is never touched.
///
/// # Errors
/// What `fill` returns, or what `failed` makes of the disk's refusal, or of something of that name.
pub fn new_folder<T, E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    if path.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = folder_of(path);
    let partial = empty_folder_in(&parent, &prefix_of(path)).map_err(&failed)?;
    let answer = fill(partial.path())?;
    let publish = || -> io::Result<()> {
        for entry in fs::read_dir(partial.path())? {
            OpenOptions::new().write(true).open(entry?.path())?.sync_all()?;
        }
        fs::rename(partial.path(), path)?;
        sync_folder(&parent)
    };
    publish().map_err(&failed)?;
    let _ = partial.keep(); // it has its name now
    Ok(answer)
}

pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What the names of unfinished files of `target` begin with.
fn prefix_of(target: &Path) -> String {
    let name = target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    format!(".{name}.")
}

/// An empty file in `folder`, with the rights of any new file, that goes away unless kept.
fn new_file_in(folder: &Path, prefix: &str) -> io::Result<TempPath> {
    let mut builder = Builder::new();
    builder.prefix(prefix).suffix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666)); // less the user's umask
    }
    Ok(builder.tempfile_in(folder)?.into_temp_path())
}

/// An empty folder in `folder`, with the rights of any new folder, that goes away unless kept.
fn empty_folder_in(folder: &Path, prefix: &str) -> io::Result<TempDir> {
    let mut builder = Builder::new();
    builder.prefix(prefix).suffix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777)); // less the user's umask
    }
    builder.tempdir_in(folder)
}

/// Removes abandoned files of this prefix; one that cannot be removed does no harm.
fn clear_abandoned(folder: &Path, prefix: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_partial(&entry.file_name().to_string_lossy(), prefix)) {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a file is an unfinished one of this prefix, and not of a longer name with the same start.
fn is_partial(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(PARTIAL));
    random.is_some_and(|random| !random.is_empty() && !random.contains('.'))
}

/// Makes a rename in `folder` last through a crash; only Unix has such a call.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }

    fn put(path: &Path, text: &str) -> io::Result<()> {
        replace_file(path, |error| error, |partial| fs::write(partial, text))
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        fs::write(&path, "old").unwrap();
        let result: io::Result<()> = replace_file(
            &path,
            |error| error,
            |partial| {
                fs::write(partial, "half")?;
                Err(io::ErrorKind::Other.into())
            },
        );
        assert!(result.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["atlas.h5"]);
    }

    #[test]
    fn a_write_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        for text in ["old", "new"] {
            put(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["atlas.h5"]);
    }

    #[test]
    fn a_new_folder_is_there_with_all_its_files_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walk");
        let half = |partial: &Path| {
            fs::write(partial.join("a.ply"), "half")?;
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert!(new_folder(&path, |error| error, half).is_err());
        assert!(names(folder.path()).is_empty());
        let whole = |partial: &Path| fs::write(partial.join("a.ply"), "whole");
        new_folder(&path, |error| error, whole).unwrap();
        assert_eq!(names(&path), ["a.ply"]);
        let again = new_folder(&path, |error| error, whole).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(folder.path()), ["walk"]);
    }

    #[test]
    fn only_what_was_abandoned_long_ago_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - 2 * ABANDONED;
        for (name, is_old) in [
            (".atlas.h5.aB3xyz.partial", true),
            (".atlas.h5.cD4xyz.partial", false), // of a writer at work
            (".atlas.h5.old.aB3xyz.partial", true), // of `atlas.h5.old`
            (".other.h5.aB3xyz.partial", true),
            ("atlas.h5.partial", true), // a user's own
        ] {
            let file = File::create(at(name)).unwrap();
            if is_old {
                file.set_modified(old).unwrap();
            }
        }
        put(&at("atlas.h5"), "new").unwrap();
        assert_eq!(
            names(folder.path()),
            [
                ".atlas.h5.cD4xyz.partial",
                ".atlas.h5.old.aB3xyz.partial",
                ".other.h5.aB3xyz.partial",
                "atlas.h5",
                "atlas.h5.partial"
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("v1.h5"), folder.path().join("atlas.h5"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        put(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
}
