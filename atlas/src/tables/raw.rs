//! A table as it lies in its files: named columns of text or numbers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use primordia_data::CellId;

use super::error::{Result, TableError};

/// Columns of text or numbers, from one file or from several under one another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawTable {
    parts: Vec<(usize, PathBuf)>, // first row and file, ascending
    columns: Vec<(String, Column)>,
    n_rows: usize,
}

/// The values of one column. What is missing is `None` or NaN.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    Text(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<f64>),
    /// A kind of value that no table of cells needs, by name.
    Other(String),
}

/// Whether a field says that there is no value.
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty() || text == "NA" || text.eq_ignore_ascii_case("nan")
}

impl RawTable {
    /// A table of columns that are equally long.
    pub(super) fn new(path: &Path, columns: Vec<(String, Column)>, n_rows: usize) -> Result<Self> {
        for (at, (name, _)) in columns.iter().enumerate() {
            if columns[..at].iter().any(|(other, _)| other == name) {
                let (path, column) = (path.to_owned(), name.clone());
                return Err(TableError::DuplicateColumn { path, column });
            }
        }
        Ok(Self { parts: vec![(0, path.to_owned())], columns, n_rows })
    }

    /// Tables of text with the same columns, under one another.
    pub(super) fn stacked(tables: Vec<Self>) -> Result<Option<Self>> {
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else { return Ok(None) };
        for table in tables {
            if !table.names().eq(all.names()) {
                return Err(TableError::ColumnsDiffer {
                    path: table.path().to_owned(),
                    block: "this kind of table".into(),
                    found: table.available(),
                    wanted: all.available(),
                });
            }
            let parts = table.parts.into_iter();
            all.parts.extend(parts.map(|(row, path)| (row + all.n_rows, path)));
            all.n_rows += table.n_rows;
            for ((_, column), (_, more)) in all.columns.iter_mut().zip(table.columns) {
                if let (Column::Text(column), Column::Text(more)) = (column, more) {
                    column.extend(more);
                }
            }
        }
        Ok(Some(all))
    }

    /// The first file of the table.
    pub(super) fn path(&self) -> &Path {
        &self.parts[0].1
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The names of all columns, for messages.
    pub(super) fn available(&self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    /// The file of `row`, and its row in that file, from 1.
    fn place(&self, row: usize) -> (PathBuf, usize) {
        let part = self.parts.partition_point(|(first, _)| *first <= row) - 1;
        let (first, path) = &self.parts[part];
        (path.clone(), row - first + 1)
    }

    fn column(&self, name: &str) -> Result<&Column> {
        let column = self.columns.iter().find(|(column, _)| column == name);
        column.map(|(_, column)| column).ok_or_else(|| TableError::MissingColumn {
            path: self.path().to_owned(),
            column: name.to_owned(),
            available: self.available(),
        })
    }

    fn wrong_type(&self, name: &str, found: &str, wanted: &'static str) -> TableError {
        let (path, column, found) = (self.path().to_owned(), name.to_owned(), found.to_owned());
        TableError::ColumnType { path, column, found, wanted }
    }

    /// The values of a column of numbers, NaN where there is none.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        match self.column(name)? {
            Column::Integer(values) => Ok(values
                .iter()
                .map(|value| value.map_or(f64::NAN, |value| value as f64))
                .collect()),
            Column::Number(values) => match values.iter().position(|value| value.is_infinite()) {
                None => Ok(values.clone()),
                Some(row) => Err(self.infinite(name, row, &values[row].to_string())),
            },
            Column::Text(values) => {
                let numbers = values.iter().enumerate();
                numbers.map(|(row, text)| self.number(name, row, text.as_deref())).collect()
            }
            Column::Other(kind) => Err(self.wrong_type(name, kind, "numbers")),
        }
    }

    fn number(&self, name: &str, row: usize, text: Option<&str>) -> Result<f64> {
        let Some(text) = text else { return Ok(f64::NAN) };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(self.infinite(name, row, text)),
            Err(_) => {
                let (path, row) = self.place(row);
                let (column, text) = (name.to_owned(), text.to_owned());
                Err(TableError::NotNumber { path, row, column, text })
            }
        }
    }

    fn infinite(&self, name: &str, row: usize, text: &str) -> TableError {
        let (path, row) = self.place(row);
        TableError::Infinite { path, row, column: name.to_owned(), text: text.to_owned() }
    }

    /// The values of a column as text, whole numbers without a fraction (`1.0` is `1`).
    pub(super) fn texts(&self, name: &str) -> Result<Vec<Option<String>>> {
        match self.column(name)? {
            Column::Text(values) => Ok(values.clone()),
            Column::Integer(values) => {
                Ok(values.iter().map(|value| value.map(|value| value.to_string())).collect())
            }
            Column::Number(values) => {
                let text = |value: &f64| (!value.is_nan()).then(|| value.to_string());
                Ok(values.iter().map(text).collect())
            }
            Column::Other(kind) => Err(self.wrong_type(name, kind, "text or numbers")),
        }
    }

    /// Whether a column holds numbers: typed so, or text of which some is a number or none is
    /// there. (A column with a number and a word is a column of numbers with a mistake.)
    pub(super) fn is_numeric(&self, name: &str) -> bool {
        match self.column(name) {
            Ok(Column::Integer(_) | Column::Number(_)) => true,
            Ok(Column::Text(values)) => {
                let mut there = values.iter().flatten().peekable();
                there.peek().is_none() || there.any(|text| text.parse::<f64>().is_ok())
            }
            _ => false,
        }
    }

    /// Which cell each row is; no cell has two.
    pub(super) fn cells(&self, specimen: &str, cell: &str) -> Result<Vec<CellId>> {
        let (specimens, cells) = (self.ids(specimen)?, self.ids(cell)?);
        let mut rows = HashMap::with_capacity(cells.len());
        let mut shared: HashMap<String, Arc<str>> = HashMap::new();
        let mut ids = Vec::with_capacity(cells.len());
        for (row, (specimen, cell)) in specimens.into_iter().zip(cells).enumerate() {
            let specimen = match shared.get(&specimen) {
                Some(specimen) => specimen.clone(),
                None => shared.entry(specimen.clone()).or_insert(specimen.into()).clone(),
            };
            let id = CellId::new(specimen, cell);
            if rows.insert(id.clone(), row).is_some() {
                let (path, row) = self.place(row);
                let (specimen, cell) = (id.specimen.to_string(), id.cell.to_string());
                return Err(TableError::DuplicateCell { path, row, specimen, cell });
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// The values of a column of IDs: text, as it lies, or whole numbers.
    fn ids(&self, name: &str) -> Result<Vec<String>> {
        const WANTED: &str =
            "text or whole numbers (an ID such as 2902E38204 is text, never a number)";
        let column = self.column(name)?;
        if let Column::Number(_) = column {
            return Err(self.wrong_type(name, "fractional numbers", WANTED));
        }
        let ids = self.texts(name)?.into_iter().enumerate();
        let id = |(row, id): (usize, Option<String>)| {
            id.ok_or_else(|| {
                let ((path, row), column) = (self.place(row), name.to_owned());
                TableError::MissingId { path, row, column }
            })
        };
        ids.map(id).collect()
    }

    /// Checks that all rows of a column say what the name of their file says.
    pub(super) fn check_specimen(&self, column: &str, wanted: &str) -> Result<()> {
        let ids = self.ids(column)?;
        match ids.into_iter().find(|id| id != wanted) {
            None => Ok(()),
            Some(found) => {
                let (path, wanted) = (self.path().to_owned(), wanted.to_owned());
                Err(TableError::WrongSpecimen { path, found, wanted })
            }
        }
    }

    /// The value of a column of text for each specimen, if it has but one for each.
    pub(super) fn attribute(
        &self,
        name: &str,
        cells: &[CellId],
    ) -> Option<Vec<(Arc<str>, String)>> {
        let Ok(Column::Text(values)) = self.column(name) else { return None };
        let mut found: Vec<(Arc<str>, String)> = Vec::new();
        let mut rows: HashMap<&str, usize> = HashMap::new();
        for (cell, value) in cells.iter().zip(values) {
            let value = value.as_ref()?;
            match rows.get(&*cell.specimen) {
                Some(&row) if found[row].1 != *value => return None,
                Some(_) => {}
                None => {
                    rows.insert(&cell.specimen, found.len());
                    found.push((cell.specimen.clone(), value.clone()));
                }
            }
        }
        Some(found)
    }
}
