//! `primordia demo`

use std::path::PathBuf;

use clap::Args;
use primordia::demo::{DemoParams, demo};

use super::output::check_folder;
use super::progress;

/// Build the atlas of a phantom experiment and tell how close it came to the truth
///
/// Makes phantom embryos with a membrane channel, a protein that follows shape by a known rule and a
/// control that follows nothing; goes the whole way to an atlas; prints each answer beside the
/// truth; and leaves the images, the atlas, a figure and a page to open.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia demo
  primordia demo --output /tmp/demo --specimens 12 --seed 7")]
pub(super) struct Demo {
    /// Folder to write to
    #[arg(long, short, default_value = "demo")]
    output: PathBuf,
    /// Number of embryos
    #[arg(long, default_value_t = DemoParams::default().n_specimens, value_parser = at_least_two)]
    specimens: usize,
    /// Seed of everything that is drawn by chance
    #[arg(long, default_value_t = DemoParams::default().seed)]
    seed: u64,
    /// Print the answers as one JSON object
    #[arg(long)]
    json: bool,
}

fn at_least_two(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n >= 2 => Ok(n),
        _ => Err("whole embryos are held out, so at least 2 are wanted".to_owned()),
    }
}

impl Demo {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        if !self.output.is_dir() {
            check_folder(&self.output)?;
        }
        let params = DemoParams { n_specimens: self.specimens, seed: self.seed };
        let answers = demo(&self.output, &params, progress::reporter(quiet).as_ref())?;
        if self.json {
            say!("{}", serde_json::to_string(&answers)?);
            return Ok(());
        }
        say!("{}", answers.report().trim_end());
        say!("open {}", self.output.join("index.html").display());
        Ok(())
    }
}
