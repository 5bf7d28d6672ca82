//! Tables of an atlas as files that other programs read: CSV, TSV, Parquet.

use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use polars::prelude::DataFrame;
use polars_io::parquet::write::{ParquetCompression, ParquetWriter};

use crate::error::{AtlasError, Result};
use crate::file::{Atlas, FORMAT_VERSION, Provenance, replace};
use crate::query::{table, table_names, write_csv, write_json, write_tsv};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Comma-separated text; what is not known is empty.
    Csv,
    /// Tab-separated text; what is not known is empty.
    Tsv,
    /// A list of objects; what is not known is `null`.
    Json,
    /// Columns with their types, compressed; what is not known is NULL.
    Parquet,
}

impl TableFormat {
    /// The format that a file's ending names: `.csv`, `.tsv`, `.json`, `.parquet`.
    ///
    /// # Errors
    /// [`AtlasError::ExportFormat`] for any other ending.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let all = [Self::Csv, Self::Tsv, Self::Json, Self::Parquet];
        let format = all.into_iter().find(|format| format.ending() == ending);
        format.ok_or_else(|| AtlasError::ExportFormat { path: path.to_owned() })
    }

    /// The ending of files in this format, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// Writes one table to `path`, in the format that its ending names, whole or not at all.
///
/// # Errors
/// [`AtlasError::ExportFormat`] for another ending, [`AtlasError::Write`] and
/// [`AtlasError::Encode`] if the disk refuses.
///
/// # Example
/// ```
/// # use primordia::{Atlas, export::export_table, query::query};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("leaders.csv");
/// let mut leaders = query(&Atlas::example(), "SELECT * FROM cells WHERE archetype = 'leader'")?;
/// export_table(&path, &mut leaders)?;
/// assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 3);
/// # Ok::<_, primordia::AtlasError>(())
/// ```
pub fn export_table(path: impl AsRef<Path>, table: &mut DataFrame) -> Result<()> {
    let path = path.as_ref();
    let format = TableFormat::of(path)?;
    replace(path, |partial| {
        let failed = |source| AtlasError::Write { path: path.to_owned(), source };
        let mut out = BufWriter::new(File::create(partial).map_err(failed)?);
        encode(&mut out, table, format)?;
        out.flush().map_err(failed)
    })
}

fn encode(out: &mut impl Write, table: &mut DataFrame, format: TableFormat) -> Result<()> {
    match format {
        TableFormat::Csv => write_csv(out, table),
        TableFormat::Tsv => write_tsv(out, table),
        TableFormat::Json => write_json(out, table),
        TableFormat::Parquet => {
            // Snappy: the compression that every Parquet reader knows.
            let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Snappy);
            writer.finish(table).map(|_| ()).map_err(|source| AtlasError::Encode { source })
        }
    }
}

/// Writes every table of an atlas (see [`table`]) into `folder`, a file each, with
/// `provenance.json` beside them that says what made the atlas. Returns the files.
///
/// # Errors
/// [`AtlasError::Write`] and [`AtlasError::Encode`] if the disk refuses.
pub fn export_atlas(
    folder: impl AsRef<Path>,
    atlas: &Atlas,
    format: TableFormat,
) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    create_dir_all(folder)
        .map_err(|source| AtlasError::Write { path: folder.to_owned(), source })?;
    let mut files = Vec::new();
    for name in table_names(atlas) {
        let path = folder.join(format!("{name}.{}", format.ending()));
        export_table(&path, &mut table(atlas, &name)?)?;
        files.push(path);
    }
    let path = folder.join("provenance.json");
    replace(&path, |partial| {
        std::fs::write(partial, provenance_json(&atlas.name, &atlas.provenance))
            .map_err(|source| AtlasError::Write { path: path.clone(), source })
    })?;
    files.push(path);
    Ok(files)
}

fn provenance_json(name: &str, provenance: &Provenance) -> String {
    let parameters = serde_json::from_str(&provenance.parameters_json);
    let value = serde_json::json!({
        "name": name,
        "format_version": FORMAT_VERSION,
        "primordia_version": provenance.primordia_version,
        "command": provenance.command,
        "seed": provenance.seed,
        "parameters": parameters.unwrap_or(serde_json::Value::Null),
        "input_hashes": provenance.input_hashes,
        "experiment": provenance.experiment,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use polars_io::SerReader;
    use polars_io::parquet::read::ParquetReader;

    use super::*;
    use crate::query::query;

    #[test]
    fn a_table_survives_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.parquet");
        let mut cells = table(&Atlas::example(), "cells").unwrap();
        export_table(&path, &mut cells).unwrap();
        let again = ParquetReader::new(File::open(path).unwrap()).finish().unwrap();
        assert!(again.equals_missing(&cells));
    }

    #[test]
    fn an_ending_names_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let mut answer = query(&Atlas::example(), "SELECT cell FROM cells LIMIT 1").unwrap();
        let mut written = |name: &str| {
            let path = folder.path().join(name);
            export_table(&path, &mut answer).map(|()| std::fs::read_to_string(path).unwrap())
        };
        assert_eq!(written("a.CSV").unwrap(), "cell\n1\n");
        assert_eq!(written("a.json").unwrap(), "[\n  {\"cell\": \"1\"}\n]\n");
        assert!(matches!(written("a.xlsx"), Err(AtlasError::ExportFormat { .. })));
        assert!(matches!(written("nowhere/a.csv"), Err(AtlasError::Write { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_whole_atlas_is_a_folder_of_tables() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tables");
        let files = export_atlas(&folder, &Atlas::example(), TableFormat::Tsv).unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        let wanted = "cells.tsv specimens.tsv scores.tsv contacts.tsv actin.tsv NLS-tdTomato.tsv \
                      provenance.json";
        assert_eq!(names.join(" "), wanted);
        let text = std::fs::read_to_string(folder.join("provenance.json")).unwrap();
        let provenance: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(provenance["seed"], u64::MAX);
        assert_eq!(provenance["parameters"]["landmarks"], 2000);
    }
}
