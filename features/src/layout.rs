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

use std::collections::BTreeMap;

use nalgebra::{DMatrix, Point3, Vector3};
use ndarray::Array3;
use primordia_data::{ImageFrame, Labels, Rigid, TissueFrame, Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::{FeatureError, Result, positive};
use crate::harmonics::{Basis, CellHarmonics, Harmonics};
use crate::intensity::Channel;
use crate::sweep::{Cells, Run};

/// How layouts are fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayoutParams {
    /// Shells from the centroid, which is one, to the surface, which is the last; 2 or more.
    pub n_shells: usize,
    /// The highest degree of harmonics on a shell.
    pub l_max: usize,
    /// The side in µm of the blocks over which brightness is averaged first; at least one voxel.
    pub block_um: f64,
}

impl Default for LayoutParams {
    fn default() -> Self {
        Self { n_shells: 5, l_max: 4, block_um: 0.5 }
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

    /// The layout of coefficients by the names that they were stored under, see [`Layout::names`].
    ///
    /// # Errors
    /// [`FeatureError::Space`] if the names are not those of a layout, or coefficients lack.
    pub fn from_named(names: &[&str], coefficients: Vec<f64>) -> Result<Self> {
        let last = names.last().and_then(|name| {
            let (shell, order) = name.strip_prefix("layout_shell")?.split_once("_l")?;
            Some((shell.parse().ok()?, order.split_once('_')?.0.parse().ok()?))
        });
        let fits = |&(n_shells, l_max): &(usize, usize)| {
            n_shells.max(l_max) <= names.len() // what a damaged file claims is not made
                && n_coefficients(n_shells, l_max) == names.len()
                && Self::names(n_shells, l_max) == *names
        };
        let known = last.filter(fits);
        let Some((n_shells, l_max)) = known else {
            let found = format!("{} other names", names.len());
            return Err(FeatureError::Space {
                found,
                wanted: "the names of a layout's coefficients",
            });
        };
        Self::from_coefficients(n_shells, l_max, coefficients)
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
        self.density_of(&Basis::new(self.l_max).values(direction), depth)
    }

    /// The same by the harmonics in that direction.
    fn density_of(&self, harmonics: &[f64], depth: f64) -> f64 {
        let (first, terms) = terms(harmonics, depth, self.n_shells);
        terms.iter().zip(&self.coefficients[first..]).map(|(value, part)| part * value).sum()
    }

    /// Paints the density into a cell with this surface about `centre_um`: an image of
    /// `voxel_size` that holds the cell, 0 outside it, and the place of its first voxel in µm.
    ///
    /// The voxels of the cell have a mean of 1 whatever its shape, so that the image times the mean
    /// brightness sums up to the protein's total; where the harmonics fall below 0, it is 0.
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
        let basis = Basis::new(radius_um.l_max().max(self.l_max));
        let n_harmonics = (self.l_max + 1) * (self.l_max + 1);
        let (mut total, mut n_inside) = (0.0, 0.0);
        let mut painted = Array3::from_shape_fn(shape, |(z, y, x)| {
            let place = Vector3::new(offset(x, 2), offset(y, 1), offset(z, 0));
            let harmonics = basis.values(&place);
            let depth = depth(&place, radius_um, &harmonics);
            if depth > 1.0 {
                return 0.0;
            }
            let density = self.density_of(&harmonics[..n_harmonics], depth).max(0.0);
            total += density;
            n_inside += 1.0;
            density
        });
        if total > 0.0 {
            painted *= n_inside / total;
        }
        let painted = painted.mapv(|density| density as f32);
        let first = centre_um + Vector3::new(offset(0, 2), offset(0, 1), offset(0, 0));
        Ok((Volume::new(painted, voxel_size)?, first))
    }
}

/// The layouts of channels in every cell, in the order of [`Labels::cells`], a list per channel; none in
/// a cell where the channel is 0 on average, or below.
///
/// `surfaces` are those of the same cells ([`crate::cell_harmonics`] with the same motion), between
/// which and the centroids places are counted.
///
/// # Errors
/// [`FeatureError::Parameter`] and [`FeatureError::Space`] for parameters without meaning, or surfaces
/// of other cells, [`FeatureError::ChannelGrid`] if a channel lies on another grid,
/// [`FeatureError::NotFinite`] if one holds NaN or infinity inside a cell.
pub fn cell_layouts(
    labels: &Labels,
    channels: &[Channel],
    surfaces: &[CellHarmonics],
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    params: &LayoutParams,
) -> Result<Vec<Vec<Option<Layout>>>> {
    positive("block_um", params.block_um)?;
    if params.n_shells < 2 {
        let found = format!("{} shells", params.n_shells);
        return Err(FeatureError::Space { found, wanted: "two shells or more" });
    }
    if surfaces.len() != labels.n_cells() {
        let found = format!("{} surfaces for {} cells", surfaces.len(), labels.n_cells());
        return Err(FeatureError::Space { found, wanted: "a surface per cell" });
    }
    channels.iter().try_for_each(|channel| channel.check_grid(labels.volume()))?;
    let cells = Cells::of(labels);
    let rotation = to_tissue.rotation();
    let fit = |(row, surface): (usize, &CellHarmonics)| {
        let blocks = blocks(cells.runs(row), channels, labels.volume(), params.block_um);
        for (at, channel) in channels.iter().enumerate() {
            if blocks.iter().any(|block| !block.values[at].is_finite()) {
                return Err(channel.not_finite(labels.cells()[row]));
            }
        }
        let centroid_um = cells.extent(row).centroid_um(labels.volume().voxel_size());
        let basis = Basis::new(surface.radius_um.l_max().max(params.l_max));
        let n_harmonics = (params.l_max + 1) * (params.l_max + 1);
        let samples = blocks.iter().map(|block| {
            let place = rotation * (block.middle_um - centroid_um);
            let mut harmonics = basis.values(&place);
            let depth = depth(&place, &surface.radius_um, &harmonics);
            harmonics.truncate(n_harmonics);
            (harmonics, depth, block)
        });
        Ok(fitted(samples, channels.len(), params))
    };
    let of_cells: Vec<Vec<Option<Layout>>> =
        surfaces.par_iter().enumerate().map(fit).collect::<Result<_>>()?;
    let of_channel = |at: usize| of_cells.iter().map(|layouts| layouts[at].clone()).collect();
    Ok((0..channels.len()).map(of_channel).collect())
}

/// Some voxels of a cell that are near one another.
struct Block {
    /// The mean place of its voxels in the image.
    middle_um: Point3<f64>,
    /// The mean of each channel.
    values: Vec<f64>,
    n_voxels: f64,
}

/// The cell with these runs, in blocks of about `side_um`.
fn blocks(runs: &[Run], channels: &[Channel], image: &Volume<u32>, side_um: f64) -> Vec<Block> {
    let um = image.voxel_size().um();
    let sides = um.map(|side| ((side_um / side).round() as usize).max(1));
    let mut sums = BTreeMap::<[usize; 3], Block>::new();
    let empty =
        || Block { middle_um: Point3::origin(), values: vec![0.0; channels.len()], n_voxels: 0.0 };
    let at = |z: usize, y: usize, x: usize| [z / sides[0], y / sides[1], x / sides[2]];
    for run in runs {
        let (z, y) = (run.z(), run.y());
        for x in run.x() {
            let block = sums.entry(at(z, y, x)).or_insert_with(empty);
            block.middle_um += image.point_um([z, y, x]).coords;
            block.n_voxels += 1.0;
        }
    }
    for (channel, whole) in channels.iter().enumerate() {
        whole.values(runs).for_each(runs, |z, y, x, value| {
            if let Some(block) = sums.get_mut(&at(z, y, x)) {
                block.values[channel] += value;
            }
        });
    }
    let mut blocks: Vec<Block> = sums.into_values().collect();
    for block in &mut blocks {
        block.middle_um /= block.n_voxels;
        block.values.iter_mut().for_each(|value| *value /= block.n_voxels);
    }
    blocks
}

/// How far a place (from the centroid) is from the centroid to the surface, by the harmonics in its
/// direction.
fn depth(place: &Vector3<f64>, radius_um: &Harmonics, harmonics: &[f64]) -> f64 {
    let radius: f64 = radius_um.coefficients().iter().zip(harmonics).map(|(a, b)| a * b).sum();
    place.norm() / radius.max(f64::MIN_POSITIVE)
}

/// The least-squares coefficients of each channel for harmonics, depth and block, over the mean.
fn fitted<'b>(
    samples: impl Iterator<Item = (Vec<f64>, f64, &'b Block)>,
    n_channels: usize,
    params: &LayoutParams,
) -> Vec<Option<Layout>> {
    /// Holds coefficients that no sample tells near 0.
    const RIDGE: f64 = 1e-6;
    let n = n_coefficients(params.n_shells, params.l_max);
    let mut squares = DMatrix::<f64>::zeros(n, n);
    let mut sums = DMatrix::<f64>::zeros(n, n_channels);
    let (mut totals, mut weights) = (vec![0.0; n_channels], 0.0);
    for (harmonics, depth, block) in samples {
        let weight = block.n_voxels;
        let (first, terms) = terms(&harmonics, depth, params.n_shells);
        for (at, a) in terms.iter().enumerate() {
            let column = first + at;
            for (channel, value) in block.values.iter().enumerate() {
                sums[(column, channel)] += weight * a * value;
            }
            // Cholesky reads only what lies on and below the diagonal.
            let below = &mut squares.as_mut_slice()[column * n + column..(column + 1) * n];
            below.iter_mut().zip(&terms[at..]).for_each(|(sum, b)| *sum += weight * a * b);
        }
        totals.iter_mut().zip(&block.values).for_each(|(total, value)| *total += weight * value);
        weights += weight;
    }
    let ridge = RIDGE * weights / n as f64;
    (0..n).for_each(|i| squares[(i, i)] += ridge);
    let Some(squares) = squares.cholesky() else { return vec![None; n_channels] };
    let found = squares.solve(&sums);
    let layout = |(channel, total): (usize, f64)| {
        let mean = total / weights;
        (mean > 0.0).then(|| Layout {
            n_shells: params.n_shells,
            l_max: params.l_max,
            coefficients: found.column(channel).iter().map(|value| value / mean).collect(),
        })
    };
    totals.into_iter().enumerate().map(layout).collect()
}

fn n_coefficients(n_shells: usize, l_max: usize) -> usize {
    1 + n_shells.saturating_sub(1) * (l_max + 1) * (l_max + 1)
}

/// The factors of the coefficients that make the density at a depth, and the number of the first: they
/// follow one another, since those of two neighbouring shells do.
fn terms(harmonics: &[f64], depth: f64, n_shells: usize) -> (usize, Vec<f64>) {
    let place = depth.clamp(0.0, 1.0) * (n_shells - 1) as f64;
    let inner = (place as usize).min(n_shells - 2);
    let part = place - inner as f64;
    // The first shell is a point: only the mean over directions.
    let first = inner.checked_sub(1).map_or(0, |before| 1 + before * harmonics.len());
    let n_inner = if inner == 0 { 1 } else { harmonics.len() };
    let of_inner = harmonics[..n_inner].iter().map(|value| (1.0 - part) * value);
    (first, of_inner.chain(harmonics.iter().map(|value| part * value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::solid;
    use crate::harmonics::{HarmonicsParams, cell_harmonics};
    use approx::assert_relative_eq;
    use nalgebra::Rotation3;
    use std::f64::consts::{FRAC_PI_2, PI};

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
        layouts(labels, &[Channel::new("actin", channel)], turn).remove(0).unwrap()
    }

    /// The layouts of channels in the only cell.
    fn layouts(
        labels: &Labels,
        channels: &[Channel],
        turn: &Rotation3<f64>,
    ) -> Vec<Option<Layout>> {
        let to_tissue = Rigid::from_parts(turn.into_inner(), Vector3::zeros()).unwrap();
        let params = HarmonicsParams { l_max: 8, ..HarmonicsParams::default() };
        let surfaces = cell_harmonics(labels, &to_tissue, &params).unwrap();
        let params = LayoutParams::default();
        let found = cell_layouts(labels, channels, &surfaces, &to_tissue, &params).unwrap();
        found.into_iter().map(|mut cells| cells.remove(0)).collect()
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
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let coefficients: Vec<f64> = (0..19).map(f64::from).collect();
        let again = Layout::from_named(&names, coefficients.clone()).unwrap();
        assert_eq!(again, Layout::from_coefficients(3, 2, coefficients.clone()).unwrap());
        assert!(Layout::from_named(&names[1..], coefficients[1..].to_vec()).is_err());
        assert!(Layout::from_named(&["layout_shell999_l9999999_m0_cos"], vec![1.0]).is_err());
        let even = Layout::from_coefficients(2, 0, vec![1.0, 3.0]).unwrap();
        assert_relative_eq!(even.density(&Vector3::x(), 0.5), 2.0);
    }

    #[test]
    fn a_dark_cell_has_no_layout_and_one_voxel_no_trouble() {
        let (labels, dark) = cell(|p| p.norm() <= 2.0, |_| 0.0);
        let none = Rotation3::identity();
        assert_eq!(layouts(&labels, &[Channel::new("actin", &dark)], &none), [None]);
        let labels = solid([1; 3], UM, |_| true);
        let bright = labels.volume().map(|label| *label as f32);
        let found = layout(&labels, &bright, &none);
        assert!(found.coefficients().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn what_is_painted_is_all_of_the_protein_in_any_cell() {
        let axes = Vector3::new(6.0, 5.0, 7.0);
        let (labels, bright) = cell(
            |p| p.component_div(&axes).norm() <= 1.0,
            |p| 7.0 * (-(p - Vector3::new(1.0, 2.0, 4.0)).norm_squared() / 4.0).exp(),
        );
        let found = layout(&labels, &bright, &Rotation3::identity());
        let params = HarmonicsParams { l_max: 8, ..HarmonicsParams::default() };
        let own = cell_harmonics(&labels, &Rigid::identity(), &params).unwrap().remove(0).radius_um;
        let ball = Harmonics::from_coefficients(vec![4.0]).unwrap();
        let in_cell: Vec<f64> = (labels.volume().as_slice().iter().zip(bright.as_slice()))
            .filter_map(|(label, value)| (*label > 0).then_some(f64::from(*value)))
            .collect();
        let mean = in_cell.iter().sum::<f64>() / in_cell.len() as f64;
        let ellipsoid_um3 = 4.0 / 3.0 * PI * axes.product();
        for (surface, volume_um3) in [(own, ellipsoid_um3), (ball, 4.0 / 3.0 * PI * 64.0)] {
            let voxel_size = VoxelSize::from_um([0.3, 0.25, 0.2]).unwrap();
            let (painted, _) = found.paint(&surface, Point3::origin(), voxel_size).unwrap();
            assert!(painted.as_slice().iter().all(|value| *value >= 0.0));
            let sum: f64 = painted.as_slice().iter().copied().map(f64::from).sum();
            let total = mean * sum * voxel_size.volume_um3();
            assert_relative_eq!(total, mean * volume_um3, max_relative = SAMPLING);
        }
    }

    #[test]
    fn channels_that_are_fitted_together_are_fitted_alone() {
        let axes = Vector3::new(6.0, 5.0, 7.0);
        let inside = |p: Vector3<f64>| p.component_div(&axes).norm() <= 1.0;
        let (labels, actin) = cell(inside, |p| 10.0 + p.z);
        let (_, dark) = cell(inside, |_| 0.0);
        let (_, myosin) = cell(inside, |p| 5.0 + p.x);
        let none = Rotation3::identity();
        let channels = [("actin", &actin), ("dark", &dark), ("myosin", &myosin)];
        let together =
            layouts(&labels, &channels.map(|(name, image)| Channel::new(name, image)), &none);
        let alone =
            [Some(layout(&labels, &actin, &none)), None, Some(layout(&labels, &myosin, &none))];
        assert_eq!(together, alone);
    }
}
