//! The shape of one cell in numbers.
//!
//! The published features of this kind come from 2,000 random points of the surface and differ
//! with every draw. Here the surface is the cell's mesh, and each mean is an integral over it.

use std::f64::consts::PI;

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::{ImageFrame, Rigid, TissueFrame};

use crate::curvature::Curvature;
use crate::mesh::Mesh;

/// Everything from which the shape features of one cell follow.
#[derive(Clone, Debug, PartialEq)]
pub struct CellShape {
    pub(crate) volume_um3: f64,
    pub(crate) mask_surface_um2: f64,
    /// Semi-axes of the ellipsoid with the cell's moments, longest first.
    pub(crate) semi_axes_um: Vector3<f64>,
    pub(crate) surface: SurfaceShape,
    pub(crate) curvature: Curvature,
    pub(crate) contact_cells_um2: f64,
    pub(crate) contact_outside_um2: f64,
    pub(crate) contact_border_um2: f64,
    pub(crate) n_neighbours: usize,
}

impl CellShape {
    /// The area of the ball with the cell's volume over the cell's area.
    pub(crate) fn sphericity(&self) -> f64 {
        (36.0 * PI * self.volume_um3.powi(2)).cbrt() / self.surface.area_um2
    }

    /// How far from the middle of its box the surface lies on average: 1 where it does not.
    pub(crate) fn symmetry(&self) -> f64 {
        1.0 / (1.0 + self.surface.box_offset_um / self.surface.radius_mean_um)
    }

    /// The angle in degrees, from -180 to 180, between one axis of the tissue (0 is x) and the
    /// direction to the most distal point, seen in the plane of that axis and `towards`.
    pub(crate) fn distal_angle(&self, towards: usize, from: usize) -> f64 {
        let distal = &self.surface.distal_um;
        distal[towards].atan2(distal[from]).to_degrees()
    }

    /// The volume over the area times the geometric mean of the principal lengths.
    pub(crate) fn roundness(&self) -> f64 {
        let length_um = self.surface.extents_principal_um.product().cbrt();
        self.volume_um3 / (self.surface.area_um2 * length_um)
    }
}

/// What the surface alone tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SurfaceShape {
    pub(crate) area_um2: f64,
    /// Lengths along the tissue's x, y, z.
    pub(crate) extents_tissue_um: Vector3<f64>,
    /// Lengths along the surface's own principal axes, longest first.
    pub(crate) extents_principal_um: Vector3<f64>,
    /// From the centroid to the most distal point of the surface, in the tissue's frame.
    pub(crate) distal_um: Vector3<f64>,
    /// From the centroid to the foremost point of the surface along the tissue's x.
    pub(crate) front_um: f64,
    /// Of the distances from the centroid to the surface: their mean and standard deviation.
    pub(crate) radius_mean_um: f64,
    pub(crate) radius_deviation_um: f64,
    /// From the surface's mean place to the middle of its box along the tissue's axes.
    pub(crate) box_offset_um: f64,
    pub(crate) sphericity_deviation: f64,
    pub(crate) roundness_deviation: f64,
}

impl SurfaceShape {
    /// Of a surface that nobody asked for.
    pub(crate) const NONE: Self = Self {
        area_um2: f64::NAN,
        extents_tissue_um: Vector3::new(f64::NAN, f64::NAN, f64::NAN),
        extents_principal_um: Vector3::new(f64::NAN, f64::NAN, f64::NAN),
        distal_um: Vector3::new(f64::NAN, f64::NAN, f64::NAN),
        front_um: f64::NAN,
        radius_mean_um: f64::NAN,
        radius_deviation_um: f64::NAN,
        box_offset_um: f64::NAN,
        sphericity_deviation: f64::NAN,
        roundness_deviation: f64::NAN,
    };

    /// The shape of `mesh`, about the cell's centroid of mass.
    pub(crate) fn of(
        mesh: &Mesh,
        centroid_um: Point3<f64>,
        to_tissue: &Rigid<ImageFrame, TissueFrame>,
    ) -> Self {
        let patches: Vec<Patch> = mesh
            .patches()
            .map(|(middle, area)| {
                let place = middle - centroid_um;
                Patch { place, radius: place.norm(), area }
            })
            .collect();
        let sums = Sums::of(&patches);
        let vertices = || mesh.vertices().iter().map(|vertex| vertex - centroid_um);
        let axes = sums.covariance().symmetric_eigen().eigenvectors;
        let to_axes = axes.transpose();
        let (low, high) = bounds(vertices().map(|vertex| to_axes * vertex));
        let principal = high - low;
        let distal = vertices()
            .max_by(|a, b| a.norm_squared().total_cmp(&b.norm_squared()))
            .unwrap_or_default();
        let mut sorted = principal;
        sorted.as_mut_slice().sort_by(|a, b| b.total_cmp(a));
        // Takes the ellipsoid of the principal lengths to the ball of radius 1.
        let to_ball = Matrix3::from_diagonal(&principal.map(|length| 2.0 / length)) * to_axes;
        let rotation = to_tissue.rotation();
        let (low, high) = bounds(vertices().map(|vertex| rotation * vertex));
        let deviations = deviations(&patches, &sums, &to_ball);
        Self {
            area_um2: sums.area,
            extents_tissue_um: high - low,
            front_um: high.x,
            extents_principal_um: sorted,
            distal_um: to_tissue.vector(&distal),
            radius_mean_um: sums.radius / sums.area,
            radius_deviation_um: sums.radius_deviation(),
            box_offset_um: (0.5 * (low + high) - rotation * sums.middle()).norm(),
            sphericity_deviation: deviations[0],
            roundness_deviation: deviations[1],
        }
    }
}

/// A triangle of the surface: a node of the quadrature.
struct Patch {
    /// Its middle, from the centroid.
    place: Vector3<f64>,
    radius: f64,
    area: f64,
}

/// Integrals over a surface.
#[derive(Default)]
struct Sums {
    area: f64,
    radius: f64,
    places: Vector3<f64>,
    products: Matrix3<f64>,
}

impl Sums {
    fn of(patches: &[Patch]) -> Self {
        let mut sums = Self::default();
        for patch in patches {
            let place = patch.place * patch.area;
            sums.area += patch.area;
            sums.radius += patch.radius * patch.area;
            sums.places += place;
            sums.products += place * patch.place.transpose();
        }
        sums
    }

    /// The standard deviation of distances to the centroid.
    fn radius_deviation(&self) -> f64 {
        let (mean, mean_square) = (self.radius / self.area, self.products.trace() / self.area);
        (mean_square - mean * mean).max(0.0).sqrt()
    }

    /// The mean place.
    fn middle(&self) -> Vector3<f64> {
        self.places / self.area
    }

    /// About the middle, which is so close to the centroid that nothing cancels badly.
    fn covariance(&self) -> Matrix3<f64> {
        self.products / self.area - self.middle() * self.middle().transpose()
    }
}

/// `sphericity_deviation`: 1 − mean |r / mean(r) − 1| of the distances r from the centroid to the
/// surface. `roundness_deviation`: 1 − mean (|D − r| / D), where D is the distance from the middle
/// to the ellipsoid of the principal lengths along the ray through the surface point, and r the
/// distance to that point.
fn deviations(patches: &[Patch], sums: &Sums, to_ball: &Matrix3<f64>) -> [f64; 2] {
    let (mean_radius, middle) = (sums.radius / sums.area, to_ball * sums.middle());
    let (mut from_ball, mut from_ellipsoid) = (0.0, 0.0);
    for patch in patches {
        from_ball += (patch.radius / mean_radius - 1.0).abs() * patch.area;
        // r / D: where on its ray, in units of the ellipsoid, the point lies.
        let position = (to_ball * patch.place - middle).norm();
        from_ellipsoid += (1.0 - position).abs() * patch.area;
    }
    [1.0 - from_ball / sums.area, 1.0 - from_ellipsoid / sums.area]
}

/// The smallest and the largest coordinate, per axis.
fn bounds(points: impl Iterator<Item = Vector3<f64>>) -> (Vector3<f64>, Vector3<f64>) {
    let start = (Vector3::repeat(f64::INFINITY), Vector3::repeat(f64::NEG_INFINITY));
    points.fold(start, |(low, high), point| (low.inf(&point), high.sup(&point)))
}
