//! How large an image is shown to the network.
//!
//! Walls of plants, and of whatever is out of focus, are wider than most that the network has learned. Where voxels are
//! merged until walls are as wide as others, and the image is shown as if it were that much smaller, it knows them. Wide
//! sheets may also be nothing but noise: so the image is shown in both sizes, and that counts in which the network sees
//! more boundaries.

use primordia_data::VoxelSize;

use crate::error::Result;

/// The network has learned from no larger voxels.
const LARGEST_UM: f64 = 0.5;

/// An image shown as if it were smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Zoom {
    times: f64,
    voxel_size: VoxelSize,
}

impl Zoom {
    /// An image as large as it is, unless its voxels are larger than any that the network knows.
    pub(crate) fn near(voxel_size: VoxelSize) -> Result<Self> {
        Self::to(voxel_size, least(voxel_size).min(LARGEST_UM))
    }

    /// The same image with more voxels merged, which are no larger than those seen from near.
    pub(crate) fn far(merged: VoxelSize, near: Self) -> Result<Self> {
        Self::to(merged, least(near.voxel_size))
    }

    fn to(voxel_size: VoxelSize, least_um: f64) -> Result<Self> {
        let times = least(voxel_size) / least_um;
        Ok(Self { times, voxel_size: VoxelSize::from_um(voxel_size.um().map(|um| um / times))? })
    }

    /// The size of voxels that the network is told.
    pub(crate) fn voxel_size(&self) -> VoxelSize {
        self.voxel_size
    }

    /// The area in µm² of the boundaries that the network sees, but for a factor that is the same for all zooms: the less
    /// sure it is of one, the less that counts. `squares` is the sum of all squared probabilities.
    pub(crate) fn boundary_um2(&self, squares: f64) -> f64 {
        // Boundaries are shown as wide as ever: they are as many times wider as the image is smaller.
        squares * self.voxel_size.volume_um3() * self.times.powi(2)
    }
}

/// The shortest side.
fn least(voxel_size: VoxelSize) -> f64 {
    voxel_size.um().into_iter().fold(f64::INFINITY, f64::min)
}

/// The sum of all squares.
pub(crate) fn squares(probabilities: &[f32]) -> f64 {
    probabilities.iter().map(|&p| f64::from(p).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::boundaries;
    use crate::testing::sized_volume;

    /// A cube of so many voxels with a boundary in the middle, as the network ideally sees it.
    fn halves(n: usize) -> Vec<f32> {
        let labels = (0..n.pow(3)).map(|at| if at % n < n / 2 { 1 } else { 2 }).collect();
        boundaries(&sized_volume([n; 3], labels, [0.4; 3])).as_slice().to_vec()
    }

    #[test]
    fn a_boundary_is_as_large_from_afar() {
        let size = |um: f64| VoxelSize::from_um([um; 3]).unwrap();
        let near = Zoom::near(size(0.4)).unwrap();
        let far = Zoom::far(size(0.8), near).unwrap();
        assert_eq!(far.voxel_size(), near.voxel_size());
        let [near, far] =
            [(near, 24), (far, 12)].map(|(zoom, n)| zoom.boundary_um2(squares(&halves(n))));
        assert!((near / far - 1.0).abs() < 1e-6, "{near} µm², from afar {far} µm²");
    }

    #[test]
    fn voxels_are_as_large_as_they_are_unless_they_are_too_large() {
        let shown = |um| Zoom::near(VoxelSize::from_um(um).unwrap()).unwrap().voxel_size().um();
        assert_eq!(shown([1.0, 0.4, 0.4]), [1.0, 0.4, 0.4]);
        assert_eq!(shown([3.0, 1.0, 1.0]), [1.5, 0.5, 0.5]);
    }
}
