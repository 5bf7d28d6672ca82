//! What a cell touches, and over which area.
//!
//! Cells are neighbours where their voxels share faces. The faces of a slope make stairs, whose
//! area is up to √3 times that of the slope; but as vectors, perpendicular to the faces, they add
//! up to the slope's own. So the image is cut into small blocks, the faces between two cells are
//! added up as vectors in each block, and the lengths of the sums are their contact area: exact
//! for planes, and the same seen from either cell.

use primordia_data::{Labels, VoxelSize};

use crate::cell::CellMask;
use crate::scan::for_each_difference;

/// Two cells that touch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// The row of the cell with the smaller label.
    pub a: usize,
    /// The row of the other.
    pub b: usize,
    /// The area they share in µm².
    pub area_um2: f64,
}

/// What the surface of one cell touches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Touching {
    /// The area in µm² towards each touching cell, by label, ascending.
    pub(crate) cells: Vec<(u32, f64)>,
    /// Towards background.
    pub(crate) outside_um2: f64,
    /// Where the image ends.
    pub(crate) border_um2: f64,
}

/// The side of a block in units of the longest side of a voxel: long enough to even out stairs,
/// short against cells, whose curvature it cuts.
const BLOCK: f64 = 3.0;

/// The faces towards one neighbour in one block: how many look back, and how many ahead, along
/// `[z, y, x]`.
struct Faces {
    towards: u32,
    block: u32,
    counts: [[u32; 2]; 3],
}

impl Touching {
    /// What `cell`, whose box has padding, touches in `labels`.
    pub(crate) fn of(cell: &CellMask, labels: &Labels) -> Self {
        let (mut faces, n_border_faces) = faces(cell, labels);
        faces.sort_unstable_by_key(|faces| (faces.towards, faces.block));
        let mut touching = Self::default();
        for neighbour in faces.chunk_by(|a, b| a.towards == b.towards) {
            let blocks = neighbour.chunk_by(|a, b| a.block == b.block);
            let area_um2 = blocks.map(|block| area_um2(block, cell.voxel_size())).sum();
            match neighbour[0].towards {
                0 => touching.outside_um2 = area_um2,
                label => touching.cells.push((label, area_um2)),
            }
        }
        let border =
            |axis: usize| n_border_faces[axis] as f64 * cell.voxel_size().face_area_um2(axis);
        touching.border_um2 = border(0) + border(1) + border(2);
        touching
    }

    /// The area towards all touching cells in µm².
    pub(crate) fn cells_um2(&self) -> f64 {
        self.cells.iter().map(|(_, area)| area).sum()
    }
}

/// All faces between the cell and what is not the cell, and the number of faces along `[z, y, x]`
/// where the image ends.
fn faces(cell: &CellMask, labels: &Labels) -> (Vec<Faces>, [u64; 3]) {
    let (mut faces, mut n_border_faces) = (Vec::<Faces>::new(), [0; 3]);
    let (inside, [n_z, n_y, n_x]) = (cell.inside(), cell.shape());
    let blocks = [0, 1, 2].map(|axis| blocks(cell, axis));
    let n_blocks = [1, 2].map(|axis| blocks[axis][blocks[axis].len() - 1] + 1);
    let image_shape = labels.volume().shape();
    for axis in 0..3 {
        let stride = cell.strides()[axis];
        let step = [0, 1, 2].map(|other| isize::from(other == axis));
        for (z, y) in (0..n_z).flat_map(|z| (0..n_y).map(move |y| (z, y))) {
            let first = (z * n_y + y) * n_x;
            let Some(next_line) = inside.get(first + stride..) else { continue };
            // Both cells name a face by the same one of its two voxels, hence its block.
            let block_of_line = (blocks[0][z] * n_blocks[0] + blocks[1][y]) * n_blocks[1];
            for_each_difference(&inside[first..first + n_x], next_line, |x| {
                let [z, y, x_in_image] = cell.in_image([z, y, x]);
                let (beyond, ahead) = match inside[first + x] {
                    1 => ([z + step[0], y + step[1], x_in_image + step[2]], 1),
                    _ => ([z, y, x_in_image], 0),
                };
                if (0..3).any(|k| beyond[k] < 0 || beyond[k] >= image_shape[k] as isize) {
                    n_border_faces[axis] += 1;
                    return;
                }
                let towards = labels.volume().voxels()[beyond.map(|at| at as usize)];
                let block = block_of_line + blocks[2][x];
                match faces.last_mut() {
                    Some(last) if last.towards == towards && last.block == block => {
                        last.counts[axis][ahead] += 1;
                    }
                    _ => {
                        let mut counts = [[0; 2]; 3];
                        counts[axis][ahead] = 1;
                        faces.push(Faces { towards, block, counts });
                    }
                }
            });
        }
    }
    (faces, n_border_faces)
}

/// For each position along an axis of the cell's box, its block. Blocks are aligned to the image,
/// so that both cells of a contact have the same.
fn blocks(cell: &CellMask, axis: usize) -> Vec<u32> {
    let um = cell.voxel_size().um();
    let block_um = BLOCK * um.into_iter().fold(0.0, f64::max);
    let n_voxels = (block_um / um[axis]).round() as isize;
    let first = cell.origin()[axis];
    let block = |at: isize| (at.div_euclid(n_voxels) - first.div_euclid(n_voxels)) as u32;
    (first..first + cell.shape()[axis] as isize).map(block).collect()
}

/// The length of the sum of all faces as vectors. Faces that look at one another are roughness and
/// cancel, unless there are about as many of either: then they are the two sides of something thin.
fn area_um2(faces: &[Faces], voxel_size: VoxelSize) -> f64 {
    let along = |axis: usize| {
        let [back, ahead] =
            [0, 1].map(|way| faces.iter().map(|faces| faces.counts[axis][way]).sum::<u32>());
        let is_thin = 2 * back.min(ahead) > back.max(ahead);
        let n = if is_thin { back + ahead } else { back.abs_diff(ahead) };
        f64::from(n) * voxel_size.face_area_um2(axis)
    };
    (along(0).powi(2) + along(1).powi(2) + along(2).powi(2)).sqrt()
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // what is compared comes from the same whole numbers
mod tests {
    use super::*;
    use crate::cell::tests::{only_cell, solid};
    use approx::assert_relative_eq;
    use nalgebra::{Point3, Rotation3};
    use ndarray::Array3;
    use std::f64::consts::PI;

    /// Stairs end unevenly at the sides of blocks, alike in all planes of an upright wall.
    const BLOCKS: f64 = 0.02;

    #[test]
    fn tilted_planes_part_cells_with_their_own_area() {
        for (turn, anisotropy) in [(0.0, 1.0), (0.3, 1.0), (0.5, 2.0), (0.7, 3.0), (0.9, 5.0)] {
            let um = [1.0, 1.0 / anisotropy, 1.0 / anisotropy];
            let middle = Point3::new(20.17, 20.3, 20.5);
            let turn = Rotation3::from_euler_angles(turn, 0.4 * turn, 0.0);
            let voxels =
                solid([41, 41 * anisotropy as usize, 41 * anisotropy as usize], um, |_| true);
            let voxels = Array3::from_shape_fn(voxels.volume().voxels().dim(), |(z, y, x)| {
                let p = turn * (voxels.volume().point_um([z, y, x]) - middle);
                if p.z.abs() > 12.0 || p.xy().norm() > 15.0 { 0 } else { u32::from(p.z > 0.0) + 1 }
            });
            let labels = Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap();
            let extents = crate::sweep::extents(&labels);
            let touching: Vec<Touching> = [0, 1]
                .map(|row| {
                    let label = labels.cells()[row];
                    let cell = CellMask::cut(&labels, label, &extents[row], [1; 3]);
                    Touching::of(&cell, &labels)
                })
                .into();
            assert_eq!(touching[0].cells[0].1, touching[1].cells[0].1, "{anisotropy}");
            assert_relative_eq!(touching[0].cells_um2(), PI * 225.0, max_relative = BLOCKS);
            let side = PI * 225.0 + 2.0 * PI * 15.0 * 12.0;
            assert_relative_eq!(touching[0].outside_um2, side, max_relative = BLOCKS);
        }
    }

    #[test]
    fn sheets_have_two_sides_and_the_end_of_the_image_is_no_neighbour() {
        let labels = solid([5, 30, 30], [1.0; 3], |point| point.z == 2.0);
        let touching = Touching::of(&only_cell(&labels, [1; 3]), &labels);
        assert_relative_eq!(touching.outside_um2, 1800.0);
        assert_relative_eq!(touching.border_um2, 120.0);
        assert!(touching.cells.is_empty());
    }
}
