//! Voxels as bits, of which 64 in a line are looked at at once.

use std::ops::Range;

/// Which voxels of a box are in a set. Every line along x begins with a new word; bits beyond the
/// end of a line are 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    shape: [usize; 3], // z, y, x
    words_per_line: usize,
}

impl Bits {
    /// The empty set in a box of `shape` voxels, `[z, y, x]`.
    pub(crate) fn empty(shape: [usize; 3]) -> Self {
        let words_per_line = shape[2].div_ceil(64);
        Self { words: vec![0; shape[0] * shape[1] * words_per_line], shape, words_per_line }
    }

    /// Voxels of the box along `[z, y, x]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Line `line` along x: that at z, y is line z × (lines per plane) + y.
    pub(crate) fn line(&self, line: usize) -> &[u64] {
        &self.words[line * self.words_per_line..][..self.words_per_line]
    }

    pub(crate) fn line_mut(&mut self, line: usize) -> &mut [u64] {
        &mut self.words[line * self.words_per_line..][..self.words_per_line]
    }

    /// The words of `n_lines` lines.
    pub(crate) fn line_block(&self, first_line: usize, n_lines: usize) -> &[u64] {
        &self.words[first_line * self.words_per_line..][..n_lines * self.words_per_line]
    }

    pub(crate) fn line_block_mut(&mut self, first_line: usize, n_lines: usize) -> &mut [u64] {
        &mut self.words[first_line * self.words_per_line..][..n_lines * self.words_per_line]
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u64]> {
        self.words.chunks_exact(self.words_per_line)
    }

    pub(crate) fn lines_mut(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.words.chunks_exact_mut(self.words_per_line)
    }

    /// Whether the voxel at `[z, y, x]` is in the set.
    #[cfg(test)]
    pub(crate) fn contains(&self, [z, y, x]: [usize; 3]) -> bool {
        self.line(z * self.shape[1] + y)[x / 64] >> (x % 64) & 1 == 1
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Sets the bits of `range`.
pub(crate) fn set(line: &mut [u64], range: Range<usize>) {
    let words = range.start / 64..range.end.div_ceil(64);
    for (index, word) in words.clone().zip(&mut line[words]) {
        let n_before = range.start.saturating_sub(64 * index);
        let n_after = (64 * (index + 1)).saturating_sub(range.end);
        *word |= u64::MAX << n_before & u64::MAX >> n_after;
    }
}

/// For each bit, the one after it.
pub(crate) fn next_bits(line: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let following = line[1..].iter().chain(std::iter::once(&0));
    line.iter().zip(following).map(|(word, next)| word >> 1 | next << 63)
}

/// For each bit, the one before it.
pub(crate) fn previous_bits(line: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let mut carried = 0;
    line.iter().map(move |word| word << 1 | std::mem::replace(&mut carried, word >> 63))
}

/// Calls `each` with the place of every 1.
pub(crate) fn for_each_one(words: impl IntoIterator<Item = u64>, mut each: impl FnMut(usize)) {
    for (index, mut word) in words.into_iter().enumerate() {
        while word != 0 {
            each(64 * index + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

/// Calls `each` with every run of 1s.
pub(crate) fn for_each_run(
    words: impl IntoIterator<Item = u64>,
    mut each: impl FnMut(Range<usize>),
) {
    let (mut start, mut before, mut n_bits) = (None, 0, 0);
    for word in words {
        // Where a bit differs from the one before it, a run begins or ends.
        for_each_one([word ^ (word << 1 | before)], |at| match start.take() {
            None => start = Some(n_bits + at),
            Some(start) => each(start..n_bits + at),
        });
        before = word >> 63;
        n_bits += 64;
    }
    if let Some(start) = start {
        each(start..n_bits);
    }
}

/// Calls `each` with y, x and the corners (bit 4 z + 2 y + x of the cube) of every cube of
/// 2 × 2 × 2 voxels in planes `z` and `z + 1` of which some are in the set and some not.
pub(crate) fn for_each_mixed_cube_above(
    bits: &Bits,
    z: usize,
    mut each: impl FnMut([usize; 2], usize),
) {
    let [_, n_y, n_x] = bits.shape;
    for y in 0..n_y - 1 {
        let lines =
            [(z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1)].map(|(z, y)| bits.line(z * n_y + y));
        for index in 0..bits.words_per_line {
            let pairs = lines.map(|line| {
                let next = line.get(index + 1).map_or(0, |next| u128::from(*next));
                u128::from(line[index]) | next << 64
            });
            let any = pairs.iter().fold(0, |any, pair| any | pair | pair >> 1);
            let all = pairs.iter().fold(u128::MAX, |all, pair| all & pair & pair >> 1);
            // Cubes that begin in this word, and end before the line does.
            let n_cubes = (n_x - 1 - (64 * index).min(n_x - 1)).min(64);
            let begin = u64::MAX.checked_shr(64 - n_cubes as u32).unwrap_or(0);
            for_each_one([(any & !all) as u64 & begin], |at| {
                each([y, 64 * index + at], corners_at(&pairs, at));
            });
        }
    }
}

/// The corners of one cube, from the lines along its four edges along x.
fn corners_at(lines: &[u128; 4], at: usize) -> usize {
    lines.iter().rev().fold(0, |cube, line| cube << 2 | (line >> at) as usize & 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: [usize; 3] = [3, 3, 130];

    fn any_bits() -> impl Strategy<Value = (Vec<bool>, Bits)> {
        let voxels = proptest::collection::vec(any::<bool>(), 3 * 3 * 130);
        (voxels, 0_usize..1170).prop_map(|(mut voxels, blank)| {
            voxels[..blank].fill(blank % 2 == 0);
            let mut bits = Bits::empty(SHAPE);
            for (line, voxels) in voxels.chunks_exact(130).enumerate() {
                for x in (0..130).filter(|x| voxels[*x]) {
                    set(bits.line_mut(line), x..x + 1);
                }
            }
            (voxels, bits)
        })
    }

    proptest! {
        #[test]
        fn bits_tell_what_looking_at_each_voxel_tells((voxels, bits) in any_bits()) {
            prop_assert_eq!(bits.count(), voxels.iter().filter(|voxel| **voxel).count());
            for (line, voxels) in voxels.chunks_exact(130).enumerate() {
                let words = bits.line(line);
                let mut ones = Vec::new();
                for_each_one(words.iter().copied(), |x| ones.push(x));
                let wanted: Vec<usize> = (0..130).filter(|x| voxels[*x]).collect();
                prop_assert_eq!(&ones, &wanted);
                let mut runs = vec![0_u64; 3];
                for_each_run(words.iter().copied(), |run| {
                    assert!(run.start == 0 || !voxels[run.start - 1]);
                    assert!(run.end == 130 || !voxels[run.end]);
                    set(&mut runs, run);
                });
                prop_assert_eq!(&runs, words);
                let shifted = |words: Vec<u64>, x: usize| words[x / 64] >> (x % 64) & 1 == 1;
                for x in 0..130 {
                    let next = voxels.get(x + 1).copied().unwrap_or_default();
                    prop_assert_eq!(shifted(next_bits(words).collect(), x), next);
                    let previous = x > 0 && voxels[x - 1];
                    prop_assert_eq!(shifted(previous_bits(words).collect(), x), previous);
                }
            }
        }

        #[test]
        fn mixed_cubes_are_those_found_by_looking_everywhere((voxels, bits) in any_bits()) {
            let mut found = Vec::new();
            for z in 0..2 {
                let each = |[y, x]: [usize; 2], corners| found.push(([z, y, x], corners));
                for_each_mixed_cube_above(&bits, z, each);
            }
            let mut wanted = Vec::new();
            for (z, y, x) in positions(2, 2, 129) {
                let voxel = |k: usize| ((z + (k >> 2)) * 3 + y + (k >> 1 & 1)) * 130 + x + (k & 1);
                let corners = (0..8).map(|k| usize::from(voxels[voxel(k)]) << k).sum();
                if corners != 0 && corners != 255 {
                    wanted.push(([z, y, x], corners));
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }

    fn positions(z: usize, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..z * y * x).map(move |index| (index / (y * x), index / x % y, index % x))
    }
}
