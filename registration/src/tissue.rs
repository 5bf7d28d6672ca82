//! What registration needs to know of a tissue, from its labels or from its cells' positions.

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::{ImageFrame, Labels, PointCloud};
use rayon::prelude::*;

use crate::error::{RegistrationError, Result};
use crate::moments::Moments;

/// The cells of one specimen, each as its mass and where that lies, in the frame of the image.
#[derive(Clone, Debug)]
pub struct Tissue {
    cells: Vec<Moments>,
    outline: Vec<Point3<f64>>,
    detail: Detail,
}

/// What is known of each cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    Position,
    PositionAndVolume,
    Voxels,
}

impl Tissue {
    /// The tissue of all labelled voxels.
    ///
    /// # Errors
    /// [`RegistrationError::NoCells`] if no voxel is labelled.
    pub fn from_labels(labels: &Labels) -> Result<Self> {
        if labels.n_cells() == 0 {
            return Err(RegistrationError::NoCells);
        }
        let n_planes = labels.volume().shape()[0];
        let slab = n_planes.div_ceil(N_SLABS);
        let slabs: Vec<Self> = (0..n_planes)
            .into_par_iter()
            .step_by(slab)
            .map(|first| slab_of(labels, first..(first + slab).min(n_planes)))
            .collect();
        let nothing = vec![Moments::NOTHING; labels.n_cells()];
        let mut tissue = Self { cells: nothing, outline: Vec::new(), detail: Detail::Voxels };
        for slab in slabs {
            tissue.cells.iter_mut().zip(slab.cells).for_each(|(sum, more)| *sum += more);
            tissue.outline.extend(slab.outline);
        }
        Ok(tissue)
    }

    /// A tissue of which only the cells' centroids are known, and perhaps their volumes.
    ///
    /// Without volumes the cells count alike, and the direction of migration cannot be told from them.
    ///
    /// # Errors
    /// [`RegistrationError::NoCells`] without points, [`RegistrationError::Count`] and
    /// [`RegistrationError::Value`] if volumes are missing, not positive, or positions not finite.
    pub fn from_centroids(
        centroids: &PointCloud<ImageFrame>,
        volumes_um3: Option<&[f64]>,
    ) -> Result<Self> {
        let n_cells = centroids.len();
        if n_cells == 0 {
            return Err(RegistrationError::NoCells);
        }
        if let Some(volumes) = volumes_um3.filter(|volumes| volumes.len() != n_cells) {
            let found = volumes.len();
            return Err(RegistrationError::Count { what: "volumes", found, cells: n_cells });
        }
        let mut cells = Vec::with_capacity(n_cells);
        for (cell, place) in centroids.points().iter().enumerate() {
            if let Some(&value) = place.iter().find(|value| !value.is_finite()) {
                return Err(RegistrationError::Value { what: "the position", cell, value });
            }
            let volume = volumes_um3.map_or(1.0, |volumes| volumes[cell]);
            if !(volume > 0.0 && volume.is_finite()) {
                return Err(RegistrationError::Value { what: "the volume", cell, value: volume });
            }
            cells.push(Moments::of_point(place, volume));
        }
        let detail =
            if volumes_um3.is_some() { Detail::PositionAndVolume } else { Detail::Position };
        Ok(Self { cells, outline: centroids.points().to_vec(), detail })
    }

    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The centre of mass of each cell.
    pub fn centroids(&self) -> PointCloud<ImageFrame> {
        PointCloud::new(self.cells.iter().map(Moments::centre).collect())
    }

    /// The volume of each cell in µm³, or ones where volumes are not known.
    pub fn volumes_um3(&self) -> Vec<f64> {
        self.cells.iter().map(Moments::mass).collect()
    }

    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    pub(crate) fn cells(&self) -> &[Moments] {
        &self.cells
    }

    /// The centre of mass and the covariance (µm²) of the whole tissue.
    pub(crate) fn centre_and_covariance(&self) -> (Point3<f64>, Matrix3<f64>) {
        let whole = self.cells.iter().fold(Moments::NOTHING, |sum, &cell| sum + cell);
        (whole.centre(), whole.covariance())
    }

    /// The least and the largest coordinate (µm) of the tissue along `axis`.
    pub(crate) fn range_um(&self, axis: &Vector3<f64>) -> (f64, f64) {
        let along = self.outline.iter().map(|point| axis.dot(&point.coords));
        along.fold((f64::MAX, f64::MIN), |(low, high), s| (low.min(s), high.max(s)))
    }
}

/// Planes are summed up in this many slabs, whatever the number of threads.
const N_SLABS: usize = 16;

/// The part of the tissue in some planes.
fn slab_of(labels: &Labels, planes: std::ops::Range<usize>) -> Tissue {
    let rows = labels.rows();
    let volume = labels.volume();
    let [_, n_rows, length] = volume.shape();
    let voxel_volume = volume.voxel_size().volume_um3();
    let mut cells = vec![Moments::NOTHING; labels.n_cells()];
    let mut outline = Vec::new();
    for (z, y) in planes.flat_map(|z| (0..n_rows).map(move |y| (z, y))) {
        let start = (z * n_rows + y) * length;
        let line = &volume.as_slice()[start..start + length];
        let (mut first, mut last) = (None, 0);
        for (label, run) in runs(line) {
            let Some(row) = rows.row(label) else { continue };
            let place = volume.point_um([z, y, 0]);
            let step_um = volume.voxel_size().um()[2];
            cells[row] += Moments::of_run(powers(&run, step_um), place.y, place.z, voxel_volume);
            first.get_or_insert(run.start);
            last = run.end - 1;
        }
        if let Some(first) = first {
            // Along any direction, an end of a line lies farther out than its middle.
            outline.extend([first, last].map(|x| volume.point_um([z, y, x])));
        }
    }
    Tissue { cells, outline, detail: Detail::Voxels }
}

/// The stretches of equal labels in a line of voxels, background included.
fn runs(line: &[u32]) -> impl Iterator<Item = (u32, std::ops::Range<usize>)> {
    let mut end = 0;
    line.chunk_by(|a, b| a == b).map(move |run| {
        let start = end;
        end += run.len();
        (run[0], start..end)
    })
}

/// The sums of x⁰, x¹, x² and x³ over voxels `run`, at x = 0, `step_um`, 2 `step_um`, ...
fn powers(run: &std::ops::Range<usize>, step_um: f64) -> [f64; 4] {
    let below = |end: usize| {
        let n = end as f64;
        let sum = n * (n - 1.0) / 2.0;
        [n, sum, sum * (2.0 * n - 1.0) / 3.0, sum * sum]
    };
    let (low, high) = (below(run.start), below(run.end));
    std::array::from_fn(|power| (high[power] - low[power]) * step_um.powi(power as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::Array3;
    use primordia_data::VoxelSize;
    use proptest::prelude::*;

    fn labels(values: Vec<u32>) -> Labels {
        let voxels = Array3::from_shape_vec((3, 4, 5), values).unwrap();
        Labels::from_voxels(voxels, VoxelSize::from_um([2.0, 0.5, 0.25]).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn runs_sum_up_to_voxels(values in proptest::collection::vec(0..4_u32, 60)) {
            let labels = labels(values);
            let Ok(tissue) = Tissue::from_labels(&labels) else { return Ok(()) };
            let axis = Vector3::new(0.6, -0.48, 0.64);
            for (cell, found) in labels.cells().iter().zip(&tissue.cells) {
                let mut slow = Moments::NOTHING;
                for ((z, y, x), _) in labels.volume().voxels().indexed_iter().filter(|(_, l)| *l == cell) {
                    slow += Moments::of_point(&labels.volume().point_um([z, y, x]), 0.25);
                }
                prop_assert!((found.mass() - slow.mass()).abs() < 1e-12);
                prop_assert!((found.centre() - slow.centre()).norm() < 1e-9);
                prop_assert!((found.covariance() - slow.covariance()).norm() < 1e-9);
                prop_assert!((found.skewness(&axis) - slow.skewness(&axis)).abs() < 1e-6);
            }
        }

        #[test]
        fn the_range_is_that_of_all_voxels(values in proptest::collection::vec(0..3_u32, 60)) {
            let labels = labels(values);
            let Ok(tissue) = Tissue::from_labels(&labels) else { return Ok(()) };
            let axis = Vector3::new(0.6, -0.48, 0.64);
            let voxels = labels.volume().voxels().indexed_iter().filter(|(_, label)| **label > 0);
            let along = voxels.map(|((z, y, x), _)| axis.dot(&labels.volume().point_um([z, y, x]).coords));
            let (low, high) = along.fold((f64::MAX, f64::MIN), |(l, h), s| (l.min(s), h.max(s)));
            let found = tissue.range_um(&axis);
            prop_assert!((found.0 - low).abs() < 1e-12 && (found.1 - high).abs() < 1e-12);
        }
    }

    #[test]
    fn empty_or_broken_tissues_are_errors() {
        assert!(matches!(
            Tissue::from_labels(&labels(vec![0; 60])),
            Err(RegistrationError::NoCells)
        ));
        let cloud = PointCloud::new(vec![Point3::new(0.0, f64::NAN, 0.0)]);
        assert!(Tissue::from_centroids(&cloud, None).is_err());
        let cloud = PointCloud::new(vec![Point3::origin()]);
        assert!(Tissue::from_centroids(&cloud, Some(&[0.0])).is_err());
        assert!(Tissue::from_centroids(&cloud, Some(&[1.0, 1.0])).is_err());
        assert_relative_eq!(Tissue::from_centroids(&cloud, None).unwrap().volumes_um3()[..], [1.0]);
    }
}
