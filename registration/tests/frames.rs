//! Any orientation in, the same frame out.
#![allow(clippy::unwrap_used)] // a test that fails says where

use nalgebra::{Isometry3, Matrix3, Point3, Translation3, UnitQuaternion, Vector3};
use ndarray::Array3;
use primordia_data::phantom::{self, Optics, PhantomParams, Pose};
use primordia_data::{ImageFrame, Labels, PointCloud, VoxelSize};
use primordia_registration::{
    Hints, RegistrationError, Source, Tissue, TissueRegistration, already_registered, register,
    residuals_um,
};
use proptest::prelude::*;

/// Rounding of an eigendecomposition, in µm.
const ROUNDING_UM: f64 = 1e-6;

/// Sixty cells in a bent slab, larger towards +x, with the leading tip at 0.
fn slab() -> (Vec<Point3<f64>>, Vec<f64>) {
    let cells = (0..60).map(|cell| {
        let (i, j) = (f64::from(cell / 3), f64::from(cell % 3) - 1.0);
        let jitter = (f64::from(cell) * 2.3).sin();
        let place = Point3::new(
            -6.0 * i + jitter,
            9.0 * j + 0.7 * jitter,
            2.0 * (f64::from(cell) * 5.1).cos() + 0.002 * (i - 9.5).powi(2),
        );
        (place, 300.0 - 6.0 * i + 20.0 * (f64::from(cell) * 3.7).sin())
    });
    cells.unzip()
}

fn any_motion() -> impl Strategy<Value = Isometry3<f64>> {
    (prop::array::uniform3(-3.0..3.0_f64), prop::array::uniform3(-100.0..100.0_f64)).prop_map(
        |(turn, shift)| {
            let turn = UnitQuaternion::from_scaled_axis(Vector3::from(turn));
            Isometry3::from_parts(Translation3::from(Vector3::from(shift)), turn)
        },
    )
}

fn registered_points(
    points: &[Point3<f64>],
    volumes: &[f64],
    hints: &Hints,
) -> (TissueRegistration, Vec<Point3<f64>>) {
    let cloud = PointCloud::<ImageFrame>::new(points.to_vec());
    let tissue = Tissue::from_centroids(&cloud, Some(volumes)).unwrap();
    let found = register(&tissue, hints).unwrap();
    let points = found.image_to_tissue.cloud(&cloud).points().to_vec();
    (found, points)
}

proptest! {
    #[test]
    fn moving_the_tissue_does_not_move_its_frame(motion in any_motion()) {
        let (points, volumes) = slab();
        let hints = |apical: Vector3<f64>| Hints { apical: Some(apical), ..Hints::default() };
        let (still, expected) = registered_points(&points, &volumes, &hints(Vector3::z()));
        let moved: Vec<_> = points.iter().map(|point| motion * point).collect();
        let (found, places) = registered_points(&moved, &volumes, &hints(motion * Vector3::z()));
        for (place, expected) in places.iter().zip(&expected) {
            prop_assert!((place - expected).norm() < ROUNDING_UM);
        }
        prop_assert_eq!(found.direction.source, Source::Shape);
        prop_assert!((found.length_um - still.length_um).abs() < ROUNDING_UM);
        prop_assert!((found.bend_um - still.bend_um).abs() < ROUNDING_UM);
        prop_assert!(residuals_um(&[&still.profile, &found.profile])[0] < ROUNDING_UM);
    }

    #[test]
    fn the_way_back_leads_back(motion in any_motion()) {
        let (points, volumes) = slab();
        let moved: Vec<_> = points.iter().map(|point| motion * point).collect();
        let (found, places) = registered_points(&moved, &volumes, &Hints::default());
        for (place, moved) in places.iter().zip(&moved) {
            prop_assert!((found.tissue_to_image().point(place) - moved).norm() < ROUNDING_UM);
        }
    }
}

#[test]
fn the_tip_is_at_zero_and_the_tissue_behind_it() {
    let (points, volumes) = slab();
    let (found, places) = registered_points(&points, &volumes, &Hints::default());
    let tip = places.iter().map(|place| place.x).fold(f64::MIN, f64::max);
    let rear = places.iter().map(|place| place.x).fold(f64::MAX, f64::min);
    assert!(tip.abs() < ROUNDING_UM && (rear + found.length_um).abs() < ROUNDING_UM);
    let mass: f64 = volumes.iter().sum();
    let centre = places.iter().zip(&volumes).map(|(place, volume)| place.coords * *volume);
    let centre = centre.sum::<Vector3<f64>>() / mass;
    assert!(centre.y.abs() < ROUNDING_UM && centre.z.abs() < ROUNDING_UM);
}

#[test]
fn without_volumes_the_direction_is_assumed_and_says_so() {
    let (points, _) = slab();
    for (turn, expected) in [(0.0, "+x"), (1.5, "+y")] {
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), turn);
        let cloud = PointCloud::new(points.iter().map(|point| turn * point).collect());
        let found =
            register(&Tissue::from_centroids(&cloud, None).unwrap(), &Hints::default()).unwrap();
        assert_eq!(found.direction.source, Source::Assumed);
        assert!(found.direction.evidence.contains(expected), "{}", found.direction);
    }
}

#[test]
fn a_hint_outweighs_the_shape_but_not_in_silence() {
    let (points, volumes) = slab();
    let against = Hints { migration: Some(-Vector3::x()), ..Hints::default() };
    let (found, places) = registered_points(&points, &volumes, &against);
    assert_eq!(found.direction.source, Source::Hint);
    assert!(found.direction.evidence.contains("speak against it"), "{}", found.direction);
    assert!(places[0].x < places[59].x);
}

#[test]
fn a_hint_across_the_axis_is_an_error() {
    let (points, volumes) = slab();
    let tissue = Tissue::from_centroids(&PointCloud::new(points), Some(&volumes)).unwrap();
    let across = Hints { migration: Some(Vector3::y()), ..Hints::default() };
    let error = register(&tissue, &across).unwrap_err();
    assert!(matches!(error, RegistrationError::HintAcross { .. }), "{error}");
    let no_direction = Hints { apical: Some(Vector3::zeros()), ..Hints::default() };
    let error = register(&tissue, &no_direction).unwrap_err();
    assert!(matches!(error, RegistrationError::Hint { .. }), "{error}");
}

#[test]
fn a_bend_is_its_sagitta() {
    let arc = (0..=40).map(|i| {
        let u = f64::from(i) / 20.0 - 1.0;
        Point3::new(50.0 * u, 8.0 * (1.0 - u * u), 0.1 * f64::from(i % 3))
    });
    let tissue = Tissue::from_centroids(&PointCloud::new(arc.collect()), None).unwrap();
    let found = register(&tissue, &Hints::default()).unwrap();
    assert!((found.bend_um - 8.0).abs() < 0.01, "{}", found.bend_um);
}

#[test]
fn a_flipped_specimen_has_the_largest_residual() {
    let (points, volumes) = slab();
    let hinted = |x: f64| {
        let hints = Hints { migration: Some(Vector3::x() * x), apical: Some(Vector3::z()) };
        let narrow = points.iter().map(|p| Point3::new(p.x, p.y * (1.0 + p.x / 200.0), p.z));
        registered_points(&narrow.collect::<Vec<_>>(), &volumes, &hints).0.profile
    };
    let (right, flipped) = (hinted(1.0), hinted(-1.0));
    let residuals = residuals_um(&[&right, &right, &flipped, &right]);
    assert!(residuals[2] > 1.5 * residuals[0], "{residuals:?}");
}

#[test]
fn positions_in_the_frame_stay_where_they_are() {
    let (points, volumes) = slab();
    let found = already_registered(&PointCloud::new(points.clone()), Some(&volumes)).unwrap();
    assert_eq!(found.image_to_tissue.to_matrix(), nalgebra::Matrix4::identity());
    assert_eq!((found.direction.source, found.apical.source), (Source::Given, Source::Given));
    assert!(found.length_um > 110.0);
}

/// Cones on a grid, wider at the bottom (z = 0) and larger towards x = 0, in the pose `to_image`.
fn cones(to_image: &Isometry3<f64>) -> Labels {
    const SIDE_UM: f64 = 0.6;
    let (long, wide) = (12_i32, 3_i32);
    let shape = (170, 170, 170);
    let voxel_size = VoxelSize::from_um([SIDE_UM; 3]).unwrap();
    let to_tissue = to_image.inverse();
    let voxels = Array3::from_shape_fn(shape, |(z, y, x)| {
        let place = to_tissue * Point3::new(x as f64, y as f64, z as f64).map(|i| i * SIDE_UM);
        let (i, j) = ((-place.x / 7.0).floor() as i32, (place.y / 7.0).round() as i32);
        if !(0..long).contains(&i) || j.abs() > wide / 2 || !(0.0..9.0).contains(&place.z) {
            return 0;
        }
        let from_axis = (place.x + 7.0 * (f64::from(i) + 0.5)).hypot(place.y - 7.0 * f64::from(j));
        let radius = (3.4 - 0.09 * f64::from(i)) * (1.0 - 0.06 * place.z);
        if from_axis < radius { (1 + i * wide + j + wide / 2) as u32 } else { 0 }
    });
    Labels::from_voxels(voxels, voxel_size).unwrap()
}

/// Axes of a shape of 0.6 µm voxels some 80 × 20 × 9 µm large.
const VOXELS_DEG: f64 = 1.5;
/// Where its tip lies: two voxels.
const VOXELS_UM: f64 = 1.2;

#[test]
fn labels_in_any_pose_lead_to_one_frame() {
    for turn in [[0.0, 0.0, 0.0], [0.3, -1.2, 2.0], [2.9, 0.4, -0.8], [-1.0, 2.0, 0.5]] {
        let turn = UnitQuaternion::from_scaled_axis(Vector3::from(turn));
        let middle = Vector3::repeat(51.0) - turn * Vector3::new(-42.0, 0.0, 4.5);
        let to_image = Isometry3::from_parts(Translation3::from(middle), turn);
        let tissue = Tissue::from_labels(&cones(&to_image)).unwrap();
        let found = register(&tissue, &Hints::default()).unwrap();
        assert_eq!((found.direction.source, found.apical.source), (Source::Shape, Source::Shape));
        let turn_back = found.image_to_tissue.rotation() * turn.to_rotation_matrix().matrix();
        let angle_deg = angle_deg(&turn_back);
        assert!(angle_deg < VOXELS_DEG, "{angle_deg}°: {} {}", found.direction, found.apical);
        let tip = found.image_to_tissue.point(&(to_image * Point3::new(-0.1, 0.0, 0.0)));
        assert!(tip.x.abs() < VOXELS_UM && tip.y.abs() < VOXELS_UM, "{tip}");
    }
}

fn angle_deg(rotation: &Matrix3<f64>) -> f64 {
    ((rotation.trace() - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
}

/// Principal axes of all voxels of a bent tissue, against the axes of its form (measured: up to 0.4°).
const PHANTOM_DEG: f64 = 2.0;
#[test]
fn phantoms_in_any_pose_come_back_into_their_frame() {
    // The tip thins to an edge, whose end voxels miss: it may lie two of them off.
    for (voxel_um, tip_um) in [([0.8, 0.6, 0.6], 1.6), ([1.5, 1.0, 1.0], 3.0)] {
        let voxel_size = VoxelSize::from_um(voxel_um).unwrap();
        for seed in 0..4 {
            let params =
                PhantomParams { optics: Optics::clean(voxel_size), ..PhantomParams::default() };
            let params = PhantomParams { pose: Pose::any(seed), ..params.varied(seed) };
            let phantom = phantom::specimen(&params, seed).unwrap();
            let truth = phantom.image_to_tissue;
            let tissue = Tissue::from_labels(&phantom.truth).unwrap();
            let found = register(&tissue, &Hints::default()).unwrap();
            assert_eq!(found.direction.source, Source::Shape, "seed {seed}: {}", found.direction);
            assert_eq!(found.apical.source, Source::Shape, "seed {seed}: {}", found.apical);
            let turn = found.image_to_tissue.rotation() * truth.rotation().transpose();
            assert!(angle_deg(&turn) < PHANTOM_DEG, "seed {seed}: {}°", angle_deg(&turn));
            let tip = found.image_to_tissue.point(&truth.inverse().point(&Point3::origin()));
            assert!(tip.x.abs() < tip_um, "seed {seed}, {voxel_um:?}: the tip is at {} µm", tip.x);
        }
    }
}
