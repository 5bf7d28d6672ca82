//! What does not depend on how a cell lies in the image may not change when it is turned, shifted or
//! imaged in other voxels, by more than its stated noise.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeMap;

use nalgebra::{Rotation3, Vector3};
use ndarray::Array3;
use primordia_data::{Labels, Rigid, VoxelSize};
use primordia_features::{
    CellQuality, FeatureNoise, MeasureParams, NoiseOf, NoiseParams, measure, resampling_noise,
};

/// Cells lie on a grid of so many by so many.
const N: usize = 6;
const BETWEEN_UM: f64 = 15.0;
const DEPTH_UM: f64 = 16.0;

/// In a tissue where directions are those of the image, these follow from the cell alone.
const INVARIANT: [&str; 26] = [
    "volume_um3",
    "surface_um2",
    "sphericity_surface_ratio",
    "roundness_extent_ratio",
    "sphericity_deviation",
    "roundness_deviation",
    "axis_major_um",
    "axis_medium_um",
    "axis_minor_um",
    "sphericity_inverse",
    "radius_mean_um",
    "radius_deviation_um",
    "aspect_major_medium",
    "aspect_medium_minor",
    "eccentricity_major_medium",
    "eccentricity_major_minor",
    "eccentricity_medium_minor",
    "inertia_axis_major_um",
    "inertia_axis_medium_um",
    "inertia_axis_minor_um",
    "longest_extension_um",
    "curvature_mean_per_um",
    "curvature_deviation_per_um",
    "curvature_concave_share",
    "bending_energy",
    "contact_outside_um2",
];

/// How the cells are imaged.
struct Pose {
    voxel_um: [f64; 3],
    turn: Rotation3<f64>,
    shift_um: Vector3<f64>,
}

/// Whether a point, from the middle of cell number `cell` along its own axes, is inside: ellipsoids
/// with a bulge or a dent.
fn is_inside(point: Vector3<f64>, cell: usize) -> bool {
    let wave = |factor: f64| (factor * (cell + 1) as f64).sin();
    let half_um = Vector3::new(5.0 + wave(1.3), 4.2 + 0.7 * wave(2.7), 3.3 + 0.6 * wave(4.1));
    let ball = point.component_div(&half_um);
    let Some(direction) = ball.try_normalize(1e-9) else { return true };
    let bulge =
        0.25 * wave(0.9) * direction.x * direction.z + 0.2 * wave(1.7) * direction.z.powi(3);
    ball.norm() <= 1.0 + bulge
}

fn cells(pose: &Pose) -> Labels {
    let side_um = N as f64 * BETWEEN_UM;
    let shape =
        [0, 1, 2].map(|k| ([DEPTH_UM, side_um, side_um][k] / pose.voxel_um[k]).ceil() as usize);
    let voxels = Array3::from_shape_fn(shape, |(z, y, x)| {
        let [z, y, x] = [(z, 0), (y, 1), (x, 2)].map(|(at, k)| at as f64 * pose.voxel_um[k]);
        let [row, column] = [y, x].map(|at| ((at / BETWEEN_UM) as usize).min(N - 1));
        let middle = |at: usize| (at as f64 + 0.5) * BETWEEN_UM;
        let middle = Vector3::new(middle(column), middle(row), 0.5 * DEPTH_UM) + pose.shift_um;
        let cell = row * N + column;
        let point = pose.turn.inverse() * (Vector3::new(x, y, z) - middle);
        if is_inside(point, cell) { cell as u32 + 1 } else { 0 }
    });
    Labels::from_voxels(voxels, VoxelSize::from_um(pose.voxel_um).unwrap()).unwrap()
}

/// The values of a feature in all cells.
fn columns(pose: &Pose) -> BTreeMap<&'static str, Vec<f64>> {
    let params = MeasureParams { surface_smoothing_um: Some(SMOOTHING_UM), ..Default::default() };
    let found = measure(&cells(pose), &[], "", &Rigid::identity(), &params).unwrap();
    assert!(found.quality.iter().all(CellQuality::is_sound) && found.quality.len() == N * N);
    INVARIANT.map(|name| (name, found.table.column(name).unwrap().to_vec())).into()
}

/// Surfaces that are compared are smoothed alike, whatever the voxels.
const SMOOTHING_UM: f64 = 0.6;
/// Two samplings differ by √2 of the noise of one; the noise is estimated from eight.
const NOISE: f64 = 2.0;
/// Of the 36 cells, 34.2 of each feature should be within its limit, give or take three times 1.3.
const LEAST_WITHIN: usize = 31;

#[test]
fn turning_shifting_and_other_voxels_move_no_invariant_by_more_than_its_noise() {
    let coarse = [0.6, 0.4, 0.4];
    let unturned = Rotation3::identity();
    let turn = Rotation3::from_euler_angles(0.5, 0.8, -0.3);
    let shift_um = Vector3::new(0.17, -0.11, 0.23);
    let nowhere = Vector3::zeros();
    let as_it_is = Pose { voxel_um: coarse, turn: unturned, shift_um: nowhere };
    let measure = MeasureParams { surface_smoothing_um: Some(SMOOTHING_UM), ..Default::default() };
    let params = NoiseParams { measure, n_landmarks: 500, ..NoiseParams::default() };
    let noise = resampling_noise(&cells(&as_it_is), &Rigid::identity(), &params).unwrap();
    let noise: BTreeMap<&str, &FeatureNoise> = noise
        .iter()
        .filter(|noise| noise.of == NoiseOf::Mask)
        .map(|noise| (noise.name.as_str(), noise))
        .collect();
    let before = columns(&as_it_is);
    for (what, pose) in [
        ("turned", Pose { voxel_um: coarse, turn, shift_um: nowhere }),
        ("shifted", Pose { voxel_um: coarse, turn: unturned, shift_um }),
        ("in other voxels", Pose { voxel_um: [0.5, 0.3, 0.3], turn: unturned, shift_um }),
    ] {
        let after = columns(&pose);
        let mut within_limits = 0;
        for name in INVARIANT {
            let (noise, limit) = (noise[name].noise(), noise[name].limit());
            let moves = || before[name].iter().zip(&after[name]).map(|(a, b)| (a - b).abs());
            let moved = (moves().map(|by| by * by).sum::<f64>() / (N * N) as f64).sqrt();
            let within = moves().filter(|&by| by <= limit).count();
            println!(
                "{what}: {name} moves by {moved:.4}, noise {noise:.4}; {within} within its limit"
            );
            assert!(moved <= NOISE * noise, "{what}: {name} {moved} {noise}");
            assert!(within >= LEAST_WITHIN, "{what}: {name} {within}");
            within_limits += within;
        }
        let share = within_limits as f64 / (N * N * INVARIANT.len()) as f64;
        println!("{what}: {:.1} % within their limits", 100.0 * share);
        assert!(share >= 0.95, "{what}: {share}");
    }
}
