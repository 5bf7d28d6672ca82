//! The brightness of the voxels of one cell, side by side.
//!
//! In the image each run of a cell is far from the next. Here runs follow one another, in chunks of
//! [`LANES`] values that vector units take at once. Counts of 8 and 16 bits stay whole numbers: more
//! of them fit into a vector than of any floating type, and their sums are exact.

use std::ops::Range;

use primordia_data::Volume;

use crate::sweep::Run;

/// Values in a chunk.
pub(crate) const LANES: usize = 8;

/// Values in as many chunks as one word has bits for.
pub(crate) const VALUES_PER_WORD: usize = 64;
const CHUNKS_PER_WORD: usize = VALUES_PER_WORD / LANES;

/// The brightness of every voxel of a cell.
pub(crate) enum Values {
    /// Of images of 8 and 16 bits.
    Counts(Padded<u16>),
    /// Of images of floating point.
    Reals(Padded<f32>),
}

/// Does the same with values of either type.
macro_rules! with_values {
    ($of:expr, $values:ident => $done:expr) => {
        match $of {
            $crate::values::Values::Counts($values) => $done,
            $crate::values::Values::Reals($values) => $done,
        }
    };
}
pub(crate) use with_values;

impl Values {
    /// Calls `each` with z, y, x and the value of every voxel of the cell with these runs.
    pub(crate) fn for_each(&self, runs: &[Run], mut each: impl FnMut(usize, usize, usize, f64)) {
        with_values!(self, values => for (run, values) in runs.iter().zip(values.by_run(runs)) {
            for (x, value) in run.x().zip(values) {
                each(run.z(), run.y(), x, (*value).into());
            }
        });
    }
}

/// Values of one type, run by run. Each run begins with a new chunk; zeros follow its last value.
pub(crate) struct Padded<T> {
    chunks: Vec<[T; LANES]>,
    starts: Vec<u32>, // where in `chunks` each run begins; and the end
    n_values: usize,
}

impl<T: Value> Padded<T> {
    /// The values of the voxels of the cell with these runs.
    pub(crate) fn gathered<V: Copy + Into<T>>(volume: &Volume<V>, runs: &[Run]) -> Self {
        let [_, n_y, n_x] = volume.shape();
        let voxels = volume.as_slice();
        let n_chunks = runs.iter().map(|run| run.x().len().div_ceil(LANES)).sum();
        let (mut chunks, mut starts) = (Vec::with_capacity(n_chunks), vec![0]);
        starts.reserve(runs.len());
        let (mut n_values, none) = (0, T::default());
        for run in runs {
            let (first, n) = ((run.z() * n_y + run.y()) * n_x + run.x().start, run.x().len());
            let in_chunks = &voxels[first..(first + n.next_multiple_of(LANES)).min(voxels.len())];
            let (whole, rest) = in_chunks.as_chunks::<LANES>();
            let into = |chunk: &[V; LANES]| std::array::from_fn(|lane| chunk[lane].into());
            chunks.extend(whole.iter().map(into));
            if !rest.is_empty() {
                // The image ends before the chunk does.
                chunks
                    .push(std::array::from_fn(|lane| rest.get(lane).map_or(none, |v| (*v).into())));
            }
            if let (Some(last), n @ 1..) = (chunks.last_mut(), n % LANES) {
                *last = std::array::from_fn(|lane| if lane < n { last[lane] } else { none });
            }
            starts.push(chunks.len() as u32);
            n_values += n;
        }
        Self { chunks, starts, n_values }
    }

    /// The chunks of a run.
    pub(crate) fn run(&self, index: usize) -> &[[T; LANES]] {
        &self.chunks[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    /// The sum over some runs that follow one another.
    pub(crate) fn sum_of_runs(&self, runs: Range<usize>) -> f64 {
        T::sum(&self.chunks[self.starts[runs.start] as usize..self.starts[runs.end] as usize])
    }

    /// The values of each of the cell's runs.
    pub(crate) fn by_run<'a>(&'a self, runs: &'a [Run]) -> impl Iterator<Item = &'a [T]> {
        let values = |(index, run): (usize, &Run)| &self.run(index).as_flattened()[..run.x().len()];
        runs.iter().enumerate().map(values)
    }

    pub(crate) fn mean(&self) -> f64 {
        T::sum(&self.chunks) / self.n_values as f64
    }

    /// Whether all values are the same.
    pub(crate) fn is_flat(&self, runs: &[Run]) -> bool {
        self.by_run(runs).all(|values| values.iter().all(|value| *value == self.chunks[0][0]))
    }
}

/// What of a cell is above its mean.
pub(crate) struct Excess {
    /// For each run, the sum of what is above the mean.
    pub(crate) by_run: Vec<f64>,
    /// What is above the mean, times steps from the start of its run, over all runs.
    pub(crate) steps: f64,
}

/// A type of brightness.
pub(crate) trait Value: Copy + Default + PartialEq + Into<f64> {
    /// The sum of all values.
    fn sum(chunks: &[[Self; LANES]]) -> f64;

    /// The sum of the values of which the bit is set.
    fn sum_of_set(chunks: &[[Self; LANES]], set: &[u64]) -> f64;

    /// What of a cell with these runs is above the mean.
    fn excess(values: &Padded<Self>, runs: &[Run], mean: f64) -> Excess;

    /// The sum of what of a chunk is above the mean.
    fn excess_of_chunk(chunk: &[Self; LANES], mean: Mean) -> f64;
}

/// A mean, and what of it is a whole number.
#[derive(Clone, Copy)]
pub(crate) struct Mean {
    pub(crate) value: f64,
    whole: u16,
    rest: f64,
}

impl Mean {
    pub(crate) fn of(value: f64) -> Self {
        let whole = value as u16;
        Self { value, whole, rest: value - f64::from(whole) }
    }
}

/// By how much a value is above the mean; 0 if it is below.
#[inline]
pub(crate) fn excess<T: Value>(value: T, mean: f64) -> f64 {
    let excess = value.into() - mean;
    if excess > 0.0 { excess } else { 0.0 }
}

/// The lanes that the bits of a byte stand for: all bits of a lane, or none.
static LANES_OF_BYTE: [[u16; LANES]; 256] = {
    let mut lanes = [[0; LANES]; 256];
    let mut at = 0;
    while at < 256 * LANES {
        if (at / LANES) >> (at % LANES) & 1 == 1 {
            lanes[at / LANES][at % LANES] = u16::MAX;
        }
        at += 1;
    }
    lanes
};

impl Value for u16 {
    fn sum(chunks: &[[Self; LANES]]) -> f64 {
        /// Sums of so many fit into 32 bits.
        const BLOCK: usize = 1 << 16;
        let of_block = |values: &[Self]| values.iter().map(|value| u32::from(*value)).sum::<u32>();
        chunks.as_flattened().chunks(BLOCK).map(|values| f64::from(of_block(values))).sum()
    }

    fn sum_of_set(chunks: &[[Self; LANES]], set: &[u64]) -> f64 {
        let mut total = 0.0;
        for (chunks, &word) in chunks.chunks(CHUNKS_PER_WORD).zip(set) {
            let (mut sums, mut word) = ([0_u32; LANES], word);
            for chunk in chunks {
                let set = &LANES_OF_BYTE[(word & 0xff) as usize];
                (0..LANES).for_each(|lane| sums[lane] += u32::from(chunk[lane] & set[lane]));
                word >>= LANES;
            }
            total += f64::from(sums.iter().sum::<u32>());
        }
        total
    }

    /// In whole numbers: where a value is above the mean, it is above the mean's whole part, and by
    /// the rest of the mean less than above that.
    fn excess(values: &Padded<Self>, runs: &[Run], mean: f64) -> Excess {
        let Mean { whole, rest, .. } = Mean::of(mean);
        let (mut sums, mut steps) = (ExcessSums::default(), 0.0);
        let excess_of_run = |index: usize| {
            let mut excess = 0.0;
            for (block, chunks) in values.run(index).chunks(BLOCK).enumerate() {
                let (sum, count) = sums.add(chunks, whole);
                let of_block = f64::from(sum) - rest * f64::from(count);
                excess += of_block;
                steps += (block * BLOCK * LANES) as f64 * of_block;
            }
            excess
        };
        let by_run = (0..runs.len()).map(excess_of_run).collect();
        let [above, counts] = sums.steps();
        Excess { by_run, steps: steps + above - rest * counts }
    }

    fn excess_of_chunk(chunk: &[Self; LANES], mean: Mean) -> f64 {
        let (mut sums, mut counts) = ([0_u32; LANES], [0_u16; LANES]);
        for lane in 0..LANES {
            let above = chunk[lane].saturating_sub(mean.whole);
            sums[lane] = above.into();
            counts[lane] = u16::from(above > 0);
        }
        let (sum, count): (u32, u16) = (sums.iter().sum(), counts.iter().sum());
        f64::from(sum) - mean.rest * f64::from(count)
    }
}

/// Chunks that are added up at a time.
const BLOCK: usize = 64;

/// What is above a value, and how often, by lanes: each times the number of its chunk in the block,
/// from 1 on (`by_chunk`), and as it is (`by_lane`).
#[derive(Default)]
struct ExcessSums {
    by_chunk: [u32; LANES],
    by_lane: [u32; LANES],
    counts_by_chunk: [u16; LANES],
    counts_by_lane: [u16; LANES],
    /// How much more the lanes can hold: a count of 1 in each chunk of a block of n takes
    /// n (n + 1) / 2 at most.
    room: usize,
    /// Steps of what the lanes could hold no more: of sums, and of counts.
    total: [f64; 2],
}

impl ExcessSums {
    /// Adds a block; gives the sum of what is above the value, and how many values are.
    fn add(&mut self, chunks: &[[u16; LANES]], value: u16) -> (u32, u16) {
        let needed = chunks.len() * (chunks.len() + 1) / 2;
        if self.room < needed {
            self.total = self.steps();
            *self = Self { room: u16::MAX.into(), total: self.total, ..Self::default() };
        }
        self.room -= needed;
        let (mut sums, mut by_chunk) = ([0_u32; LANES], [0_u32; LANES]);
        let (mut counts, mut counts_by_chunk) = ([0_u16; LANES], [0_u16; LANES]);
        // From the last chunk to the first: what is in chunk number k is in k of the sums.
        for chunk in chunks.iter().rev() {
            for lane in 0..LANES {
                let above = chunk[lane].saturating_sub(value);
                sums[lane] += u32::from(above);
                by_chunk[lane] += sums[lane];
                counts[lane] += u16::from(above > 0);
                counts_by_chunk[lane] += counts[lane];
            }
        }
        (0..LANES).for_each(|lane| self.by_chunk[lane] += by_chunk[lane]);
        (0..LANES).for_each(|lane| self.by_lane[lane] += sums[lane]);
        (0..LANES).for_each(|lane| self.counts_by_chunk[lane] += counts_by_chunk[lane]);
        (0..LANES).for_each(|lane| self.counts_by_lane[lane] += counts[lane]);
        (sums.iter().sum(), counts.iter().sum())
    }

    /// Steps from the first value of each block: of what is above the value, and of counts.
    fn steps(&self) -> [f64; 2] {
        let steps = |by_chunk: f64, by_lane: f64, lane: usize| {
            LANES as f64 * (by_chunk - by_lane) + lane as f64 * by_lane
        };
        let mut total = self.total;
        for lane in 0..LANES {
            total[0] += steps(self.by_chunk[lane].into(), self.by_lane[lane].into(), lane);
            let (by_chunk, by_lane) = (self.counts_by_chunk[lane], self.counts_by_lane[lane]);
            total[1] += steps(by_chunk.into(), by_lane.into(), lane);
        }
        total
    }
}

impl Value for f32 {
    fn sum(chunks: &[[Self; LANES]]) -> f64 {
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            (0..LANES).for_each(|lane| sums[lane] += f64::from(chunk[lane]));
        }
        sums.iter().sum()
    }

    fn sum_of_set(chunks: &[[Self; LANES]], set: &[u64]) -> f64 {
        let mut sums = [0.0; LANES];
        for (chunks, &word) in chunks.chunks(CHUNKS_PER_WORD).zip(set) {
            let mut word = word;
            for chunk in chunks {
                let set = &LANES_OF_BYTE[(word & 0xff) as usize];
                for lane in 0..LANES {
                    sums[lane] += if set[lane] > 0 { f64::from(chunk[lane]) } else { 0.0 };
                }
                word >>= LANES;
            }
        }
        sums.iter().sum()
    }

    fn excess(values: &Padded<Self>, runs: &[Run], mean: f64) -> Excess {
        let mut steps = 0.0;
        let excess_of_run = |values: &[Self]| {
            // Lane by lane, with steps of whole chunks; the lanes' own places come in at the end.
            let (mut sums, mut chunk_sums) = ([0.0; LANES], [0.0; LANES]);
            for (step, chunk) in values.chunks(LANES).enumerate() {
                for (lane, value) in chunk.iter().enumerate() {
                    let excess = excess(*value, mean);
                    sums[lane] += excess;
                    chunk_sums[lane] += excess * step as f64;
                }
            }
            let of_lane = |lane: usize| LANES as f64 * chunk_sums[lane] + lane as f64 * sums[lane];
            steps += (0..LANES).map(of_lane).sum::<f64>();
            sums.iter().sum()
        };
        let by_run = values.by_run(runs).map(excess_of_run).collect();
        Excess { by_run, steps }
    }

    fn excess_of_chunk(chunk: &[Self; LANES], mean: Mean) -> f64 {
        let [a, b, c, d, e, f, g, h] = chunk.map(|value| excess(value, mean.value));
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use primordia_data::{Labels, VoxelSize};

    use crate::sweep::Cells;

    /// Sums of some ten thousand numbers in another order.
    const ROUNDING: f64 = 1e-11;

    /// A cell of many short runs and two that are longer than a block, bright everywhere.
    fn cell() -> (Labels, Volume<u16>) {
        let shape = (2, 40, 1300);
        let noise =
            |z: usize, y: usize, x: usize| (z * 7919 + y * 104_729 + x * 1_299_709) % 65_537;
        let inside = |z: usize, y: usize, x: usize| y == 5 || noise(z, y, x / 9) % 3 > 0;
        let labels = Array3::from_shape_fn(shape, |(z, y, x)| u32::from(inside(z, y, x)));
        let bright = Array3::from_shape_fn(shape, |(z, y, x)| noise(y, x, z).min(65_535) as u16);
        let voxel_size = VoxelSize::from_um([1.0; 3]).unwrap();
        (Labels::from_voxels(labels, voxel_size).unwrap(), Volume::new(bright, voxel_size).unwrap())
    }

    /// Compares everything with what looking at one value after another gives.
    fn check<T: Value>(values: &Padded<T>, runs: &[Run], wanted: impl Fn(&Run) -> Vec<f64>) {
        let all: Vec<Vec<f64>> = runs.iter().map(wanted).collect();
        let close = |found: f64, wanted: f64| {
            assert!((found - wanted).abs() <= ROUNDING * wanted.abs(), "{found} {wanted}");
        };
        let n_values: usize = all.iter().map(Vec::len).sum();
        let mean = all.iter().flatten().sum::<f64>() / n_values as f64;
        close(values.mean(), mean);
        close(values.sum_of_runs(3..40), all[3..40].iter().flatten().sum());
        assert!(!values.is_flat(runs));
        let found = T::excess(values, runs, mean);
        let mut steps = 0.0;
        for (index, (run, excess)) in all.iter().zip(found.by_run).enumerate() {
            let above: Vec<f64> = run.iter().map(|value| (value - mean).max(0.0)).collect();
            close(excess, above.iter().sum());
            steps += (0..).zip(&above).map(|(step, above)| f64::from(step) * above).sum::<f64>();
            let of_chunk = |chunk: &[T; LANES]| T::excess_of_chunk(chunk, Mean::of(mean));
            // Behind the end are zeros, which are below the mean.
            close(values.run(index).iter().map(of_chunk).sum(), excess);
            let set: Vec<u64> = (0..run.len().div_ceil(VALUES_PER_WORD))
                .map(|word| 0x1234_5678_9abc_def1_u64.rotate_left((7 * word + index) as u32))
                .collect();
            let in_set = |at: usize| set[at / VALUES_PER_WORD] >> (at % VALUES_PER_WORD) & 1 == 1;
            let wanted = (0..run.len()).filter(|at| in_set(*at)).map(|at| run[at]).sum();
            close(T::sum_of_set(values.run(index), &set), wanted);
        }
        close(found.steps, steps);
    }

    #[test]
    fn counts_and_reals_add_up_to_what_looking_at_each_gives() {
        let (labels, counts) = cell();
        let cells = Cells::of(&labels);
        let runs = cells.runs(0);
        assert!(runs.iter().any(|run| run.x().len() == 1300));
        let wanted = |run: &Run| {
            let line = run.x().map(|x| f64::from(counts.voxels()[[run.z(), run.y(), x]]));
            line.collect::<Vec<_>>()
        };
        check(&Padded::<u16>::gathered(&counts, runs), runs, wanted);
        let reals = counts.map(|value| f32::from(*value));
        check(&Padded::<f32>::gathered(&reals, runs), runs, wanted);
        let flat = counts.map(|_| 7_u8);
        assert!(Padded::<u16>::gathered(&flat, runs).is_flat(runs));
    }
}
