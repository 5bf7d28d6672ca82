//! `primordia edit`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use nalgebra::Point3;
use primordia::build::cells::{Reference, corrected_labels};
use primordia_data::edits::parse_point_um;
use primordia_data::experiment::stem;
use primordia_data::image::{check_suffix, write_labels};
use primordia_data::{CellName, EditLog};
use primordia_segmentation::Edited;

use super::channel::{membrane_channel, other_channel};
use super::labelled::Labelled;
use super::output::check_folder;

/// Correct the cells of a label image: split, merge, delete, relabel, redraw
///
/// Every correction is an entry in a log, and the label image itself is never changed: --output gets
/// what comes out when all edits of the log are replayed on it, in their order. An action adds an
/// entry, after trying it; without one, the log is tried as it is. A cell is named by its number or
/// by a point X,Y,Z inside it, in µm; cells that no edit names keep their numbers.
#[derive(Args)]
#[command(subcommand_value_name = "ACTION", subcommand_help_heading = "Actions")]
#[command(after_help = "Examples:
  primordia edit labels.ome.tif merge 12 15
  primordia edit labels.ome.tif --image embryo.ome.tif split 31.5,12,6.2 --at 29,12,6 --at 34,12,6
  primordia edit labels.ome.tif list
  primordia edit labels.ome.tif undo
  primordia edit labels.ome.tif --image embryo.ome.tif -o corrected.ome.tif")]
pub(super) struct Edit {
    /// Label image to correct (.tif, .tiff, .h5)
    labels: PathBuf,
    /// Log of the edits (.toml, .csv) [default: LABELS with `.edits.toml` as its ending]
    #[arg(long, short, value_name = "EDITS", global = true)]
    log: Option<PathBuf>,
    /// Corrected label image to write (.tif, .tiff, .h5)
    #[arg(long, short, value_name = "OUT", global = true)]
    output: Option<PathBuf>,
    #[command(flatten)]
    labelled: Labelled,
    /// Membrane channel of the image, by name or by number from 0: parts of split cells meet at its
    /// membranes [default: the only one]
    #[arg(long, short, global = true, requires = "image")]
    channel: Option<String>,
    /// Channel of the image that bleeds into the membrane channel, by name or number: it is taken out
    /// first, as `primordia segment` does
    #[arg(long, value_name = "CHANNEL", global = true, requires = "image")]
    unmix: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Make several cells of one, a part around each seed; the first keeps the number
    Split {
        /// The cell: its number, or a point X,Y,Z inside it, in µm
        cell: CellName,
        #[command(flatten)]
        seeds: Seeds,
    },
    /// Make one cell of several; it has the number of the first
    Merge {
        /// The cells: numbers, or points X,Y,Z inside them, in µm
        #[arg(required = true, num_args = 2.., value_name = "CELL")]
        cells: Vec<CellName>,
    },
    /// Make background of cells
    Delete {
        /// The cells: numbers, or points X,Y,Z inside them, in µm
        #[arg(required = true, value_name = "CELL")]
        cells: Vec<CellName>,
    },
    /// Give a cell another number, which no other cell has
    Relabel {
        /// The cell: its number, or a point X,Y,Z inside it, in µm
        cell: CellName,
        /// Its new number
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        label: u32,
    },
    /// Draw some cells anew, one around each seed
    Redraw {
        /// The cells: numbers, or points X,Y,Z inside them, in µm
        #[arg(required = true, value_name = "CELL")]
        cells: Vec<CellName>,
        #[command(flatten)]
        seeds: Seeds,
    },
    /// Take the last edit out of the log
    Undo,
    /// Show the edits of the log
    List,
}

#[derive(Args)]
struct Seeds {
    /// Seed of a part: a point X,Y,Z inside, in µm; give one for each part
    #[arg(long = "at", value_name = "X,Y,Z", required = true, value_parser = parse_point_um)]
    seeds_um: Vec<Point3<f64>>,
}

impl Action {
    /// The edit that the action adds to the log.
    fn edit(&self) -> Option<primordia_data::Edit> {
        use primordia_data::Edit;
        match self {
            &Self::Split { cell, ref seeds } => {
                Some(Edit::Split { cell, seeds_um: seeds.seeds_um.clone() })
            }
            Self::Merge { cells } => Some(Edit::Merge { cells: cells.clone() }),
            Self::Delete { cells } => Some(Edit::Delete { cells: cells.clone() }),
            &Self::Relabel { cell, label } => Some(Edit::Relabel { cell, label }),
            Self::Redraw { cells, seeds } => {
                Some(Edit::Redraw { cells: cells.clone(), seeds_um: seeds.seeds_um.clone() })
            }
            Self::Undo | Self::List => None,
        }
    }
}

impl Edit {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        let path = self.log_path()?;
        if let Some(output) = &self.output {
            check_folder(output)?;
            check_suffix(output)?;
            self.check_is_another_file(output)?;
        }
        match &self.action {
            Some(Action::List) => list(&EditLog::read(path)?)?,
            Some(Action::Undo) => {
                check_folder(&path)?;
                let _lock = EditLog::lock(&path)?;
                self.undo(&EditLog::read(path)?, quiet)?;
            }
            Some(action) => {
                check_folder(&path)?;
                let _lock = EditLog::lock(&path)?; // until it is written: others wait
                let log = EditLog::read_or_new(path)?;
                let log = action.edit().map_or(Ok(log.clone()), |edit| log.with(&edit))?;
                let edited = self.replayed(&log)?;
                log.write()?;
                self.finish(&log, &edited, quiet)?;
            }
            None => {
                let log = EditLog::read(path)?;
                self.finish(&log, &self.replayed(&log)?, quiet)?;
            }
        }
        Ok(())
    }

    fn log_path(&self) -> anyhow::Result<PathBuf> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        if !self.labels.exists() {
            bail!(
                "there is no label image {}; give the one whose cells are to be corrected",
                self.labels.display()
            );
        }
        let name = stem(&self.labels).with_context(|| {
            format!("{} has no name to name a log after; give --log", self.labels.display())
        })?;
        Ok(self.labels.with_file_name(format!("{name}.edits.toml")))
    }

    /// The labels must stay as they are: edits are replayed on them.
    fn check_is_another_file(&self, output: &Path) -> anyhow::Result<()> {
        let same = match (self.labels.canonicalize(), output.canonicalize()) {
            (Ok(labels), Ok(output)) => labels == output,
            _ => false,
        };
        if same {
            bail!(
                "{} is the label image itself, on which the edits are replayed; write to another file",
                output.display()
            );
        }
        Ok(())
    }

    fn replayed(&self, log: &EditLog) -> anyhow::Result<Edited> {
        let (labels, image) = self.labelled.read(&self.labels)?;
        let reference = match &image {
            Some(image) => {
                let channel = membrane_channel(image, self.channel.as_deref())?;
                let bleeding = other_channel(image, channel, "--unmix", self.unmix.as_deref())?;
                Some(Reference { image, channel, bleeding, nuclei: None, dark: false })
            }
            None => None,
        };
        Ok(corrected_labels(labels, log, reference)?)
    }

    /// Takes the last edit away; what is left need not be tried, unless it is to be written.
    fn undo(&self, log: &EditLog, quiet: bool) -> anyhow::Result<()> {
        let (shorter, edit) = log.without_last()?;
        let edited = match &self.output {
            Some(_) => Some(self.replayed(&shorter)?),
            None => None,
        };
        shorter.write()?;
        if !quiet {
            say!("undone: edit {}, {edit}", log.edits.len());
        }
        edited.map_or(Ok(()), |edited| self.finish(&shorter, &edited, quiet))
    }

    /// Writes what came out, and says what it is.
    fn finish(&self, log: &EditLog, edited: &Edited, quiet: bool) -> anyhow::Result<()> {
        if let Some(output) = &self.output {
            write_labels(output, &edited.labels)?;
        }
        if !quiet {
            let n_edits = log.edits.len();
            let edits = if n_edits == 1 { "edit" } else { "edits" };
            let place = match &self.output {
                Some(output) => format!(" in {}", output.display()),
                None => "; --output writes them".to_owned(),
            };
            say!(
                "{n_edits} {edits} of {}: {} cells, {} of them new or changed{place}",
                log.file().display(),
                edited.labels.n_cells(),
                edited.changed.len(),
            );
        }
        Ok(())
    }
}

/// Prints each edit as it would be typed, after its number.
fn list(log: &EditLog) -> anyhow::Result<()> {
    for (number, edit) in (1..).zip(&log.edits) {
        say!("{number}\t{edit}");
    }
    Ok(())
}
