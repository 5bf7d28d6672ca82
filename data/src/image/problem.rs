//! What can be wrong with an image file: unreadable, malformed, unsupported, or short of what a
//! step needs.
#![allow(missing_docs)] // the messages are the documentation

use thiserror::Error;

/// What is wrong with one image file; [`crate::DataError::Image`] adds which.
///
/// Each message follows the name of the file: what was found, what was wanted, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageProblem {
    // Unreadable
    #[error("{}", in_words(.0))]
    Io(#[from] std::io::Error),
    #[error("cannot be read by the HDF5 library: {0}")]
    Hdf5(#[from] hdf5_metno::Error),

    // Another format
    #[error(
        "is neither TIFF nor HDF5 (it begins with {found:02x?}); save it as OME-TIFF, for example with Fiji"
    )]
    UnknownFormat { found: Vec<u8> },
    #[error(
        "is {format}, which is not read here; convert it to OME-TIFF with Fiji (Bio-Formats exporter) or with `bfconvert INPUT OUTPUT.ome.tif`"
    )]
    OtherFormat { format: &'static str },
    #[error("has the suffix {found:?}; .tif, .tiff, .h5 or .hdf5 wanted")]
    Suffix { found: String },

    // Malformed
    #[error(
        "is damaged: {what} reaches to byte {needed}, but the file has {found}; copy or download it again"
    )]
    Truncated { what: &'static str, needed: u64, found: u64 },
    #[error("is damaged: its pages refer to each other in a circle (at byte {offset})")]
    CyclicPages { offset: u64 },
    #[error("is damaged: its page directories overlap")]
    OverlappingPages,
    #[error("is damaged: a heap of texts in it never ends; copy or download it again")]
    EndlessHeap,
    #[error("holds no image")]
    NoPages,
    #[error("is damaged: page {page} {fault} ({tag})")]
    Tag { page: usize, tag: &'static str, fault: &'static str },
    #[error("is damaged: the {compression} data of page {page} do not decode to their full size")]
    Corrupt { page: usize, compression: &'static str },
    #[error("claims {claimed} bytes of voxels, which {found} bytes of file cannot hold")]
    Implausible { claimed: u128, found: u64 },
    #[error("needs {bytes} bytes of memory for one channel, which this machine does not grant")]
    Memory { bytes: u128 },
    #[error("describes {wanted} planes (t × c × z = {t} × {c} × {z}) but holds {found}")]
    PlaneCount { wanted: u128, t: u64, c: u64, z: u64, found: usize },
    #[error("lacks the plane of time point {t}, channel {c}, slice {z}")]
    MissingPlane { t: usize, c: usize, z: usize },
    #[error("has an image of zero size: {shape:?}")]
    ZeroSize { shape: Vec<u64> },
    #[error("has OME-XML that cannot be understood: {0}")]
    Xml(#[from] roxmltree::Error),
    #[error("has OME-XML without a usable {what}")]
    OmeXml { what: &'static str },
    #[error("has pages that differ: page {page} is {found}, the first is {wanted}")]
    PagesDiffer { page: usize, found: String, wanted: String },

    // Unsupported
    #[error(
        "is compressed with {name} (code {code}); none, LZW, deflate, zstd or PackBits wanted, so save it with one of these"
    )]
    Compression { code: u64, name: &'static str },
    #[error(
        "has {what}, which is not read; save it as unsigned 8, 16 or 32 bit integers, or 32 bit floats"
    )]
    PixelType { what: String },
    #[error("stores {what}, which is not read; save it anew, for example with Fiji")]
    Unsupported { what: &'static str },
    #[error(
        "is one of several files of one OME image (it refers to {other:?}); join them first: open it with Fiji's Bio-Formats importer and save it as one OME-TIFF"
    )]
    SeveralFiles { other: String },
    #[error(
        "has axes of lengths {shape:?} whose meaning is not stated; save it as OME-TIFF or as an ImageJ hyperstack, which name their axes"
    )]
    UnnamedAxes { shape: Vec<u64> },
    #[error("has the axes {axes:?}; only t, c, z, y, x (and colour samples) are understood")]
    Axes { axes: String },

    // Short of what is wanted
    #[error("has {n_timepoints} time points; choose one (0 to {last})", last = n_timepoints - 1)]
    ChooseTimepoint { n_timepoints: usize },
    #[error("has {n_timepoints} time points, numbered from 0; there is no {found}")]
    NoTimepoint { found: usize, n_timepoints: usize },
    #[error("has no channel {found:?}; there are: {available} (a name, or a number from 0)")]
    NoChannel { found: String, available: String },
    #[error("has {found} channels, but {names} names were given for them")]
    ChannelNames { found: usize, names: usize },
    #[error("has {found} channels where one was wanted; choose one of: {available}")]
    ChooseChannel { found: usize, available: String },
    #[error(
        "states no voxel size ({evidence}); give it as `voxel_size_um = [z, y, x]` in the experiment file, or as `--voxel-size Z,Y,X`"
    )]
    NoVoxelSize { evidence: String },
    #[error(
        "has {count} negative voxels (of type {pixel_type}); add an offset or clip it, then save it as unsigned integers"
    )]
    Negative { count: usize, pixel_type: &'static str },
    #[error("has {count} voxels that are NaN or infinite, of {n_voxels}; replace them first")]
    NotFinite { count: usize, n_voxels: usize },
    #[error("has {count} voxels too large for 32 bit integers")]
    TooLarge { count: usize },
    #[error(
        "is not a label image: {count} voxels are no whole numbers from 0 to 4294967295; is it an intensity image?"
    )]
    NotLabels { count: usize },
    #[error("has no dataset {found:?}; there are: {available}")]
    NoDataset { found: String, available: String },
    #[error("holds several datasets that may be the image; choose one of: {available}")]
    ChooseDataset { available: String },
    #[error("is a TIFF, which has no dataset {found:?}; datasets are chosen in HDF5 files")]
    DatasetOfTiff { found: String },
    #[error(
        "has dataset {dataset:?} of shape {shape:?}; an image has 2 to 5 axes, such as z, y, x"
    )]
    DatasetShape { dataset: String, shape: Vec<usize> },

    // Writing
    #[error("needs at least one channel to be written")]
    NoChannels,
    #[error(
        "channel {name:?} is {found}, the first channel {wanted}; one file holds channels of one size and type"
    )]
    ChannelsDiffer { name: String, found: String, wanted: String },
}

fn in_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "is not there; check the path".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a folder; a file is wanted".to_owned(),
        _ => format!("cannot be read or written: {error}"),
    }
}

pub(super) type Result<T, E = ImageProblem> = std::result::Result<T, E>;
