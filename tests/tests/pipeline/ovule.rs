//! Cells of a real tissue, imaged as small and as large as cells are.

use ndarray::{Array3, s};
use primordia_data::image::ImageFile;
use primordia_data::{Labels, Volume, VoxelSize};
use primordia_segmentation::{Auto, auto, best_ious, gaussian, score};
use primordia_tests::real_data;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};

/// A part of a curated ovule in voxels of some side: 60 cells, of which the border cuts most.
fn part_of_ovule(voxel_um: f64) -> Option<Labels> {
    let path = real_data("plant_ovule_labels_3d")?.join("sample_cells_label.tif");
    let size = VoxelSize::from_um([voxel_um; 3]).expect("positive");
    let labels = ImageFile::open(path).expect("an image").with_voxel_size(size);
    let labels = labels.read_labels().expect("labels").into_volume();
    let part = labels.voxels().slice(s![20..120, 120..240, 300..430]).to_owned();
    Some(Labels::new(Volume::new(part, size).expect("voxels")))
}

/// What a confocal microscope shows of the walls between labels: blurred by twice as much along z, with Poisson noise.
fn imaged(labels: &Volume<u32>) -> Volume<u16> {
    const BLUR_VOXELS: [f64; 3] = [2.0, 1.0, 1.0];
    const PEAK: f32 = 150.0;
    const BACKGROUND: f32 = 5.0;
    let at = labels.voxels();
    let mut walls = Array3::<f32>::zeros(at.raw_dim());
    for axis in (0..3).map(ndarray::Axis) {
        for plane in 1..at.len_of(axis) {
            let (before, here) = (at.index_axis(axis, plane - 1), at.index_axis(axis, plane));
            for side in [plane - 1, plane] {
                let mut wall = walls.index_axis_mut(axis, side);
                ndarray::Zip::from(&mut wall).and(before).and(here).for_each(|wall, a, b| {
                    *wall = if a == b { *wall } else { 1.0 };
                });
            }
        }
    }
    let size = labels.voxel_size();
    let um = size.um();
    let blur_um = [0, 1, 2].map(|axis| BLUR_VOXELS[axis] * um[axis]);
    let walls = Volume::new(walls, size).expect("voxels");
    let light = gaussian(&walls, blur_um).expect("a blur");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut counts = Array3::zeros(light.shape());
    for (count, &light) in counts.iter_mut().zip(light.as_slice()) {
        let mean = Poisson::new(PEAK * light + BACKGROUND).expect("positive");
        *count = mean.sample(&mut rng) as u16;
    }
    Volume::new(counts, size).expect("voxels")
}

#[test]
fn cells_of_a_real_ovule_are_found_however_large_they_are_said_to_be() {
    /// A tenth of a cell as it is in the middle.
    const LEAST_VOXELS: usize = 3000;
    // From twice as wide as in the living ovule to half as wide.
    for voxel_um in [0.3, 0.15, 0.08] {
        let Some(truth) = part_of_ovule(voxel_um) else { return };
        let found = auto(&imaged(truth.volume()), &Auto::default()).expect("cells");
        let scores = score(&found.labels, &truth).expect("one grid");
        let ious = best_ious(&truth, &found.labels).expect("one grid");
        let n_voxels = |cell| truth.volume().as_slice().iter().filter(|l| **l == cell).count();
        let shown = truth.cells().iter().zip(ious);
        let shown: Vec<f64> = shown
            .filter(|&(&cell, _)| n_voxels(cell) >= LEAST_VOXELS)
            .map(|(_, iou)| iou)
            .collect();
        let n_missed = shown.iter().filter(|iou| **iou < 0.5).count();
        println!("voxels of {voxel_um} µm: {n_missed} of {} cells missed; {scores:?}", shown.len());
        assert!(n_missed == 0, "voxels of {voxel_um} µm: {n_missed} of {} missed", shown.len());
        assert!(scores.adapted_rand_error < 0.05, "voxels of {voxel_um} µm: {scores:?}");
    }
}
