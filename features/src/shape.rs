//! The shape of one cell in numbers.
//!
//! The published features of this kind come from 2,000 random points of the surface and differ
//! with every draw. Here the surface is the cell's mesh, and each mean is an integral over it.

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::{ImageFrame, Rigid, TissueFrame};

use crate::mesh::Mesh;

/// Everything from which the shape features of one cell follow.
#[derive(Clone, Debug, PartialEq)]
pub struct CellShape {
    pub(crate) volume_um3: f64,
    pub(crate) surface_um2: f64,
    pub(crate) mask_surface_um2: f64,
    /// Semi-axes of the ellipsoid with the cell's moments, longest first.
    pub(crate) semi_axes_um: Vector3<f64>,
    /// Lengths along the tissue's x, y, z.
    pub(crate) extents_tissue_um: Vector3<f64>,
    /// Lengths along the surface's own principal axes, longest first.
    pub(crate) extents_principal_um: Vector3<f64>,
    /// From the centroid to the most distal point of the surface, in the tissue's frame.
    pub(crate) distal_um: Vector3<f64>,
    pub(crate) sphericity_deviation: f64,
    pub(crate) roundness_deviation: f64,
    pub(crate) contact_cells_um2: f64,
    pub(crate) contact_outside_um2: f64,
    pub(crate) contact_border_um2: f64,
    pub(crate) n_neighbours: usize,
}

/// What the surface alone tells.
pub(crate) struct SurfaceShape {
    pub(crate) extents_tissue_um: Vector3<f64>,
    pub(crate) extents_principal_um: Vector3<f64>,
    pub(crate) distal_um: Vector3<f64>,
    pub(crate) sphericity_deviation: f64,
    pub(crate) roundness_deviation: f64,
}

impl SurfaceShape {
    /// The shape of `mesh`, about the cell's centroid of mass.
    pub(crate) fn of(
        mesh: &Mesh,
        centroid_um: Point3<f64>,
        to_tissue: &Rigid<ImageFrame, TissueFrame>,
    ) -> Self {
        let patches: Vec<(Vector3<f64>, f64)> =
            mesh.patches().map(|(middle, area)| (middle - centroid_um, area)).collect();
        let vertices: Vec<Vector3<f64>> =
            mesh.vertices().iter().map(|vertex| vertex - centroid_um).collect();
        let (middle, axes) = principal_axes(&patches);
        let principal = spread(vertices.iter().map(|vertex| axes.transpose() * vertex));
        let distal = vertices
            .iter()
            .copied()
            .max_by(|a, b| a.norm_squared().total_cmp(&b.norm_squared()))
            .unwrap_or_default();
        let mut sorted = principal;
        sorted.as_mut_slice().sort_by(|a, b| b.total_cmp(a));
        let rotation = to_tissue.rotation();
        Self {
            extents_tissue_um: spread(vertices.iter().map(|vertex| rotation * vertex)),
            extents_principal_um: sorted,
            distal_um: to_tissue.vector(&distal),
            sphericity_deviation: sphericity_deviation(&patches),
            roundness_deviation: roundness_deviation(&patches, middle, &axes, principal / 2.0),
        }
    }
}

/// The mean of a surface and its principal axes as columns.
fn principal_axes(patches: &[(Vector3<f64>, f64)]) -> (Vector3<f64>, Matrix3<f64>) {
    let middle = mean(patches, |point| point);
    let covariance = mean(patches, |point| (point - middle) * (point - middle).transpose());
    (middle, covariance.symmetric_eigen().eigenvectors)
}

/// The integral over the surface, per area.
fn mean<T>(patches: &[(Vector3<f64>, f64)], of: impl Fn(Vector3<f64>) -> T) -> T
where
    T: std::ops::Mul<f64, Output = T> + std::iter::Sum + std::ops::Div<f64, Output = T>,
{
    let total: f64 = patches.iter().map(|(_, area)| area).sum();
    patches.iter().map(|(point, area)| of(*point) * *area).sum::<T>() / total
}

/// Largest minus smallest coordinate, per axis.
fn spread(points: impl Iterator<Item = Vector3<f64>>) -> Vector3<f64> {
    let start = (Vector3::repeat(f64::INFINITY), Vector3::repeat(f64::NEG_INFINITY));
    let (low, high) = points.fold(start, |(low, high), point| (low.inf(&point), high.sup(&point)));
    high - low
}

/// 1 − mean |r / mean(r) − 1| of the distances r from the centroid to the surface.
fn sphericity_deviation(patches: &[(Vector3<f64>, f64)]) -> f64 {
    let radius = mean(patches, |point| point.norm());
    1.0 - mean(patches, |point| (point.norm() / radius - 1.0).abs())
}

/// 1 − mean (|D − r| / D), where D is the distance from the middle to the ellipsoid with these
/// semi-axes along the ray through the surface point, and r the distance to that point.
fn roundness_deviation(
    patches: &[(Vector3<f64>, f64)],
    middle: Vector3<f64>,
    axes: &Matrix3<f64>,
    semi_axes: Vector3<f64>,
) -> f64 {
    1.0 - mean(patches, |point| {
        // r / D: where on its ray, in units of the ellipsoid, the point lies.
        let position = (axes.transpose() * (point - middle)).component_div(&semi_axes).norm();
        (1.0 - position).abs()
    })
}
