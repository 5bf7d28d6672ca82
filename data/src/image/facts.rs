//! What any image file says about itself, whatever its format.

use super::calibration::Verdict;
use super::voxels::PixelType;

/// What was understood of a file when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Such as "OME-TIFF".
    pub(super) format: String,
    pub(super) byte_order: &'static str,
    pub(super) compression: String,
    /// The axes as stored, slowest first, such as "TZCYX".
    pub(super) axes: String,
    pub(super) n_timepoints: usize,
    pub(super) channel_names: Vec<Option<String>>,
    /// Voxels along z, y, x.
    pub(super) shape: [usize; 3],
    /// As numpy calls what is stored, such as "int16".
    pub(super) stored_type: String,
    /// What it is read as.
    pub(super) pixel_type: PixelType,
    pub(super) size: Verdict,
    pub(super) warnings: Vec<String>,
}
