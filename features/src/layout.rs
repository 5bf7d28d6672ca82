//! Where in a cell a protein is, in coordinates that all cells share; and the way back.
//!
//! A place in a cell is a direction from its centroid, and how far it is along that direction from
//! the centroid (0) to the surface (1), as in the normalised cell coordinates of Viana et al. 2023
//! (doi:10.1038/s41586-022-05563-7). Density, in units of the cell's mean, is a function of both: a
//! sum of real spherical harmonics on each of some shells, and linear between shells. Its
//! coefficients are the least-squares fit to the cell's brightness, and say where the protein is
//! whatever the shape of the cell: so [`Layout::density`] paints it into any other shape.
//!
//! Nothing is learned from other cells: a layout of one cell does not depend on the rest.

use nalgebra::{DMatrix, DVector, Point3, Vector3};
use ndarray::Array3;
use primordia_data::{ImageFrame, Labels, Rigid, TissueFrame, Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::{FeatureError, Result, positive};
use crate::harmonics::{Harmonics, HarmonicsParams, cell_harmonics, harmonics_in};
use crate::intensity::Channel;
use crate::sweep::{Cells, Run};

/// How layouts are fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayoutParams {
    /// Shells from the centroid, which is one, to the surface, which is the last; 2 or more.
    pub n_shells: usize,
    /// The highest degree of harmonics on a shell.
    pub l_max: usize,
    /// The highest degree of the surface up to which places are counted.
    pub surface_l_max: usize,
    /// The side in µm of the blocks over which brightness is averaged first; at least one voxel.
    pub block_um: f64,
}

impl Default for LayoutParams {
    fn default() -> Self {
        Self { n_shells: 5, l_max: 4, surface_l_max: 8, block_um: 0.5 }
    }
}

/// A density in normalised cell coordinates, along the axes of the tissue.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    n_shells: usize,
    l_max: usize,
    coefficients: Vec<f64>, // the centre; then shell by shell, as Harmonics has them
}

impl Layout {
    /// The layout of these coefficients, in the order of [`Layout::names`].
    ///
    /// # Errors
    /// [`FeatureError::Space`] if their number is not that of the names, or there is one shell only.
    pub fn from_coefficients(
        n_shells: usize,
        l_max: usize,
        coefficients: Vec<f64>,
    ) -> Result<Self> {
        if n_shells < 2 || coefficients.len() != n_coefficients(n_shells, l_max) {
            let found = format!(
                "{} coefficients on {n_shells} shells for lmax {l_max}",
                coefficients.len()
            );
            let wanted =
                "two shells or more: one coefficient for the first, (lmax + 1)² for others";
            return Err(FeatureError::Space { found, wanted });
        }
        Ok(Self { n_shells, l_max, coefficients })
    }

    /// The coefficients, in the order of [`Layout::names`].
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The names of the coefficients: at the centre only the mean over directions has a meaning.
    pub fn names(n_shells: usize, l_max: usize) -> Vec<String> {
        let order = |l: usize, m: isize| match m {
            0.. => format!("l{l}_m{m}_cos"),
            _ => format!("l{l}_m{}_sin", -m),
        };
        let on_shell = |shell: usize| {
            let degrees =
                (0..=l_max).flat_map(move |l| (-(l as isize)..=l as isize).map(move |m| (l, m)));
            degrees.map(move |(l, m)| format!("layout_shell{}_{}", shell + 1, order(l, m)))
        };
        std::iter::once("layout_shell1_l0_m0_cos".to_owned())
            .chain((1..n_shells).flat_map(on_shell))
            .collect()
    }

    /// The density, in units of the cell's mean, in a direction (along the axes of the tissue) at
    /// `depth` from the centroid (0) to the surface (1); beyond it, that of the surface.
    pub fn density(&self, direction: &Vector3<f64>, depth: f64) -> f64 {
        let harmonics = harmonics_in(direction, self.l_max);
        let terms = terms(&harmonics, depth, self.n_shells);
        terms.map(|(at, value)| self.coefficients[at] * value).sum()
    }

    /// Paints the density into a cell with this surface about `centre_um`: an image of
    /// `voxel_size` that holds the cell, 0 outside it, and the place of its first voxel in µm.
    ///
    /// # Errors
    /// [`FeatureError::Data`] if the surface encloses nothing.
    pub fn paint(
        &self,
        radius_um: &Harmonics,
        centre_um: Point3<f64>,
        voxel_size: VoxelSize,
    ) -> Result<(Volume<f32>, Point3<f64>)> {
        const RINGS: usize = 32;
        let reach_um = radius_um.grid(RINGS, 2 * RINGS).iter().copied().fold(0.0, f64::max);
        let side_um = voxel_size.um();
        let n_half = side_um.map(|side| (reach_um / side).ceil() as usize);
        let shape = n_half.map(|n| 2 * n + 1);
        let offset = |at: usize, k: usize| (at as f64 - n_half[k] as f64) * side_um[k];
        let painted = Array3::from_shape_fn(shape, |(z, y, x)| {
            let place = Vector3::new(offset(x, 2), offset(y, 1), offset(z, 0));
            let depth = depth(&place, radius_um);
            if depth <= 1.0 { self.density(&place, depth) as f32 } else { 0.0 }
        });
        let first = centre_um + Vector3::new(offset(0, 2), offset(0, 1), offset(0, 0));
        Ok((Volume::new(painted, voxel_size)?, first))
    }
}

/// The layout of a channel in every cell, in the order of [`Labels::cells`]; none in a cell where
/// the channel is 0 on average, or below.
///
/// # Errors
/// [`FeatureError::Parameter`] and [`FeatureError::Space`] for parameters without meaning,
/// [`FeatureError::ChannelGrid`] if the channel lies on another grid, [`FeatureError::NotFinite`] if
/// it holds NaN or infinity inside a cell.
pub fn cell_layouts(
    labels: &Labels,
    channel: &Channel,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    params: &LayoutParams,
) -> Result<Vec<Option<Layout>>> {
    positive("block_um", params.block_um)?;
    if params.n_shells < 2 {
        let found = format!("{} shells", params.n_shells);
        return Err(FeatureError::Space { found, wanted: "two shells or more" });
    }
    channel.check_grid(labels.volume())?;
    let surface = HarmonicsParams { l_max: params.surface_l_max, ..HarmonicsParams::default() };
    let surfaces = cell_harmonics(labels, to_tissue, &surface)?;
    let cells = Cells::of(labels);
    let rotation = to_tissue.rotation();
    let fit = |(row, surface): (usize, &crate::CellHarmonics)| {
        let runs = cells.runs(row);
        let blocks = blocks(runs, channel, labels.volume(), params.block_um);
        if blocks.iter().any(|block| !block.value.is_finite()) {
            return Err(channel.not_finite(labels.cells()[row]));
        }
        let centroid_um = cells.extent(row).centroid_um(labels.volume().voxel_size());
        let samples = blocks.iter().map(|block| {
            let place = rotation * (block.middle_um - centroid_um);
            let depth = depth(&place, &surface.radius_um);
            (harmonics_in(&place, params.l_max), depth, block.value, block.n_voxels)
        });
        Ok(fitted(samples, params))
    };
    surfaces.par_iter().enumerate().map(|(row, surface)| fit((row, surface))).collect()
}

/// Some voxels of a cell that are near one another.
struct Block {
    /// The mean place of its voxels in the image.
    middle_um: Point3<f64>,
    /// The mean of the channel.
    value: f64,
    n_voxels: f64,
}

/// The cell with these runs, in blocks of about `side_um`.
fn blocks(runs: &[Run], channel: &Channel, image: &Volume<u32>, side_um: f64) -> Vec<Block> {
    let um = image.voxel_size().um();
    let sides = um.map(|side| ((side_um / side).round() as usize).max(1));
    let n_y = image.shape()[1];
    let mut sums = std::collections::BTreeMap::<[usize; 3], (Vector3<f64>, f64, f64)>::new();
    let values = channel.values(runs);
    for (run, values) in runs.iter().zip(values.by_run(runs)) {
        let (z, y) = (run.line() / n_y, run.line() % n_y);
        for (x, value) in run.x().zip(values) {
            let block = sums.entry([z / sides[0], y / sides[1], x / sides[2]]).or_default();
            block.0 += image.point_um([z, y, x]).coords;
            block.1 += f64::from(*value);
            block.2 += 1.0;
        }
    }
    let block = |(place, value, n_voxels): (Vector3<f64>, f64, f64)| Block {
        middle_um: Point3::from(place / n_voxels),
        value: value / n_voxels,
        n_voxels,
    };
    sums.into_values().map(block).collect()
}

/// How far a place (from the centroid) is from the centroid to the surface.
fn depth(place: &Vector3<f64>, radius_um: &Harmonics) -> f64 {
    place.norm() / radius_um.value(place).max(f64::MIN_POSITIVE)
}

/// The least-squares coefficients for samples of harmonics, depth, value and weight, over the mean.
fn fitted(
    samples: impl Iterator<Item = (Vec<f64>, f64, f64, f64)>,
    params: &LayoutParams,
) -> Option<Layout> {
    /// Holds coefficients that no sample tells near 0.
    const RIDGE: f64 = 1e-6;
    let n = n_coefficients(params.n_shells, params.l_max);
    let mut squares = DMatrix::<f64>::zeros(n, n);
    let mut sums = DVector::<f64>::zeros(n);
    let (mut total, mut weights) = (0.0, 0.0);
    for (harmonics, depth, value, weight) in samples {
        let terms: Vec<(usize, f64)> = terms(&harmonics, depth, params.n_shells).collect();
        for &(i, a) in &terms {
            sums[i] += weight * a * value;
            for &(j, b) in &terms {
                squares[(i, j)] += weight * a * b;
            }
        }
        total += weight * value;
        weights += weight;
    }
    let mean = total / weights;
    let ridge = RIDGE * weights / n as f64;
    (0..n).for_each(|i| squares[(i, i)] += ridge);
    let found = squares.cholesky()?.solve(&sums);
    (mean > 0.0).then(|| Layout {
        n_shells: params.n_shells,
        l_max: params.l_max,
        coefficients: found.iter().map(|value| value / mean).collect(),
    })
}

fn n_coefficients(n_shells: usize, l_max: usize) -> usize {
    1 + n_shells.saturating_sub(1) * (l_max + 1) * (l_max + 1)
}

/// The coefficients that make the density at a depth, each with its factor.
fn terms(
    harmonics: &[f64],
    depth: f64,
    n_shells: usize,
) -> impl Iterator<Item = (usize, f64)> + use<'_> {
    let place = depth.clamp(0.0, 1.0) * (n_shells - 1) as f64;
    let inner = (place as usize).min(n_shells - 2);
    let part = place - inner as f64;
    let on_shell = move |shell: usize, weight: f64| {
        // The first shell is a point: only the mean over directions.
        let first = shell.checked_sub(1).map_or(0, |before| 1 + before * harmonics.len());
        let n = if shell == 0 { 1 } else { harmonics.len() };
        harmonics[..n].iter().enumerate().map(move |(at, value)| (first + at, weight * value))
    };
    on_shell(inner, 1.0 - part).chain(on_shell(inner + 1, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::solid;
    use approx::assert_relative_eq;
    use nalgebra::Rotation3;
    use std::f64::consts::FRAC_PI_2;

    /// Values are those at the middles of voxels, and the surface is a smoothed one.
    const SAMPLING: f64 = 0.03;

    const UM: [f64; 3] = [0.5, 0.25, 0.25];
    const MIDDLE: Point3<f64> = Point3::new(8.1, 8.05, 8.3);

    /// A cell, and a channel in it.
    fn cell(
        inside: impl Fn(Vector3<f64>) -> bool,
        bright: impl Fn(Vector3<f64>) -> f64,
    ) -> (Labels, Volume<f32>) {
        let labels = solid([33, 66, 66], UM, |point| inside(point - MIDDLE));
        let voxels = Array3::from_shape_fn((33, 66, 66), |(z, y, x)| {
            bright(labels.volume().point_um([z, y, x]) - MIDDLE) as f32
        });
        let channel = Volume::new(voxels, labels.volume().voxel_size()).unwrap();
        (labels, channel)
    }

    fn layout(labels: &Labels, channel: &Volume<f32>, turn: &Rotation3<f64>) -> Layout {
        let channel = Channel::new("actin", channel);
        let to_tissue = Rigid::from_parts(turn.into_inner(), Vector3::zeros()).unwrap();
        let found = cell_layouts(labels, &channel, &to_tissue, &LayoutParams::default()).unwrap();
        found[0].clone().unwrap()
    }

    #[test]
    fn what_rises_along_an_axis_in_a_ball_rises_in_any_other_shape() {
        // 2 + z / R: linear in depth, of degree 1 in direction, with a mean of 2.
        let (labels, bright) = cell(|p| p.norm() <= 6.0, |p| 20.0 + 10.0 * p.z / 6.0);
        let found = layout(&labels, &bright, &Rotation3::identity());
        for (direction, depth) in [
            (Vector3::z(), 0.9),
            (-Vector3::z(), 0.5),
            (Vector3::x(), 0.7),
            (Vector3::new(1.0, 1.0, 1.0).normalize(), 0.4),
        ] {
            let wanted = 1.0 + 0.5 * depth * direction.z;
            assert_relative_eq!(found.density(&direction, depth), wanted, epsilon = SAMPLING);
        }
        // Into an ellipsoid: its radius is exact enough at lmax 8 for these axes.
        let axes = Vector3::new(5.0, 6.0, 7.0);
        let (ellipsoid, _) = cell(|p| p.component_div(&axes).norm() <= 1.0, |_| 0.0);
        let params = HarmonicsParams { l_max: 8, ..HarmonicsParams::default() };
        let surface = cell_harmonics(&ellipsoid, &Rigid::identity(), &params).unwrap();
        let voxel_size = VoxelSize::from_um([0.5; 3]).unwrap();
        let (painted, first) = found.paint(&surface[0].radius_um, MIDDLE, voxel_size).unwrap();
        let (mut n_inside, mut largest) = (0, 0.0_f64);
        for ((z, y, x), value) in painted.voxels().indexed_iter() {
            let place = painted.point_um([z, y, x]) + first.coords - MIDDLE;
            let depth = place.component_div(&axes).norm();
            if depth < 0.95 {
                let radius = place.norm() / depth;
                let wanted = 1.0 + 0.5 * place.z / radius;
                largest = largest.max((f64::from(*value) - wanted).abs());
                n_inside += 1;
            } else if depth > 1.05 {
                assert_eq!(*value, 0.0);
            }
        }
        assert!(n_inside > 5000 && largest < SAMPLING, "{n_inside} {largest}");
    }

    #[test]
    fn a_layout_follows_the_axes_of_the_tissue() {
        let (labels, bright) = cell(|p| p.norm() <= 6.0, |p| 20.0 + 10.0 * p.x / 6.0);
        // The image's x is the tissue's y.
        let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), FRAC_PI_2);
        let found = layout(&labels, &bright, &turn);
        assert_relative_eq!(found.density(&Vector3::y(), 0.8), 1.4, epsilon = SAMPLING);
        assert_relative_eq!(found.density(&Vector3::x(), 0.8), 1.0, epsilon = SAMPLING);
    }

    #[test]
    fn neither_gain_nor_size_changes_a_layout() {
        let patch = |radius: f64| {
            move |p: Vector3<f64>| {
                let off = p / radius - Vector3::new(0.0, 0.0, 0.5);
                (-off.norm_squared() / 0.2).exp()
            }
        };
        let (small, dim) = cell(|p| p.norm() <= 4.0, patch(4.0));
        let (large, bright) = cell(|p| p.norm() <= 7.0, |p| 300.0 * patch(7.0)(p));
        let none = Rotation3::identity();
        let (a, b) = (layout(&small, &dim, &none), layout(&large, &bright, &none));
        for depth in [0.3, 0.6, 0.9] {
            for direction in [Vector3::z(), -Vector3::z(), Vector3::x()] {
                let [a, b] = [&a, &b].map(|layout| layout.density(&direction, depth));
                assert_relative_eq!(a, b, epsilon = 4.0 * SAMPLING);
            }
        }
    }

    #[test]
    fn what_is_fitted_is_what_was_painted() {
        let patch =
            |p: Vector3<f64>| 1.0 + (-(p - Vector3::new(2.0, 1.0, 2.5)).norm_squared() / 8.0).exp();
        let (labels, bright) =
            cell(|p| p.component_div(&Vector3::new(6.5, 5.0, 6.0)).norm() <= 1.0, patch);
        let found = layout(&labels, &bright, &Rotation3::identity());
        let params = HarmonicsParams { l_max: 8, ..HarmonicsParams::default() };
        let surface = &cell_harmonics(&labels, &Rigid::identity(), &params).unwrap()[0];
        let voxel_size = VoxelSize::from_um([0.5; 3]).unwrap();
        let (painted, first) = found.paint(&surface.radius_um, MIDDLE, voxel_size).unwrap();
        let mut pairs = Vec::new();
        for ((z, y, x), value) in painted.voxels().indexed_iter().filter(|(_, value)| **value > 0.0)
        {
            let place = painted.point_um([z, y, x]) + first.coords - MIDDLE;
            pairs.push((f64::from(*value), patch(place)));
        }
        let n = pairs.len() as f64;
        let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0 / n, b + pair.1 / n));
        let sums = pairs.iter().fold([0.0; 3], |[xy, xx, yy], (x, y)| {
            [xy + (x - a) * (y - b), xx + (x - a).powi(2), yy + (y - b).powi(2)]
        });
        let r2 = sums[0] * sums[0] / sums[1] / sums[2];
        println!("R² {r2:.4} over {n} voxels");
        assert!(r2 > 0.98, "{r2}");
        assert_relative_eq!(a, 1.0, epsilon = SAMPLING);
    }

    #[test]
    fn coefficients_are_named_and_counted() {
        let names = Layout::names(3, 2);
        assert_eq!(names.len(), 1 + 2 * 9);
        assert_eq!(names[0], "layout_shell1_l0_m0_cos");
        assert_eq!(names[1 + 9 + 1], "layout_shell3_l1_m1_sin");
        assert!(Layout::from_coefficients(3, 2, vec![0.0; 18]).is_err());
        assert!(Layout::from_coefficients(1, 2, vec![0.0]).is_err());
        let even = Layout::from_coefficients(2, 0, vec![1.0, 3.0]).unwrap();
        assert_relative_eq!(even.density(&Vector3::x(), 0.5), 2.0);
    }

    #[test]
    fn a_dark_cell_has_no_layout_and_one_voxel_no_trouble() {
        let (labels, dark) = cell(|p| p.norm() <= 2.0, |_| 0.0);
        let channel = Channel::new("actin", &dark);
        let params = LayoutParams::default();
        let found = cell_layouts(&labels, &channel, &Rigid::identity(), &params).unwrap();
        assert_eq!(found, [None]);
        let labels = solid([1; 3], UM, |_| true);
        let bright = labels.volume().map(|label| *label as f32);
        let channel = Channel::new("actin", &bright);
        let found = cell_layouts(&labels, &channel, &Rigid::identity(), &params).unwrap();
        assert!(found[0].as_ref().unwrap().coefficients().iter().all(|value| value.is_finite()));
    }
}
