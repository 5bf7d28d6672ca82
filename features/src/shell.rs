//! How deep inside its cell each voxel lies: the membrane shell and what it encloses.

use std::cmp::Reverse;
use std::ops::Range;

use crate::bits::{Bits, set};
use crate::cell::CellMask;

/// Voxels whose depth is the shell's thickness are in it, rounding or not.
const ROUNDING: f32 = 1.0 + 1e-5;

/// Which voxels of the cell have their centre within `thickness_um` of the cell's border.
///
/// The border is where faces of voxels part the cell from what is not the cell. Where the image
/// ends (`image_shape`, `[z, y, x]`) nobody knows, so there is no border.
///
/// Exact: a centre is near a voxel outside if it is near that voxel's box, so that what is outside
/// grows by all steps from one to the other, whole lines of bits at once.
pub(crate) fn membrane_shell(cell: &CellMask, thickness_um: f64, image_shape: [usize; 3]) -> Bits {
    let mut steps = steps_within(thickness_um, cell);
    steps.sort_by_key(|step| Reverse(step.reach_x));
    let outside = outside(cell, image_shape);
    let mut shell = Bits::empty(cell.shape());
    for steps in steps.chunk_by(|a, b| a.reach_x == b.reach_x) {
        let grown = grown_along_x(&outside, steps[0].reach_x);
        steps.iter().for_each(|step| add_moved(&mut shell, &grown, step));
        // Of a thick shell, the first and widest steps leave nothing to do.
        if shell.contains_all(cell.inside()) {
            break;
        }
    }
    shell.keep_only(cell.inside());
    shell
}

/// So many planes and lines from one voxel to another, and how far they may be apart along x.
struct Step {
    planes: isize,
    lines: isize,
    reach_x: usize,
}

/// All steps within a cell's box from a voxel to others of whose boxes its centre is in reach.
fn steps_within(reach_um: f64, cell: &CellMask) -> Vec<Step> {
    let limit = (reach_um * reach_um) as f32 * ROUNDING;
    let gaps = [0, 1, 2]
        .map(|axis| squared_gaps(cell.voxel_size().um()[axis], reach_um, cell.shape()[axis]));
    let mut steps = Vec::new();
    for (planes, gap_z) in gaps[0].iter().enumerate() {
        for (lines, gap_y) in gaps[1].iter().enumerate() {
            let n_in_reach = gaps[2].partition_point(|gap_x| gap_x + gap_y + gap_z <= limit);
            let Some(reach_x) = n_in_reach.checked_sub(1) else { break };
            for (planes, lines) in
                both_ways(planes).flat_map(|z| both_ways(lines).map(move |y| (z, y)))
            {
                steps.push(Step { planes, lines, reach_x });
            }
        }
    }
    steps
}

/// `n` steps ahead and `n` back.
fn both_ways(n: usize) -> impl Iterator<Item = isize> {
    let n = n as isize;
    [n, -n].into_iter().take(if n == 0 { 1 } else { 2 })
}

/// Squared distances in µm² from a centre to the boxes of the voxels 0, 1, 2, … steps away, as far
/// as `reach_um` and the box of `n_voxels` go.
fn squared_gaps(side_um: f64, reach_um: f64, n_voxels: usize) -> Vec<f32> {
    let n_steps = ((reach_um / side_um + 0.5).floor() as usize).saturating_add(1).min(n_voxels - 1);
    let gap = |step: usize| (step as f64 - 0.5).max(0.0) * side_um;
    (0..=n_steps).map(|step| gap(step).powi(2) as f32).collect()
}

/// What of the box is in the image, but not the cell's.
fn outside(cell: &CellMask, image_shape: [usize; 3]) -> Bits {
    let [z, y, x] = [0, 1, 2].map(|axis| range_in_image(cell, image_shape, axis));
    let n_y = cell.shape()[1];
    let mut outside = Bits::empty(cell.shape());
    let mut in_image = vec![0; outside.line(0).len()];
    set(&mut in_image, x);
    for z in z {
        let (first, n_lines) = (z * n_y + y.start, y.len());
        let inside = cell.inside().line_block(first, n_lines).chunks_exact(in_image.len());
        let outside = outside.line_block_mut(first, n_lines).chunks_exact_mut(in_image.len());
        for (outside, inside) in outside.zip(inside) {
            for ((outside, inside), in_image) in outside.iter_mut().zip(inside).zip(&in_image) {
                *outside = in_image & !inside;
            }
        }
    }
    outside
}

/// Which indices of the box along `axis` lie in the image.
fn range_in_image(cell: &CellMask, image: [usize; 3], axis: usize) -> Range<usize> {
    let origin = cell.origin()[axis];
    let first = (-origin).max(0) as usize;
    let end = (image[axis] as isize - origin).clamp(0, cell.shape()[axis] as isize) as usize;
    first..end
}

/// All voxels at most `reach` steps along x from a voxel of the set.
fn grown_along_x(bits: &Bits, reach: usize) -> Bits {
    let mut grown = bits.clone();
    let mut reached = 0;
    while reached < reach {
        // What is grown so far, moved by a step either way, leaves no gap.
        let step = (reach - reached).min(2 * reached + 1).min(63);
        grown = grown.with_both_sides(step);
        reached += step;
    }
    grown
}

/// Adds to the shell what is one step from `bits`.
fn add_moved(shell: &mut Bits, bits: &Bits, step: &Step) {
    let [n_z, n_y, _] = bits.shape();
    let n_lines = n_y - step.lines.unsigned_abs();
    let [first, from_first] = [-step.lines, step.lines].map(|lines| lines.max(0) as usize);
    for z in 0..n_z {
        let from_z = z.checked_add_signed(step.planes).filter(|from_z| *from_z < n_z);
        let Some(from_z) = from_z else { continue };
        let from = bits.line_block(from_z * n_y + from_first, n_lines);
        let shell = shell.line_block_mut(z * n_y + first, n_lines);
        shell.iter_mut().zip(from).for_each(|(shell, from)| *shell |= from);
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
            for at in ndarray::indices(cell.shape()).into_iter().map(|(z, y, x)| [z, y, x]) {
                if !cell.inside().contains(at) {
                    prop_assert!(!shell.contains(at));
                    continue;
                }
                let here = cell.in_image(at);
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
                prop_assert_eq!(shell.contains(at), nearest < thickness_um);
            }
        }
    }
}
