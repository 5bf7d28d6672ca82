//! The invariants of an atlas.
#![allow(missing_docs)] // the messages are the documentation

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ndarray::{Array2, Zip};
use primordia_data::CellId;
use thiserror::Error;

use super::contacts::Contacts;
use super::model::{Atlas, ColumnValues, FittedSpace, Protein, Specimen};

/// Something about an atlas that cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("{what} has shape {found:?}; {wanted:?} wanted")]
    Shape { what: String, found: Vec<usize>, wanted: Vec<usize> },
    #[error("two {kind} are named {name:?}; give each its own name")]
    Duplicate { kind: &'static str, name: String },
    #[error(
        "{kind} {name:?} cannot be stored: names are not empty, not `.`, `..` or `_index`, and hold neither `/` nor NUL"
    )]
    Name { kind: &'static str, name: String },
    #[error("{kind} {name:?} is a name that Primordia keeps for itself; rename it")]
    Reserved { kind: &'static str, name: String },
    #[error("a text under {what} holds a NUL character, which HDF5 cannot store")]
    Nul { what: &'static str },
    #[error("cells belong to specimen {specimen:?}, which the specimens do not list")]
    UnknownSpecimen { specimen: String },
    #[error("specimen {specimen:?} says it has {found} cells; {wanted} rows are its own")]
    CellCount { specimen: String, found: usize, wanted: usize },
    #[error("{what} holds infinite values; NaN says that a value is not known")]
    Infinite { what: String },
    #[error(
        "protein {protein:?} has {count} prediction intervals whose lower end lies above the upper"
    )]
    Interval { protein: String, count: usize },
    #[error("shape space {name:?}: {what}")]
    Space { name: String, what: &'static str },
    #[error("contacts: {what} (row {row})")]
    Contacts { what: &'static str, row: usize },
    #[error("the transform of specimen {specimen:?} is not an invertible affine motion")]
    Transform { specimen: String },
    #[error("the voxel size of specimen {specimen:?} is {um:?}; positive and finite µm wanted")]
    VoxelSize { specimen: String, um: [f64; 3] },
    #[error("confidence {confidence} of specimen {specimen:?} is not between 0 and 1")]
    Confidence { specimen: String, confidence: f64 },
    #[error("array path {path:?} is also a folder of another array")]
    PathIsFolder { path: String },
    #[error("the parameters are not JSON: {reason}")]
    Parameters { reason: String },
}

/// Names of columns of cells that an atlas keeps for itself.
const CELL_COLUMNS: [&str; 9] =
    ["specimen", "cell", "label", "x_um", "y_um", "z_um", "image_x_um", "image_y_um", "image_z_um"];

/// Names of columns of specimens that an atlas keeps for itself.
const SPECIMEN_COLUMNS: [&str; 12] = [
    "specimen",
    "source",
    "input_hash",
    "n_cells",
    "voxel_z_um",
    "voxel_y_um",
    "voxel_x_um",
    "residual_um",
    "direction",
    "direction_confidence",
    "apical",
    "apical_confidence",
];

/// Names of tables that a protein may not take.
const RESERVED_TABLES: [&str; 4] = ["cells", "specimens", "scores", "contacts"];

/// Everything that is wrong with `atlas`.
pub(crate) fn problems(atlas: &Atlas) -> Vec<Problem> {
    let mut found = Vec::new();
    check_cells(atlas, &mut found);
    check_features(atlas, &mut found);
    check_columns(atlas, &mut found);
    check_shape(atlas, &mut found);
    unique("proteins", atlas.proteins.iter().map(|protein| &*protein.name), &mut found);
    for protein in &atlas.proteins {
        check_protein(protein, atlas.n_cells(), &mut found);
    }
    if let Some(contacts) = &atlas.contacts {
        check_contacts(contacts, &atlas.cells, &mut found);
    }
    for specimen in &atlas.specimens {
        check_specimen(specimen, &mut found);
    }
    check_paths("array", atlas.arrays.keys(), &mut found);
    check_paths("text", atlas.texts.keys(), &mut found);
    check_texts(atlas, &mut found);
    found
}

fn check_cells(atlas: &Atlas, found: &mut Vec<Problem>) {
    let n = atlas.n_cells();
    same_shape("spatial_um", &atlas.spatial_um, [n, 3], found);
    not_infinite("spatial_um", &atlas.spatial_um, found);
    if let Some(image_um) = &atlas.image_um {
        same_shape("image_um", image_um, [n, 3], found);
        not_infinite("image_um", image_um, found);
    }
    let names: Vec<_> = atlas.cells.iter().map(super::row_name).collect();
    unique("cells", names.iter().map(|name| &**name), found);
    unique("specimens", atlas.specimens.iter().map(|specimen| &*specimen.id), found);
    let mut counts = BTreeMap::<&str, usize>::new();
    for cell in &atlas.cells {
        *counts.entry(&cell.specimen).or_default() += 1;
    }
    for specimen in &atlas.specimens {
        let wanted = counts.remove(&*specimen.id).unwrap_or(0);
        if specimen.n_cells != wanted {
            let (specimen, found_cells) = (specimen.id.clone(), specimen.n_cells);
            found.push(Problem::CellCount { specimen, found: found_cells, wanted });
        }
    }
    found.extend(counts.into_keys().map(|id| Problem::UnknownSpecimen { specimen: id.to_owned() }));
}

fn check_features(atlas: &Atlas, found: &mut Vec<Problem>) {
    let wanted = [atlas.n_cells(), atlas.features.names.len()];
    same_shape("features", &atlas.features.values, wanted, found);
    not_infinite("features", &atlas.features.values, found);
}

fn check_columns(atlas: &Atlas, found: &mut Vec<Problem>) {
    let shape: Vec<String> = super::shape_columns(&atlas.shape).collect();
    let features = atlas.features.names.iter();
    let own = atlas.columns.iter().map(|column| &column.name);
    unique("columns", features.clone().chain(own.clone()).chain(&shape).map(String::as_str), found);
    for name in features.chain(own) {
        not_reserved("column", name, &CELL_COLUMNS, found);
    }
    for column in &atlas.columns {
        storable("column", &column.name, found);
        if column.values.len() != atlas.n_cells() {
            found.push(Problem::Shape {
                what: format!("column {:?}", column.name),
                found: vec![column.values.len()],
                wanted: vec![atlas.n_cells()],
            });
        }
    }
}

fn check_shape(atlas: &Atlas, found: &mut Vec<Problem>) {
    unique("shape spaces", atlas.shape.iter().map(|block| &*block.name), found);
    for block in &atlas.shape {
        storable("shape space", &block.name, found);
        let wanted = [atlas.n_cells(), block.scores.ncols()];
        let what = format!("shape space {:?}", block.name);
        same_shape(&what, &block.scores, wanted, found);
        not_infinite(&what, &block.scores, found);
        if let Some(space) = &block.space {
            check_space(&block.name, space, block.scores.ncols(), found);
        }
    }
}

fn check_space(name: &str, space: &FittedSpace, axes: usize, found: &mut Vec<Problem>) {
    let inputs = space.input_names.len();
    let ratio = &space.explained_variance_ratio;
    let mut demand = |holds: bool, what: &'static str| {
        if !holds {
            found.push(Problem::Space { name: name.to_owned(), what });
        }
    };
    demand(space.mean.len() == inputs, "one mean per input wanted");
    demand(space.scale.len() == inputs, "one scale per input wanted");
    demand(space.components.dim() == (axes, inputs), "components are axes × inputs");
    demand(ratio.len() == axes, "one explained variance ratio per axis wanted");
    demand(
        ratio.iter().all(|share| (0.0..=1.0).contains(share)) && ratio.sum() <= 1.0 + 1e-6,
        "explained variance ratios are shares of one whole",
    );
    demand(space.mean.iter().all(|mean| mean.is_finite()), "means are finite");
    demand(
        space.scale.iter().all(|scale| scale.is_finite() && *scale > 0.0),
        "scales are positive and finite",
    );
    demand(space.components.iter().all(|weight| weight.is_finite()), "components are finite");
}

fn check_protein(protein: &Protein, n_cells: usize, found: &mut Vec<Problem>) {
    storable("protein", &protein.name, found);
    not_reserved("protein", &protein.name, &RESERVED_TABLES, found);
    unique("protein features", protein.feature_names.iter().map(String::as_str), found);
    let wanted = [n_cells, protein.feature_names.len()];
    for (part, values) in protein.parts() {
        let what = format!("protein {:?} {part}", protein.name);
        same_shape(&what, values, wanted, found);
        if part == "measured" || part == "predicted" {
            not_infinite(&what, values, found);
        }
    }
    if protein.lower.dim() == protein.upper.dim() {
        let mut count = 0;
        Zip::from(&protein.lower).and(&protein.upper).for_each(|lower, upper| {
            count += usize::from(lower > upper);
        });
        if count > 0 {
            found.push(Problem::Interval { protein: protein.name.clone(), count });
        }
    }
}

fn check_contacts(contacts: &Contacts, cells: &[CellId], found: &mut Vec<Problem>) {
    let n_cells = cells.len();
    let starts = &contacts.row_starts;
    let n_entries = contacts.neighbours.len();
    let whole = starts.len() == n_cells + 1
        && starts.first() == Some(&0)
        && starts.last() == Some(&n_entries)
        && starts.is_sorted()
        && contacts.areas_um2.len() == n_entries;
    if !whole {
        found.push(Problem::Contacts { what: "row starts and entries do not fit", row: 0 });
        return;
    }
    for row in 0..n_cells {
        if let Some(what) = problem_of_row(contacts, row, cells) {
            found.push(Problem::Contacts { what, row });
            return; // the first names the fault; thousands more would not help
        }
    }
}

fn problem_of_row(contacts: &Contacts, row: usize, cells: &[CellId]) -> Option<&'static str> {
    let neighbours = &contacts.neighbours[contacts.row_starts[row]..contacts.row_starts[row + 1]];
    if neighbours.iter().any(|&neighbour| neighbour >= cells.len()) {
        return Some("a neighbour is no row of the atlas");
    }
    let specimen = &cells[row].specimen;
    if neighbours.iter().any(|&neighbour| cells[neighbour].specimen != *specimen) {
        return Some("a cell touches one of another specimen");
    }
    if neighbours.contains(&row) {
        return Some("a cell touches itself");
    }
    if !neighbours.is_sorted_by(|a, b| a < b) {
        return Some("neighbours do not ascend");
    }
    if contacts.of(row).any(|(_, area_um2)| !(area_um2.is_finite() && area_um2 > 0.0)) {
        return Some("areas are not positive and finite");
    }
    let mutual = |(other, area_um2): (usize, f64)| {
        let start = contacts.row_starts[other];
        let back = contacts.neighbours[start..contacts.row_starts[other + 1]].binary_search(&row);
        back.is_ok_and(|at| contacts.areas_um2[start + at].to_bits() == area_um2.to_bits())
    };
    (!contacts.of(row).all(mutual)).then_some("a contact differs between its two sides")
}

fn check_specimen(specimen: &Specimen, found: &mut Vec<Problem>) {
    let id = || specimen.id.clone();
    if let Some(matrix) = &specimen.image_to_tissue {
        let affine = matrix.row(3).iter().eq(&[0.0, 0.0, 0.0, 1.0]);
        let finite = matrix.iter().all(|value| value.is_finite());
        if !affine || !finite || matrix.try_inverse().is_none() {
            found.push(Problem::Transform { specimen: id() });
        }
    }
    if let Some(um) = specimen.voxel_size_um
        && !um.iter().all(|side| side.is_finite() && *side > 0.0)
    {
        found.push(Problem::VoxelSize { specimen: id(), um });
    }
    for decision in specimen.direction.iter().chain(&specimen.apical) {
        if !(0.0..=1.0).contains(&decision.confidence) {
            let confidence = decision.confidence;
            found.push(Problem::Confidence { specimen: id(), confidence });
        }
    }
    for key in specimen.attributes.keys() {
        storable("specimen attribute", key, found);
        not_reserved("specimen attribute", key, &SPECIMEN_COLUMNS, found);
    }
}

fn check_paths<'a>(
    kind: &'static str,
    paths: impl Iterator<Item = &'a String>,
    found: &mut Vec<Problem>,
) {
    let paths: BTreeSet<&str> = paths.map(String::as_str).collect();
    let folders: BTreeSet<&str> = paths
        .iter()
        .flat_map(|path| path.match_indices('/').map(|(end, _)| &path[..end]))
        .collect();
    for path in &paths {
        path.split('/').for_each(|part| storable(kind, part, found));
    }
    for path in paths.intersection(&folders) {
        found.push(Problem::PathIsFolder { path: (*path).to_owned() });
    }
}

fn check_texts(atlas: &Atlas, found: &mut Vec<Problem>) {
    let provenance = &atlas.provenance;
    let json = &provenance.parameters_json;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json)
        && !json.is_empty()
    {
        found.push(Problem::Parameters { reason: error.to_string() });
    }
    let mut no_nul = |what, text: &str| {
        if text.contains('\0') && found.last() != Some(&Problem::Nul { what }) {
            found.push(Problem::Nul { what });
        }
    };
    atlas.cells.iter().for_each(|cell| no_nul("cells", &super::row_name(cell)));
    atlas.features.names.iter().for_each(|name| no_nul("features", name));
    for column in &atlas.columns {
        if let ColumnValues::Text(values) = &column.values {
            values.iter().flatten().for_each(|text| no_nul("columns", text));
        }
    }
    let inputs = atlas.shape.iter().filter_map(|block| block.space.as_ref());
    inputs.flat_map(|space| &space.input_names).for_each(|name| no_nul("shape", name));
    atlas.proteins.iter().flat_map(|p| &p.feature_names).for_each(|name| no_nul("proteins", name));
    for specimen in &atlas.specimens {
        let decisions = specimen.direction.iter().chain(&specimen.apical).map(|d| &d.text);
        let texts = [&specimen.id, &specimen.source, &specimen.input_hash].into_iter();
        texts
            .chain(decisions)
            .chain(specimen.attributes.values())
            .for_each(|text| no_nul("specimens", text));
    }
    for score in &atlas.scores {
        for text in [&score.protein, &score.target, &score.model] {
            no_nul("scores", text);
        }
    }
    atlas.texts.values().flatten().for_each(|text| no_nul("texts", text));
    let once = [&atlas.name, &provenance.primordia_version, &provenance.experiment];
    once.into_iter()
        .chain([json, &provenance.command])
        .chain(provenance.input_hashes.iter().flat_map(|(path, hash)| [path, hash]))
        .for_each(|text| no_nul("provenance", text));
}

fn same_shape<T>(what: &str, found: &Array2<T>, wanted: [usize; 2], problems: &mut Vec<Problem>) {
    if found.shape() != wanted {
        problems.push(Problem::Shape {
            what: what.to_owned(),
            found: found.shape().to_vec(),
            wanted: wanted.to_vec(),
        });
    }
}

fn not_infinite(what: &str, values: &Array2<f32>, problems: &mut Vec<Problem>) {
    if values.iter().any(|value| value.is_infinite()) {
        problems.push(Problem::Infinite { what: what.to_owned() });
    }
}

fn unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
    problems: &mut Vec<Problem>,
) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(Problem::Duplicate { kind, name: name.to_owned() });
        }
    }
}

fn not_reserved(kind: &'static str, name: &str, reserved: &[&str], problems: &mut Vec<Problem>) {
    if reserved.contains(&name) {
        problems.push(Problem::Reserved { kind, name: name.to_owned() });
    }
}

fn storable(kind: &'static str, name: &str, problems: &mut Vec<Problem>) {
    let refused = ["", ".", "..", "_index"];
    if refused.contains(&name) || name.contains(['/', '\0']) {
        problems.push(Problem::Name { kind, name: name.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoiled(spoil: impl FnOnce(&mut Atlas)) -> Vec<Problem> {
        let mut atlas = Atlas::example();
        assert_eq!(problems(&atlas), []);
        spoil(&mut atlas);
        problems(&atlas)
    }

    #[test]
    fn rows_fit_one_another() {
        let found = spoiled(|atlas| atlas.spatial_um = Array2::zeros((4, 3)));
        assert!(matches!(&found[..], [Problem::Shape { .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.columns[1].values = ColumnValues::Flag(vec![]));
        assert!(matches!(&found[..], [Problem::Shape { .. }]), "{found:?}");
    }

    #[test]
    fn names_that_collide_or_cannot_be_stored_are_named() {
        let found = spoiled(|atlas| atlas.columns[0].name = "volume_um3".into());
        assert!(matches!(&found[..], [Problem::Duplicate { .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.proteins[1].name = "a/b".into());
        assert!(matches!(&found[..], [Problem::Name { .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.columns[0].name = "label".into());
        assert!(matches!(&found[..], [Problem::Reserved { .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.name.push('\0'));
        assert_eq!(found, [Problem::Nul { what: "provenance" }]);
        let found = spoiled(|atlas| {
            atlas.arrays.insert("models/actin".into(), ndarray::arr0(1.0).into_dyn());
        });
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn specimens_and_cells_agree() {
        let found = spoiled(|atlas| atlas.specimens[0].n_cells = 4);
        assert!(matches!(&found[..], [Problem::CellCount { wanted: 3, .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.specimens.truncate(1));
        assert!(matches!(&found[..], [Problem::UnknownSpecimen { .. }]), "{found:?}");
        let found =
            spoiled(|atlas| atlas.specimens[0].image_to_tissue = Some(nalgebra::Matrix4::zeros()));
        assert!(matches!(&found[..], [Problem::Transform { .. }]), "{found:?}");
    }

    #[test]
    fn a_contact_has_two_sides_and_an_interval_two_ends() {
        let found = spoiled(|atlas| atlas.contacts.as_mut().unwrap().areas_um2[0] = 9.0);
        assert!(matches!(&found[..], [Problem::Contacts { row: 0, .. }]), "{found:?}");
        let found = spoiled(|atlas| atlas.proteins[0].lower[[0, 0]] = 7.0);
        assert!(matches!(&found[..], [Problem::Interval { count: 1, .. }]), "{found:?}");
    }
}
