//! Shapes whose answers are known, there and back.

use std::f64::consts::PI;

use nalgebra::{Rotation3, Vector3};
use ndarray::{Array2, Array3};
use primordia_data::{CellId, Labels, PrincipalComponents, Rigid, VoxelSize};
use primordia_features::{Harmonics, Layout, cell_harmonics};

use super::*;
use crate::build::learn::{deviations, shape_space};
use crate::build::pool::Block;
use crate::build::surface::{
    DEVIATIONS, HARMONICS, harmonics_columns, harmonics_params, layout_params,
};
use crate::file::{Protein, Specimen};

/// Scores are stored as float32.
const STORED: f64 = 1e-5;
/// Rounding of sums of some hundred numbers of order one.
const ROUNDING: f64 = 1e-9;

/// The surface of an ellipsoid with these half axes, turned: its radius is 1 / |d / axes|.
fn ellipsoid(half_um: [f64; 3], turn: &Rotation3<f64>) -> Harmonics {
    let half_um = Vector3::from(half_um);
    let radii = Array2::from_shape_fn((64, 128), |(row, column)| {
        let (theta, phi) = (PI * row as f64 / 64.0, PI * column as f64 / 64.0);
        let direction = Vector3::new(theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos());
        1.0 / (turn.inverse() * direction).component_div(&half_um).norm()
    });
    Harmonics::expand(&radii, harmonics_params().l_max).unwrap()
}

/// An atlas of nothing but these surfaces.
fn atlas_of(coefficients: Array2<f64>) -> Atlas {
    let n_cells = coefficients.nrows();
    let names = Harmonics::names(harmonics_params().l_max);
    let block = Block { names, values: coefficients };
    let trusted = vec![true; n_cells];
    let fit = PrincipalComponents::fit_unscaled;
    let space = shape_space(HARMONICS, &block, &trusted, fit).unwrap().unwrap();
    let cells = (0..n_cells).map(|cell| CellId::new("A", cell.to_string())).collect();
    let mut atlas = Atlas::new("Ellipsoids", cells, Array2::zeros((n_cells, 3)));
    atlas.specimens = vec![Specimen { id: "A".to_owned(), n_cells, ..Specimen::default() }];
    let deviations = deviations(&space.scores, &trusted);
    atlas.arrays.insert(DEVIATIONS.to_owned(), deviations.into_dyn());
    atlas.shape = vec![space];
    atlas.check().unwrap();
    atlas
}

fn atlas_of_surfaces(surfaces: &[Harmonics]) -> Atlas {
    let rows = surfaces.iter().map(Harmonics::coefficients);
    let n_columns = surfaces[0].coefficients().len();
    let values = rows.flatten().copied().collect();
    atlas_of(Array2::from_shape_vec((surfaces.len(), n_columns), values).unwrap())
}

/// Numbers from −1 to 1 that look like chance.
fn chance() -> impl FnMut() -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Ellipsoids of many forms that lean every way.
fn many_ellipsoids() -> Vec<Harmonics> {
    let mut chance = chance();
    let mut any = || {
        let half_um = [4.0, 5.0, 6.0].map(|half| half + chance());
        ellipsoid(half_um, &Rotation3::from_euler_angles(chance(), chance(), chance()))
    };
    (0..20).map(|_| any()).collect()
}

#[test]
fn the_mean_of_identical_ellipsoids_is_that_ellipsoid() {
    // The same solid, on voxels that it meets in four ways.
    let half_um = Vector3::new(4.0, 5.0, 7.0);
    let middles = [[9.0, 9.0, 9.0], [24.1, 9.2, 8.8], [9.3, 24.4, 9.1], [24.2, 23.9, 9.4]];
    let mut voxels = Array3::<u32>::zeros((36, 132, 132));
    let um = [0.5, 0.25, 0.25];
    for ((z, y, x), label) in voxels.indexed_iter_mut() {
        let place = Vector3::new(x as f64 * um[2], y as f64 * um[1], z as f64 * um[0]);
        let inside = |middle: &[f64; 3]| {
            (place - Vector3::from(*middle)).component_div(&half_um).norm() <= 1.0
        };
        *label = middles.iter().position(inside).map_or(0, |at| at as u32 + 1);
    }
    let labels = Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap();
    let surfaces = cell_harmonics(&labels, &Rigid::identity(), &harmonics_params()).unwrap();
    let columns = harmonics_columns(&surfaces);
    let shape = (surfaces.len(), columns.names.len());
    let atlas = atlas_of(Array2::from_shape_vec(shape, columns.values).unwrap());

    let mean = mesh_of(&SurfaceSpace::of(&atlas).unwrap().surface(&[]).unwrap());
    let volume_um3 = 4.0 / 3.0 * PI * half_um.product();
    // What the task asks for; one voxel of the surface is 10 % of the volume.
    assert!((mean.volume_um3() / volume_um3 - 1.0).abs() < 0.01, "{}", mean.volume_um3());
    for axis in 0..3 {
        let reach = mean.vertices().iter().map(|vertex| vertex[axis]).fold(0.0, f64::max);
        // A quarter of a voxel, and the smoothing of tips.
        assert!((reach - half_um[axis]).abs() < 0.2, "axis {axis}: {reach}");
    }
}

#[test]
fn where_only_height_varies_one_axis_says_so_and_walking_it_changes_height_alone() {
    let heights = (0..15).map(|step| 5.0 + 0.2 * f64::from(step));
    let surfaces: Vec<_> =
        heights.map(|half| ellipsoid([4.0, 5.0, half], &Rotation3::identity())).collect();
    let atlas = atlas_of_surfaces(&surfaces);
    let walk = walk(&atlas, &WalkParams { extent_sd: 1.5, ..WalkParams::default() }).unwrap();
    assert!(walk.explained > 0.95, "{}", walk.explained);
    let reach = |step: &Step, axis: Vector3<f64>| step.radius_um.value(&axis);
    let [first, last] = [&walk.steps[0], &walk.steps[6]];
    let taller = reach(last, Vector3::z()) - reach(first, Vector3::z());
    // Heights of 5 to 7.8 µm have a standard deviation of 0.86 µm.
    assert!((taller.abs() / (3.0 * 0.864) - 1.0).abs() < 0.05, "{taller}");
    for axis in [Vector3::x(), Vector3::y()] {
        let wider = reach(last, axis) - reach(first, axis);
        // A sum of 81 waves follows a tip with small ripples elsewhere.
        assert!(wider.abs() < 0.03 * taller.abs(), "{wider} of {taller}");
    }
}

#[test]
fn a_cell_is_drawn_at_its_own_place_in_the_space() {
    let surfaces = many_ellipsoids();
    let atlas = atlas_of_surfaces(&surfaces);
    let space = SurfaceSpace::of(&atlas).unwrap();
    for (surface, scores) in surfaces.iter().zip(atlas.shape[0].scores.rows()) {
        let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
        let drawn = mesh_of(&space.surface(&scores).unwrap());
        for (found, wanted) in drawn.vertices().iter().zip(mesh_of(surface).vertices()) {
            assert!((found - wanted).norm() < STORED, "{found} {wanted}");
        }
        for (found, stored) in space.scores(surface).unwrap().iter().zip(scores) {
            assert!((found - stored).abs() < STORED);
        }
    }
}

#[test]
fn every_point_of_the_space_is_the_place_of_its_surface() {
    let atlas = atlas_of_surfaces(&many_ellipsoids());
    let space = SurfaceSpace::of(&atlas).unwrap();
    let mut chance = chance();
    for _ in 0..200 {
        let point: Vec<f64> = (0..space.n_axes()).map(|_| 3.0 * chance()).collect();
        let again = space.scores(&space.surface(&point).unwrap()).unwrap();
        assert!(point.iter().zip(again).all(|(a, b)| (a - b).abs() < ROUNDING));
    }
}

#[test]
fn a_step_of_one_standard_deviation_moves_the_surface_by_as_much() {
    let atlas = atlas_of_surfaces(&many_ellipsoids());
    let params = WalkParams { axis: 2, n_steps: 3, extent_sd: 1.0, protein: None };
    let walk = walk(&atlas, &params).unwrap();
    assert_eq!(walk.steps.iter().map(|step| step.sd).collect::<Vec<_>>(), [-1.0, 0.0, 1.0]);
    // The definition: the root mean square of differences of radii over the sphere.
    let (n_rows, n_columns) = (200, 400);
    let [mean, moved] =
        [&walk.mean, &walk.steps[2].radius_um].map(|radius| radius.grid(n_rows, n_columns));
    let (mut squares, mut total) = (0.0, 0.0);
    for ((row, column), radius) in mean.indexed_iter() {
        let weight = (PI * row as f64 / n_rows as f64).sin();
        squares += weight * (moved[[row, column]] - radius).powi(2);
        total += weight;
    }
    assert!(((squares / total).sqrt() / walk.deviation_um - 1.0).abs() < 1e-3);
}

#[test]
fn cells_that_cannot_be_drawn_have_no_place_and_count_for_nothing() {
    let surfaces = many_ellipsoids();
    let without = atlas_of_surfaces(&surfaces);
    let rows = surfaces.len();
    let mut values = Array2::from_elem((rows + 1, 81), f64::NAN);
    for (mut row, surface) in values.rows_mut().into_iter().zip(&surfaces) {
        row.assign(&ndarray::ArrayView1::from(surface.coefficients()));
    }
    let with = atlas_of(values);
    assert!(with.shape[0].scores.row(rows).iter().all(|score| score.is_nan()));
    let [a, b] = [&without, &with].map(|atlas| walk(atlas, &WalkParams::default()).unwrap());
    assert_eq!((a.n_cells, b.n_cells), (rows, rows));
    assert_eq!(a.mean, b.mean);
    assert_eq!(a.steps[0].radius_um, b.steps[0].radius_um);
}

#[test]
fn what_an_atlas_does_not_have_cannot_be_walked() {
    let tables = Atlas::example();
    let none = walk(&tables, &WalkParams::default());
    assert!(matches!(none, Err(AtlasError::NoSurfaces { .. })));
    let atlas = atlas_of_surfaces(&many_ellipsoids());
    for axis in [0, 20, 1000] {
        let found = walk(&atlas, &WalkParams { axis, ..WalkParams::default() });
        assert!(matches!(found, Err(AtlasError::NoSuchAxis { n_axes: 19, .. })), "{axis}");
    }
}

/// An atlas of ellipsoids, with a protein that is twice as dense as the mean at the surface and absent
/// from the middle.
fn atlas_with_a_protein_at_the_surface() -> Atlas {
    let mut atlas = atlas_of_surfaces(&many_ellipsoids());
    let (n_shells, l_max) = (layout_params().n_shells, layout_params().l_max);
    let names = Layout::names(n_shells, l_max);
    let at_surface =
        names.iter().position(|name| *name == format!("layout_shell{n_shells}_l0_m0_cos"));
    let mut layouts = Array2::<f32>::zeros((atlas.n_cells(), names.len()));
    layouts.column_mut(at_surface.unwrap()).fill(2.0);
    layouts.row_mut(3).fill(f32::NAN); // a dark cell
    let names = names.iter().map(|name| format!("layout.{name}")).collect();
    atlas.proteins = vec![Protein::measured("actin", names, layouts)];
    atlas.check().unwrap();
    atlas
}

#[test]
fn a_density_is_painted_into_every_shape_and_sums_up_to_its_volume() {
    let atlas = atlas_with_a_protein_at_the_surface();
    let params = WalkParams { protein: Some("actin".to_owned()), ..WalkParams::default() };
    let walk = walk(&atlas, &params).unwrap();
    assert_eq!(walk.protein.as_ref().unwrap().n_cells, atlas.n_cells() - 1);
    for step in &walk.steps {
        let density = step.density.as_ref().unwrap();
        let sum: f64 = density.as_slice().iter().copied().map(f64::from).sum();
        let integral = sum * density.voxel_size().volume_um3();
        // In units of the cell's mean: as many voxels of 0.25 µm as lie in the mesh.
        let volume_um3 = mesh_of(&step.radius_um).volume_um3();
        assert!((integral / volume_um3 - 1.0).abs() < 0.01, "{integral} {volume_um3}");
        let [z, y, x] = density.shape().map(|n| n / 2);
        assert!(density.voxels()[[z, y, x]] < 0.05, "nothing in the middle");
        let reach = (step.radius_um.value(&Vector3::x()) / 0.25 - 0.7) as usize;
        assert!(density.voxels()[[z, y, x + reach]] > 1.5, "most at the surface");
    }
    let other = WalkParams { protein: Some("myosin".to_owned()), ..WalkParams::default() };
    let error = super::walk(&atlas, &other).unwrap_err().to_string();
    assert!(error.contains("myosin") && error.contains("actin"), "{error}");
}

#[test]
fn a_walk_leaves_meshes_and_a_picture_in_a_folder_of_its_own() {
    let atlas = atlas_of_surfaces(&many_ellipsoids());
    let walk = walk(&atlas, &WalkParams { n_steps: 3, ..WalkParams::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("walk");
    let files = write_walk(&target, &walk).unwrap();
    let names: Vec<_> =
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    let meshes = ["axis1_step1_-2.00sd.ply", "axis1_step2_0.00sd.ply", "axis1_step3_2.00sd.ply"];
    assert_eq!(names, [&["axis1.svg"], &meshes[..]].concat());
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), files.len());
    let picture = std::fs::read_to_string(&files[0]).unwrap();
    let svg = roxmltree::Document::parse(&picture).unwrap();
    let is_image = |node: &roxmltree::Node<'_, '_>| node.has_tag_name("image");
    assert_eq!(svg.descendants().filter(is_image).count(), 2 * 3);
    assert!(picture.contains("Shape axis 1 of 19") && picture.contains("2.00 sd"));
    assert!(matches!(write_walk(&target, &walk), Err(AtlasError::Write { .. })));
}

#[test]
fn with_a_protein_a_walk_leaves_densities_and_sections_too() {
    let atlas = atlas_with_a_protein_at_the_surface();
    let protein = Some("actin".to_owned());
    let walk = walk(&atlas, &WalkParams { n_steps: 1, protein, ..WalkParams::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = write_walk(folder.path().join("walk"), &walk).unwrap();
    assert_eq!(files.len(), 3, "a picture, a mesh, a density");
    let image = primordia_data::image::ImageFile::open(&files[2]).unwrap();
    assert_eq!(image.channel_names_or_numbers(), ["actin"]);
    assert_eq!(
        image.read_volume_f32(0).unwrap().as_slice(),
        walk.steps[0].density.as_ref().unwrap().as_slice()
    );
    let picture = std::fs::read_to_string(&files[0]).unwrap();
    let svg = roxmltree::Document::parse(&picture).unwrap();
    let is_image = |node: &roxmltree::Node<'_, '_>| node.has_tag_name("image");
    assert_eq!(svg.descendants().filter(is_image).count(), 3 + 1, "views, and the colours");
    assert!(picture.contains("actin inside") && picture.contains("cell mean = 1"));
}
