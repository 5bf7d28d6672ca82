//! `primordia init`

use std::path::PathBuf;

use clap::Args;
use primordia::init::{Existing, ImageFacts, init};

/// Write an experiment file for a folder of images or tables
///
/// Looks at every image, table and deposit below the folder and drafts FOLDER/experiment.toml: the
/// channels, the reference, voxel sizes where a file lacks one. Read it, correct it, then build.
#[derive(Args)]
#[command(after_help = "Example:
  primordia init raw/
  primordia build raw/experiment.toml -o atlas.h5")]
pub(super) struct Init {
    /// Folder that holds the images or tables
    folder: PathBuf,
    /// Replace an experiment file that is there already
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let path = init(&self.folder, existing, &ImageFacts::of)?;
        say!("{}", path.display());
        Ok(())
    }
}
