//! Drafts an experiment file from what a folder holds: images say their channels and voxel sizes,
//! tables and deposits are known by their names. What no file says is left for the scientist, as a
//! comment beside the line that wants it.

mod images;
mod scan;
mod tables;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use primordia_data::experiment::{Experiment, Problem};
use primordia_data::image::ImageFile;
use primordia_data::{DataError, VoxelSize, advice};
use thiserror::Error;

use self::images::Images;
use self::scan::Scan;

/// The name of an experiment file.
pub const FILE_NAME: &str = "experiment.toml";

/// What drafting returns.
pub type Result<T, E = InitError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages are the documentation
pub enum InitError {
    #[error("{path} is not a folder; name the folder that holds the images or tables", path = path.display())]
    NotAFolder { path: PathBuf },
    #[error("no image (.tif, .tiff, .h5) and no table of cells in {path}, nor in the folders in it", path = path.display())]
    Nothing { path: PathBuf },
    #[error("{path} exists already; --force replaces it", path = path.display())]
    Exists { path: PathBuf },
    #[error("cannot read {path}: {source}; {todo}", path = path.display(), todo = advice::to_read(source))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}; {todo}", path = path.display(), todo = advice::to_write(source))]
    Write { path: PathBuf, source: std::io::Error },
    #[error("these files make no experiment as they are: {0}")]
    Draft(#[from] DataError),
}

/// What an image says of itself without its voxels.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFacts {
    /// The name of each channel, if it has one.
    pub channels: Vec<Option<String>>,
    /// The size of a voxel, if the file states it.
    pub voxel_size: Option<VoxelSize>,
}

impl ImageFacts {
    /// What the image at `path` says.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn of(path: &Path) -> Result<Self, String> {
        let image = ImageFile::open(path).map_err(|error| error.to_string())?;
        Ok(Self { channels: image.channel_names().to_vec(), voxel_size: image.voxel_size() })
    }
}

/// Looks at an image ([`ImageFacts::of`]), or says why it cannot be read.
pub type Inspect<'i> = &'i dyn Fn(&Path) -> Result<ImageFacts, String>;

/// Writes `experiment.toml` into `folder` and returns its path. An existing one is kept, unless
/// `existing` is [`Existing::Replace`].
///
/// # Errors
/// [`InitError`] if there is nothing to draft from, or the file exists or cannot be written.
pub fn init(folder: &Path, existing: Existing, inspect: Inspect<'_>) -> Result<PathBuf> {
    let path = folder.join(FILE_NAME);
    if existing == Existing::Keep && path.exists() {
        return Err(InitError::Exists { path });
    }
    let text = draft(folder, inspect)?;
    let unwritable = |source| InitError::Write { path: path.clone(), source };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(text.as_bytes()).map_err(unwritable)?;
    file.as_file().sync_all().map_err(unwritable)?;
    match existing {
        Existing::Replace => file.persist(&path).map_err(|error| unwritable(error.error))?,
        Existing::Keep => file.persist_noclobber(&path).map_err(|error| unwritable(error.error))?,
    };
    Ok(path)
}

/// What happens to an experiment file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and drafting is an error.
    Keep,
    /// The draft takes its place (`--force`).
    Replace,
}

/// The text of an experiment file for what `folder` holds; the file is read back before it is
/// returned.
///
/// # Errors
/// [`InitError`] if there is nothing to draft from.
pub fn draft(folder: &Path, inspect: Inspect<'_>) -> Result<String> {
    if !folder.is_dir() {
        return Err(InitError::NotAFolder { path: folder.to_owned() });
    }
    let scan = Scan::of(folder)?;
    if scan.is_empty() {
        return Err(InitError::Nothing { path: folder.to_owned() });
    }
    let images = Images::of(folder, &scan, inspect);
    let mut lines = settings(folder, &images);
    images.write(folder, &scan.labels, &mut lines);
    tables::write(&scan, &mut lines);
    let text = lines.join("\n") + "\n";
    check(&text, folder)?;
    Ok(text)
}

/// `[experiment]`
fn settings(folder: &Path, images: &Images) -> Vec<String> {
    let name = folder.canonicalize().ok();
    let name = name.as_deref().unwrap_or(folder).file_name().map(|name| name.to_string_lossy());
    let mut lines = vec![
        "# What Primordia found in this folder. Read it, fill in what is asked for, then:".into(),
        format!("#   primordia build {FILE_NAME} atlas.h5"),
        String::new(),
        "[experiment]".into(),
        format!("name = {}", quoted(name.as_deref().unwrap_or("experiment"))),
    ];
    if images.is_empty() {
        return lines;
    }
    let channels = images.channels();
    let listed = channels.join(", ");
    match &images.reference {
        Some(reference) => lines.push(format!(
            "reference = {}  # the channel that outlines the cells, guessed of: {listed}",
            quoted(reference)
        )),
        None => lines.push(format!(
            "# reference = \"NAME\"  # which channel outlines the cells? One of: {listed}"
        )),
    }
    let others = channels.iter().filter(|name| Some(*name) != images.reference.as_ref());
    let proteins: Vec<_> = others.map(|name| quoted(name)).collect();
    if images.reference.is_some() && !proteins.is_empty() {
        let proteins = proteins.join(", ");
        lines.push(format!(
            "# proteins = [{proteins}]  # to be mapped; without this, all but the reference"
        ));
    }
    lines.push(
        "# migration = \"+x\"  # where the tissue goes in the images, if it is known: ±x, ±y"
            .into(),
    );
    lines
}

/// Reads the draft back; only what the scientist is asked for may be missing.
fn check(text: &str, folder: &Path) -> Result<()> {
    match Experiment::from_toml(text, folder.join(FILE_NAME)) {
        Ok(_) => Ok(()),
        Err(DataError::Experiment(error)) => match &error.problem {
            Problem::MissingKey { missing: "reference", .. } | Problem::NoSuchReference { .. } => {
                Ok(())
            }
            Problem::Empty => Err(InitError::Nothing { path: folder.to_owned() }),
            _ => Err(DataError::Experiment(error).into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
