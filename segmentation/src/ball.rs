//! What is near a mask: its dilation by a ball.

use primordia_data::Volume;
use rayon::prelude::*;

use crate::vectorized::vectorized;

/// Whether a voxel of `mask` lies at most `ball_um` away from each voxel, centre from centre: a dilation by a ball (Serra 1982,
/// Image Analysis and Mathematical Morphology).
///
/// Squared distances along rows, then of all rows within reach the least, first in a plane, then across planes: with balls of
/// some voxels that takes fewer operations than distances of any size do ([`distance_um`](crate::distance_um)).
pub(crate) fn within_ball(mask: &Volume<bool>, ball_um: f64) -> Volume<bool> {
    let [n_z, n_y, n_x] = mask.shape();
    let um = mask.voxel_size().um();
    let steps_um2 = um.map(|side_um| {
        let reach = (ball_um / side_um) as usize;
        (0..=reach).map(|step| (step as f64 * side_um).powi(2) as f32).collect::<Vec<_>>()
    });
    let most_um2 = (ball_um * ball_um) as f32;
    let in_planes: Vec<Rows> = (0..n_z)
        .into_par_iter()
        .map(|z| {
            let rows = mask.as_slice()[z * n_y * n_x..][..n_y * n_x].chunks(n_x);
            let along_rows = Rows(rows.map(|row| along_row(row, &steps_um2[2])).collect());
            let near = |y: usize| along_rows.0[y].as_deref();
            Rows((0..n_y).map(|y| least((y, n_y), near, &steps_um2[1])).collect())
        })
        .collect();
    let mut found = mask.map(|_| false);
    if let Some(found) = found.voxels_mut().as_slice_mut() {
        found.par_chunks_mut(n_x).enumerate().for_each(|(row, found)| {
            let (z, y) = (row / n_y, row % n_y);
            let near = |z: usize| in_planes[z].0[y].as_deref();
            if let Some(least_um2) = least((z, n_z), near, &steps_um2[0]) {
                let pairs = found.iter_mut().zip(least_um2);
                pairs.for_each(|(found, um2)| *found = um2 <= most_um2);
            }
        });
    }
    found
}

/// Squared distances in µm² of each voxel of some rows; nothing of rows all of whose voxels are too far away.
struct Rows(Vec<Option<Vec<f32>>>);

/// Squared distances along one row to its nearest voxel of the mask; infinite beyond the last of the steps.
fn along_row(mask: &[bool], steps_um2: &[f32]) -> Option<Vec<f32>> {
    if !mask.contains(&true) {
        return None;
    }
    let mut row = vec![f32::INFINITY; mask.len()];
    let mut steps = usize::MAX;
    let mut sweep = |(um2, &is_in): (&mut f32, &bool)| {
        steps = if is_in { 0 } else { steps.saturating_add(1) };
        *um2 = um2.min(steps_um2.get(steps).copied().unwrap_or(f32::INFINITY));
    };
    row.iter_mut().zip(mask).for_each(&mut sweep);
    row.iter_mut().zip(mask).rev().for_each(sweep);
    Some(row)
}

/// The least of what the row `at` of `n` and its neighbours say, each further by the square of the steps to it.
fn least<'a>(
    (at, n): (usize, usize),
    near: impl Fn(usize) -> Option<&'a [f32]>,
    steps_um2: &[f32],
) -> Option<Vec<f32>> {
    let mut found = near(at).map(<[f32]>::to_vec);
    if found.as_ref().is_some_and(|row| row.iter().all(|&um2| um2 == 0.0)) {
        return found;
    }
    for (steps, &more_um2) in steps_um2.iter().enumerate().skip(1) {
        let sides = [at.checked_sub(steps), Some(at + steps).filter(|&side| side < n)];
        for side in sides.into_iter().flatten().filter_map(&near) {
            let found = found.get_or_insert_with(|| vec![f32::INFINITY; side.len()]);
            vectorized(|| {
                for (least, &um2) in found.iter_mut().zip(side) {
                    *least = least.min(um2 + more_um2);
                }
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::distance::distance_um;
    use crate::testing::{on_threads, sized_volume};

    proptest! {
        #[test]
        fn what_is_within_a_ball_is_no_further_than_its_radius(
            (shape, mask) in (1..7_usize, 1..9_usize, 1..12_usize).prop_flat_map(|(z, y, x)| {
                (Just([z, y, x]), prop::collection::vec(prop::bool::weighted(0.05), z * y * x))
            }),
            um in prop::array::uniform3(0.1..1.5_f64),
            ball_um in 0.05..4.0_f64,
        ) {
            /// Both are in single precision: whether the surface of the ball belongs to it is not told.
            const SURFACE: f64 = 1e-5;
            let mask = sized_volume(shape, mask, um);
            let found = within_ball(&mask, ball_um);
            let away_um = distance_um(&mask.map(|&is_in| !is_in));
            for (&found, &away_um) in found.as_slice().iter().zip(away_um.as_slice()) {
                let away_um = f64::from(away_um);
                if (away_um - ball_um).abs() > SURFACE * ball_um {
                    prop_assert_eq!(found, away_um < ball_um, "{} µm away", away_um);
                }
            }
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let mask = (0..10 * 30 * 40_u64).map(|n| n % 1999 == 7).collect();
        let mask = sized_volume([10, 30, 40], mask, [0.7, 0.3, 0.3]);
        let one = on_threads(1, || within_ball(&mask, 1.1));
        assert_eq!(one, on_threads(4, || within_ball(&mask, 1.1)));
        assert!(one.as_slice().contains(&true) && one.as_slice().contains(&false));
    }
}
