//! What `primordia inspect` tells about an image.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::voxels::PixelType;

/// An image file as it was understood.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Where it is.
    pub path: PathBuf,
    /// Such as "OME-TIFF (`BigTIFF`)" or "HDF5 dataset /raw".
    pub format: String,
    /// "little-endian" or "big-endian".
    pub byte_order: String,
    /// Such as "deflate".
    pub compression: String,
    /// The axes as stored, slowest first, such as "TZCYX".
    pub axes: String,
    /// Voxels along z, y, x.
    pub shape_zyx: [usize; 3],
    /// The number of time points.
    pub n_timepoints: usize,
    /// The names of the channels, where they have one.
    pub channels: Vec<Option<String>>,
    /// What the file holds, as numpy calls it.
    pub stored_type: String,
    /// What it is read as.
    pub pixel_type: PixelType,
    /// µm along z, y, x.
    pub voxel_size_um: Option<[f64; 3]>,
    /// Where the voxel size comes from, or why there is none.
    pub voxel_size_source: String,
    /// The size of the whole image in µm along z, y, x.
    pub extent_um: Option<[f64; 3]>,
    /// What a user should check.
    pub warnings: Vec<String>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.shape_zyx;
        writeln!(f, "{}", self.path.display())?;
        writeln!(f, "  format      {}, {}, {}", self.format, self.byte_order, self.compression)?;
        writeln!(f, "  axes        {}", self.axes)?;
        writeln!(f, "  size        z {z}, y {y}, x {x} voxels of {}", self.stored_type)?;
        if self.n_timepoints > 1 {
            writeln!(f, "  time        {} points", self.n_timepoints)?;
        }
        writeln!(f, "  channels    {}", channel_list(&self.channels))?;
        match self.voxel_size_um {
            Some([z, y, x]) => {
                writeln!(f, "  voxel size  z {z}, y {y}, x {x} µm ({})", self.voxel_size_source)?;
            }
            None => writeln!(f, "  voxel size  not stated ({})", self.voxel_size_source)?,
        }
        if let Some([z, y, x]) = self.extent_um {
            writeln!(f, "  extent      z {z:.1}, y {y:.1}, x {x:.1} µm")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning     {warning}")?;
        }
        Ok(())
    }
}

/// `0 membrane, 1 actin, 2 (unnamed)`.
pub(super) fn channel_list(names: &[Option<String>]) -> String {
    let name = |(i, name): (usize, &Option<String>)| match name {
        Some(name) => format!("{i} {name}"),
        None => format!("{i} (unnamed)"),
    };
    names.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}
