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

    /// All words, line by line.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many words a plane has, and a line.
    pub(crate) fn words_per_plane_and_line(&self) -> [usize; 2] {
        [self.shape[1] * self.words_per_line, self.words_per_line]
    }

    /// Where the bit of that number among all words lies, `[z, y, x]`.
    pub(crate) fn place(&self, number: u32) -> [usize; 3] {
        let bits_per_line = 64 * self.words_per_line as u32;
        let (line, n_y) = (number / bits_per_line, self.shape[1] as u32);
        [line / n_y, line % n_y, number % bits_per_line].map(|at| at as usize)
    }

    /// Whether the voxel at `[z, y, x]` is in the set.
    #[cfg(test)]
    pub(crate) fn contains(&self, [z, y, x]: [usize; 3]) -> bool {
        self.line(z * self.shape[1] + y)[x / 64] >> (x % 64) & 1 == 1
    }

    /// Whether all voxels of another set in the same box are in this one.
    pub(crate) fn contains_all(&self, others: &Self) -> bool {
        self.words.iter().zip(&others.words).all(|(here, other)| other & !here == 0)
    }

    /// Takes away what is not in another set in the same box.
    pub(crate) fn keep_only(&mut self, others: &Self) {
        self.words.iter_mut().zip(&others.words).for_each(|(here, other)| *here &= other);
    }

    /// The same set, and the same moved by `step` bits, fewer than a word has, either way along x.
    pub(crate) fn with_both_sides(&self, step: usize) -> Self {
        let moved = |word: &u64| word | word << step | word >> step;
        let mut words: Vec<u64> = self.words.iter().map(moved).collect();
        if self.words_per_line > 1 {
            let lines = self.words.chunks_exact(self.words_per_line);
            for (moved, line) in words.chunks_exact_mut(self.words_per_line).zip(lines) {
                for (index, pair) in line.windows(2).enumerate() {
                    moved[index] |= pair[1] << (64 - step);
                    moved[index + 1] |= pair[0] >> (64 - step);
                }
            }
        }
        Self { words, ..*self }
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

/// The 64 bits of a line from bit `first` on; 0 beyond its end.
pub(crate) fn word_from(line: &[u64], first: usize) -> u64 {
    let word = |index: usize| line.get(index).map_or(0, |word| u128::from(*word));
    ((word(first / 64) | word(first / 64 + 1) << 64) >> (first % 64)) as u64
}

/// The 64 bits from bit `first` on of a line in which those of `range` are set.
pub(crate) fn word_of(range: &Range<usize>, first: usize) -> u64 {
    let below = |end: usize| match end.saturating_sub(first) {
        n @ 0..64 => (1 << n) - 1,
        _ => u64::MAX,
    };
    below(range.end) & !below(range.start)
}

/// For each bit, the one after it.
pub(crate) fn next_bits(line: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let following = line[1..].iter().chain(std::iter::once(&0));
    line.iter().zip(following).map(|(word, next)| word >> 1 | next << 63)
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
/// 2 × 2 × 2 voxels in planes `z` and `z + 1` of which some are in the set and some not. The set
/// must not reach the faces of the box: then what follows a line in memory is as empty as what
/// lies beyond its end.
pub(crate) fn for_each_mixed_cube_above(
    bits: &Bits,
    z: usize,
    mut each: impl FnMut([usize; 2], u8),
) {
    let [plane, line] = bits.words_per_plane_and_line();
    let n_words = plane - line;
    let edges = [0, line, plane, plane + line].map(|at| &bits.words[z * plane + at..][..n_words]);
    let words_at = |at: usize| if at < n_words { edges.map(|edge| edge[at]) } else { [0; 4] };
    let mut following = words_at(0);
    for at in 0..n_words {
        let words = std::mem::replace(&mut following, words_at(at + 1));
        let [any, any_following] = [words, following].map(|[a, b, c, d]| (a | b) | (c | d));
        let [all, all_following] = [words, following].map(|[a, b, c, d]| (a & b) & (c & d));
        let any = any | any >> 1 | any_following << 63;
        let all = all & (all >> 1 | all_following << 63);
        let mut mixed = any & !all;
        while mixed != 0 {
            let bit = mixed.trailing_zeros();
            each([at / line, at % line * 64 + bit as usize], corners_at(&words, &following, bit));
            mixed &= mixed - 1;
        }
    }
}

/// The corners of the cube from bit `at` on, from the words of its four edges along x and the words
/// that follow.
fn corners_at(words: &[u64; 4], following: &[u64; 4], at: u32) -> u8 {
    let edge = |edge: usize| match at {
        63 => words[edge] >> 63 | following[edge] << 1 & 2,
        _ => words[edge] >> at & 3,
    };
    (edge(0) | edge(1) << 2 | edge(2) << 4 | edge(3) << 6) as u8
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
                let bit = |word: u64, at: usize| word >> at & 1 == 1;
                for (first, at) in (0..130).step_by(7).flat_map(|x| [(x, 0), (x, 33), (x, 63)]) {
                    let here = voxels.get(first + at).copied().unwrap_or_default();
                    prop_assert_eq!(bit(word_from(words, first), at), here);
                    let range = 40..first;
                    prop_assert_eq!(bit(word_of(&range, 9), at), range.contains(&(9 + at)));
                }
                let shifted = |words: Vec<u64>, x: usize| words[x / 64] >> (x % 64) & 1 == 1;
                for x in 0..130 {
                    let next = voxels.get(x + 1).copied().unwrap_or_default();
                    prop_assert_eq!(shifted(next_bits(words).collect(), x), next);
                }
            }
        }

        #[test]
        fn mixed_cubes_are_those_found_by_looking_everywhere(
            voxels in proptest::collection::vec(any::<bool>(), 3 * 3 * 130),
        ) {
            // Bits 64 and 127 are the last and the first of words.
            let shape = [5, 5, 132];
            let padded = |[z, y, x]: [usize; 3]| {
                (1..4).contains(&z) && (1..4).contains(&y) && (1..131).contains(&x)
                    && voxels[((z - 1) * 3 + y - 1) * 130 + x - 1]
            };
            let mut bits = Bits::empty(shape);
            for (z, y, x) in positions(5, 5, 132).filter(|(z, y, x)| padded([*z, *y, *x])) {
                set(bits.line_mut(z * 5 + y), x..x + 1);
            }
            let mut found = Vec::new();
            for z in 0..4 {
                let each = |[y, x]: [usize; 2], corners| found.push(([z, y, x], corners));
                for_each_mixed_cube_above(&bits, z, each);
            }
            let mut wanted = Vec::new();
            for (z, y, x) in positions(4, 4, 131) {
                let voxel = |k: usize| padded([z + (k >> 2), y + (k >> 1 & 1), x + (k & 1)]);
                let corners: u8 = (0..8).map(|k| u8::from(voxel(k)) << k).sum();
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
