//! The exploded view: cells of a tissue drawn apart, so that each can be seen.
//!
//! Every cell is moved as a whole, away from a centre, by a multiple of its distance from it;
//! cells keep their orientation and, unless asked otherwise, their size. After the
//! "tissue ripper" of Hartmann et al. 2020 (doi:10.7554/eLife.55913).

use nalgebra::Point3;
use ndarray::Array3;
use primordia_data::{Labels, Volume};
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::error::{FeatureError, Result};
use crate::mesh::{Mesh, cell_mesh};
use crate::sweep::{Extent, extents};

/// From where cells move apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplodeAbout {
    /// From voxel `[0, 0, 0]`, by whole voxels rounded towards it, into an image whose sides are
    /// as much longer: the published rule.
    Corner,
    /// From the middle of all cells, into an image that just holds them.
    Tissue,
}

/// How cells are drawn apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplodeParams {
    /// How far cells lie from the centre afterwards, as a multiple of before, along `[z, y, x]`;
    /// 1 leaves an axis as it is. An image of one plane stays one plane.
    pub factor: [f64; 3],
    /// From where they move.
    pub about: ExplodeAbout,
    /// The size of each cell afterwards, as a multiple of before: 1, or less to draw cells smaller.
    pub cell_scale: f64,
}

impl Default for ExplodeParams {
    fn default() -> Self {
        Self { factor: [1.7; 3], about: ExplodeAbout::Tissue, cell_scale: 1.0 }
    }
}

impl ExplodeParams {
    fn check(&self) -> Result<()> {
        let at_least_one = |value: &f64| value.is_finite() && *value >= 1.0;
        if let Some(&value) = self.factor.iter().find(|value| !at_least_one(value)) {
            return Err(FeatureError::Factor { value });
        }
        if !(self.cell_scale > 0.0 && self.cell_scale <= 1.0) {
            return Err(FeatureError::CellScale { value: self.cell_scale });
        }
        Ok(())
    }
}

/// How far `explode_without_overlap` goes before it gives up.
const LARGEST_FACTOR: f64 = 10.0;
/// Labels of so many voxels take 16 GiB.
const MOST_VOXELS: f64 = 4_294_967_296.0;

fn check_size(n_voxels: f64) -> Result<()> {
    if n_voxels > MOST_VOXELS {
        return Err(FeatureError::ExplodedTooLarge { n_voxels });
    }
    Ok(())
}

/// An exploded tissue: where each cell went, and whatever is drawn there.
#[derive(Clone, Debug)]
pub struct Exploded {
    labels: Labels,
    extents: Vec<Extent>,
    /// The centroid of each cell before and after, in voxels, `[z, y, x]`.
    moves: Vec<([f64; 3], [f64; 3])>,
    cell_scale: f64,
    shape: [usize; 3],
}

/// Moves the cells of `labels` apart.
///
/// # Errors
/// [`FeatureError::Factor`] unless all factors are finite and at least 1,
/// [`FeatureError::CellScale`] unless the scale of cells is above 0 and at most 1, and
/// [`FeatureError::ExplodedTooLarge`] if the exploded image would have more than 2³² voxels.
pub fn explode(labels: &Labels, params: &ExplodeParams) -> Result<Exploded> {
    params.check()?;
    let extents = extents(labels);
    let shape = labels.volume().shape();
    let factor = [0, 1, 2].map(|k| if shape[k] == 1 { 1.0 } else { params.factor[k] });
    // Before shifts are whole numbers, which a far too large factor would overflow.
    for k in 0..3 {
        check_size(factor[k] * shape[k] as f64)?;
    }
    let centres: Vec<[f64; 3]> = extents.iter().map(Extent::centroid_voxels).collect();
    let (shifts, shape) = match params.about {
        ExplodeAbout::Corner => from_corner(&centres, factor, shape),
        ExplodeAbout::Tissue => from_middle(&centres, factor, &extents),
    };
    check_size(shape.iter().map(|&length| length as f64).product())?;
    let moved = |(centre, shift): (&[f64; 3], [isize; 3])| {
        (*centre, [0, 1, 2].map(|k| centre[k] + shift[k] as f64))
    };
    let moves = centres.iter().zip(shifts).map(moved).collect();
    Ok(Exploded { labels: labels.clone(), extents, moves, cell_scale: params.cell_scale, shape })
}

/// As [`explode`], with all factors above 1 enlarged together until no two cells overlap.
/// Gives the factor (of the largest axis) that was needed.
///
/// # Errors
/// Those of [`explode`], and [`FeatureError::Overlap`] if cells still overlap at a factor of 10,
/// or at the last one before the image would be too large.
pub fn explode_without_overlap(labels: &Labels, params: &ExplodeParams) -> Result<(Exploded, f64)> {
    let mut params = *params;
    let mut exploded = explode(labels, &params)?;
    loop {
        let factor = params.factor.into_iter().fold(1.0, f64::max);
        if exploded.n_overlapping_voxels() == 0 {
            return Ok((exploded, factor));
        }
        if factor > LARGEST_FACTOR {
            return Err(FeatureError::Overlap { factor });
        }
        params.factor = params.factor.map(|factor| 1.0 + (factor - 1.0) * 1.2);
        exploded = match explode(labels, &params) {
            Err(FeatureError::ExplodedTooLarge { .. }) => {
                return Err(FeatureError::Overlap { factor });
            }
            other => other?,
        };
    }
}

/// The published rule: shift (factor − 1) × centroid, cut to whole voxels.
fn from_corner(
    centres: &[[f64; 3]],
    factor: [f64; 3],
    shape: [usize; 3],
) -> (Vec<[isize; 3]>, [usize; 3]) {
    let shift = |centre: &[f64; 3]| [0, 1, 2].map(|k| ((factor[k] - 1.0) * centre[k]) as isize);
    let longer = |k: usize| (factor[k] * shape[k] as f64 + 1.0).floor() as usize;
    let shape = [0, 1, 2].map(|k| if factor[k] > 1.0 { longer(k) } else { shape[k] });
    (centres.iter().map(shift).collect(), shape)
}

/// Shifts from the mean of all cells, and the smallest box that holds the shifted cells with one
/// empty voxel around (none along axes that stay).
fn from_middle(
    centres: &[[f64; 3]],
    factor: [f64; 3],
    extents: &[Extent],
) -> (Vec<[isize; 3]>, [usize; 3]) {
    let n = centres.len() as f64;
    let middle = [0, 1, 2].map(|k| centres.iter().map(|centre| centre[k]).sum::<f64>() / n);
    let mut shifts: Vec<[isize; 3]> = centres
        .iter()
        .map(|c| [0, 1, 2].map(|k| ((factor[k] - 1.0) * (c[k] - middle[k])).round() as isize))
        .collect();
    let mut shape = [1; 3];
    for (k, length) in shape.iter_mut().enumerate() {
        let margin = isize::from(factor[k] > 1.0);
        let moved = || extents.iter().zip(&shifts).map(|(extent, shift)| (extent, shift[k]));
        let first = moved().map(|(extent, shift)| extent.first[k] as isize + shift).min();
        let end = moved().map(|(extent, shift)| extent.end[k] as isize + shift).max();
        let (Some(first), Some(end)) = (first, end) else { continue };
        *length = (end - first + 2 * margin) as usize;
        for shift in &mut shifts {
            shift[k] += margin - first;
        }
    }
    (shifts, shape)
}

impl Exploded {
    /// How far each cell moved, in the order of [`Labels::cells`], along `[z, y, x]` in µm.
    pub fn shifts_um(&self) -> Vec<[f64; 3]> {
        let um = self.labels.volume().voxel_size().um();
        self.moves.iter().map(|(from, to)| [0, 1, 2].map(|k| (to[k] - from[k]) * um[k])).collect()
    }

    /// Voxels of the exploded image along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The labels, exploded. Where cells overlap, the one that is later in the image is in front.
    ///
    /// # Errors
    /// [`FeatureError::Data`] if there is no voxel to draw on.
    pub fn labels(&self) -> Result<Labels> {
        Ok(Labels::new(self.channel(self.labels.volume())?))
    }

    /// A channel on the grid of the labels, exploded as they are, in its own type; empty (0)
    /// between cells.
    ///
    /// # Errors
    /// [`FeatureError::Data`] if the channel lies on another grid.
    pub fn channel<T: Clone + Default>(&self, channel: &Volume<T>) -> Result<Volume<T>> {
        self.labels.volume().check_same_grid(channel)?;
        let mut drawn = Array3::from_elem(self.shape, T::default());
        self.for_each_voxel(|from, to| drawn[to] = channel.voxels()[from].clone());
        Ok(Volume::new(drawn, channel.voxel_size())?)
    }

    /// The surface of each cell where it is drawn, in the order of [`Labels::cells`]: x, y, z in µm from
    /// the first voxel of the exploded image, enclosing the cell's volume times the scale of cells cubed.
    pub fn meshes(&self) -> Vec<Mesh> {
        let um = self.labels.volume().voxel_size().um();
        let smoothing_um = um.into_iter().fold(0.0, f64::max);
        let point_um = |[z, y, x]: [f64; 3]| Point3::new(x * um[2], y * um[1], z * um[0]);
        let mesh = |row: usize| {
            let (label, extent) = (self.labels.cells()[row], &self.extents[row]);
            let mesh = cell_mesh(&CellMask::cut(&self.labels, label, extent, [1; 3]), smoothing_um);
            let (from_um, to_um) = (point_um(self.moves[row].0), point_um(self.moves[row].1));
            let moved = |vertex: &Point3<f64>| to_um + (vertex - from_um) * self.cell_scale;
            Mesh::new(mesh.vertices().iter().map(moved).collect(), mesh.triangles().to_vec())
        };
        (0..self.labels.n_cells()).into_par_iter().map(mesh).collect()
    }

    /// How many voxels are drawn on more than once.
    pub fn n_overlapping_voxels(&self) -> usize {
        let mut drawn = Array3::from_elem(self.shape, false);
        let mut n = 0;
        self.for_each_voxel(|_, to| n += usize::from(std::mem::replace(&mut drawn[to], true)));
        n
    }

    /// Calls `each` with where every voxel of a cell comes from and where it goes.
    fn for_each_voxel(&self, mut each: impl FnMut([usize; 3], [usize; 3])) {
        let rows = self.labels.rows();
        if self.cell_scale >= 1.0 {
            for ((z, y, x), &label) in self.labels.volume().voxels().indexed_iter() {
                if let Some(row) = rows.row(label) {
                    let (from, to) = self.moves[row];
                    let place = [z, y, x];
                    each(
                        place,
                        [0, 1, 2].map(|k| (place[k] as f64 + to[k] - from[k]).round() as usize),
                    );
                }
            }
            return;
        }
        for (row, &label) in self.labels.cells().iter().enumerate() {
            self.for_each_voxel_of_shrunken(row, label, &mut each);
        }
    }

    /// Drawn smaller, each voxel of the new cell is looked up in the old one.
    fn for_each_voxel_of_shrunken(
        &self,
        row: usize,
        label: u32,
        each: &mut impl FnMut([usize; 3], [usize; 3]),
    ) {
        let ((from, to), extent) = (self.moves[row], &self.extents[row]);
        let new = |k: usize, old: f64| to[k] + (old - from[k]) * self.cell_scale;
        let range = |k: usize| {
            let first = new(k, extent.first[k] as f64 - 0.5).ceil().max(0.0) as usize;
            first..=(new(k, extent.end[k] as f64 - 0.5).floor() as usize).min(self.shape[k] - 1)
        };
        let old = |k: usize, new: usize| {
            (from[k] + (new as f64 - to[k]) / self.cell_scale).round() as usize
        };
        for z in range(0) {
            for y in range(1) {
                for x in range(2) {
                    let place = [old(0, z), old(1, y), old(2, x)];
                    if self.labels.volume().voxels().get(place) == Some(&label) {
                        each(place, [z, y, x]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // what is compared comes from the same whole numbers
mod tests {
    use super::*;
    use primordia_data::VoxelSize;

    fn two_blocks() -> Labels {
        let voxels = Array3::from_shape_fn((1, 6, 10), |(_, y, x)| match (y, x) {
            (1..5, 1..5) => 4,
            (1..5, 5..9) => 9,
            _ => 0,
        });
        Labels::from_voxels(voxels, VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap()).unwrap()
    }

    fn count(labels: &Labels, label: u32) -> usize {
        labels.volume().as_slice().iter().filter(|value| **value == label).count()
    }

    #[test]
    fn cells_move_apart_and_keep_their_size() {
        let labels = two_blocks();
        let exploded = explode(&labels, &ExplodeParams::default()).unwrap();
        let drawn = exploded.labels().unwrap();
        assert_eq!((count(&drawn, 4), count(&drawn, 9)), (16, 16));
        assert_eq!(drawn.volume().shape(), [1, 6, 12]);
        let shifts = exploded.shifts_um();
        assert!((shifts[1][2] - shifts[0][2] - 1.0).abs() < 1e-9, "{shifts:?}");
        assert_eq!(exploded.n_overlapping_voxels(), 0);
    }

    #[test]
    fn channels_go_with_their_cells_in_their_own_type() {
        let labels = two_blocks();
        let voxels = labels.volume().voxels().mapv(|label| if label == 9 { 0.5_f32 } else { 0.25 });
        let channel = Volume::new(voxels, labels.volume().voxel_size()).unwrap();
        let exploded = explode(&labels, &ExplodeParams::default()).unwrap();
        let (drawn, image) = (exploded.labels().unwrap(), exploded.channel(&channel).unwrap());
        for (label, value) in drawn.volume().as_slice().iter().zip(image.as_slice()) {
            assert_eq!(
                *value,
                [0.0, 0.25, 0.5][[0, 4, 9].iter().position(|l| l == label).unwrap()]
            );
        }
    }

    #[test]
    fn smaller_cells_stay_at_their_centroids() {
        let params = ExplodeParams { cell_scale: 0.5, ..ExplodeParams::default() };
        let labels = two_blocks();
        let whole = explode(&labels, &ExplodeParams::default()).unwrap().labels().unwrap();
        let small = explode(&labels, &params).unwrap().labels().unwrap();
        assert_eq!((count(&small, 4), count(&small, 9)), (4, 4));
        for (small, whole) in extents(&small).iter().zip(extents(&whole)) {
            assert_eq!(small.centroid_voxels(), whole.centroid_voxels());
        }
    }

    #[test]
    fn meshes_lie_where_their_cells_are_drawn() {
        let labels = two_blocks();
        for cell_scale in [1.0, 0.5] {
            let params =
                ExplodeParams { cell_scale, factor: [1.0, 2.0, 2.0], ..Default::default() };
            let exploded = explode(&labels, &params).unwrap();
            let drawn = extents(&exploded.labels().unwrap());
            for (mesh, drawn) in exploded.meshes().iter().zip(&drawn) {
                let wanted_um3 = 16.0 * 0.25 * cell_scale.powi(3);
                assert!((mesh.volume_um3() / wanted_um3 - 1.0).abs() < 1e-9);
                let sum: nalgebra::Vector3<f64> = mesh.vertices().iter().map(|v| v.coords).sum();
                let middle = sum / mesh.vertices().len() as f64;
                let centroid = drawn.centroid_um(labels.volume().voxel_size()).coords;
                // A block's mesh is about as symmetric as the block; it moved by whole voxels.
                assert!((middle - centroid).norm() < 0.1, "{middle} {centroid}");
            }
        }
    }

    #[test]
    fn interlocked_cells_are_drawn_apart_until_they_are_free() {
        let voxels = Array3::from_shape_fn((1, 9, 9), |(_, y, x)| match (y, x) {
            (4, 3..6) => 2,                       // a bar …
            (2..7, 1..8) if y != 4 || x < 2 => 1, // … inside a hook
            _ => 0,
        });
        let labels = Labels::from_voxels(voxels, VoxelSize::from_um([1.0; 3]).unwrap()).unwrap();
        let params = ExplodeParams { factor: [1.1; 3], ..ExplodeParams::default() };
        let (exploded, factor) = explode_without_overlap(&labels, &params).unwrap();
        assert_eq!(exploded.n_overlapping_voxels(), 0);
        assert!(factor >= 1.1);
    }

    #[test]
    fn each_axis_has_its_own_factor_about_the_middle_of_the_tissue() {
        // Cubes of 2 voxels at the corners of a box, the first of them at voxel 10, 20, 30.
        let corner = |first: usize, at: usize| (at >= first).then(|| (at - first) / 2);
        let voxels = Array3::from_shape_fn((16, 28, 40), |(z, y, x)| {
            match (corner(10, z), corner(20, y), corner(30, x)) {
                (Some(a @ (0 | 2)), Some(b @ (0 | 2)), Some(c @ (0 | 2))) => {
                    1 + (a * 2 + b + c / 2) as u32
                }
                _ => 0,
            }
        });
        let size = VoxelSize::from_um([1.0, 0.5, 0.25]).unwrap();
        let labels = Labels::from_voxels(voxels, size).unwrap();
        let params = ExplodeParams { factor: [1.0, 1.5, 3.0], ..ExplodeParams::default() };
        let exploded = explode(&labels, &params).unwrap();
        let shifts = exploded.shifts_um();
        assert_eq!(shifts.len(), 8);
        // Opposite corners lie 4 voxels apart: they come to lie 4, 6 and 12 apart.
        let apart = [0, 1, 2].map(|k| shifts[7][k] - shifts[0][k]);
        assert_eq!(apart, [0.0, 2.0 * 0.5, 8.0 * 0.25]);
        // The image just holds them, with a margin where they moved.
        assert_eq!(exploded.shape(), [6, 6 + 2 + 2, 6 + 8 + 2]);
        let drawn = exploded.labels().unwrap();
        assert_eq!(drawn.cells(), labels.cells());
        assert_eq!(drawn.volume().voxel_size(), size);
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let refused = |factor: [f64; 3], cell_scale: f64| {
            let params = ExplodeParams { factor, cell_scale, ..ExplodeParams::default() };
            explode(&two_blocks(), &params).unwrap_err()
        };
        for bad in [0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(refused([1.0, bad, 1.0], 1.0), FeatureError::Factor { .. }), "{bad}");
        }
        for bad in [0.0, 1.5, -1.0, f64::NAN] {
            assert!(matches!(refused([1.5; 3], bad), FeatureError::CellScale { .. }), "{bad}");
        }
        for huge in [1e9, 1e300] {
            let error = refused([1.0, huge, huge], 1.0);
            assert!(matches!(error, FeatureError::ExplodedTooLarge { .. }), "{huge}");
        }
    }
}
