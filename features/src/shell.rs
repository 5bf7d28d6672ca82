//! How deep inside its cell each voxel lies: the membrane shell and what it encloses.

use crate::cell::CellMask;
use crate::scan::for_each_difference;

/// Voxels whose depth is the shell's thickness are in it, rounding or not.
const ROUNDING: f32 = 1.0 + 1e-5;

/// Which voxels of the cell have their centre within `thickness_um` of the cell's border.
///
/// The border is where faces of voxels part the cell from what is not the cell. Where the image
/// ends (`image_shape`, `[z, y, x]`) nobody knows, so there is no border.
///
/// Exact: the squared distance from a centre to the box of another voxel is a sum over axes, so
/// its minimum is found axis by axis (Felzenszwalb & Huttenlocher 2012,
/// doi:10.4086/toc.2012.v008a019), looking no further than the thickness.
pub fn membrane_shell(cell: &CellMask, thickness_um: f64, image_shape: [usize; 3]) -> Vec<bool> {
    let [n_z, n_y, n_x] = cell.shape();
    let gaps = cell.voxel_size().um().map(|side| squared_gaps(side, thickness_um));
    let in_image = [0, 1, 2].map(|axis| range_in_image(cell, image_shape, axis));
    let mut along_x = vec![f32::INFINITY; n_z * n_y * n_x];
    let lines = cell.inside().chunks_exact(n_x).zip(along_x.chunks_exact_mut(n_x));
    for (line, (inside, distances)) in lines.enumerate() {
        if in_image[0].contains(&(line / n_y)) && in_image[1].contains(&(line % n_y)) {
            let x = in_image[2].clone();
            line_distances(&inside[x.clone()], &gaps[2], &mut distances[x]);
        }
    }
    let mut along_y = along_x.clone();
    let plane = n_y * n_x;
    for (input, out) in along_x.chunks_exact(plane).zip(along_y.chunks_exact_mut(plane)) {
        nearest_of_blocks(input, out, n_x, &gaps[1]);
    }
    let mut along_z = along_x;
    along_z.copy_from_slice(&along_y);
    nearest_of_blocks(&along_y, &mut along_z, plane, &gaps[0]);
    let limit = (thickness_um * thickness_um) as f32 * ROUNDING;
    let in_shell = |(distance, inside): (&f32, &u8)| *inside == 1 && *distance <= limit;
    along_z.iter().zip(cell.inside()).map(in_shell).collect()
}

/// Squared distances in µm² from a centre to the boxes of the voxels 1, 2, … steps away, as far as
/// `reach_um`.
fn squared_gaps(side_um: f64, reach_um: f64) -> Vec<f32> {
    let n_steps = (reach_um / side_um + 0.5).floor() as usize + 1;
    (1..=n_steps).map(|step| ((step as f64 - 0.5) * side_um).powi(2) as f32).collect()
}

/// Which indices of the box along `axis` lie in the image.
fn range_in_image(cell: &CellMask, image: [usize; 3], axis: usize) -> std::ops::Range<usize> {
    let origin = cell.origin()[axis];
    let first = (-origin).max(0) as usize;
    let end = (image[axis] as isize - origin).clamp(0, cell.shape()[axis] as isize) as usize;
    first..end
}

/// For each voxel of a line, the squared distance to the nearest voxel outside the cell; what is
/// not in reach stays as it is.
fn line_distances(inside: &[u8], gaps: &[f32], distances: &mut [f32]) {
    for (distance, inside) in distances.iter_mut().zip(inside) {
        *distance = if *inside == 1 { f32::INFINITY } else { 0.0 };
    }
    for_each_difference(&inside[..inside.len() - 1], &inside[1..], |x| {
        // Voxels x and x + 1 differ: the distance grows from here into the cell.
        for (step, &gap) in gaps.iter().enumerate() {
            let at = if inside[x] == 1 { x.checked_sub(step) } else { Some(x + 1 + step) };
            match at.filter(|at| inside.get(*at) == Some(&1)) {
                Some(at) => distances[at] = distances[at].min(gap),
                None => break,
            }
        }
    });
}

/// Each value of each block becomes the least of it and, plus the gap, of its counterparts in the
/// blocks around.
fn nearest_of_blocks(input: &[f32], out: &mut [f32], len: usize, gaps: &[f32]) {
    let n_blocks = input.len() / len;
    for (block, out) in out.chunks_exact_mut(len).enumerate() {
        for (step, gap) in (1..).zip(gaps) {
            let before = block.checked_sub(step);
            let after = Some(block + step).filter(|other| *other < n_blocks);
            for other in before.into_iter().chain(after) {
                let other = &input[other * len..][..len];
                for (out, value) in out.iter_mut().zip(other) {
                    *out = out.min(value + gap);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::only_cell;
    use ndarray::Array3;
    use primordia_data::{Labels, VoxelSize};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_shell_is_what_lies_within_its_thickness_of_any_outside_voxel(
            mut values in proptest::collection::vec(0_u32..8, 4 * 5 * 6),
            thickness_um in 0.1_f64..3.0,
        ) {
            let um = [1.1, 0.7, 0.3];
            for value in &mut values { *value = (*value).min(1); }
            values[0] = 1;
            let voxels = Array3::from_shape_vec((4, 5, 6), values).unwrap();
            let labels = Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap();
            let cell = only_cell(&labels, [2; 3]);
            let shell = membrane_shell(&cell, thickness_um, [4, 5, 6]);
            for (index, &found) in shell.iter().enumerate().filter(|(i, _)| cell.inside()[*i] == 1) {
                let here = cell.in_image(cell.position(index));
                let nearest = labels.volume().voxels().indexed_iter()
                    .filter(|(_, label)| **label == 0)
                    .map(|((z, y, x), _)| {
                        let gap = |k: usize, at: usize| {
                            let steps = (at as isize - here[k]).unsigned_abs() as f64;
                            (steps - 0.5).max(0.0) * um[k]
                        };
                        (gap(0, z).powi(2) + gap(1, y).powi(2) + gap(2, x).powi(2)).sqrt()
                    })
                    .fold(f64::INFINITY, f64::min);
                prop_assume!((nearest - thickness_um).abs() > 1e-4);
                prop_assert_eq!(found, nearest < thickness_um);
            }
        }
    }
}
