//! Finding the cells of one specimen, or taking those that are given, and correcting them.

use primordia_data::experiment::Segmentation as Method;
use primordia_data::image::{ImageFile, Voxels};
use primordia_data::{EditLog, Labels, Volume};
use primordia_segmentation::{
    Auto, Edited, Hartmann2020, SegmentError, Segmentation, Unmixing, apply_edits, auto,
    hartmann2020, to_bytes, unmix,
};

use crate::error::{AtlasError, Result};

/// The channel in which cells are found.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'i> {
    /// The image.
    pub image: &'i ImageFile,
    /// The membrane channel.
    pub channel: usize,
    /// A channel that bleeds into it, to be taken out first.
    pub bleeding: Option<usize>,
}

impl Reference<'_> {
    /// The membranes, and how much of the other channel was taken out of them.
    ///
    /// # Errors
    /// [`AtlasError::Data`] if a channel cannot be read, [`AtlasError::Segment`] with the file if
    /// the two cannot be told apart.
    pub fn read(&self) -> Result<(Volume<f32>, Option<Unmixing>)> {
        let membrane = self.image.read_volume_f32(self.channel)?;
        let Some(bleeding) = self.bleeding else { return Ok((membrane, None)) };
        let other = self.image.read_volume_f32(bleeding)?;
        let (clean, unmixing) =
            unmix(&membrane, &other).map_err(|source| self.not_segmented(source))?;
        Ok((clean, Some(unmixing)))
    }

    fn not_segmented(&self, source: SegmentError) -> AtlasError {
        AtlasError::Segment { path: self.image.path().to_owned(), source }
    }
}

/// Segments the membranes of `reference` by `method`.
///
/// # Errors
/// [`AtlasError::Data`] if the channel cannot be read, [`AtlasError::Segment`] with the file if no
/// cells can be found.
pub fn segment_image(
    reference: &Reference<'_>,
    method: Method,
) -> Result<(Segmentation, Option<Unmixing>)> {
    let (segmented, unmixing) = match method {
        Method::Automatic => by_auto(reference)?,
        Method::Hartmann2020 { max_offset, step } => {
            let (membrane, unmixing) = read_bytes(reference)?;
            let params = Hartmann2020 {
                max_offset: max_offset as usize,
                step: step as usize,
                ..Hartmann2020::default()
            };
            (hartmann2020(&membrane, &params), unmixing)
        }
    };
    let segmented = segmented.map_err(|source| reference.not_segmented(source))?;
    Ok((segmented, unmixing))
}

/// By `auto`, on voxels as the file has them where nothing is to be taken out of them.
fn by_auto(
    reference: &Reference<'_>,
) -> Result<(Result<Segmentation, SegmentError>, Option<Unmixing>)> {
    let Reference { image, channel, bleeding } = *reference;
    let params = Auto::default();
    if bleeding.is_some() {
        let (membrane, unmixing) = reference.read()?;
        return Ok((auto(&membrane, &params), unmixing));
    }
    let voxel_size = image.required_voxel_size()?;
    let voxels = image.read_channel(channel)?;
    image.check_finite(&voxels)?;
    let segmented = match voxels {
        Voxels::U8(voxels) => auto(&Volume::new(voxels, voxel_size)?, &params),
        Voxels::U16(voxels) => auto(&Volume::new(voxels, voxel_size)?, &params),
        other => auto(&Volume::new(other.into_f32(), voxel_size)?, &params),
    };
    Ok((segmented, None))
}

/// The membranes in 8 bits: as they are, or from their smallest to their largest value.
fn read_bytes(reference: &Reference<'_>) -> Result<(Volume<u8>, Option<Unmixing>)> {
    let Reference { image, channel, bleeding } = *reference;
    let voxel_size = image.required_voxel_size()?;
    if bleeding.is_none()
        && let Voxels::U8(bytes) = image.read_channel(channel)?
    {
        return Ok((Volume::new(bytes, voxel_size)?, None));
    }
    let (membrane, unmixing) = reference.read()?;
    let bytes = to_bytes(&membrane).map_err(|source| reference.not_segmented(source))?;
    Ok((bytes, unmixing))
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

/// Replays the edits of `log` on `labels`; where they share out room, they follow the membranes of
/// `reference`, an image on the grid of the labels, if there is one.
///
/// # Errors
/// [`AtlasError::Edits`] with the log, the number of the edit and what is wrong with it,
/// [`AtlasError::NoCellsLeft`] if none is left, [`AtlasError::Data`] if the channel cannot be read.
pub fn corrected_labels(
    labels: Labels,
    log: &EditLog,
    reference: Option<Reference<'_>>,
) -> Result<Edited> {
    let path = || log.file().to_owned();
    let shares_out = log.edits.iter().any(|edit| !edit.seeds_um().is_empty());
    let membrane =
        reference.filter(|_| shares_out).map(|reference| reference.read()).transpose()?;
    let membrane = membrane.as_ref().map(|(membrane, _)| membrane);
    let edited = apply_edits(labels, &log.edits, membrane)
        .map_err(|source| AtlasError::Edits { path: path(), source })?;
    if edited.labels.n_cells() == 0 {
        return Err(AtlasError::NoCellsLeft { path: path() });
    }
    Ok(edited)
}
