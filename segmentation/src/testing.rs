//! What the tests of several modules share.

use nalgebra::Point3;
use ndarray::Array3;
use primordia_data::phantom::TissueParams;
use primordia_data::{Labels, Volume, VoxelSize};
use proptest::prelude::*;
use serde::Deserialize;

use crate::hartmann2020::Hartmann2020;

/// Values of scipy and scikit-image, written by `tests/reference/segmentation.py`.
#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) shape: [usize; 3],
    pub(crate) image: Vec<u8>,
    pub(crate) median: Vec<u8>,
    pub(crate) gaussian_3: Vec<u8>,
    pub(crate) mask: Vec<u8>,
    pub(crate) components: Vec<u32>,
    pub(crate) voxel_size_um: [f64; 3],
    pub(crate) distance_um: Vec<f32>,
    pub(crate) levels: Vec<u8>,
    pub(crate) seeds: Vec<u32>,
    pub(crate) watershed: Vec<u32>,
}

pub(crate) fn reference() -> Reference {
    serde_json::from_str(include_str!("../tests/reference/filters.json")).unwrap()
}

/// Voxels with sides of 1 µm.
pub(crate) fn volume<T: Clone>(shape: [usize; 3], voxels: Vec<T>) -> Volume<T> {
    sized_volume(shape, voxels, [1.0; 3])
}

pub(crate) fn sized_volume<T: Clone>(shape: [usize; 3], voxels: Vec<T>, um: [f64; 3]) -> Volume<T> {
    let voxels = Array3::from_shape_vec(shape, voxels).unwrap();
    Volume::new(voxels, VoxelSize::from_um(um).unwrap()).unwrap()
}

/// Images of up to `side` voxels along each axis, of few or of many grey levels.
pub(crate) fn any_bytes(side: usize) -> impl Strategy<Value = Volume<u8>> {
    let levels = prop_oneof![Just(2_u8), Just(5), Just(255)];
    (1..=side, 1..=side, 1..=side, levels).prop_flat_map(|(z, y, x, levels)| {
        prop::collection::vec(0..levels, z * y * x)
            .prop_map(move |voxels| volume([z, y, x], voxels))
    })
}

/// The centroid of each cell, x, y, z in µm.
pub(crate) fn centres(labels: &Labels) -> Vec<Point3<f64>> {
    let (volume, rows) = (labels.volume(), labels.rows());
    let mut sums = vec![(Point3::origin(), 0.0); labels.n_cells()];
    for ((z, y, x), &label) in volume.voxels().indexed_iter() {
        if let Some(row) = rows.row(label) {
            sums[row].0 += volume.point_um([z, y, x]).coords;
            sums[row].1 += 1.0;
        }
    }
    sums.into_iter().map(|(sum, n)| sum / n).collect()
}

/// What `work` gives on a pool of `n` threads.
pub(crate) fn on_threads<T: Send>(n: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(work)
}

/// A tissue drawn by `tests/reference/segmentation.py`, and its cells by scipy and scikit-image.
pub(crate) fn reference_tissue() -> (Volume<u8>, Hartmann2020, Volume<u32>) {
    #[derive(Deserialize)]
    struct Tissue {
        shape: [usize; 3],
        image: String,
        labels: String,
        max_offset: usize,
        sigma_voxels: f64,
        min_voxels: u64,
        max_voxels: u64,
    }
    let tissue: Tissue =
        serde_json::from_str(include_str!("../tests/reference/tissue.json")).unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let Tissue { max_offset, sigma_voxels, min_voxels, max_voxels, .. } = tissue;
    let params = Hartmann2020 {
        max_offset,
        sigma_voxels,
        min_voxels,
        max_voxels,
        ..Hartmann2020::MEMBRANES
    };
    let labels = bytes(&tissue.labels).into_iter().map(u32::from).collect();
    (volume(tissue.shape, bytes(&tissue.image)), params, volume(tissue.shape, labels))
}

/// A tissue of so many cells that are some times as wide as usual.
pub(crate) fn tissue_of(n_cells: usize, times: f64) -> TissueParams {
    let usual = TissueParams::default();
    TissueParams {
        n_cells,
        length_um: times * usual.length_um,
        width_um: times * usual.width_um,
        height_um: times * usual.height_um,
        rosette_radius_um: times * usual.rosette_radius_um,
        curvature_per_um: usual.curvature_per_um / times,
        ..usual
    }
}
