//! What every verb that writes asks first: is there a folder to write to?

use std::path::Path;

use anyhow::bail;

/// Checks that a folder of the name `output` can be made, before any work is done for it.
pub(super) fn check_new_folder(output: &Path) -> anyhow::Result<()> {
    check_parent(output)?;
    if output.symlink_metadata().is_ok() {
        bail!(
            "cannot write {}: it is there already; name a new folder, or take it away first",
            output.display()
        );
    }
    Ok(())
}

/// Checks that the folder of `output` is there, before any work is done for it.
pub(super) fn check_folder(output: &Path) -> anyhow::Result<()> {
    check_parent(output)?;
    if output.is_dir() {
        bail!("cannot write {}: it is a folder; a file name is wanted", output.display());
    }
    Ok(())
}

fn check_parent(output: &Path) -> anyhow::Result<()> {
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!(
            "cannot write {}: there is no folder {}; make it first, or choose another output",
            output.display(),
            folder.display()
        );
    }
    Ok(())
}
