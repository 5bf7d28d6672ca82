//! How bright a channel is in each part of a cell.

use std::ops::Range;

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::Volume;

use crate::bits::{Bits, for_each_run};
use crate::cell::CellMask;
use crate::error::{FeatureError, Result};
use crate::sweep::Run;

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

    /// The sums over the voxels of each class, and whether all values are the same.
    fn class_sums(&self, regions: &Regions) -> ([f64; N_CLASSES], bool) {
        match self.voxels {
            ChannelVoxels::U8(volume) => class_sums(volume, regions),
            ChannelVoxels::U16(volume) => class_sums(volume, regions),
            ChannelVoxels::F32(volume) => class_sums(volume, regions),
        }
    }

    /// What is brighter than the mean of the cell with these runs; `None` if the mean is not
    /// finite.
    pub(crate) fn excess(&self, runs: &'a [Run]) -> Option<Excess<'a>> {
        let mean = match self.voxels {
            ChannelVoxels::U8(volume) => mean(volume, runs),
            ChannelVoxels::U16(volume) => mean(volume, runs),
            ChannelVoxels::F32(volume) => mean(volume, runs),
        };
        mean.is_finite().then_some(Excess { voxels: self.voxels, runs, mean })
    }
}

/// By how much the voxels of a cell are brighter than their mean.
#[derive(Clone, Copy)]
pub(crate) struct Excess<'a> {
    voxels: ChannelVoxels<'a>,
    runs: &'a [Run],
    mean: f64,
}

impl Excess<'_> {
    /// For each run of the cell, the sum of all excess, and of excess times steps along x from the
    /// start of the run.
    pub(crate) fn of_runs(&self) -> Vec<[f64; 2]> {
        match self.voxels {
            ChannelVoxels::U8(volume) => run_excesses(volume, self.runs, self.mean),
            ChannelVoxels::U16(volume) => run_excesses(volume, self.runs, self.mean),
            ChannelVoxels::F32(volume) => run_excesses(volume, self.runs, self.mean),
        }
    }

    /// Calls `each` with the steps from the start of the run and the excess of every voxel of a
    /// run above the mean, as long as it returns `true`.
    pub(crate) fn for_each_in(&self, run: Run, each: impl FnMut(usize, f64) -> bool) {
        match self.voxels {
            ChannelVoxels::U8(volume) => for_each_above(values(volume, run), self.mean, each),
            ChannelVoxels::U16(volume) => for_each_above(values(volume, run), self.mean, each),
            ChannelVoxels::F32(volume) => for_each_above(values(volume, run), self.mean, each),
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

/// A voxel of a channel.
trait Brightness: Copy + Into<f64> + PartialEq {
    /// The sum of the values.
    fn sum(values: &[Self]) -> f64;
}

impl Brightness for u8 {
    fn sum(values: &[Self]) -> f64 {
        sum_of_whole(values)
    }
}

impl Brightness for u16 {
    fn sum(values: &[Self]) -> f64 {
        sum_of_whole(values)
    }
}

impl Brightness for f32 {
    /// In eight interleaved parts: vector units add them all at once.
    fn sum(values: &[Self]) -> f64 {
        let mut parts = [0.0; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (part, value) in parts.iter_mut().zip(chunk) {
                *part += f64::from(*value);
            }
        }
        let rest: f64 = rest.iter().map(|value| f64::from(*value)).sum();
        parts.iter().sum::<f64>() + rest
    }
}

/// How many voxels are added up side by side.
const LANES: usize = 8;

/// So many 16-bit numbers surely fit in a sum of 32 bits.
const SURE: usize = 1 << 16;

fn sum_of_whole<T: Copy + Into<u32>>(values: &[T]) -> f64 {
    let sum = |part: &[T]| part.iter().fold(0_u32, |sum, &value| sum.wrapping_add(value.into()));
    values.chunks(SURE).map(|part| f64::from(sum(part))).sum()
}

/// The values of a run.
fn values<T>(volume: &Volume<T>, run: Run) -> &[T] {
    &volume.as_slice()[run.line() * volume.shape()[2]..][run.x()]
}

fn mean<T: Brightness>(volume: &Volume<T>, runs: &[Run]) -> f64 {
    let n_voxels: usize = runs.iter().map(|run| run.x().len()).sum();
    let total: f64 = runs.iter().map(|run| T::sum(values(volume, *run))).sum();
    total / n_voxels as f64
}

fn class_sums<T: Brightness>(volume: &Volume<T>, regions: &Regions) -> ([f64; N_CLASSES], bool) {
    let mut sums = [0.0; N_CLASSES];
    let (mut first, mut is_flat) = (None, true);
    for part in &regions.parts {
        let values = values(volume, part.run);
        sums[part.class] += T::sum(values);
        let first = *first.get_or_insert(values[0]);
        is_flat = is_flat && values.iter().all(|value| *value == first);
    }
    (sums, is_flat)
}

fn run_excesses<T: Brightness>(volume: &Volume<T>, runs: &[Run], mean: f64) -> Vec<[f64; 2]> {
    runs.iter().map(|run| run_excess(values(volume, *run), mean)).collect()
}

/// The sum of what is above the mean, and of that times steps from the first of the values.
fn run_excess<T: Brightness>(values: &[T], mean: f64) -> [f64; 2] {
    // Lane by lane, with steps of whole chunks; the lanes' own places come in at the end.
    let (mut sums, mut chunk_sums) = ([0.0; LANES], [0.0; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    for (step, chunk) in chunks.iter().enumerate() {
        let step = step as f64;
        for lane in 0..LANES {
            let excess = above(chunk[lane], mean);
            sums[lane] += excess;
            chunk_sums[lane] += excess * step;
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        let excess = above(*value, mean);
        sums[lane] += excess;
        chunk_sums[lane] += excess * chunks.len() as f64;
    }
    let steps = |lane: usize| LANES as f64 * chunk_sums[lane] + lane as f64 * sums[lane];
    [sums.iter().sum(), (0..LANES).map(steps).sum()]
}

#[inline]
fn above<T: Brightness>(value: T, mean: f64) -> f64 {
    let excess: f64 = value.into() - mean;
    if excess > 0.0 { excess } else { 0.0 }
}

fn for_each_above<T: Brightness>(
    values: &[T],
    mean: f64,
    mut each: impl FnMut(usize, f64) -> bool,
) {
    for (step, &value) in values.iter().enumerate() {
        let excess: f64 = value.into() - mean;
        if excess > 0.0 && !each(step, excess) {
            return;
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

/// To which regions the voxels of a cell belong.
pub(crate) struct Regions {
    parts: Vec<Part>,
    /// The number of voxels of each region; those cut by the middle plane count half.
    sizes: [f64; 5],
}

/// Part of a run, all in the same regions.
struct Part {
    run: Run,
    /// 3 × (in the membrane) + (0 basal, 1 cut by the middle plane, 2 apical).
    class: usize,
}

const N_CLASSES: usize = 6;

impl Regions {
    /// The regions of a cell with this membrane shell, whose halves meet at `centroid_um`;
    /// `apical` is the tissue's z as a direction in the `image`.
    pub(crate) fn of(
        cell: &CellMask,
        shell: &Bits,
        image: &Volume<u32>,
        centroid_um: Point3<f64>,
        apical: Vector3<f64>,
    ) -> Self {
        let side_um = cell.voxel_size().um();
        // Voxel centres this close to the plane lie on it, whatever the rounding.
        let rounding = 1e-6 * side_um.into_iter().fold(f64::MAX, f64::min);
        let [n_z, n_y, _] = cell.shape();
        let mut parts = Vec::new();
        for (z, y) in (0..n_z).flat_map(|z| (0..n_y).map(move |y| (z, y))) {
            let first = cell.in_image([z, y, 0]);
            let start_um = apical.dot(&(cell.point_um([z, y, 0]) - centroid_um));
            let half = |x: usize| {
                let height_um = start_um + x as f64 * side_um[2] * apical.x;
                usize::from(height_um > -rounding) + usize::from(height_um > rounding)
            };
            let (inside, shell) = (cell.inside().line(z * n_y + y), shell.line(z * n_y + y));
            let mut add = |x: Range<usize>, of_shell: usize| {
                for_each_half(x, half, |x, half| {
                    let run = Run::in_image(image.shape(), first, x);
                    parts.push(Part { run, class: 3 * of_shell + half });
                });
            };
            for_each_run(shell.iter().copied(), |x| add(x, 1));
            for_each_run(inside.iter().zip(shell).map(|(inside, shell)| inside & !shell), |x| add(x, 0));
        }
        let mut counts = [0.0; N_CLASSES];
        for part in &parts {
            counts[part.class] += part.run.x().len() as f64;
        }
        Self { parts, sizes: by_region(counts) }
    }

    /// Whether no voxel lies deeper than the membrane shell.
    pub(crate) fn is_all_membrane(&self) -> bool {
        self.sizes[Region::Inside as usize] == 0.0
    }
}

/// Cuts `x` where the half changes, which does so in one sense only.
fn for_each_half(
    x: Range<usize>,
    half: impl Fn(usize) -> usize,
    mut each: impl FnMut(Range<usize>, usize),
) {
    let mut start = x.start;
    while start < x.end {
        let this = half(start);
        let end = if half(x.end - 1) == this {
            x.end
        } else {
            start + (start..x.end).take_while(|x| half(*x) == this).count()
        };
        each(start..end, this);
        start = end;
    }
}

/// From sums over classes of voxels to sums over regions.
fn by_region(
    [basal, middle, apical, shell_basal, shell_middle, shell_apical]: [f64; N_CLASSES],
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
    pub(crate) fn of(channel: &Channel, label: u32, regions: &Regions) -> Result<Self> {
        let (sums, is_flat) = channel.class_sums(regions);
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
        runs: &[Run],
        labels: &Volume<u32>,
        centroid_um: Point3<f64>,
        rotation: &Matrix3<f64>,
    ) -> Self {
        let Some(excess) = channel.excess(runs) else { return self };
        let [_, n_y, _] = labels.shape();
        let step_um = labels.voxel_size().um()[2];
        let (mut total, mut sum) = (0.0, Vector3::zeros());
        for (run, [excess, steps]) in runs.iter().zip(excess.of_runs()) {
            let start = labels.point_um([run.line() / n_y, run.line() % n_y, run.x().start]);
            total += excess;
            sum += excess * (start - centroid_um);
            sum.x += steps * step_um;
        }
        self.polarity_um = (total > 0.0).then(|| rotation * sum / total);
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
