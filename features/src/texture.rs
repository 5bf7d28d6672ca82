//! Texture: how the brightness of a place in a cell goes with that of the places beside it.
//!
//! Haralick's features (Haralick, Shanmugam & Dinstein 1973, doi:10.1109/TSMC.1973.4309314) of one
//! matrix per cell: how often two levels of brightness stand beside one another, counted both ways,
//! over all 13 directions of a grid in 3D.
//!
//! Texture belongs to a scale, and voxels are rarely cubes. So the channel is first averaged over
//! blocks of voxels that are as near to cubes of a given side as whole voxels allow; blocks of which
//! less than half is the cell's do not count. Then blocks are compared with those one step away. A
//! step is as long along each axis as the longest side of a block, to the nearest whole block: where
//! voxels are longer in z than the blocks should be, steps along x and y are of several blocks.
//!
//! Levels are as far apart as a cell's own brightness is spread: neither a brighter lamp nor an
//! offset changes its texture.

use std::ops::Range;

use primordia_data::VoxelSize;

use crate::sweep::{Extent, Run};
use crate::values::{Padded, Value, Values, with_values};

/// Levels of brightness.
const N_LEVELS: usize = 16;
/// From the lowest to the highest level, in standard deviations of the cell's blocks.
const SPREAD: f64 = 5.0;
/// In place of a level, where no cell is.
const NOTHING: u8 = N_LEVELS as u8;

/// Steps to half of the 26 blocks around a block; the others are the same pairs seen from the
/// other end.
const DIRECTIONS: [[isize; 3]; 13] = [
    [0, 0, 1],
    [0, 1, -1],
    [0, 1, 0],
    [0, 1, 1],
    [1, -1, -1],
    [1, -1, 0],
    [1, -1, 1],
    [1, 0, -1],
    [1, 0, 0],
    [1, 0, 1],
    [1, 1, -1],
    [1, 1, 0],
    [1, 1, 1],
];

/// Haralick's features of a channel in a cell; NaN where no two blocks differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Texture {
    /// Mean squared difference in levels.
    pub(crate) contrast: f64,
    /// Mean difference in levels.
    pub(crate) dissimilarity: f64,
    /// Mean of 1 / (1 + squared difference).
    pub(crate) homogeneity: f64,
    /// The root of the sum of squared shares.
    pub(crate) energy: f64,
    /// In nats.
    pub(crate) entropy: f64,
    /// Of the levels of neighbours.
    pub(crate) correlation: f64,
}

impl Texture {
    /// Of what has none.
    pub(crate) const NONE: Self = Self {
        contrast: f64::NAN,
        dissimilarity: f64::NAN,
        homogeneity: f64::NAN,
        energy: f64::NAN,
        entropy: f64::NAN,
        correlation: f64::NAN,
    };

    /// The texture of a channel whose values in a cell with these runs are `values`, in blocks of
    /// about `side_um`.
    pub(crate) fn of(
        values: &Values,
        runs: &[Run],
        extent: &Extent,
        voxel_size: VoxelSize,
        side_um: f64,
    ) -> Self {
        let sides = block_sides(voxel_size, side_um);
        let steps = steps(voxel_size, sides);
        let levels = with_values!(values, values => Levels::of(values, runs, extent, sides));
        levels.pairs(steps).texture()
    }
}

/// The sides of a block in voxels, `[z, y, x]`.
fn block_sides(voxel_size: VoxelSize, side_um: f64) -> [usize; 3] {
    voxel_size.um().map(|side| ((side_um / side).round() as usize).max(1))
}

/// How many blocks a step is, `[z, y, x]`.
fn steps(voxel_size: VoxelSize, sides: [usize; 3]) -> [isize; 3] {
    let block_um = [0, 1, 2].map(|k| sides[k] as f64 * voxel_size.um()[k]);
    let longest_um = block_um.into_iter().fold(0.0, f64::max);
    block_um.map(|side| (longest_um / side).round() as isize)
}

/// The level of each block of a cell's box.
struct Levels {
    levels: Vec<u8>,
    shape: [usize; 3], // z, y, x
}

/// The blocks along x from the first to the last that belongs to the cell.
fn span(line: &[u8]) -> Range<isize> {
    let is_cell = |level: &u8| *level != NOTHING;
    let first = line.iter().position(is_cell).unwrap_or(line.len());
    let end = line.iter().rposition(is_cell).map_or(first, |last| last + 1);
    first as isize..end as isize
}

impl Levels {
    fn of<T: Value>(values: &Padded<T>, runs: &[Run], extent: &Extent, sides: [usize; 3]) -> Self {
        let shape = [0, 1, 2].map(|k| (extent.end[k] - extent.first[k]).div_ceil(sides[k]));
        let mut blocks = vec![(0.0_f64, 0_u32); shape.iter().product()];
        for (run, values) in runs.iter().zip(values.by_run(runs)) {
            let [z, y] =
                [(run.z(), 0), (run.y(), 1)].map(|(at, k)| (at - extent.first[k]) / sides[k]);
            let line = &mut blocks[(z * shape[1] + y) * shape[2]..][..shape[2]];
            let mut x = run.x().start - extent.first[2];
            let mut rest = values;
            while !rest.is_empty() {
                let block = x / sides[2];
                let n = ((block + 1) * sides[2] - x).min(rest.len());
                let (within, after) = rest.split_at(n);
                line[block].0 += within.iter().map(|value| (*value).into()).sum::<f64>();
                line[block].1 += n as u32;
                (x, rest) = (x + n, after);
            }
        }
        let n_half = sides.iter().product::<usize>().div_ceil(2) as u32;
        let mean = |&(sum, n): &(f64, u32)| (n >= n_half).then(|| sum / f64::from(n));
        let means: Vec<Option<f64>> = blocks.iter().map(mean).collect();
        Self { levels: levels(&means), shape }
    }

    /// Counts pairs of levels one step apart.
    fn pairs(&self, steps: [isize; 3]) -> Pairs {
        let mut counts = [0_u32; STRIDE * STRIDE];
        let [n_z, n_y, n_x] = self.shape.map(|n| n as isize);
        let lines: Vec<(&[u8], Range<isize>)> =
            self.levels.chunks_exact(self.shape[2]).map(|line| (line, span(line))).collect();
        for direction in DIRECTIONS {
            let [dz, dy, dx] = [0, 1, 2].map(|k| direction[k] * steps[k]);
            if dx.abs() >= n_x {
                continue;
            }
            for (z, y) in (0..n_z - dz).flat_map(|z| (0..n_y).map(move |y| (z, y))) {
                if !(0..n_y).contains(&(y + dy)) {
                    continue;
                }
                let (here, span) = &lines[(z * n_y + y) as usize];
                let (there, span_there) = &lines[((z + dz) * n_y + y + dy) as usize];
                let first = span.start.max(span_there.start - dx);
                let end = span.end.min(span_there.end - dx);
                if first >= end {
                    continue;
                }
                let here = &here[first as usize..end as usize];
                let there = &there[(first + dx) as usize..(end + dx) as usize];
                for (a, b) in here.iter().zip(there) {
                    counts[pair(*a, *b)] += 1;
                }
            }
        }
        Pairs { counts }
    }
}

/// The level of each mean: in equal steps about the mean of all, in units of their spread.
fn levels(means: &[Option<f64>]) -> Vec<u8> {
    let n = means.iter().flatten().count() as f64;
    let mean = means.iter().flatten().sum::<f64>() / n;
    let variance = means.iter().flatten().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let per_level = SPREAD * variance.sqrt() / N_LEVELS as f64;
    let level = |value: &Option<f64>| match value {
        None => NOTHING,
        // What does not differ is all on one level.
        Some(_) if per_level <= 1e-9 * mean.abs() => 0,
        Some(value) => {
            let level = (value - mean) / per_level + N_LEVELS as f64 / 2.0;
            level.clamp(0.0, N_LEVELS as f64 - 1.0) as u8
        }
    };
    means.iter().map(level).collect()
}

/// How often each level stands one step before each other.
struct Pairs {
    counts: [u32; STRIDE * STRIDE],
}

/// From the counts of one level to those of the next: a power of two has room for all levels and
/// for nothing, and needs no check.
const STRIDE: usize = 32;

/// Where the count of two levels stands.
fn pair(a: u8, b: u8) -> usize {
    usize::from(a) % STRIDE * STRIDE + usize::from(b) % STRIDE
}

impl Pairs {
    /// The share of pairs of two levels, counted both ways.
    fn shares(&self) -> [[f64; N_LEVELS]; N_LEVELS] {
        let mut shares = [[0.0; N_LEVELS]; N_LEVELS];
        let mut total = 0.0;
        for (a, b) in (0..N_LEVELS).flat_map(|a| (0..N_LEVELS).map(move |b| (a, b))) {
            let n = f64::from(self.counts[pair(a as u8, b as u8)]);
            shares[a][b] += n;
            shares[b][a] += n;
            total += 2.0 * n;
        }
        shares.iter_mut().flatten().for_each(|share| *share /= total);
        shares
    }

    fn texture(&self) -> Texture {
        let shares = self.shares();
        let sum = |of: &dyn Fn(f64, f64, f64) -> f64| -> f64 {
            let rows = shares.iter().enumerate();
            let all = rows.flat_map(|(a, row)| row.iter().enumerate().map(move |(b, p)| (a, b, p)));
            all.map(|(a, b, p)| of(a as f64, b as f64, *p)).sum()
        };
        let mean = sum(&|a, _, p| a * p);
        let variance = sum(&|a, _, p| (a - mean).powi(2) * p);
        if !(variance > 0.0) {
            return Texture::NONE;
        }
        Texture {
            contrast: sum(&|a, b, p| (a - b).powi(2) * p),
            dissimilarity: sum(&|a, b, p| (a - b).abs() * p),
            homogeneity: sum(&|a, b, p| p / (1.0 + (a - b).powi(2))),
            energy: sum(&|_, _, p| p * p).sqrt(),
            entropy: sum(&|_, _, p| if p > 0.0 { -p * p.ln() } else { 0.0 }),
            correlation: sum(&|a, b, p| (a - mean) * (b - mean) * p) / variance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Cells;
    use crate::{Channel, MeasureParams, measure};
    use approx::assert_relative_eq;
    use ndarray::Array3;
    use primordia_data::{Labels, Rigid, Volume};
    use proptest::prelude::*;

    /// The same sums in another order.
    const ROUNDING: f64 = 1e-12;

    fn by_name(texture: &Texture, name: &str) -> f64 {
        match name {
            "contrast" => texture.contrast,
            "dissimilarity" => texture.dissimilarity,
            "homogeneity" => texture.homogeneity,
            "energy" => texture.energy,
            "entropy" => texture.entropy,
            "correlation" => texture.correlation,
            name => panic!("no feature {name}"),
        }
    }

    /// `tests/reference/features_texture.py` made the values.
    #[test]
    fn the_texture_of_a_plane_is_that_of_scikit_image() {
        let level = |y: usize, x: usize| ((x * x + 3 * y + x * y / 4) % N_LEVELS) as u8;
        let levels = (0..23).flat_map(|y| (0..37).map(move |x| level(y, x))).collect();
        let found = Levels { levels, shape: [1, 23, 37] }.pairs([1; 3]).texture();
        let reference = include_str!("../../tests/reference/features_texture.csv");
        for line in reference.lines().skip(2) {
            let (name, wanted) = line.split_once(',').unwrap();
            let wanted: f64 = wanted.parse().unwrap();
            assert_relative_eq!(by_name(&found, name), wanted, max_relative = ROUNDING);
        }
    }

    /// Shares of pairs by looking from each block to each other one.
    fn shares_by_definition(levels: &Array3<u8>, steps: [isize; 3]) -> Vec<f64> {
        let mut counts = vec![0.0; N_LEVELS * N_LEVELS];
        for (here, &a) in levels.indexed_iter() {
            for (there, &b) in levels.indexed_iter() {
                let apart = [
                    there.0 as isize - here.0 as isize,
                    there.1 as isize - here.1 as isize,
                    there.2 as isize - here.2 as isize,
                ];
                let is_step = (0..3).all(|k| apart[k] == 0 || apart[k].abs() == steps[k]);
                if here != there && is_step && a != NOTHING && b != NOTHING {
                    counts[usize::from(a) * N_LEVELS + usize::from(b)] += 1.0;
                }
            }
        }
        let total: f64 = counts.iter().sum();
        counts.iter().map(|count| count / total).collect()
    }

    proptest! {
        #[test]
        fn pairs_are_those_found_by_looking_from_each_block_to_each_other(
            levels in proptest::collection::vec(0_u8..=NOTHING, 3 * 4 * 5),
            steps in [1_isize..4, 1_isize..4, 1_isize..7],
        ) {
            let all = Array3::from_shape_vec((3, 4, 5), levels.clone()).unwrap();
            let wanted = shares_by_definition(&all, steps);
            let found = Levels { levels, shape: [3, 4, 5] }.pairs(steps).shares();
            for (found, wanted) in found.as_flattened().iter().zip(&wanted) {
                prop_assert!((found - wanted).abs() < ROUNDING || wanted.is_nan() && found.is_nan());
            }
        }
    }

    fn voxel_size(um: [f64; 3]) -> VoxelSize {
        VoxelSize::from_um(um).unwrap()
    }

    #[test]
    fn blocks_are_near_cubes_and_steps_near_equal() {
        for (um, sides, step) in [
            ([0.225, 0.1, 0.1], [2, 5, 5], [1, 1, 1]),
            ([0.5, 0.5, 0.5], [1, 1, 1], [1, 1, 1]),
            ([1.0, 0.25, 0.25], [1, 2, 2], [1, 2, 2]),
            ([3.0, 1.0, 1.0], [1, 1, 1], [1, 3, 3]),
        ] {
            assert_eq!(block_sides(voxel_size(um), 0.5), sides, "{um:?}");
            assert_eq!(steps(voxel_size(um), sides), step, "{um:?}");
        }
    }

    /// A cube of 6 µm with a pattern, in voxels of `um`.
    fn textured(um: [f64; 3], pattern: impl Fn([f64; 3]) -> f32) -> Texture {
        let shape = um.map(|side| (6.0 / side).round() as usize);
        let labels = Labels::from_voxels(Array3::ones(shape), voxel_size(um)).unwrap();
        let bright = Array3::from_shape_fn(shape, |(z, y, x)| {
            pattern([(z, um[0]), (y, um[1]), (x, um[2])].map(|(at, side)| (at as f64 + 0.5) * side))
        });
        let bright = Volume::new(bright, voxel_size(um)).unwrap();
        let cells = Cells::of(&labels);
        let values = Channel::new("actin", &bright).values(cells.runs(0));
        Texture::of(&values, cells.runs(0), &cells.extent(0), labels.volume().voxel_size(), 0.5)
    }

    #[test]
    fn voxels_of_any_length_have_the_texture_of_the_pattern() {
        // Blocks of 1 µm that are bright and dark by turns in 3D.
        let checks = |p: [f64; 3]| {
            let steps: i32 = p.iter().map(|at| *at as i32).sum();
            if steps % 2 == 0 { 10.0 } else { 30.0 }
        };
        let cubes = textured([0.5; 3], checks);
        let long = textured([0.5, 0.25, 0.125], checks);
        for name in ["contrast", "dissimilarity", "homogeneity", "energy", "entropy", "correlation"]
        {
            let (cubes, long) = (by_name(&cubes, name), by_name(&long, name));
            assert_relative_eq!(cubes, long, max_relative = ROUNDING);
        }
    }

    #[test]
    fn neither_gain_nor_offset_changes_texture_and_flat_cells_have_none() {
        let wave = |p: [f64; 3]| ((2.0 * p[0]).sin() + (3.0 * p[1] * p[2]).cos()) as f32;
        let plain = textured([0.5; 3], wave);
        assert_eq!(plain, textured([0.5; 3], |p| 64.0 * wave(p)));
        assert_relative_eq!(
            plain.entropy,
            textured([0.5; 3], |p| 500.0 + wave(p)).entropy,
            max_relative = 0.01
        );
        assert!(textured([0.5; 3], |_| 7.0).contrast.is_nan());
    }

    #[test]
    fn stripes_correlate_along_themselves_only() {
        // Planes of 0.5 µm: alike in 8 of 26 neighbours, opposite in 18.
        let stripes = |p: [f64; 3]| f32::from(u8::from((2.0 * p[0]) as i32 % 2 == 0));
        let found = textured([0.5; 3], stripes);
        assert_relative_eq!(found.correlation, -10.0 / 26.0, epsilon = 0.05);
        // Levels are 1 standard deviation, 16 / 5 of a level, above and below the middle.
        assert_relative_eq!(found.dissimilarity, 7.0 * 18.0 / 26.0, epsilon = 0.3);
    }

    #[test]
    fn a_cell_without_two_blocks_is_flagged() {
        let mut voxels = Array3::zeros((4, 5, 6));
        voxels[[1, 2, 2]] = 1;
        voxels[[2, 2, 3]] = 1;
        let labels = Labels::from_voxels(voxels, voxel_size([0.1; 3])).unwrap();
        let bright = labels.volume().map(|label| *label as u8);
        let mut bright = bright.into_voxels();
        bright[[1, 2, 2]] = 9;
        let bright = Volume::new(bright, voxel_size([0.1; 3])).unwrap();
        let channels = [Channel::new("actin", &bright)];
        let found = measure(&labels, &channels, "A", &Rigid::identity(), &MeasureParams::default())
            .unwrap();
        assert!(found.intensity.column("actin_texture_contrast").unwrap()[0].is_nan());
        assert!(found.quality[0].reasons().contains(&"too small for texture"));
    }
}
