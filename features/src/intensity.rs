//! How bright a channel is in each part of a cell.

use std::ops::Range;

use nalgebra::{Matrix3, Vector3};
use primordia_data::Volume;

use crate::bits::{Bits, word_from, word_of};
use crate::cell::Cut;
use crate::error::{FeatureError, Result};
use crate::sweep::Run;
use crate::texture::Texture;
use crate::values::{Excess, LANES, Padded, VALUES_PER_WORD, Value, Values, with_values};

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
            ChannelVoxels::U8(volume) => Values::Counts(Padded::gathered(volume, runs)),
            ChannelVoxels::U16(volume) => Values::Counts(Padded::gathered(volume, runs)),
            ChannelVoxels::F32(volume) => Values::Reals(Padded::gathered(volume, runs)),
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

/// A channel in one cell, and what of it stands out: what polarity and landmarks follow.
pub(crate) struct Signal {
    pub(crate) values: Values,
    pub(crate) mean: f64,
    pub(crate) excess: Excess,
    /// Whether all values are the same.
    is_flat: bool,
}

impl Signal {
    fn of(values: Values, runs: &[Run]) -> Self {
        let (mean, excess, is_flat) = with_values!(&values, values => {
            let mean = values.mean();
            (mean, Value::excess(values, runs, mean), values.is_flat(runs))
        });
        Self { values, mean, excess, is_flat }
    }

    /// Whether no value is NaN or infinite.
    pub(crate) fn is_finite(&self) -> bool {
        self.mean.is_finite()
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
    /// Runs that follow one another, all in the same half.
    whole: Vec<(Range<usize>, usize)>,
    /// Runs that the middle plane cuts.
    cut: Pieces,
    /// What of each run is in the membrane shell.
    shell: Pieces,
    /// The number of voxels of each region; those cut by the middle plane count half.
    sizes: [f64; 5],
}

/// Basal, cut by the middle plane, apical.
const N_HALVES: usize = 3;

/// Parts of runs.
struct Pieces {
    /// The run, and in which half the piece is.
    pieces: Vec<(usize, usize)>,
    /// Which of each 64 voxels of the run are in the piece.
    sets: Vec<u64>,
}

impl Pieces {
    fn of_runs(n_runs: usize) -> Self {
        Self { pieces: Vec::with_capacity(n_runs), sets: Vec::with_capacity(n_runs) }
    }

    /// Adds a piece; gives the number of its voxels.
    fn add(&mut self, run: usize, half: usize, set: impl Iterator<Item = u64>) -> u64 {
        let first = self.sets.len();
        self.pieces.push((run, half));
        self.sets.extend(set);
        self.sets[first..].iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Adds the sums over the pieces of each half to `sums`.
    fn add_sums<T: Value>(&self, values: &Padded<T>, sums: &mut [f64; N_HALVES]) {
        let mut first = 0;
        for &(run, half) in &self.pieces {
            let run = values.run(run);
            let end = first + (run.len() * LANES).div_ceil(VALUES_PER_WORD);
            sums[half] += T::sum_of_set(run, &self.sets[first..end]);
            first = end;
        }
    }
}

impl Regions {
    /// The regions of a cell with this membrane shell, whose halves meet at its centroid;
    /// `apical` is the tissue's z as a direction in the image.
    pub(crate) fn of(cell: &Cut, shell: &Bits, apical: Vector3<f64>) -> Self {
        let side_um = cell.mask.voxel_size().um();
        // Voxel centres this close to the plane lie on it, whatever the rounding.
        let rounding = 1e-6 * side_um.into_iter().fold(f64::MAX, f64::min);
        let mut regions = Self {
            whole: Vec::new(),
            cut: Pieces::of_runs(0),
            shell: Pieces::of_runs(cell.runs.len()),
            sizes: [0.0; 5],
        };
        let mut counts = [[0; N_HALVES]; 2];
        for (index, run) in cell.runs.iter().enumerate() {
            let ([z, y], x) = cell.mask.in_box(*run);
            let start_um = apical.dot(&(cell.mask.point_um([z, y, 0]) - cell.centroid_um));
            let half = |x: usize| {
                let height_um = start_um + x as f64 * side_um[2] * apical.x;
                usize::from(height_um > -rounding) + usize::from(height_um > rounding)
            };
            let shell = shell.line(z * cell.mask.shape()[1] + y);
            for_each_half(x.clone(), half, |part, half| {
                let words = || x.clone().step_by(VALUES_PER_WORD);
                if part == x {
                    regions.add_whole(index, half);
                    counts[0][half] += part.len() as u64;
                } else {
                    let set = words().map(|first| word_of(&part, first));
                    counts[0][half] += regions.cut.add(index, half, set);
                }
                let set = words().map(|first| word_of(&part, first) & word_from(shell, first));
                counts[1][half] += regions.shell.add(index, half, set);
            });
        }
        let [whole, shell] = counts.map(|halves| halves.map(|count| count as f64));
        regions.sizes = by_region(whole, shell);
        regions
    }

    fn add_whole(&mut self, run: usize, half: usize) {
        match self.whole.last_mut() {
            Some((runs, last)) if *last == half && runs.end == run => runs.end += 1,
            _ => self.whole.push((run..run + 1, half)),
        }
    }

    /// The sums over each region.
    fn sums<T: Value>(&self, values: &Padded<T>) -> [f64; 5] {
        let (mut whole, mut shell) = ([0.0; N_HALVES], [0.0; N_HALVES]);
        for (runs, half) in &self.whole {
            whole[*half] += values.sum_of_runs(runs.clone());
        }
        self.cut.add_sums(values, &mut whole);
        self.shell.add_sums(values, &mut shell);
        let mut sums = by_region(whole, shell);
        if self.is_all_membrane() {
            // Rounding may have left something.
            sums[Region::Inside as usize] = 0.0;
        }
        sums
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

/// From sums over each half and over what of it is in the shell to sums over regions.
fn by_region(halves: [f64; N_HALVES], shell: [f64; N_HALVES]) -> [f64; 5] {
    let [whole, membrane] = [halves, shell].map(|halves| halves.iter().sum::<f64>());
    let [basal, middle, apical] = halves;
    [whole, membrane, whole - membrane, apical + 0.5 * middle, basal + 0.5 * middle]
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
        let is_flat = signal.is_flat;
        Self { sums: nothing, sizes: nothing, is_flat, polarity_um: None, texture: None }
    }

    /// Adds the sums of the channel over the regions of the cell.
    pub(crate) fn with_sums(self, signal: &Signal, regions: &Regions) -> Self {
        let sums = with_values!(&signal.values, values => regions.sums(values));
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
        let step_um = labels.voxel_size().um()[2];
        let (mut total, mut sum) = (0.0, Vector3::zeros());
        for (run, excess) in cell.runs.iter().zip(&signal.excess.by_run) {
            let start = labels.point_um([run.z(), run.y(), run.x().start]);
            total += excess;
            sum += *excess * (start - cell.centroid_um);
        }
        sum.x += signal.excess.steps * step_um;
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
