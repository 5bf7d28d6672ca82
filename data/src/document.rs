//! A TOML document of which every value knows its place, so that every error can name it.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Result;
use crate::experiment::problem::{ExperimentError, Problem};

/// The key of what is wrong with the whole.
const WHOLE: &str = "the file";

/// The value of an environment variable.
pub(crate) type Lookup<'d> = &'d dyn Fn(&str) -> Option<String>;

/// The text of a file and what its paths are relative to.
pub(crate) struct Document<'d> {
    pub(crate) file: &'d Path,
    pub(crate) text: &'d str,
    pub(crate) variables: Lookup<'d>,
}

impl<'d> Document<'d> {
    /// The document of `bytes`, as if they were the content of `file`.
    pub(crate) fn new(bytes: &'d [u8], file: &'d Path, variables: Lookup<'d>) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { file, text, variables }),
            Err(error) => {
                let text = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
                let document = Document { file, text, variables };
                Err(document.error(text.len(), WHOLE, Problem::NotUtf8).into())
            }
        }
    }

    /// The text, understood as TOML.
    pub(crate) fn parsed(&self) -> Result<Spanned<DeTable<'d>>> {
        let parsed = DeTable::parse(self.text).map_err(|error| {
            let message = error.message().to_owned();
            let at = error.span().map_or(0, |span| span.start);
            self.error(at, WHOLE, Problem::Syntax { message })
        });
        Ok(parsed?)
    }

    /// The error `problem` at byte `at`.
    pub(crate) fn error(&self, at: usize, key: &str, problem: Problem) -> ExperimentError {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let (file, key) = (self.file.to_owned(), key.to_owned());
        ExperimentError { file, line, column, key, problem }
    }

    /// The line of byte `at`, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text[..self.text.floor_char_boundary(at)].matches('\n').count() + 1
    }
}

/// A value, its key and its place.
#[derive(Clone)]
pub(crate) struct Value<'d> {
    pub(crate) document: &'d Document<'d>,
    /// The full key, such as `specimen.image`.
    pub(crate) path: String,
    /// The last part of the key.
    pub(crate) key: &'d str,
    value: &'d DeValue<'d>,
    span: Range<usize>,
}

impl<'d> Value<'d> {
    pub(crate) fn at(&self) -> usize {
        self.span.start
    }

    pub(crate) fn error(&self, problem: Problem) -> ExperimentError {
        self.document.error(self.span.start, &self.path, problem)
    }

    pub(crate) fn wrong(&self, wanted: &'static str) -> ExperimentError {
        self.error(Problem::WrongType { found: kind(self.value), wanted })
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn text(&self) -> Result<&'d str> {
        self.value.as_str().ok_or_else(|| self.wrong("text in quotes").into())
    }

    /// Text that may not be empty.
    pub(crate) fn name(&self) -> Result<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            let found = text.to_owned();
            return Err(self.error(Problem::Value { found, wanted: "a name" }).into());
        }
        Ok(text.to_owned())
    }

    /// A number as it is written, if this is one.
    pub(crate) fn number_as_written(&self) -> Option<&'d str> {
        match self.value {
            DeValue::Integer(_) | DeValue::Float(_) => Some(&self.document.text[self.span.clone()]),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Result<f64> {
        let number = match self.value {
            DeValue::Integer(_) => Some(self.integer()? as f64),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong("a number").into())
    }

    pub(crate) fn integer(&self) -> Result<i64> {
        let integer = self.value.as_integer();
        let integer =
            integer.and_then(|text| i64::from_str_radix(text.as_str(), text.radix()).ok());
        integer.ok_or_else(|| self.wrong("a whole number").into())
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self) -> Result<u64> {
        let integer = self.integer()?;
        u64::try_from(integer).map_err(|_| {
            let wanted = "a whole number that is not negative";
            self.error(Problem::Value { found: integer.to_string(), wanted }).into()
        })
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// The elements of an array.
    pub(crate) fn elements(&self, wanted: &'static str) -> Result<Vec<Self>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong(wanted))?;
        Ok(array.iter().map(|element| self.child(self.key, self.path.clone(), element)).collect())
    }

    /// The values of an array of text, each there once.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for element in self.elements("a list of names, such as [\"membrane\", \"actin\"]")? {
            let name = element.name()?;
            if names.contains(&name) {
                return Err(element.error(Problem::DuplicateName { name }).into());
            }
            names.push(name);
        }
        Ok(names)
    }

    pub(crate) fn table(&self, wanted: &'static str) -> Result<Table<'d>> {
        let table = self.value.as_table().ok_or_else(|| self.wrong(wanted))?;
        Ok(Table::new(self.document, self.path.clone(), self.span.clone(), table))
    }

    /// The tables of `[key]` or `[[key]]`.
    pub(crate) fn tables(&self, wanted: &'static str) -> Result<Vec<Table<'d>>> {
        if self.is_table() {
            return Ok(vec![self.table(wanted)?]);
        }
        self.elements(wanted)?.iter().map(|element| element.table(wanted)).collect()
    }

    fn child(&self, key: &'d str, path: String, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { document: self.document, path, key, value: value.get_ref(), span: value.span() }
    }
}

/// The keys and values of a table, in the order of the file.
pub(crate) struct Table<'d> {
    document: &'d Document<'d>,
    pub(crate) path: String,
    span: Range<usize>,
    entries: Vec<Entry<'d>>,
}

struct Entry<'d> {
    key_at: usize,
    value: Value<'d>,
}

impl<'d> Table<'d> {
    pub(crate) fn new(
        document: &'d Document<'d>,
        path: String,
        span: Range<usize>,
        table: &'d DeTable<'d>,
    ) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().as_ref();
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let (value, span) = (value.get_ref(), value.span());
                let value = Value { document, path, key: name, value, span };
                Entry { key_at: key.span().start, value }
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_at);
        Self { document, path, span, entries }
    }

    pub(crate) fn at(&self) -> usize {
        self.span.start
    }

    /// The same table under another name in messages.
    pub(crate) fn called(&self, path: &str) -> Self {
        let renamed = |entry: &Entry<'d>| {
            let value =
                Value { path: format!("{path}.{}", entry.value.key), ..entry.value.clone() };
            Entry { key_at: entry.key_at, value }
        };
        let entries = self.entries.iter().map(renamed).collect();
        Self { path: path.to_owned(), span: self.span.clone(), entries, ..*self }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value<'d>> {
        self.values().find(|value| value.key == key)
    }

    /// The value of `key`, which must be there; `meaning` says what it is.
    pub(crate) fn need(&self, key: &'static str, meaning: &'static str) -> Result<&Value<'d>> {
        let missing = || self.error(Problem::MissingKey { missing: key, meaning }).into();
        self.get(key).ok_or_else(missing)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Value<'d>> {
        self.entries.iter().map(|entry| &entry.value)
    }

    pub(crate) fn error(&self, problem: Problem) -> ExperimentError {
        let key = if self.path.is_empty() { WHOLE } else { &self.path };
        self.document.error(self.span.start, key, problem)
    }

    /// Refuses keys that are not `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.entries.iter().find(|entry| !known.contains(&entry.value.key)) {
            None => Ok(()),
            Some(entry) => {
                let problem = match nearest(entry.value.key, known, 2) {
                    Some(suggestion) => Problem::Misspelled { suggestion: suggestion.to_owned() },
                    None => Problem::UnknownKey { known: known.join(", ") },
                };
                Err(self.document.error(entry.key_at, &entry.value.path, problem).into())
            }
        }
    }

    /// The values whose keys are not `known`; a key that is one slip away from a known one is
    /// taken for a misspelling.
    pub(crate) fn beyond(&self, known: &[&str]) -> Result<Vec<&Value<'d>>> {
        let further: Vec<_> =
            self.entries.iter().filter(|entry| !known.contains(&entry.value.key)).collect();
        for entry in &further {
            if let Some(suggestion) = nearest(entry.value.key, known, 1) {
                let problem = Problem::Misspelled { suggestion: suggestion.to_owned() };
                return Err(self.document.error(entry.key_at, &entry.value.path, problem).into());
            }
        }
        Ok(further.into_iter().map(|entry| &entry.value).collect())
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known key that is closest to `key`, at most `slips` letters away.
fn nearest<'k>(key: &str, known: &[&'k str], slips: usize) -> Option<&'k str> {
    let distances = known.iter().map(|known| (slips_between(key, known), *known));
    distances.filter(|(distance, _)| *distance <= slips).min().map(|(_, known)| known)
}

/// How many letters are missing, wrong, too many or swapped with their neighbour between two words
/// (optimal string alignment distance), regardless of case.
fn slips_between(a: &str, b: &str) -> usize {
    let a: Vec<_> = a.to_lowercase().chars().collect();
    let b: Vec<_> = b.to_lowercase().chars().collect();
    let mut cost = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                cost[i][j] = i + j;
                continue;
            }
            let wrong = cost[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            cost[i][j] = wrong.min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost[i][j] = cost[i][j].min(cost[i - 2][j - 2] + 1);
            }
        }
    }
    cost[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, slips) in
            [("labels", "labels", 0), ("lables", "labels", 1), ("stage", "image", 2), ("", "id", 2)]
        {
            assert_eq!(slips_between(a, b), slips, "{a} {b}");
        }
    }

    #[test]
    fn an_error_counts_lines_and_characters_from_one() {
        let (text, file) = ("a = 1\nµµ = 2", Path::new("e.toml"));
        let document = Document { file, text, variables: &|_| None };
        let error = document.error(text.find('2').unwrap(), "µµ", Problem::Empty);
        assert_eq!((error.line, error.column), (2, 6));
    }
}
