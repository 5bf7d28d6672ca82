//! HDF5 out: one dataset per file.

use std::path::Path;

use hdf5_metno::types::VarLenUnicode;
use hdf5_metno::{Dataset, File, FileBuilder};
use ndarray::ArrayView3;

use super::attributes::{CHANNEL_NAMES, ELEMENT_SIZE};
use crate::image::problem::{ImageProblem, Result};
use crate::image::voxels::{Pixel, VoxelsView, each_type};
use crate::replace::replace_file;
use crate::volume::VoxelSize;

/// Writes one channel as a dataset: shuffled and deflated, which every HDF5 reader opens.
pub(in crate::image) fn write(
    path: &Path,
    dataset: &str,
    channel: &str,
    voxels: VoxelsView<'_>,
    voxel_size: VoxelSize,
) -> Result<()> {
    let names = [channel.replace('\0', "").parse::<VarLenUnicode>().unwrap_or_default()];
    replace_file(path, ImageProblem::Io, |temporary| {
        // Without times, the same labels give the same bytes.
        let file = FileBuilder::new()
            .with_fcpl(|properties| properties.obj_track_times(false))
            .create(temporary)?;
        let written =
            each_type!(VoxelsView, voxels, voxels => write_dataset(&file, dataset, &voxels)?);
        written.new_attr_builder().with_data(&voxel_size.um()).create(ELEMENT_SIZE)?;
        written.new_attr_builder().with_data(&names).create(CHANNEL_NAMES)?;
        // With a data set still open, closing puts writing off and tells no error.
        file.flush()?;
        file.close()?;
        Ok(())
    })
}

fn write_dataset<T: Pixel>(file: &File, name: &str, voxels: &ArrayView3<'_, T>) -> Result<Dataset> {
    const CHUNK: [usize; 3] = [16, 128, 128];
    const DEFLATE_LEVEL: u8 = 4;
    let (z, y, x) = voxels.dim();
    let shape = [z, y, x];
    let chunk: [usize; 3] = std::array::from_fn(|axis| shape[axis].min(CHUNK[axis]));
    let builder = file.new_dataset_builder().chunk((chunk[0], chunk[1], chunk[2]));
    let builder = builder.shuffle().deflate(DEFLATE_LEVEL).obj_track_times(false);
    Ok(builder.with_data(voxels.as_standard_layout().view()).create(name)?)
}
