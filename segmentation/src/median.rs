//! The median of each voxel and its 26 neighbours, by sorting networks that compilers turn into
//! byte-wide vector instructions.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::vectorized::vectorized;

/// The 3 × 3 × 3 median of `volume`. Beyond its borders the image is mirrored, the border voxel
/// counted twice (`reflect` in scipy).
pub fn median(volume: &Volume<u8>) -> Volume<u8> {
    let [n_z, n_y, n_x] = volume.shape();
    let voxels = volume.as_slice();
    let mut out = volume.blank();
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        out.par_chunks_mut(n_y * n_x).enumerate().for_each(|(z, plane)| {
            let planes = [z.saturating_sub(1), z, (z + 1).min(n_z - 1)]
                .map(|z| &voxels[z * n_y * n_x..(z + 1) * n_y * n_x]);
            vectorized(
                #[inline(always)]
                || median_plane(planes, n_x, plane),
            );
        });
    }
    out
}

/// Sorts along z, then y, then x: after each the earlier order still holds, so that of the 27
/// sorted values 8 cannot be the median and need no look.
#[inline(always)]
fn median_plane(planes: [&[u8]; 3], n_x: usize, out: &mut [u8]) {
    let n_y = out.len() / n_x;
    let mut triples = [(); 3].map(|()| [(); 3].map(|()| vec![0; n_x])); // [row][rank along z]
    let mut nines = [(); 9].map(|()| vec![0; n_x + 2]); // [3 · rank along z + rank along y]
    let sorted_row = |y: usize, into: &mut [Vec<u8>; 3]| {
        sort_rows(
            planes.map(|plane| &plane[y * n_x..(y + 1) * n_x]),
            into.each_mut().map(|row| &mut row[..]),
        );
    };
    sorted_row(0, &mut triples[0]);
    sorted_row(0, &mut triples[2]); // the row before the first
    for (y, out) in out.chunks_exact_mut(n_x).enumerate() {
        sorted_row((y + 1).min(n_y - 1), &mut triples[(y + 1) % 3]);
        for (rank, nine) in nines.chunks_exact_mut(3).enumerate() {
            let rows = triples.each_ref().map(|triple| &triple[rank][..]);
            if let [a, b, c] = nine {
                sort_rows(rows, [&mut a[1..=n_x], &mut b[1..=n_x], &mut c[1..=n_x]]);
            }
        }
        for nine in &mut nines {
            nine[0] = nine[1];
            nine[n_x + 1] = nine[n_x];
        }
        median_row(nines.each_ref().map(|nine| &nine[..]), out);
    }
}

#[inline(always)]
fn sort_rows([a, b, c]: [&[u8]; 3], [low, middle, high]: [&mut [u8]; 3]) {
    let n = low.len();
    let (a, b, c, middle, high) = (&a[..n], &b[..n], &c[..n], &mut middle[..n], &mut high[..n]);
    for x in 0..n {
        [low[x], middle[x], high[x]] = sort_3(a[x], b[x], c[x]);
    }
}

/// `nines` are the sorted columns (one longer at both ends than `out`), by rank along z and y.
#[inline(always)]
fn median_row(nines: [&[u8]; 9], out: &mut [u8]) {
    let n = out.len();
    let [a, b, c, d, e, f, g, h, i] = nines.map(|nine| &nine[..n + 2]);
    for x in 0..n {
        let along = |nine: &[u8]| sort_3(nine[x], nine[x + 1], nine[x + 2]);
        // Ranks (z, y) in order; a value of ranks (i, j, k) has (i+1)(j+1)(k+1) − 1 others at or
        // below it and (3−i)(3−j)(3−k) − 1 at or above it: beyond 13 it is not the median.
        let [_, _, a2] = along(a);
        let [_, b1, b2] = along(b);
        let [c0, c1, c2] = along(c);
        let [_, d1, d2] = along(d);
        let [e0, e1, e2] = along(e);
        let [f0, f1, _] = along(f);
        let [g0, g1, g2] = along(g);
        let [h0, h1, _] = along(h);
        let [i0, _, _] = along(i);
        let mut few = [a2, b1, b2, c0, c1, d1, d2, e0, e1, f0, g0];
        part::<11>(&mut few, g1);
        part::<10>(&mut few, h0);
        part::<9>(&mut few, c2);
        part::<8>(&mut few, e2);
        part::<7>(&mut few, f1);
        part::<6>(&mut few, g2);
        part::<5>(&mut few, h1);
        part::<4>(&mut few, i0);
        part::<3>(&mut few, 0);
        out[x] = few[1];
    }
}

#[inline(always)]
fn sort_3(a: u8, b: u8, c: u8) -> [u8; 3] {
    let (a, b) = (a.min(b), a.max(b));
    let (b, c) = (b.min(c), b.max(c));
    [a.min(b), a.max(b), c]
}

/// Moves a smallest and a largest of the first `N` values, which cannot be the median of all, to
/// the ends; the last drops out when the next call looks at one less, the first for `next`.
#[inline(always)]
fn part<const N: usize>(values: &mut [u8; 11], next: u8) {
    let half = N / 2;
    for low in 0..half {
        exchange(values, low, N - 1 - low);
    }
    for at in 1..N - half {
        exchange(values, 0, at);
    }
    for at in half..N - 1 {
        exchange(values, at, N - 1);
    }
    values[0] = next;
}

#[inline(always)]
fn exchange(values: &mut [u8; 11], low: usize, high: usize) {
    let (a, b) = (values[low], values[high]);
    values[low] = a.min(b);
    values[high] = a.max(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, on_threads, reference, volume};
    use proptest::prelude::*;

    fn median_by_sorting(volume: &Volume<u8>) -> Volume<u8> {
        let shape = volume.shape();
        let near = |at: usize, step: usize, n: usize| (at + step).saturating_sub(1).min(n - 1);
        let mut out = volume.clone();
        for ((z, y, x), value) in out.voxels_mut().indexed_iter_mut() {
            let mut values = Vec::new();
            for (dz, dy, dx) in ndarray::indices((3, 3, 3)) {
                let at = [near(z, dz, shape[0]), near(y, dy, shape[1]), near(x, dx, shape[2])];
                values.push(volume.voxels()[at]);
            }
            values.sort_unstable();
            *value = values[13];
        }
        out
    }

    proptest! {
        #[test]
        fn the_network_sorts(image in any_bytes(6)) {
            prop_assert_eq!(median(&image), median_by_sorting(&image));
        }
    }

    #[test]
    fn the_median_is_scipys() {
        let image = volume(reference().shape, reference().image);
        assert_eq!(median(&image).as_slice(), reference().median);
    }

    #[test]
    fn threads_do_not_matter() {
        let image = volume(reference().shape, reference().image);
        assert_eq!(on_threads(1, || median(&image)), on_threads(4, || median(&image)));
    }
}
