//! What a cell touches, and over which area.
//!
//! Cells are neighbours where their voxels share faces. The faces of a slope make stairs, whose
//! area is up to √3 times that of the slope; but as vectors, perpendicular to the faces, they add
//! up to the slope's own. So the image is cut into small blocks, the faces between two cells are
//! added up as vectors in each block, and the lengths of the sums are their contact area: exact
//! for planes, and the same seen from either cell.

use std::collections::BTreeMap;

use primordia_data::{Labels, VoxelSize};

use crate::bits::{for_each_one, next_bits};
use crate::cell::CellMask;

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

impl Touching {
    /// What `cell`, whose box has padding, touches in `labels`.
    pub(crate) fn of(cell: &CellMask, labels: &Labels) -> Self {
        let mut surface = Surface::new(cell, labels);
        for axis in 0..3 {
            surface.add_faces_along(axis);
        }
        surface.touching()
    }

    /// The area towards all touching cells in µm².
    pub(crate) fn cells_um2(&self) -> f64 {
        self.cells.iter().map(|(_, area)| area).sum()
    }
}

/// The faces towards one neighbour in one block.
struct Faces {
    towards: u32,
    /// How many look back, and how many ahead, along `[z, y, x]`.
    counts: [[u32; 2]; 3],
    /// Where the faces towards another neighbour in the same block are.
    others: Option<u32>,
}

/// All faces between a cell and what is not the cell.
struct Surface<'a> {
    cell: &'a CellMask,
    labels: &'a Labels,
    /// For each position along `[z, y, x]` of the cell's box, its block along that axis.
    blocks: [Vec<u32>; 3],
    /// Where the first faces of each block are.
    in_block: Vec<Option<u32>>,
    faces: Vec<Faces>,
    /// Along `[z, y, x]`, the number of faces where the image ends.
    n_border_faces: [u64; 3],
}

impl<'a> Surface<'a> {
    fn new(cell: &'a CellMask, labels: &'a Labels) -> Self {
        let blocks = [0, 1, 2].map(|axis| blocks(cell, axis));
        let n_blocks = blocks.iter().map(|along| along[along.len() - 1] as usize + 1).product();
        let in_block = vec![None; n_blocks];
        Self { cell, labels, blocks, in_block, faces: Vec::new(), n_border_faces: [0; 3] }
    }

    /// Adds the faces that are perpendicular to `axis`.
    fn add_faces_along(&mut self, axis: usize) {
        let inside = self.cell.inside();
        let [n_z, n_y, _] = self.cell.shape();
        let mut next = Vec::new();
        for z in 0..n_z - usize::from(axis == 0) {
            for y in 0..n_y - usize::from(axis == 1) {
                let here = inside.line(z * n_y + y);
                next.clear();
                match axis {
                    0 => next.extend_from_slice(inside.line((z + 1) * n_y + y)),
                    1 => next.extend_from_slice(inside.line(z * n_y + y + 1)),
                    _ => next.extend(next_bits(here)),
                }
                let pairs = || here.iter().zip(&next);
                self.add_line([z, y], axis, 0, pairs().map(|(here, next)| !here & next));
                self.add_line([z, y], axis, 1, pairs().map(|(here, next)| here & !next));
            }
        }
    }

    /// Adds faces between voxels of the line at `[z, y]` and the next ones along `axis`: the cell
    /// looks ahead (1) from the former, or back (0) from the latter.
    fn add_line(
        &mut self,
        [z, y]: [usize; 2],
        axis: usize,
        ahead: usize,
        faces: impl Iterator<Item = u64>,
    ) {
        let step = |along: usize| if along == axis { ahead } else { 0 };
        let beyond = self.cell.in_image([z + step(0), y + step(1), step(2)]);
        let beyond_line = self.line_of_image([beyond[0], beyond[1]]);
        // Both cells name a face by the same one of its two voxels, hence its block.
        let n_blocks = [1, 2].map(|axis| self.blocks[axis][self.blocks[axis].len() - 1] + 1);
        let first_block =
            (self.blocks[0][z] * n_blocks[0] + self.blocks[1][y]) * n_blocks[1];
        for_each_one(faces, |x| {
            // Before the image, the place becomes a number far beyond its end.
            let place = beyond[2].wrapping_add_unsigned(x) as usize;
            match beyond_line.get(place) {
                Some(&towards) => self.add(first_block + self.blocks[2][x], towards, axis, ahead),
                None => self.n_border_faces[axis] += 1,
            }
        });
    }

    /// The labels of a line along x; none outside the image.
    fn line_of_image(&self, [z, y]: [isize; 2]) -> &'a [u32] {
        let [n_z, n_y, n_x] = self.labels.volume().shape();
        if z < 0 || y < 0 || z >= n_z as isize || y >= n_y as isize {
            return &[];
        }
        &self.labels.volume().as_slice()[(z as usize * n_y + y as usize) * n_x..][..n_x]
    }

    fn add(&mut self, block: u32, towards: u32, axis: usize, ahead: usize) {
        let first = &mut self.in_block[block as usize];
        let mut at = *first;
        while let Some(index) = at {
            let faces = &mut self.faces[index as usize];
            if faces.towards == towards {
                faces.counts[axis][ahead] += 1;
                return;
            }
            at = faces.others;
        }
        let mut counts = [[0; 2]; 3];
        counts[axis][ahead] = 1;
        let others = first.replace(self.faces.len() as u32);
        self.faces.push(Faces { towards, counts, others });
    }

    fn touching(&self) -> Touching {
        let voxel_size = self.cell.voxel_size();
        let mut areas_um2 = BTreeMap::<u32, f64>::new();
        // Block by block, so that both cells of a contact add up its area in the same order.
        for first in &self.in_block {
            let mut at = *first;
            while let Some(index) = at {
                let faces = &self.faces[index as usize];
                *areas_um2.entry(faces.towards).or_default() += area_um2(faces, voxel_size);
                at = faces.others;
            }
        }
        let border = |axis: usize| self.n_border_faces[axis] as f64 * voxel_size.face_area_um2(axis);
        Touching {
            outside_um2: areas_um2.remove(&0).unwrap_or_default(),
            cells: areas_um2.into_iter().collect(),
            border_um2: border(0) + border(1) + border(2),
        }
    }
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
fn area_um2(faces: &Faces, voxel_size: VoxelSize) -> f64 {
    let along = |axis: usize| {
        let [back, ahead] = faces.counts[axis];
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
