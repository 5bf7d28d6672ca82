//! `primordia build`

use std::path::{Path, PathBuf};

use clap::Args;
use primordia::build::{WorkFolder, build};
use primordia::file::{Atlas, write};
use primordia_data::Experiment;

use super::output::check_folder;
use super::progress;

/// Build an atlas from an experiment file
///
/// Segments and measures every specimen, brings all into one frame, learns how each protein follows
/// from shape, and writes one HDF5 file, which is also a valid AnnData (.h5ad). Finished specimens
/// are kept in a work folder: when a build is stopped, the same command goes on where it was.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia init raw/                     # writes raw/experiment.toml
  primordia build raw/experiment.toml -o atlas.h5
  primordia build experiment.toml -o atlas.h5 --threads 4 --work /scratch/atlas.work")]
pub(super) struct Build {
    /// Experiment file (.toml); `primordia init` writes one
    experiment: PathBuf,
    /// Atlas to write (.h5, .h5ad)
    #[arg(long, short, value_name = "ATLAS")]
    output: PathBuf,
    /// Folder for finished specimens and their labels [default: the output with `.work` for its suffix]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Print the scores as one JSON object
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        check_folder(&self.output)?;
        let experiment = Experiment::read(&self.experiment)?;
        let work = WorkFolder::open(&self.work_folder())?;
        let atlas = build(&experiment, &work, progress::reporter(quiet).as_ref())?;
        write(&self.output, &atlas)?;
        if self.json {
            say!("{}", summary_json(&atlas, &self.output));
        } else if !quiet {
            print_summary(&atlas, &self.output)?;
        }
        Ok(())
    }

    fn work_folder(&self) -> PathBuf {
        self.work.clone().unwrap_or_else(|| self.output.with_extension("work"))
    }
}

fn print_summary(atlas: &Atlas, output: &Path) -> anyhow::Result<()> {
    say!(
        "{}: {} cells of {} specimens, {} proteins on every cell",
        output.display(),
        atlas.n_cells(),
        atlas.specimens.len(),
        atlas.proteins.len()
    );
    let best = |protein: &str, target: &str, model: &str| {
        let is_it = |s: &&primordia::file::Score| {
            s.protein == protein && s.target == target && s.model == model
        };
        atlas.scores.iter().find(is_it).map_or(f64::NAN, |score| score.r2_mean)
    };
    if atlas.scores.is_empty() {
        return Ok(());
    }
    say!("R² in specimens that the model never saw, beside simpler predictions:");
    say!(
        "  {:20} {:10} {:>7} {:>9} {:>17}",
        "protein",
        "target",
        "shape",
        "position",
        "size+orientation"
    );
    for score in atlas.scores.iter().filter(|score| score.model == "shape") {
        let (protein, target) = (&score.protein, &score.target);
        say!(
            "  {protein:20} {target:10} {:7.3} {:9.3} {:17.3}",
            score.r2_mean,
            best(protein, target, "position"),
            best(protein, target, "size_orientation"),
        );
    }
    Ok(())
}

fn summary_json(atlas: &Atlas, output: &Path) -> serde_json::Value {
    let scores: Vec<_> = atlas
        .scores
        .iter()
        .map(|score| {
            serde_json::json!({
                "protein": score.protein, "target": score.target, "model": score.model,
                "r2_mean": score.r2_mean, "r2_sd": score.r2_sd, "folds": score.folds,
                "n_cells": score.n_cells, "n_specimens": score.n_specimens,
            })
        })
        .collect();
    serde_json::json!({
        "atlas": output, "n_cells": atlas.n_cells(), "n_specimens": atlas.specimens.len(),
        "scores": scores,
    })
}
