//! Finding the cells of one specimen, or taking those that are given, and correcting them.

use std::path::Path;

use primordia_data::experiment::Segmentation as Method;
use primordia_data::image::{ImageFile, Voxels};
use primordia_data::{EditLog, Labels, Volume};
use primordia_segmentation::network::Boundary;
use primordia_segmentation::{
    Auto, Edited, Guides, Hartmann2020, Nuclei, Partition, SegmentError, Segmentation, Unmixing,
    Witness, apply_edits, auto_asking, auto_with, hartmann2020, to_bytes, unmix,
};

use crate::error::{AtlasError, Result};
use crate::train::read_boundary;

/// The channel in which cells are found.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'i> {
    /// The image.
    pub image: &'i ImageFile,
    /// The membrane channel.
    pub channel: usize,
    /// A channel that bleeds into it, to be taken out first.
    pub bleeding: Option<usize>,
    /// A channel whose nuclei guide which regions become one cell.
    pub nuclei: Option<usize>,
    /// Whether membranes are darker than cells, as in a map of where cells are.
    pub dark: bool,
}

impl Reference<'_> {
    /// The membranes, and how much of the other channel was taken out of them.
    ///
    /// # Errors
    /// [`AtlasError::Data`] if a channel cannot be read, [`AtlasError::Segment`] with the file if
    /// the two cannot be told apart.
    pub fn read(&self) -> Result<(Volume<f32>, Option<Unmixing>)> {
        let mut membrane = self.image.read_volume_f32(self.channel)?;
        if self.dark {
            invert(&mut membrane);
        }
        let Some(bleeding) = self.bleeding else { return Ok((membrane, None)) };
        let other = self.image.read_volume_f32(bleeding)?;
        let (clean, unmixing) =
            unmix(&membrane, &other).map_err(|source| self.not_segmented(source))?;
        Ok((clean, Some(unmixing)))
    }

    /// The nuclei that guide `finder`, if there are any to ask.
    fn nuclei(&self, finder: &Finder) -> Result<Option<Nuclei>> {
        let (
            Some(channel),
            Finder::Auto(params, _) | Finder::Sheets(params) | Finder::Network(params, _),
        ) = (self.nuclei, finder)
        else {
            return Ok(None);
        };
        let (image, merged_um) = (self.image, params.membrane_um);
        let voxel_size = image.required_voxel_size()?;
        let voxels = image.read_channel(channel)?;
        image.check_finite(&voxels)?;
        let found = match voxels {
            Voxels::U8(voxels) => Nuclei::find(&Volume::new(voxels, voxel_size)?, merged_um),
            Voxels::U16(voxels) => Nuclei::find(&Volume::new(voxels, voxel_size)?, merged_um),
            other => Nuclei::find(&Volume::new(other.into_f32(), voxel_size)?, merged_um),
        };
        Ok(Some(found.map_err(|source| self.not_segmented(source))?))
    }

    fn not_segmented(&self, source: SegmentError) -> AtlasError {
        AtlasError::Segment { path: self.image.path().to_owned(), source }
    }
}

/// Makes dark what was bright, within the same range.
fn invert(image: &mut Volume<f32>) {
    let (least, most) = image
        .as_slice()
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), &value| {
            (least.min(value), most.max(value))
        });
    image.voxels_mut().mapv_inplace(|value| least + (most - value));
}

/// A way to find cells, with all that it needs.
pub enum Finder {
    /// By sheets, and a network where these leave doubts: this one, or the one that comes with Primordia.
    Auto(Auto, Option<Box<Boundary>>),
    /// By sheets.
    Sheets(Auto),
    /// By sheets and a network.
    Network(Auto, Box<Boundary>),
    /// By the published recipe.
    Hartmann2020(Hartmann2020),
}

impl Finder {
    /// The finder of a method; `weights` are those of the network in place of the ones that come with Primordia.
    ///
    /// # Errors
    /// [`AtlasError::Segment`] if `weights` are no weights, [`AtlasError::Read`] if they cannot be read.
    pub fn new(method: Method, weights: Option<&Path>) -> Result<Self> {
        Ok(match method {
            Method::Automatic => {
                let network = weights.map(read_boundary).transpose()?;
                Self::Auto(Auto::default(), network.map(Box::new))
            }
            Method::Sheets => Self::Sheets(Auto::default()),
            Method::Network => {
                let network = weights.map_or_else(shipped, read_boundary)?;
                Self::Network(Auto::default(), Box::new(network))
            }
            Method::Hartmann2020 { max_offset, step } => Self::Hartmann2020(Hartmann2020 {
                max_offset: max_offset as usize,
                step: step as usize,
                ..Hartmann2020::default()
            }),
        })
    }

    /// The same finder, making cells of regions by `partition` if it does such a thing.
    #[must_use]
    pub fn parted_by(mut self, partition: Partition) -> Self {
        if let Self::Auto(params, _) | Self::Sheets(params) | Self::Network(params, _) = &mut self {
            params.partition = partition;
        }
        self
    }

    /// The cells, and whether it was by the network, asked where sheets left doubts.
    fn find<T>(
        &self,
        membrane: &Volume<T>,
        nuclei: Option<&Nuclei>,
    ) -> Result<(Segmentation, bool), SegmentError>
    where
        T: Copy + Into<f32> + Send + Sync,
    {
        let found = match self {
            Self::Auto(params, network) => {
                let found = auto_asking(membrane, params, network.as_deref(), nuclei);
                return found.map(|(found, witness)| (found, witness == Witness::Network));
            }
            Self::Sheets(params) => auto_with(membrane, params, &Guides { network: None, nuclei }),
            Self::Network(params, network) => {
                auto_with(membrane, params, &Guides { network: Some(network.as_ref()), nuclei })
            }
            Self::Hartmann2020(params) => {
                hartmann2020(&to_bytes(&membrane.map(|&value| value.into()))?, params)
            }
        };
        Ok((found?, false))
    }
}

/// The network that comes with Primordia.
fn shipped() -> Result<Boundary> {
    let path = || "the weights that come with Primordia".into();
    Boundary::shipped().map_err(|source| AtlasError::Segment { path: path(), source })
}

/// The cells of an image, and how they were found.
pub struct Found {
    /// The cells.
    pub cells: Segmentation,
    /// Whether they were found with the network because sheets alone left doubts.
    pub network_was_asked: bool,
    /// What was taken out of the membranes first.
    pub unmixing: Option<Unmixing>,
    /// The number of nuclei that were found to guide it.
    pub n_nuclei: Option<usize>,
}

/// Segments the membranes of `reference`.
///
/// # Errors
/// [`AtlasError::Data`] if a channel cannot be read, [`AtlasError::Segment`] with the file if no
/// cells can be found, or its channel of nuclei shows nothing.
pub fn segment_image(reference: &Reference<'_>, finder: &Finder) -> Result<Found> {
    let failed = |source| reference.not_segmented(source);
    let nuclei = reference.nuclei(finder)?;
    let n_nuclei = nuclei.as_ref().map(|nuclei| nuclei.all().len());
    let nuclei = nuclei.as_ref();
    if reference.bleeding.is_some() || reference.dark {
        let (membrane, unmixing) = reference.read()?;
        let (cells, network_was_asked) = finder.find(&membrane, nuclei).map_err(failed)?;
        return Ok(Found { cells, network_was_asked, unmixing, n_nuclei });
    }
    let image = reference.image;
    let voxel_size = image.required_voxel_size()?;
    let voxels = image.read_channel(reference.channel)?;
    image.check_finite(&voxels)?;
    // On voxels as the file has them: other types would take more memory.
    let found = match (voxels, finder) {
        (Voxels::U8(voxels), Finder::Hartmann2020(params)) => {
            let cells = hartmann2020(&Volume::new(voxels, voxel_size)?, params);
            cells.map(|cells| (cells, false))
        }
        (Voxels::U8(voxels), _) => finder.find(&Volume::new(voxels, voxel_size)?, nuclei),
        (Voxels::U16(voxels), _) => finder.find(&Volume::new(voxels, voxel_size)?, nuclei),
        (other, _) => finder.find(&Volume::new(other.into_f32(), voxel_size)?, nuclei),
    };
    let (cells, network_was_asked) = found.map_err(failed)?;
    Ok(Found { cells, network_was_asked, unmixing: None, n_nuclei })
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
