//! How bright a channel is in each part of a cell.

use nalgebra::{Point3, Vector3};
use primordia_data::Volume;

use crate::cell::CellMask;
use crate::error::{FeatureError, Result};

/// The voxels of a channel, in whatever type the image has.
#[derive(Clone, Copy, Debug)]
pub enum ChannelVoxels<'a> {
    /// 8 bits.
    U8(&'a Volume<u8>),
    /// 16 bits.
    U16(&'a Volume<u16>),
    /// Floating point.
    F32(&'a Volume<f32>),
}

/// One image channel: protein or membrane, on the grid of the labels.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    name: &'a str,
    voxels: ChannelVoxels<'a>,
}

impl<'a> Channel<'a> {
    /// The channel `name`.
    pub fn new(name: &'a str, voxels: impl Into<ChannelVoxels<'a>>) -> Self {
        Self { name, voxels: voxels.into() }
    }

    /// The channel's name, which its columns begin with.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Checks that the channel lies on the grid of `labels`.
    pub(crate) fn check_grid(&self, labels: &Volume<u32>) -> Result<()> {
        let checked = match self.voxels {
            ChannelVoxels::U8(volume) => labels.check_same_grid(volume),
            ChannelVoxels::U16(volume) => labels.check_same_grid(volume),
            ChannelVoxels::F32(volume) => labels.check_same_grid(volume),
        };
        checked
            .map_err(|source| FeatureError::ChannelGrid { channel: self.name.to_owned(), source })
    }

    /// Calls `each` with the index in the cell's box and the value of every voxel of the cell.
    pub(crate) fn for_each_voxel(&self, cell: &CellMask, each: impl FnMut(usize, f64)) {
        match self.voxels {
            ChannelVoxels::U8(volume) => visit(volume, cell, each),
            ChannelVoxels::U16(volume) => visit(volume, cell, each),
            ChannelVoxels::F32(volume) => visit(volume, cell, each),
        }
    }
}

impl<'a> From<&'a Volume<u8>> for ChannelVoxels<'a> {
    fn from(volume: &'a Volume<u8>) -> Self {
        Self::U8(volume)
    }
}

impl<'a> From<&'a Volume<u16>> for ChannelVoxels<'a> {
    fn from(volume: &'a Volume<u16>) -> Self {
        Self::U16(volume)
    }
}

impl<'a> From<&'a Volume<f32>> for ChannelVoxels<'a> {
    fn from(volume: &'a Volume<f32>) -> Self {
        Self::F32(volume)
    }
}

fn visit<T: Copy + Into<f64>>(
    volume: &Volume<T>,
    cell: &CellMask,
    mut each: impl FnMut(usize, f64),
) {
    let [_, n_y, n_x] = volume.shape();
    let [_, box_y, box_x] = cell.shape();
    for (line, inside) in cell.inside().chunks_exact(box_x).enumerate() {
        let Some(first) = inside.iter().position(|inside| *inside) else { continue };
        // The line holds a voxel of the cell, so it lies in the image.
        let [z, y, x] = cell.in_image([line / box_y, line % box_y, first]).map(|at| at as usize);
        let values = volume.as_slice()[(z * n_y + y) * n_x + x..].iter();
        for ((at, &inside), &value) in inside.iter().enumerate().skip(first).zip(values) {
            if inside {
                each(line * box_x + at, value.into());
            }
        }
    }
}

/// The parts of a cell over which channels are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// All of the cell.
    Whole,
    /// Within the thickness of the membrane from the cell's border.
    Membrane,
    /// What the membrane shell encloses.
    Inside,
    /// Above the centroid along the tissue's z.
    Apical,
    /// Below the centroid along the tissue's z.
    Basal,
}

/// How much of each voxel of a cell's box belongs to each region.
pub(crate) struct Regions {
    voxels: Vec<(bool, Half)>, // whether in the membrane, and which half
    /// The number of voxels of each region; those cut by the middle plane count half.
    sizes: [f64; 5],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Half {
    Apical,
    Basal,
    Both,
}

impl Regions {
    /// The regions of a cell with this membrane shell, whose halves meet at `centroid_um`;
    /// `apical` is the tissue's z as a direction in the image.
    pub(crate) fn of(
        cell: &CellMask,
        shell: &[bool],
        centroid_um: Point3<f64>,
        apical: Vector3<f64>,
    ) -> Self {
        // Voxel centres this close to the plane lie on it, whatever the rounding.
        let rounding = 1e-6 * cell.voxel_size().um().into_iter().fold(f64::MAX, f64::min);
        let voxels: Vec<(bool, Half)> = (0..cell.inside().len())
            .map(|index| {
                if !cell.inside()[index] {
                    return (false, Half::Both);
                }
                let height_um = apical.dot(&(cell.point_um(index) - centroid_um));
                let half = match height_um {
                    height if height > rounding => Half::Apical,
                    height if height < -rounding => Half::Basal,
                    _ => Half::Both,
                };
                (shell[index], half)
            })
            .collect();
        let mut regions = Self { voxels, sizes: [0.0; 5] };
        let mut sizes = [0.0; 5];
        for (index, _) in cell.inside().iter().enumerate().filter(|(_, inside)| **inside) {
            regions.add(&mut sizes, index, 1.0);
        }
        regions.sizes = sizes;
        regions
    }

    /// Whether no voxel lies deeper than the membrane shell.
    pub(crate) fn is_all_membrane(&self) -> bool {
        self.sizes[Region::Inside as usize] == 0.0
    }

    #[inline]
    fn add(&self, sums: &mut [f64; 5], index: usize, value: f64) {
        let (in_membrane, half) = self.voxels[index];
        sums[Region::Whole as usize] += value;
        sums[if in_membrane { Region::Membrane } else { Region::Inside } as usize] += value;
        match half {
            Half::Apical => sums[Region::Apical as usize] += value,
            Half::Basal => sums[Region::Basal as usize] += value,
            Half::Both => {
                sums[Region::Apical as usize] += 0.5 * value;
                sums[Region::Basal as usize] += 0.5 * value;
            }
        }
    }
}

/// The intensities of one channel in one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensities {
    sums: [f64; 5],
    sizes: [f64; 5],
    lowest: f64,
    highest: f64,
}

impl Intensities {
    /// Sums `channel` over the regions of the cell labelled `label`.
    pub(crate) fn of(
        channel: &Channel,
        cell: &CellMask,
        label: u32,
        regions: &Regions,
    ) -> Result<Self> {
        let mut sums = [0.0; 5];
        let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
        channel.for_each_voxel(cell, |index, value| {
            regions.add(&mut sums, index, value);
            lowest = lowest.min(value);
            highest = highest.max(value);
        });
        if !sums[0].is_finite() {
            return Err(FeatureError::NotFinite { channel: channel.name.to_owned(), cell: label });
        }
        Ok(Self { sums, sizes: regions.sizes, lowest, highest })
    }

    /// The sum over the voxels of a region.
    pub(crate) fn sum(&self, region: Region) -> f64 {
        self.sums[region as usize]
    }

    /// The mean over the voxels of a region; NaN where it has none.
    pub(crate) fn mean(&self, region: Region) -> f64 {
        self.sums[region as usize] / self.sizes[region as usize]
    }

    /// Whether every voxel of the cell has the same value, so that nothing stands out.
    pub fn is_flat(&self) -> bool {
        self.lowest >= self.highest
    }
}
