//! HDF5 out: one dataset per file.

use std::path::Path;

use hdf5_metno::types::VarLenUnicode;
use hdf5_metno::{Dataset, File, FileBuilder};
use ndarray::ArrayView3;

use super::attributes::{CHANNEL_NAMES, ELEMENT_SIZE};
use crate::image::problem::{ImageProblem, Result};
use crate::image::voxels::{Pixel, PixelType, VoxelsView, each_type};
use crate::replace::replace_file;
use crate::volume::VoxelSize;

/// Planes that are written at a time: a whole number of chunks.
pub(in crate::image) const PLANES: usize = CHUNK[0];
const CHUNK: [usize; 3] = [16, 128, 128];

/// Writes one channel as a dataset: shuffled and deflated, which every HDF5 reader opens.
pub(in crate::image) fn write(
    path: &Path,
    dataset: &str,
    channel: &str,
    voxels: VoxelsView<'_>,
    voxel_size: VoxelSize,
) -> Result<()> {
    let kind = (voxels.shape(), voxels.pixel_type());
    write_parts(path, [dataset, channel], kind, voxel_size, |write| write(voxels))
}

/// Writes one channel whose planes come in parts, from the first plane on, [`PLANES`] or all of them at a time: `parts`
/// writes each to what it is given. `names` are those of dataset and channel.
pub(in crate::image) fn write_parts<E: From<ImageProblem>>(
    path: &Path,
    names: [&str; 2],
    (shape, pixel_type): ([usize; 3], PixelType),
    voxel_size: VoxelSize,
    parts: impl FnOnce(&mut dyn FnMut(VoxelsView<'_>) -> Result<()>) -> Result<(), E>,
) -> Result<(), E> {
    replace_file(
        path,
        |error| ImageProblem::Io(error).into(),
        |temporary| {
            let mut out = Writing::new(temporary, names, (shape, pixel_type), voxel_size)?;
            parts(&mut |voxels| each_type!(VoxelsView, voxels, voxels => out.write(&voxels)))?;
            Ok(out.finish()?)
        },
    )
}

/// A file that is being written.
struct Writing {
    file: File,
    dataset: Dataset,
    n_planes: usize, // written so far
}

impl Writing {
    fn new(
        path: &Path,
        [dataset, channel]: [&str; 2],
        (shape, pixel_type): ([usize; 3], PixelType),
        voxel_size: VoxelSize,
    ) -> Result<Self> {
        // Without times, the same labels give the same bytes.
        let file = FileBuilder::new()
            .with_fcpl(|properties| properties.obj_track_times(false))
            .create(path)?;
        let create = |file: &File| match pixel_type {
            PixelType::U8 => new_dataset::<u8>(file, dataset, shape),
            PixelType::U16 => new_dataset::<u16>(file, dataset, shape),
            PixelType::U32 => new_dataset::<u32>(file, dataset, shape),
            PixelType::F32 => new_dataset::<f32>(file, dataset, shape),
            PixelType::F64 => new_dataset::<f64>(file, dataset, shape),
        };
        let dataset = create(&file)?;
        let names = [channel.replace('\0', "").parse::<VarLenUnicode>().unwrap_or_default()];
        dataset.new_attr_builder().with_data(&voxel_size.um()).create(ELEMENT_SIZE)?;
        dataset.new_attr_builder().with_data(&names).create(CHANNEL_NAMES)?;
        Ok(Self { file, dataset, n_planes: 0 })
    }

    fn write<T: Pixel>(&mut self, voxels: &ArrayView3<'_, T>) -> Result<()> {
        let planes = self.n_planes..self.n_planes + voxels.dim().0;
        self.n_planes = planes.end;
        let voxels = voxels.as_standard_layout();
        Ok(self.dataset.write_slice(voxels.view(), (planes, .., ..))?)
    }

    fn finish(self) -> Result<()> {
        // With a data set still open, closing puts writing off and tells no error.
        drop(self.dataset);
        self.file.flush()?;
        Ok(self.file.close()?)
    }
}

fn new_dataset<T: Pixel>(file: &File, name: &str, shape: [usize; 3]) -> Result<Dataset> {
    const DEFLATE_LEVEL: u8 = 4;
    let chunk: [usize; 3] = std::array::from_fn(|axis| shape[axis].min(CHUNK[axis]));
    let builder = file.new_dataset_builder().chunk((chunk[0], chunk[1], chunk[2]));
    let builder = builder.shuffle().deflate(DEFLATE_LEVEL).obj_track_times(false);
    Ok(builder.empty::<T>().shape((shape[0], shape[1], shape[2])).create(name)?)
}
