//! `primordia features`

use std::io::stdout;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use polars::prelude::DataFrame;
use primordia::export::{TableFormat, export_table};
use primordia::measured::{Wanted, measured_table};
use primordia::noise::noise_table;
use primordia_features::{Group, Groups};

use super::feature_list::{write_features, write_features_json};
use super::labelled::Labelled;
use super::output::check_folder;

/// Measure every cell of a label image
///
/// Writes a table with a row per cell: its shape, its place among the others, what is wrong with it, and
/// with --image its brightness and texture in every channel, whole and in parts (the membrane is the
/// outermost 0.3 µm). Directions are those of the image; `primordia build` measures along the tissue. What
/// cannot be measured is empty.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia features labels.ome.tif -o cells.csv
  primordia features labels.ome.tif --image embryo.ome.tif -o cells.parquet
  primordia features labels.ome.tif --neighbours -o cells.csv
  primordia features labels.ome.tif --landmarks --moments 8 -o cells.csv
  primordia features labels.ome.tif --only size,contacts -o cells.csv   # many times as fast
  primordia features labels.ome.tif --noise noise.csv   # how far each feature moves by chance
  primordia features --list                     # what each column is, and who defined it")]
#[allow(clippy::struct_excessive_bools)] // switches of the command line
pub(super) struct Features {
    /// Label image to read (.tif, .tiff, .h5)
    #[arg(required_unless_present = "list")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    labelled: Labelled,
    /// Table to write (.csv, .tsv, .parquet or .json)
    #[arg(long, short, value_name = "TABLE", required_unless_present_any = ["list", "noise"])]
    output: Option<PathBuf>,
    /// Measure these groups of features only; --list says which feature is in which
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', requires = "output",
          value_parser = group())]
    only: Vec<Group>,
    /// Add, for every feature, its mean over the cells that a cell touches (`neighbours_FEATURE`)
    #[arg(long, requires = "output")]
    neighbours: bool,
    /// Add what 2,000 landmarks of the shape and of every channel tell: distances, and moments
    #[arg(long, requires = "output")]
    landmarks: bool,
    /// Moments up to this order, for --landmarks
    #[arg(long, value_name = "ORDER", default_value_t = 5, requires = "landmarks",
          value_parser = clap::value_parser!(u8).range(1..=12))]
    moments: u8,
    /// Also write how noisy each feature is: the cells are shifted, turned and laid into other voxels
    #[arg(long, value_name = "TABLE")]
    noise: Option<PathBuf>,
    /// How often in each of the three ways, for --noise
    #[arg(long, value_name = "N", default_value_t = 8, requires = "noise",
          value_parser = clap::value_parser!(u16).range(2..))]
    repeats: u16,
    /// List all features: name, unit, definition and source
    #[arg(long, conflicts_with_all = ["labels", "output", "image", "only", "neighbours", "landmarks", "noise"])]
    list: bool,
    /// List them as JSON
    #[arg(long, requires = "list")]
    json: bool,
}

impl Features {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        match &self.labels {
            Some(labels) => self.measure(labels, quiet),
            None if self.json => Ok(write_features_json(&mut stdout().lock())?),
            None => Ok(write_features(&mut stdout().lock())?),
        }
    }

    fn measure(&self, labels: &Path, quiet: bool) -> anyhow::Result<()> {
        for path in self.output.iter().chain(&self.noise) {
            check_folder(path)?;
            TableFormat::of(path)?;
        }
        let (cells, image) = self.labelled.read(labels)?;
        let cannot = || format!("cannot measure {}", labels.display());
        if let Some(output) = &self.output {
            let table =
                measured_table(&cells, image.as_ref(), &self.wanted()).with_context(cannot)?;
            let what = format!("{} cells, {} columns", cells.n_cells(), table.width());
            write(output, table, &what, quiet)?;
        }
        if let Some(noise) = &self.noise {
            let table = noise_table(&cells, self.repeats.into()).with_context(cannot)?;
            let what = format!("noise of {} features", table.height());
            write(noise, table, &what, quiet)?;
        }
        Ok(())
    }

    fn wanted(&self) -> Wanted {
        let groups =
            if self.only.is_empty() { Groups::default() } else { Groups::only(&self.only) };
        Wanted {
            groups: if self.landmarks { groups.and(Group::Landmarks) } else { groups },
            neighbours: self.neighbours,
            moment_order: self.moments.into(),
        }
    }
}

/// Reads the name of a group.
fn group() -> impl TypedValueParser<Value = Group> {
    PossibleValuesParser::new(Group::ALL.map(Group::name))
        .try_map(|name| Group::of_name(&name).ok_or("no such group"))
}

fn write(path: &Path, mut table: DataFrame, what: &str, quiet: bool) -> anyhow::Result<()> {
    export_table(path, &mut table).with_context(|| format!("cannot write {}", path.display()))?;
    if !quiet {
        say!("{what} in {}", path.display());
    }
    Ok(())
}
