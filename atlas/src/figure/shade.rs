//! A closed surface as light falls on it.

use nalgebra::{Point3, Vector3};
use ndarray::Array2;
use primordia_features::Mesh;

use super::colour::{CELLS, Rgb, between};
use super::raster::Raster;

/// From where a surface is seen, in the tissue frame, without perspective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// x to the right, z (apical) up.
    Side,
    /// x to the right, y up; seen from the apical side.
    Above,
}

/// The part of space that a picture shows: about the origin, in µm to either side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) half_width_um: f64,
    pub(super) half_height_um: f64,
    pub(super) pixels_per_um: f64,
}

/// The surface of a cell in full light.
const SURFACE: Rgb = CELLS[0];
/// The same in the dark.
const SHADOW: Rgb = [12, 44, 72];
/// The line around something else that is shown for comparison.
const OUTLINE: Rgb = [60, 60, 60];
const PAPER: Rgb = [255; 3];
/// Nuances of light: few enough that a PNG needs a byte per pixel.
pub(super) const NUANCES: f64 = 64.0;

impl View {
    /// To the right, up and towards the eye.
    pub(super) fn seen(self, place: Vector3<f64>) -> Vector3<f64> {
        match self {
            Self::Side => Vector3::new(place.x, place.z, -place.y),
            Self::Above => place,
        }
    }
}

impl Frame {
    /// The number of columns and rows of a picture.
    pub(super) fn n_pixels(&self) -> [usize; 2] {
        [self.half_width_um, self.half_height_um]
            .map(|half_um| ((2.0 * half_um * self.pixels_per_um).ceil() as usize).max(1))
    }

    /// How far the middle of a pixel (column, row) lies to the right of the origin and above it.
    pub(super) fn place_um(&self, pixel: [usize; 2]) -> [f64; 2] {
        let [x, y] = pixel.map(|at| (at as f64 + 0.5) / self.pixels_per_um);
        [x - self.half_width_um, self.half_height_um - y]
    }

    /// Column and row of a place as it is seen, in pixels.
    fn at(&self, seen: &Vector3<f64>) -> [f64; 2] {
        let um = [self.half_width_um + seen.x, self.half_height_um - seen.y];
        um.map(|um| um * self.pixels_per_um)
    }
}

/// `mesh`, with a line where `outline` ends.
pub(super) fn shaded(mesh: &Mesh, outline: &Mesh, view: View, frame: &Frame) -> Raster {
    let light = lit(mesh, view, frame);
    let covered = lit(outline, view, frame).mapv(|light| light.is_some());
    let on_line = |y: usize, x: usize| {
        let is_covered = |at: (usize, usize)| covered.get(at).copied().unwrap_or(false);
        let beside = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
        beside.into_iter().any(|at| is_covered(at) != covered[[y, x]])
    };
    let (n_rows, n_columns) = light.dim();
    Raster::from_fn(n_columns, n_rows, |x, y| match light[[y, x]] {
        _ if on_line(y, x) => OUTLINE,
        Some(light) => between(SHADOW, SURFACE, (light * NUANCES).round() / NUANCES),
        None => PAPER,
    })
}

/// How bright the nearest point of the surface is at each pixel, 0 to 1; none beside it.
fn lit(mesh: &Mesh, view: View, frame: &Frame) -> Array2<Option<f64>> {
    /// From the upper left, and more from the eye.
    const LIGHT: Vector3<f64> = Vector3::new(-0.42, 0.56, 0.714);
    let corners: Vec<Vector3<f64>> =
        mesh.vertices().iter().map(|vertex| view.seen(vertex.coords)).collect();
    let normals = normals(mesh, &corners);
    let [n_columns, n_rows] = frame.n_pixels();
    let mut nearest = Array2::from_elem((n_rows, n_columns), f64::NEG_INFINITY);
    let mut light = Array2::from_elem((n_rows, n_columns), None);
    for triangle in mesh.triangles() {
        let triangle = triangle.map(|at| at as usize);
        let places = triangle.map(|at| frame.at(&corners[at]));
        for_each_pixel(&places, [n_columns, n_rows], |[x, y], weights| {
            let mixed = |of: &[Vector3<f64>]| -> Vector3<f64> {
                triangle.iter().zip(weights).map(|(&at, weight)| of[at] * weight).sum()
            };
            let depth = mixed(&corners).z;
            if depth > nearest[[y, x]] {
                nearest[[y, x]] = depth;
                // As from a bright sky: what turns away grows darker still, and keeps its form.
                light[[y, x]] = Some(f64::midpoint(1.0, mixed(&normals).normalize().dot(&LIGHT)));
            }
        });
    }
    light
}

/// The mean direction of the triangles at each corner, by their angles there: the many thin ones about a
/// pole count no more than others.
fn normals(mesh: &Mesh, corners: &[Vector3<f64>]) -> Vec<Vector3<f64>> {
    let mut normals = vec![Vector3::zeros(); corners.len()];
    for triangle in mesh.triangles() {
        let triangle = triangle.map(|at| at as usize);
        for turn in 0..3 {
            let [at, next, last] = [0, 1, 2].map(|k| triangle[(turn + k) % 3]);
            let (ahead, back) = (corners[next] - corners[at], corners[last] - corners[at]);
            let across = ahead.cross(&back);
            if across.norm() > 0.0 {
                normals[at] += across.normalize() * ahead.angle(&back);
            }
        }
    }
    normals
}

/// Calls `found` with each pixel whose middle lies in a triangle, and the weights of its corners there.
fn for_each_pixel(
    [a, b, c]: &[[f64; 2]; 3],
    size: [usize; 2],
    mut found: impl FnMut([usize; 2], [f64; 3]),
) {
    let cross = |from: &[f64; 2], to: &[f64; 2], at: &[f64; 2]| {
        (to[0] - from[0]) * (at[1] - from[1]) - (to[1] - from[1]) * (at[0] - from[0])
    };
    let area = cross(a, b, c);
    if area == 0.0 || !area.is_finite() {
        return;
    }
    let range = |axis: usize| {
        let [low, high] = [f64::min, f64::max]
            .map(|pick: fn(f64, f64) -> f64| pick(pick(a[axis], b[axis]), c[axis]));
        (low - 0.5).ceil().max(0.0) as usize
            ..((high + 0.5).floor().max(0.0) as usize).min(size[axis])
    };
    for y in range(1) {
        for x in range(0) {
            let at = [x as f64 + 0.5, y as f64 + 0.5];
            let weights = [cross(b, c, &at), cross(c, a, &at), cross(a, b, &at)];
            let weights = weights.map(|part| part / area);
            if weights.iter().all(|weight| *weight >= 0.0) {
                found([x, y], weights);
            }
        }
    }
}

/// How far a mesh reaches from the origin to the sides (x) and up or down (y), as it is seen.
pub(super) fn reach_um(mesh: &Mesh, view: View) -> [f64; 2] {
    let seen = |vertex: &Point3<f64>| view.seen(vertex.coords);
    mesh.vertices()
        .iter()
        .map(seen)
        .fold([0.0, 0.0], |[x, y]: [f64; 2], place| [x.max(place.x.abs()), y.max(place.y.abs())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use primordia_features::Harmonics;
    use std::f64::consts::PI;

    const FRAME: Frame = Frame { half_width_um: 6.0, half_height_um: 6.0, pixels_per_um: 20.0 };
    /// A polygon of 96 sides in a circle, and pixels at its rim.
    const RIM: f64 = 0.01;

    fn ball(radius_um: f64) -> Mesh {
        let surface = Harmonics::from_coefficients(vec![radius_um]).unwrap();
        surface.mesh(Point3::origin(), 48)
    }

    #[test]
    fn a_ball_is_a_disc_that_is_brightest_towards_the_light() {
        let light = lit(&ball(5.0), View::Side, &FRAME);
        let n_lit = light.iter().flatten().count() as f64;
        let disc = PI * 25.0 * FRAME.pixels_per_um.powi(2);
        assert!((n_lit / disc - 1.0).abs() < RIM, "{n_lit} of {disc}");
        let upper_left = light[[80, 90]].unwrap();
        let lower_right = light[[180, 170]].unwrap();
        assert!(upper_left > lower_right + 0.2, "{upper_left} {lower_right}");
    }

    #[test]
    fn the_side_shows_x_and_z_and_from_above_x_and_y() {
        let place = Vector3::new(1.0, 2.0, 3.0);
        assert_eq!(View::Side.seen(place), Vector3::new(1.0, 3.0, -2.0));
        assert_eq!(View::Above.seen(place), place);
    }

    #[test]
    fn what_is_compared_with_is_a_line() {
        let raster = shaded(&ball(3.0), &ball(5.0), View::Above, &FRAME);
        assert_eq!(raster.pixel(120, 1), Some(PAPER));
        let column: Vec<_> = (0..120).filter_map(|y| raster.pixel(120, y)).collect();
        assert!(column.contains(&OUTLINE));
        assert_ne!(raster.pixel(120, 120), Some(PAPER));
    }
}
