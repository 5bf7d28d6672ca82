//! 3D images on regular grids, with their physical size.

use nalgebra::Point3;
use ndarray::Array3;

use crate::error::{DataError, Result};

/// The physical size of a voxel in µm: positive and finite along z, y and x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoxelSize {
    um: [f64; 3], // z, y, x
}

impl VoxelSize {
    /// A voxel of `[z, y, x]` µm.
    ///
    /// # Errors
    /// [`DataError::VoxelSize`] unless all three are positive and finite.
    pub fn from_um(um: [f64; 3]) -> Result<Self> {
        if um.iter().all(|side| side.is_finite() && *side > 0.0) {
            Ok(Self { um })
        } else {
            Err(DataError::VoxelSize { um })
        }
    }

    /// The sides in µm, `[z, y, x]`.
    pub fn um(&self) -> [f64; 3] {
        self.um
    }

    /// The volume of one voxel in µm³.
    pub fn volume_um3(&self) -> f64 {
        self.um.iter().product()
    }

    /// The area in µm² of the voxel face that is perpendicular to `axis` (0 is z).
    pub fn face_area_um2(&self, axis: usize) -> f64 {
        self.volume_um3() / self.um[axis]
    }

    /// Whether each side is that of `other`, but for what files lose by rounding (0.1 %).
    pub fn agrees_with(&self, other: Self) -> bool {
        const ROUNDING: f64 = 1e-3;
        self.um.iter().zip(other.um).all(|(a, b)| (a - b).abs() <= ROUNDING * b)
    }

    /// The longest side over the shortest; 1 for cubes.
    pub fn anisotropy(&self) -> f64 {
        let longest = self.um.iter().copied().fold(f64::MIN, f64::max);
        let shortest = self.um.iter().copied().fold(f64::MAX, f64::min);
        longest / shortest
    }
}

/// A 3D image on a regular grid, never empty, its voxels contiguous in memory with x fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    voxels: Array3<T>, // [z, y, x]
    voxel_size: VoxelSize,
}

impl<T: Clone> Volume<T> {
    /// An image of `voxels` (`[z, y, x]`), each of `voxel_size`.
    ///
    /// # Errors
    /// [`DataError::EmptyVolume`] if an axis has no voxel.
    pub fn new(voxels: Array3<T>, voxel_size: VoxelSize) -> Result<Self> {
        if voxels.is_empty() {
            let (z, y, x) = voxels.dim();
            return Err(DataError::EmptyVolume { shape: [z, y, x] });
        }
        let voxels = if voxels.is_standard_layout() {
            voxels
        } else {
            voxels.as_standard_layout().into_owned()
        };
        Ok(Self { voxels, voxel_size })
    }
}

impl<T> Volume<T> {
    /// The voxels, `[z, y, x]`.
    pub fn voxels(&self) -> &Array3<T> {
        &self.voxels
    }

    /// The voxels to change in place; their number stays.
    pub fn voxels_mut(&mut self) -> ndarray::ArrayViewMut3<'_, T> {
        self.voxels.view_mut()
    }

    /// The voxels, handed over.
    pub fn into_voxels(self) -> Array3<T> {
        self.voxels
    }

    /// All voxels in memory order: x fastest, then y, then z.
    ///
    /// # Panics
    /// Never: the constructor makes the voxels contiguous.
    pub fn as_slice(&self) -> &[T] {
        self.voxels.as_slice().expect("a volume is contiguous")
    }

    /// The physical size of a voxel.
    pub fn voxel_size(&self) -> VoxelSize {
        self.voxel_size
    }

    /// Voxels along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        let (z, y, x) = self.voxels.dim();
        [z, y, x]
    }

    /// The number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.voxels.len()
    }

    /// The centre of voxel `[z, y, x]` as a point `x, y, z` in µm.
    pub fn point_um(&self, [z, y, x]: [usize; 3]) -> Point3<f64> {
        let [dz, dy, dx] = self.voxel_size.um;
        Point3::new(x as f64 * dx, y as f64 * dy, z as f64 * dz)
    }

    /// The grid position `[z, y, x]` of a point in µm, in fractions of voxels.
    pub fn position_voxels(&self, point_um: &Point3<f64>) -> [f64; 3] {
        let [dz, dy, dx] = self.voxel_size.um;
        [point_um.z / dz, point_um.y / dy, point_um.x / dx]
    }

    /// The same grid with each voxel mapped by `f`.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Volume<U> {
        Volume { voxels: self.voxels.map(f), voxel_size: self.voxel_size }
    }

    /// The same grid with `U::default()` in each voxel. Where that is 0, memory is not touched before it is written to.
    pub fn blank<U: Clone + Default>(&self) -> Volume<U> {
        let voxels = Array3::from_elem(self.voxels.raw_dim(), U::default());
        Volume { voxels, voxel_size: self.voxel_size }
    }

    /// Checks that `other` lies on this grid.
    ///
    /// # Errors
    /// [`DataError::GridMismatch`] if the numbers of voxels differ.
    pub fn check_same_grid<U>(&self, other: &Volume<U>) -> Result<()> {
        if self.shape() == other.shape() {
            Ok(())
        } else {
            Err(DataError::GridMismatch { found: other.shape(), wanted: self.shape() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voxel_size_is_positive_and_finite() {
        for bad in [[0.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, f64::NAN]] {
            assert!(VoxelSize::from_um(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn points_and_voxels_are_two_views_of_one_place() {
        let voxel_size = VoxelSize::from_um([2.0, 0.5, 0.25]).unwrap();
        let volume = Volume::new(Array3::<u8>::zeros((3, 4, 5)), voxel_size).unwrap();
        let point = volume.point_um([2, 1, 4]);
        assert_eq!(point, Point3::new(1.0, 0.5, 4.0));
        assert_eq!(volume.position_voxels(&point), [2.0, 1.0, 4.0]);
    }

    #[test]
    fn an_empty_volume_is_refused() {
        let voxel_size = VoxelSize::from_um([1.0; 3]).unwrap();
        assert!(Volume::new(Array3::<u8>::zeros((3, 0, 5)), voxel_size).is_err());
    }
}
