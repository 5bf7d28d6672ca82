//! Shares out a room among seeds: every voxel goes to the seed with the shortest way to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};

use crate::error::Result;
use crate::gaussian::gaussian;

/// Where membranes are brightest, a way counts as this many times longer. Chosen on phantoms from
/// clean to very dim, with the smoothing: more follows the noise, less cuts corners.
const RESISTANCE: f64 = 30.0;
/// Membranes are looked at through a Gaussian of this standard deviation, in µm.
const SMOOTHING_UM: f64 = 0.4;
/// The brightness of cell bodies and of membranes, as quantiles within the room.
const BODIES: f64 = 0.2;
const MEMBRANES: f64 = 0.95;

/// How far around a room its membranes matter, in µm.
pub(crate) const MARGIN_UM: f64 = 4.0 * SMOOTHING_UM;

/// The part that each voxel of `room` belongs to, numbered from 1 in the order of `seeds`
/// (`[z, y, x]`, inside the room); 0 outside.
///
/// Ways go from voxel to voxel (26 neighbours) inside the room, so that a part has no islands; with
/// `membrane`, on the same grid, they count as longer where it is brighter than cell bodies. Of equally
/// short ways that of the first seed wins. What no way leads to goes to the seed that is nearest in
/// a straight line.
///
/// # Errors
/// Those of [`gaussian`]: voxels are far too small for the smoothing.
pub(crate) fn share_out(
    room: &Volume<bool>,
    seeds: &[[usize; 3]],
    membrane: Option<&Volume<f32>>,
) -> Result<Volume<u32>> {
    let resistance = match membrane {
        Some(membrane) => resistance(membrane, room)?,
        None => room.map(|_| 0.0),
    };
    let mut parts = by_shortest_way(room, seeds, &resistance);
    share_out_the_rest(&mut parts, room, seeds);
    Ok(parts)
}

/// How much longer than its length a way through each voxel counts, in multiples of its length.
fn resistance(membrane: &Volume<f32>, room: &Volume<bool>) -> Result<Volume<f32>> {
    let smooth = gaussian(membrane, [SMOOTHING_UM; 3])?;
    let inside = smooth.as_slice().iter().zip(room.as_slice()).filter(|(_, inside)| **inside);
    let mut values: Vec<f32> = inside.map(|(&value, _)| value).collect();
    values.sort_unstable_by(f32::total_cmp);
    let quantile = |share: f64| {
        let at = (share * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(at).copied().unwrap_or_default()
    };
    let (low, high) = (quantile(BODIES), quantile(MEMBRANES));
    let contrast = high - low;
    if contrast <= 0.0 {
        return Ok(smooth.map(|_| 0.0));
    }
    Ok(smooth.map(|value| RESISTANCE as f32 * ((value - low) / contrast).clamp(0.0, 1.0)))
}

/// Dijkstra's shortest paths from all seeds at once (1959, doi:10.1007/BF01386390).
fn by_shortest_way(
    room: &Volume<bool>,
    seeds: &[[usize; 3]],
    resistance: &Volume<f32>,
) -> Volume<u32> {
    let (room_voxels, resistance) = (room.voxels(), resistance.voxels());
    let steps = Step::all(room.voxel_size());
    let mut parts = room.map(|_| 0_u32);
    // The bits of lengths, which are never negative, are in the order of the lengths.
    let mut best = Array3::from_elem(room_voxels.dim(), (u64::MAX, u32::MAX));
    let mut open = BinaryHeap::new();
    for (part, &seed) in (1..).zip(seeds) {
        best[seed] = (0, part);
        open.push(Reverse((best[seed], seed)));
    }
    let mut found = parts.voxels_mut();
    while let Some(Reverse(((bits, part), at))) = open.pop() {
        if found[at] > 0 {
            continue;
        }
        found[at] = part;
        for step in &steps {
            let Some(next) = step.from(at, room.shape()) else { continue };
            if !room_voxels[next] || found[next] > 0 {
                continue;
            }
            let resisted = 1.0 + f64::from(f32::midpoint(resistance[at], resistance[next]));
            let way = ((f64::from_bits(bits) + step.um * resisted).to_bits(), part);
            if way < best[next] {
                best[next] = way;
                open.push(Reverse((way, next)));
            }
        }
    }
    parts
}

/// From a voxel to one of its 26 neighbours.
struct Step {
    by: [isize; 3],
    um: f64,
}

impl Step {
    fn all(voxel_size: VoxelSize) -> Vec<Self> {
        let sides_um = voxel_size.um();
        let step = |number: isize| {
            let by = [number / 9 - 1, number / 3 % 3 - 1, number % 3 - 1];
            let um = (0..3).map(|axis| (by[axis] as f64 * sides_um[axis]).powi(2)).sum::<f64>();
            Self { by, um: um.sqrt() }
        };
        (0..27).map(step).filter(|step| step.um > 0.0).collect()
    }

    fn from(&self, at: [usize; 3], shape: [usize; 3]) -> Option<[usize; 3]> {
        let mut to = at;
        for axis in 0..3 {
            to[axis] = at[axis].checked_add_signed(self.by[axis])?;
        }
        (0..3).all(|axis| to[axis] < shape[axis]).then_some(to)
    }
}

/// Gives what no way led to to the nearest seed, the first of equals.
fn share_out_the_rest(parts: &mut Volume<u32>, room: &Volume<bool>, seeds: &[[usize; 3]]) {
    let seeds_um: Vec<_> = seeds.iter().map(|&seed| room.point_um(seed)).collect();
    for ((z, y, x), part) in parts.voxels_mut().indexed_iter_mut() {
        if *part > 0 || !room.voxels()[(z, y, x)] {
            continue;
        }
        let here = room.point_um([z, y, x]);
        let away = |seed: &nalgebra::Point3<f64>| (seed - here).norm_squared();
        let nearest = (1..).zip(&seeds_um).min_by(|a, b| away(a.1).total_cmp(&away(b.1)));
        *part = nearest.map_or(0, |(part, _)| part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;
    use proptest::prelude::*;

    const UM: [f64; 3] = [1.0, 0.5, 0.25];

    /// Every way is made shorter by every step until none gets shorter, from each seed on its own.
    fn by_definition(
        room: &Volume<bool>,
        seeds: &[[usize; 3]],
        resistance: &Volume<f32>,
    ) -> Vec<u32> {
        let steps = Step::all(room.voxel_size());
        let mut best = vec![(f64::INFINITY, 0); room.n_voxels()];
        for (part, &seed) in (1..).zip(seeds) {
            let mut um = room.map(|_| f64::INFINITY);
            um.voxels_mut()[seed] = 0.0;
            let mut shorter = true;
            while shorter {
                shorter = false;
                for (z, y, x) in ndarray::indices(room.voxels().dim()) {
                    for to in steps
                        .iter()
                        .filter_map(|step| step.from([z, y, x], room.shape()).map(|to| (step, to)))
                    {
                        let (step, to) = to;
                        let mean =
                            f32::midpoint(resistance.voxels()[(z, y, x)], resistance.voxels()[to]);
                        let way = um.voxels()[(z, y, x)] + step.um * (1.0 + f64::from(mean));
                        if room.voxels()[to] && way < um.voxels()[to] {
                            um.voxels_mut()[to] = way;
                            shorter = true;
                        }
                    }
                }
            }
            for (best, &um) in best.iter_mut().zip(um.as_slice()) {
                if um < best.0 {
                    *best = (um, part);
                }
            }
        }
        best.into_iter().map(|(_, part)| part).collect()
    }

    proptest! {
        #[test]
        fn the_fast_ways_are_the_shortest_by_definition(
            (shape, inside, resistance, n_seeds) in (1..4_usize, 1..6_usize, 1..6_usize).prop_flat_map(|(z, y, x)| {
                let n = z * y * x;
                let inside = prop::collection::vec(prop::bool::weighted(0.7), n);
                (Just([z, y, x]), inside, prop::collection::vec(0.0..9.0_f32, n), 1..4_usize)
            })
        ) {
            let room = sized_volume(shape, inside, UM);
            let resistance = sized_volume(shape, resistance, UM);
            let all = room.voxels().indexed_iter().filter(|(_, inside)| **inside);
            let seeds: Vec<[usize; 3]> = all.map(|((z, y, x), _)| [z, y, x]).step_by(5).take(n_seeds).collect();
            let found = by_shortest_way(&room, &seeds, &resistance);
            prop_assert_eq!(found.as_slice(), by_definition(&room, &seeds, &resistance));
        }
    }

    #[test]
    fn a_box_is_halved_in_the_middle_between_two_seeds() {
        let room = sized_volume([3, 5, 12], vec![true; 180], UM);
        let parts = share_out(&room, &[[1, 2, 1], [1, 2, 10]], None).unwrap();
        for ((_, _, x), &part) in parts.voxels().indexed_iter() {
            assert_eq!(part, if x < 6 { 1 } else { 2 });
        }
    }

    #[test]
    fn a_membrane_parts_better_than_the_middle() {
        let room = sized_volume([3, 5, 40], vec![true; 600], UM);
        let bright: Vec<f32> =
            (0..600).map(|voxel| if voxel % 40 == 12 { 100.0 } else { 1.0 }).collect();
        let membrane = sized_volume([3, 5, 40], bright, UM);
        let parts = share_out(&room, &[[1, 2, 1], [1, 2, 38]], Some(&membrane)).unwrap();
        for ((_, _, x), &part) in parts.voxels().indexed_iter() {
            assert!(x == 12 || part == if x < 12 { 1 } else { 2 }, "{x}: {part}");
        }
        let dark = membrane.map(|_| 3.0);
        let blind = share_out(&room, &[[1, 2, 1], [1, 2, 38]], Some(&dark)).unwrap();
        assert_eq!(blind, share_out(&room, &[[1, 2, 1], [1, 2, 38]], None).unwrap());
    }

    #[test]
    fn what_cannot_be_reached_goes_to_the_nearest_seed() {
        let inside = [true, true, false, true, false, true];
        let room = sized_volume([1, 1, 6], inside.to_vec(), UM);
        let parts = share_out(&room, &[[0, 0, 0], [0, 0, 5]], None).unwrap();
        assert_eq!(parts.as_slice(), [1, 1, 0, 2, 0, 2]);
    }
}
