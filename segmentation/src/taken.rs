//! Which voxels of an image are taken, one bit each: a thirtieth of the memory of labels, so that looking at all
//! neighbours of a voxel seldom leaves the cache.

use primordia_data::Volume;
use rayon::prelude::*;
use strength_reduce::StrengthReducedU32;

use crate::error::{Result, SegmentError};

const WORD: usize = u64::BITS as usize;

/// Where voxels are in memory, and where their bits.
///
/// Each row ends in a bit and each plane in a row of bits that no voxel has. They are taken, and so is all before the
/// first plane and after the last: nobody need ask where the border is.
pub(crate) struct Grid {
    n_y: usize,
    n_x: usize,
    by_n_y: StrengthReducedU32,
    by_n_x: StrengthReducedU32,
    row_words: usize,
}

/// A neighbour of a voxel, or a place beyond the border.
#[derive(Clone, Copy)]
pub(crate) struct Near {
    pub(crate) voxel: u32,
    bit: usize,
}

impl Grid {
    /// # Errors
    /// [`SegmentError::TooLarge`] beyond 2³² − 1 voxels.
    pub(crate) fn new([n_z, n_y, n_x]: [usize; 3]) -> Result<Self> {
        let voxels = n_z.saturating_mul(n_y).saturating_mul(n_x);
        let most = u32::MAX as usize;
        if voxels > most {
            return Err(SegmentError::TooLarge { voxels, most });
        }
        let [by_n_y, by_n_x] = [n_y, n_x].map(|n| StrengthReducedU32::new(n as u32));
        Ok(Self { n_y, n_x, by_n_y, by_n_x, row_words: n_x / WORD + 1 })
    }

    fn plane_words(&self) -> usize {
        (self.n_y + 1) * self.row_words
    }

    /// The neighbours before a voxel (along z, y, x), then those after it (along x, y, z).
    pub(crate) fn neighbours(&self, voxel: u32) -> [Near; 6] {
        let row = voxel / self.by_n_x;
        let z = row / self.by_n_y;
        let (plane, row_voxels) = ((self.n_y * self.n_x) as u32, self.n_x as u32);
        let (plane_bits, row_bits) = (self.plane_words() * WORD, self.row_words * WORD);
        let bit = (row + z) as usize * row_bits + (voxel - row * row_voxels) as usize;
        let before = |voxels: u32, bits: usize| Near {
            voxel: voxel.wrapping_sub(voxels),
            bit: bit.wrapping_sub(bits),
        };
        let after =
            |voxels: u32, bits: usize| Near { voxel: voxel.wrapping_add(voxels), bit: bit + bits };
        [
            before(plane, plane_bits),
            before(row_voxels, row_bits),
            before(1, 1),
            after(1, 1),
            after(row_voxels, row_bits),
            after(plane, plane_bits),
        ]
    }
}

/// The bits.
pub(crate) struct Taken {
    words: Vec<u64>,
}

impl Taken {
    /// All voxels but those that are 0.
    pub(crate) fn new(labels: &Volume<u32>, grid: &Grid) -> Self {
        let [n_z, n_y, n_x] = labels.shape();
        let mut words = vec![u64::MAX; n_z * grid.plane_words()];
        let planes = words.par_chunks_mut(grid.plane_words());
        planes.zip(labels.as_slice().par_chunks(n_y * n_x)).for_each(|(words, labels)| {
            let rows = words.chunks_exact_mut(grid.row_words).zip(labels.chunks_exact(n_x));
            for (words, labels) in rows {
                for (word, labels) in words.iter_mut().zip(labels.chunks(WORD)) {
                    let beyond = u64::MAX.checked_shl(labels.len() as u32).unwrap_or(0);
                    *word = (0..)
                        .zip(labels)
                        .fold(beyond, |word, (place, &label)| word | u64::from(label > 0) << place);
                }
            }
        });
        Self { words }
    }

    pub(crate) fn is_free(&self, near: Near) -> bool {
        self.words.get(near.bit / WORD).is_some_and(|word| word >> (near.bit % WORD) & 1 == 0)
    }

    /// Takes a voxel if it is free; says whether it was.
    pub(crate) fn take(&mut self, near: Near) -> bool {
        let Some(word) = self.words.get_mut(near.bit / WORD) else { return false };
        let bit = 1 << (near.bit % WORD);
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    /// Where in the row at `z` and `y` taken voxels have a free neighbour.
    pub(crate) fn beside_free(
        &self,
        [z, y]: [usize; 2],
        grid: &Grid,
    ) -> impl Iterator<Item = usize> {
        let (n_x, first) = (grid.n_x, z * grid.plane_words() + y * grid.row_words);
        let across = [grid.row_words, grid.plane_words()];
        (0..grid.row_words)
            .flat_map(move |word| {
                let places = places(self.beside_free_in(first + word, across));
                places.map(move |place| word * WORD + place)
            })
            .filter(move |&x| x < n_x)
    }

    fn beside_free_in(&self, word: usize, across: [usize; 2]) -> u64 {
        let at = |word: usize| self.words.get(word).copied().unwrap_or(u64::MAX);
        let here = at(word);
        let before = here << 1 | at(word.wrapping_sub(1)) >> (WORD - 1);
        let after = here >> 1 | at(word + 1) << (WORD - 1);
        let around = across
            .into_iter()
            .fold(before & after, |all, step| all & at(word.wrapping_sub(step)) & at(word + step));
        here & !around
    }
}

/// Where the bits of a word are set.
fn places(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (place < WORD).then_some(place)
    })
}
