//! An atlas as tables of rows and columns.

use std::collections::BTreeSet;

use ndarray::ArrayView1;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use crate::error::{AtlasError, Result};
use crate::file::{Atlas, ColumnValues, Decision, Protein, Score, Specimen, shape_columns};

/// The tables of an atlas: `cells`, `specimens`, `scores`, `contacts`, and one per protein.
pub fn table_names(atlas: &Atlas) -> Vec<String> {
    names(atlas.proteins.iter().map(|protein| &*protein.name))
}

pub(super) fn names<'a>(proteins: impl Iterator<Item = &'a str>) -> Vec<String> {
    let own = ["cells", "specimens", "scores", "contacts"];
    own.into_iter().chain(proteins).map(str::to_owned).collect()
}

/// One table of an atlas. NaN becomes NULL.
///
/// - `cells`: `specimen`, `cell`, `x_um`, `y_um`, `z_um` (tissue frame), `image_x_um`… (where
///   kept), every feature, every further column, `shape_1`… (and `shape_NAME_1`… of further spaces);
/// - the name of a protein: `specimen`, `cell`, and per feature `FEATURE_measured`, `_predicted`,
///   `_lower`, `_upper`;
/// - `specimens`: one row each, with voxel size, registration and attributes;
/// - `scores`: how well each protein is predicted, by which model;
/// - `contacts`: `specimen`, `cell`, `neighbour`, `area_um2`, a row for each side of a contact.
///
/// # Errors
/// [`AtlasError::UnknownTable`] if there is no such table, [`AtlasError::Table`] if two of its
/// columns would share a name.
pub fn table(atlas: &Atlas, name: &str) -> Result<DataFrame> {
    let (height, columns) = match (name, atlas.protein(name)) {
        ("cells", _) => (atlas.n_cells(), cells(atlas)),
        ("specimens", _) => (atlas.specimens.len(), specimens(&atlas.specimens)),
        ("scores", _) => (atlas.scores.len(), scores(&atlas.scores)),
        ("contacts", _) => contacts(atlas),
        (_, Some(protein)) => (atlas.n_cells(), of_protein(atlas, protein)),
        (_, None) => {
            let available = table_names(atlas).join(", ");
            return Err(AtlasError::UnknownTable { found: name.to_owned(), available });
        }
    };
    DataFrame::new(height, columns)
        .map_err(|source| AtlasError::Table { table: name.to_owned(), source })
}

fn cells(atlas: &Atlas) -> Vec<Column> {
    let mut columns = who(atlas);
    let places = [("", Some(&atlas.spatial_um)), ("image_", atlas.image_um.as_ref())];
    for (prefix, points_um) in places {
        let Some(points_um) = points_um else { continue };
        for (axis, values) in ["x", "y", "z"].iter().zip(points_um.columns()) {
            columns.push(floats(&format!("{prefix}{axis}_um"), &values));
        }
    }
    for (name, values) in atlas.features.names.iter().zip(atlas.features.values.columns()) {
        columns.push(floats(name, &values));
    }
    for column in &atlas.columns {
        columns.push(match &column.values {
            ColumnValues::Text(values) => Series::new((&*column.name).into(), values).into(),
            ColumnValues::Flag(values) => Series::new((&*column.name).into(), values).into(),
            ColumnValues::Number(values) => numbers(&column.name, values.iter().copied()),
        });
    }
    let scores = atlas.shape.iter().flat_map(|block| block.scores.columns());
    columns.extend(shape_columns(&atlas.shape).zip(scores).map(|(name, v)| floats(&name, &v)));
    columns
}

fn of_protein(atlas: &Atlas, protein: &Protein) -> Vec<Column> {
    let mut columns = who(atlas);
    for (at, feature) in protein.feature_names.iter().enumerate() {
        for (part, values) in protein.parts() {
            if at < values.ncols() {
                columns.push(floats(&format!("{feature}_{part}"), &values.column(at)));
            }
        }
    }
    columns
}

fn specimens(specimens: &[Specimen]) -> Vec<Column> {
    let texts =
        |name: &str, f: &dyn Fn(&Specimen) -> Option<&str>| text(name, specimens.iter().map(f));
    let values = |name: &str, f: &dyn Fn(&Specimen) -> Option<f64>| {
        numbers(name, specimens.iter().map(|specimen| f(specimen).unwrap_or(f64::NAN)))
    };
    let mut columns = vec![
        texts("specimen", &|s| Some(&s.id)),
        texts("source", &|s| Some(&s.source)),
        texts("input_hash", &|s| Some(&s.input_hash)),
        counts("n_cells", specimens.iter().map(|s| s.n_cells)),
        values("voxel_z_um", &|s| s.voxel_size_um.map(|um| um[0])),
        values("voxel_y_um", &|s| s.voxel_size_um.map(|um| um[1])),
        values("voxel_x_um", &|s| s.voxel_size_um.map(|um| um[2])),
        values("residual_um", &|s| s.residual_um),
        texts("direction", &|s| said(s.direction.as_ref())),
        values("direction_confidence", &|s| s.direction.as_ref().map(|d| d.confidence)),
        texts("apical", &|s| said(s.apical.as_ref())),
        values("apical_confidence", &|s| s.apical.as_ref().map(|d| d.confidence)),
    ];
    let keys: BTreeSet<&String> = specimens.iter().flat_map(|s| s.attributes.keys()).collect();
    for key in keys {
        columns.push(texts(key, &|s| s.attributes.get(key).map(String::as_str)));
    }
    columns
}

fn said(decision: Option<&Decision>) -> Option<&str> {
    decision.map(|decision| &*decision.text)
}

fn scores(scores: &[Score]) -> Vec<Column> {
    let texts = |name, f: fn(&Score) -> &str| text(name, scores.iter().map(|s| Some(f(s))));
    let values = |name, f: fn(&Score) -> f64| numbers(name, scores.iter().map(f));
    vec![
        texts("protein", |score| &score.protein),
        texts("target", |score| &score.target),
        texts("model", |score| &score.model),
        values("r2_mean", |score| score.r2_mean),
        values("r2_sd", |score| score.r2_sd),
        counts("folds", scores.iter().map(|score| score.folds)),
        counts("n_cells", scores.iter().map(|score| score.n_cells)),
        counts("n_specimens", scores.iter().map(|score| score.n_specimens)),
        values("best_reachable_r2", |score| score.best_reachable_r2.unwrap_or(f64::NAN)),
    ]
}

fn contacts(atlas: &Atlas) -> (usize, Vec<Column>) {
    let sides: Vec<(usize, usize, f64)> = atlas
        .contacts
        .iter()
        .flat_map(|contacts| {
            (0..atlas.n_cells())
                .flat_map(|row| contacts.of(row).map(move |(other, area)| (row, other, area)))
        })
        .filter(|&(_, other, _)| other < atlas.n_cells())
        .collect();
    let cell = |row: usize| Some(&*atlas.cells[row].cell);
    let columns = vec![
        text("specimen", sides.iter().map(|side| Some(&*atlas.cells[side.0].specimen))),
        text("cell", sides.iter().map(|side| cell(side.0))),
        text("neighbour", sides.iter().map(|side| cell(side.1))),
        numbers("area_um2", sides.iter().map(|side| side.2)),
    ];
    (sides.len(), columns)
}

/// The columns that say which cell a row is.
fn who(atlas: &Atlas) -> Vec<Column> {
    vec![
        text("specimen", atlas.cells.iter().map(|cell| Some(&*cell.specimen))),
        text("cell", atlas.cells.iter().map(|cell| Some(&*cell.cell))),
    ]
}

pub(crate) fn text<'a>(name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

pub(crate) fn counts(name: &str, values: impl Iterator<Item = usize>) -> Column {
    Series::new(name.into(), values.map(|count| count as i64).collect::<Vec<_>>()).into()
}

pub(crate) fn numbers(name: &str, values: impl Iterator<Item = f64>) -> Column {
    let known = values.map(|value| (!value.is_nan()).then_some(value));
    Series::new(name.into(), known.collect::<Vec<_>>()).into()
}

fn floats(name: &str, values: &ArrayView1<'_, f32>) -> Column {
    let known = values.iter().map(|&value| (!value.is_nan()).then_some(value));
    Series::new(name.into(), known.collect::<Vec<_>>()).into()
}
