//! Seeded watershed: floods an image from seeds, lowest levels first.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use ndarray::Array3;
use primordia_data::{DataError, Volume};
use rayon::prelude::*;

use crate::error::{Result, SegmentError};

/// What the flood must not enter; every label is lower.
const WALL: u32 = u32::MAX / 2;
/// What the flood has not reached; with a number below, the voxel of the shore that claims it.
const FREE: u32 = u32::MAX;
/// The claim of the shore's first voxel.
const FIRST_CLAIM: u32 = 1 << 31;

/// Floods `levels` from `seeds` (0 where there is none) until every voxel that can be reached by
/// faces carries the label of a seed (Meyer 1994, doi:10.1016/0165-1684(94)90060-4).
///
/// The lowest voxel at the shore floods first, of equals the one reached first; seeds come in the
/// order of memory, and a voxel below the water floods at the water's level. This is
/// `skimage.segmentation.watershed` (0.26) with one order for equal seeds, where scikit-image
/// leaves it to its heap.
///
/// # Errors
/// [`SegmentError::Data`] if the two are not on one grid, [`SegmentError::TooLarge`] beyond 2³² − 1 voxels.
pub fn watershed(levels: &Volume<u8>, seeds: Volume<u32>) -> Result<Volume<u32>> {
    levels.check_same_grid(&seeds)?;
    flood(levels, seeds)
}

/// [`watershed`] that stays in the voxels of `mask`, on as many levels as the image has.
///
/// # Errors
/// Those of [`watershed`].
pub fn watershed_within(
    levels: &Volume<u16>,
    seeds: Volume<u32>,
    mask: &Volume<bool>,
) -> Result<Volume<u32>> {
    levels.check_same_grid(&seeds)?;
    levels.check_same_grid(mask)?;
    check_labels(&seeds)?;
    let mut walled = seeds;
    if let Some(voxels) = walled.voxels_mut().as_slice_mut() {
        let outside = voxels.par_iter_mut().zip(mask.as_slice()).filter(|(_, inside)| !**inside);
        outside.for_each(|(label, _)| *label = WALL);
    }
    flood_walled(levels, walled)
}

/// [`watershed`] on any number of levels.
pub(crate) fn flood<L: Copy + Into<usize> + Sync>(
    levels: &Volume<L>,
    seeds: Volume<u32>,
) -> Result<Volume<u32>> {
    check_labels(&seeds)?;
    flood_walled(levels, seeds)
}

fn check_labels(seeds: &Volume<u32>) -> Result<()> {
    let largest = seeds.as_slice().par_iter().copied().max().unwrap_or(0);
    if largest < WALL {
        return Ok(());
    }
    let wanted = "below 2³¹ − 1";
    Err(SegmentError::Parameter { name: "the label of a seed", value: f64::from(largest), wanted })
}

/// The flood goes from shore to shore: all voxels that wait at the water's level at once. Each free neighbour falls
/// to the first voxel of the shore that touches it and joins the next shore in that voxel's
/// place, so the order is that of one queue per level, on any number of threads.
fn flood_walled<L: Copy + Into<usize> + Sync>(
    levels: &Volume<L>,
    seeds: Volume<u32>,
) -> Result<Volume<u32>> {
    let grid = Grid::new(levels.shape())?;
    let voxel_size = seeds.voxel_size();
    let dim = seeds.voxels().dim();
    let (voxels, _) = seeds.into_voxels().into_raw_vec_and_offset();
    let free = |label| AtomicU32::new(if label == 0 { FREE } else { label });
    let labels: Vec<AtomicU32> = voxels.into_iter().map(free).collect();
    let level_of = |voxel: u32| levels.as_slice()[voxel as usize].into();
    let mut waiting = Waiting::default();
    waiting.add(first_shore(&labels, &grid), &level_of);
    while let Some(shore) = waiting.next_shore() {
        if shore.len() < WORTH_SHARING {
            waiting.add(take(&shore, |_| FREE, &labels, &grid), &level_of);
        } else {
            claim(&shore, &labels, &grid);
            let reached: Vec<Vec<u32>> = shore
                .par_chunks(WORTH_SHARING / 4)
                .enumerate()
                .map(|(chunk, part)| {
                    let first = FIRST_CLAIM + (chunk * WORTH_SHARING / 4) as u32;
                    take(part, |place| first + place as u32, &labels, &grid)
                })
                .collect();
            for reached in reached {
                waiting.add(reached, &level_of);
            }
        }
    }
    let dry =
        |label: AtomicU32| Some(label.into_inner()).filter(|&label| label < WALL).unwrap_or(0);
    let voxels = Array3::from_shape_vec(dim, labels.into_iter().map(dry).collect());
    let voxels = voxels.map_err(|_| DataError::EmptyVolume { shape: levels.shape() })?;
    Ok(Volume::new(voxels, voxel_size)?)
}

/// Shores of fewer voxels are not worth several threads.
const WORTH_SHARING: usize = 8192;

/// The labelled voxels with a free neighbour, in the order of memory.
fn first_shore(labels: &[AtomicU32], grid: &Grid) -> Vec<u32> {
    let row = grid.n_x as usize;
    let rows: Vec<Vec<u32>> = labels
        .par_chunks(row)
        .enumerate()
        .map(|(number, voxels)| {
            let first = (number * row) as u32;
            let is_shore = |voxel: u32| {
                let mut shore = false;
                grid.for_neighbours(voxel, |near| {
                    shore |= labels[near as usize].load(Relaxed) == FREE;
                });
                shore
            };
            (first..)
                .zip(voxels)
                .filter(|(voxel, label)| label.load(Relaxed) < WALL && is_shore(*voxel))
                .map(|(voxel, _)| voxel)
                .collect()
        })
        .collect();
    rows.concat()
}

/// Marks every free neighbour of the shore with the place of the first voxel that touches it.
fn claim(shore: &[u32], labels: &[AtomicU32], grid: &Grid) {
    shore.par_iter().enumerate().with_min_len(WORTH_SHARING / 4).for_each(|(place, &voxel)| {
        let mine = FIRST_CLAIM + place as u32;
        grid.for_neighbours(voxel, |near| {
            if labels[near as usize].load(Relaxed) > mine {
                labels[near as usize].fetch_min(mine, Relaxed);
            }
        });
    });
}

/// Labels the neighbours that wait for the voxel of the shore at each place under a number; gives them in order.
fn take(
    shore: &[u32],
    number: impl Fn(usize) -> u32,
    labels: &[AtomicU32],
    grid: &Grid,
) -> Vec<u32> {
    let mut reached = Vec::with_capacity(shore.len());
    for (place, &voxel) in shore.iter().enumerate() {
        let number = number(place);
        let label = labels[voxel as usize].load(Relaxed);
        grid.for_neighbours(voxel, |near| {
            if labels[near as usize].load(Relaxed) == number {
                labels[near as usize].store(label, Relaxed);
                reached.push(near);
            }
        });
    }
    reached
}

/// Who is next to whom.
struct Grid {
    n_x: u32,
    n_y: u32,
    n_voxels: u32,
}

impl Grid {
    fn new([n_z, n_y, n_x]: [usize; 3]) -> Result<Self> {
        let voxels = n_z.saturating_mul(n_y).saturating_mul(n_x);
        let most = FIRST_CLAIM as usize;
        if voxels > most {
            return Err(SegmentError::TooLarge { voxels, most });
        }
        Ok(Self { n_x: n_x as u32, n_y: n_y as u32, n_voxels: voxels as u32 })
    }

    /// Calls `visit` for the neighbours before (z, y, x), then those after (x, y, z).
    #[inline(always)]
    fn for_neighbours(&self, voxel: u32, mut visit: impl FnMut(u32)) {
        let plane = self.n_x * self.n_y;
        let row = voxel / self.n_x;
        let x = voxel - row * self.n_x;
        let y = row % self.n_y;
        if voxel >= plane {
            visit(voxel - plane);
        }
        if y > 0 {
            visit(voxel - self.n_x);
        }
        if x > 0 {
            visit(voxel - 1);
        }
        if x + 1 < self.n_x {
            visit(voxel + 1);
        }
        if y + 1 < self.n_y {
            visit(voxel + self.n_x);
        }
        if self.n_voxels - voxel > plane {
            visit(voxel + plane);
        }
    }
}

/// The voxels that wait for the water, by level, each level in the order of coming.
#[derive(Default)]
struct Waiting {
    levels: Vec<Vec<u32>>,
    water: usize, // the level of the flood: no voxel waits below it
}

impl Waiting {
    fn add(&mut self, voxels: Vec<u32>, level_of: &impl Fn(u32) -> usize) {
        for voxel in voxels {
            let level = level_of(voxel).max(self.water);
            if level >= self.levels.len() {
                self.levels.resize_with(level + 1, Vec::new);
            }
            self.levels[level].push(voxel);
        }
    }

    fn next_shore(&mut self) -> Option<Vec<u32>> {
        while let Some(level) = self.levels.get_mut(self.water) {
            if !level.is_empty() {
                return Some(std::mem::take(level));
            }
            self.water += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, on_threads, reference, volume};
    use proptest::prelude::*;

    /// The definition: of all voxels at the shore take the lowest, of equals the first to come.
    fn watershed_by_definition(levels: &Volume<u8>, seeds: &Volume<u32>) -> Volume<u32> {
        let shape = levels.shape();
        let grid = Grid::new(shape).unwrap();
        let levels = levels.as_slice();
        let mut labels = seeds.as_slice().to_vec();
        let mut shore: Vec<(u8, u32, u32)> = Vec::new(); // level, time, voxel
        let mut time = 0;
        for voxel in 0..labels.len() as u32 {
            if labels[voxel as usize] > 0 {
                shore.push((levels[voxel as usize], time, voxel));
                time += 1;
            }
        }
        while let Some(&next) = shore.iter().min() {
            shore.retain(|&other| other != next);
            grid.for_neighbours(next.2, |near| {
                if labels[near as usize] == 0 {
                    labels[near as usize] = labels[next.2 as usize];
                    shore.push((levels[near as usize].max(next.0), time, near));
                    time += 1;
                }
            });
        }
        volume(shape, labels)
    }

    proptest! {
        #[test]
        fn the_queue_floods_in_order(levels in any_bytes(7), chosen in prop::collection::vec(0..343_usize, 0..6)) {
            let mut seeds = levels.map(|_| 0);
            for (n, voxel) in chosen.into_iter().enumerate() {
                let mut seeds = seeds.voxels_mut();
                let voxels = seeds.as_slice_mut().unwrap();
                let voxel = voxel % voxels.len();
                voxels[voxel] = n as u32 + 1;
            }
            prop_assert_eq!(watershed(&levels, seeds.clone()).unwrap(), watershed_by_definition(&levels, &seeds));
        }
    }

    #[test]
    fn the_flood_is_that_of_scikit_image() {
        let levels = volume(reference().shape, reference().levels);
        let seeds = volume(reference().shape, reference().seeds);
        assert_eq!(watershed(&levels, seeds).unwrap().as_slice(), reference().watershed);
    }

    /// Large enough for shores that threads share.
    #[test]
    fn threads_do_not_matter() {
        let voxels =
            (0..40 * 120 * 130_u64).map(|n| (n * n / 7 % 13 + n % 130 / 30) as u8).collect();
        let levels = volume([40, 120, 130], voxels);
        let mut seeds = levels.map(|_| 0);
        for y in 0..120 {
            for z in 0..40 {
                seeds.voxels_mut()[[z, y, 3]] = 1 + y as u32 % 7;
                seeds.voxels_mut()[[z, y, 110]] = 8 + z as u32 % 5;
            }
        }
        let one = on_threads(1, || watershed(&levels, seeds.clone()).unwrap());
        assert_eq!(one, on_threads(4, || watershed(&levels, seeds.clone()).unwrap()));
        assert_eq!(one, one_by_one(&levels, &seeds));
    }

    /// The flood without threads: every shore advanced by one.
    fn one_by_one(levels: &Volume<u8>, seeds: &Volume<u32>) -> Volume<u32> {
        let grid = Grid::new(levels.shape()).unwrap();
        let dim = seeds.voxels().dim();
        let free = |&label: &u32| AtomicU32::new(if label == 0 { FREE } else { label });
        let labels: Vec<AtomicU32> = seeds.as_slice().iter().map(free).collect();
        let level_of = |voxel: u32| levels.as_slice()[voxel as usize].into();
        let mut waiting = Waiting::default();
        waiting.add(first_shore(&labels, &grid), &level_of);
        while let Some(shore) = waiting.next_shore() {
            waiting.add(take(&shore, |_| FREE, &labels, &grid), &level_of);
        }
        let voxels = labels.into_iter().map(AtomicU32::into_inner).collect();
        volume([dim.0, dim.1, dim.2], voxels)
    }

    #[test]
    fn a_ridge_parts_two_basins() {
        let levels = volume([1, 1, 7], vec![0, 1, 2, 9, 3, 1, 0]);
        let seeds = volume([1, 1, 7], vec![4, 0, 0, 0, 0, 0, 6]);
        assert_eq!(watershed(&levels, seeds).unwrap().as_slice(), [4, 4, 4, 4, 6, 6, 6]);
    }

    #[test]
    fn the_flood_stays_inside_its_mask() {
        let levels = volume([1, 1, 6], vec![0_u16, 500, 65_535, 0, 0, 0]);
        let seeds = volume([1, 1, 6], vec![1, 0, 0, 0, 0, 2]);
        let mask = volume([1, 1, 6], vec![true, true, true, false, true, false]);
        let labels = watershed_within(&levels, seeds, &mask).unwrap();
        assert_eq!(labels.as_slice(), [1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn seeds_lie_on_the_grid_of_the_image() {
        let seeds = volume([1, 1, 2], vec![1, 0]);
        assert!(matches!(
            watershed(&volume([1, 2, 1], vec![0, 0]), seeds),
            Err(SegmentError::Data(_))
        ));
    }
}
