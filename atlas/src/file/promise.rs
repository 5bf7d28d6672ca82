//! What `FORMAT.md` promises of a file, checked on the file.

use std::collections::BTreeSet;
use std::path::Path;

use hdf5_metno::types::{FloatSize, TypeDescriptor};
use nalgebra::Matrix4;
use ndarray::{Array3, s};

use super::decode::Source;
use super::model::Atlas;
use super::read::{Selection, check_versions, read_as_written};
use super::{check, protein_key, row_name, shape_key};
use crate::error::Result;

/// What kind of thing stands under a name.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Dict,
    Dataframe,
    Csr,
    /// A list of texts: plain, categorical or masked.
    Texts,
    Text,
    Number,
    Floats32,
    Floats64,
}

/// What every atlas has.
const ALWAYS: [(&str, Kind); 33] = [
    ("X", Kind::Floats32),
    ("obs", Kind::Dataframe),
    ("obs/specimen", Kind::Texts),
    ("obs/label", Kind::Texts),
    ("var", Kind::Dataframe),
    ("obsm", Kind::Dict),
    ("obsm/spatial", Kind::Floats32),
    ("uns", Kind::Dict),
    ("uns/primordia", Kind::Dict),
    ("uns/primordia/format", Kind::Text),
    ("uns/primordia/format_version", Kind::Number),
    ("uns/primordia/versions", Kind::Dict),
    ("uns/primordia/name", Kind::Text),
    ("uns/primordia/provenance", Kind::Dict),
    ("uns/primordia/provenance/primordia_version", Kind::Text),
    ("uns/primordia/provenance/experiment", Kind::Text),
    ("uns/primordia/provenance/parameters_json", Kind::Text),
    ("uns/primordia/provenance/command", Kind::Text),
    ("uns/primordia/provenance/seed", Kind::Number),
    ("uns/primordia/provenance/inputs", Kind::Texts),
    ("uns/primordia/provenance/input_hashes", Kind::Texts),
    ("uns/primordia/specimens", Kind::Dataframe),
    ("uns/primordia/specimen_attributes", Kind::Dataframe),
    ("uns/primordia/image_to_tissue", Kind::Floats64),
    ("uns/primordia/tissue_to_image", Kind::Floats64),
    ("uns/primordia/scores", Kind::Dataframe),
    ("uns/primordia/shape_names", Kind::Texts),
    ("uns/primordia/shape", Kind::Dict),
    ("uns/primordia/protein_names", Kind::Texts),
    ("uns/primordia/protein_features", Kind::Dict),
    ("uns/primordia/arrays", Kind::Dict),
    ("uns/primordia/texts", Kind::Dict),
    ("obsp", Kind::Dict),
];

/// Every promise that the file breaks, a sentence each.
pub(crate) fn broken_promises(path: &Path) -> Vec<String> {
    let opened = Source::open(path).and_then(|source| check_versions(&source).map(|_| source));
    match opened {
        Ok(source) => broken_in(&source),
        Err(error) => vec![error.to_string()],
    }
}

fn broken_in(source: &Source) -> Vec<String> {
    let mut broken = BTreeSet::new();
    for (name, kind) in ALWAYS {
        broken.extend(check_kind(source, name, kind).err());
    }
    for (name, kind) in named_parts(source) {
        broken.extend(check_kind(source, &name, kind).err());
    }
    broken.extend(unreadable_arrays(source));
    for table in ["obs", "uns/primordia/specimens", "uns/primordia/specimen_attributes"] {
        broken.extend(missing_columns(source, table));
    }
    match read_as_written(source, &Selection::everything()) {
        Err(error) => _ = broken.insert(error.to_string()),
        Ok(atlas) => {
            broken.extend(check::problems(&atlas).iter().map(ToString::to_string));
            broken.extend(wrong_index(source, &atlas));
            broken.extend(wrong_inverses(source, &atlas));
        }
    }
    broken.into_iter().collect()
}

/// The arrays whose names follow from the names of shape spaces and proteins.
fn named_parts(source: &Source) -> Vec<(String, Kind)> {
    let shapes = source.strings("uns/primordia/shape_names").unwrap_or_default();
    let proteins = source.strings("uns/primordia/protein_names").unwrap_or_default();
    let mut parts = Vec::new();
    for (at, name) in shapes.iter().enumerate() {
        parts.push((format!("obsm/{}", shape_key(at, name)), Kind::Floats32));
    }
    for name in &proteins {
        for part in ["measured", "predicted", "lower", "upper"] {
            parts.push((format!("obsm/{}", protein_key(name, part)), Kind::Floats32));
        }
        parts.push((format!("uns/primordia/protein_features/{name}"), Kind::Texts));
    }
    if source.has("obsm/image_um") {
        parts.push(("obsm/image_um".to_owned(), Kind::Floats32));
    }
    if source.has("obsp/contact_area_um2") {
        parts.push(("obsp/contact_area_um2".to_owned(), Kind::Csr));
    }
    parts
}

fn check_kind(source: &Source, name: &str, kind: Kind) -> Result<(), String> {
    if !source.has(name) {
        return Err(format!("{name} is missing"));
    }
    let encoding = source.text_attribute(name, "encoding-type").unwrap_or_default();
    let wanted: &[&str] = match kind {
        Kind::Dict => &["dict"],
        Kind::Dataframe => &["dataframe"],
        Kind::Csr => &["csr_matrix"],
        Kind::Texts => &["string-array", "categorical", "nullable-string-array"],
        Kind::Text => &["string"],
        Kind::Number => &["numeric-scalar"],
        Kind::Floats32 | Kind::Floats64 => &["array"],
    };
    if !wanted.contains(&&*encoding) {
        let wanted = wanted.join(" or ");
        return Err(format!("{name} is encoded as {encoding:?}; {wanted} wanted"));
    }
    let float = match kind {
        Kind::Floats32 => FloatSize::U4,
        Kind::Floats64 => FloatSize::U8,
        _ => return Ok(()),
    };
    let found = source.dataset(name).and_then(|dataset| source.kind(&dataset, name));
    match found {
        Ok(TypeDescriptor::Float(size)) if size == float => Ok(()),
        Ok(found) => Err(format!("{name} holds {found}; {} wanted", TypeDescriptor::Float(float))),
        Err(error) => Err(error.to_string()),
    }
}

/// Arrays anywhere in the file whose values cannot be read.
fn unreadable_arrays(source: &Source) -> Vec<String> {
    let paths = match source.arrays_under("/") {
        Ok(paths) => paths,
        Err(error) => return vec![error.to_string()],
    };
    paths
        .iter()
        .filter_map(|path| source.check_readable(path).err())
        .map(|e| e.to_string())
        .collect()
}

fn missing_columns(source: &Source, table: &str) -> Vec<String> {
    let order = source.column_order(table).unwrap_or_default();
    let missing = order.into_iter().filter(|column| !source.has(&format!("{table}/{column}")));
    missing
        .map(|column| format!("{table} lists a column {column:?} that it does not have"))
        .collect()
}

fn wrong_index(source: &Source, atlas: &Atlas) -> Option<String> {
    let index = source.index("obs").ok()?;
    let wanted: Vec<String> = atlas.cells.iter().map(row_name).collect();
    let row = (0..index.len().max(wanted.len())).find(|&row| index.get(row) != wanted.get(row))?;
    let [found, wanted] = [index.get(row), wanted.get(row)].map(|name| match name {
        Some(name) => format!("{name:?}"),
        None => "nothing".to_owned(),
    });
    Some(format!("obs row {row} is named {found}; {wanted} wanted, its specimen/label"))
}

fn wrong_inverses(source: &Source, atlas: &Atlas) -> Vec<String> {
    /// How far from the identity a transform and its inverse may be: both are stored as float64,
    /// with coordinates up to some 10⁴ µm.
    const TOLERANCE: f64 = 1e-6;
    let inverses: Array3<f64> = match source.array("uns/primordia/tissue_to_image") {
        Ok(inverses) => inverses,
        Err(error) => return vec![error.to_string()],
    };
    if inverses.dim() != (atlas.specimens.len(), 4, 4) {
        let shape = inverses.shape();
        return vec![format!(
            "uns/primordia/tissue_to_image has shape {shape:?}; specimens × 4 × 4 wanted"
        )];
    }
    let mut wrong = Vec::new();
    for (at, specimen) in atlas.specimens.iter().enumerate() {
        let inverse = inverses.slice(s![at, .., ..]);
        let holds = match &specimen.image_to_tissue {
            None => inverse.iter().all(|value| value.is_nan()),
            Some(forward) => {
                let inverse = Matrix4::from_fn(|row, column| inverse[[row, column]]);
                (forward * inverse - Matrix4::identity()).amax() < TOLERANCE
            }
        };
        if !holds {
            wrong.push(format!(
                "tissue_to_image of specimen {:?} is not the inverse of its image_to_tissue",
                specimen.id
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_written_down() {
        let page = include_str!("../../FORMAT.md");
        for (name, _) in ALWAYS {
            assert!(page.contains(&format!("| `{name}` | MUST |")), "FORMAT.md lacks {name}");
        }
        for (part, version) in crate::file::PART_VERSIONS {
            assert!(page.contains(&format!("### {part}, version {version}\n")), "{part}");
        }
        assert!(page.contains(&format!("format version {}\n", crate::file::FORMAT_VERSION)));
    }
}
