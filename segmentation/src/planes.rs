//! Planes between those of an image.
//!
//! Most microscopes take planes further apart than voxels are wide. Borders that lie flat run between two planes, and where is
//! told by how bright both are: so borders are sought in planes as far apart as voxels are wide, in an image that a
//! quadratic B-spline continues between its planes (Unser 1999, doi:10.1109/79.799930), and each voxel has the label in its middle.

use ndarray::{Array3, Axis};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::error::Result;

/// Planes that are made of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes(usize);

impl Planes {
    /// The planes of an image as they are.
    pub(crate) const AS_TAKEN: Self = Self(1);

    /// As many as make voxels nearly as high as wide: an odd number, of which one lies in the middle, and at most 7.
    pub(crate) fn of(voxel_size: VoxelSize) -> Self {
        const ROUNDING: f64 = 1.01;
        let [z, y, x] = voxel_size.um();
        let halves = (ROUNDING * z / y.min(x) / 2.0) as usize;
        Self((2 * halves + 1).min(7))
    }

    pub(crate) fn n(self) -> usize {
        self.0
    }

    /// Which of them lies in the middle.
    pub(crate) fn middle(self) -> usize {
        self.0 / 2
    }

    pub(crate) fn voxel_size(self, of: VoxelSize) -> Result<VoxelSize> {
        let [z, y, x] = of.um();
        Ok(VoxelSize::from_um([z / self.0 as f64, y, x])?)
    }

    /// The image in such planes; it is a little smooth along z where they are more than one.
    pub(crate) fn image<T: Copy + Into<f32> + Sync>(
        self,
        image: &Volume<T>,
    ) -> Result<Volume<f32>> {
        if self.0 == 1 {
            return Ok(image.map(|&value| value.into()));
        }
        let last = image.shape()[0] - 1;
        self.each(image, 0.0, |z, plane, out| {
            // From −½ to ½ of the way from one plane to the next.
            let away = (plane as f32 - self.middle() as f32) / self.0 as f32;
            let spline =
                [0.5 * (0.5 - away).powi(2), 0.75 - away * away, 0.5 * (0.5 + away).powi(2)];
            let [before, here, after] = [z.saturating_sub(1), z, (z + 1).min(last)]
                .map(|z| &image.as_slice()[z * out.len()..][..out.len()]);
            for (at, out) in out.iter_mut().enumerate() {
                let values = [before[at], here[at], after[at]].map(Into::into);
                *out = values.into_iter().zip(spline).map(|(value, weight)| weight * value).sum();
            }
        })
    }

    /// Labels in such planes: each has those of the plane that it was made of.
    pub(crate) fn labels(self, labels: &Volume<u32>) -> Result<Volume<u32>> {
        self.each(labels, 0, |z, _, out| {
            let values = labels.voxels().index_axis(Axis(0), z);
            out.iter_mut().zip(values).for_each(|(out, &label)| *out = label);
        })
    }

    /// Calls `fill` for each plane with the plane that it is made of, which of those it is, and its voxels.
    fn each<T: Copy, U: Copy + Send + Sync>(
        self,
        of: &Volume<T>,
        blank: U,
        fill: impl Fn(usize, usize, &mut [U]) + Sync,
    ) -> Result<Volume<U>> {
        let [n_z, n_y, n_x] = of.shape();
        let mut out = Array3::from_elem([n_z * self.0, n_y, n_x], blank);
        if let Some(voxels) = out.as_slice_mut() {
            let planes = voxels.par_chunks_mut(n_y * n_x).enumerate();
            planes.for_each(|(z, plane)| fill(z / self.0, z % self.0, plane));
        }
        Ok(Volume::new(out, self.voxel_size(of.voxel_size())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

    fn planes(um: [f64; 3]) -> usize {
        Planes::of(VoxelSize::from_um(um).unwrap()).n()
    }

    #[test]
    fn planes_are_made_until_voxels_are_nearly_as_high_as_wide() {
        assert_eq!(planes([0.4; 3]), 1);
        assert_eq!(planes([0.2, 0.4, 0.4]), 1);
        assert_eq!(planes([0.6, 0.3, 0.3]), 3);
        assert_eq!(planes([1.0, 0.4, 0.4]), 3);
        assert_eq!(planes([2.0, 0.4, 0.5]), 5);
        assert_eq!(planes([9.0, 0.1, 0.1]), 7);
    }

    #[test]
    fn a_ramp_goes_on_between_planes() {
        let image = sized_volume([4, 1, 1], vec![1_u8, 2, 3, 4], [1.5, 0.5, 0.5]);
        let finer = Planes(3).image(&image).unwrap();
        assert_eq!(finer.voxel_size().um(), [0.5; 3]);
        for (z, &value) in (3..9).zip(&finer.as_slice()[3..9]) {
            let wanted = 1.0 + (z as f32 - 1.0) / 3.0;
            assert!((value - wanted).abs() < 1e-6, "plane {z}: {value}, wanted {wanted}");
        }
    }

    #[test]
    fn each_plane_has_the_labels_of_its_own() {
        let labels = sized_volume([2, 1, 2], vec![1, 2, 3, 4], [1.5, 0.5, 0.5]);
        let finer = Planes(3).labels(&labels).unwrap();
        assert_eq!(finer.as_slice(), [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]);
    }
}
