//! What a folder holds: images, label images, deposits and tables, by their names.

use std::fs::File;
use std::path::{Path, PathBuf};

use primordia_data::experiment::stem;

use super::{InitError, Result};
use crate::tables::deposit::{What, deposited, is_hidden};

/// Paths relative to the folder, each list in the order of names.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) images: Vec<PathBuf>,
    pub(super) labels: Vec<PathBuf>,
    /// Zip files of deposited tables.
    pub(super) zips: Vec<PathBuf>,
    /// Folders with the deposited tables of one specimen.
    pub(super) specimens: Vec<PathBuf>,
    /// Pooled tables that are named as the deposited ones.
    pub(super) pooled: Vec<PathBuf>,
    /// Any other table.
    pub(super) other_tables: Vec<PathBuf>,
}

impl Scan {
    /// Looks through `folder` and the folders in it.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut scan = Self::default();
        scan.look_into(folder, Path::new(""), 0)?;
        Ok(scan)
    }

    pub(super) fn is_empty(&self) -> bool {
        [&self.images, &self.zips, &self.specimens, &self.pooled, &self.other_tables]
            .iter()
            .all(|found| found.is_empty())
    }

    fn look_into(&mut self, folder: &Path, relative: &Path, depth: usize) -> Result<()> {
        /// Experiments lie in a few folders; a circle of links is deeper.
        const DEEPEST: usize = 5;
        let path = folder.join(relative);
        let unreadable = |source| InitError::Read { path: path.clone(), source };
        let names: std::io::Result<Vec<_>> = std::fs::read_dir(&path)
            .map_err(unreadable)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let mut names = names.map_err(unreadable)?;
        names.sort_unstable();
        for entry in names.into_iter().map(|name| relative.join(name)) {
            if is_hidden(&entry) {
                continue;
            }
            if !folder.join(&entry).is_dir() {
                self.add_file(folder, entry);
            } else if depth < DEEPEST {
                self.look_into(folder, &entry, depth + 1)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, folder: &Path, file: PathBuf) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.to_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".tif", ".tiff", ".h5", ".hdf5"]) {
            let images = if is_label_image(&file) { &mut self.labels } else { &mut self.images };
            images.push(file);
        } else if ends(&[".zip"]) {
            if is_deposit(&folder.join(&file)) {
                self.zips.push(file);
            }
        } else if deposited(&file).is_some_and(|(id, _)| {
            file.parent().and_then(Path::file_name).is_some_and(|folder| folder == id)
        }) {
            let specimen = file.parent().unwrap_or(Path::new("")).to_owned();
            if self.specimens.last() != Some(&specimen) {
                self.specimens.push(specimen);
            }
        } else if ends(&[".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"]) {
            let specimen = file.parent().map(Path::to_owned);
            if kind(&file).is_some() {
                self.pooled.push(file);
            } else if self.specimens.last() != specimen.as_ref() {
                self.other_tables.push(file);
            }
        }
    }
}

/// What a pooled table is about, by its name.
pub(super) fn kind(file: &Path) -> Option<What> {
    let name = file.file_name()?.to_str()?;
    What::of(name.split_once('.')?.0)
}

/// Whether a zip file holds deposited tables.
fn is_deposit(path: &Path) -> bool {
    let archive = File::open(path).ok().and_then(|file| zip::ZipArchive::new(file).ok());
    archive.is_some_and(|archive| {
        archive.file_names().flatten().any(|name| deposited(Path::new(&*name)).is_some())
    })
}

/// Endings and folders by which label images are told from images.
const LABELS: [&str; 6] = ["seg", "segmentation", "label", "labels", "mask", "masks"];

fn is_label_image(file: &Path) -> bool {
    let folders = file.parent().into_iter().flat_map(Path::iter).filter_map(|part| part.to_str());
    let in_folder = folders.map(str::to_lowercase).any(|folder| {
        LABELS.contains(&folder.as_str()) || folder == "curated" || folder == "segmentations"
    });
    in_folder || stem(file).is_some_and(|stem| labelled_id(stem) != stem)
}

/// `056F63395C_seg` without what says that it is a label image.
fn labelled_id(stem: &str) -> &str {
    match stem.rsplit_once(['_', '-', '.']) {
        Some((id, ending)) if LABELS.contains(&ending.to_lowercase().as_str()) => id,
        _ => stem,
    }
}

/// The pattern, with `{id}`, of label images for all of `images`; or how many have one.
pub(super) fn label_pattern(images: &[PathBuf], labels: &[PathBuf]) -> (Option<String>, usize) {
    let mut most = 0;
    let first = images.first().and_then(|image| stem(image)).unwrap_or_default();
    for label in labels.iter().filter(|label| stem(label).map(labelled_id) == Some(first)) {
        let name = label.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pattern = label.with_file_name(format!("{{id}}{}", &name[first.len()..]));
        let pattern = pattern.to_string_lossy().into_owned();
        let there = |image: &&PathBuf| {
            stem(image).is_some_and(|id| labels.contains(&pattern.replace("{id}", id).into()))
        };
        let n_labelled = images.iter().filter(there).count();
        if n_labelled == images.len() {
            return (Some(pattern), n_labelled);
        }
        most = most.max(n_labelled);
    }
    (None, most)
}
