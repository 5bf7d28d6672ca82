//! `primordia validate`

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use primordia::validate::validate;

/// Check that a file keeps every promise of the atlas format
///
/// Lists what is wrong, a sentence each, and ends with exit code 1 if anything is.
#[derive(Args)]
#[command(after_help = "Example:
  primordia validate atlas.h5")]
pub(super) struct Validate {
    /// Atlas to check (.h5, .h5ad)
    atlas: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Validate {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let report = validate(&self.atlas);
        if self.json {
            say!(
                "{}",
                serde_json::json!({ "valid": report.is_valid(), "problems": report.problems })
            );
        }
        match report.problems.as_slice() {
            [] if self.json => Ok(()),
            [] => {
                say!("{} is a valid atlas", self.atlas.display());
                Ok(())
            }
            [only] => bail!("{}: {only}", self.atlas.display()),
            all => {
                bail!("{}: {} problems\n  {}", self.atlas.display(), all.len(), all.join("\n  "))
            }
        }
    }
}
