//! HDF5 in and out: one dataset is one image, its voxel size in `element_size_um`.

mod attributes;
mod find;
mod write;

use std::ops::Range;
use std::path::Path;

use hdf5_metno::filters::Filter;
use hdf5_metno::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5_metno::{Dataset, File, H5Type, Hyperslab, SliceOrIndex};
use ndarray::{Array3, ArrayD, Axis as ArrayAxis};

use self::attributes::{CHANNEL_NAMES, attribute, axis_letters, calibration, texts};
use self::find::{named_dataset, only_image};
pub(super) use self::write::{PLANES, write, write_parts};
use super::axes::{Axes, Axis};
use super::bytes::FileBytes;
use super::facts::Facts;
use super::problem::{ImageProblem, Result};
use super::tiff::narrowed;
use super::voxels::{PixelType, Voxels};

/// Whether the file carries the HDF5 signature: at its start, or at 512 bytes times a power of two.
pub(super) fn is_hdf5(bytes: &FileBytes) -> Result<bool> {
    const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
    let mut offset = 0;
    while offset + 8 <= bytes.len() {
        if bytes.read("the HDF5 signature", offset, 8)? == SIGNATURE {
            return Ok(true);
        }
        offset = if offset == 0 { 512 } else { 2 * offset };
    }
    Ok(false)
}

/// A dataset that was understood as an image.
#[derive(Clone, Debug)]
pub(super) struct Hdf5Image {
    dataset: String,
    axes: Axes,
    shape: Vec<u64>,
    stored: Stored,
}

/// The number types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Unsigned(IntSize),
    Signed(IntSize),
    F32,
    F64,
}

impl Hdf5Image {
    /// Finds the dataset and reads everything but its voxels.
    pub(super) fn open(
        path: &Path,
        file_bytes: u64,
        wanted: Option<&str>,
    ) -> Result<(Self, Facts)> {
        let file = File::open(path)?;
        let dataset = match wanted {
            Some(name) => named_dataset(&file, name)?,
            None => only_image(&file)?,
        };
        let stored = stored_type(&dataset)?;
        let shape = dataset.shape().into_iter().map(|n| n as u64).collect::<Vec<_>>();
        if shape.contains(&0) {
            return Err(ImageProblem::ZeroSize { shape });
        }
        check_plausible(&dataset, stored, file_bytes)?;
        let axes = match axis_letters(&dataset) {
            Some(letters) => Axes::named(&letters, &shape)?,
            None => Axes::unnamed(&shape)?,
        };
        let image = Self { dataset: dataset.name(), axes, shape, stored };
        let facts = image.facts(&file, &dataset)?;
        Ok((image, facts))
    }

    fn length(&self, axis: Axis) -> usize {
        self.axes.length(axis, &self.shape) as usize
    }

    fn facts(&self, file: &File, dataset: &Dataset) -> Result<Facts> {
        let n_channels = self.length(Axis::Channel) * self.length(Axis::Sample);
        let names =
            attribute(dataset, CHANNEL_NAMES).map(|names| texts(&names)).unwrap_or_default();
        let channel_names = if names.len() == n_channels {
            names.into_iter().map(|name| Some(name).filter(|name| !name.is_empty())).collect()
        } else {
            vec![None; n_channels]
        };
        let n_slices = self.length(Axis::Z);
        let filters = dataset.filters().iter().map(filter_name).collect::<Vec<_>>();
        let big = dataset.dtype()?.byte_order() == hdf5_metno::datatype::ByteOrder::BigEndian;
        Ok(Facts {
            format: format!("HDF5 dataset {}", self.dataset),
            byte_order: if big { "big-endian" } else { "little-endian" },
            compression: if filters.is_empty() {
                "uncompressed".to_owned()
            } else {
                filters.join(" + ")
            },
            axes: self.axes.letters(),
            n_timepoints: self.length(Axis::Time),
            channel_names,
            shape: [n_slices, self.length(Axis::Y), self.length(Axis::X)],
            stored_type: self.stored.name().to_owned(),
            pixel_type: self.stored.pixel_type(),
            size: calibration(file, dataset).verdict(n_slices),
            warnings: self.axes.warning.iter().cloned().collect(),
        })
    }

    /// Reads slices of one channel of one time point; all are known to exist.
    pub(super) fn read(
        &self,
        path: &Path,
        t: usize,
        channel: usize,
        slices: Range<usize>,
    ) -> Result<Voxels> {
        let dataset = File::open(path)?.dataset(&self.dataset)?;
        let shape = dataset.shape().into_iter().map(|n| n as u64).collect::<Vec<_>>();
        if shape != self.shape || stored_type(&dataset)? != self.stored {
            return Err(ImageProblem::DatasetShape {
                dataset: self.dataset.clone(),
                shape: dataset.shape(),
            });
        }
        let (dataset, place) = (&dataset, (t, channel, slices));
        Ok(match self.stored {
            Stored::Unsigned(IntSize::U1) => Voxels::U8(self.read_as(dataset, place)?),
            Stored::Unsigned(IntSize::U2) => Voxels::U16(self.read_as(dataset, place)?),
            Stored::Unsigned(IntSize::U4) => Voxels::U32(self.read_as(dataset, place)?),
            Stored::Unsigned(IntSize::U8) => Voxels::U32(narrowed(&self.read_as(dataset, place)?)?),
            Stored::Signed(IntSize::U1) => {
                Voxels::U8(self.read_as::<i8>(dataset, place)?.unsigned("int8", |v| v < 0)?)
            }
            Stored::Signed(IntSize::U2) => {
                Voxels::U16(self.read_as::<i16>(dataset, place)?.unsigned("int16", |v| v < 0)?)
            }
            Stored::Signed(IntSize::U4) => {
                Voxels::U32(self.read_as::<i32>(dataset, place)?.unsigned("int32", |v| v < 0)?)
            }
            Stored::Signed(IntSize::U8) => {
                let voxels = self.read_as::<i64>(dataset, place)?.unsigned("int64", |v| v < 0)?;
                Voxels::U32(narrowed(&voxels)?)
            }
            Stored::F32 => Voxels::F32(self.read_as(dataset, place)?),
            Stored::F64 => Voxels::F64(self.read_as(dataset, place)?),
        })
    }

    /// The voxels of slices of one channel at a time point, turned to z, y, x.
    fn read_as<T: H5Type + Clone>(
        &self,
        dataset: &Dataset,
        (t, channel, slices): (usize, usize, Range<usize>),
    ) -> Result<Array3<T>> {
        let samples = self.length(Axis::Sample);
        let selection = self.axes.axes.iter().zip(&self.shape).map(|(axis, &length)| match axis {
            Axis::Time => SliceOrIndex::Index(t),
            Axis::Channel => SliceOrIndex::Index(channel / samples),
            Axis::Sample => SliceOrIndex::Index(channel % samples),
            Axis::Single => SliceOrIndex::Index(0),
            Axis::Z => SliceOrIndex::SliceCount {
                start: slices.start,
                step: 1,
                count: slices.len(),
                block: 1,
            },
            Axis::Y | Axis::X => {
                SliceOrIndex::SliceCount { start: 0, step: 1, count: length as usize, block: 1 }
            }
        });
        let selection = Hyperslab::from(selection.collect::<Vec<_>>());
        let voxels: ArrayD<T> = dataset.read_slice(selection)?;
        let mut spatial = self
            .axes
            .axes
            .iter()
            .filter(|axis| [Axis::Z, Axis::Y, Axis::X].contains(axis))
            .collect::<Vec<_>>();
        let mut voxels = voxels;
        if spatial.len() == 2 {
            voxels = voxels.insert_axis(ArrayAxis(0));
            spatial.insert(0, &Axis::Z);
        }
        let order = [Axis::Z, Axis::Y, Axis::X]
            .map(|axis| spatial.iter().position(|&&found| found == axis).unwrap_or(0));
        let voxels = voxels.into_dimensionality::<ndarray::Ix3>().map_err(|_| {
            ImageProblem::DatasetShape { dataset: self.dataset.clone(), shape: dataset.shape() }
        })?;
        let voxels = voxels.permuted_axes(order);
        if voxels.is_standard_layout() {
            Ok(voxels)
        } else {
            Ok(voxels.as_standard_layout().into_owned())
        }
    }
}

/// Signed voxels as unsigned ones of the same bits, none of them negative.
trait Unsigned<T, U> {
    fn unsigned(
        self,
        pixel_type: &'static str,
        is_negative: impl Fn(T) -> bool,
    ) -> Result<Array3<U>>;
}

impl<T: bytemuck::Pod, U: bytemuck::Pod> Unsigned<T, U> for Array3<T> {
    fn unsigned(
        self,
        pixel_type: &'static str,
        is_negative: impl Fn(T) -> bool,
    ) -> Result<Array3<U>> {
        let count = self.iter().filter(|&&value| is_negative(value)).count();
        if count > 0 {
            return Err(ImageProblem::Negative { count, pixel_type });
        }
        Ok(self.mapv(bytemuck::cast))
    }
}

impl Stored {
    fn n_bytes(self) -> usize {
        match self {
            Self::Unsigned(size) | Self::Signed(size) => size as usize,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn pixel_type(self) -> PixelType {
        match self {
            Self::Unsigned(IntSize::U1) | Self::Signed(IntSize::U1) => PixelType::U8,
            Self::Unsigned(IntSize::U2) | Self::Signed(IntSize::U2) => PixelType::U16,
            Self::Unsigned(_) | Self::Signed(_) => PixelType::U32,
            Self::F32 => PixelType::F32,
            Self::F64 => PixelType::F64,
        }
    }

    fn name(self) -> &'static str {
        match (self, self.n_bytes()) {
            (Self::Unsigned(_), 1) => "uint8",
            (Self::Unsigned(_), 2) => "uint16",
            (Self::Unsigned(_), 4) => "uint32",
            (Self::Unsigned(_), _) => "uint64",
            (Self::Signed(_), 1) => "int8",
            (Self::Signed(_), 2) => "int16",
            (Self::Signed(_), 4) => "int32",
            (Self::Signed(_), _) => "int64",
            (Self::F32, _) => "float32",
            (Self::F64, _) => "float64",
        }
    }
}

fn stored_type(dataset: &Dataset) -> Result<Stored> {
    match dataset.dtype()?.to_descriptor() {
        Ok(TypeDescriptor::Unsigned(size)) => Ok(Stored::Unsigned(size)),
        Ok(TypeDescriptor::Integer(size)) => Ok(Stored::Signed(size)),
        Ok(TypeDescriptor::Float(FloatSize::U4)) => Ok(Stored::F32),
        Ok(TypeDescriptor::Float(FloatSize::U8)) => Ok(Stored::F64),
        Ok(other) => Err(ImageProblem::PixelType { what: format!("the type {other}") }),
        Err(_) => {
            Err(ImageProblem::PixelType { what: "an HDF5 type without name here".to_owned() })
        }
    }
}

/// Checks that what is stored can be what the shape claims, and that no chunk is larger still.
fn check_plausible(dataset: &Dataset, stored: Stored, file_bytes: u64) -> Result<()> {
    const DEFLATE_RATIO: u128 = 1032;
    let found = dataset.storage_size().min(file_bytes);
    let bytes_of = |shape: &[usize]| {
        let product =
            shape.iter().try_fold(stored.n_bytes() as u128, |n, &side| n.checked_mul(side as u128));
        product.unwrap_or(u128::MAX)
    };
    let chunk = dataset.chunk().map_or(0, |chunk| bytes_of(&chunk));
    let claimed = bytes_of(&dataset.shape()).max(chunk);
    if claimed > u128::from(found) * DEFLATE_RATIO {
        return Err(ImageProblem::Implausible { claimed, found });
    }
    Ok(())
}

fn filter_name(filter: &Filter) -> String {
    match filter {
        Filter::Deflate(_) => "deflate".to_owned(),
        Filter::Shuffle => "shuffle".to_owned(),
        Filter::Fletcher32 => "checksum".to_owned(),
        Filter::User(32_000, _) => "LZF".to_owned(),
        Filter::User(32_001, _) => "Blosc".to_owned(),
        Filter::User(32_015, _) => "zstd".to_owned(),
        Filter::User(code, _) => format!("filter {code}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use hdf5_metno::types::VarLenUnicode;

    use super::*;
    use crate::image::{ImageFile, write_volume};
    use crate::volume::{Volume, VoxelSize};

    fn volume() -> Volume<u16> {
        let voxels = Array3::from_shape_fn((3, 5, 7), |(z, y, x)| (100 * z + 10 * y + x) as u16);
        Volume::new(voxels, VoxelSize::from_um([0.5, 0.1, 0.2]).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.h5");
        write_volume(&path, "membrane", &volume()).unwrap();
        let image = ImageFile::open(&path).unwrap();
        assert_eq!(image.voxel_size(), Some(volume().voxel_size()));
        assert_eq!(image.channel_names(), [Some("membrane".to_owned())]);
        assert_eq!(image.read_channel(0).unwrap(), Voxels::U16(volume().into_voxels()));
    }

    #[test]
    fn axes_in_any_order_come_out_as_z_y_x() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.h5");
        let file = File::create(&path).unwrap();
        let xyzc = volume().into_voxels().reversed_axes().insert_axis(ArrayAxis(3));
        let xyzc = xyzc.as_standard_layout().into_owned();
        let dataset = file.new_dataset_builder().with_data(&xyzc).create("image").unwrap();
        let axes = "xyzc".parse::<VarLenUnicode>().unwrap();
        dataset.new_attr::<VarLenUnicode>().create("axes").unwrap().write_scalar(&axes).unwrap();
        file.close().unwrap();
        let image = ImageFile::open(&path).unwrap();
        assert_eq!((image.shape(), image.n_channels()), ([3, 5, 7], 1));
        assert_eq!(image.read_channel(0).unwrap(), Voxels::U16(volume().into_voxels()));
    }
}
