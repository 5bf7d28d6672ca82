//! Spherical harmonics of a cell's surface: a shape space from which the cell can be drawn again.
//!
//! The surface is a radius for every direction from the cell's centroid, and the radius a sum of
//! real spherical harmonics (as in Viana et al. 2023, doi:10.1038/s41586-022-05563-7). Radii lie
//! on a grid of directions, which is expanded exactly (Driscoll & Healy 1994,
//! doi:10.1006/aama.1994.1008).
//!
//! Harmonics are 4π-normalised, without the Condon–Shortley phase: `l = 0` is the mean radius.
//! [`Harmonics::coefficients`] holds degree l, order m at `l² + l + m`; cosines at m ≥ 0, sines
//! at m < 0.
//!
//! A cell is one radius per direction only if it is star-shaped about its centroid. Elsewhere the
//! outermost radius is taken; [`CellHarmonics::star_share`] is the share of directions (by area)
//! in which the ray leaves the cell once and for all, and cells below [`STAR_SHAPED`] are not to
//! be drawn from their harmonics alone.

use std::f64::consts::PI;

use nalgebra::{Matrix3, Point3, Vector3};
use ndarray::Array2;
use primordia_data::{ImageFrame, Labels, Rigid, TissueFrame};
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::error::{FeatureError, Result, positive};
use crate::mesh::{Mesh, enclosing_level};
use crate::smooth::Field;
use crate::sweep::extents;

/// Cells with a smaller [`CellHarmonics::star_share`] are not star-shaped.
pub const STAR_SHAPED: f64 = 0.98;

/// A function on the sphere as a sum of real spherical harmonics up to degree lmax.
#[derive(Clone, Debug, PartialEq)]
pub struct Harmonics {
    l_max: usize,
    coefficients: Vec<f64>,
}

impl Harmonics {
    /// The harmonics of these coefficients, of which there are (lmax + 1)².
    ///
    /// # Errors
    /// [`FeatureError::Space`] if their number is not a square.
    pub fn from_coefficients(coefficients: Vec<f64>) -> Result<Self> {
        let side = coefficients.len().isqrt();
        if side == 0 || side * side != coefficients.len() {
            let found = format!("{} coefficients", coefficients.len());
            return Err(FeatureError::Space { found, wanted: "(lmax + 1)² coefficients" });
        }
        Ok(Self { l_max: side - 1, coefficients })
    }

    /// Expands a function given on a grid: row i at θ = π i / rows from the pole, column j at
    /// φ = 2π j / columns. Exact for functions of degrees below half the number of rows.
    ///
    /// # Errors
    /// [`FeatureError::Space`] if the grid is too coarse for `l_max` or has an odd number of rows.
    pub fn expand(grid: &Array2<f64>, l_max: usize) -> Result<Self> {
        let (n_rows, n_columns) = grid.dim();
        if n_rows % 2 == 1 || n_rows < 2 * (l_max + 1) || n_columns < 2 * l_max + 1 {
            let found = format!("a grid of {n_rows} × {n_columns} for lmax {l_max}");
            let wanted = "at least 2 (lmax + 1), an even number of rows, and as many columns";
            return Err(FeatureError::Space { found, wanted });
        }
        let mut coefficients = vec![0.0; (l_max + 1) * (l_max + 1)];
        let circle: Vec<(f64, f64)> =
            (0..n_columns).map(|k| (2.0 * PI * k as f64 / n_columns as f64).sin_cos()).collect();
        for (row, values) in grid.outer_iter().enumerate() {
            let theta = PI * row as f64 / n_rows as f64;
            let weight = ring_weight(theta, n_rows) / (2.0 * n_columns as f64);
            let legendre = Legendre::at(theta, l_max);
            for m in 0..=l_max {
                let (mut cosine, mut sine) = (0.0, 0.0);
                for (column, value) in values.iter().enumerate() {
                    let (sin, cos) = circle[(m * column) % n_columns];
                    cosine += value * cos;
                    sine += value * sin;
                }
                for l in m..=l_max {
                    let scale = weight * legendre.value(l, m);
                    coefficients[l * l + l + m] += scale * cosine;
                    if m > 0 {
                        coefficients[l * l + l - m] += scale * sine;
                    }
                }
            }
        }
        Ok(Self { l_max, coefficients })
    }

    /// The highest degree.
    pub fn l_max(&self) -> usize {
        self.l_max
    }

    /// The coefficients; degree l, order m at `l² + l + m`.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The names of the coefficients of a cell's surface, in their order.
    pub fn names(l_max: usize) -> Vec<String> {
        let order = |l: usize, m: isize| match m {
            0.. => format!("harmonic_l{l}_m{m}_cos_um"),
            _ => format!("harmonic_l{l}_m{}_sin_um", -m),
        };
        (0..=l_max).flat_map(|l| (-(l as isize)..=l as isize).map(move |m| order(l, m))).collect()
    }

    /// The same without the degrees above `l_max`.
    #[must_use]
    pub fn truncated(&self, l_max: usize) -> Self {
        let l_max = l_max.min(self.l_max);
        let coefficients = self.coefficients[..(l_max + 1) * (l_max + 1)].to_vec();
        Self { l_max, coefficients }
    }

    /// The sum of squares of the coefficients of each degree, which no rotation changes.
    pub fn power(&self) -> Vec<f64> {
        let degree = |l: usize| &self.coefficients[l * l..(l + 1) * (l + 1)];
        (0..=self.l_max).map(|l| degree(l).iter().map(|value| value * value).sum()).collect()
    }

    /// The value in a direction, whose length does not matter; at 0 that of the pole.
    pub fn value(&self, direction: &Vector3<f64>) -> f64 {
        let theta = direction.xy().norm().atan2(direction.z);
        let ring = self.ring(theta);
        ring.value(direction.y.atan2(direction.x))
    }

    /// The values on the grid of [`Harmonics::expand`].
    pub fn grid(&self, n_rows: usize, n_columns: usize) -> Array2<f64> {
        let mut grid = Array2::zeros((n_rows, n_columns));
        for (row, mut values) in grid.outer_iter_mut().enumerate() {
            let ring = self.ring(PI * row as f64 / n_rows as f64);
            for (column, value) in values.iter_mut().enumerate() {
                *value = ring.value(2.0 * PI * column as f64 / n_columns as f64);
            }
        }
        grid
    }

    /// The surface with these radii about `centre_um`: `n_rings` rings of triangles between poles.
    /// Radii below 0 are drawn as 0.
    pub fn mesh(&self, centre_um: Point3<f64>, n_rings: usize) -> Mesh {
        let n_columns = 2 * n_rings;
        let point = |theta: f64, phi: f64, radius: f64| {
            let direction =
                Vector3::new(theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos());
            centre_um + radius.max(0.0) * direction
        };
        let mut vertices = vec![point(0.0, 0.0, self.ring(0.0).value(0.0))];
        for row in 1..n_rings {
            let theta = PI * row as f64 / n_rings as f64;
            let ring = self.ring(theta);
            vertices.extend((0..n_columns).map(|column| {
                let phi = 2.0 * PI * column as f64 / n_columns as f64;
                point(theta, phi, ring.value(phi))
            }));
        }
        vertices.push(point(PI, 0.0, self.ring(PI).value(0.0)));
        let last = vertices.len() as u32 - 1;
        let at = |row: usize, column: usize| match row {
            0 => 0,
            row if row == n_rings => last,
            _ => (1 + (row - 1) * n_columns + column % n_columns) as u32,
        };
        let mut triangles = Vec::new();
        for row in 0..n_rings {
            for column in 0..n_columns {
                let [a, b] = [at(row, column), at(row, column + 1)];
                let [c, d] = [at(row + 1, column), at(row + 1, column + 1)];
                if row > 0 {
                    triangles.push([a, c, b]);
                }
                if row + 1 < n_rings {
                    triangles.push([b, c, d]);
                }
            }
        }
        Mesh::new(vertices, triangles)
    }

    /// The function on one circle of latitude, as a Fourier series.
    fn ring(&self, theta: f64) -> Ring {
        let legendre = Legendre::at(theta, self.l_max);
        let sum = |m: usize, sign: isize| {
            (m..=self.l_max)
                .map(|l| {
                    let at = (l * l + l).wrapping_add_signed(sign * m as isize);
                    legendre.value(l, m) * self.coefficients[at]
                })
                .sum()
        };
        let cosines = (0..=self.l_max).map(|m| sum(m, 1)).collect();
        let sines = (0..=self.l_max).map(|m| if m == 0 { 0.0 } else { sum(m, -1) }).collect();
        Ring { cosines, sines }
    }
}

/// All harmonics up to a degree, for many directions.
pub(crate) struct Basis {
    recurrence: Recurrence,
}

impl Basis {
    pub(crate) fn new(l_max: usize) -> Self {
        Self { recurrence: Recurrence::new(l_max) }
    }

    /// The values in a direction, in the order of [`Harmonics::coefficients`].
    pub(crate) fn values(&self, direction: &Vector3<f64>) -> Vec<f64> {
        let l_max = self.recurrence.l_max;
        let legendre = self.recurrence.at(direction.xy().norm().atan2(direction.z));
        let (sin_phi, cos_phi) = direction.y.atan2(direction.x).sin_cos();
        let (mut sin, mut cos) = (0.0, 1.0);
        let mut values = vec![0.0; (l_max + 1) * (l_max + 1)];
        for m in 0..=l_max {
            for l in m..=l_max {
                let value = legendre.value(l, m);
                values[l * l + l - m] = value * sin;
                values[l * l + l + m] = value * cos;
            }
            (sin, cos) = (sin * cos_phi + cos * sin_phi, cos * cos_phi - sin * sin_phi);
        }
        values
    }
}

struct Ring {
    cosines: Vec<f64>,
    sines: Vec<f64>,
}

impl Ring {
    fn value(&self, phi: f64) -> f64 {
        let terms = self.cosines.iter().zip(&self.sines).enumerate();
        terms
            .map(|(m, (cosine, sine))| {
                let (sin, cos) = (m as f64 * phi).sin_cos();
                cosine * cos + sine * sin
            })
            .sum()
    }
}

/// The weight of a circle of latitude, so that weighted sums over circles are integrals over
/// cos θ from −1 to 1.
fn ring_weight(theta: f64, n_rows: usize) -> f64 {
    let sum: f64 =
        (0..n_rows / 2).map(|l| 2 * l + 1).map(|odd| (odd as f64 * theta).sin() / odd as f64).sum();
    4.0 / n_rows as f64 * theta.sin() * sum
}

/// 4π-normalised associated Legendre functions at one θ.
struct Legendre {
    values: Vec<f64>, // degree l, order m at l (l + 1) / 2 + m
}

impl Legendre {
    fn at(theta: f64, l_max: usize) -> Self {
        Recurrence::new(l_max).at(theta)
    }

    fn value(&self, l: usize, m: usize) -> f64 {
        self.values[l * (l + 1) / 2 + m]
    }
}

/// What makes Legendre functions of those of lower degrees, at any θ.
struct Recurrence {
    l_max: usize,
    factors: Vec<[f64; 2]>, // of the last two degrees (on the diagonal: of sin θ), as in Legendre
}

impl Recurrence {
    fn new(l_max: usize) -> Self {
        let factors = |(l, m): (usize, usize)| {
            let (l2, m2) = ((l * l) as f64, (m * m) as f64);
            let odd = (2 * l + 1) as f64;
            match (l, m) {
                (0, 0) => [1.0, 0.0],
                (1, 1) => [3.0_f64.sqrt(), 0.0],
                (l, m) if l == m => [(odd / (2 * m) as f64).sqrt(), 0.0],
                _ => {
                    let a = ((2 * l - 1) as f64 * odd / (l2 - m2)).sqrt();
                    let before2 = ((l - 1) * (l - 1)) as f64;
                    let b = match l {
                        1 => 0.0,
                        _ => (odd * (before2 - m2) / ((2 * l - 3) as f64 * (l2 - m2))).sqrt(),
                    };
                    [a, b]
                }
            }
        };
        let orders = (0..=l_max).flat_map(|l| (0..=l).map(move |m| (l, m)));
        Self { l_max, factors: orders.map(factors).collect() }
    }

    fn at(&self, theta: f64) -> Legendre {
        let (sin, cos) = theta.sin_cos();
        let mut values = vec![0.0; self.factors.len()];
        let mut diagonal = 1.0;
        for m in 0..=self.l_max {
            let place = |l: usize| l * (l + 1) / 2 + m;
            if m > 0 {
                diagonal *= sin * self.factors[place(m)][0];
            }
            let (mut before, mut value) = (0.0, diagonal);
            values[place(m)] = value;
            for l in m + 1..=self.l_max {
                let [a, b] = self.factors[place(l)];
                (before, value) = (value, a * cos * value - b * before);
                values[place(l)] = value;
            }
        }
        Legendre { values }
    }
}

/// How surfaces are expanded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HarmonicsParams {
    /// The highest degree; (lmax + 1)² coefficients describe a cell.
    pub l_max: usize,
    /// Standard deviation in µm of the Gaussian that takes the stairs off surfaces; `None` for
    /// the longest side of a voxel.
    pub surface_smoothing_um: Option<f64>,
}

impl Default for HarmonicsParams {
    fn default() -> Self {
        Self { l_max: 16, surface_smoothing_um: None }
    }
}

/// The surface of one cell, about its centroid, along the axes of the tissue.
#[derive(Clone, Debug, PartialEq)]
pub struct CellHarmonics {
    /// The radius in µm.
    pub radius_um: Harmonics,
    /// The share of directions, by area, in which the ray from the centroid leaves the cell once.
    pub star_share: f64,
}

impl CellHarmonics {
    /// Whether the cell can be drawn from its harmonics.
    pub fn is_star_shaped(&self) -> bool {
        self.star_share >= STAR_SHAPED
    }

    /// The mean distance in µm, along rays from the centroid, from a mesh about it to the surface
    /// of these harmonics. The true distance of surfaces is at most that.
    pub fn mean_error_um(
        &self,
        mesh: &Mesh,
        centroid_um: Point3<f64>,
        rotation: &Matrix3<f64>,
    ) -> f64 {
        let (mut error, mut total) = (0.0, 0.0);
        for (point, area) in mesh.patches() {
            let vector = rotation * (point - centroid_um);
            error += area * (vector.norm() - self.radius_um.value(&vector)).abs();
            total += area;
        }
        error / total
    }
}

/// The surface of every cell, in the order of [`Labels::cells`], along the axes of the tissue.
///
/// # Errors
/// [`FeatureError::Parameter`] if the smoothing is not positive.
pub fn cell_harmonics(
    labels: &Labels,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    params: &HarmonicsParams,
) -> Result<Vec<CellHarmonics>> {
    let voxel_size = labels.volume().voxel_size();
    let longest_um = voxel_size.um().into_iter().fold(0.0, f64::max);
    let smoothing_um =
        positive("surface_smoothing_um", params.surface_smoothing_um.unwrap_or(longest_um))?;
    let back = to_tissue.rotation().transpose();
    let extents = extents(labels);
    labels
        .cells()
        .par_iter()
        .zip(&extents)
        .map(|(&label, extent)| {
            let cell = CellMask::cut(labels, label, extent, [1; 3]);
            let (radii, star_share) =
                radii(&cell, extent.centroid_um(voxel_size), &back, smoothing_um, params.l_max);
            Ok(CellHarmonics { radius_um: Harmonics::expand(&radii, params.l_max)?, star_share })
        })
        .collect()
}

/// The outermost radius of a cell in each direction of a grid (along the axes of the tissue, which
/// `to_image` turns to the image's), and the share of directions with one crossing.
fn radii(
    cell: &CellMask,
    centre_um: Point3<f64>,
    to_image: &Matrix3<f64>,
    smoothing_um: f64,
    l_max: usize,
) -> (Array2<f64>, f64) {
    /// More rows than lmax asks for: what lies above lmax is not mistaken for what lies below.
    const OVERSAMPLING: usize = 2;
    let field = Field::smoothed(cell, smoothing_um);
    let level = enclosing_level(cell, &field);
    let n_rows = OVERSAMPLING * 2 * (l_max + 1);
    let (mut once, mut total) = (0.0, 0.0);
    let mut radii = Array2::zeros((n_rows, 2 * n_rows));
    for ((row, column), radius) in radii.indexed_iter_mut() {
        let theta = PI * row as f64 / n_rows as f64;
        let phi = PI * column as f64 / n_rows as f64;
        let (sin, cos) = theta.sin_cos();
        let direction = to_image * Vector3::new(sin * phi.cos(), sin * phi.sin(), cos);
        let (farthest, n_crossings) = field.cast(centre_um, direction, level);
        *radius = farthest;
        total += sin;
        once += if n_crossings == 1 { sin } else { 0.0 };
    }
    (radii, once / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::solid;
    use crate::mesh::cell_mesh;
    use approx::assert_relative_eq;
    use nalgebra::Rotation3;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_expanded_is_what_was_summed_up(
            coefficients in proptest::collection::vec(-1.0_f64..1.0, 36),
            direction in [-1.0_f64..1.0, -1.0_f64..1.0, 0.1_f64..1.0],
        ) {
            let harmonics = Harmonics::from_coefficients(coefficients).unwrap();
            let again = Harmonics::expand(&harmonics.grid(12, 24), 5).unwrap();
            for (a, b) in harmonics.coefficients().iter().zip(again.coefficients()) {
                prop_assert!((a - b).abs() < 1e-12);
            }
            let in_direction = Basis::new(5).values(&Vector3::from(direction));
            let sum: f64 =
                in_direction.iter().zip(harmonics.coefficients()).map(|(a, b)| a * b).sum();
            prop_assert!((harmonics.value(&Vector3::from(direction)) - sum).abs() < 1e-12);
            // Degrees 0 and 1 are 1 and √3 (x, y, z).
            let low = harmonics.truncated(1);
            let d = Vector3::from(direction).normalize();
            let c = low.coefficients();
            let wanted = c[0] + 3.0_f64.sqrt() * (c[1] * d.y + c[2] * d.z + c[3] * d.x);
            prop_assert!((low.value(&d) - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn a_box_has_the_coefficients_of_aics_shparam() {
        // The documented example of aics-shparam: 32³ ones with the border emptied, lmax 2. The
        // surface is 30 × 30 points on each face; each direction of a grid takes the nearest in
        // longitude and latitude.
        let mut points = Vec::new();
        for (i, j) in (0..30).flat_map(|i| (0..30).map(move |j| (i, j))) {
            let (a, b) = (f64::from(i) - 14.5, f64::from(j) - 14.5);
            for side in [-15.0, 15.0] {
                points.extend([[side, a, b], [a, side, b], [a, b, side]]);
            }
        }
        let spherical: Vec<[f64; 3]> = points
            .iter()
            .map(|[x, y, z]: &[f64; 3]| {
                let radius = (x * x + y * y + z * z).sqrt();
                [PI + y.atan2(*x), (z / radius).acos(), radius]
            })
            .collect();
        let grid = Array2::from_shape_fn((128, 256), |(row, column)| {
            let (lon, lat) = (2.0 * PI * column as f64 / 255.0, PI * row as f64 / 127.0);
            let distance = |p: &[f64; 3]| (p[0] - lon).powi(2) + (p[1] - lat).powi(2);
            spherical.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()[2]
        });
        let found = Harmonics::expand(&grid, 2).unwrap();
        assert_relative_eq!(found.coefficients()[0], 18.315_943_108_782_51, epsilon = 1e-6);
        // L1M0C and L2M2C of the same example.
        assert_relative_eq!(found.coefficients()[2], 0.020_438_775_421_611_564, epsilon = 1e-6);
        assert_relative_eq!(found.coefficients()[8], -0.009_087_503_958_673_892, epsilon = 1e-6);
        // Its error compares 6 × 12 directions.
        let rows: Vec<Vec<f64>> = grid.outer_iter().map(|row| resized(&row.to_vec(), 12)).collect();
        let columns = (0..12).map(|k| rows.iter().map(|row| row[k]).collect::<Vec<_>>());
        let columns: Vec<Vec<f64>> = columns.map(|column| resized(&column, 6)).collect();
        let again = found.grid(6, 12);
        let squares =
            again.indexed_iter().map(|((row, k), value)| (columns[k][row] - value).powi(2));
        let error = squares.sum::<f64>() / 72.0;
        assert_relative_eq!(error, 2.373_818_245_694_879_5, epsilon = 1e-6);
    }

    /// One axis of scikit-image's `resize` to fewer values: a Gaussian of half the factor less 1,
    /// mirrored at the ends, then linear at the middles.
    fn resized(values: &[f64], n: usize) -> Vec<f64> {
        let factor = values.len() as f64 / n as f64;
        let sigma = (factor - 1.0) / 2.0;
        let reach = (4.0 * sigma + 0.5) as isize;
        let last = values.len() as isize - 1;
        let mirrored = |at: isize| values[(last - (last - at.abs()).abs()) as usize];
        let weight = |at: isize| (-0.5 * (at as f64 / sigma).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(weight).sum();
        let smooth =
            |at: isize| (-reach..=reach).map(|k| weight(k) * mirrored(at + k)).sum::<f64>() / total;
        let at = |k: usize| (k as f64 + 0.5) * factor - 0.5;
        let linear = |at: f64| {
            let low = at.floor();
            smooth(low as isize) + (at - low) * (smooth(low as isize + 1) - smooth(low as isize))
        };
        (0..n).map(|k| linear(at(k))).collect()
    }

    fn ellipsoid(turn: &Rotation3<f64>) -> Labels {
        let axes = Vector3::new(4.0, 5.0, 7.0);
        solid([36, 72, 72], [0.5, 0.25, 0.25], |point| {
            (turn * (point - Point3::new(9.0, 9.0, 9.0))).component_div(&axes).norm() <= 1.0
        })
    }

    #[test]
    fn rotations_keep_the_power_of_each_degree() {
        let turn = Rotation3::from_euler_angles(0.5, 0.8, 1.1);
        let params = HarmonicsParams { l_max: 8, ..HarmonicsParams::default() };
        let power = |labels: &Labels, to_tissue: &Rigid<ImageFrame, TissueFrame>| {
            cell_harmonics(labels, to_tissue, &params).unwrap()[0].radius_um.power()
        };
        let straight = power(&ellipsoid(&Rotation3::identity()), &Rigid::identity());
        let turned = ellipsoid(&turn);
        let to_tissue = Rigid::from_parts(turn.into_inner(), Vector3::zeros()).unwrap();
        for other in [power(&turned, &Rigid::identity()), power(&turned, &to_tissue)] {
            // Sampling moves the surface by a small part of a voxel.
            for (l, (a, b)) in straight.iter().zip(other).enumerate() {
                assert!((a.sqrt() - b.sqrt()).abs() < 0.05, "{l}: {a} {b}");
            }
        }
    }

    #[test]
    fn an_ellipsoid_is_drawn_again_and_turned_to_the_tissue() {
        let turn = Rotation3::from_euler_angles(0.5, 0.8, 1.1);
        let labels = ellipsoid(&turn);
        let to_tissue = Rigid::from_parts(turn.into_inner(), Vector3::zeros()).unwrap();
        let found = &cell_harmonics(&labels, &to_tissue, &HarmonicsParams::default()).unwrap()[0];
        assert!(found.is_star_shaped(), "{}", found.star_share);
        let radius = |x, y, z| found.radius_um.value(&Vector3::new(x, y, z));
        for (found, wanted) in
            [radius(1.0, 0.0, 0.0), radius(0.0, -1.0, 0.0), radius(0.0, 0.0, 1.0)]
                .into_iter()
                .zip([4.0, 5.0, 7.0])
        {
            // A quarter of the shorter side of a voxel, and the smoothing of tips.
            assert_relative_eq!(found, wanted, epsilon = 0.12);
        }
        let mesh = found.radius_um.mesh(Point3::origin(), 48);
        let volume = 4.0 / 3.0 * PI * 4.0 * 5.0 * 7.0;
        assert_relative_eq!(mesh.volume_um3(), volume, max_relative = 0.01);
        let extent = &extents(&labels)[0];
        let cell = CellMask::cut(&labels, 1, extent, [1; 3]);
        let centroid = extent.centroid_um(cell.voxel_size());
        let error = found.mean_error_um(&cell_mesh(&cell, 0.5), centroid, &to_tissue.rotation());
        assert!(error < 0.05, "{error}");
    }

    #[test]
    fn a_horseshoe_is_not_star_shaped() {
        let labels = solid([10, 40, 40], [1.0, 0.5, 0.5], |p| {
            let ring = (p.x - 10.0).hypot(p.y - 10.0);
            (4.0..8.0).contains(&ring) && !(p.x > 10.0 && (p.y - 10.0).abs() < 2.0) && p.z < 8.0
        });
        let found =
            cell_harmonics(&labels, &Rigid::identity(), &HarmonicsParams::default()).unwrap();
        assert!(!found[0].is_star_shaped(), "{}", found[0].star_share);
        assert!(found[0].radius_um.coefficients().iter().all(|value| value.is_finite()));
    }
}
