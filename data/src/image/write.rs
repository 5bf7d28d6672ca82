//! Volumes and labels to files, in the format that the suffix names.

use std::path::Path;

use super::problem::{ImageProblem, Result as ProblemResult};
use super::voxels::{Pixel, VoxelsView, converted};
use super::{at, hdf5, tiff};
use crate::error::Result;
use crate::labels::Labels;
use crate::volume::{Volume, VoxelSize};

/// Writes named channels of one size and type to an OME-TIFF, deflated, a `BigTIFF` where needed.
///
/// The file appears whole or not at all. tifffile, Fiji, napari and Bio-Formats read names and voxel
/// size; the bytes depend on nothing but the arguments.
///
/// # Errors
/// If there is no channel, if channels differ in size or type, or if the file cannot be written.
pub fn write_ome_tiff(
    path: impl AsRef<Path>,
    channels: &[(&str, VoxelsView<'_>)],
    voxel_size: VoxelSize,
) -> Result<()> {
    let path = path.as_ref();
    tiff::write::write(path, channels, voxel_size).map_err(|problem| at(path, problem))
}

/// Writes one channel as OME-TIFF (`.tif`, `.tiff`) or HDF5 (`.h5`, `.hdf5`: dataset `raw` with
/// `element_size_um`).
///
/// # Errors
/// If the suffix is another, or the file cannot be written.
pub fn write_volume<T: Pixel>(
    path: impl AsRef<Path>,
    name: &str,
    volume: &Volume<T>,
) -> Result<()> {
    let path = path.as_ref();
    write_one(path, "raw", name, volume.into(), volume.voxel_size())
        .map_err(|problem| at(path, problem))
}

/// Writes a label image in the smallest of u8, u16 and u32 that holds its largest label, as
/// OME-TIFF or HDF5 (dataset `label` with `element_size_um`) by the suffix of `path`.
///
/// # Errors
/// If the suffix is another, or the file cannot be written.
pub fn write_labels(path: impl AsRef<Path>, labels: &Labels) -> Result<()> {
    let path = path.as_ref();
    let volume = labels.volume();
    let size = volume.voxel_size();
    let write = |voxels: VoxelsView<'_>| write_one(path, "label", "labels", voxels, size);
    let largest = labels.cells().last().copied().unwrap_or(0);
    let result = if u8::try_from(largest).is_ok() {
        write((&converted(volume.voxels(), |label| label as u8)).into())
    } else if u16::try_from(largest).is_ok() {
        write((&converted(volume.voxels(), |label| label as u16)).into())
    } else {
        write(volume.into())
    };
    result.map_err(|problem| at(path, problem))
}

/// Checks that volumes and labels can be written under this name, before any work is done for it.
///
/// # Errors
/// If the suffix is none of `.tif`, `.tiff`, `.h5` and `.hdf5`.
pub fn check_suffix(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    format_of(path).map(|_| ()).map_err(|problem| at(path, problem))
}

/// A format that one volume is written in.
enum Format {
    Tiff,
    Hdf5,
}

fn format_of(path: &Path) -> ProblemResult<Format> {
    let suffix = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match suffix.as_str() {
        "tif" | "tiff" => Ok(Format::Tiff),
        "h5" | "hdf5" => Ok(Format::Hdf5),
        _ => Err(ImageProblem::Suffix { found: suffix }),
    }
}

fn write_one(
    path: &Path,
    dataset: &str,
    name: &str,
    voxels: VoxelsView<'_>,
    voxel_size: VoxelSize,
) -> ProblemResult<()> {
    match format_of(path)? {
        Format::Tiff => tiff::write::write(path, &[(name, voxels)], voxel_size),
        Format::Hdf5 => hdf5::write(path, dataset, name, voxels, voxel_size),
    }
}
