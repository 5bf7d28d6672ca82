//! Edit logs in CSV: a header, then a line for each edit.

use super::from_toml::{ACTION_WANTED, name};
use super::{CellName, Edit, parse_point_um};
use crate::document::Document;
use crate::error::Result;
use crate::experiment::{ExperimentError, Problem};

/// The columns, in the order that new logs have.
pub(super) const COLUMNS: [&str; 5] = ["action", "cells", "seeds_um", "label", "note"];

/// The edits of a document, and at which byte each begins.
pub(super) fn edits(document: &Document<'_>) -> Result<Vec<(Edit, usize)>> {
    let mut lines = lines(document.text);
    let Some((at, header)) = lines.next() else { return Ok(Vec::new()) };
    let columns = columns(document, at, header)?;
    let edit = |(index, (at, line))| {
        let fields = Row::new(document, &columns, name(index), at, line)?;
        Ok((fields.edit()?, at))
    };
    lines.enumerate().map(edit).collect()
}

/// The line of an edit, under the header of `document`.
pub(super) fn line_of(document: &Document<'_>, edit: &Edit) -> Result<String> {
    let Some((at, header)) = lines(document.text).next() else {
        return Ok(format!(
            "{}\n{}\n",
            COLUMNS.join(","),
            COLUMNS.map(|c| field_of(edit, c)).join(",")
        ));
    };
    let columns = columns(document, at, header)?;
    let lacking = COLUMNS.iter().find(|column| {
        !field_of(edit, column).is_empty() && !columns.iter().any(|name| name == *column)
    });
    if let Some(missing) = lacking {
        let problem = Problem::MissingKey { missing, meaning: "the new edit needs this column" };
        return Err(document.error(at, "the header", problem).into());
    }
    let fields: Vec<String> = columns.iter().map(|column| field_of(edit, column)).collect();
    Ok(fields.join(",") + "\n")
}

fn field_of(edit: &Edit, column: &str) -> String {
    // No field holds a comma, so none needs quotes.
    let blanks = |text: String| text.replace(',', " ");
    match (column, edit) {
        ("action", _) => edit.action().to_owned(),
        ("cells", _) => {
            let cells = edit.cells().iter().map(|cell| blanks(cell.to_string()));
            cells.collect::<Vec<_>>().join("; ")
        }
        ("seeds_um", _) => {
            let seeds =
                edit.seeds_um().iter().map(|seed| format!("{} {} {}", seed.x, seed.y, seed.z));
            seeds.collect::<Vec<_>>().join("; ")
        }
        ("label", Edit::Relabel { label, .. }) => label.to_string(),
        _ => String::new(),
    }
}

/// The lines that are not empty, and where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut at = text.len() - start.len();
    let lines = start.split_inclusive('\n').map(move |line| {
        at += line.len();
        (at - line.len(), line.trim_end())
    });
    lines.filter(|(_, line)| !line.trim().is_empty())
}

fn columns(document: &Document<'_>, at: usize, header: &str) -> Result<Vec<String>> {
    let columns =
        fields(header).ok_or_else(|| document.error(at, "the header", Problem::OpenQuotes))?;
    let wrong = |problem| Err(document.error(at, "the header", problem).into());
    for (index, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            return wrong(Problem::UnknownKey { known: COLUMNS.join(", ") });
        }
        if columns[..index].contains(column) {
            return wrong(Problem::DuplicateName { name: column.clone() });
        }
    }
    Ok(columns)
}

/// The fields of a line, without their quotes; `None` if quotes stay open.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut()?.push(c),
        }
    }
    (!quoted).then(|| fields.iter().map(|field| field.trim().to_owned()).collect())
}

/// One edit.
struct Row<'d> {
    document: &'d Document<'d>,
    columns: &'d [String],
    name: String,
    at: usize,
    fields: Vec<String>,
}

impl<'d> Row<'d> {
    fn new(
        document: &'d Document<'d>,
        columns: &'d [String],
        name: String,
        at: usize,
        line: &str,
    ) -> Result<Self> {
        let fields = fields(line).ok_or_else(|| document.error(at, &name, Problem::OpenQuotes))?;
        if fields.len() != columns.len() {
            let problem = Problem::Fields { found: fields.len(), wanted: columns.len() };
            return Err(document.error(at, &name, problem).into());
        }
        Ok(Self { document, columns, name, at, fields })
    }

    fn edit(&self) -> Result<Edit> {
        let action = self.needed("action", ACTION_WANTED)?;
        let (edit, without) = match action {
            "split" => {
                (Edit::Split { cell: self.cell()?, seeds_um: self.seeds()? }, &["label"][..])
            }
            "merge" => (Edit::Merge { cells: self.cells()? }, &["seeds_um", "label"][..]),
            "delete" => (Edit::Delete { cells: self.cells()? }, &["seeds_um", "label"][..]),
            "relabel" => {
                (Edit::Relabel { cell: self.cell()?, label: self.label()? }, &["seeds_um"][..])
            }
            "redraw" => {
                (Edit::Redraw { cells: self.cells()?, seeds_um: self.seeds()? }, &["label"][..])
            }
            _ => return Err(self.wrong("action", action, ACTION_WANTED).into()),
        };
        match without.iter().find(|column| !self.field(column).is_empty()) {
            None => Ok(edit),
            Some(column) => {
                Err(self.wrong(column, self.field(column), "nothing for this action").into())
            }
        }
    }

    fn field(&self, column: &str) -> &str {
        let index = self.columns.iter().position(|name| name == column);
        index.map_or("", |index| &self.fields[index])
    }

    fn needed(&self, column: &'static str, meaning: &'static str) -> Result<&str> {
        match self.field(column) {
            "" => Err(self.error(column, Problem::MissingKey { missing: column, meaning }).into()),
            field => Ok(field),
        }
    }

    fn cells(&self) -> Result<Vec<CellName>> {
        let wanted = "cells between semicolons, each a number or a point x y z in µm";
        let cells = self.needed("cells", wanted)?.split(';');
        let cell = |text: &str| text.parse().map_err(|_| self.wrong("cells", text, wanted).into());
        cells.map(cell).collect()
    }

    fn cell(&self) -> Result<CellName> {
        match self.cells()?[..] {
            [cell] => Ok(cell),
            _ => Err(self.wrong("cells", self.field("cells"), "one cell").into()),
        }
    }

    fn seeds(&self) -> Result<Vec<nalgebra::Point3<f64>>> {
        let wanted = "points x y z in µm between semicolons";
        let seeds = self.needed("seeds_um", wanted)?.split(';');
        let seed =
            |text| parse_point_um(text).map_err(|_| self.wrong("seeds_um", text, wanted).into());
        seeds.map(seed).collect()
    }

    fn label(&self) -> Result<u32> {
        let text = self.needed("label", "its new number")?;
        let label = text.parse().ok().filter(|&label: &u32| label > 0);
        label.ok_or_else(|| self.wrong("label", text, "a label from 1 to 4294967295").into())
    }

    fn wrong(&self, column: &str, found: &str, wanted: &'static str) -> ExperimentError {
        self.error(column, Problem::Value { found: found.trim().to_owned(), wanted })
    }

    fn error(&self, column: &str, problem: Problem) -> ExperimentError {
        self.document.error(self.at, &format!("{}.{column}", self.name), problem)
    }
}
