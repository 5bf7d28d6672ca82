//! One pass over a label image: where every cell lies, and its moments.
//!
//! The image is read once, run by run along x, however many cells there are; from then on a cell is
//! its runs. All sums are of integers, hence exact and the same for any number of threads.

use std::ops::Range;

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::labels::LabelRows;
use primordia_data::{Labels, VoxelSize};
use rayon::prelude::*;

/// Lines of voxels along x are swept in at most this many chunks, whatever the number of threads.
const CHUNKS: usize = 64;

/// The box and the exact moments of one cell, in voxels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first voxel of the bounding box, `[z, y, x]`.
    pub first: [usize; 3],
    /// One past the last voxel of the bounding box, `[z, y, x]`.
    pub end: [usize; 3],
    /// The number of voxels.
    pub n_voxels: u64,
    sums: [u64; 3],     // z, y, x
    products: [u64; 6], // zz, yy, xx, zy, zx, yx
}

impl Extent {
    const NOTHING: Self =
        Self { first: [usize::MAX; 3], end: [0; 3], n_voxels: 0, sums: [0; 3], products: [0; 6] };

    /// The volume in µm³.
    pub fn volume_um3(&self, voxel_size: VoxelSize) -> f64 {
        self.n_voxels as f64 * voxel_size.volume_um3()
    }

    /// The mean of the voxels' indices, `[z, y, x]`.
    pub fn centroid_voxels(&self) -> [f64; 3] {
        self.sums.map(|sum| sum as f64 / self.n_voxels as f64)
    }

    /// The mean of the voxel centres, x, y, z in µm.
    pub fn centroid_um(&self, voxel_size: VoxelSize) -> Point3<f64> {
        let ([z, y, x], [dz, dy, dx]) = (self.centroid_voxels(), voxel_size.um());
        Point3::new(x * dx, y * dy, z * dz)
    }

    /// The covariance of the cell's matter along x, y, z in µm². A voxel is a box, not a point:
    /// along each axis it adds the variance of its own side, side² / 12.
    pub fn covariance_um2(&self, voxel_size: VoxelSize) -> Matrix3<f64> {
        const PAIRS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)];
        let um = voxel_size.um();
        let n = u128::from(self.n_voxels);
        let mut covariance = Matrix3::zeros();
        for (product, (i, j)) in self.products.into_iter().zip(PAIRS) {
            // n Σab − Σa Σb is exact: it is done in integers, where nothing cancels badly.
            let spread = (n * u128::from(product)) as i128
                - (u128::from(self.sums[i]) * u128::from(self.sums[j])) as i128;
            let own = if i == j { 1.0 / 12.0 } else { 0.0 };
            let value = (spread as f64 / (n as f64 * n as f64) + own) * um[i] * um[j];
            covariance[(2 - i, 2 - j)] = value;
            covariance[(2 - j, 2 - i)] = value;
        }
        covariance
    }

    /// The semi-axes in µm, longest first, of the ellipsoid with the same moments: √(5 λ) for
    /// each eigenvalue λ of the covariance.
    pub fn semi_axes_um(&self, voxel_size: VoxelSize) -> Vector3<f64> {
        let mut axes = self
            .covariance_um2(voxel_size)
            .symmetric_eigenvalues()
            .map(|variance| (5.0 * variance.max(0.0)).sqrt());
        axes.as_mut_slice().sort_by(|a, b| b.total_cmp(a));
        axes
    }

    fn add_run(&mut self, z: usize, y: usize, x: Range<usize>) {
        for (axis, (first, end)) in
            [(z, z + 1), (y, y + 1), (x.start, x.end)].into_iter().enumerate()
        {
            self.first[axis] = self.first[axis].min(first);
            self.end[axis] = self.end[axis].max(end);
        }
        let [z, y, first, end] = [z, y, x.start, x.end].map(|index| index as u64);
        let n = end - first;
        let sum_x = sum_below(end) - sum_below(first);
        self.n_voxels += n;
        self.sums[0] += n * z;
        self.sums[1] += n * y;
        self.sums[2] += sum_x;
        self.products[0] += n * z * z;
        self.products[1] += n * y * y;
        self.products[2] += sum_of_squares_below(end) - sum_of_squares_below(first);
        self.products[3] += n * z * y;
        self.products[4] += z * sum_x;
        self.products[5] += y * sum_x;
    }
}

/// 0 + 1 + … + (n − 1).
fn sum_below(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

/// 0² + 1² + … + (n − 1)².
fn sum_of_squares_below(n: u64) -> u64 {
    if n == 0 { 0 } else { (n - 1) * n * (2 * n - 1) / 6 }
}

/// The extent of every cell, in the order of [`Labels::cells`].
pub fn extents(labels: &Labels) -> Vec<Extent> {
    let cells = Cells::of(labels);
    (0..labels.n_cells()).into_par_iter().map(|row| cells.extent(row)).collect()
}

/// Voxels of one cell that follow one another along x.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    z: u32,
    y: u32,
    start: u32,
    end: u32,
}

impl Run {
    /// Its plane.
    pub(crate) fn z(self) -> usize {
        self.z as usize
    }

    /// Its line in the plane.
    pub(crate) fn y(self) -> usize {
        self.y as usize
    }

    /// Its voxels along x.
    pub(crate) fn x(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A stretch of a line of the image that belongs to one cell, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where along x the next stretch begins.
    pub(crate) end: u32,
    /// The row of the cell; [`Stretch::OUTSIDE`] where there is none.
    pub(crate) row: u32,
}

impl Stretch {
    /// In place of a row, where no cell is.
    pub(crate) const OUTSIDE: u32 = u32::MAX;
}

/// Some lines that follow one another.
struct Lines {
    stretches: Vec<Stretch>,
    starts: Vec<usize>, // where in `stretches` each line begins; and the end
    runs: Vec<Run>,     // cell by cell, each in the order of z, y and x
    run_ends: Vec<u32>, // where in `runs` each cell ends
}

impl Lines {
    /// The first of these lines is line `first` of the image.
    fn of(
        labels: &[u32],
        [n_y, n_x]: [usize; 2],
        first: usize,
        rows: &LabelRows,
        n_cells: usize,
    ) -> Self {
        let (mut stretches, mut starts) = (Vec::new(), vec![0]);
        for line in labels.chunks_exact(n_x) {
            for_each_run(line, |label, x| {
                let row = rows.row(label).map_or(Stretch::OUTSIDE, |row| row as u32);
                stretches.push(Stretch { end: x.end as u32, row });
            });
            starts.push(stretches.len());
        }
        let mut lines = Self { stretches, starts, runs: Vec::new(), run_ends: vec![0; n_cells] };
        lines.sort_runs(first, n_y);
        lines
    }

    fn line(&self, line: usize) -> &[Stretch] {
        &self.stretches[self.starts[line]..self.starts[line + 1]]
    }

    /// Puts the stretches in cells into the order of cells: counts those of each cell, so that the
    /// place of each is known beforehand.
    fn sort_runs(&mut self, first: usize, n_y: usize) {
        let mut ends = std::mem::take(&mut self.run_ends);
        self.for_each_run(first, n_y, |row, _| ends[row] += 1);
        let mut n_runs = 0;
        for end in &mut ends {
            n_runs += std::mem::replace(end, n_runs);
        }
        let mut runs = vec![Run::default(); n_runs as usize];
        self.for_each_run(first, n_y, |row, run| {
            runs[ends[row] as usize] = run;
            ends[row] += 1;
        });
        (self.runs, self.run_ends) = (runs, ends);
    }

    /// Calls `each` with the row and the run of every stretch in a cell.
    fn for_each_run(&self, first: usize, n_y: usize, mut each: impl FnMut(usize, Run)) {
        for line in 0..self.starts.len() - 1 {
            let [z, y] = [(first + line) / n_y, (first + line) % n_y].map(|at| at as u32);
            let mut start = 0;
            for &Stretch { end, row } in self.line(line) {
                if row != Stretch::OUTSIDE {
                    each(row as usize, Run { z, y, start, end });
                }
                start = end;
            }
        }
    }

    /// The runs of a cell in these lines.
    fn runs(&self, row: usize) -> &[Run] {
        let first = row.checked_sub(1).map_or(0, |before| self.run_ends[before]);
        &self.runs[first as usize..self.run_ends[row] as usize]
    }
}

/// The voxels of every cell of a label image, as runs.
pub(crate) struct Cells {
    runs: Vec<Vec<Run>>, // of each cell, in the order of z, y and x
    lines: Vec<Lines>,
    lines_per_chunk: usize,
    shape: [usize; 3], // of the image
}

impl Cells {
    /// Reads the image once.
    pub(crate) fn of(labels: &Labels) -> Self {
        let shape = labels.volume().shape();
        let ([_, n_y, n_x], n_cells) = (shape, labels.n_cells());
        let rows = labels.rows();
        let voxels = labels.volume().as_slice();
        let lines_per_chunk = (voxels.len() / n_x).div_ceil(CHUNKS);
        let mut lines: Vec<Lines> = voxels
            .par_chunks(lines_per_chunk * n_x)
            .enumerate()
            .map(|(chunk, voxels)| {
                Lines::of(voxels, [n_y, n_x], chunk * lines_per_chunk, &rows, n_cells)
            })
            .collect();
        let runs_of = |row| {
            let chunks: Vec<&[Run]> = lines.iter().map(|lines| lines.runs(row)).collect();
            chunks.concat()
        };
        let runs = (0..n_cells).into_par_iter().map(runs_of).collect();
        // From now on they are with their cells.
        lines.iter_mut().for_each(|lines| lines.runs = Vec::new());
        Self { runs, lines, lines_per_chunk, shape }
    }

    /// The number of cells.
    pub(crate) fn n_cells(&self) -> usize {
        self.runs.len()
    }

    /// The shape of the image, `[z, y, x]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The runs of a cell, in the order of z, y and x.
    pub(crate) fn runs(&self, row: usize) -> &[Run] {
        &self.runs[row]
    }

    /// The line of the image at z, y, from end to end.
    pub(crate) fn line(&self, z: usize, y: usize) -> &[Stretch] {
        let line = z * self.shape[1] + y;
        self.lines[line / self.lines_per_chunk].line(line % self.lines_per_chunk)
    }

    /// The box and the moments of a cell.
    pub(crate) fn extent(&self, row: usize) -> Extent {
        let mut extent = Extent::NOTHING;
        for run in self.runs(row) {
            extent.add_run(run.z(), run.y(), run.x());
        }
        extent
    }
}

/// Calls `each` with every run of equal labels of a line, background included.
pub(crate) fn for_each_run(labels: &[u32], mut each: impl FnMut(u32, Range<usize>)) {
    let mut start = 0;
    while let Some(&label) = labels.get(start) {
        let end = end_of_run(labels, start);
        each(label, start..end);
        start = end;
    }
}

/// One past the last label that equals all since `start`.
fn end_of_run(labels: &[u32], start: usize) -> usize {
    /// Labels that are compared at once, on vector units.
    const STEP: usize = 16;
    let first = labels[start];
    let (steps, _) = labels[start..].as_chunks::<STEP>();
    // Bits in which any label differs: unlike `==` of arrays, this is no call of a function.
    let is_same = |step: &[u32; STEP]| step.iter().fold(0, |bits, label| bits | label ^ first) == 0;
    let n_steps = steps.iter().take_while(|step| is_same(step)).count();
    let at = start + STEP * n_steps;
    at + labels[at..].iter().take_while(|label| **label == first).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::Array3;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_moments_are_those_of_the_listed_voxels(
            values in proptest::collection::vec(0_u32..4, 3 * 4 * 5),
        ) {
            let voxel_size = VoxelSize::from_um([2.0, 0.5, 0.25]).unwrap();
            let voxels = Array3::from_shape_vec((3, 4, 5), values).unwrap();
            let labels = Labels::from_voxels(voxels, voxel_size).unwrap();
            for (extent, &label) in extents(&labels).iter().zip(labels.cells()) {
                let points: Vec<Point3<f64>> = labels
                    .volume()
                    .voxels()
                    .indexed_iter()
                    .filter(|(_, value)| **value == label)
                    .map(|((z, y, x), _)| labels.volume().point_um([z, y, x]))
                    .collect();
                let n = points.len() as f64;
                let mean = points.iter().map(|point| point.coords).sum::<Vector3<f64>>() / n;
                let mut covariance = Matrix3::from_diagonal(&Vector3::new(0.0625, 0.25, 4.0)) / 12.0;
                for point in &points {
                    covariance += (point.coords - mean) * (point.coords - mean).transpose() / n;
                }
                assert_relative_eq!(extent.centroid_um(voxel_size).coords, mean, epsilon = 1e-12);
                assert_relative_eq!(extent.covariance_um2(voxel_size), covariance, epsilon = 1e-12);
                prop_assert_eq!(extent.n_voxels as usize, points.len());
            }
        }
    }
}
