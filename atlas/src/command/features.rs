//! `primordia features`

use std::io::stdout;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use primordia::export::{TableFormat, export_table};
use primordia::measured::measured_table;

use super::feature_list::{write_features, write_features_json};
use super::labelled::Labelled;
use super::output::check_folder;

/// Measure every cell of a label image
///
/// Writes a table with a row per cell: its place, its shape, what is wrong with it, and with --image its
/// brightness in every channel, whole and in parts (the membrane is the outermost 0.3 µm). Directions are
/// those of the image; `primordia build` measures along the tissue. What cannot be measured is empty.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia features labels.ome.tif -o cells.csv
  primordia features labels.ome.tif --image embryo.ome.tif -o cells.parquet
  primordia features --list                     # what each column is, and who defined it")]
pub(super) struct Features {
    /// Label image to read (.tif, .tiff, .h5)
    #[arg(required_unless_present = "list")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    labelled: Labelled,
    /// Table to write (.csv, .tsv, .parquet or .json)
    #[arg(long, short, value_name = "TABLE", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// List all features: name, unit, definition and source
    #[arg(long, conflicts_with_all = ["labels", "output", "image"])]
    list: bool,
    /// List them as JSON
    #[arg(long, requires = "list")]
    json: bool,
}

impl Features {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        match (&self.labels, &self.output) {
            (Some(labels), Some(output)) => self.measure(labels, output, quiet),
            _ if self.json => Ok(write_features_json(&mut stdout().lock())?),
            _ => Ok(write_features(&mut stdout().lock())?),
        }
    }

    fn measure(&self, labels: &Path, output: &Path, quiet: bool) -> anyhow::Result<()> {
        check_folder(output)?;
        TableFormat::of(output)?;
        let (cells, image) = self.labelled.read(labels)?;
        let mut table = measured_table(&cells, image.as_ref())
            .with_context(|| format!("cannot measure {}", labels.display()))?;
        export_table(output, &mut table)
            .with_context(|| format!("cannot write {}", output.display()))?;
        if !quiet {
            let n_columns = table.width();
            println!("{} cells, {n_columns} columns in {}", cells.n_cells(), output.display());
        }
        Ok(())
    }
}
