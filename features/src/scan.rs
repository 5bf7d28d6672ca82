//! Where a mask of bytes changes: most of a box is all cell or all not, and is passed over eight
//! voxels at a time.

/// Calls `each` with every index at which two lines differ.
pub(crate) fn for_each_difference(a: &[u8], b: &[u8], mut each: impl FnMut(usize)) {
    let n = a.len().min(b.len());
    let mut at = 0;
    while at + 8 <= n {
        if eight(a, at) != eight(b, at) {
            (at..at + 8).filter(|index| a[*index] != b[*index]).for_each(&mut each);
        }
        at += 8;
    }
    (at..n).filter(|index| a[*index] != b[*index]).for_each(each);
}

/// Calls `each` with z, y, x and the corners (bit 4 z + 2 y + x of the cube) of every cube of
/// 2 × 2 × 2 voxels in which some voxels are 1 and some 0.
pub(crate) fn for_each_mixed_cube(
    mask: &[u8],
    [n_z, n_y, n_x]: [usize; 3],
    mut each: impl FnMut([usize; 3], usize),
) {
    for z in 0..n_z - 1 {
        for y in 0..n_y - 1 {
            let lines = [(z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1)]
                .map(|(z, y)| &mask[(z * n_y + y) * n_x..][..n_x]);
            let mut cube = |x: usize| {
                let corners = (0..4).fold(0, |bits, k| {
                    let pair = usize::from(lines[k][x]) | usize::from(lines[k][x + 1]) << 1;
                    bits | pair << (2 * k)
                });
                if corners != 0 && corners != 255 {
                    each([z, y, x], corners);
                }
            };
            let mut x = 0;
            while x + 9 <= n_x {
                let (mut any, mut all) = (0, u64::MAX);
                for line in lines {
                    let (here, next) = (eight(line, x), eight(line, x + 1));
                    any |= here | next;
                    all &= here & next;
                }
                if any != all {
                    (x..x + 8).for_each(&mut cube);
                }
                x += 8;
            }
            (x..n_x - 1).for_each(cube);
        }
    }
}

/// Eight bytes at once.
#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |eight, byte| eight << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scanning_finds_what_looking_everywhere_finds(
            mask in proptest::collection::vec(0_u8..2, 3 * 3 * 21),
            blank in 0_usize..189,
        ) {
            let mut mask = mask;
            mask[..blank].fill(u8::from(blank % 2 == 0));
            let mut found = Vec::new();
            for_each_mixed_cube(&mask, [3, 3, 21], |at, corners| found.push((at, corners)));
            let mut wanted = Vec::new();
            for (z, y, x) in positions(2, 2, 20) {
                let corners = (0..8).map(|k| {
                    usize::from(mask[((z + (k >> 2)) * 3 + y + (k >> 1 & 1)) * 21 + x + (k & 1)]) << k
                }).sum();
                if corners != 0 && corners != 255 {
                    wanted.push(([z, y, x], corners));
                }
            }
            prop_assert_eq!(found, wanted);

            let (a, b) = mask.split_at(94);
            let mut found = Vec::new();
            for_each_difference(a, b, |index| found.push(index));
            let wanted: Vec<usize> = (0..94).filter(|index| a[*index] != b[*index]).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    fn positions(z: usize, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..z * y * x).map(move |index| (index / (y * x), index / x % y, index % x))
    }
}
