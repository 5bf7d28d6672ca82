//! An experiment as the text of an experiment file.

use std::fmt::Write;
use std::path::Path;

use super::{
    Attribute, Attributes, Direction, Experiment, PositionColumns, Segmentation, Specimen, Tables,
    ValueColumn,
};

impl Experiment {
    /// The text of an experiment file that reads as this experiment; every specimen is written out,
    /// with paths relative to the file where they lie below its folder.
    pub fn to_toml(&self) -> String {
        let mut text = Text { text: String::new(), experiment: self };
        text.settings();
        self.specimens.iter().for_each(|specimen| text.specimen(specimen));
        for annotation in &self.annotations {
            text.header("[[specimen]]");
            text.line("id", &quoted(&annotation.id));
            text.attributes(&annotation.attributes);
        }
        self.tables.iter().for_each(|tables| text.tables(tables));
        for deposit in &self.deposits {
            for path in &deposit.paths {
                text.header("[[deposit]]");
                text.line("path", &text.pattern(path));
                text.attributes(&deposit.attributes);
            }
        }
        text.text
    }
}

struct Text<'e> {
    text: String,
    experiment: &'e Experiment,
}

impl Text<'_> {
    fn header(&mut self, header: &str) {
        let blank = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{blank}{header}"); // writing to a String does not fail
    }

    fn line(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn settings(&mut self) {
        let experiment = self.experiment;
        self.header("[experiment]");
        self.line("name", &quoted(&experiment.name));
        if let Some(reference) = &experiment.reference {
            self.line("reference", &quoted(reference));
        }
        if let Some(proteins) = &experiment.proteins {
            self.line("proteins", &list(proteins));
        }
        if experiment.seed != 0 {
            self.line("seed", &experiment.seed.to_string());
        }
        match experiment.segmentation {
            Segmentation::Automatic => {}
            Segmentation::Network => {
                self.header("[segmentation]");
                self.line("method", "\"network\"");
            }
            Segmentation::Hartmann2020 { max_offset, step } => {
                self.header("[segmentation]");
                self.line("method", "\"hartmann2020\"");
                self.line("max_offset", &max_offset.to_string());
                self.line("step", &step.to_string());
            }
        }
    }

    fn specimen(&mut self, specimen: &Specimen) {
        self.header("[[specimen]]");
        self.line("id", &quoted(&specimen.id));
        self.line("image", &self.path(&specimen.image));
        if let Some(channels) = &specimen.channels {
            self.line("channels", &list(channels));
        }
        if let Some(size) = specimen.voxel_size {
            self.line("voxel_size_um", &numbers(&size.um()));
        }
        for (key, path) in [("labels", &specimen.labels), ("edits", &specimen.edits)] {
            if let Some(path) = path {
                self.line(key, &self.path(path));
            }
        }
        for (key, name) in [
            ("dataset", &specimen.dataset),
            ("labels_dataset", &specimen.labels_dataset),
            ("unmix", &specimen.unmix),
            ("nuclei", &specimen.nuclei),
        ] {
            if let Some(name) = name {
                self.line(key, &quoted(name));
            }
        }
        for (key, direction) in [("migration", specimen.migration), ("apical", specimen.apical)] {
            if let Some(direction) = direction {
                self.line(key, &direction_text(&direction));
            }
        }
        self.attributes(&specimen.attributes);
    }

    fn attributes(&mut self, attributes: &Attributes) {
        for (name, attribute) in attributes {
            let value = match attribute {
                Attribute::Text(text) => quoted(text),
                Attribute::Number(number) => number_text(*number),
            };
            self.line(&key(name), &value);
        }
    }

    fn tables(&mut self, tables: &Tables) {
        self.header("[[tables]]");
        self.line("specimen", &quoted(&tables.specimen));
        self.line("cell", &quoted(&tables.cell));
        for (key, position) in
            [("position_um", &tables.position_um), ("image_position_um", &tables.image_position_um)]
        {
            if let Some(PositionColumns { file, columns }) = position {
                let (file, columns) = (self.path(file), list(columns));
                self.line(key, &format!("{{ file = {file}, columns = {columns} }}"));
            }
        }
        for (name, file) in &tables.shape {
            self.line(&format!("shape.{}", key(name)), &self.path(file));
        }
        if !tables.features.is_empty() {
            let files: Vec<_> = tables.features.iter().map(|file| self.path(file)).collect();
            self.line("features", &format!("[{}]", files.join(", ")));
        }
        for protein in &tables.proteins {
            let name = format!("protein.{}.{}", key(&protein.name), protein.frame.name());
            self.line(&name, &self.path(&protein.file));
        }
        for (kind, columns) in [("class", &tables.classes), ("count", &tables.counts)] {
            for column in columns {
                self.line(&format!("{kind}.{}", key(&column.name)), &self.value_column(column));
            }
        }
    }

    fn value_column(&self, column: &ValueColumn) -> String {
        let file = self.path(&column.file);
        let named = column.column.as_ref().map(|name| format!(", column = {}", quoted(name)));
        let pairs: Vec<_> = column
            .names
            .iter()
            .map(|(from, to)| format!("{} = {}", quoted(from), quoted(to)))
            .collect();
        let names = (!pairs.is_empty()).then(|| format!(", names = {{ {} }}", pairs.join(", ")));
        match (named, names) {
            (None, None) => file,
            (named, names) => {
                let (named, names) = (named.unwrap_or_default(), names.unwrap_or_default());
                format!("{{ file = {file}{named}{names} }}")
            }
        }
    }

    fn path(&self, path: &Path) -> String {
        quoted(&self.relative(path).to_string_lossy())
    }

    fn pattern(&self, path: &Path) -> String {
        quoted(&glob::Pattern::escape(&self.relative(path).to_string_lossy()))
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        let folder = self.experiment.file.parent().unwrap_or(Path::new(""));
        path.strip_prefix(folder).unwrap_or(path)
    }
}

/// Text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}

fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", names.join(", "))
}

/// A number that reads back as the same number.
fn number_text(number: f64) -> String {
    format!("{number:?}")
}

fn numbers(numbers: &[f64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(|number| number_text(*number)).collect();
    format!("[{}]", numbers.join(", "))
}

fn direction_text(direction: &Direction) -> String {
    for (axis, name) in ["x", "y", "z"].iter().enumerate() {
        if direction[axis].abs() >= 1.0 {
            return quoted(&format!("{}{name}", if direction[axis] < 0.0 { '-' } else { '+' }));
        }
    }
    numbers(direction.as_slice())
}
