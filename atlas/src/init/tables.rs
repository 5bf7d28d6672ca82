//! How an experiment file names the tables of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use primordia_data::experiment::Frame;

use super::quoted;
use super::scan::{Scan, kind};
use crate::tables::deposit::{CELL, SPECIMEN, What, centroids};

/// Appends `[[deposit]]` and `[[tables]]`.
pub(super) fn write(scan: &Scan, text: &mut Vec<String>) {
    let mut folders: Vec<_> = scan.zips.iter().map(|zip| parent(zip)).collect();
    folders.dedup();
    for folder in folders {
        let pattern = Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join("*.zip");
        write_deposit(&pattern, text);
    }
    for folder in parents_of_all(&scan.specimens) {
        write_deposit(Path::new(&glob::Pattern::escape(&folder.to_string_lossy())), text);
    }
    let mut pooled: BTreeMap<PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    for file in &scan.pooled {
        pooled.entry(parent(file)).or_default().push(file);
    }
    for files in pooled.values() {
        write_pooled(files, text);
    }
    if !scan.other_tables.is_empty() {
        text.push(String::new());
        text.push("# Other tables are here. Say what they hold to use them:".into());
        text.push("# [[tables]]".into());
        text.push("# specimen = \"COLUMN\"  # the columns that say which cell a row is".into());
        text.push("# cell = \"COLUMN\"".into());
        let tables = scan.other_tables.iter();
        text.extend(tables.map(|file| format!("# features = {}", path(file))));
    }
}

fn write_deposit(pattern: &Path, text: &mut Vec<String>) {
    text.push(String::new());
    text.push("[[deposit]]  # tables of each specimen, as IDR idr0079 has them".into());
    text.push(format!("path = {}", path(pattern)));
}

/// The folders above folders of specimens; a folder at the top stands for itself.
fn parents_of_all(specimens: &[PathBuf]) -> Vec<PathBuf> {
    let above = |specimen: &PathBuf| {
        let parent = parent(specimen);
        if parent.as_os_str().is_empty() { specimen.clone() } else { parent }
    };
    let mut folders: Vec<_> = specimens.iter().map(above).collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

fn write_pooled(files: &[&PathBuf], text: &mut Vec<String>) {
    text.push(String::new());
    text.push("[[tables]]  # pooled over specimens, named as IDR idr0079 names them".into());
    text.push(format!(
        "specimen = {}  # the columns that say which cell a row is",
        quoted(SPECIMEN)
    ));
    text.push(format!("cell = {}", quoted(CELL)));
    for file in files {
        let value = path(file);
        match kind(file) {
            None => {}
            Some(What::Shape(frame)) => text.push(format!("shape.{} = {value}", frame.name())),
            Some(What::Protein(name, frame)) => text.push(protein(&name, frame, &value)),
            Some(What::Class(name)) => text.push(format!("class.{} = {value}", quoted(&name))),
            Some(What::Count(name)) => text.push(format!("count.{} = {value}", quoted(&name))),
            Some(What::Features) => {
                text.push(format!("features = {value}"));
                for (key, frame) in [("position_um", "TFOR"), ("image_position_um", "RAW")] {
                    let columns = centroids(frame).map(|column| quoted(&column)).join(", ");
                    text.push(format!("{key} = {{ file = {value}, columns = [{columns}] }}"));
                }
            }
        }
    }
}

fn protein(name: &str, frame: Frame, file: &str) -> String {
    format!("protein.{}.{} = {file}", quoted(name), frame.name())
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}
