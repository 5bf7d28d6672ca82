//! `primordia query`

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;

use clap::Args;
use primordia::query::{TableStyle, query_file, write_csv, write_json, write_table, write_tsv};

/// Ask an atlas a question in SQL
///
/// Tables: `cells` (one row per cell: position, features, shape axes, classes), one per protein
/// (measured, predicted and the interval of each feature), `specimens`, `scores` and `contacts`.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia query atlas.h5 \"SELECT specimen, COUNT(*) AS cells, AVG(volume_um3) FROM cells GROUP BY specimen\"
  primordia query atlas.h5 \"SELECT * FROM scores WHERE model = 'shape'\" --csv > scores.csv
  primordia query atlas.h5 \"SELECT * FROM cells LIMIT 3\" --json")]
pub(super) struct Query {
    /// Atlas to ask (.h5, .h5ad)
    atlas: PathBuf,
    /// Question in SQL
    sql: String,
    /// Print comma-separated values
    #[arg(long, group = "format")]
    csv: bool,
    /// Print tab-separated values
    #[arg(long, group = "format")]
    tsv: bool,
    /// Print JSON, an object per row
    #[arg(long, group = "format")]
    json: bool,
}

impl Query {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut answer = query_file(&self.atlas, &self.sql)?;
        let out = stdout().lock();
        match (self.csv, self.tsv, self.json) {
            (true, ..) => write_csv(out, &mut answer)?,
            (_, true, _) => write_tsv(out, &mut answer)?,
            (.., true) => write_json(out, &answer)?,
            _ if stdout().is_terminal() => write_table(out, &answer, TableStyle::default())?,
            _ => write_table(out, &answer, TableStyle::default())?,
        }
        Ok(())
    }
}
