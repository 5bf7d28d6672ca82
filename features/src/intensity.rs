//! How bright a channel is in each part of a cell.

use nalgebra::{Matrix3, Point3, Vector3};
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

    /// The sums over each class of voxels of the cell's box, and whether all values are the same.
    fn class_sums(&self, cell: &CellMask, classes: &[u8]) -> ([f64; N_CLASSES], bool) {
        match self.voxels {
            ChannelVoxels::U8(volume) => class_sums(volume, cell, classes),
            ChannelVoxels::U16(volume) => class_sums(volume, cell, classes),
            ChannelVoxels::F32(volume) => class_sums(volume, cell, classes),
        }
    }

    /// The voxels of the cell's box that are brighter than the cell's mean, and the running sum of
    /// their excess; `None` if the mean is not finite.
    pub(crate) fn above_mean(&self, cell: &CellMask) -> Option<(Vec<u32>, Vec<f64>)> {
        let mean = self.class_sums(cell, cell.inside()).0[1] / cell.n_voxels() as f64;
        let excess = match self.voxels {
            ChannelVoxels::U8(volume) => above(volume, cell, mean),
            ChannelVoxels::U16(volume) => above(volume, cell, mean),
            ChannelVoxels::F32(volume) => above(volume, cell, mean),
        };
        mean.is_finite().then_some(excess)
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

/// Calls `each` with the first index, the classes and the values of each line of the cell's box,
/// from its first to its last voxel of a class above 0.
fn for_each_line<T>(
    volume: &Volume<T>,
    cell: &CellMask,
    classes: &[u8],
    mut each: impl FnMut(usize, &[u8], &[T]),
) {
    let [_, n_y, n_x] = volume.shape();
    let [_, box_y, box_x] = cell.shape();
    for (line, classes) in classes.chunks_exact(box_x).enumerate() {
        let Some(start) = classes.iter().position(|class| *class > 0) else { continue };
        let end = classes.iter().rposition(|class| *class > 0).map_or(start, |last| last + 1);
        // The line holds a voxel of the cell, so this part of it lies in the image.
        let [z, y, x] = cell.in_image([line / box_y, line % box_y, start]).map(|at| at as usize);
        let from = (z * n_y + y) * n_x + x;
        let values = &volume.as_slice()[from..from + end - start];
        each(line * box_x + start, &classes[start..end], values);
    }
}

fn class_sums<T: Copy + Into<f64> + PartialEq>(
    volume: &Volume<T>,
    cell: &CellMask,
    classes: &[u8],
) -> ([f64; N_CLASSES], bool) {
    let mut sums = [0.0; N_CLASSES];
    let (mut first, mut is_flat) = (None, true);
    for_each_line(volume, cell, classes, |_, classes, values| {
        let mut at = 0;
        for run in classes.chunk_by(|a, b| a == b) {
            let values = &values[at..at + run.len()];
            at += run.len();
            if run[0] > 0 {
                sums[usize::from(run[0])] += sum(values);
                let first = *first.get_or_insert(values[0]);
                is_flat = is_flat && values.iter().all(|value| *value == first);
            }
        }
    });
    (sums, is_flat)
}

/// The sum, in eight interleaved parts: vector units add them all at once.
fn sum<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    let mut parts = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&value| value.into()).sum();
    for chunk in chunks {
        for (part, &value) in parts.iter_mut().zip(chunk) {
            *part += value.into();
        }
    }
    parts.iter().sum::<f64>() + rest
}

fn above<T: Copy + Into<f64>>(
    volume: &Volume<T>,
    cell: &CellMask,
    mean: f64,
) -> (Vec<u32>, Vec<f64>) {
    let (mut voxels, mut cumulated, mut total) = (Vec::new(), Vec::new(), 0.0);
    for_each_line(volume, cell, cell.inside(), |start, classes, values| {
        for ((index, class), &value) in (start as u32..).zip(classes).zip(values) {
            let excess: f64 = value.into() - mean;
            if *class == 1 && excess > 0.0 {
                total += excess;
                voxels.push(index);
                cumulated.push(total);
            }
        }
    });
    (voxels, cumulated)
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

/// To which regions each voxel of a cell's box belongs.
pub(crate) struct Regions {
    /// 0 outside the cell, else 1 + 3 × (in the membrane) + (0 basal, 1 cut by the middle
    /// plane, 2 apical).
    classes: Vec<u8>,
    /// The number of voxels of each region; those cut by the middle plane count half.
    sizes: [f64; 5],
}

const N_CLASSES: usize = 7;

impl Regions {
    /// The regions of a cell with this membrane shell, whose halves meet at `centroid_um`;
    /// `apical` is the tissue's z as a direction in the image.
    pub(crate) fn of(
        cell: &CellMask,
        shell: &[bool],
        centroid_um: Point3<f64>,
        apical: Vector3<f64>,
    ) -> Self {
        let side_um = cell.voxel_size().um();
        // Voxel centres this close to the plane lie on it, whatever the rounding.
        let rounding = 1e-6 * side_um.into_iter().fold(f64::MAX, f64::min);
        let n_x = cell.shape()[2];
        let mut classes = Vec::with_capacity(shell.len());
        for (line, inside) in cell.inside().chunks_exact(n_x).enumerate() {
            let start_um = apical.dot(&(cell.point_um(line * n_x) - centroid_um));
            let in_shell = &shell[line * n_x..];
            classes.extend(inside.iter().zip(in_shell).enumerate().map(|(x, (inside, shell))| {
                let height_um = start_um + x as f64 * side_um[2] * apical.x;
                let half = u8::from(height_um > -rounding) + u8::from(height_um > rounding);
                inside * (1 + 3 * u8::from(*shell) + half)
            }));
        }
        let mut counts = [0_u32; N_CLASSES];
        for class in &classes {
            counts[usize::from(*class)] += 1;
        }
        Self { classes, sizes: by_region(counts.map(f64::from)) }
    }

    /// Whether no voxel lies deeper than the membrane shell.
    pub(crate) fn is_all_membrane(&self) -> bool {
        self.sizes[Region::Inside as usize] == 0.0
    }
}

/// From sums over classes of voxels to sums over regions.
fn by_region(
    [_, basal, middle, apical, shell_basal, shell_middle, shell_apical]: [f64; 7],
) -> [f64; 5] {
    let membrane = shell_basal + shell_middle + shell_apical;
    let inside = basal + middle + apical;
    let half = 0.5 * (middle + shell_middle);
    [membrane + inside, membrane, inside, apical + shell_apical + half, basal + shell_basal + half]
}

/// The intensities of one channel in one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensities {
    sums: [f64; 5],
    sizes: [f64; 5],
    is_flat: bool,
    /// From the cell's centroid to that of the channel above its mean, in the tissue's frame.
    polarity_um: Option<Vector3<f64>>,
}

impl Intensities {
    /// Sums `channel` over the regions of the cell labelled `label`.
    pub(crate) fn of(
        channel: &Channel,
        cell: &CellMask,
        label: u32,
        regions: &Regions,
    ) -> Result<Self> {
        let (sums, is_flat) = channel.class_sums(cell, &regions.classes);
        let sums = by_region(sums);
        if !sums[0].is_finite() {
            return Err(FeatureError::NotFinite { channel: channel.name.to_owned(), cell: label });
        }
        Ok(Self { sums, sizes: regions.sizes, is_flat, polarity_um: None })
    }

    /// Adds where in the cell the channel is: the mean place of what is above its mean, relative
    /// to `centroid_um`, turned to the tissue by `rotation`.
    pub(crate) fn with_polarity(
        mut self,
        channel: &Channel,
        cell: &CellMask,
        centroid_um: Point3<f64>,
        rotation: &Matrix3<f64>,
    ) -> Self {
        let Some((voxels, cumulated)) = channel.above_mean(cell) else { return self };
        let (mut sum, mut before) = (Vector3::zeros(), 0.0);
        for (index, total) in voxels.into_iter().zip(cumulated) {
            sum += (total - before) * (cell.point_um(index as usize) - centroid_um);
            before = total;
        }
        self.polarity_um = (before > 0.0).then(|| rotation * sum / before);
        self
    }

    /// From the cell's centroid to the mean place of what is above the channel's mean, along the
    /// tissue's x, y, z in µm; NaN without signal.
    pub(crate) fn polarity_um(&self) -> Vector3<f64> {
        self.polarity_um.unwrap_or_else(|| Vector3::repeat(f64::NAN))
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
        self.is_flat
    }
}
