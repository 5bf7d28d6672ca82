//! How a cell's surface bends.
//!
//! The surface is a level of the smoothed mask, and curvatures of levels follow from first and
//! second derivatives (Goldman 2005, doi:10.1016/j.cagd.2005.06.005). Across the surface of a
//! smoothed mask the values climb as the normal distribution does; so their quantiles under it
//! climb evenly, as distances do, and differences between voxels are as good as derivatives.
//! The mean curvature of balls, ellipsoids and tori comes out within 1.5 %, the bending energy
//! within 4 %, at anisotropies from 1 to 5.
//!
//! Curvature is positive where the cell bulges.

use std::f64::consts::PI;
use std::sync::LazyLock;

use nalgebra::{Point3, Vector3};

use crate::cell::CellMask;
use crate::mesh::{Mesh, enclosing_level, march};
use crate::smooth::Field;

/// Statistics of curvature over a surface, by area.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Curvature {
    /// The mean of the mean curvature (κ₁ + κ₂) / 2.
    pub(crate) mean_per_um: f64,
    /// The standard deviation of the mean curvature.
    pub(crate) deviation_per_um: f64,
    /// The standard deviation of the Gaussian curvature κ₁ κ₂. Its mean is known beforehand: 4π
    /// over the area for all surfaces without holes.
    pub(crate) gauss_deviation_per_um2: f64,
    /// The part of the surface with a mean curvature below 0.
    pub(crate) concave_share: f64,
    /// The part of the surface with a Gaussian curvature below 0.
    pub(crate) saddle_share: f64,
    /// The integral of the squared mean curvature over 4π.
    pub(crate) bending_energy: f64,
}

/// The mesh of [`crate::mesh::cell_mesh`] and how it bends.
pub(crate) fn bent_mesh(cell: &CellMask, smoothing_um: f64) -> (Mesh, Curvature) {
    let field = Field::smoothed(cell, smoothing_um);
    let mesh = march(&field, enclosing_level(cell, &field));
    let mut levels = Levels::of(&field);
    let areas = Areas::of(&mesh);
    let mut bends: Vec<[f64; 2]> =
        mesh.vertices().iter().map(|point| levels.bends_at(point)).collect();
    for _ in 0..ROUNDS {
        bends = areas.evened(&mesh, &bends);
    }
    let volume_um3 = cell.n_voxels() as f64 * cell.voxel_size().volume_um3();
    let (mesh, scale) = mesh.scaled_to_volume(volume_um3);
    let curvature = Curvature::of(&areas, &bends, scale);
    (mesh, curvature)
}

/// How often curvatures are averaged over triangles: what stairs leave over a voxel or two evens
/// out, which another blur of the mask would do too, but only by making all bends flatter.
const ROUNDS: usize = 2;

/// How the area of a mesh is shared out.
struct Areas {
    /// Of each triangle in µm².
    triangles: Vec<f64>,
    /// Of the triangles around each vertex, together.
    around_vertices: Vec<f64>,
}

impl Areas {
    fn of(mesh: &Mesh) -> Self {
        let triangles: Vec<f64> = mesh.patches().map(|(_, area)| area).collect();
        let mut around_vertices = vec![0.0; mesh.vertices().len()];
        for (triangle, area) in mesh.triangles().iter().zip(&triangles) {
            triangle.iter().for_each(|vertex| around_vertices[*vertex as usize] += area);
        }
        Self { triangles, around_vertices }
    }

    /// For each vertex the mean, by area, over the triangles around it.
    fn evened(&self, mesh: &Mesh, bends: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 2]; bends.len()];
        for (triangle, area) in mesh.triangles().iter().zip(&self.triangles) {
            let [a, b, c] = triangle.map(|vertex| bends[vertex as usize]);
            let weighted = [0, 1].map(|k| area * (a[k] + b[k] + c[k]) / 3.0);
            for vertex in triangle {
                let sum = &mut sums[*vertex as usize];
                sum[0] += weighted[0];
                sum[1] += weighted[1];
            }
        }
        let sums = sums.iter().zip(&self.around_vertices);
        sums.map(|([h, k], area)| [h / area, k / area]).collect()
    }
}

impl Curvature {
    /// Of a surface about whose bends nobody asked.
    pub(crate) const NONE: Self = Self {
        mean_per_um: f64::NAN,
        deviation_per_um: f64::NAN,
        gauss_deviation_per_um2: f64::NAN,
        concave_share: f64::NAN,
        saddle_share: f64::NAN,
        bending_energy: f64::NAN,
    };

    /// From the mean and Gaussian curvature at each vertex of a mesh with these areas, which then
    /// was enlarged by `scale`.
    fn of(areas: &Areas, bends: &[[f64; 2]], scale: f64) -> Self {
        let areas_um2 = &areas.around_vertices;
        let total: f64 = areas_um2.iter().sum();
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            let bends = bends.iter().map(|[mean, gauss]| of(mean / scale, gauss / scale / scale));
            bends.zip(areas_um2).map(|(value, area)| value * area).sum::<f64>() / total
        };
        // Each triangle lies around three vertices.
        let surface_um2 = total / 3.0 * scale * scale;
        let mean_per_um = mean(&|h, _| h);
        let mean_square = mean(&|h, _| h * h);
        let gauss = mean(&|_, k| k);
        Self {
            mean_per_um,
            deviation_per_um: (mean_square - mean_per_um * mean_per_um).max(0.0).sqrt(),
            gauss_deviation_per_um2: mean(&|_, k| (k - gauss) * (k - gauss)).sqrt(),
            concave_share: mean(&|h, _| f64::from(u8::from(h < 0.0))),
            saddle_share: mean(&|_, k| f64::from(u8::from(k < 0.0))),
            bending_energy: mean_square * surface_um2 / (4.0 * PI),
        }
    }
}

/// The quantiles of a field, and how they change where that was asked for.
struct Levels<'a> {
    field: &'a Field,
    quantiles: Vec<f32>,
    /// For each value of the field, one more than where in `derivatives` its own are; 0 for none.
    places: Vec<u32>,
    derivatives: Vec<Derivatives>,
}

/// The derivatives along x, y, z and the second derivatives along xx, yy, zz, xy, xz, yz.
type Derivatives = [f64; 9];

impl<'a> Levels<'a> {
    fn of(field: &'a Field) -> Self {
        let table = &*TABLE;
        let quantiles: Vec<f32> =
            field.values.iter().map(|value| quantile(*value, table)).collect();
        let places = vec![0; quantiles.len()];
        Self { field, quantiles, places, derivatives: Vec::new() }
    }

    /// The mean and the Gaussian curvature at a vertex of the mesh, which lies on a line between
    /// two values of the field: their derivatives, in proportion.
    fn bends_at(&mut self, point_um: &Point3<f64>) -> [f64; 2] {
        let [dz, dy, dx] = self.field.spacing_um();
        let place =
            (point_um - self.field.point_um([0; 3])).component_div(&Vector3::new(dx, dy, dz));
        // No place is negative, so this rounds down.
        let near = place.map(|at| (at + ROUNDING) as usize);
        let past = place - near.cast();
        let axis = past.imax();
        let part = past[axis].clamp(0.0, 1.0);
        let near = [near.z, near.y, near.x];
        let mut far = near;
        far[2 - axis] += 1;
        let (near, far) = (self.derivatives_at(near), self.derivatives_at(far));
        let (near, far) = (&self.derivatives[near], &self.derivatives[far]);
        curvatures(&std::array::from_fn(|k| near[k] * (1.0 - part) + far[k] * part))
    }

    /// Where the derivatives at a value are; they are computed once.
    fn derivatives_at(&mut self, place: [usize; 3]) -> usize {
        let [n_z, n_y, n_x] = self.field.shape;
        let [z, y, x] =
            [(place[0], n_z), (place[1], n_y), (place[2], n_x)].map(|(at, n)| at.clamp(1, n - 2));
        let at = (z * n_y + y) * n_x + x;
        if self.places[at] == 0 {
            self.derivatives.push(self.differences(at));
            self.places[at] = self.derivatives.len() as u32;
        }
        self.places[at] as usize - 1
    }

    /// Central differences about the value at `middle`.
    fn differences(&self, middle: usize) -> Derivatives {
        let [_, n_y, n_x] = self.field.shape;
        let [dz, dy, dx] = self.field.spacing_um();
        let (step, strides) = (Vector3::new(dx, dy, dz), [1, n_x, n_y * n_x]);
        let value = |at: usize| f64::from(self.quantiles[at]);
        let here = value(middle);
        let ends = strides.map(|stride| [value(middle - stride), value(middle + stride)]);
        let slope = |i: usize| (ends[i][1] - ends[i][0]) / (2.0 * step[i]);
        let across = |i: usize, j: usize| {
            let (up, down) = (middle + strides[i], middle - strides[i]);
            let corners =
                value(up + strides[j]) - value(up - strides[j]) - value(down + strides[j])
                    + value(down - strides[j]);
            corners / (4.0 * step[i] * step[j])
        };
        let along = |i: usize| (ends[i][0] - 2.0 * here + ends[i][1]) / (step[i] * step[i]);
        [
            slope(0),
            slope(1),
            slope(2),
            along(0),
            along(1),
            along(2),
            across(0, 1),
            across(0, 2),
            across(1, 2),
        ]
    }
}

/// Of a place in voxels that should be whole.
const ROUNDING: f64 = 1e-6;

/// The mean and the Gaussian curvature of the level through a point at which a field that falls
/// from the inside outwards has these derivatives: with gradient g, its direction n and second
/// derivatives B, (nᵀ B n − tr B) / 2 |g| and nᵀ adj(B) n / |g|².
fn curvatures(&[x, y, z, xx, yy, zz, xy, xz, yz]: &Derivatives) -> [f64; 2] {
    let steepness = (x * x + y * y + z * z).sqrt().max(f64::MIN_POSITIVE);
    // Divided, so that along an axis n is 1 and no rounding tells flat places from others.
    let [x, y, z] = [x, y, z].map(|slope| slope / steepness);
    // nᵀ M n of a symmetric matrix.
    let along = |xx: f64, yy: f64, zz: f64, xy: f64, xz: f64, yz: f64| {
        xx * x * x + yy * y * y + zz * z * z + 2.0 * (xy * x * y + xz * x * z + yz * y * z)
    };
    let mean = along(xx, yy, zz, xy, xz, yz) - (xx + yy + zz);
    let gauss = along(
        yy * zz - yz * yz,
        xx * zz - xz * xz,
        xx * yy - xy * xy,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xy * xz - xx * yz,
    );
    [mean / (2.0 * steepness), gauss / (steepness * steepness)]
}

/// The quantile of the normal distribution by its table, for values far from 0 and 1.
fn quantile(value: f32, table: &[f32; QUANTILES + 1]) -> f32 {
    /// As far as [`Field`] tells values from 0 and 1.
    const FAR: f32 = 0.001;
    let at = value.clamp(FAR, 1.0 - FAR) * QUANTILES as f32;
    let index = (at as u32 as usize).min(QUANTILES - 1);
    let [low, high] = [table[index], table[index + 1]];
    low + (at - index as f32) * (high - low)
}

const QUANTILES: usize = 4096;

/// The quantiles at n / 4096: where the integral of the normal distribution, in small steps from
/// its middle, passes them.
static TABLE: LazyLock<Box<[f32; QUANTILES + 1]>> = LazyLock::new(|| {
    const STEP: f64 = 1e-4;
    let mut table = Box::new([0.0; QUANTILES + 1]);
    let (mut at, mut share) = (0.0_f64, 0.5);
    for index in QUANTILES / 2 + 1..QUANTILES {
        let wanted = index as f64 / QUANTILES as f64;
        let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * PI).sqrt();
        while share + STEP * density(at + 0.5 * STEP) < wanted {
            share += STEP * density(at + 0.5 * STEP);
            at += STEP;
        }
        table[index] = (at + (wanted - share) / density(at)) as f32;
        table[QUANTILES - index] = -table[index];
    }
    // Never reached: values are clamped before.
    table[0] = table[1];
    table[QUANTILES] = table[QUANTILES - 1];
    table
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::{only_cell, solid};

    /// The mean of the mean curvature.
    const MEAN: f64 = 0.015;
    /// Squares of curvature also hold the squares of what stairs leave.
    const SQUARES: f64 = 0.04;
    /// Of a deviation, against the mean curvature of 1/8 per µm: what stairs leave.
    const STAIRS: f64 = 0.18;
    /// The line between bulge and saddle is as uncertain as the curvature.
    const SHARE: f64 = 0.03;

    /// In voxels of 1 µm in z, and shorter ones in y and x.
    fn curvature(
        anisotropy: f64,
        half_um: f64,
        inside: impl Fn(Vector3<f64>) -> bool,
    ) -> Curvature {
        let um = [1.0, 1.0 / anisotropy, 1.0 / anisotropy];
        let shape = um.map(|side| (2.0 * half_um / side) as usize + 3);
        // The middle lies between voxels, as nature has it.
        let middle = Vector3::new(
            (shape[2] as f64 / 2.0 - 0.21) * um[2],
            (shape[1] as f64 / 2.0 - 0.37) * um[1],
            (shape[0] as f64 / 2.0 - 0.11) * um[0],
        );
        let labels = solid(shape, um, |point| inside(point.coords - middle));
        bent_mesh(&only_cell(&labels, [1; 3]), 1.0).1
    }

    fn check(found: &Curvature, wanted: &Curvature, what: &str) {
        println!("{what}: {found:.4?}");
        let close = |found: f64, wanted: f64, tolerance: f64| {
            assert!((found - wanted).abs() <= tolerance, "{what}: {found}, not {wanted}");
        };
        close(found.mean_per_um, wanted.mean_per_um, MEAN * wanted.mean_per_um);
        close(found.bending_energy, wanted.bending_energy, SQUARES * wanted.bending_energy);
        close(found.deviation_per_um, wanted.deviation_per_um, STAIRS / 8.0);
        close(found.gauss_deviation_per_um2, wanted.gauss_deviation_per_um2, STAIRS / 64.0 * 2.0);
        close(found.concave_share, wanted.concave_share, SHARE);
        close(found.saddle_share, wanted.saddle_share, SHARE);
    }

    #[test]
    fn balls_ellipsoids_and_tori_bend_as_by_the_formulas_at_any_anisotropy() {
        let turn = nalgebra::Rotation3::from_euler_angles(0.4, 0.7, 0.2);
        for anisotropy in [1.0, 2.0, 3.0, 5.0] {
            let ball = curvature(anisotropy, 8.5, |p| p.norm() <= 8.0);
            let wanted =
                Curvature { mean_per_um: 0.125, bending_energy: 1.0, ..Curvature::default() };
            check(&ball, &wanted, &format!("ball at {anisotropy}"));

            let axes = Vector3::new(11.0, 8.0, 6.0);
            let ellipsoid =
                curvature(anisotropy, 11.5, |p| (turn * p).component_div(&axes).norm() <= 1.0);
            check(&ellipsoid, &ELLIPSOID, &format!("ellipsoid at {anisotropy}"));

            let torus = curvature(anisotropy, 13.5, |p| {
                let p = turn * p;
                (p.xy().norm() - 9.0).hypot(p.z) <= 4.0
            });
            // H = (R + 2 r cos t) / (2 r w), K = cos t / (r w), w = R + r cos t the area's weight.
            let (ring, tube) = (9.0_f64, 4.0_f64);
            let ratio = ring / tube;
            let bending_energy = PI / 4.0 * ratio * ratio / (ratio * ratio - 1.0).sqrt();
            let wanted = Curvature {
                mean_per_um: 1.0 / (2.0 * tube),
                deviation_per_um: 0.042_630_8,
                gauss_deviation_per_um2: 0.021_315_4,
                concave_share: 0.0,
                // w integrated over the inner half: 1/2 − r / (π R).
                saddle_share: 0.5 - tube / (PI * ring),
                bending_energy,
            };
            check(&torus, &wanted, &format!("torus at {anisotropy}"));
        }
    }

    /// Integrals over 4 million points of the ellipsoid of 11, 8 and 6 µm, by numpy 2.4.6, from
    /// H = (a² + b² + c² − r²) / (2 (a b c)² h^(3/2)) and K = 1 / (a b c h)², where
    /// h = x²/a⁴ + y²/b⁴ + z²/c⁴.
    const ELLIPSOID: Curvature = Curvature {
        mean_per_um: 0.123_808_8,
        deviation_per_um: 0.039_071_0,
        gauss_deviation_per_um2: 0.009_863_7,
        concave_share: 0.0,
        saddle_share: 0.0,
        bending_energy: 1.154_922_5,
    };

    #[test]
    fn a_dent_is_concave_and_one_voxel_has_finite_curvature() {
        let dented = curvature(2.0, 8.5, |p| {
            p.norm() <= 8.0 && (p - Vector3::new(9.0, 0.0, 0.0)).norm() > 5.0
        });
        // The dent is 10 % of the surface; its rim is rounded by the smoothing.
        assert!((0.03..0.1).contains(&dented.concave_share), "{dented:?}");
        let labels = solid([1; 3], [0.5, 0.1, 0.1], |_| true);
        let (_, one) = bent_mesh(&only_cell(&labels, [1; 3]), 0.5);
        assert!(one.mean_per_um.is_finite() && one.bending_energy.is_finite(), "{one:?}");
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        // scipy 1.17 norm.ppf; the table is linear between 4096 places.
        for (share, wanted) in [(0.5, 0.0), (0.7, 0.524_40), (0.025, -1.959_96), (0.998, 2.878_16)]
        {
            let found = quantile(share, &TABLE);
            assert!((found - wanted).abs() < 1e-3, "{share}: {found}");
        }
    }
}
