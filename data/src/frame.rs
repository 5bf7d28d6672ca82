//! Coordinate frames as types: points and motions say where they live, and frames that do not
//! meet do not compile.
//!
//! ```compile_fail
//! # use primordia_data::{CellFrame, ImageFrame, Rigid, TissueFrame};
//! # fn mix(a: Rigid<ImageFrame, TissueFrame>, b: Rigid<ImageFrame, CellFrame>) {
//! a.then(&b); // `b` starts in the image, `a` ends in the tissue
//! # }
//! ```

use std::fmt;
use std::marker::PhantomData;

use nalgebra::{Isometry3, Matrix3, Matrix4, Point3, Rotation3, Translation3, UnitQuaternion};
use nalgebra::{Vector3, Vector4};

use crate::error::{DataError, Result};

/// The frame of one image: x, y, z in µm from the centre of voxel `[0, 0, 0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFrame {}

/// The frame that all tissues share (TFOR): x along the tissue with the leading tip at 0 and the
/// tissue at negative x, z from basal to apical, y so that the frame is right-handed; in µm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TissueFrame {}

/// The frame of one cell, about its centroid, in µm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellFrame {}

/// Points (x, y, z in µm) in frame `F`.
pub struct PointCloud<F> {
    points: Vec<Point3<f64>>,
    frame: PhantomData<F>,
}

impl<F> PointCloud<F> {
    /// A cloud of `points`, which lie in frame `F`.
    pub fn new(points: Vec<Point3<f64>>) -> Self {
        Self { points, frame: PhantomData }
    }

    /// The points.
    pub fn points(&self) -> &[Point3<f64>] {
        &self.points
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The mean of the points; `None` without points.
    pub fn centroid(&self) -> Option<Point3<f64>> {
        let sum = self.points.iter().fold(Vector3::zeros(), |sum, point| sum + point.coords);
        (!self.points.is_empty()).then(|| Point3::from(sum / self.points.len() as f64))
    }
}

impl<F> Clone for PointCloud<F> {
    fn clone(&self) -> Self {
        Self::new(self.points.clone())
    }
}

impl<F> PartialEq for PointCloud<F> {
    fn eq(&self, other: &Self) -> bool {
        self.points == other.points
    }
}

impl<F> fmt::Debug for PointCloud<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointCloud").field("points", &self.points).finish()
    }
}

/// A rigid motion from frame `A` to frame `B`, such as `Rigid<ImageFrame, TissueFrame>`.
pub struct Rigid<A, B> {
    motion: Isometry3<f64>,
    frames: PhantomData<(A, B)>,
}

impl<A, B> Rigid<A, B> {
    /// The motion that leaves coordinates as they are.
    pub fn identity() -> Self {
        Self::new(Isometry3::identity())
    }

    /// The motion `motion`, from `A` to `B`.
    pub fn new(motion: Isometry3<f64>) -> Self {
        Self { motion, frames: PhantomData }
    }

    /// Turns by `rotation`, then shifts by `translation_um`.
    ///
    /// # Errors
    /// [`DataError::NotRigid`] unless `rotation` is a proper rotation to 1e-6.
    pub fn from_parts(rotation: Matrix3<f64>, translation_um: Vector3<f64>) -> Result<Self> {
        const TOLERANCE: f64 = 1e-6;
        let error = (rotation.transpose() * rotation - Matrix3::identity()).norm()
            + (rotation.determinant() - 1.0).abs();
        if !(error < TOLERANCE) {
            return Err(DataError::NotRigid { error });
        }
        let rotation = Rotation3::from_matrix_unchecked(rotation);
        let rotation = UnitQuaternion::from_rotation_matrix(&rotation);
        Ok(Self::new(Isometry3::from_parts(Translation3::from(translation_um), rotation)))
    }

    /// The motion as a 4 × 4 matrix on (x, y, z, 1) in µm.
    pub fn to_matrix(&self) -> Matrix4<f64> {
        self.motion.to_homogeneous()
    }

    /// The motion of a 4 × 4 matrix on (x, y, z, 1) in µm.
    ///
    /// # Errors
    /// [`DataError::NotRigid`] unless the matrix is a rigid motion to 1e-6.
    pub fn from_matrix(matrix: &Matrix4<f64>) -> Result<Self> {
        let last = (matrix.row(3).transpose() - Vector4::new(0.0, 0.0, 0.0, 1.0)).norm();
        if !(last < 1e-6) {
            return Err(DataError::NotRigid { error: last });
        }
        let rotation = matrix.fixed_view::<3, 3>(0, 0).into_owned();
        Self::from_parts(rotation, matrix.fixed_view::<3, 1>(0, 3).into_owned())
    }

    /// The rotation part, as a matrix on columns x, y, z.
    pub fn rotation(&self) -> Matrix3<f64> {
        self.motion.rotation.to_rotation_matrix().into_inner()
    }

    /// Where `point_um` of frame `A` lies in frame `B`.
    pub fn point(&self, point_um: &Point3<f64>) -> Point3<f64> {
        self.motion * point_um
    }

    /// What `vector` (a direction or difference) of frame `A` is in frame `B`.
    pub fn vector(&self, vector: &Vector3<f64>) -> Vector3<f64> {
        self.motion * vector
    }

    /// The cloud in frame `B`.
    pub fn cloud(&self, cloud: &PointCloud<A>) -> PointCloud<B> {
        PointCloud::new(cloud.points.iter().map(|point| self.point(point)).collect())
    }

    /// This motion, then `next`; motions whose frames do not meet do not compile.
    #[must_use]
    pub fn then<C>(&self, next: &Rigid<B, C>) -> Rigid<A, C> {
        Rigid::new(next.motion * self.motion)
    }

    /// The way back.
    #[must_use]
    pub fn inverse(&self) -> Rigid<B, A> {
        Rigid::new(self.motion.inverse())
    }
}

impl<A, B> Clone for Rigid<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, B> Copy for Rigid<A, B> {}

impl<A, B> PartialEq for Rigid<A, B> {
    fn eq(&self, other: &Self) -> bool {
        self.motion == other.motion
    }
}

impl<A, B> fmt::Debug for Rigid<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rigid").field("motion", &self.motion).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn some_motion() -> Rigid<ImageFrame, TissueFrame> {
        let rotation = Rotation3::from_euler_angles(0.3, -1.1, 2.0).into_inner();
        Rigid::from_parts(rotation, Vector3::new(5.0, -3.0, 0.5)).unwrap()
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        let motion = some_motion();
        let point = Point3::new(1.0, 2.0, 3.0);
        assert_relative_eq!(motion.inverse().point(&motion.point(&point)), point, epsilon = 1e-12);
    }

    #[test]
    fn a_motion_survives_its_matrix() {
        let motion = some_motion();
        let again = Rigid::<ImageFrame, TissueFrame>::from_matrix(&motion.to_matrix()).unwrap();
        assert_relative_eq!(motion.to_matrix(), again.to_matrix(), epsilon = 1e-12);
    }

    #[test]
    fn a_mirror_is_not_a_motion() {
        let mirror = Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, -1.0));
        let result = Rigid::<ImageFrame, TissueFrame>::from_parts(mirror, Vector3::zeros());
        assert!(matches!(result, Err(DataError::NotRigid { .. })));
    }
}
