//! The form of a tissue: a bent teardrop whose space is folded into rosettes.
//!
//! Three frames follow one another. The *tissue* frame is [`TissueFrame`](crate::TissueFrame). In
//! the *body* frame the bend is undone: x runs along the tissue's middle line, the leading tip is
//! at 0. In the *rest* frame the rosettes are undone as well and heights are compressed: there,
//! cells are Voronoi cells, and the way back gives them their columns, leans and narrow apices.

use nalgebra::{Point3, Vector3};
use rand::Rng;

use super::TissueParams;
use super::random::{Purpose, Waves, normal, stream};

/// Half-width and half-height against the largest, from tip to tail at 0, 0.1, …, 1 of the length.
///
/// Rounded from the centroids and lengths of the cells of 139 live primordia with their tips
/// aligned (idr0079, frame TFOR): the outermost cells of each twentieth of the length, mean over
/// specimens, squared so that the smooth body holds the measured
/// volume of cells and not that of its outermost protrusions. The leading end is the thinner one,
/// the tissue is widest before its middle, and the tail is blunt.
const HALF_WIDTH: [f64; 11] = [0.38, 0.60, 0.77, 0.89, 0.97, 1.00, 0.94, 0.85, 0.75, 0.67, 0.62];
const HALF_HEIGHT: [f64; 11] = [0.40, 0.56, 0.72, 0.87, 0.97, 1.00, 0.96, 0.88, 0.80, 0.74, 0.72];

/// Heights are this much shorter at rest, so that Voronoi cells become columns.
const COLUMNS: f64 = 0.4;

/// Where the rosettes stand, from tip to tail, in lengths of the tissue.
const ROSETTES: [f64; 3] = [0.32, 0.57, 0.81];

/// The form of one tissue.
#[derive(Clone, Debug)]
pub(super) struct Body {
    length_um: f64,
    half_width_um: f64,
    half_height_um: f64,
    curvature_per_um: f64,
    constriction: f64,
    rosette_radius_um: f64,
    waviness_um: f64,
    rosettes: Vec<[f64; 2]>, // x, y in the body frame
    waves: [Waves; 3],
    origin: Vector3<f64>, // of the tissue frame, in the bent body
}

impl Body {
    /// The body of `params`, whose size is that of `params.n_cells` cells.
    pub(super) fn new(params: &TissueParams, seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Shape, 0);
        let scale = params.scale();
        let length_um = params.length_um * scale;
        let half_width_um = 0.5 * params.width_um * scale;
        let rosettes = ROSETTES.map(|at| {
            let mut jitter = |reach_um: f64| reach_um * (2.0 * rng.random::<f64>() - 1.0);
            [-length_um * at + jitter(3.0), jitter(1.5)]
        });
        let mut rng = stream(seed, Purpose::Waves, 0);
        let waves = std::array::from_fn(|_| Waves::new(6, [9.0, 22.0], &mut rng));
        let mut body = Self {
            length_um,
            half_width_um,
            half_height_um: 0.5 * params.height_um * scale,
            curvature_per_um: params.curvature_per_um,
            constriction: params.constriction,
            rosette_radius_um: params.rosette_radius_um,
            waviness_um: params.waviness_um,
            rosettes: rosettes.to_vec(),
            waves,
            origin: Vector3::zeros(),
        };
        body.origin = body.tip_and_middle();
        body
    }

    /// The tip in x and the centre of mass in y and z, of the bent body.
    fn tip_and_middle(&self) -> Vector3<f64> {
        let (mut mass, mut moment) = (0.0, Vector3::zeros());
        for point in self.body_grid(1.0) {
            // Sheets of a bent body weigh more on the outside of the bend.
            let weight = 1.0 - self.curvature_per_um * point.y;
            mass += weight;
            moment += self.bent(&point) * weight;
        }
        let surface = self.surface_points();
        let tip = surface.iter().map(|point| self.bent(point).x).fold(f64::MIN, f64::max);
        Vector3::new(tip, moment.y / mass, moment.z / mass)
    }

    /// The centres of the rosettes' apices in the tissue frame.
    pub(super) fn rosette_centres(&self) -> Vec<Point3<f64>> {
        let top = |&[x, y]: &[f64; 2]| {
            let apex = Point3::new(x, y, self.half_height_at(x, y));
            Point3::from(self.bent(&apex) - self.origin)
        };
        self.rosettes.iter().map(top).collect()
    }

    /// Which rosette the rest position `at_rest` belongs to, if it is near one.
    pub(super) fn rosette_of(&self, at_rest: &Point3<f64>) -> Option<usize> {
        let reach_um = 2.0 * self.rosette_radius_um;
        let apart = |&[x, y]: &[f64; 2]| libm::hypot(at_rest.x - x, at_rest.y - y);
        self.rosettes.iter().position(|rosette| apart(rosette) < reach_um)
    }

    /// The body frame's place of `point` of the tissue frame.
    pub(super) fn body_point(&self, point: &Point3<f64>) -> Point3<f64> {
        let point = point + self.origin;
        if self.curvature_per_um == 0.0 {
            return point;
        }
        let middle = -0.5 * self.length_um;
        let radius = 1.0 / self.curvature_per_um;
        let along = (point.x - middle) * radius.signum();
        let across = (radius - point.y) * radius.signum();
        let from_centre = libm::hypot(along, across);
        let angle = libm::atan2(along, across);
        Point3::new(middle + radius * angle, radius - radius.signum() * from_centre, point.z)
    }

    /// The way back from [`Body::body_point`], before the shift to the tissue's origin.
    fn bent(&self, point: &Point3<f64>) -> Vector3<f64> {
        if self.curvature_per_um == 0.0 {
            return point.coords;
        }
        let middle = -0.5 * self.length_um;
        let radius = 1.0 / self.curvature_per_um;
        let angle = (point.x - middle) / radius;
        let across = radius - point.y;
        let x = middle + across * libm::sin(angle);
        Vector3::new(x, radius - across * libm::cos(angle), point.z)
    }

    /// Below 0 inside the body, above 0 outside. Cross-sections are lenses of two parabolas:
    /// (y/w)² + |z|/h = 1.
    pub(super) fn level(&self, point: &Point3<f64>) -> f64 {
        let at = -point.x / self.length_um;
        let width = self.half_width_um * profile(&HALF_WIDTH, at);
        let height = self.half_height_um * profile(&HALF_HEIGHT, at);
        let y = point.y / width;
        y * y + (point.z / height).abs() - end(at)
    }

    /// The distance of `point` (body frame) from the surface in µm, negative inside: exact to
    /// first order, so right where it is small.
    pub(super) fn surface_distance_um(&self, point: &Point3<f64>) -> f64 {
        const STEP_UM: f64 = 0.05;
        // Both halves of the lens meet in an edge at z = 0: no step may cross it.
        let aside = Point3::new(point.x, point.y, point.z.abs().max(STEP_UM));
        let gradient = Vector3::from_fn(|axis, _| {
            let mut step = Vector3::zeros();
            step[axis] = STEP_UM;
            (self.level(&(aside + step)) - self.level(&(aside - step))) / (2.0 * STEP_UM)
        });
        self.level(point) / gradient.norm()
    }

    /// Half the height of the body above `x`, `y` of the body frame; 0 beside the body.
    fn half_height_at(&self, x: f64, y: f64) -> f64 {
        let at = -x / self.length_um;
        let y = y / (self.half_width_um * profile(&HALF_WIDTH, at));
        let height = self.half_height_um * profile(&HALF_HEIGHT, at);
        height * (end(at) - y * y).max(0.0)
    }

    /// From basal (0) to apical (1), relative to the largest height at this x of the body frame.
    fn relative_height(&self, point: &Point3<f64>) -> f64 {
        let height = self.half_height_um * profile(&HALF_HEIGHT, -point.x / self.length_um);
        (0.5 + 0.5 * point.z / height).clamp(0.0, 1.0)
    }

    /// The place at rest of `point` of the body frame.
    ///
    /// Around a rosette, x and y grow at rest by 1 + c t²/(1 + (r/R)²) with the relative height t
    /// and the distance r: so, in the body, apices are narrow and lean to the rosette's centre.
    pub(super) fn at_rest(&self, point: &Point3<f64>) -> Point3<f64> {
        let wave = |axis: usize| self.waviness_um * self.waves[axis].at(point);
        let mut rest = Point3::new(point.x, point.y, point.z);
        let t = self.relative_height(point);
        for [x, y] in &self.rosettes {
            let (dx, dy) = (point.x - x, point.y - y);
            let squares = (dx * dx + dy * dy) / (self.rosette_radius_um * self.rosette_radius_um);
            let growth = self.constriction * t * t / (1.0 + squares);
            rest.x += growth * dx / (1.0 + 0.05 * squares * squares);
            rest.y += growth * dy / (1.0 + 0.05 * squares * squares);
        }
        Point3::new(rest.x + wave(0), rest.y + wave(1), COLUMNS * (rest.z + wave(2)))
    }

    /// Points of the body frame on a cubic grid inside the body.
    fn body_grid(&self, step_um: f64) -> Vec<Point3<f64>> {
        let steps = |reach_um: f64| (reach_um / step_um).ceil() as i64;
        let (ny, nz) = (steps(self.half_width_um), steps(self.half_height_um));
        let mut points = Vec::new();
        for k in -nz..=nz {
            for j in -ny..=ny {
                for i in 0..=steps(self.length_um) {
                    let point = Vector3::new(-i as f64, j as f64, k as f64) * step_um;
                    points.push(Point3::from(point));
                }
            }
        }
        points.retain(|point| self.level(point) < 0.0);
        points
    }

    /// Random places at rest, uniform over the volume of the body: about one per `step_um`³.
    pub(super) fn random_places(&self, step_um: f64, rng: &mut impl Rng) -> Vec<Point3<f64>> {
        let jitter = 0.25 * step_um;
        let mut points = self.body_grid(step_um);
        for point in &mut points {
            *point += Vector3::from_fn(|_, _| jitter * normal(rng));
        }
        points.retain(|point| self.level(point) < 0.0);
        points.iter().map(|point| self.at_rest(point)).collect()
    }

    /// Points of the body frame on the surface.
    fn surface_points(&self) -> Vec<Point3<f64>> {
        const STEPS: i32 = 120;
        let mut points = Vec::new();
        for i in 0..=STEPS {
            let at = f64::from(i) / f64::from(STEPS);
            let x = -self.length_um * at;
            let width = self.half_width_um * profile(&HALF_WIDTH, at) * end(at).max(0.0).sqrt();
            for j in -12..=12 {
                let y = width * f64::from(j) / 12.0;
                let z = self.half_height_at(x, y);
                points.extend([Point3::new(x, y, z), Point3::new(x, y, -z)]);
            }
        }
        points
    }

    /// Points of the tissue frame on the surface, close enough for the extents of any pose.
    pub(super) fn surface(&self) -> Vec<Point3<f64>> {
        let points = self.surface_points();
        points.iter().map(|point| Point3::from(self.bent(point) - self.origin)).collect()
    }

    /// The places at rest of points on the surface.
    pub(super) fn surface_at_rest(&self) -> Vec<Point3<f64>> {
        self.surface_points().iter().map(|point| self.at_rest(point)).collect()
    }
}

/// 1 along the tissue, 0 at its ends, below 0 beyond: 1 − |m|⁵ towards the tip and 1 − |m|⁹
/// towards the blunter tail, where m is −1 at the tip and 1 at the tail.
fn end(at: f64) -> f64 {
    let from_middle = 2.0 * at - 1.0;
    let square = from_middle * from_middle;
    let fourth = square * square;
    1.0 - from_middle.abs() * if from_middle < 0.0 { fourth } else { fourth * fourth }
}

/// A profile of eleven values over 0..=1, between them a cubic (Catmull–Rom), beyond them constant.
fn profile(values: &[f64; 11], at: f64) -> f64 {
    let position = (at * 10.0).clamp(0.0, 10.0);
    let knot = (position as usize).min(9);
    let t = position - knot as f64;
    let [before, from, to, after] =
        [knot.saturating_sub(1), knot, knot + 1, (knot + 2).min(10)].map(|knot| values[knot]);
    let (out, into) = (0.5 * (to - before), 0.5 * (after - from));
    let (a, b) = (2.0 * (from - to) + out + into, 3.0 * (to - from) - 2.0 * out - into);
    ((a * t + b) * t + out) * t + from
}
