//! The origin's deposit (IDR idr0079): a folder or zip file for each specimen, in it
//! `<ID>/<ID>_<what>.tsv`. Of these, what was measured is read: raw shape and protein features in
//! both frames, `other_measurements`, manual annotations and RNA counts. What the origin computed
//! from them (`pca`, `predicted`, `classifications`, `probabilities`) is left to be computed anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use primordia_data::experiment::{Deposit, Frame};
use rayon::prelude::*;
use zip::ZipArchive;

use super::error::{Result, TableError};
use super::file::{self, has_ending};
use super::pool::{Keyed, Pool, Positions, Values};
use super::raw::RawTable;

/// The columns of every deposited table that name its cells.
pub(crate) const SPECIMEN: &str = "Source Name";
pub(crate) const CELL: &str = "Cell ID";

/// What a deposited table is about, by the end of its name.
pub(crate) enum What {
    Shape(Frame),
    Protein(String, Frame),
    Features,
    Class(String),
    Count(String),
}

impl What {
    /// `None` for what is not read.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if name == "other_measurements" {
            return Some(Self::Features);
        }
        if let Some(class) = name.strip_suffix("_manual_annotations") {
            return Some(Self::Class(class.to_owned()));
        }
        if let Some(gene) = name.strip_suffix("_RNAcounts_measured") {
            return Some(Self::Count(gene.strip_suffix("smFISH").unwrap_or(gene).to_owned()));
        }
        let tissue = name.strip_suffix("_TFOR_raw_measured").map(|of| (of, Frame::Tissue));
        let cell = || name.strip_suffix("_CFOR_raw_measured").map(|of| (of, Frame::Cell));
        match tissue.or_else(cell)? {
            ("shape", frame) => Some(Self::Shape(frame)),
            (protein, frame) => Some(Self::Protein(protein.to_owned(), frame)),
        }
    }
}

/// Reads all tables of a deposit, those of one kind under one another.
pub(super) fn read(deposit: &Deposit) -> Result<Pool> {
    let found: Vec<_> = deposit.paths.par_iter().map(|path| tables(path)).collect();
    let found: Result<Vec<Vec<Found>>> = found.into_iter().collect(); // the first error, always
    let mut kinds: BTreeMap<String, Vec<RawTable>> = BTreeMap::new();
    for Found { what, table } in found?.into_iter().flatten() {
        kinds.entry(what).or_default().push(table);
    }
    let path = deposit.paths.first().cloned().unwrap_or_default();
    let mut pool = Pool { path, attributes: deposit.attributes.clone(), ..Pool::default() };
    for (name, tables) in kinds {
        if let (Some(what), Some(table)) = (What::of(&name), RawTable::stacked(tables)?) {
            add(&mut pool, what, Arc::new(Keyed::new(table, SPECIMEN, CELL)?));
        }
    }
    Ok(pool)
}

fn add(pool: &mut Pool, what: What, table: Arc<Keyed>) {
    let values = |name, table| Values { name, table, column: None, names: Vec::new() };
    match what {
        What::Shape(frame) => pool.shape.push((frame.name().to_owned(), table)),
        What::Protein(name, frame) => pool.proteins.push((name, frame, table)),
        What::Class(name) => pool.classes.push(values(name, table)),
        What::Count(name) => pool.counts.push(values(name, table)),
        What::Features => {
            let columns =
                |frame: &str| ["X", "Y", "Z"].map(|axis| format!("Centroids {frame} {axis}"));
            let positions = |frame| Positions { table: table.clone(), columns: columns(frame) };
            pool.positions = Some(positions("TFOR"));
            pool.image_positions = Some(positions("RAW"));
            pool.features.push(table);
        }
    }
}

/// The columns of x, y and z in `TFOR` or `RAW` (image) coordinates.
pub(crate) fn centroids(frame: &str) -> [String; 3] {
    ["X", "Y", "Z"].map(|axis| format!("Centroids {frame} {axis}"))
}

/// One table and the end of its name.
struct Found {
    what: String,
    table: RawTable,
}

/// The tables in a zip file, or in a folder and those below it, in the order of their names.
fn tables(path: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    gather(path, 0, &mut found)?;
    if found.is_empty() {
        return Err(TableError::NoDeposit { path: path.to_owned() });
    }
    Ok(found)
}

fn gather(path: &Path, depth: usize, found: &mut Vec<Found>) -> Result<()> {
    /// A deposit is `experimentA/measurements/ID/ID_what.tsv` at most; a circle of links is deeper.
    const DEEPEST: usize = 6;
    let unreadable = |source| TableError::Read { path: path.to_owned(), source };
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(unreadable)?;
        let entries: std::io::Result<Vec<_>> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut entries = entries.map_err(unreadable)?;
        entries.sort_unstable();
        for entry in entries.iter().filter(|entry| depth < DEEPEST && !is_hidden(entry)) {
            gather(entry, depth + 1, found)?;
        }
    } else if has_ending(path, "zip") {
        gather_zip(path, found)?;
    } else if deposited(path).is_some() {
        add_table(File::open(path).map_err(unreadable)?, path, found)?;
    }
    Ok(())
}

fn gather_zip(path: &Path, found: &mut Vec<Found>) -> Result<()> {
    let file =
        File::open(path).map_err(|source| TableError::Read { path: path.to_owned(), source })?;
    let wrong = |source| TableError::Zip { path: path.to_owned(), source };
    let mut archive = ZipArchive::new(file).map_err(wrong)?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let name = archive.by_index_raw(index).map_err(wrong)?.name().map_err(wrong)?.into_owned();
        members.push((PathBuf::from(name), index));
    }
    members.sort_unstable();
    for (name, index) in members {
        if !name.iter().any(|part| is_hidden(Path::new(part))) && deposited(&name).is_some() {
            let member = archive.by_index(index).map_err(wrong)?;
            add_table(member, &path.join(&name), found)?;
        }
    }
    Ok(())
}

fn add_table(source: impl Read, path: &Path, found: &mut Vec<Found>) -> Result<()> {
    if let Some((specimen, what)) = deposited(path) {
        let table = file::read_from(source, path)?;
        table.check_specimen(SPECIMEN, specimen)?;
        found.push(Found { what: what.to_owned(), table });
    }
    Ok(())
}

/// The specimen and the kind of a deposited table that is read.
pub(crate) fn deposited(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".tsv").or_else(|| name.strip_suffix(".tsv.gz"))?;
    let (specimen, what) = stem.split_once('_')?;
    What::of(what).map(|_| (specimen, what))
}

/// Hidden files, and what macOS leaves in zip files.
pub(crate) fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') || name == "__MACOSX"
}
