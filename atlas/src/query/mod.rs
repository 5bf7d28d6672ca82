//! Questions to an atlas, in SQL.
//!
//! [`query`] answers from an atlas in memory, [`query_file`] from a file, of which it reads only
//! the tables that the question names. [`tables`] says which there are; [`mod@print`] shows answers.

use std::collections::BTreeSet;
use std::path::Path;

use polars::prelude::{
    DataFrame, IntoLazy, LazyFrame, PlSmallStr, PolarsResult, SortMultipleOptions,
};
use polars::sql::{SQLContext, extract_table_identifiers};

use crate::error::{AtlasError, Result, in_short};
use crate::file::{Atlas, Selection, read_header, read_selected};

pub mod print;
pub mod tables;

pub use print::{TableStyle, write_csv, write_json, write_table, write_tsv};
pub use tables::{table, table_names};

/// Answers a question in SQL about an atlas.
///
/// Tables are `cells`, `specimens`, `scores`, `contacts` and one per protein ([`table`] lists their
/// columns). What was never measured is NULL, so that averages leave it out and `IS NOT NULL` finds
/// the measured. Answers that SQL leaves unordered (`GROUP BY`, `JOIN`, `DISTINCT`, `UNION` without
/// `ORDER BY`) are sorted by their columns: the same question gives the same answer.
///
/// # Errors
/// [`AtlasError::UnknownTable`] and [`AtlasError::Query`] say which tables or columns there are;
/// [`AtlasError::Syntax`] if the question is not SQL.
///
/// # Example
/// ```
/// # use primordia::{Atlas, query::query};
/// let sql = "SELECT specimen, AVG(volume_um3) AS volume_um3 FROM cells GROUP BY specimen";
/// let answer = query(&Atlas::example(), sql)?;
/// assert_eq!(answer.height(), 2);
/// # Ok::<_, primordia::AtlasError>(())
/// ```
pub fn query(atlas: &Atlas, sql: &str) -> Result<DataFrame> {
    let named = tables_in(sql)?;
    let available = table_names(atlas);
    let mut context = SQLContext::new();
    for name in available.iter().filter(|name| named.contains(*name)) {
        context.register(name, table(atlas, name)?.lazy());
    }
    answer(&mut context, sql, &named, &available)
}

/// Answers a question in SQL about an atlas in a file, reading only what the question needs.
///
/// # Errors
/// As [`query`], and those of [`read`](crate::file::read).
pub fn query_file(path: impl AsRef<Path>, sql: &str) -> Result<DataFrame> {
    let path = path.as_ref();
    let named = tables_in(sql)?;
    let selection = Selection {
        measurements: named.contains("cells"),
        protein: &|name| named.contains(name),
        contacts: named.contains("contacts"),
        arrays: false,
    };
    match query(&read_selected(path, &selection)?, sql) {
        Err(AtlasError::UnknownTable { found, .. }) => {
            let proteins = read_header(path)?.proteins;
            let available = tables::names(proteins.iter().map(String::as_str)).join(", ");
            Err(AtlasError::UnknownTable { found, available })
        }
        other => other,
    }
}

fn tables_in(sql: &str) -> Result<BTreeSet<String>> {
    let names = extract_table_identifiers(sql, false, true);
    Ok(names.map_err(|source| AtlasError::Syntax { source })?.into_iter().collect())
}

fn answer(
    context: &mut SQLContext,
    sql: &str,
    named: &BTreeSet<String>,
    available: &[String],
) -> Result<DataFrame> {
    let answered = context.execute(sql).and_then(LazyFrame::collect);
    let answered = answered.and_then(|answer| in_stable_order(answer, sql));
    answered.map_err(|source| match named.iter().find(|name| !available.contains(name)) {
        // Names of WITH clauses are tables too, but then nothing failed.
        Some(found) => {
            AtlasError::UnknownTable { found: found.clone(), available: available.join(", ") }
        }
        None if named.is_empty() => AtlasError::Syntax { source },
        None => AtlasError::Query { source, available: columns_of(context, named) },
    })
}

/// `columns of cells: specimen, cell, …`, for every table named.
fn columns_of(context: &mut SQLContext, named: &BTreeSet<String>) -> String {
    let describe = |name: &String| {
        let quoted = name.replace('"', "\"\"");
        let mut plan = context.execute(&format!("SELECT * FROM \"{quoted}\"")).ok()?;
        let columns = plan.collect_schema().ok()?;
        let names: Vec<_> = columns.iter_names().map(PlSmallStr::as_str).collect();
        Some(format!("columns of {name}: {}", in_short(&names)))
    };
    named.iter().filter_map(describe).collect::<Vec<_>>().join("; ")
}

/// The rows sorted by all columns, where the question leaves their order to chance.
fn in_stable_order(answer: DataFrame, sql: &str) -> PolarsResult<DataFrame> {
    const UNORDERED: [&str; 6] = ["GROUP", "JOIN", "DISTINCT", "UNION", "INTERSECT", "EXCEPT"];
    let words: BTreeSet<String> =
        sql.split(|c: char| !c.is_alphanumeric()).map(str::to_uppercase).collect();
    let unordered = UNORDERED.iter().any(|word| words.contains(*word));
    if !unordered || words.contains("ORDER") || answer.width() == 0 {
        return Ok(answer);
    }
    let columns: Vec<_> = answer.get_column_names_owned();
    answer.sort(columns, SortMultipleOptions::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(sql: &str) -> String {
        let mut out = Vec::new();
        write_csv(&mut out, &mut query(&Atlas::example(), sql).unwrap()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn features_are_averaged_over_what_was_measured() {
        let answer = ask("SELECT specimen, AVG(volume_um3) AS v FROM cells GROUP BY specimen");
        assert_eq!(answer, "specimen,v\n056F63395C,298.875\n2902E38204,375.5\n");
    }

    #[test]
    fn what_was_never_measured_is_larger_than_nothing() {
        let answer = ask("SELECT specimen, cell FROM actin WHERE mean_intensity_measured > 0");
        assert_eq!(answer, "specimen,cell\n056F63395C,1\n056F63395C,2\n056F63395C,7\n");
    }

    #[test]
    fn tables_join_by_specimen_and_cell() {
        let answer = ask("SELECT c.cell, c.shape_1, p.mean_intensity_predicted FROM cells c \
             JOIN actin p ON c.specimen = p.specimen AND c.cell = p.cell \
             WHERE c.archetype = 'leader' ORDER BY c.specimen");
        assert_eq!(answer, "cell,shape_1,mean_intensity_predicted\n1,1.5,0.5\n1,0.25,0.375\n");
    }

    #[test]
    fn names_that_are_not_words_are_quoted() {
        let answer = ask("SELECT COUNT(mean_intensity_measured) AS n FROM \"NLS-tdTomato\"");
        assert_eq!(answer, "n\n3\n");
        assert_eq!(ask("SELECT \"PC 1_measured\" AS pc FROM actin LIMIT 1"), "pc\n1.0\n");
    }

    #[test]
    fn specimens_scores_and_contacts_are_tables() {
        let answer = ask("SELECT specimen, condition, residual_um FROM specimens");
        assert_eq!(answer, "specimen,condition,residual_um\n056F63395C,live,1.75\n2902E38204,,\n");
        let answer = ask("SELECT model, r2_mean, best_reachable_r2 FROM scores");
        assert_eq!(answer, "model,r2_mean,best_reachable_r2\nshape,0.5,0.75\nmean,-0.01,\n");
        let answer = ask("SELECT cell, SUM(area_um2) AS a FROM contacts GROUP BY cell");
        assert_eq!(answer, "cell,a\n1,19.5\n2,15.75\n4000000000,7.0\n7,3.25\n");
    }

    #[test]
    fn a_with_clause_is_a_table_too() {
        let answer = ask("WITH big AS (SELECT * FROM cells WHERE volume_um3 > 300) \
             SELECT COUNT(*) AS n FROM big");
        assert_eq!(answer, "n\n3\n");
    }

    #[test]
    fn a_wrong_question_is_told_what_there_is() {
        let fails = |sql: &str| query(&Atlas::example(), sql).unwrap_err().to_string();
        let table = fails("SELECT * FROM cell");
        assert!(table.contains("\"cell\"") && table.contains("actin, NLS-tdTomato"), "{table}");
        let column = fails("SELECT volume FROM cells");
        assert!(column.contains("columns of cells: ") && column.contains("volume_um3"), "{column}");
        assert!(fails("which cells are large?").contains("SELECT * FROM cells LIMIT 5"));
        assert!(fails("").contains("SELECT"));
    }

    #[test]
    fn a_file_answers_as_the_atlas_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        crate::file::write(&path, &Atlas::example()).unwrap();
        for name in table_names(&Atlas::example()) {
            let sql = format!("SELECT * FROM \"{name}\"");
            let answer = query_file(&path, &sql).unwrap();
            assert!(answer.equals_missing(&query(&Atlas::example(), &sql).unwrap()), "{name}");
        }
        let error = query_file(&path, "SELECT * FROM myosin").unwrap_err().to_string();
        assert!(error.contains("actin"), "{error}");
    }
}
