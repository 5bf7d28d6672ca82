//! The room of each nucleus: the best guess at its cell where no membrane is seen.

use primordia_data::Volume;
use rayon::prelude::*;

use super::Nuclei;
use super::blobs::Noise;
use crate::components::Components;
use crate::distance::distance_um;
use crate::error::Result;
use crate::evidence::Evidence;
use crate::gaussian::gaussian;
use crate::guide::{Guide, Holds};
use crate::resample::{Enlarged, shrink};
use crate::segmentation::label_sizes;
use crate::sheet::Sheets;
use crate::stencil::Direction;
use crate::strength::{CoarseSums, coarse_factors};
use crate::watershed::flood;

/// The evidence for a wall between the rooms of sure nuclei: less than parts two cells, more than noise.
const WALL: f32 = 0.2;
/// Where a sheet is clearer than this, no nucleus is.
const CLEAR: f32 = 0.6;
/// The membrane channel is smoothed by this much, so that tissue is bright all through, and compared with what it is
/// around nuclei within this range.
const TISSUE_UM: f64 = 2.0;
const RANGE_UM: f64 = 12.0;

/// Where sheets stand out so well that evidence for usual ones is this, absence of a sheet says that there is none: nuclei
/// count by the second share of what they do where evidence is as low as the first.
const SEEN: [f64; 2] = [0.55, 0.9];
const WHERE_SEEN: f64 = 0.4;

/// Nuclei and their rooms.
pub(crate) struct Rooms<'n> {
    nuclei: &'n Nuclei,
    /// The room of each voxel by the number of a part of its nucleus; 0 is outside of the tissue.
    of: Volume<u32>,
    /// How much each nucleus counts, 0 to 1.
    weights: Vec<f64>,
}

impl<'n> Rooms<'n> {
    /// What is nearer to a nucleus than to all others, and in the tissue that the membranes show; `evidence` for sheets in
    /// them, in which 1 is usual, says how much nuclei count. All are on one grid.
    pub(crate) fn new(
        nuclei: &'n Nuclei,
        membranes: &Volume<f32>,
        evidence: &Volume<Evidence>,
    ) -> Result<Self> {
        const PER_UM: f32 = 20.0;
        membranes.check_same_grid(&nuclei.cores)?;
        let away_um = distance_um(&nuclei.cores.map(|&core| core == 0));
        let mut of = flood(away_um.map(|um| (um * PER_UM) as u16), nuclei.cores.clone())?;
        drop(away_um);
        if let Some(mut dark) = dark_places(nuclei, membranes)? {
            keep_large(&mut dark, &of, nuclei.owners.len());
            for ((room, &core), dark) in
                of.voxels_mut().iter_mut().zip(nuclei.cores.as_slice()).zip(dark.as_slice())
            {
                *room = if *dark { core } else { *room };
            }
        }
        Ok(Self { nuclei, of, weights: weights(nuclei, evidence)? })
    }

    /// Draws a weak sheet between rooms, and around all of them: membranes are somewhere between nuclei. A sheet that is
    /// seen is stronger.
    pub(crate) fn draw_walls(&self, sheets: &mut Sheets) {
        let [n_z, n_y, n_x] = self.of.shape();
        let rooms = self.of.as_slice();
        let (mut evidence, mut directions) =
            (sheets.evidence.voxels_mut(), sheets.directions.voxels_mut());
        let (Some(evidence), Some(directions)) =
            (evidence.as_slice_mut(), directions.as_slice_mut())
        else {
            return;
        };
        for (here, &room) in rooms.iter().enumerate() {
            let at = [here / n_x / n_y, here / n_x % n_y, here % n_x];
            let next = [(at[0] + 1 < n_z, n_x * n_y), (at[1] + 1 < n_y, n_x), (at[2] + 1 < n_x, 1)];
            for there in next.into_iter().filter(|next| next.0).map(|(_, step)| here + step) {
                if rooms[there] != room {
                    let (strength, direction) = self.wall(at, room, rooms[there]);
                    for voxel in [here, there] {
                        if evidence[voxel].value() < strength {
                            (evidence[voxel], directions[voxel]) =
                                (Evidence::new(strength), direction);
                        }
                    }
                }
            }
        }
    }

    /// The evidence for a wall at a voxel between two rooms, and the direction across it.
    fn wall(&self, at: [usize; 3], a: u32, b: u32) -> (f32, Direction) {
        let row = |room: u32| self.nuclei.owners[room as usize - 1];
        let nucleus = |row: u32| self.nuclei.all()[row as usize];
        let weight = |row: u32| self.weights[row as usize];
        let (surely, across) = match (a, b) {
            (0, room) | (room, 0) => {
                let row = row(room);
                let across = self.of.point_um(at) - nucleus(row).centre_um;
                (weight(row) * nucleus(row).sureness, across)
            }
            (a, b) => {
                let (a, b) = (row(a), row(b));
                let weight = f64::midpoint(weight(a), weight(b));
                (weight * self.nuclei.apart(a, b), nucleus(b).centre_um - nucleus(a).centre_um)
            }
        };
        let across = [across.z, across.y, across.x].map(|part| part as f32);
        let across = if across == [0.0; 3] { [1.0, 0.0, 0.0] } else { across };
        (WALL * surely as f32, Direction::nearest(across))
    }

    /// Makes of all `seeds` of regions (`1..`) that lie in a part of a nucleus a single one; where `evidence` for sheets is
    /// clear, there is no nucleus. The parts come first among the new numbers.
    pub(crate) fn plant(&self, seeds: &mut Volume<u32>, evidence: &Volume<Evidence>) {
        let mut number = self.nuclei.owners.len() as u32;
        let places = self.nuclei.cores.as_slice().iter().zip(evidence.as_slice());
        for (seed, (&core, &evidence)) in seeds.voxels_mut().iter_mut().zip(places) {
            if core > 0 && evidence.value() <= CLEAR {
                *seed = core;
            } else if *seed > 0 {
                number += 1;
                *seed = number;
            }
        }
    }

    /// What the nuclei say of the regions `1..=n_regions` of `labels` that grew from planted seeds.
    pub(crate) fn guide(self, labels: &Volume<u32>, n_regions: usize) -> Guide<'n> {
        let mut inside = vec![0_i64; n_regions + 1];
        for (&label, &room) in labels.as_slice().iter().zip(self.of.as_slice()) {
            inside[label as usize] += if room > 0 { 1 } else { -1 };
        }
        let holds = |(region, inside): (usize, &i64)| match self.nuclei.owners.get(region) {
            Some(&row) => vec![Holds::Nucleus(row)],
            None if *inside < 0 => vec![Holds::Outside],
            None => Vec::new(),
        };
        let held = inside[1..].iter().enumerate().map(holds).collect();
        Guide::new(self.nuclei, self.weights, held)
    }
}

/// Where the smoothed membranes are less than half as bright as they are around nuclei nearby, over where they are darkest;
/// none if noise explains the difference.
fn dark_places(nuclei: &Nuclei, membranes: &Volume<f32>) -> Result<Option<Volume<bool>>> {
    const DARKEST: f64 = 0.02;
    const ABOVE_NOISE: f64 = 6.0;
    let smooth = gaussian(membranes, [TISSUE_UM; 3])?;
    let mut values = smooth.as_slice().to_vec();
    let at = (DARKEST * (values.len() - 1) as f64) as usize;
    let darkest = *values.select_nth_unstable_by(at, f32::total_cmp).1;
    drop(values);
    let at_nuclei = nuclei.cores.map(|&core| f32::from(u8::from(core > 0)));
    let mut bright = smooth.map(|value| value - darkest);
    let pairs = bright.voxels_mut();
    ndarray::Zip::from(pairs).and(at_nuclei.voxels()).for_each(|value, at| *value *= at);
    let sum = |volume: &Volume<f32>| volume.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>();
    let contrast = sum(&bright) / sum(&at_nuclei).max(1.0);
    if contrast < ABOVE_NOISE * Noise::of(membranes).of_gaussian(TISSUE_UM) {
        return Ok(None);
    }
    let factors = coarse_factors((membranes.shape(), membranes.voxel_size()), RANGE_UM);
    let around =
        |volume: Volume<f32>| gaussian(&shrink(&volume, factors, |value| value)?, [RANGE_UM; 3]);
    let (mut usual, n) = (around(bright)?, around(at_nuclei)?);
    // Far from all nuclei, nothing is tissue.
    ndarray::Zip::from(usual.voxels_mut())
        .and(n.voxels())
        .for_each(|usual, &n| *usual = if n > 1e-6 { *usual / n } else { f32::INFINITY });
    let usual = Enlarged::new(&usual, factors);
    let [_, n_y, n_x] = smooth.shape();
    let mut dark = smooth.map(|_| false);
    if let Some(dark) = dark.voxels_mut().as_slice_mut() {
        dark.par_chunks_mut(n_x).enumerate().for_each_init(
            || vec![0.0; n_x],
            |usual_row, (row, dark)| {
                usual.row(row / n_y, row % n_y, 0, usual_row);
                let values = &smooth.as_slice()[row * n_x..][..n_x];
                for ((dark, value), usual) in dark.iter_mut().zip(values).zip(usual_row) {
                    *dark = value - darkest < 0.5 * *usual;
                }
            },
        );
    }
    Ok(Some(dark))
}

/// Leaves of the `dark` places those that are larger than a few rooms: the middle of a cell is dark, too.
fn keep_large(dark: &mut Volume<bool>, rooms: &Volume<u32>, n_rooms: usize) {
    const ROOMS: u64 = 2;
    let mut sizes = label_sizes(rooms, n_rooms as u32).split_off(1);
    sizes.sort_unstable();
    let least = ROOMS * sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    let places = Components::new(dark, |&dark| dark);
    let is_large: Vec<bool> = places.sizes().iter().map(|&size| size >= least).collect();
    places.paint(&is_large, dark);
}

/// How much each nucleus counts: little where sheets are seen so well that their absence says something.
fn weights(nuclei: &Nuclei, evidence: &Volume<Evidence>) -> Result<Vec<f64>> {
    let factors = coarse_factors((evidence.shape(), evidence.voxel_size()), RANGE_UM);
    let strength = CoarseSums::new(evidence, factors, Evidence::value)?.strength(RANGE_UM)?;
    let um = strength.voxel_size().um();
    let weight = |nucleus: &super::Nucleus| {
        let at = [0, 1, 2].map(|axis| {
            let at = (nucleus.centre_um[2 - axis] / um[axis]) as usize;
            at.min(strength.shape()[axis] - 1)
        });
        let seen = f64::from(strength.voxels()[at]);
        let blind = ((SEEN[1] - seen) / (SEEN[1] - SEEN[0])).clamp(0.0, 1.0);
        WHERE_SEEN + (1.0 - WHERE_SEEN) * blind
    };
    Ok(nuclei.all().iter().map(weight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::volume;

    /// Two nuclei of three voxels each in a row, the first in two parts.
    fn two() -> Nuclei {
        let mut nuclei = Nuclei::known(&[1.0; 2]);
        nuclei.cores = volume([1, 1, 12], vec![0, 0, 1, 1, 2, 0, 0, 3, 3, 3, 0, 0]);
        nuclei.owners = vec![0, 0, 1];
        nuclei
    }

    #[test]
    fn a_part_of_a_nucleus_is_one_seed_and_none_lies_on_a_clear_sheet() {
        let nuclei = two();
        let mut seeds = volume([1, 1, 12], vec![1, 0, 2, 3, 4, 0, 5, 6, 0, 7, 0, 8]);
        let mut evidence = vec![0.0; 12];
        (evidence[3], evidence[9]) = (0.5, 0.9);
        let evidence = volume([1, 1, 12], evidence).map(|&value| Evidence::new(value));
        let rooms = Rooms { nuclei: &nuclei, of: seeds.clone(), weights: vec![1.0; 2] };
        rooms.plant(&mut seeds, &evidence);
        assert_eq!(seeds.as_slice(), [4, 0, 1, 1, 2, 0, 5, 3, 3, 6, 0, 7]);
    }

    #[test]
    fn regions_hold_the_nuclei_of_their_seeds_or_the_outside() {
        let nuclei = two();
        let of = volume([1, 1, 12], vec![0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 0, 0]);
        let rooms = Rooms { nuclei: &nuclei, of, weights: vec![1.0; 2] };
        let labels = volume([1, 1, 12], vec![4, 4, 1, 1, 2, 5, 5, 3, 3, 3, 4, 0]);
        let (outside, nucleus) = (vec![Holds::Outside], |row| vec![Holds::Nucleus(row)]);
        let wanted = [nucleus(0), nucleus(0), nucleus(1), outside, vec![]];
        assert_eq!(rooms.guide(&labels, 5).held(5), wanted);
    }

    #[test]
    fn walls_stand_between_nuclei_and_around_them_where_no_sheet_is_seen() {
        let nuclei = two();
        let of = volume([1, 1, 12], vec![0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 0]);
        let rooms = Rooms { nuclei: &nuclei, of, weights: vec![1.0, 0.5] };
        let mut evidence = vec![0.0; 12];
        evidence[6] = 0.7;
        let evidence = volume([1, 1, 12], evidence).map(|&value| Evidence::new(value));
        let directions = evidence.map(|_| Direction::default());
        let mut sheets = Sheets { evidence, directions };
        rooms.draw_walls(&mut sheets);
        let found: Vec<f32> =
            sheets.evidence.as_slice().iter().map(|e| (100.0 * e.value()).round()).collect();
        assert_eq!(found, [20.0, 20.0, 0.0, 0.0, 0.0, 15.0, 70.0, 0.0, 0.0, 0.0, 10.0, 10.0]);
        let along_x = Direction::nearest([0.0, 0.0, 1.0]).unit();
        assert_eq!(sheets.directions.as_slice()[5].unit(), along_x);
    }

    #[test]
    fn dark_places_of_the_size_of_a_cell_are_no_outside() {
        let rooms = volume([1, 1, 12], vec![1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        let dark = [0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0].map(|dark| dark == 1);
        let mut dark = volume([1, 1, 12], dark.to_vec());
        keep_large(&mut dark, &rooms, 4);
        let kept: Vec<usize> = (0..12).filter(|&at| dark.as_slice()[at]).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9]);
    }
}
