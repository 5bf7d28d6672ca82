//! One cell, cut out of a label image into its own padded box.

use nalgebra::Point3;
use primordia_data::{Labels, VoxelSize};

use crate::sweep::Extent;

/// One cell in its own box. The padding may reach beyond the image, where there is no cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellMask {
    inside: Vec<u8>, // [z, y, x], x fastest: 1 in the cell, 0 elsewhere
    shape: [usize; 3],
    origin: [isize; 3], // of the box in the image, z, y, x
    padding: [usize; 3],
    voxel_size: VoxelSize,
}

impl CellMask {
    /// Cuts out cell `label`, whose voxels lie in `extent`, with `padding` voxels (`[z, y, x]`)
    /// on either side.
    pub fn cut(labels: &Labels, label: u32, extent: &Extent, padding: [usize; 3]) -> Self {
        let shape = [0, 1, 2].map(|k| extent.end[k] - extent.first[k] + 2 * padding[k]);
        let origin = [0, 1, 2].map(|k| extent.first[k] as isize - padding[k] as isize);
        let mut inside = vec![0; shape.iter().product()];
        let [_, n_y, n_x] = labels.volume().shape();
        let voxels = labels.volume().as_slice();
        let width = extent.end[2] - extent.first[2];
        for z in extent.first[0]..extent.end[0] {
            for y in extent.first[1]..extent.end[1] {
                let from = (z * n_y + y) * n_x + extent.first[2];
                let to = ((z - extent.first[0] + padding[0]) * shape[1] + y - extent.first[1]
                    + padding[1])
                    * shape[2]
                    + padding[2];
                for (inside, &value) in
                    inside[to..to + width].iter_mut().zip(&voxels[from..from + width])
                {
                    *inside = u8::from(value == label);
                }
            }
        }
        Self { inside, shape, origin, padding, voxel_size: labels.volume().voxel_size() }
    }

    /// Which voxels of the box are the cell's, `[z, y, x]` with x fastest: 1 in the cell, else 0.
    pub fn inside(&self) -> &[u8] {
        &self.inside
    }

    /// Voxels of the box along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How far apart neighbours along z, y and x lie in [`CellMask::inside`].
    pub fn strides(&self) -> [usize; 3] {
        [self.shape[1] * self.shape[2], self.shape[2], 1]
    }

    /// The first voxel of the box in the image, `[z, y, x]`; negative where the padding begins
    /// before the image.
    pub fn origin(&self) -> [isize; 3] {
        self.origin
    }

    /// By how many voxels the box is larger than the cell on either side, `[z, y, x]`.
    pub fn padding(&self) -> [usize; 3] {
        self.padding
    }

    /// The physical size of a voxel.
    pub fn voxel_size(&self) -> VoxelSize {
        self.voxel_size
    }

    /// The number of voxels of the cell.
    pub fn n_voxels(&self) -> usize {
        self.inside.iter().map(|inside| usize::from(*inside)).sum()
    }

    /// Where voxel `index` of the box lies in the box, `[z, y, x]`.
    pub fn position(&self, index: usize) -> [usize; 3] {
        let [plane, line, _] = self.strides();
        [index / plane, index % plane / line, index % line]
    }

    /// The image position of a voxel of the box.
    pub fn in_image(&self, position: [usize; 3]) -> [isize; 3] {
        [0, 1, 2].map(|k| self.origin[k] + position[k] as isize)
    }

    /// The centre of voxel `index` of the box, x, y, z in µm of the image.
    pub fn point_um(&self, index: usize) -> Point3<f64> {
        let [z, y, x] = self.in_image(self.position(index)).map(|index| index as f64);
        let [dz, dy, dx] = self.voxel_size.um();
        Point3::new(x * dx, y * dy, z * dz)
    }

    /// How many pieces the cell is in; pieces that touch at a corner are one.
    pub fn n_pieces(&self) -> usize {
        let mut pieces = Pieces::default();
        let [n_z, n_y, n_x] = self.shape;
        let mut above: Vec<Vec<Run>> = vec![Vec::new(); n_y];
        for z in 0..n_z {
            let mut plane: Vec<Vec<Run>> = Vec::with_capacity(n_y);
            for y in 0..n_y {
                let line = &self.inside[(z * n_y + y) * n_x..][..n_x];
                let runs = pieces.runs(line);
                let touching = y.saturating_sub(1)..(y + 2).min(n_y);
                for other in above[touching].iter().chain(plane.last()) {
                    pieces.join_touching(&runs, other);
                }
                plane.push(runs);
            }
            above = plane;
        }
        pieces.count()
    }
}

/// Voxels `start..end` of one line along x, with the name of their piece.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    end: usize,
    piece: usize,
}

/// Sets of runs that touch: each piece points to another of its set, the root to itself.
#[derive(Debug, Default)]
struct Pieces {
    parents: Vec<usize>,
}

impl Pieces {
    fn runs(&mut self, line: &[u8]) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in line.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] == 1 {
                runs.push(Run { start, end, piece: self.parents.len() });
                self.parents.push(self.parents.len());
            }
            start = end;
        }
        runs
    }

    fn root(&mut self, mut piece: usize) -> usize {
        while self.parents[piece] != piece {
            self.parents[piece] = self.parents[self.parents[piece]];
            piece = self.parents[piece];
        }
        piece
    }

    fn join_touching(&mut self, runs: &[Run], others: &[Run]) {
        let mut first = 0;
        for run in runs {
            while first < others.len() && others[first].end < run.start {
                first += 1;
            }
            for other in others[first..].iter().take_while(|other| other.start <= run.end) {
                let (a, b) = (self.root(run.piece), self.root(other.piece));
                self.parents[a.max(b)] = a.min(b);
            }
        }
    }

    fn count(&self) -> usize {
        self.parents.iter().enumerate().filter(|(piece, parent)| piece == *parent).count()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sweep::extents;
    use ndarray::Array3;

    /// A label image of `shape` in which cell 1 is where `inside` (x, y, z in µm) says.
    pub(crate) fn solid(
        shape: [usize; 3],
        um: [f64; 3],
        inside: impl Fn(Point3<f64>) -> bool,
    ) -> Labels {
        let voxels = Array3::from_shape_fn(shape, |(z, y, x)| {
            let point = Point3::new(x as f64 * um[2], y as f64 * um[1], z as f64 * um[0]);
            u32::from(inside(point))
        });
        Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap()
    }

    /// The only cell of an image, cut out.
    pub(crate) fn only_cell(labels: &Labels, padding: [usize; 3]) -> CellMask {
        CellMask::cut(labels, labels.cells()[0], &extents(labels)[0], padding)
    }

    #[test]
    fn a_cut_out_cell_stays_in_its_place() {
        let labels = solid([3, 4, 5], [2.0, 1.0, 0.5], |point| point == Point3::new(2.0, 3.0, 4.0));
        let cell = only_cell(&labels, [1, 2, 3]);
        assert_eq!(cell.shape(), [3, 5, 7]);
        let index = cell.inside().iter().position(|inside| *inside == 1).unwrap();
        assert_eq!(cell.point_um(index), Point3::new(2.0, 3.0, 4.0));
    }

    #[test]
    fn pieces_that_touch_at_a_corner_are_one() {
        let at = |places: &'static [[f64; 3]]| {
            let labels = solid([4, 4, 6], [1.0; 3], |p| places.contains(&[p.z, p.y, p.x]));
            only_cell(&labels, [1; 3]).n_pieces()
        };
        assert_eq!(at(&[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), 1);
        assert_eq!(at(&[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), 1);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), 2);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 1.0]]), 1);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 3.0, 5.0]]), 3);
    }
}
