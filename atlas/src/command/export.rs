//! `primordia export`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use primordia::export::{TableFormat, export_atlas, export_table};
use primordia::file::read;
use primordia::query::query_file;

use super::output::check_folder;

/// Write an atlas, or the answer to a question, as CSV, TSV, JSON or Parquet
///
/// Without a question, every table of the atlas becomes a file in the output folder, with
/// provenance.json beside them. With one, the answer becomes one file, whose ending names the format.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia export atlas.h5 -o tables                        # a folder of CSV files
  primordia export atlas.h5 -o tables --format parquet
  primordia export atlas.h5 -o big.tsv --sql \"SELECT * FROM cells WHERE volume_um3 > 400\"")]
pub(super) struct Export {
    /// Atlas to read (.h5, .h5ad)
    atlas: PathBuf,
    /// Folder to write to, or with --sql the file
    #[arg(long, short)]
    output: PathBuf,
    /// Format of the files in the folder
    #[arg(long, value_enum, default_value_t = Format::Csv, conflicts_with = "sql")]
    format: Format,
    /// Question whose answer is written
    #[arg(long)]
    sql: Option<String>,
}

/// A format of tables.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Tsv,
    Json,
    Parquet,
}

impl Export {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let Some(sql) = &self.sql {
            check_folder(&self.output)?;
            TableFormat::of(&self.output)?;
            let mut answer = query_file(&self.atlas, sql)?;
            export_table(&self.output, &mut answer).with_context(|| self.failed())?;
            say!("{}", self.output.display());
            return Ok(());
        }
        let atlas = read(&self.atlas)?;
        let files = export_atlas(&self.output, &atlas, self.table_format());
        for file in files.with_context(|| self.failed())? {
            say!("{}", file.display());
        }
        Ok(())
    }

    fn failed(&self) -> String {
        format!("cannot export to {}", self.output.display())
    }

    fn table_format(&self) -> TableFormat {
        match self.format {
            Format::Csv => TableFormat::Csv,
            Format::Tsv => TableFormat::Tsv,
            Format::Json => TableFormat::Json,
            Format::Parquet => TableFormat::Parquet,
        }
    }
}
