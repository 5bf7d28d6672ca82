//! Tables of text: fields between commas or tabs, with a header (RFC 4180). Every field stays
//! text; a line with too few or too many fields is an error, where polars fills with nulls.

use std::borrow::Cow;
use std::path::Path;

use super::error::{Result, TableError};
use super::raw::{Column, RawTable, is_missing};

/// The table of `bytes`, which `path` is the name of.
pub(super) fn parse(bytes: Vec<u8>, separator: u8, path: &Path) -> Result<RawTable> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|&byte| byte == b'\n').count();
        TableError::NotUtf8 { path: path.to_owned(), line }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut records = Records { text, separator, at: 0, line: 1, path };

    let mut record = Vec::new();
    if !records.next(&mut record)? {
        return Err(TableError::NoHeader { path: path.to_owned() });
    }
    let names: Vec<_> = record.iter().map(|name| name.trim().to_owned()).collect();
    let mut columns = vec![Vec::new(); names.len()];
    let mut line = records.line;
    while records.next(&mut record)? {
        if record.len() != names.len() {
            let (path, found, wanted) = (path.to_owned(), record.len(), names.len());
            return Err(TableError::Ragged { path, line, found, wanted });
        }
        for (column, field) in columns.iter_mut().zip(&record) {
            let field = field.trim();
            column.push((!is_missing(field)).then(|| field.to_owned()));
        }
        line = records.line;
    }
    let n_rows = columns.first().map_or(0, Vec::len);
    let columns = names.into_iter().zip(columns.into_iter().map(Column::Text)).collect();
    RawTable::new(path, columns, n_rows)
}

/// The records of a text, one after another.
struct Records<'t> {
    text: &'t str,
    separator: u8,
    at: usize,
    line: usize,
    path: &'t Path,
}

impl<'t> Records<'t> {
    /// Puts the fields of the next record into `record`; `false` at the end. Empty lines are no
    /// records.
    fn next(&mut self, record: &mut Vec<Cow<'t, str>>) -> Result<bool> {
        record.clear();
        while let Some(length) = self.line_break() {
            self.at += length;
            self.line += 1;
        }
        if self.at == self.text.len() {
            return Ok(false);
        }
        loop {
            record.push(self.field()?);
            if self.text.as_bytes().get(self.at) == Some(&self.separator) {
                self.at += 1;
                continue;
            }
            if let Some(length) = self.line_break() {
                self.at += length;
                self.line += 1;
            }
            return Ok(true);
        }
    }

    /// The length of the line break that starts here.
    fn line_break(&self) -> Option<usize> {
        match self.text.as_bytes()[self.at..] {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        }
    }

    /// The field that starts here; ends at a separator, a line break or the end.
    fn field(&mut self) -> Result<Cow<'t, str>> {
        let rest = &self.text[self.at..];
        if rest.starts_with('"') {
            return self.quoted_field();
        }
        let separator = self.separator;
        let end = rest.bytes().position(|byte| byte == separator || byte == b'\n');
        let field = &rest[..end.unwrap_or(rest.len())];
        let field = if rest[field.len()..].starts_with('\n') {
            field.strip_suffix('\r').unwrap_or(field)
        } else {
            field
        };
        self.at += field.len();
        Ok(Cow::Borrowed(field))
    }

    fn quoted_field(&mut self) -> Result<Cow<'t, str>> {
        let line = self.line;
        let wrong = || TableError::Quote { path: self.path.to_owned(), line };
        let mut field = Cow::Borrowed("");
        let mut rest = &self.text[self.at + 1..];
        loop {
            let end = rest.find('"').ok_or_else(wrong)?;
            field += &rest[..end];
            rest = &rest[end + 1..];
            if !rest.starts_with('"') {
                break;
            }
            field += "\"";
            rest = &rest[1..];
        }
        let ends = rest.is_empty() || rest.starts_with(['\n', '\r', self.separator as char]);
        if !ends {
            return Err(wrong());
        }
        self.at = self.text.len() - rest.len();
        self.line += field.matches('\n').count();
        Ok(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<RawTable> {
        parse(text.as_bytes().to_vec(), b',', Path::new("t.csv"))
    }

    fn texts(table: &RawTable, column: &str) -> Vec<Option<String>> {
        table.texts(column).unwrap()
    }

    #[test]
    fn quotes_line_breaks_and_byte_order_marks_are_no_data() {
        let table =
            table("\u{feff}\"a, b\",c\r\n\"x \"\"y\"\"\n z\", 1 \r\n\r\nNaN,2902E38204").unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["a, b", "c"]);
        assert_eq!(texts(&table, "a, b"), [Some("x \"y\"\n z".into()), None]);
        assert_eq!(texts(&table, "c"), [Some("1".into()), Some("2902E38204".into())]);
    }

    #[test]
    fn a_damaged_table_is_named_with_its_line() {
        for (text, wanted) in [
            ("", "is empty"),
            ("a,b\n1,2\n3\n", "t.csv, line 3: 1 fields, the header has 2"),
            ("a,b\n\"1\n\",2\n1,2,3\n", "line 4: 3 fields"),
            ("a,b\n1,\"2\n", "line 2: a quotation mark"),
            ("a,b\n1,\"2\"3\n", "line 2: a quotation mark"),
            ("a,a\n1,2\n", "two columns are named \"a\""),
        ] {
            let error = table(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        let error = parse(b"a\n\xff\n".to_vec(), b',', Path::new("t.csv")).unwrap_err();
        assert!(matches!(error, TableError::NotUtf8 { line: 2, .. }));
    }
}
