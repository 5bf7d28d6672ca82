//! The morphological opening of an image by boxes: darkest, then brightest (Serra 1982, Image Analysis and Mathematical Morphology).

use primordia_data::Volume;
use rayon::prelude::*;

/// The brightest box around each voxel that is filled as bright, a box being as bright as its darkest voxel; boxes are cut
/// at the border of the image.
pub(crate) fn opening(volume: &Volume<f32>, radius: [usize; 3]) -> Volume<f32> {
    let mut opened = volume.clone();
    for pick in [f32::min, f32::max] {
        for (axis, &radius) in radius.iter().enumerate() {
            opened = of_neighbours(&opened, axis, radius, pick);
        }
    }
    opened
}

/// For each voxel what is picked of those up to `radius` away along an axis.
fn of_neighbours(
    volume: &Volume<f32>,
    axis: usize,
    radius: usize,
    pick: fn(f32, f32) -> f32,
) -> Volume<f32> {
    let shape = volume.shape();
    let stride: usize = shape[axis + 1..].iter().product();
    let voxels = volume.as_slice();
    let mut out = volume.clone();
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        out.par_chunks_mut(shape[2]).enumerate().for_each(|(row, out)| {
            let first = row * shape[2];
            for (x, out) in out.iter_mut().enumerate() {
                let at = (first + x) / stride % shape[axis];
                let from = first + x - at.min(radius) * stride;
                let n = at.min(radius) + 1 + radius.min(shape[axis] - 1 - at);
                *out = voxels[from..].iter().step_by(stride).take(n).copied().fold(*out, pick);
            }
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_opening_is_the_brightest_box_that_is_filled(
            (shape, voxels) in prop::array::uniform3(1..6_usize).prop_flat_map(|shape| {
                (Just(shape), prop::collection::vec(0..20_u8, shape.iter().product::<usize>()))
            }),
            radius in prop::array::uniform3(0..3_usize),
        ) {
            let volume = sized_volume(shape, voxels, [1.0; 3]).map(|&value| f32::from(value));
            let all = |at: [usize; 3]| {
                let range = |axis: usize| at[axis].saturating_sub(radius[axis])..(at[axis] + radius[axis] + 1).min(shape[axis]);
                let [zs, ys, xs] = [0, 1, 2].map(range);
                zs.flat_map(move |z| { let xs = xs.clone(); ys.clone().flat_map(move |y| xs.clone().map(move |x| [z, y, x])) })
            };
            let darkest = |at| all(at).map(|at| volume.voxels()[at]).fold(f32::MAX, f32::min);
            let found = opening(&volume, radius);
            for ((z, y, x), &found) in found.voxels().indexed_iter() {
                prop_assert_eq!(found, all([z, y, x]).map(darkest).fold(0.0, f32::max));
            }
        }
    }
}
