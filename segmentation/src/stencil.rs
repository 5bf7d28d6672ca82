//! Directions in steps, and for each the stencil that reads a sheet lying across it.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::ops::Range;

use primordia_data::VoxelSize;

use crate::sheet::SheetScale;

/// Steps along each side of the faces of the half cube that directions are projected onto: some 7° each.
const STEPS: usize = 17;

/// A direction of either sign, rounded to the nearest of 867.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Direction(u16);

impl Direction {
    /// The direction nearest to a vector (z, y, x).
    #[inline]
    pub(crate) fn nearest(vector: [f32; 3]) -> Self {
        let axis = longest(vector);
        let [b, c] = others(axis);
        let per_unit = 1.0 / vector[axis];
        let step = |of: usize| {
            let share = 0.5 + 0.5 * vector[of] * per_unit;
            ((share * (STEPS - 1) as f32 + 0.5) as usize).min(STEPS - 1)
        };
        Self(((axis * STEPS + step(b)) * STEPS + step(c)) as u16)
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..(3 * STEPS * STEPS) as u16).map(Self)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The unit vectors of all directions, by their bits.
    pub(crate) fn units() -> Vec<[f32; 3]> {
        Self::all().map(|direction| direction.unit().map(|part| part as f32)).collect()
    }

    /// The unit vector (z, y, x), positive along its longest axis.
    pub(crate) fn unit(self) -> [f64; 3] {
        let at = usize::from(self.0);
        let share = |step: usize| 2.0 * step as f64 / (STEPS - 1) as f64 - 1.0;
        let axis = at / (STEPS * STEPS);
        let [b, c] = others(axis);
        let mut vector = [1.0; 3];
        vector[b] = share(at / STEPS % STEPS);
        vector[c] = share(at % STEPS);
        let length = vector.iter().map(|part| part * part).sum::<f64>().sqrt();
        vector.map(|part| part / length)
    }
}

#[inline]
fn longest(vector: [f32; 3]) -> usize {
    let [z, y, x] = vector.map(f32::abs);
    if z >= y && z >= x {
        0
    } else if y >= x {
        1
    } else {
        2
    }
}

fn others(axis: usize) -> [usize; 2] {
    [[1, 2], [0, 2], [0, 1]][axis]
}

/// For each direction, the voxels around one that say how it looks as part of a sheet across that
/// direction, with their weights.
///
/// The weights are those of a disc across the direction, read where columns of voxels along the
/// direction's longest axis meet it: exact on the disc, with two voxels a column.
pub(crate) struct Stencils {
    taps: Vec<Tap>,
    starts: Vec<u32>,
    reach: [usize; 3],
}

/// A voxel of a stencil.
#[derive(Clone, Copy, Debug)]
struct Tap {
    line: u16, // which of the lines along x around the voxel
    x: i16,
    weight: f32,
}

impl Stencils {
    /// Those of the mean over a disc, less half of that over each of its copies on either side.
    pub(crate) fn contrast(scale: SheetScale, voxel_size: VoxelSize) -> Self {
        Self::new(|direction| stencil(direction, scale.disc_um, voxel_size, flanked(scale)))
    }

    /// Those of the mean over a disc.
    pub(crate) fn brightness(disc_um: f64, voxel_size: VoxelSize) -> Self {
        Self::new(|direction| stencil(direction, disc_um, voxel_size, |_| vec![(0.0, 1.0)]))
    }

    fn new(stencil: impl Fn(Direction) -> BTreeMap<[i32; 3], f64>) -> Self {
        let all: Vec<BTreeMap<[i32; 3], f64>> = Direction::all().map(stencil).collect();
        let reach = [0, 1, 2].map(|axis| {
            let offsets = all.iter().flat_map(BTreeMap::keys);
            offsets.map(|offset| offset[axis].unsigned_abs() as usize).max().unwrap_or(0)
        });
        let mut stencils = Self { taps: Vec::new(), starts: vec![0], reach };
        for weights in all {
            stencils.taps.extend(weights.into_iter().map(|([z, y, x], weight)| Tap {
                line: ((z + reach[0] as i32) * (2 * reach[1] as i32 + 1) + y + reach[1] as i32)
                    as u16,
                x: x as i16,
                weight: weight as f32,
            }));
            stencils.starts.push(stencils.taps.len() as u32);
        }
        stencils
    }

    /// How many voxels (z, y, x) away the furthest voxels are that a stencil reads.
    pub(crate) fn reach(&self) -> [usize; 3] {
        self.reach
    }

    /// The stencils at the voxels of one row.
    pub(crate) fn at_row<'a, T>(
        &'a self,
        voxels: &'a [T],
        shape: [usize; 3],
        [z, y]: [usize; 2],
    ) -> StencilRow<'a, T> {
        let [reach_z, reach_y, reach_x] = self.reach;
        let near = |at: usize, step: usize, reach: usize, n: usize| {
            (at + step).saturating_sub(reach).min(n - 1)
        };
        let lines = (0..=2 * reach_z).flat_map(|dz| {
            let z = near(z, dz, reach_z, shape[0]);
            (0..=2 * reach_y)
                .map(move |dy| (z * shape[1] + near(y, dy, reach_y, shape[1])) * shape[2])
        });
        let inside = reach_x..shape[2].saturating_sub(reach_x);
        StencilRow { stencils: self, voxels, n_x: shape[2], lines: lines.collect(), inside }
    }
}

/// Reads an image by stencils around the voxels of one row; beyond its borders the image goes on as there.
pub(crate) struct StencilRow<'a, T> {
    stencils: &'a Stencils,
    voxels: &'a [T],
    n_x: usize,
    lines: Vec<usize>, // where the lines around the row begin
    inside: Range<usize>,
}

impl<T: Copy + Into<f32>> StencilRow<'_, T> {
    #[inline]
    pub(crate) fn read(&self, x: usize, direction: Direction) -> f32 {
        let [start, end] = [0, 1].map(|next| self.stencils.starts[usize::from(direction.0) + next]);
        let taps = &self.stencils.taps[start as usize..end as usize];
        let voxel = |tap: &Tap, x: usize| -> f32 {
            self.voxels[self.lines[usize::from(tap.line)] + x].into()
        };
        let at = |tap: &Tap| x.wrapping_add_signed(isize::from(tap.x));
        let near = |tap: &Tap| x.saturating_add_signed(isize::from(tap.x)).min(self.n_x - 1);
        if self.inside.contains(&x) {
            taps.iter().map(|tap| tap.weight * voxel(tap, at(tap))).sum()
        } else {
            taps.iter().map(|tap| tap.weight * voxel(tap, near(tap))).sum()
        }
    }
}

/// The disc itself less half of either of its copies, for steps of some µm across it.
fn flanked(scale: SheetScale) -> impl Fn(f64) -> Vec<(f64, f64)> {
    move |step_um| {
        let flank = scale.flank_um / step_um;
        vec![(0.0, 1.0), (flank, -0.5), (-flank, -0.5)]
    }
}

/// The weights around a voxel, by offset in voxels (z, y, x): of a disc, in each column at `heights` with
/// weights, in steps along the longest axis, of which each is some µm across the disc.
fn stencil(
    direction: Direction,
    disc_um: f64,
    voxel_size: VoxelSize,
    heights: impl Fn(f64) -> Vec<(f64, f64)>,
) -> BTreeMap<[i32; 3], f64> {
    let (normal, um) = (direction.unit(), voxel_size.um());
    let axis = longest(normal.map(|part| part as f32));
    let [b, c] = others(axis);
    let columns: BTreeSet<[i32; 2]> = disc(normal, disc_um)
        .map(|at| [b, c].map(|axis| (at[axis] / um[axis]).round() as i32))
        .collect();
    let step_um = normal[axis] * um[axis]; // across the disc
    let heights = heights(step_um);
    let mut weights = BTreeMap::new();
    let mut total = 0.0;
    for column in columns {
        let (at_b, at_c) = (f64::from(column[0]) * um[b], f64::from(column[1]) * um[c]);
        let middle = -(normal[b] * at_b + normal[c] * at_c) / step_um;
        let squared = at_b.powi(2) + at_c.powi(2) + (middle * um[axis]).powi(2);
        let in_disc = (-2.0 * squared / disc_um.powi(2)).exp();
        total += in_disc;
        for &(height, weight) in &heights {
            let height = middle + height;
            let part = height - height.floor();
            for (step, share) in [(0, 1.0 - part), (1, part)] {
                let mut offset = [0; 3];
                offset[axis] = height.floor() as i32 + step;
                [offset[b], offset[c]] = column;
                *weights.entry(offset).or_insert(0.0) += in_disc * weight * share;
            }
        }
    }
    weights.values_mut().for_each(|weight| *weight /= total);
    weights
}

/// Points of a disc across `normal`, in µm (z, y, x): its centre and two rings of six.
fn disc(normal: [f64; 3], radius_um: f64) -> impl Iterator<Item = [f64; 3]> {
    const SPOKES: usize = 6;
    let normal = nalgebra::Vector3::from(normal);
    let along = normal.cross(&nalgebra::Vector3::ith(normal.iamin(), 1.0)).normalize();
    let across = normal.cross(&along);
    let ring = move |share: f64| {
        (0..SPOKES).map(move |spoke| {
            let angle = TAU * (spoke as f64 + share) / SPOKES as f64;
            (share * radius_um * (along * angle.cos() + across * angle.sin())).into()
        })
    };
    std::iter::once([0.0; 3]).chain(ring(0.5)).chain(ring(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::any_bytes;
    use proptest::prelude::*;

    /// Sums of some hundred f32 products of bytes.
    const SINGLE_PRECISION: f64 = 1e-3;

    proptest! {
        #[test]
        fn the_nearest_direction_is_near(vector in prop::array::uniform3(-1.0..1.0_f32)) {
            let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
            prop_assume!(length > 0.01);
            let nearest = Direction::nearest(vector).unit();
            let cosine: f64 = (0..3).map(|axis| nearest[axis] * f64::from(vector[axis] / length)).sum();
            prop_assert!(cosine.abs() > 5.1_f64.to_radians().cos(), "{cosine}");
        }

        /// Rows read what the weights say; beyond the borders the image goes on as there.
        #[test]
        fn rows_read_the_weighted_sum(image in any_bytes(9), vector in prop::array::uniform3(-1.0..1.0_f32)) {
            prop_assume!(vector.iter().any(|part| part.abs() > 0.01));
            let (direction, scale, shape) = (Direction::nearest(vector), SheetScale::for_width(0.9), image.shape());
            let stencils = Stencils::contrast(scale, image.voxel_size());
            let weights = stencil(direction, scale.disc_um, image.voxel_size(), flanked(scale));
            for ((z, y, x), _) in image.voxels().indexed_iter() {
                let row = stencils.at_row(image.as_slice(), shape, [z, y]);
                let slow: f64 = weights.iter().map(|(offset, weight)| {
                    let [z, y, x] = [(z, 0), (y, 1), (x, 2)].map(|(at, axis)| {
                        (at as i64 + i64::from(offset[axis])).clamp(0, shape[axis] as i64 - 1) as usize
                    });
                    weight * f64::from(image.voxels()[[z, y, x]])
                }).sum();
                prop_assert!((f64::from(row.read(x, direction)) - slow).abs() < SINGLE_PRECISION);
            }
        }

        /// A sheet gives its brightness less that of its flanks, and a ramp or a constant nothing.
        #[test]
        fn stencils_read_planes_exactly(vector in prop::array::uniform3(-1.0..1.0_f32), um in prop::array::uniform3(0.2..0.8_f64)) {
            prop_assume!(vector.iter().any(|part| part.abs() > 0.01));
            let direction = Direction::nearest(vector);
            let normal = direction.unit();
            let scale = SheetScale::for_width(0.44);
            let weights = stencil(direction, scale.disc_um, VoxelSize::from_um(um).unwrap(), flanked(scale));
            let reads = |image: &dyn Fn([f64; 3]) -> f64| -> f64 {
                weights.iter().map(|(offset, weight)| weight * image([0, 1, 2].map(|axis| f64::from(offset[axis]) * um[axis]))).sum()
            };
            let height = |at: [f64; 3]| (0..3).map(|axis| at[axis] * normal[axis]).sum::<f64>();
            prop_assert!(reads(&|_| 1.0).abs() < 1e-9);
            prop_assert!(reads(&|at| at[0] - 2.0 * at[1] + 0.5 * at[2]).abs() < 1e-9);
            // A roof falls by its slope on both sides; voxels beside its edge read a little less.
            let roof = reads(&|at| -height(at).abs());
            let step_um = (0..3).map(|axis| normal[axis].abs() * um[axis]).fold(0.0, f64::max);
            prop_assert!((roof - scale.flank_um).abs() <= 0.5 * step_um + 1e-9, "{roof}");
        }
    }
}
