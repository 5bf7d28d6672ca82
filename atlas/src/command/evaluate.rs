//! `primordia evaluate`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use primordia_data::image::ImageFile;
use primordia_data::{Labels, VoxelSize};
use primordia_segmentation::score;

/// Score a segmentation against a truth
///
/// Prints the adapted Rand error (0 is perfect; voxels that are background in the truth do not
/// count), the variation of information by splits and by merges in bits, F1 of cells matched at an
/// intersection over union (IoU) of 0.5 and 0.75, and the mean IoU of matched cells.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia evaluate labels.ome.tif truth.ome.tif
  primordia evaluate labels.h5 truth.tif --json")]
pub(super) struct Evaluate {
    /// Label image to score
    labels: PathBuf,
    /// Label image that is right
    truth: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let (labels, truth) = (read_cells(&self.labels)?, read_cells(&self.truth)?);
        let scores = score(&labels, &truth).with_context(|| {
            format!("cannot score {} against {}", self.labels.display(), self.truth.display())
        })?;
        if self.json {
            say!("{}", serde_json::to_string(&scores)?);
            return Ok(());
        }
        say!("cells                 {} found, {} true", scores.n_cells, scores.n_true);
        say!("adapted Rand error    {:.4}", scores.adapted_rand_error);
        say!("VOI split             {:.4} bit", scores.voi_split);
        say!("VOI merge             {:.4} bit", scores.voi_merge);
        say!("F1 at IoU 0.5         {:.4}", scores.f1_iou_50);
        say!("F1 at IoU 0.75        {:.4}", scores.f1_iou_75);
        say!("mean IoU of matches   {:.4}", scores.mean_matched_iou);
        Ok(())
    }
}

/// The cells of a label image; scores count voxels, so no voxel size is asked for.
fn read_cells(path: &Path) -> anyhow::Result<Labels> {
    let any_size = VoxelSize::from_um([1.0; 3])?;
    let image = ImageFile::open(path)?.with_voxel_size(any_size);
    Ok(image.read_labels()?)
}
