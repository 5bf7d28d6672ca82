//! `[tables]` and `[[deposit]]`.

use std::path::PathBuf;

use super::problem::Problem;
use super::specimens::attributes;
use super::{Deposit, Frame, PositionColumns, ProteinTable, Tables, ValueColumn};
use crate::document::{Table, Value};
use crate::error::Result;

/// All of `[tables]` or `[[tables]]`.
pub(super) fn tables(root: &Table<'_>) -> Result<Vec<Tables>> {
    let Some(value) = root.get("tables") else { return Ok(Vec::new()) };
    value.tables("[tables] or [[tables]]")?.iter().map(pooled).collect()
}

fn pooled(table: &Table<'_>) -> Result<Tables> {
    let known = ["specimen", "cell", "position_um", "image_position_um", "shape", "features"];
    table.only(&[&known[..], &["protein", "class", "count"]].concat())?;
    let values = |key| table.get(key).map_or(Ok(Vec::new()), value_columns);
    let tables = Tables {
        specimen: table.need("specimen", "the column that names the specimen")?.name()?,
        cell: table.need("cell", "the column that names the cell in its specimen")?.name()?,
        position_um: table.get("position_um").map(position_columns).transpose()?,
        image_position_um: table.get("image_position_um").map(position_columns).transpose()?,
        shape: table.get("shape").map_or(Ok(Vec::new()), shape_blocks)?,
        features: table.get("features").map_or(Ok(Vec::new()), one_or_more_files)?,
        proteins: table.get("protein").map_or(Ok(Vec::new()), protein_tables)?,
        classes: values("class")?,
        counts: values("count")?,
    };
    if tables.shape.is_empty() && tables.features.is_empty() && tables.position_um.is_none() {
        let (missing, meaning) =
            ("shape", "tables of cells start with shape.NAME, features or position_um");
        return Err(table.error(Problem::MissingKey { missing, meaning }).into());
    }
    Ok(tables)
}

/// `{ file = "…", columns = ["x", "y", "z"] }`
fn position_columns(value: &Value<'_>) -> Result<PositionColumns> {
    const WANTED: &str = "{ file = \"…\", columns = [x, y, z] }";
    let table = value.table(WANTED)?;
    table.only(&["file", "columns"])?;
    let columns = table.need("columns", "the names of the columns of x, y and z")?;
    let names = columns.names()?;
    let names = <[String; 3]>::try_from(names).map_err(|names| {
        let (found, wanted) = (names.join(", "), "the names of three columns: x, y, z");
        columns.error(Problem::Value { found, wanted })
    })?;
    let file = table.need("file", "the table with the positions")?.existing()?;
    Ok(PositionColumns { file, columns: names })
}

fn shape_blocks(value: &Value<'_>) -> Result<Vec<(String, PathBuf)>> {
    let blocks = value.table("shape.NAME = \"FILE\"")?;
    blocks.values().map(|value| Ok((value.key.to_owned(), value.existing()?))).collect()
}

fn one_or_more_files(value: &Value<'_>) -> Result<Vec<PathBuf>> {
    if value.is_array() {
        let files = value.elements("a list of files")?;
        return files.iter().map(Value::existing).collect();
    }
    Ok(vec![value.existing()?])
}

fn protein_tables(value: &Value<'_>) -> Result<Vec<ProteinTable>> {
    const WANTED: &str = "protein.NAME.tissue = \"FILE\" or protein.NAME.cell = \"FILE\"";
    let mut tables = Vec::new();
    for protein in value.table(WANTED)?.values() {
        let frames = protein.table(WANTED)?;
        frames.only(&[Frame::Tissue.name(), Frame::Cell.name()])?;
        for value in frames.values() {
            let frame = if value.key == Frame::Tissue.name() { Frame::Tissue } else { Frame::Cell };
            let (name, file) = (protein.key.to_owned(), value.existing()?);
            tables.push(ProteinTable { name, frame, file });
        }
    }
    Ok(tables)
}

/// `class.NAME = "FILE"`, or `{ file = "…", column = "…", names = { "1" = "leader" } }`.
fn value_columns(value: &Value<'_>) -> Result<Vec<ValueColumn>> {
    let columns = value.table("NAME = \"FILE\" or NAME = { file = \"…\", column = \"…\" }")?;
    columns.values().map(value_column).collect()
}

fn value_column(value: &Value<'_>) -> Result<ValueColumn> {
    let name = value.key.to_owned();
    if !value.is_table() {
        return Ok(ValueColumn { name, file: value.existing()?, column: None, names: vec![] });
    }
    let table = value.table("{ file = \"…\", column = \"…\" }")?;
    table.only(&["file", "column", "names"])?;
    let file = table.need("file", "the table with the column")?.existing()?;
    let column = table.get("column").map(Value::name).transpose()?;
    let names = match table.get("names") {
        None => Vec::new(),
        Some(names) => {
            let names = names.table("{ \"1\" = \"leader\", … }")?;
            let pair = |value: &Value<'_>| Ok((value.key.to_owned(), value.name()?));
            names.values().map(pair).collect::<Result<_>>()?
        }
    };
    Ok(ValueColumn { name, file, column, names })
}

/// All of `[deposit]` or `[[deposit]]`.
pub(super) fn deposits(root: &Table<'_>) -> Result<Vec<Deposit>> {
    let Some(value) = root.get("deposit") else { return Ok(Vec::new()) };
    value.tables("[[deposit]]")?.iter().map(deposit).collect()
}

fn deposit(table: &Table<'_>) -> Result<Deposit> {
    let attributes = attributes(&table.beyond(&["path"])?)?;
    let paths = table.need("path", "a folder or zip file of tables, or a pattern for many")?;
    Ok(Deposit { paths: paths.matching()?, attributes })
}
