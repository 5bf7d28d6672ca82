//! Seeded watershed: floods an image from seeds, lowest levels first.

use std::borrow::Borrow;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use ndarray::Array3;
use primordia_data::{DataError, Volume};
use rayon::prelude::*;

use crate::error::{Result, SegmentError};
use crate::taken::{Grid, Near, Taken};

/// What the flood must not enter.
const WALL: u32 = u32::MAX;
/// What the flood has not reached is this and its level; every label is lower.
const FREE: u32 = 1 << 31;

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
    check_labels(&seeds)?;
    Flood::new(levels, seeds)?.rise()
}

/// [`watershed`] that stays in the voxels of `mask`, on as many levels as the image has.
///
/// # Errors
/// Those of [`watershed`].
pub fn watershed_within(
    levels: &Volume<u16>,
    mut seeds: Volume<u32>,
    mask: &Volume<bool>,
) -> Result<Volume<u32>> {
    levels.check_same_grid(&seeds)?;
    levels.check_same_grid(mask)?;
    check_labels(&seeds)?;
    if let Some(voxels) = seeds.voxels_mut().as_slice_mut() {
        let outside = voxels.par_iter_mut().zip(mask.as_slice()).filter(|(_, inside)| !**inside);
        outside.for_each(|(label, _)| *label = WALL);
    }
    Flood::new(levels, seeds)?.rise()
}

/// [`watershed`] on any number of levels; those that are given away leave their memory to the flood.
pub(crate) fn flood<L: Copy + Into<u32> + Sync>(
    levels: impl Borrow<Volume<L>>,
    seeds: Volume<u32>,
) -> Result<Volume<u32>> {
    check_labels(&seeds)?;
    let flood = Flood::new(levels.borrow(), seeds)?;
    drop(levels);
    flood.rise()
}

fn check_labels(seeds: &Volume<u32>) -> Result<()> {
    let largest = seeds.as_slice().par_iter().copied().max().unwrap_or(0);
    if largest < FREE {
        return Ok(());
    }
    let wanted = "below 2³¹";
    Err(SegmentError::Parameter { name: "the label of a seed", value: f64::from(largest), wanted })
}

/// The flood goes from shore to shore: all voxels that wait at the water's level at once. Each free neighbour falls
/// to the first voxel of the shore that touches it and joins the next shore in that voxel's
/// place, so the order is that of one queue per level, on any number of threads.
struct Flood {
    grid: Grid,
    taken: Taken,
    waiting: Waiting,
    /// The label of each voxel, or [`FREE`] and its level.
    labels: Volume<u32>,
}

impl Flood {
    /// The flood before its first step; it knows the levels from here on.
    fn new<L: Copy + Into<u32> + Sync>(
        levels: &Volume<L>,
        mut labels: Volume<u32>,
    ) -> Result<Self> {
        let grid = Grid::new(levels.shape())?;
        let taken = Taken::new(&labels, &grid);
        let waiting = first_shore(levels, &labels, &taken, &grid);
        note_levels(levels.as_slice(), &mut labels);
        Ok(Self { grid, taken, waiting, labels })
    }

    /// The labels once all is flooded that can be reached.
    fn rise(self) -> Result<Volume<u32>> {
        let Self { grid, mut taken, mut waiting, labels } = self;
        let (shape, voxel_size) = (labels.shape(), labels.voxel_size());
        let (voxels, _) = labels.into_voxels().into_raw_vec_and_offset();
        let labels: Vec<AtomicU32> = voxels.into_iter().map(AtomicU32::new).collect();
        let mut waves: Vec<Wave> = Vec::new();
        waves.resize_with(AT_A_TIME / SHARE, Wave::default);
        while let Some(shore) = waiting.next_shore() {
            let parts = shore.chunks(AT_A_TIME);
            parts.for_each(|part| waiting.spread(part, &labels, &mut taken, &grid, &mut waves));
        }
        let mut voxels: Vec<u32> = labels.into_iter().map(AtomicU32::into_inner).collect();
        let dry = voxels.par_iter_mut().filter(|label| **label >= FREE);
        dry.for_each(|label| *label = 0);
        let voxels =
            Array3::from_shape_vec(shape, voxels).map_err(|_| DataError::EmptyVolume { shape })?;
        Ok(Volume::new(voxels, voxel_size)?)
    }
}

/// Writes its level into each free voxel, where the flood finds it when it comes to label the voxel.
fn note_levels<L: Copy + Into<u32> + Sync>(levels: &[L], labels: &mut Volume<u32>) {
    if let Some(labels) = labels.voxels_mut().as_slice_mut() {
        labels.par_iter_mut().zip(levels).for_each(|(label, &level)| {
            *label = if *label == 0 { FREE + level.into() } else { *label };
        });
    }
}

/// Shores of fewer voxels are not worth several threads.
const WORTH_SHARING: usize = 8192;
/// Voxels of a shore that one thread takes at a time.
const SHARE: usize = WORTH_SHARING / 4;
/// Voxels of a shore that spread at a time: what they claim takes far more memory than they do.
const AT_A_TIME: usize = 16 * SHARE;

/// The labelled voxels with a free neighbour, in the order of memory.
///
/// They are many, on many levels: counted first, and then gathered some planes at a time, they take no
/// more memory than they must.
fn first_shore<L: Copy + Into<u32> + Sync>(
    levels: &Volume<L>,
    labels: &Volume<u32>,
    taken: &Taken,
    grid: &Grid,
) -> Waiting {
    let ([n_z, n_y, n_x], levels, labels) = (levels.shape(), levels.as_slice(), labels.as_slice());
    let shore_of_plane = |z: usize| {
        (0..n_y).flat_map(move |y| {
            let first = (z * n_y + y) * n_x;
            let voxels = taken.beside_free([z, y], grid).map(move |x| first + x);
            voxels.filter(|&voxel| labels[voxel] < FREE).map(|v| (v as u32, levels[v].into()))
        })
    };
    let counts = (0..n_z).into_par_iter().fold(Vec::new, |mut counts, z| {
        shore_of_plane(z).for_each(|(_, level)| count(&mut counts, level as usize, 1));
        counts
    });
    let mut waiting = Waiting::with_room_for(&counts.reduce(Vec::new, |mut sum, counts| {
        counts.into_iter().enumerate().for_each(|(level, n)| count(&mut sum, level, n));
        sum
    }));
    let planes: Vec<usize> = (0..n_z).collect();
    for planes in planes.chunks(rayon::current_num_threads()) {
        let shores: Vec<Vec<(u32, u32)>> =
            planes.par_iter().map(|&z| shore_of_plane(z).collect()).collect();
        shores.into_iter().flatten().for_each(|(voxel, level)| waiting.add(voxel, level));
    }
    waiting
}

/// Counts `n` more voxels of a level.
fn count(counts: &mut Vec<usize>, level: usize, n: usize) {
    if level >= counts.len() {
        counts.resize(level + 1, 0);
    }
    counts[level] += n;
}

/// A free neighbour of the shore, and the voxel there whose label it would have.
#[derive(Clone, Copy)]
struct Claim {
    near: Near,
    from: u32,
}

/// What some voxels of a shore claim and then reach: kept from shore to shore, as there are many.
#[derive(Default)]
struct Wave {
    claims: Vec<Claim>,
    /// Voxels and their levels.
    reached: Vec<(u32, u32)>,
}

impl Wave {
    /// Claims the free neighbours of some of the shore, each as often as it has one there.
    fn claim(&mut self, shore: &[u32], grid: &Grid, taken: &Taken) {
        self.claims.clear();
        for &from in shore {
            let near = grid.neighbours(from);
            // Asked all before the first is acted on: what is free cannot be foreseen, and guesses of the processor cost.
            let free = |place: usize| u32::from(taken.is_free(near[place])) << place;
            let mut free = (0..near.len()).fold(0, |all, place| all | free(place));
            while free > 0 {
                self.claims.push(Claim { near: near[free.trailing_zeros() as usize], from });
                free &= free - 1;
            }
        }
    }

    /// Takes what is claimed and still free: of several claims the first gets it.
    fn take(&mut self, taken: &mut Taken) {
        self.claims.retain(|claim| taken.take(claim.near));
    }

    /// Labels the voxels that it took. Their levels, and the labels beside them, are read first, all at once: they are far
    /// from one another in memory, and none need wait for what becomes of the one before.
    fn reach(&mut self, labels: &[AtomicU32]) {
        let at = |voxel: u32| labels[voxel as usize].load(Relaxed);
        let read = self.claims.iter().map(|claim| (at(claim.near.voxel) - FREE, at(claim.from)));
        self.reached.clear();
        self.reached.extend(read);
        for (claim, reached) in self.claims.iter().zip(&mut self.reached) {
            let (level, label) = *reached;
            labels[claim.near.voxel as usize].store(label, Relaxed);
            *reached = (claim.near.voxel, level);
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
    /// None yet, but memory for so many of each level.
    fn with_room_for(counts: &[usize]) -> Self {
        Self { levels: counts.iter().map(|&n| Vec::with_capacity(n)).collect(), water: 0 }
    }

    fn add(&mut self, voxel: u32, level: u32) {
        let level = (level as usize).max(self.water);
        if level >= self.levels.len() {
            self.levels.resize_with(level + 1, Vec::new);
        }
        self.levels[level].push(voxel);
    }

    /// Goes one step on from a shore, or from a part of it; those before have been gone on from.
    fn spread(
        &mut self,
        shore: &[u32],
        labels: &[AtomicU32],
        taken: &mut Taken,
        grid: &Grid,
        waves: &mut [Wave],
    ) {
        let waves = if shore.len() < WORTH_SHARING {
            let wave = &mut waves[..1];
            wave[0].claim(shore, grid, taken);
            wave[0].take(taken);
            wave[0].reach(labels);
            wave
        } else {
            let waves = &mut waves[..shore.len().div_ceil(SHARE)];
            let shares = waves.par_iter_mut().zip(shore.par_chunks(SHARE));
            shares.for_each(|(wave, shore)| wave.claim(shore, grid, taken));
            waves.iter_mut().for_each(|wave| wave.take(taken)); // in the order of the shore
            waves.par_iter_mut().for_each(|wave| wave.reach(labels));
            waves
        };
        for &(voxel, level) in waves.iter().flat_map(|wave| &wave.reached) {
            self.add(voxel, level);
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
    use std::collections::VecDeque;

    /// The definition: of all voxels at the shore take the lowest, of equals the first to come.
    fn watershed_by_definition(levels: &Volume<u8>, seeds: &Volume<u32>) -> Volume<u32> {
        let shape = levels.shape();
        let levels = levels.as_slice();
        let mut labels = seeds.as_slice().to_vec();
        let mut shore: Vec<(u8, usize, usize)> = Vec::new(); // level, time, voxel
        let mut time = 0;
        for voxel in (0..labels.len()).filter(|&voxel| labels[voxel] > 0) {
            shore.push((levels[voxel], time, voxel));
            time += 1;
        }
        while let Some(&next) = shore.iter().min() {
            shore.retain(|&other| other != next);
            for near in neighbours(shape, next.2) {
                if labels[near] == 0 {
                    labels[near] = labels[next.2];
                    shore.push((levels[near].max(next.0), time, near));
                    time += 1;
                }
            }
        }
        volume(shape, labels)
    }

    /// The voxels that share a face with one, in the order of memory.
    fn neighbours([n_z, n_y, n_x]: [usize; 3], voxel: usize) -> Vec<usize> {
        let (z, y, x) = (voxel / (n_y * n_x), voxel / n_x % n_y, voxel % n_x);
        let all = [
            (z > 0, -((n_y * n_x) as isize)),
            (y > 0, -(n_x as isize)),
            (x > 0, -1),
            (x + 1 < n_x, 1),
            (y + 1 < n_y, n_x as isize),
            (z + 1 < n_z, (n_y * n_x) as isize),
        ];
        let inside = all.into_iter().filter(|(inside, _)| *inside);
        inside.map(|(_, step)| voxel.strict_add_signed(step)).collect()
    }

    proptest! {
        #[test]
        fn the_queue_floods_in_order(levels in any_bytes(7), chosen in prop::collection::vec(0..343_usize, 0..6)) {
            let mut seeds = levels.map(|_| 0_u32);
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

    /// The flood without threads: a queue for each level.
    fn one_by_one(levels: &Volume<u8>, seeds: &Volume<u32>) -> Volume<u32> {
        let mut labels = seeds.as_slice().to_vec();
        let mut queues = vec![VecDeque::new(); 256];
        for voxel in (0..labels.len()).filter(|&voxel| labels[voxel] > 0) {
            queues[usize::from(levels.as_slice()[voxel])].push_back(voxel);
        }
        for water in 0..256 {
            while let Some(voxel) = queues[water].pop_front() {
                for near in neighbours(levels.shape(), voxel) {
                    if labels[near] == 0 {
                        labels[near] = labels[voxel];
                        queues[water.max(levels.as_slice()[near].into())].push_back(near);
                    }
                }
            }
        }
        volume(levels.shape(), labels)
    }

    /// Rows end inside, at the end of and just behind a word of bits.
    #[test]
    fn rows_of_any_length_are_flooded_to_their_ends() {
        for n_x in [1, 63, 64, 65, 128, 130] {
            let shape = [3, 4, n_x];
            let levels =
                volume(shape, (0..12 * n_x).map(|n| (n * n % 7) as u8).collect::<Vec<_>>());
            let mut seeds = levels.map(|_| 0);
            seeds.voxels_mut()[[0, 0, 0]] = 1;
            seeds.voxels_mut()[[2, 3, n_x - 1]] = 2;
            assert_eq!(watershed(&levels, seeds.clone()).unwrap(), one_by_one(&levels, &seeds));
        }
    }

    #[test]
    fn labels_leave_room_for_levels() {
        let seeds = volume([1, 1, 2], vec![1 << 31, 0]);
        let flooded = watershed(&volume([1, 1, 2], vec![0, 0]), seeds);
        assert!(matches!(flooded, Err(SegmentError::Parameter { .. })));
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
