//! One cell, cut out of a label image into its own padded box.

use std::ops::Range;

use nalgebra::Point3;
use primordia_data::{Labels, VoxelSize};

use crate::bits::{Bits, set};
use crate::sweep::{Cells, Extent, Run, for_each_run};

/// One cell in its own box. The padding may reach beyond the image, where there is no cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellMask {
    inside: Bits,
    origin: [isize; 3], // of the box in the image, z, y, x
    padding: [usize; 3],
    voxel_size: VoxelSize,
}

impl CellMask {
    /// Cuts out cell `label`, whose voxels lie in `extent`, with `padding` voxels (`[z, y, x]`)
    /// on either side.
    pub fn cut(labels: &Labels, label: u32, extent: &Extent, padding: [usize; 3]) -> Self {
        let mut mask = Self::empty(extent, padding, labels.volume().voxel_size());
        let [_, n_y, n_x] = labels.volume().shape();
        let along_x = extent.first[2]..extent.end[2];
        for z in extent.first[0]..extent.end[0] {
            for y in extent.first[1]..extent.end[1] {
                let line = &labels.volume().as_slice()[(z * n_y + y) * n_x..][..n_x];
                for_each_run(&line[along_x.clone()], |found, x| {
                    if found == label {
                        mask.fill([z, y], x.start + along_x.start..x.end + along_x.start);
                    }
                });
            }
        }
        mask
    }

    /// The cell with these runs, which lie in `extent` of `labels`.
    fn of_runs(runs: &[Run], labels: &Labels, extent: &Extent, padding: [usize; 3]) -> Self {
        let mut mask = Self::empty(extent, padding, labels.volume().voxel_size());
        for run in runs {
            mask.fill([run.z(), run.y()], run.x());
        }
        mask
    }

    fn empty(extent: &Extent, padding: [usize; 3], voxel_size: VoxelSize) -> Self {
        let shape = [0, 1, 2].map(|k| extent.end[k] - extent.first[k] + 2 * padding[k]);
        let origin = [0, 1, 2].map(|k| extent.first[k] as isize - padding[k] as isize);
        Self { inside: Bits::empty(shape), origin, padding, voxel_size }
    }

    /// Adds voxels of one line of the image.
    fn fill(&mut self, [z, y]: [usize; 2], x: Range<usize>) {
        let in_box = |at: usize, axis: usize| (at as isize - self.origin[axis]) as usize;
        let x = in_box(x.start, 2)..in_box(x.end, 2);
        let line = in_box(z, 0) * self.shape()[1] + in_box(y, 1);
        set(self.inside.line_mut(line), x);
    }

    /// Where in the box a run of the cell lies: z, y, and its voxels along x.
    pub(crate) fn in_box(&self, run: Run) -> ([usize; 2], Range<usize>) {
        let [z, y, start, end] = [(run.z(), 0), (run.y(), 1), (run.x().start, 2), (run.x().end, 2)]
            .map(|(at, axis)| (at as isize - self.origin[axis]) as usize);
        ([z, y], start..end)
    }

    /// Which voxels of the box are the cell's.
    pub(crate) fn inside(&self) -> &Bits {
        &self.inside
    }

    /// Voxels of the box along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.inside.shape()
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
        self.inside.count()
    }

    /// The image position of a voxel of the box.
    pub fn in_image(&self, position: [usize; 3]) -> [isize; 3] {
        [0, 1, 2].map(|k| self.origin[k] + position[k] as isize)
    }

    /// The centre of a voxel of the box, x, y, z in µm of the image.
    pub fn point_um(&self, position: [usize; 3]) -> Point3<f64> {
        let [z, y, x] = self.in_image(position).map(|index| index as f64);
        let [dz, dy, dx] = self.voxel_size.um();
        Point3::new(x * dx, y * dy, z * dz)
    }
}

/// One cell, ready to be measured.
pub(crate) struct Cut<'a> {
    pub(crate) label: u32,
    pub(crate) runs: &'a [Run],
    pub(crate) extent: Extent,
    /// In a box with one voxel around it.
    pub(crate) mask: CellMask,
    /// The mean of its voxels in the image.
    pub(crate) centroid_um: Point3<f64>,
}

impl<'a> Cut<'a> {
    /// Cell `row` of `labels`.
    pub(crate) fn of(cells: &'a Cells, row: usize, labels: &Labels) -> Self {
        let (runs, extent) = (cells.runs(row), cells.extent(row));
        let mask = CellMask::of_runs(runs, labels, &extent, [1; 3]);
        let centroid_um = extent.centroid_um(mask.voxel_size());
        Self { label: labels.cells()[row], runs, extent, mask, centroid_um }
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
        assert!(cell.inside().contains([1, 2, 3]) && cell.n_voxels() == 1);
        assert_eq!(cell.point_um([1, 2, 3]), Point3::new(2.0, 3.0, 4.0));
    }
}
