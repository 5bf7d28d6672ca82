//! Finding the cells of one specimen, or taking those that are given, and correcting them.

use primordia_data::experiment::Segmentation as Method;
use primordia_data::image::{ImageFile, Voxels};
use primordia_data::{EditLog, Labels, Volume};
use primordia_segmentation::{
    Auto, Edited, Hartmann2020, Segmentation, apply_edits, auto, hartmann2020, to_bytes,
};

use crate::error::{AtlasError, Result};

/// Segments channel `channel` of `image` by `method`.
///
/// # Errors
/// [`AtlasError::Data`] if the channel cannot be read, [`AtlasError::Segment`] with the file if no
/// cells can be found.
pub fn segment_image(image: &ImageFile, channel: usize, method: Method) -> Result<Segmentation> {
    let segmented = match method {
        Method::Automatic => {
            let membrane = image.read_volume_f32(channel)?;
            auto(&membrane, &Auto::default())
        }
        Method::Hartmann2020 { max_offset, step } => {
            let membrane = read_bytes(image, channel)?;
            let params = Hartmann2020 {
                max_offset: max_offset as usize,
                step: step as usize,
                ..Hartmann2020::default()
            };
            hartmann2020(&membrane, &params)
        }
    };
    segmented.map_err(|source| AtlasError::Segment { path: image.path().to_owned(), source })
}

/// The channel in 8 bits: as it is, or from its smallest to its largest value.
fn read_bytes(image: &ImageFile, channel: usize) -> Result<Volume<u8>> {
    let voxel_size = image.required_voxel_size()?;
    let voxels = image.read_channel(channel)?;
    image.check_finite(&voxels)?;
    if let Voxels::U8(bytes) = voxels {
        return Ok(Volume::new(bytes, voxel_size)?);
    }
    let volume = Volume::new(voxels.into_f32(), voxel_size)?;
    to_bytes(&volume)
        .map_err(|source| AtlasError::Segment { path: image.path().to_owned(), source })
}

/// The cells of a label image that was made elsewhere, on the grid of `image`.
///
/// # Errors
/// [`AtlasError::Data`] if the labels cannot be read, [`AtlasError::LabelGrid`] if they have other
/// dimensions than the image, [`AtlasError::NoCells`] if every label is 0.
pub fn given_labels(labels: &ImageFile, image: &ImageFile) -> Result<Labels> {
    let path = labels.path().to_owned();
    if labels.shape() != image.shape() {
        return Err(AtlasError::LabelGrid { path, found: labels.shape(), wanted: image.shape() });
    }
    let labels = labels.clone().with_voxel_size(image.required_voxel_size()?).read_labels()?;
    if labels.n_cells() == 0 {
        return Err(AtlasError::NoCells { path });
    }
    Ok(labels)
}

/// Replays the edits of `log` on `labels`; where they share out room, they follow the membranes in
/// `membrane`, a channel of an image on the grid of the labels, if there is one.
///
/// # Errors
/// [`AtlasError::Edits`] with the log, the number of the edit and what is wrong with it,
/// [`AtlasError::NoCellsLeft`] if none is left, [`AtlasError::Data`] if the channel cannot be read.
pub fn corrected_labels(
    labels: Labels,
    log: &EditLog,
    membrane: Option<(&ImageFile, usize)>,
) -> Result<Edited> {
    let path = || log.file().to_owned();
    let shares_out = log.edits.iter().any(|edit| !edit.seeds_um().is_empty());
    let membrane = membrane
        .filter(|_| shares_out)
        .map(|(image, channel)| image.read_volume_f32(channel))
        .transpose()?;
    let edited = apply_edits(labels, &log.edits, membrane.as_ref())
        .map_err(|source| AtlasError::Edits { path: path(), source })?;
    if edited.labels.n_cells() == 0 {
        return Err(AtlasError::NoCellsLeft { path: path() });
    }
    Ok(edited)
}
