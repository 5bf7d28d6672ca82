//! What a cell touches, and over which area.
//!
//! Cells are neighbours where their voxels share faces. The faces of a slope make stairs, whose
//! area is up to √3 times that of the slope; but as vectors, perpendicular to the faces, they add
//! up to the slope's own. So the image is cut into small blocks, the faces between two cells are
//! added up as vectors in each block, and the lengths of the sums are their contact area: exact
//! for planes, and the same seen from either cell.

use std::collections::BTreeMap;
use std::ops::Range;

use primordia_data::VoxelSize;
use rayon::prelude::*;

use crate::sweep::{Cells, Run, Stretch};

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
    /// The area in µm² towards each touching cell, by row, ascending.
    pub(crate) cells: Vec<(usize, f64)>,
    /// Towards background.
    pub(crate) outside_um2: f64,
}

impl Touching {
    /// What each cell touches, in the order of rows.
    pub(crate) fn all(cells: &Cells, voxel_size: VoxelSize) -> Vec<Self> {
        let mut touching = vec![Self::default(); cells.n_cells()];
        for ((a, b), area_um2) in areas_um2(cells, voxel_size) {
            let a = a as usize;
            if b == Stretch::OUTSIDE {
                touching[a].outside_um2 = area_um2;
            } else {
                touching[a].cells.push((b as usize, area_um2));
                touching[b as usize].cells.push((a, area_um2));
            }
        }
        touching
    }

    /// The area towards all touching cells in µm².
    pub(crate) fn cells_um2(&self) -> f64 {
        self.cells.iter().map(|(_, area)| area).sum()
    }
}

/// The area in µm² of a cell where an image of `shape` ends.
pub(crate) fn border_um2(runs: &[Run], shape: [usize; 3], voxel_size: VoxelSize) -> f64 {
    let n_ends = |at: usize, n: usize| u64::from(at == 0) + u64::from(at == n - 1);
    let mut n_faces = [0; 3];
    for run in runs {
        let n_voxels = run.x().len() as u64;
        n_faces[0] += n_voxels * n_ends(run.z(), shape[0]);
        n_faces[1] += n_voxels * n_ends(run.y(), shape[1]);
        n_faces[2] += u64::from(run.x().start == 0) + u64::from(run.x().end == shape[2]);
    }
    let area_um2 = |axis: usize| n_faces[axis] as f64 * voxel_size.face_area_um2(axis);
    area_um2(0) + area_um2(1) + area_um2(2)
}

/// The rows of two that touch, the smaller first; [`Stretch::OUTSIDE`] is the greatest.
type Pair = (u32, u32);

/// The area in µm² between all that touch.
fn areas_um2(cells: &Cells, voxel_size: VoxelSize) -> BTreeMap<Pair, f64> {
    let sides = block_sides(voxel_size);
    let n_layers = cells.shape()[0].div_ceil(sides[0]);
    let layers: Vec<BTreeMap<Pair, f64>> =
        (0..n_layers).into_par_iter().map(|layer| layer_um2(cells, layer, voxel_size)).collect();
    let mut total = BTreeMap::new();
    for (pair, area_um2) in layers.into_iter().flatten() {
        *total.entry(pair).or_default() += area_um2;
    }
    total
}

/// The sides of a block in voxels, `[z, y, x]`.
fn block_sides(voxel_size: VoxelSize) -> [usize; 3] {
    let um = voxel_size.um();
    let block_um = BLOCK * um.into_iter().fold(0.0, f64::max);
    um.map(|side| (block_um / side).round() as usize)
}

/// The side of a block in units of the longest side of a voxel: long enough to even out stairs,
/// short against cells, whose curvature it cuts.
const BLOCK: f64 = 3.0;

/// The areas in µm² in one layer of blocks.
fn layer_um2(cells: &Cells, layer: usize, voxel_size: VoxelSize) -> BTreeMap<Pair, f64> {
    let [n_z, n_y, n_x] = cells.shape();
    let sides = block_sides(voxel_size);
    let mut areas_um2 = BTreeMap::new();
    let mut blocks = Blocks::new(n_x, sides[2]);
    let planes = layer * sides[0]..((layer + 1) * sides[0]).min(n_z);
    for first in (0..n_y).step_by(sides[1]) {
        for z in planes.clone() {
            for y in first..(first + sides[1]).min(n_y) {
                let here = cells.line(z, y);
                blocks.add_within(here);
                if z + 1 < n_z {
                    blocks.add_between(here, cells.line(z + 1, y), 0);
                }
                if y + 1 < n_y {
                    blocks.add_between(here, cells.line(z, y + 1), 1);
                }
            }
        }
        blocks.take_areas_um2(voxel_size, &mut areas_um2);
    }
    areas_um2
}

/// A row of blocks along x. The face between two voxels belongs to the block of the first of them.
struct Blocks {
    side: usize,
    /// For each block, where the first of its faces are.
    first: Vec<Option<u32>>,
    faces: Vec<Faces>,
}

/// The faces of one pair in one block.
struct Faces {
    pair: Pair,
    /// How many look from the second of the pair to the first, and how many the other way, along
    /// `[z, y, x]`.
    counts: [[u32; 2]; 3],
    /// Where the faces of another pair in the same block are.
    others: Option<u32>,
}

impl Blocks {
    fn new(n_x: usize, side: usize) -> Self {
        Self { side, first: vec![None; n_x.div_ceil(side)], faces: Vec::new() }
    }

    /// Adds the faces along x in a line.
    fn add_within(&mut self, line: &[Stretch]) {
        for stretches in line.windows(2) {
            let x = stretches[0].end as usize - 1;
            self.add(x..x + 1, [stretches[0].row, stretches[1].row], 2);
        }
    }

    /// Adds the faces between a line and the next one along `axis`.
    fn add_between(&mut self, line: &[Stretch], next: &[Stretch], axis: usize) {
        let (mut line, mut next) = (line.iter(), next.iter());
        let (mut here, mut beyond) = (line.next(), next.next());
        let mut start = 0;
        while let (Some(a), Some(b)) = (here, beyond) {
            let end = a.end.min(b.end);
            if a.row != b.row {
                self.add(start as usize..end as usize, [a.row, b.row], axis);
            }
            if a.end == end {
                here = line.next();
            }
            if b.end == end {
                beyond = next.next();
            }
            start = end;
        }
    }

    /// Adds a face for each voxel of `x`, from the first row to the second.
    fn add(&mut self, x: Range<usize>, [from, to]: [u32; 2], axis: usize) {
        let mut start = x.start;
        while start < x.end {
            let block = start / self.side;
            let end = x.end.min((block + 1) * self.side);
            let faces = self.faces_of((from.min(to), from.max(to)), block);
            faces.counts[axis][usize::from(from < to)] += (end - start) as u32;
            start = end;
        }
    }

    fn faces_of(&mut self, pair: Pair, block: usize) -> &mut Faces {
        let mut next = self.first[block];
        while let Some(at) = next.map(|at| at as usize) {
            if self.faces[at].pair == pair {
                return &mut self.faces[at];
            }
            next = self.faces[at].others;
        }
        let at = self.faces.len();
        let others = self.first[block].replace(at as u32);
        self.faces.push(Faces { pair, counts: [[0; 2]; 3], others });
        &mut self.faces[at]
    }

    /// Adds the area of each pair in each block to `areas_um2`; no faces remain.
    fn take_areas_um2(&mut self, voxel_size: VoxelSize, areas_um2: &mut BTreeMap<Pair, f64>) {
        for faces in self.faces.drain(..) {
            *areas_um2.entry(faces.pair).or_default() += area_um2(&faces, voxel_size);
        }
        self.first.fill(None);
    }
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
    use crate::cell::tests::solid;
    use approx::assert_relative_eq;
    use nalgebra::{Point3, Rotation3};
    use ndarray::Array3;
    use primordia_data::Labels;
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
            let touching = Touching::all(&Cells::of(&labels), labels.volume().voxel_size());
            assert_eq!(touching[0].cells[0].1, touching[1].cells[0].1, "{anisotropy}");
            assert_relative_eq!(touching[0].cells_um2(), PI * 225.0, max_relative = BLOCKS);
            let side = PI * 225.0 + 2.0 * PI * 15.0 * 12.0;
            assert_relative_eq!(touching[0].outside_um2, side, max_relative = BLOCKS);
        }
    }

    #[test]
    fn sheets_have_two_sides_and_the_end_of_the_image_is_no_neighbour() {
        let labels = solid([5, 30, 30], [1.0; 3], |point| point.z == 2.0);
        let (cells, voxel_size) = (Cells::of(&labels), labels.volume().voxel_size());
        let touching = &Touching::all(&cells, voxel_size)[0];
        assert_relative_eq!(touching.outside_um2, 1800.0);
        assert_relative_eq!(border_um2(cells.runs(0), [5, 30, 30], voxel_size), 120.0);
        assert!(touching.cells.is_empty());
    }
}
