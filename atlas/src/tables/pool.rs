//! The tables of one `[[tables]]` of an experiment, read, each row with its cell.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use primordia_data::CellId;
use primordia_data::experiment::{Attributes, Frame, PositionColumns, Tables, ValueColumn};
use rayon::prelude::*;

use super::error::Result;
use super::file;
use super::raw::RawTable;

/// A table and the cell of each of its rows.
pub(super) struct Keyed {
    pub(super) raw: RawTable,
    pub(super) cells: Vec<CellId>,
    keys: [String; 2],
}

impl Keyed {
    /// A table whose columns `specimen` and `cell` name its cells.
    pub(super) fn new(raw: RawTable, specimen: &str, cell: &str) -> Result<Self> {
        let cells = raw.cells(specimen, cell)?;
        Ok(Self { raw, cells, keys: [specimen.to_owned(), cell.to_owned()] })
    }

    /// The columns but those that name the cells.
    pub(super) fn data_columns(&self) -> impl Iterator<Item = &str> {
        self.raw.names().filter(|name| !self.keys.iter().any(|key| key == name))
    }

    /// The columns of numbers.
    pub(super) fn numeric_columns(&self) -> Vec<&str> {
        self.data_columns().filter(|name| self.raw.is_numeric(name)).collect()
    }

    /// The names of the columns that name the cells, for messages.
    pub(super) fn ids(&self) -> String {
        self.keys.join(" and ")
    }
}

/// Tables that describe the same cells, by what they say of them.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) path: PathBuf,
    pub(super) positions: Option<Positions>,
    pub(super) image_positions: Option<Positions>,
    pub(super) shape: Vec<(String, Arc<Keyed>)>,
    pub(super) features: Vec<Arc<Keyed>>,
    pub(super) proteins: Vec<(String, Frame, Arc<Keyed>)>,
    pub(super) classes: Vec<Values>,
    pub(super) counts: Vec<Values>,
    pub(super) attributes: Attributes,
}

/// The table and its columns of x, y and z.
pub(super) struct Positions {
    pub(super) table: Arc<Keyed>,
    pub(super) columns: [String; 3],
}

/// A table of which one column is a class or a count.
pub(super) struct Values {
    pub(super) name: String,
    pub(super) table: Arc<Keyed>,
    pub(super) column: Option<String>,
    pub(super) names: Vec<(String, String)>,
}

impl Pool {
    /// Reads the tables of `tables`, each file once; `experiment` is the file that lists them.
    pub(super) fn read(tables: &Tables, experiment: &Path) -> Result<Self> {
        let mut paths: Vec<&Path> = tables.shape.iter().map(|(_, path)| path.as_path()).collect();
        paths.extend(tables.features.iter().map(PathBuf::as_path));
        paths.extend(tables.proteins.iter().map(|protein| protein.file.as_path()));
        paths.extend(
            tables.classes.iter().chain(&tables.counts).map(|column| column.file.as_path()),
        );
        let positions = [&tables.position_um, &tables.image_position_um];
        paths.extend(positions.into_iter().flatten().map(|columns| columns.file.as_path()));
        paths.sort_unstable();
        paths.dedup();

        let read = |path: &&Path| {
            let table = Keyed::new(file::read(path)?, &tables.specimen, &tables.cell)?;
            Ok((path.to_path_buf(), Arc::new(table)))
        };
        let read: Vec<_> = paths.par_iter().map(read).collect();
        let read: Result<HashMap<PathBuf, Arc<Keyed>>> = read.into_iter().collect(); // the first error
        Ok(Self::of(tables, &read?, experiment))
    }

    fn of(tables: &Tables, read: &HashMap<PathBuf, Arc<Keyed>>, experiment: &Path) -> Self {
        let table = |path: &PathBuf| read[path].clone();
        let positions = |columns: &Option<PositionColumns>| {
            let position = |PositionColumns { file, columns }: &PositionColumns| Positions {
                table: table(file),
                columns: columns.clone(),
            };
            columns.as_ref().map(position)
        };
        let values = |columns: &[ValueColumn]| {
            let value = |column: &ValueColumn| Values {
                name: column.name.clone(),
                table: table(&column.file),
                column: column.column.clone(),
                names: column.names.clone(),
            };
            columns.iter().map(value).collect()
        };
        let shape = tables.shape.iter().map(|(name, path)| (name.clone(), table(path)));
        let proteins = tables.proteins.iter();
        Self {
            path: experiment.to_owned(),
            positions: positions(&tables.position_um),
            image_positions: positions(&tables.image_position_um),
            shape: shape.collect(),
            features: tables.features.iter().map(table).collect(),
            proteins: proteins.map(|p| (p.name.clone(), p.frame, table(&p.file))).collect(),
            classes: values(&tables.classes),
            counts: values(&tables.counts),
            attributes: Attributes::new(),
        }
    }

    /// The tables that say which cells there are: shapes, else features, else positions.
    pub(super) fn defining(&self) -> Vec<&Keyed> {
        if !self.shape.is_empty() {
            return self.shape.iter().map(|(_, table)| &**table).collect();
        }
        if !self.features.is_empty() {
            return self.features.iter().map(|table| &**table).collect();
        }
        self.positions.iter().map(|positions| &*positions.table).collect()
    }
}
