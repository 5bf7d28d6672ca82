//! How bright a channel is in each part of a cell.

use std::ops::Range;

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::Volume;

use crate::bits::{Bits, for_each_one, previous_bits};
use crate::cell::{CellMask, Cut};
use crate::error::{FeatureError, Result};
use crate::sweep::Run;
use crate::texture::Texture;

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
    has_landmarks: bool,
}

impl<'a> Channel<'a> {
    /// The channel `name`.
    pub fn new(name: &'a str, voxels: impl Into<ChannelVoxels<'a>>) -> Self {
        Self { name, voxels: voxels.into(), has_landmarks: true }
    }

    /// The same channel, for which no landmarks are set: its brightness alone is wanted.
    #[must_use]
    pub fn without_landmarks(self) -> Self {
        Self { has_landmarks: false, ..self }
    }

    /// Whether landmarks are set.
    pub(crate) fn has_landmarks(&self) -> bool {
        self.has_landmarks
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

    /// What is wrong if it holds NaN or infinity in the cell labelled `label`.
    pub(crate) fn not_finite(&self, label: u32) -> FeatureError {
        FeatureError::NotFinite { channel: self.name.to_owned(), cell: label }
    }

    /// The channel in the cell with these runs.
    pub(crate) fn signal(&self, runs: &[Run]) -> Signal {
        Signal::of(self.values(runs), runs)
    }

    /// The values of the voxels of the cell with these runs, side by side: in the image, each run
    /// is far from the next.
    pub(crate) fn values(&self, runs: &[Run]) -> Values {
        match self.voxels {
            ChannelVoxels::U8(volume) => Values::gathered(volume, runs),
            ChannelVoxels::U16(volume) => Values::gathered(volume, runs),
            ChannelVoxels::F32(volume) => Values::gathered(volume, runs),
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

/// The brightness of every voxel of a cell, in the order of its runs.
pub(crate) struct Values(Vec<f32>);

impl Values {
    fn gathered<T: Copy + Into<f32>>(volume: &Volume<T>, runs: &[Run]) -> Self {
        let n_x = volume.shape()[2];
        let voxels = volume.as_slice();
        let mut values = Vec::with_capacity(runs.iter().map(|run| run.x().len()).sum());
        for run in runs {
            values.extend_from_slice(&voxels[run.line() * n_x..][run.x()]);
        }
        Self(values.into_iter().map(T::into).collect())
    }

    pub(crate) fn mean(&self) -> f64 {
        sum(&self.0) / self.0.len() as f64
    }

    /// The values of each run.
    pub(crate) fn by_run<'a>(&'a self, runs: &'a [Run]) -> impl Iterator<Item = &'a [f32]> {
        let mut rest = self.0.as_slice();
        runs.iter().map(move |run| rest.split_off(..run.x().len()).unwrap_or_default())
    }

    /// The sums over each class of voxels.
    fn class_sums(&self, regions: &Regions) -> [f64; N_CLASSES] {
        let mut sums = [0.0; N_CLASSES];
        for part in &regions.parts {
            sums[part.class] += sum(&self.0[part.voxels.clone()]);
        }
        sums
    }

    fn is_flat(&self) -> bool {
        self.0.iter().all(|value| *value == self.0[0])
    }
}

/// A channel in one cell, and what of it stands out: what polarity and landmarks follow.
pub(crate) struct Signal {
    pub(crate) values: Values,
    pub(crate) mean: f64,
    /// For each run the sum of what is above the mean, and of that times steps from its start.
    pub(crate) excess: Vec<[f64; 2]>,
}

impl Signal {
    fn of(values: Values, runs: &[Run]) -> Self {
        let mean = values.mean();
        let excess = values.by_run(runs).map(|values| excess_of_run(values, mean)).collect();
        Self { values, mean, excess }
    }

    /// Whether no value is NaN or infinite.
    pub(crate) fn is_finite(&self) -> bool {
        self.mean.is_finite()
    }
}

/// How many values are added up side by side, on vector units.
const LANES: usize = 8;

fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value)).sum();
    sums.iter().sum::<f64>() + rest
}

/// By how much a value is above the mean; 0 if it is below.
#[inline]
pub(crate) fn excess(value: f32, mean: f64) -> f64 {
    let excess = f64::from(value) - mean;
    if excess > 0.0 { excess } else { 0.0 }
}

/// The sum of what is above the mean, and of that times steps from the first of the values.
fn excess_of_run(values: &[f32], mean: f64) -> [f64; 2] {
    // Lane by lane, with steps of whole chunks; the lanes' own places come in at the end.
    let (mut sums, mut chunk_sums) = ([0.0; LANES], [0.0; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    for (step, chunk) in chunks.iter().enumerate() {
        let step = step as f64;
        for lane in 0..LANES {
            let excess = excess(chunk[lane], mean);
            sums[lane] += excess;
            chunk_sums[lane] += excess * step;
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        let excess = excess(*value, mean);
        sums[lane] += excess;
        chunk_sums[lane] += excess * chunks.len() as f64;
    }
    let steps = |lane: usize| LANES as f64 * chunk_sums[lane] + lane as f64 * sums[lane];
    [sums.iter().sum(), (0..LANES).map(steps).sum()]
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
    /// Counted through all runs of the cell.
    voxels: Range<usize>,
    /// 3 × (in the membrane) + (0 basal, 1 cut by the middle plane, 2 apical).
    class: usize,
}

const N_CLASSES: usize = 6;

impl Regions {
    /// The regions of a cell with this membrane shell, whose halves meet at `centroid_um`;
    /// `apical` is the tissue's z as a direction in the image.
    pub(crate) fn of(
        cell: &CellMask,
        shell: &Bits,
        centroid_um: Point3<f64>,
        apical: Vector3<f64>,
    ) -> Self {
        let side_um = cell.voxel_size().um();
        // Voxel centres this close to the plane lie on it, whatever the rounding.
        let rounding = 1e-6 * side_um.into_iter().fold(f64::MAX, f64::min);
        let [_, n_y, _] = cell.shape();
        let (mut parts, mut n_voxels) = (Vec::new(), 0);
        for (line, (inside, shell)) in cell.inside().lines().zip(shell.lines()).enumerate() {
            let start_um = apical.dot(&(cell.point_um([line / n_y, line % n_y, 0]) - centroid_um));
            let half = |x: usize| {
                let height_um = start_um + x as f64 * side_um[2] * apical.x;
                usize::from(height_um > -rounding) + usize::from(height_um > rounding)
            };
            for_each_layer(inside, shell, |x, in_shell| {
                for_each_half(x, half, |x, half| {
                    let voxels = n_voxels..n_voxels + x.len();
                    n_voxels = voxels.end;
                    parts.push(Part { voxels, class: 3 * usize::from(in_shell) + half });
                });
            });
        }
        let mut counts = [0.0; N_CLASSES];
        for part in &parts {
            counts[part.class] += part.voxels.len() as f64;
        }
        Self { parts, sizes: by_region(counts) }
    }

    /// Whether no voxel lies deeper than the membrane shell.
    pub(crate) fn is_all_membrane(&self) -> bool {
        self.sizes[Region::Inside as usize] == 0.0
    }
}

/// Calls `each` with every run of a line of the cell that is all in the shell, or not at all.
fn for_each_layer(inside: &[u64], shell: &[u64], mut each: impl FnMut(Range<usize>, bool)) {
    let is_in = |set: &[u64], x: usize| set[x / 64] >> (x % 64) & 1 == 1;
    let before = previous_bits(inside).zip(previous_bits(shell));
    let here = inside.iter().zip(shell);
    let cuts = here.zip(before).map(|((inside, shell), (inside_before, shell_before))| {
        (inside ^ inside_before) | (shell ^ shell_before)
    });
    let mut start = 0;
    for_each_one(cuts, |end| {
        if is_in(inside, start) {
            each(start..end, is_in(shell, start));
        }
        start = end;
    });
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
    texture: Option<Texture>,
}

impl Intensities {
    /// Of a channel of which nothing is known but whether anything in it stands out.
    pub(crate) fn of(signal: &Signal) -> Self {
        let nothing = [f64::NAN; 5];
        let is_flat = signal.values.is_flat();
        Self { sums: nothing, sizes: nothing, is_flat, polarity_um: None, texture: None }
    }

    /// Adds the sums of the channel over the regions of the cell.
    pub(crate) fn with_sums(self, signal: &Signal, regions: &Regions) -> Self {
        let sums = by_region(signal.values.class_sums(regions));
        Self { sums, sizes: regions.sizes, ..self }
    }

    /// Adds how the channel's brightness goes with that beside it.
    pub(crate) fn with_texture(self, texture: Texture) -> Self {
        Self { texture: Some(texture), ..self }
    }

    /// Adds where in the cell the channel is: the mean place of what is above its mean, relative
    /// to the cell's centroid, turned to the tissue by `rotation`.
    pub(crate) fn with_polarity(
        mut self,
        signal: &Signal,
        cell: &Cut,
        labels: &Volume<u32>,
        rotation: &Matrix3<f64>,
    ) -> Self {
        let [_, n_y, _] = labels.shape();
        let step_um = labels.voxel_size().um()[2];
        let (mut total, mut sum) = (0.0, Vector3::zeros());
        for (run, [excess, steps]) in cell.runs.iter().zip(&signal.excess) {
            let start = labels.point_um([run.line() / n_y, run.line() % n_y, run.x().start]);
            total += excess;
            sum += *excess * (start - cell.centroid_um);
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

    /// The texture; NaN where nothing differs.
    pub(crate) fn texture(&self) -> Texture {
        self.texture.unwrap_or(Texture::NONE)
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
