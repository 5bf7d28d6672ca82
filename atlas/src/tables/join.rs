//! Joins tables on the cells they describe.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ndarray::{Array1, Array2};
use primordia_data::CellId;
use primordia_data::experiment::{Annotation, Attribute, Frame};

use super::error::{Result, TableError};
use super::names::canonical;
use super::pool::{Keyed, Pool, Positions, Values};
use super::{FeatureBlock, TableCells, TableSpecimen, Unmatched};
use crate::error::in_short;

/// One row per cell of the pools, in the order of specimens' and cells' first appearance.
pub(super) fn join(pools: &[Pool], annotations: &[Annotation]) -> Result<TableCells> {
    let (cells, rows) = cells_of(pools)?;
    let mut joined = Joined { rows, n_cells: cells.len(), unmatched: Vec::new() };
    let mut proteins: BTreeMap<String, BTreeMap<Frame, FeatureBlock>> = BTreeMap::new();
    for ((name, frame), block) in joined.blocks(pools, |pool| {
        let tables = pool.proteins.iter();
        tables.map(|(name, frame, table)| ((name.clone(), *frame), &**table)).collect()
    })? {
        proteins.entry(name).or_default().insert(frame, block);
    }
    let shape = joined.blocks(pools, |pool| {
        pool.shape.iter().map(|(name, table)| (name.clone(), &**table)).collect()
    })?;
    Ok(TableCells {
        specimens: specimens_of(pools, &cells, annotations)?,
        positions_um: joined
            .positions(pools, |pool| pool.positions.as_ref())?
            .unwrap_or_else(|| Array2::from_elem((cells.len(), 3), f64::NAN)),
        image_positions_um: joined.positions(pools, |pool| pool.image_positions.as_ref())?,
        shape,
        features: joined.features(pools)?,
        proteins,
        classes: joined.classes(pools)?,
        counts: joined.counts(pools)?,
        unmatched: joined.unmatched,
        cells,
    })
}

type Rows = HashMap<CellId, usize>;

/// All cells: specimens in the order of their first appearance, the cells of each in the order of
/// the tables; and the row of each cell.
fn cells_of(pools: &[Pool]) -> Result<(Vec<CellId>, Rows)> {
    let mut of_specimen: Vec<Vec<CellId>> = Vec::new();
    let mut specimens: HashMap<Arc<str>, usize> = HashMap::new();
    let mut pool_of: HashMap<CellId, usize> = HashMap::new();
    for (at, pool) in pools.iter().enumerate() {
        let tables = pool.defining();
        if tables.is_empty() {
            return Err(TableError::NoCells { path: pool.path.clone() });
        }
        // Of tables without rows every other table would be blamed for cells that nobody knows.
        if tables.iter().all(|table| table.cells.is_empty()) {
            return Err(TableError::NoRows { path: tables[0].raw.path().to_owned() });
        }
        for cell in tables.iter().flat_map(|table| &table.cells) {
            match pool_of.insert(cell.clone(), at) {
                None => {
                    let next = of_specimen.len();
                    let specimen = *specimens.entry(cell.specimen.clone()).or_insert(next);
                    if specimen == next {
                        of_specimen.push(Vec::new());
                    }
                    of_specimen[specimen].push(cell.clone());
                }
                Some(before) if before != at => {
                    let (specimen, cell) = (cell.specimen.to_string(), cell.cell.to_string());
                    return Err(TableError::CellInTwoSets { specimen, cell });
                }
                Some(_) => {}
            }
        }
    }
    let cells: Vec<_> = of_specimen.into_iter().flatten().collect();
    let rows = cells.iter().cloned().enumerate().map(|(row, cell)| (cell, row)).collect();
    Ok((cells, rows))
}

struct Joined {
    rows: Rows,
    n_cells: usize,
    unmatched: Vec<Unmatched>,
}

impl Joined {
    /// The joined row of each row of `table`.
    fn rows_of(&mut self, table: &Keyed) -> Result<Vec<Option<usize>>> {
        let rows: Vec<_> = table.cells.iter().map(|cell| self.rows.get(cell).copied()).collect();
        let n_cells = rows.iter().filter(|row| row.is_none()).count();
        let path = table.raw.path();
        if n_cells > 0 && n_cells == rows.len() {
            let text = |cell: &CellId| format!("{}, {}", cell.specimen, cell.cell);
            let wanted = self.rows.iter().find(|(_, row)| **row == 0);
            return Err(TableError::NoCommonCells {
                path: path.to_owned(),
                found: table.cells.first().map(text).unwrap_or_default(),
                wanted: wanted.map(|(cell, _)| text(cell)).unwrap_or_default(),
            });
        }
        if n_cells > 0 && !self.unmatched.iter().any(|unmatched| unmatched.file == path) {
            self.unmatched.push(Unmatched { file: path.to_owned(), n_cells });
        }
        Ok(rows)
    }

    /// Puts columns of `table` into columns of `values`, where rows match.
    fn place(
        &mut self,
        table: &Keyed,
        columns: impl Iterator<Item = (impl AsRef<str>, usize)>,
        values: &mut Array2<f64>,
    ) -> Result<()> {
        let rows = self.rows_of(table)?;
        for (name, column) in columns {
            for (number, row) in table.raw.numbers(name.as_ref())?.into_iter().zip(&rows) {
                if let Some(row) = row {
                    values[[*row, column]] = number;
                }
            }
        }
        Ok(())
    }

    fn nan(&self, n_columns: usize) -> Array2<f64> {
        Array2::from_elem((self.n_cells, n_columns), f64::NAN)
    }

    /// Positions of all pools that have them; `None` if none has.
    fn positions<'p>(
        &mut self,
        pools: &'p [Pool],
        of: impl Fn(&'p Pool) -> Option<&'p Positions>,
    ) -> Result<Option<Array2<f64>>> {
        let mut values = self.nan(3);
        let mut any = false;
        for positions in pools.iter().filter_map(of) {
            let columns = positions.columns.iter().zip(0..);
            self.place(&positions.table, columns, &mut values)?;
            any = true;
        }
        Ok(any.then_some(values))
    }

    /// Blocks of the same name share their columns, in any order.
    fn blocks<'p, K: Ord + std::fmt::Debug>(
        &mut self,
        pools: &'p [Pool],
        of: impl Fn(&'p Pool) -> Vec<(K, &'p Keyed)>,
    ) -> Result<BTreeMap<K, FeatureBlock>> {
        let mut blocks: BTreeMap<K, FeatureBlock> = BTreeMap::new();
        for (name, table) in pools.iter().flat_map(of) {
            let columns = table.numeric_columns();
            if columns.is_empty() {
                let (path, ids) = (table.raw.path().to_owned(), table.ids());
                return Err(TableError::NoNumbers { path, ids });
            }
            let described = format!("{name:?}");
            let block =
                blocks.entry(name).or_insert_with(|| FeatureBlock::named(&columns, self.n_cells));
            let at = |column: &&str| block.published.iter().position(|name| name == column);
            let at: Option<Vec<_>> = columns.iter().map(at).collect();
            let Some(at) = at.filter(|at| at.len() == block.published.len()) else {
                return Err(TableError::ColumnsDiffer {
                    path: table.raw.path().to_owned(),
                    block: described,
                    found: columns.join(", "),
                    wanted: block.published.join(", "),
                });
            };
            self.place(table, columns.iter().zip(at), &mut block.values)?;
        }
        Ok(blocks)
    }

    /// All columns of numbers in tables of features but positions, beside one another.
    fn features(&mut self, pools: &[Pool]) -> Result<FeatureBlock> {
        let mut columns: Vec<String> = Vec::new();
        for pool in pools {
            let mut seen: Vec<&str> = Vec::new();
            for table in &pool.features {
                for column in feature_columns(pool, table) {
                    if seen.contains(&column) {
                        let (path, column) = (table.raw.path().to_owned(), column.to_owned());
                        return Err(TableError::FeatureTwice { path, column });
                    }
                    seen.push(column);
                }
            }
            let new = seen.into_iter().filter(|column| !columns.iter().any(|old| old == column));
            let new: Vec<_> = new.map(str::to_owned).collect();
            columns.extend(new);
        }
        let mut block = FeatureBlock::named(&columns, self.n_cells);
        for pool in pools {
            for table in &pool.features {
                let here = feature_columns(pool, table);
                let at = columns.iter().zip(0..).filter(|(name, _)| here.contains(&name.as_str()));
                self.place(table, at, &mut block.values)?;
            }
        }
        Ok(block)
    }

    fn classes(&mut self, pools: &[Pool]) -> Result<BTreeMap<String, Vec<Option<String>>>> {
        let mut classes = BTreeMap::new();
        for values in pools.iter().flat_map(|pool| &pool.classes) {
            let rows = self.rows_of(&values.table)?;
            let column = column_of(values, false)?;
            let all: &mut Vec<_> =
                classes.entry(values.name.clone()).or_insert_with(|| vec![None; self.n_cells]);
            for (class, row) in values.table.raw.texts(&column)?.into_iter().zip(rows) {
                if let Some(row) = row {
                    all[row] = class.map(|class| class_name(&class, &values.names));
                }
            }
        }
        Ok(classes)
    }

    fn counts(&mut self, pools: &[Pool]) -> Result<BTreeMap<String, Array1<f64>>> {
        let mut counts = BTreeMap::new();
        for values in pools.iter().flat_map(|pool| &pool.counts) {
            let rows = self.rows_of(&values.table)?;
            let column = column_of(values, true)?;
            let all: &mut Array1<f64> = counts
                .entry(values.name.clone())
                .or_insert_with(|| Array1::from_elem(self.n_cells, f64::NAN));
            for (count, row) in values.table.raw.numbers(&column)?.into_iter().zip(rows) {
                if let Some(row) = row {
                    all[row] = count;
                }
            }
        }
        Ok(counts)
    }
}

/// The columns of numbers of a table of features, without those that are positions.
fn feature_columns<'t>(pool: &Pool, table: &'t Keyed) -> Vec<&'t str> {
    let positions: Vec<_> =
        [&pool.positions, &pool.image_positions].into_iter().flatten().collect();
    let is_position = |column: &str| {
        positions.iter().any(|positions| {
            positions.table.raw.path() == table.raw.path()
                && positions.columns.iter().any(|name| name == column)
        })
    };
    let columns = table.numeric_columns().into_iter();
    columns.filter(|column| !is_position(column)).collect()
}

/// The column of a class or count: the named one, or the only one that is not the same for all
/// cells of each specimen.
fn column_of(values: &Values, numeric: bool) -> Result<String> {
    let table = &values.table;
    if let Some(column) = &values.column {
        return Ok(column.clone());
    }
    let mut columns: Vec<_> =
        if numeric { table.numeric_columns() } else { table.data_columns().collect() };
    if columns.len() > 1 {
        columns.retain(|column| table.raw.attribute(column, &table.cells).is_none());
    }
    if let [column] = columns[..] {
        return Ok(column.to_owned());
    }
    let all = in_short(&table.data_columns().collect::<Vec<_>>());
    let candidates =
        if all.is_empty() { "there is none".into() } else { format!("there are: {all}") };
    let (path, name) = (table.raw.path().to_owned(), values.name.clone());
    Err(TableError::WhichColumn { path, name, candidates })
}

/// A class by its new name, if it has one; `1.0`, as floating-point columns are written, is `1`.
fn class_name(class: &str, names: &[(String, String)]) -> String {
    let whole = class.strip_suffix(".0").filter(|whole| whole.parse::<i64>().is_ok());
    let class = whole.unwrap_or(class);
    let new = names.iter().find(|(old, _)| old == class);
    new.map_or(class, |(_, new)| new).to_owned()
}

/// The specimens of `cells` with their columns: text that is the same for all cells of each
/// specimen, then what the experiment file says.
fn specimens_of(
    pools: &[Pool],
    cells: &[CellId],
    annotations: &[Annotation],
) -> Result<Vec<TableSpecimen>> {
    let mut specimens: Vec<TableSpecimen> = Vec::new();
    let mut rows: HashMap<Arc<str>, usize> = HashMap::new();
    for cell in cells {
        let row = *rows.entry(cell.specimen.clone()).or_insert(specimens.len());
        if row == specimens.len() {
            let id = cell.specimen.clone();
            specimens.push(TableSpecimen { id, n_cells: 0, attributes: Vec::new() });
        }
        specimens[row].n_cells += 1;
    }
    for pool in pools {
        for table in pool.defining() {
            for name in table.data_columns().filter(|name| !table.raw.is_numeric(name)) {
                for (id, text) in table.raw.attribute(name, &table.cells).unwrap_or_default() {
                    specimens[rows[&id]].set(name, Attribute::Text(text));
                }
            }
            for cell in table.cells.iter().filter(|_| !pool.attributes.is_empty()) {
                for (name, attribute) in &pool.attributes {
                    specimens[rows[&cell.specimen]].set(name, attribute.clone());
                }
            }
        }
    }
    for annotation in annotations {
        let unknown = || TableError::UnknownSpecimen { id: annotation.id.to_string() };
        let row = *rows.get(&annotation.id).ok_or_else(unknown)?;
        for (name, attribute) in &annotation.attributes {
            specimens[row].set(name, attribute.clone());
        }
    }
    Ok(specimens)
}

impl TableSpecimen {
    fn set(&mut self, name: &str, attribute: Attribute) {
        match self.attributes.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = attribute,
            None => self.attributes.push((name.to_owned(), attribute)),
        }
    }
}

impl FeatureBlock {
    /// A block of columns without values.
    fn named<S: AsRef<str>>(columns: &[S], n_cells: usize) -> Self {
        let published: Vec<String> = columns.iter().map(|name| name.as_ref().to_owned()).collect();
        let names = published.iter().map(|name| canonical(name).to_owned()).collect();
        let values = Array2::from_elem((n_cells, published.len()), f64::NAN);
        Self { names, published, values }
    }
}
