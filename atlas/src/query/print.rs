//! Answers for people (a table) and for programs (CSV, TSV, JSON).

use std::io::Write;

use polars::prelude::{AnyValue, DataFrame};
use polars_io::SerWriter;
use polars_io::csv::write::CsvWriter;

use crate::error::{AtlasError, Result};

/// Writes a table as CSV: a header, then a row each; what is not known is empty.
///
/// # Errors
/// [`AtlasError::Encode`] if `out` refuses.
pub fn write_csv(out: impl Write, table: &mut DataFrame) -> Result<()> {
    write_separated(out, table, b',')
}

/// Writes a table with a tab between columns, otherwise as [`write_csv`].
///
/// # Errors
/// [`AtlasError::Encode`] if `out` refuses.
pub fn write_tsv(out: impl Write, table: &mut DataFrame) -> Result<()> {
    write_separated(out, table, b'\t')
}

fn write_separated(out: impl Write, table: &mut DataFrame, separator: u8) -> Result<()> {
    let mut writer = CsvWriter::new(out).with_separator(separator);
    writer.finish(table).map_err(|source| AtlasError::Encode { source })
}

/// Writes a table as JSON: a list with an object per row, a row per line; what is not known, and
/// what JSON has no number for, is `null`.
///
/// # Errors
/// [`AtlasError::Output`] if `out` refuses.
pub fn write_json(mut out: impl Write, table: &DataFrame) -> Result<()> {
    json_rows(&mut out, table).map_err(|source| AtlasError::Output { source })
}

fn json_rows(out: &mut impl Write, table: &DataFrame) -> std::io::Result<()> {
    let names = table.columns().iter().map(|column| serde_json::to_string(column.name().as_str()));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    write!(out, "[")?;
    for row in 0..table.height() {
        write!(out, "{}\n  {{", if row == 0 { "" } else { "," })?;
        for (at, (name, column)) in names.iter().zip(table.columns()).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let value = column.get(row).unwrap_or(AnyValue::Null);
            write!(out, "{comma}{name}: {}", json(&value))?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "{}]", if table.height() == 0 { "" } else { "\n" })
}

fn json(value: &AnyValue) -> serde_json::Value {
    match value {
        AnyValue::Null => serde_json::Value::Null,
        AnyValue::Boolean(flag) => (*flag).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        // The shortest decimal of a float32, not the float64 beside it: 0.1, not 0.10000000149.
        AnyValue::Float32(number) => number.to_string().parse::<f64>().unwrap_or(f64::NAN).into(),
        AnyValue::Float64(number) => (*number).into(),
        AnyValue::UInt64(count) => (*count).into(),
        other => match other.extract::<i64>() {
            Some(count) => count.into(),
            None => other.to_string().into(),
        },
    }
}

/// How much of a table [`write_table`] shows.
#[derive(Clone, Copy, Debug)]
pub struct TableStyle {
    /// At most so many rows; the number of the others is told.
    pub max_rows: usize,
    /// At most so many characters across; the names of the columns that do not fit are told.
    pub width: usize,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self { max_rows: 40, width: 120 }
    }
}

/// Writes a table to be read: columns aligned, numbers to the right with up to six digits.
///
/// # Errors
/// [`AtlasError::Output`] if `out` refuses.
pub fn write_table(mut out: impl Write, table: &DataFrame, style: TableStyle) -> Result<()> {
    table_rows(&mut out, table, style).map_err(|source| AtlasError::Output { source })
}

/// A column as it is shown.
struct Shown {
    name: String,
    cells: Vec<String>,
    to_the_right: bool,
    width: usize,
}

fn table_rows(out: &mut impl Write, table: &DataFrame, style: TableStyle) -> std::io::Result<()> {
    let rows = table.height().min(style.max_rows);
    let mut columns: Vec<Shown> = Vec::new();
    let mut across = 0;
    for column in table.columns() {
        let cells = (0..rows).map(|row| shown(&column.get(row).unwrap_or(AnyValue::Null)));
        let cells: Vec<String> = cells.collect();
        let name = column.name().to_string();
        let width = cells.iter().chain([&name]).map(|text| text.chars().count()).max();
        let width = width.unwrap_or(0);
        if !columns.is_empty() && across + width > style.width {
            break;
        }
        across += width + 2;
        columns.push(Shown { name, cells, to_the_right: !column.dtype().is_string(), width });
    }
    let mut line = |text: &dyn Fn(&Shown) -> String| {
        let parts: Vec<String> = columns
            .iter()
            .map(|column| {
                let (text, width) = (text(column), column.width);
                if column.to_the_right {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                }
            })
            .collect();
        writeln!(out, "{}", parts.join("  ").trim_end())
    };
    line(&|column| column.name.clone())?;
    line(&|column| "─".repeat(column.width))?;
    for row in 0..rows {
        line(&|column| column.cells[row].clone())?;
    }
    if rows < table.height() {
        writeln!(out, "… and {} more rows", table.height() - rows)?;
    }
    let hidden = &table.columns()[columns.len()..];
    if !hidden.is_empty() {
        let names: Vec<_> = hidden.iter().map(|column| column.name().as_str()).collect();
        writeln!(out, "… and {} more columns: {}", hidden.len(), names.join(", "))?;
    }
    Ok(())
}

fn shown(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "–".to_owned(),
        AnyValue::Float32(number) => six_digits(f64::from(*number)),
        AnyValue::Float64(number) => six_digits(*number),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// A number with six significant digits, without trailing zeros.
fn six_digits(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{number:.4e}");
    }
    let decimals = (5 - magnitude.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Atlas;
    use crate::query::query;

    fn answer() -> DataFrame {
        let sql = "SELECT cell, archetype, sphericity, touches_border FROM cells LIMIT 3";
        query(&Atlas::example(), sql).unwrap()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_an_object_per_row() {
        let text = written(|out| write_json(out, &answer()));
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(rows[0]["sphericity"], 0.75);
        assert_eq!(rows[2]["cell"], "7");
        assert!(rows[1]["archetype"].is_null() && rows[2]["sphericity"].is_null());
        assert_eq!(rows[2]["touches_border"], true);
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn an_empty_answer_is_an_empty_list() {
        let none = query(&Atlas::example(), "SELECT * FROM cells WHERE volume_um3 < 0").unwrap();
        assert_eq!(written(|out| write_json(out, &none)), "[]\n");
    }

    #[test]
    fn tables_are_aligned_and_say_what_they_leave_out() {
        let style = TableStyle { max_rows: 2, width: 24 };
        let text = written(|out| write_table(out, &answer(), style));
        let wanted = "cell  archetype\n────  ─────────\n1     leader\n2     –\n… and 1 more rows\n\
                      … and 2 more columns: sphericity, touches_border\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn tabs_separate_where_commas_are_text() {
        let text = written(|out| write_tsv(out, &mut answer()));
        assert_eq!(text.lines().next().unwrap(), "cell\tarchetype\tsphericity\ttouches_border");
    }

    #[test]
    fn numbers_keep_six_digits() {
        let cases = [(0.1, "0.1"), (1_234_567.8, "1234568"), (-0.000_123_456_7, "-0.000123457")];
        for (number, text) in cases {
            assert_eq!(six_digits(number), text);
        }
        assert_eq!(six_digits(1.5e-7), "1.5000e-7");
        assert_eq!(six_digits(100.0), "100");
    }
}
