//! Edit logs in TOML.

use std::fmt::Write as _;

use nalgebra::Point3;

use super::{CELL_WANTED, CellName, Edit, POINT_WANTED};
use crate::document::{Document, Table, Value};
use crate::error::Result;
use crate::experiment::Problem;

/// The actions, with the keys that each has beside `action` and `note`.
const ACTIONS: [(&str, &[&str]); 5] = [
    ("split", &["cell", "seeds_um"]),
    ("merge", &["cells"]),
    ("delete", &["cells"]),
    ("relabel", &["cell", "label"]),
    ("redraw", &["cells", "seeds_um"]),
];
pub(super) const ACTION_WANTED: &str =
    "\"split\", \"merge\", \"delete\", \"relabel\" or \"redraw\"";
const SEEDS_WANTED: &str = "a list of points, [[x, y, z], …] in µm,";

/// The edits of a document, and at which byte each begins.
pub(super) fn edits(document: &Document<'_>) -> Result<Vec<(Edit, usize)>> {
    let root = document.parsed()?;
    let root = Table::new(document, String::new(), 0..0, root.get_ref());
    root.only(&["edit"])?;
    let tables = root.get("edit").map_or(Ok(Vec::new()), |edits| edits.tables("[[edit]]"))?;
    let numbered = tables.iter().enumerate();
    numbered.map(|(index, table)| Ok((edit(&table.called(&name(index)))?, table.at()))).collect()
}

/// What messages call an edit; edits count from 1.
pub(super) fn name(index: usize) -> String {
    format!("edit {}", index + 1)
}

fn edit(table: &Table<'_>) -> Result<Edit> {
    let action = table.need("action", ACTION_WANTED)?;
    let found = action.text()?;
    let Some((_, keys)) = ACTIONS.into_iter().find(|known| known.0 == found) else {
        let (found, wanted) = (found.to_owned(), ACTION_WANTED);
        return Err(action.error(Problem::Value { found, wanted }).into());
    };
    table.only(&[keys, &["action", "note"]].concat())?;
    let one = || cell(table.need("cell", CELL_WANTED)?);
    Ok(match found {
        "split" => Edit::Split { cell: one()?, seeds_um: seeds(table)? },
        "merge" => Edit::Merge { cells: cells(table)? },
        "delete" => Edit::Delete { cells: cells(table)? },
        "relabel" => {
            Edit::Relabel { cell: one()?, label: label(table.need("label", "its new number")?)? }
        }
        _ => Edit::Redraw { cells: cells(table)?, seeds_um: seeds(table)? },
    })
}

fn cells(table: &Table<'_>) -> Result<Vec<CellName>> {
    let wanted = "a list of cells, each a number or a point [x, y, z] in µm,";
    table.need("cells", wanted)?.elements(wanted)?.iter().map(cell).collect()
}

fn cell(value: &Value<'_>) -> Result<CellName> {
    if value.is_array() {
        Ok(CellName::Inside(point(value)?))
    } else {
        Ok(CellName::Label(label(value)?))
    }
}

fn label(value: &Value<'_>) -> Result<u32> {
    if value.number_as_written().is_none() {
        return Err(value.wrong(CELL_WANTED).into());
    }
    let number = value.integer()?;
    u32::try_from(number).ok().filter(|&label| label > 0).ok_or_else(|| {
        let wanted = "a label from 1 to 4294967295";
        value.error(Problem::Value { found: number.to_string(), wanted }).into()
    })
}

fn seeds(table: &Table<'_>) -> Result<Vec<Point3<f64>>> {
    table.need("seeds_um", SEEDS_WANTED)?.elements(SEEDS_WANTED)?.iter().map(point).collect()
}

fn point(value: &Value<'_>) -> Result<Point3<f64>> {
    let parts = value.elements(POINT_WANTED)?;
    let parts = parts.iter().map(Value::number).collect::<Result<Vec<_>>>()?;
    let [x, y, z] = parts[..] else {
        let found = format!("{} numbers", parts.len());
        return Err(value.error(Problem::Value { found, wanted: POINT_WANTED }).into());
    };
    Ok(Point3::new(x, y, z))
}

/// An edit as the end of a document.
pub(super) fn table_of(edit: &Edit) -> String {
    let mut text = format!("[[edit]]\naction = \"{}\"\n", edit.action());
    let cells: Vec<String> = edit.cells().iter().map(cell_text).collect();
    // Writing to a String does not fail.
    let _ = match edit {
        Edit::Split { .. } | Edit::Relabel { .. } => writeln!(text, "cell = {}", cells.join(", ")),
        _ => writeln!(text, "cells = [{}]", cells.join(", ")),
    };
    if let Edit::Relabel { label, .. } = edit {
        let _ = writeln!(text, "label = {label}");
    }
    if !edit.seeds_um().is_empty() {
        let seeds: Vec<String> = edit.seeds_um().iter().map(point_text).collect();
        let _ = writeln!(text, "seeds_um = [{}]", seeds.join(", "));
    }
    text
}

fn cell_text(cell: &CellName) -> String {
    match cell {
        CellName::Label(label) => label.to_string(),
        CellName::Inside(point) => point_text(point),
    }
}

/// A point of numbers that read back as the same numbers.
fn point_text(point: &Point3<f64>) -> String {
    format!("[{:?}, {:?}, {:?}]", point.x, point.y, point.z)
}
