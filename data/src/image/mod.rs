//! Image files in and out: TIFF as microscopes and Fiji write it, and HDF5.
//!
//! [`ImageFile`] opens a file and says what it holds; voxels are read when they are asked for, one
//! channel at a time. [`write_ome_tiff`], [`write_volume`] and [`write_labels`] write files that
//! Fiji, napari, tifffile and h5py open with their voxel size.
//!
//! A voxel size that a file does not state is `None`, never 1. Channels and time points count from 0.

mod axes;
mod bytes;
mod calibration;
mod description;
mod facts;
mod hdf5;
mod problem;
mod tiff;
mod units;
mod voxels;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array3;

pub use self::description::Description;
pub use self::problem::ImageProblem;
pub use self::voxels::{Pixel, PixelType, Voxels, VoxelsView};
pub use self::write::{
    check_suffix, write_labels, write_ome_tiff, write_scratch_labels, write_volume,
};

use self::bytes::FileBytes;
use self::description::channel_list;
use self::facts::Facts;
use self::hdf5::Hdf5Image;
use self::tiff::TiffImage;
use crate::error::{DataError, Result};
use crate::hdf5_heap;
use crate::labels::Labels;
use crate::volume::{Volume, VoxelSize};

/// An image file, understood but not read: its voxels come from disk with each `read_…` call.
///
/// # Example
/// ```
/// # use primordia_data::{Volume, VoxelSize, image::{ImageFile, write_volume}};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("embryo.ome.tif");
/// let voxel_size = VoxelSize::from_um([0.5, 0.1, 0.1])?;
/// let membrane = Volume::new(ndarray::Array3::<u16>::zeros((4, 8, 8)), voxel_size)?;
/// write_volume(&path, "membrane", &membrane)?;
///
/// let image = ImageFile::open(&path)?;
/// assert_eq!(image.voxel_size(), Some(voxel_size));
/// let membrane = image.read_volume_f32(image.channel_index("membrane")?)?;
/// assert_eq!(membrane.shape(), [4, 8, 8]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFile {
    path: PathBuf,
    source: Source,
    facts: Facts,
    timepoint: Option<usize>,
}

#[derive(Clone, Debug)]
enum Source {
    Tiff(TiffImage),
    Hdf5(Hdf5Image),
}

impl ImageFile {
    /// Opens a TIFF or HDF5 file, whichever its content says it is.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read, is damaged, is of another format, or holds
    /// what this crate does not read; the problem says what was found and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_dataset(path, None)
    }

    /// Opens a file; `dataset` is the path of the image within an HDF5 file. Without it, the only
    /// dataset that can be an image is taken.
    ///
    /// # Errors
    /// As [`ImageFile::open`]; also if `dataset` is missing, or not given and several may be meant.
    pub fn open_dataset(path: impl AsRef<Path>, dataset: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let (source, facts) = open_source(path, dataset).map_err(|problem| at(path, problem))?;
        for warning in facts.warnings.iter().chain(&facts.size.warnings) {
            tracing::warn!("{}: {warning}", path.display());
        }
        Ok(Self { path: path.to_owned(), source, facts, timepoint: None })
    }

    /// The same file with other channel names: one for each channel, in the order of the file.
    ///
    /// # Errors
    /// If there are more or fewer names than channels.
    pub fn with_channel_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names = names.into_iter().map(|name| Some(name.into())).collect::<Vec<_>>();
        if names.len() != self.n_channels() {
            let found = self.n_channels();
            return Err(self.problem(ImageProblem::ChannelNames { found, names: names.len() }));
        }
        self.facts.channel_names = names;
        Ok(self)
    }

    /// The same file with a voxel size that wins over what the file states.
    #[must_use]
    pub fn with_voxel_size(mut self, voxel_size: VoxelSize) -> Self {
        let size = &mut self.facts.size;
        size.warnings.clear();
        if let Some(stated) = size.voxel_size
            && !stated.agrees_with(voxel_size)
        {
            size.warnings.push(format!(
                "the given voxel size {:?} µm differs from the file's {:?} µm",
                voxel_size.um(),
                stated.um()
            ));
        }
        size.voxel_size = Some(voxel_size);
        "given".clone_into(&mut size.source);
        self
    }

    /// The same file, to be read at one time point, from 0.
    ///
    /// # Errors
    /// If the file has no such time point.
    pub fn with_timepoint(mut self, timepoint: usize) -> Result<Self> {
        let n_timepoints = self.n_timepoints();
        if timepoint >= n_timepoints {
            return Err(self.problem(ImageProblem::NoTimepoint { found: timepoint, n_timepoints }));
        }
        self.timepoint = Some(timepoint);
        Ok(self)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Voxels along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.facts.shape
    }

    /// The number of channels.
    pub fn n_channels(&self) -> usize {
        self.facts.channel_names.len()
    }

    /// The number of time points.
    pub fn n_timepoints(&self) -> usize {
        self.facts.n_timepoints
    }

    /// The type that voxels are read as.
    pub fn pixel_type(&self) -> PixelType {
        self.facts.pixel_type
    }

    /// The names of the channels, where the file (or [`ImageFile::with_channel_names`]) gives them.
    pub fn channel_names(&self) -> &[Option<String>] {
        &self.facts.channel_names
    }

    /// The names of the channels, those that have none by number: `channel_0`, `channel_1`, …
    pub fn channel_names_or_numbers(&self) -> Vec<String> {
        let name = |(index, name): (usize, &Option<String>)| match name {
            Some(name) => name.clone(),
            None => format!("channel_{index}"),
        };
        self.channel_names().iter().enumerate().map(name).collect()
    }

    /// The physical size of a voxel, if the file (or [`ImageFile::with_voxel_size`]) states it.
    pub fn voxel_size(&self) -> Option<VoxelSize> {
        self.facts.size.voxel_size
    }

    /// Where the voxel size comes from, or why there is none.
    pub fn voxel_size_source(&self) -> &str {
        &self.facts.size.source
    }

    /// What a user should check about this file.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.facts.warnings.iter().chain(&self.facts.size.warnings).map(String::as_str)
    }

    /// The physical size of a voxel.
    ///
    /// # Errors
    /// If nothing states it; the error says how to give it.
    pub fn required_voxel_size(&self) -> Result<VoxelSize> {
        self.voxel_size().ok_or_else(|| {
            let evidence = self.voxel_size_source().to_owned();
            self.problem(ImageProblem::NoVoxelSize { evidence })
        })
    }

    /// The index of the channel that is called `selector`, else of the channel with that number, from 0.
    ///
    /// # Errors
    /// If there is none; the error lists what there is.
    pub fn channel_index(&self, selector: &str) -> Result<usize> {
        let selector = selector.trim();
        let names = self.channel_names();
        let is_called = |name: &Option<String>| name.as_deref() == Some(selector);
        let looks_like = |name: &Option<String>| {
            name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(selector))
        };
        let number = || selector.parse::<usize>().ok().filter(|&number| number < names.len());
        names
            .iter()
            .position(is_called)
            .or_else(|| names.iter().position(looks_like))
            .or_else(number)
            .ok_or_else(|| self.no_channel(selector))
    }

    /// Reads one channel in the type that the file holds; only its own pages are decoded.
    ///
    /// # Errors
    /// If there is no such channel, if the file has several time points and none was chosen with
    /// [`ImageFile::with_timepoint`], if its voxels are damaged, or if signed voxels are negative.
    pub fn read_channel(&self, index: usize) -> Result<Voxels> {
        self.read_planes(index, 0..self.shape()[0])
    }

    /// Reads some planes across z of one channel, as [`ImageFile::read_channel`] does.
    ///
    /// # Errors
    /// As [`ImageFile::read_channel`].
    ///
    /// # Panics
    /// If the image has fewer planes.
    pub fn read_planes(&self, index: usize, planes: Range<usize>) -> Result<Voxels> {
        assert!(planes.end <= self.shape()[0], "the image has fewer planes than {}", planes.end);
        if index >= self.n_channels() {
            return Err(self.no_channel(&index.to_string()));
        }
        let n_timepoints = self.n_timepoints();
        let timepoint = match self.timepoint {
            Some(timepoint) => timepoint,
            None if n_timepoints == 1 => 0,
            None => return Err(self.problem(ImageProblem::ChooseTimepoint { n_timepoints })),
        };
        let voxels = match &self.source {
            Source::Tiff(image) => {
                let bytes = FileBytes::open(&self.path);
                bytes.and_then(|bytes| image.read(&bytes, timepoint, index, planes))
            }
            Source::Hdf5(image) => image.read(&self.path, timepoint, index, planes),
        };
        voxels.map_err(|problem| self.problem(problem))
    }

    /// Reads one channel as floats.
    ///
    /// # Errors
    /// As [`ImageFile::read_channel`]; also without a voxel size, and if a voxel is NaN or infinite:
    /// the error says how many are.
    pub fn read_volume_f32(&self, index: usize) -> Result<Volume<f32>> {
        let voxel_size = self.required_voxel_size()?;
        let voxels = self.read_channel(index)?;
        self.check_finite(&voxels)?;
        Volume::new(voxels.into_f32(), voxel_size)
    }

    /// Reads the cells of a label image of one channel: integers, or floats that are whole numbers.
    ///
    /// # Errors
    /// As [`ImageFile::read_channel`]; also if there are several channels, no voxel size, or voxels
    /// that are no labels.
    pub fn read_labels(&self) -> Result<Labels> {
        if self.n_channels() != 1 {
            let available = channel_list(self.channel_names());
            let found = self.n_channels();
            return Err(self.problem(ImageProblem::ChooseChannel { found, available }));
        }
        self.read_labels_of(0)
    }

    /// Reads the cells of one channel of label images, as [`ImageFile::read_labels`] does.
    ///
    /// # Errors
    /// As [`ImageFile::read_labels`].
    pub fn read_labels_of(&self, index: usize) -> Result<Labels> {
        let voxel_size = self.required_voxel_size()?;
        Labels::from_voxels(self.read_label_voxels(index)?, voxel_size)
    }

    /// Reads the labels of one channel without need of a voxel size.
    ///
    /// # Errors
    /// As [`ImageFile::read_channel`]; also if voxels are no labels.
    pub fn read_label_voxels(&self, index: usize) -> Result<Array3<u32>> {
        let voxels = self.read_channel(index)?;
        voxels.into_labels().map_err(|problem| self.problem(problem))
    }

    /// Checks that no voxel is NaN or infinite.
    ///
    /// # Errors
    /// Names the file and how many are.
    pub fn check_finite(&self, voxels: &Voxels) -> Result<()> {
        match voxels.n_not_finite() {
            0 => Ok(()),
            count => {
                let n_voxels = voxels.shape().iter().product();
                Err(self.problem(ImageProblem::NotFinite { count, n_voxels }))
            }
        }
    }

    /// What was understood of the file.
    pub fn describe(&self) -> Description {
        let facts = &self.facts;
        let voxel_size_um = self.voxel_size().map(|size| size.um());
        Description {
            path: self.path.clone(),
            format: facts.format.clone(),
            byte_order: facts.byte_order.to_owned(),
            compression: facts.compression.clone(),
            axes: facts.axes.clone(),
            shape_zyx: facts.shape,
            n_timepoints: facts.n_timepoints,
            channels: facts.channel_names.clone(),
            stored_type: facts.stored_type.clone(),
            pixel_type: facts.pixel_type,
            voxel_size_um,
            voxel_size_source: facts.size.source.clone(),
            extent_um: voxel_size_um
                .map(|um| std::array::from_fn(|i| um[i] * facts.shape[i] as f64)),
            warnings: self.warnings().map(str::to_owned).collect(),
        }
    }

    fn no_channel(&self, found: &str) -> DataError {
        let available = channel_list(self.channel_names());
        self.problem(ImageProblem::NoChannel { found: found.to_owned(), available })
    }

    fn problem(&self, problem: ImageProblem) -> DataError {
        at(&self.path, problem)
    }
}

fn at(path: &Path, problem: ImageProblem) -> DataError {
    DataError::Image { path: path.to_owned(), problem: Box::new(problem) }
}

fn open_source(path: &Path, dataset: Option<&str>) -> problem::Result<(Source, Facts)> {
    let bytes = FileBytes::open(path)?;
    let start = bytes.read("the file", 0, bytes.len().min(16))?;
    if tiff::is_tiff(&start) {
        if let Some(found) = dataset {
            return Err(ImageProblem::DatasetOfTiff { found: found.to_owned() });
        }
        let (image, facts) = TiffImage::open(&bytes)?;
        return Ok((Source::Tiff(image), facts));
    }
    if hdf5::is_hdf5(&bytes)? {
        if hdf5_heap::never_ends(&mut std::fs::File::open(path)?)? {
            return Err(ImageProblem::EndlessHeap);
        }
        let (image, facts) = Hdf5Image::open(path, bytes.len(), dataset)?;
        return Ok((Source::Hdf5(image), facts));
    }
    Err(other_format(&start))
}

/// What a file that is neither is: microscopes' own formats are named.
fn other_format(start: &[u8]) -> ImageProblem {
    let formats: [(&[u8], &str); 7] = [
        (b"ZISRAWFILE", "a Zeiss CZI file"),
        (&[0x70, 0, 0, 0], "a Leica LIF file"),
        (&[0xda, 0xce, 0xbe, 0x0a], "a Nikon ND2 file"),
        (&[0, 0, 0, 0x0c, b'j', b'P', b' ', b' '], "a JPEG 2000 or old Nikon ND2 file"),
        (&[0x89, b'P', b'N', b'G'], "a PNG image"),
        (&[0xff, 0xd8, 0xff], "a JPEG image"),
        (&[0xd0, 0xcf, 0x11, 0xe0], "an OLE file, such as Olympus OIB or Zeiss ZVI"),
    ];
    for (magic, format) in formats {
        if start.starts_with(magic) {
            return ImageProblem::OtherFormat { format };
        }
    }
    ImageProblem::UnknownFormat { found: start.to_vec() }
}
