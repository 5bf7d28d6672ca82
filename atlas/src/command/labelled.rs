//! What verbs that begin with cells read: a label image, and perhaps the image of the same tissue.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use primordia::build::cells::given_labels;
use primordia_data::image::ImageFile;
use primordia_data::{Labels, VoxelSize};

use super::along_axes::parse_voxel_size;

/// How to read a label image, and which image belongs to it.
#[derive(Args)]
pub(super) struct Labelled {
    /// Image that the labels belong to, voxel by voxel (.tif, .tiff, .h5)
    #[arg(long, global = true)]
    image: Option<PathBuf>,
    /// Voxel size in µm as Z,Y,X, where the files state none or a wrong one
    #[arg(long, value_name = "Z,Y,X", value_parser = parse_voxel_size, global = true)]
    voxel_size: Option<VoxelSize>,
    /// Data set of the labels, if they are in HDF5 [default: the only image]
    #[arg(long, value_name = "DATASET", global = true)]
    labels_dataset: Option<String>,
    /// Data set of the image, if it is in HDF5 [default: the only image]
    #[arg(long, value_name = "DATASET", requires = "image", global = true)]
    image_dataset: Option<String>,
}

impl Labelled {
    /// Whether an image is given.
    pub(super) fn has_image(&self) -> bool {
        self.image.is_some()
    }

    /// The cells of the label image at `labels`, and the image on their grid, if one is given; both
    /// with one voxel size. Without cells, it is an error.
    pub(super) fn read(&self, labels: &Path) -> anyhow::Result<(Labels, Option<ImageFile>)> {
        let labels = ImageFile::open_dataset(labels, self.labels_dataset.as_deref())?;
        let Some(image) = &self.image else {
            let labels = self.sized(labels, None);
            return Ok((given_labels(&labels, &labels)?, None));
        };
        let image = ImageFile::open_dataset(image, self.image_dataset.as_deref())?;
        if self.voxel_size.is_none() {
            check_sizes_agree(&labels, &image)?;
        }
        let image = self.sized(image, labels.voxel_size());
        Ok((given_labels(&labels, &image)?, Some(image)))
    }

    /// `file` with the voxel size of the command line, else its own, else `otherwise`.
    fn sized(&self, file: ImageFile, otherwise: Option<VoxelSize>) -> ImageFile {
        match self.voxel_size.or(file.voxel_size()).or(otherwise) {
            Some(voxel_size) => file.with_voxel_size(voxel_size),
            None => file,
        }
    }
}

fn check_sizes_agree(labels: &ImageFile, image: &ImageFile) -> anyhow::Result<()> {
    if let (Some(of_labels), Some(of_image)) = (labels.voxel_size(), image.voxel_size())
        && !of_labels.agrees_with(of_image)
    {
        bail!(
            "{} states voxels of {:?} µm (z, y, x), {} of {:?} µm; \
             say which it is with --voxel-size Z,Y,X",
            labels.path().display(),
            of_labels.um(),
            image.path().display(),
            of_image.um()
        );
    }
    Ok(())
}
