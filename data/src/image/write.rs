//! Volumes and labels to files, in the format that the suffix names.

use std::path::Path;

use super::problem::{ImageProblem, Result as ProblemResult};
use super::voxels::{Pixel, PixelType, VoxelsView, converted};
use super::{at, hdf5, tiff};
use crate::error::{DataError, Result};
use crate::labels::Labels;
use crate::scratch::ScratchVolume;
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

/// Writes a label image that waits on disk, as [`write_labels`] does, plane by plane; `largest` is its largest label.
///
/// # Errors
/// As [`write_labels`]; also if the disk does not give the labels back.
pub fn write_scratch_labels(
    path: impl AsRef<Path>,
    labels: &ScratchVolume<u32>,
    largest: u32,
) -> Result<()> {
    let path = path.as_ref();
    let pixel_type = match largest {
        0..=0xff => PixelType::U8,
        0x100..=0xffff => PixelType::U16,
        _ => PixelType::U32,
    };
    let failed = |problem| at(path, problem);
    let kind = (labels.shape(), pixel_type);
    let size = labels.voxel_size();
    let written = match format_of(path).map_err(failed)? {
        Format::Tiff => tiff::write::write_parts(path, "labels", kind, size, |write| {
            copy_planes(labels, 1, pixel_type, write)
        }),
        Format::Hdf5 => hdf5::write_parts(path, ["label", "labels"], kind, size, |write| {
            copy_planes(labels, hdf5::PLANES, pixel_type, write)
        }),
    };
    written.map_err(|failure| match failure {
        Failure::Data(error) => error,
        Failure::Image(problem) => failed(problem),
    })
}

/// What goes wrong between two files.
enum Failure {
    Data(DataError),
    Image(ImageProblem),
}

impl From<ImageProblem> for Failure {
    fn from(problem: ImageProblem) -> Self {
        Self::Image(problem)
    }
}

/// Hands over planes in the smallest type, `step` or more at a time.
fn copy_planes(
    labels: &ScratchVolume<u32>,
    step: usize,
    pixel_type: PixelType,
    write: &mut dyn FnMut(VoxelsView<'_>) -> ProblemResult<()>,
) -> Result<(), Failure> {
    const BYTES: usize = 1 << 23;
    let [n_z, n_y, n_x] = labels.shape();
    let n = (BYTES / (4 * n_y * n_x)).max(1).next_multiple_of(step);
    for start in (0..n_z).step_by(n) {
        let block = [start..(start + n).min(n_z), 0..n_y, 0..n_x];
        let voxels = labels.read(&block).map_err(Failure::Data)?.into_voxels();
        match pixel_type {
            PixelType::U8 => write((&voxels.mapv(|label| label as u8)).into())?,
            PixelType::U16 => write((&voxels.mapv(|label| label as u16)).into())?,
            _ => write((&voxels).into())?,
        }
    }
    Ok(())
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
