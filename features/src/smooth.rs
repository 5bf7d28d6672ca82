//! One cell's mask as a smooth field, on a grid no finer than its smoothness needs.

use std::ops::Range;

use nalgebra::{Point3, Vector3};

use crate::bits::for_each_run;
use crate::cell::CellMask;

/// Kernels end at this many standard deviations.
const REACH: f64 = 3.0;

/// A scalar field around one cell, 0 on the faces of its box.
pub(crate) struct Field {
    pub(crate) values: Vec<f32>, // [z, y, x], x fastest
    pub(crate) shape: [usize; 3],
    first_um: [f64; 3],   // of the first value in the image, z, y, x
    spacing_um: [f64; 3], // z, y, x
}

impl Field {
    /// The cell's mask (1 inside, 0 outside) after a Gaussian of standard deviation `sigma_um`.
    ///
    /// Along axes on which voxels are much finer than that, several voxels become one value.
    pub(crate) fn smoothed(cell: &CellMask, sigma_um: f64) -> Self {
        let side_um = cell.voxel_size().um();
        let merged = side_um.map(|side| ((sigma_um / side) as usize).max(1));
        let spacing_um = [0, 1, 2].map(|k| side_um[k] * merged[k] as f64);
        let padding = spacing_um.map(|spacing| (1.5 * sigma_um / spacing).ceil() as usize + 1);
        let mut field = Self::averaged(cell, merged, padding, spacing_um);
        // The mean over n voxels is itself a blur, of variance (n² − 1) side² / 12.
        let kernels = [0, 1, 2].map(|k| {
            let blur = ((merged[k] * merged[k] - 1) as f64 / 12.0).sqrt() * side_um[k];
            half_kernel((sigma_um * sigma_um - blur * blur).sqrt() / spacing_um[k])
        });
        field.convolve(&kernels);
        field.close();
        field
    }

    /// The bare mask, for tests.
    #[cfg(test)]
    pub(crate) fn of_mask(cell: &CellMask) -> Self {
        Self::averaged(cell, [1; 3], [1; 3], cell.voxel_size().um())
    }

    /// The place of a value, x, y, z in µm of the image.
    pub(crate) fn point_um(&self, position: [usize; 3]) -> Point3<f64> {
        let [z, y, x] =
            [0, 1, 2].map(|k| self.first_um[k] + position[k] as f64 * self.spacing_um[k]);
        Point3::new(x, y, z)
    }

    /// The corners of the box of values, x, y, z in µm of the image.
    pub(crate) fn corners_um(&self) -> [Point3<f64>; 8] {
        let last = self.shape.map(|n| n - 1);
        std::array::from_fn(|corner| {
            self.point_um([0, 1, 2].map(|k| if corner >> k & 1 == 1 { last[k] } else { 0 }))
        })
    }

    /// The distance of values along z, y, x in µm.
    pub(crate) fn spacing_um(&self) -> [f64; 3] {
        self.spacing_um
    }

    /// The value at a point of the image, linear between places; 0 outside the box.
    pub(crate) fn at(&self, point_um: Point3<f64>) -> f32 {
        let along = [point_um.z, point_um.y, point_um.x];
        let mut first = [0; 3];
        let mut part = [0.0_f32; 3];
        for k in 0..3 {
            let place = (along[k] - self.first_um[k]) / self.spacing_um[k];
            if place < 0.0 || place >= (self.shape[k] - 1) as f64 {
                return 0.0;
            }
            first[k] = place as usize;
            part[k] = place.fract() as f32;
        }
        let line = |z: usize, y: usize| {
            let at = ((first[0] + z) * self.shape[1] + first[1] + y) * self.shape[2] + first[2];
            self.values[at] + part[2] * (self.values[at + 1] - self.values[at])
        };
        let plane = |z: usize| line(z, 0) + part[1] * (line(z, 1) - line(z, 0));
        plane(0) + part[0] * (plane(1) - plane(0))
    }

    /// Follows a ray: the distance in µm to its last crossing of `level`, and the number of
    /// crossings; (0, 0) if there is none.
    pub(crate) fn cast(
        &self,
        from_um: Point3<f64>,
        direction: Vector3<f64>,
        level: f32,
    ) -> (f64, usize) {
        let step_um = 0.5 * self.spacing_um.into_iter().fold(f64::MAX, f64::min);
        let reach_um = self.way_out_um(from_um, direction) + step_um; // beyond the box all is 0
        let (mut last_um, mut n_crossings) = (0.0, 0);
        let mut before = self.at(from_um);
        for step in 1..=(reach_um / step_um) as usize {
            let value = self.at(from_um + direction * (step as f64 * step_um));
            if (value > level) != (before > level) {
                let part = f64::from((level - before) / (value - before));
                last_um = (step as f64 - 1.0 + part) * step_um;
                n_crossings += 1;
            }
            before = value;
        }
        (last_um, n_crossings)
    }

    /// How far it is from a point in the box to its faces, in a direction of length 1.
    fn way_out_um(&self, from_um: Point3<f64>, direction: Vector3<f64>) -> f64 {
        let way_out = |axis: usize| {
            let k = 2 - axis;
            let face = if direction[axis] > 0.0 { (self.shape[k] - 1) as f64 } else { 0.0 };
            let way = self.first_um[k] + face * self.spacing_um[k] - from_um[axis];
            if direction[axis] == 0.0 { f64::INFINITY } else { way / direction[axis] }
        };
        (0..3).map(way_out).fold(f64::INFINITY, f64::min).max(0.0)
    }

    /// The mask, as means over blocks of `merged` voxels that begin where the cell does.
    fn averaged(
        cell: &CellMask,
        merged: [usize; 3],
        padding: [usize; 3],
        spacing_um: [f64; 3],
    ) -> Self {
        let side_um = cell.voxel_size().um();
        let tight = cell.padding();
        let shape = [0, 1, 2]
            .map(|k| (cell.shape()[k] - 2 * tight[k]).div_ceil(merged[k]) + 2 * padding[k]);
        let first_um = [0, 1, 2].map(|k| {
            let first = (cell.origin()[k] + tight[k] as isize) as f64 * side_um[k];
            first + 0.5 * (spacing_um[k] - side_um[k]) - padding[k] as f64 * spacing_um[k]
        });
        let mut values = vec![0.0_f32; shape.iter().product()];
        let weight = 1.0 / merged.iter().product::<usize>() as f32;
        let n_y = cell.shape()[1];
        for (line, inside) in cell.inside().lines().enumerate() {
            for_each_run(inside.iter().copied(), |x| {
                let [z, y] = [(line / n_y, 0), (line % n_y, 1)]
                    .map(|(at, k)| (at - tight[k]) / merged[k] + padding[k]);
                let out = &mut values[(z * shape[1] + y) * shape[2] + padding[2]..];
                add_run(out, x.start - tight[2]..x.end - tight[2], merged[2], weight);
            });
        }
        Self { values, shape, first_um, spacing_um }
    }

    /// Along x and y plane by plane, then along z; past what is empty anyway.
    fn convolve(&mut self, kernels: &[Vec<f32>; 3]) {
        let [n_z, n_y, n_x] = self.shape;
        let plane = n_y * n_x;
        let [reach_z, reach_y, reach_x] = [0, 1, 2].map(|k| kernels[k].len() - 1);
        let mut blurred = vec![0.0; self.values.len()];
        let mut margins = Margins::new([n_y, n_x], [reach_y, reach_x]);
        let planes = self.values.chunks_exact(plane).zip(blurred.chunks_exact_mut(plane));
        // Of each plane, the lines that are not empty.
        let lines: Vec<Range<usize>> = planes
            .map(|(values, blurred)| match lines_with_values(values, n_x) {
                lines if lines.is_empty() => lines,
                lines => margins.blur(values, lines, blurred, [&kernels[1], &kernels[2]]),
            })
            .collect();
        let nothing = vec![0.0; plane];
        for (z, values) in self.values.chunks_exact_mut(plane).enumerate() {
            let around = z.saturating_sub(reach_z)..(z + reach_z + 1).min(n_z);
            let around = || lines[around.clone()].iter().filter(|lines| !lines.is_empty());
            let first = around().map(|lines| lines.start).min().unwrap_or_default();
            let end = around().map(|lines| lines.end).max().unwrap_or_default();
            let range = first * n_x..end * n_x;
            let blurred = |z: Option<usize>| match z.filter(|z| *z < n_z) {
                Some(z) => &blurred[z * plane..][range.clone()],
                None => &nothing[range.clone()],
            };
            weigh(&mut values[range.clone()], &kernels[0], |step| {
                [blurred(z.checked_sub(step)), blurred(Some(z + step))]
            });
        }
    }

    /// Empties the faces of the box, so that surfaces close inside.
    fn close(&mut self) {
        let [n_z, n_y, n_x] = self.shape;
        for (line, values) in self.values.chunks_exact_mut(n_x).enumerate() {
            let (z, y) = (line / n_y, line % n_y);
            if z == 0 || z == n_z - 1 || y == 0 || y == n_y - 1 {
                values.fill(0.0);
            }
            values[0] = 0.0;
            values[n_x - 1] = 0.0;
        }
    }
}

/// The weights at 0, 1, 2, … voxels from the middle; with their mirror image they sum to 1.
fn half_kernel(sigma_voxels: f64) -> Vec<f32> {
    let reach = (REACH * sigma_voxels).ceil() as usize;
    let weights: Vec<f64> =
        (0..=reach).map(|at| (-0.5 * (at as f64 / sigma_voxels).powi(2)).exp()).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// Adds voxels `x` of a line to the means over blocks of `merged` voxels.
fn add_run(means: &mut [f32], x: Range<usize>, merged: usize, weight: f32) {
    let (first, last) = (x.start / merged, (x.end - 1) / merged);
    for (block, mean) in (first..).zip(&mut means[first..=last]) {
        let n_voxels = x.end.min((block + 1) * merged) - x.start.max(block * merged);
        *mean += weight * n_voxels as f32;
    }
}

/// The lines of a plane from the first to the last that is not empty.
fn lines_with_values(plane: &[f32], n_x: usize) -> Range<usize> {
    let has_values = |line: &[f32]| line.iter().any(|value| *value > 0.0);
    let Some(first) = plane.chunks_exact(n_x).position(has_values) else { return 0..0 };
    let last = plane.chunks_exact(n_x).rposition(has_values).unwrap_or(first);
    first..last + 1
}

/// One plane at a time, with margins of zeros as wide as kernels reach along x, and twice along y:
/// lines do not meet, so that all of them are one long line.
struct Margins {
    shape: [usize; 2],  // y, x
    margin: [usize; 2], // y, x
    values: Vec<f32>,
    along_x: Vec<f32>,
    along_y: Vec<f32>,
}

impl Margins {
    fn new(shape: [usize; 2], margin: [usize; 2]) -> Self {
        let nothing = vec![0.0; (shape[0] + 4 * margin[0]) * (shape[1] + 2 * margin[1])];
        Self { shape, margin, values: nothing.clone(), along_x: nothing.clone(), along_y: nothing }
    }

    /// Blurs a plane, which is empty but for `lines`, along x, then along y; gives the lines of
    /// `out` that this fills.
    fn blur(
        &mut self,
        plane: &[f32],
        lines: Range<usize>,
        out: &mut [f32],
        [kernel_y, kernel_x]: [&[f32]; 2],
    ) -> Range<usize> {
        let ([n_y, n_x], [margin_y, margin_x]) = (self.shape, self.margin);
        let stride = n_x + 2 * margin_x;
        let start = |line: usize| line * stride + margin_x;
        let end = 2 * margin_y + lines.len();
        for (line, values) in
            (2 * margin_y..).zip(plane.chunks_exact(n_x).take(lines.end).skip(lines.start))
        {
            self.values[start(line)..][..n_x].copy_from_slice(values);
        }
        let first = start(2 * margin_y);
        weigh(&mut self.along_x[first..start(end - 1) + n_x], kernel_x, |step| {
            [&self.values[first - step..], &self.values[first + step..]]
        });
        self.along_x[end * stride..(end + 2 * margin_y) * stride].fill(0.0);
        let first = start(margin_y);
        weigh(&mut self.along_y[first..start(end + margin_y - 1) + n_x], kernel_y, |step| {
            [&self.along_x[first - step * stride..], &self.along_x[first + step * stride..]]
        });
        let filled = lines.start.saturating_sub(margin_y)..(lines.end + margin_y).min(n_y);
        for line in filled.clone() {
            let from = start(line + 2 * margin_y - lines.start);
            out[line * n_x..][..n_x].copy_from_slice(&self.along_y[from..][..n_x]);
        }
        filled
    }
}

/// Each value becomes the weighted sum of its counterparts in what lies `around` at each step.
fn weigh<'a>(out: &mut [f32], half_kernel: &[f32], around: impl Fn(usize) -> [&'a [f32]; 2]) {
    for (value, middle) in out.iter_mut().zip(around(0)[0]) {
        *value = half_kernel[0] * middle;
    }
    for (step, weight) in half_kernel.iter().enumerate().skip(1) {
        let [before, after] = around(step);
        for ((value, before), after) in out.iter_mut().zip(before).zip(after) {
            *value += weight * (before + after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::{only_cell, solid};

    /// Single precision, and the closed faces of the box.
    const PRECISION: f32 = 1e-6;

    #[test]
    fn a_voxel_becomes_the_product_of_three_gaussians() {
        let labels = solid([1, 1, 1], [1.0, 0.9, 0.8], |_| true);
        let field = Field::smoothed(&only_cell(&labels, [1; 3]), 1.0);
        let kernels = [1.0, 1.0 / 0.9, 1.0 / 0.8].map(half_kernel);
        for z in 1..field.shape[0] - 1 {
            for y in 1..field.shape[1] - 1 {
                for x in 1..field.shape[2] - 1 {
                    let point = field.point_um([z, y, x]);
                    let steps = [point.z, point.y / 0.9, point.x / 0.8].map(|at| at.abs().round());
                    let weight = |k: usize| kernels[k].get(steps[k] as usize).unwrap_or(&0.0);
                    let value = field.values[(z * field.shape[1] + y) * field.shape[2] + x];
                    assert!((value - weight(0) * weight(1) * weight(2)).abs() < PRECISION);
                }
            }
        }
    }

    #[test]
    fn merging_voxels_keeps_the_mass_and_its_place() {
        let inside = |p: Point3<f64>| p.z >= 1.0 && p.y >= 0.5 && p.x >= 0.8 && p.x < 2.9;
        let labels = solid([5, 11, 31], [1.0, 0.5, 0.1], inside);
        let cell = only_cell(&labels, [1; 3]);
        let field = Field::smoothed(&cell, 1.0);
        let (mut mass, mut moment) = (0.0, nalgebra::Vector3::zeros());
        for (index, value) in field.values.iter().enumerate() {
            let [_, n_y, n_x] = field.shape;
            let at = [index / (n_y * n_x), index / n_x % n_y, index % n_x];
            mass += f64::from(*value);
            moment += f64::from(*value) * field.point_um(at).coords;
        }
        let volume_um3 = mass * field.spacing_um().iter().product::<f64>();
        // What reaches the faces of the box is cut off.
        assert!((volume_um3 / (cell.n_voxels() as f64 * 0.05) - 1.0).abs() < 0.1);
        let centre = crate::sweep::extents(&labels)[0].centroid_um(cell.voxel_size()).coords;
        assert!((moment / mass - centre).norm() < 0.05, "{} {centre}", moment / mass);
    }
}
