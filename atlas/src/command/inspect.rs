//! `primordia inspect`

use std::path::PathBuf;

use clap::Args;
use primordia_data::image::ImageFile;

/// Tell what was understood of an image file
///
/// Prints format, size, axes, channels, voxel size and where it comes from, and what to check.
/// Reads only the description, not the voxels.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia inspect embryo.ome.tif
  primordia inspect stack.h5 --dataset /raw --json")]
pub(super) struct Inspect {
    /// Image to look at (.tif, .tiff, .h5)
    file: PathBuf,
    /// Data set to read of an HDF5 file [default: the only image]
    #[arg(long)]
    dataset: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let image = ImageFile::open_dataset(&self.file, self.dataset.as_deref())?;
        let description = image.describe();
        if self.json {
            say!("{}", serde_json::to_string(&description)?);
        } else {
            say!("{description}");
        }
        Ok(())
    }
}
