//! Seeded watershed: floods an image from seeds, lowest levels first.

use std::collections::VecDeque;

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::{Result, SegmentError};

/// The label of voxels that the flood must not enter.
const WALL: u32 = u32::MAX;

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
    let mut walled = seeds;
    let wall = |(label, &inside): (&mut u32, &bool)| {
        if !inside {
            *label = WALL;
        }
    };
    if let Some(voxels) = walled.voxels_mut().as_slice_mut() {
        voxels.par_iter_mut().zip(mask.as_slice()).for_each(wall);
    }
    let mut labels = flood(levels, walled)?;
    if let Some(voxels) = labels.voxels_mut().as_slice_mut() {
        voxels.par_iter_mut().filter(|label| **label == WALL).for_each(|label| *label = 0);
    }
    Ok(labels)
}

pub(crate) fn flood<L: Copy + Into<usize> + Sync>(
    levels: &Volume<L>,
    mut seeds: Volume<u32>,
) -> Result<Volume<u32>> {
    let grid = Grid::new(levels.shape())?;
    let levels = levels.as_slice();
    if let Some(labels) = seeds.voxels_mut().as_slice_mut() {
        let mut queue = Queue::default();
        for voxel in shores(labels, &grid) {
            queue.push(levels[voxel as usize].into(), voxel);
        }
        while let Some(voxel) = queue.pop() {
            let label = labels[voxel as usize];
            grid.for_neighbours(voxel, |near| {
                if labels[near as usize] == 0 {
                    labels[near as usize] = label;
                    queue.push(levels[near as usize].into(), near);
                }
            });
        }
    }
    Ok(seeds)
}

/// The labelled voxels with an unlabelled neighbour, in the order of memory.
fn shores(labels: &[u32], grid: &Grid) -> Vec<u32> {
    let row = grid.n_x as usize;
    let rows: Vec<Vec<u32>> = labels
        .par_chunks(row)
        .enumerate()
        .map(|(number, voxels)| {
            let first = (number * row) as u32;
            let is_shore = |voxel: u32| {
                let mut shore = false;
                grid.for_neighbours(voxel, |near| shore |= labels[near as usize] == 0);
                shore
            };
            (first..)
                .zip(voxels)
                .filter(|&(voxel, &label)| label != 0 && label != WALL && is_shore(voxel))
                .map(|(voxel, _)| voxel)
                .collect()
        })
        .collect();
    rows.concat()
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
        match u32::try_from(voxels) {
            Ok(n_voxels) => Ok(Self { n_x: n_x as u32, n_y: n_y as u32, n_voxels }),
            Err(_) => Err(SegmentError::TooLarge { voxels, most: u32::MAX as usize }),
        }
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

/// Voxels by level, of one level first in, first out.
#[derive(Default)]
struct Queue {
    levels: Vec<VecDeque<u32>>,
    water: usize, // the level of the flood: no voxel waits below it
}

impl Queue {
    #[inline]
    fn push(&mut self, level: usize, voxel: u32) {
        let level = level.max(self.water);
        if level >= self.levels.len() {
            self.levels.resize_with(level + 1, VecDeque::new);
        }
        self.levels[level].push_back(voxel);
    }

    #[inline]
    fn pop(&mut self) -> Option<u32> {
        while let Some(level) = self.levels.get_mut(self.water) {
            if let Some(voxel) = level.pop_front() {
                return Some(voxel);
            }
            self.water += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, reference, volume};
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
