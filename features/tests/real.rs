//! Real cells, against scikit-image and scipy (`tests/reference/features.py` made the values).
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs::File;
use std::path::{Path, PathBuf};

use nalgebra::Matrix3;
use ndarray::Array3;
use primordia_data::phantom::{self, Optics, PhantomParams};
use primordia_data::{Labels, Rigid, Volume, VoxelSize};
use primordia_features::cell::CellMask;
use primordia_features::mesh::cell_mesh;
use primordia_features::sweep::extents;
use primordia_features::{
    CellHarmonics, Channel, ExplodeAbout, ExplodeParams, HarmonicsParams, MeasureParams, Measured,
    cell_harmonics, explode, measure,
};
use tiff::decoder::{Decoder, DecodingResult};

/// Both compute the same sums; only the order of additions differs.
const ROUNDING: f64 = 1e-6;
/// Lewiner's table cuts some ambiguous cubes otherwise than ours.
const AMBIGUOUS_CUBES: f64 = 0.01;

/// The folder of real data, if this machine has it.
fn real_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let folder = std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no real data in {}; set PRIMORDIA_DATA", folder.display());
    None
}

fn labels(path: &Path, um: [f64; 3]) -> Labels {
    let mut decoder = Decoder::new(File::open(path).unwrap()).unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    let (mut voxels, mut n_planes) = (Vec::new(), 0);
    loop {
        match decoder.read_image().unwrap() {
            DecodingResult::U8(plane) => voxels.extend(plane.into_iter().map(u32::from)),
            DecodingResult::U16(plane) => voxels.extend(plane.into_iter().map(u32::from)),
            DecodingResult::I32(plane) => voxels.extend(plane.into_iter().map(|v| v as u32)),
            other => panic!("labels of whole numbers wanted, got {other:?}"),
        }
        n_planes += 1;
        if !decoder.more_images() {
            break;
        }
        decoder.next_image().unwrap();
    }
    let shape = (n_planes, height as usize, width as usize);
    let voxels = Array3::from_shape_vec(shape, voxels).unwrap();
    Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap()
}

/// The brightness that the script gives every voxel.
fn brightness(labels: &Labels) -> Volume<u8> {
    let [n_z, n_y, n_x] = labels.volume().shape();
    let voxels =
        Array3::from_shape_fn((n_z, n_y, n_x), |(z, y, x)| ((7 * z + 3 * y + 5 * x) % 251) as u8);
    Volume::new(voxels, labels.volume().voxel_size()).unwrap()
}

fn measured(labels: &Labels) -> Measured {
    let bright = brightness(labels);
    let channels = [Channel::new("bright", &bright)];
    measure(labels, &channels, "real", &Rigid::identity(), &MeasureParams::default()).unwrap()
}

fn compare(labels: &Labels, measured: &Measured, reference: &str) {
    let mut lines = reference.lines().skip(1);
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    for line in lines {
        let values: Vec<f64> = line.split(',').map(|value| value.parse().unwrap()).collect();
        let row = labels.cells().iter().position(|label| f64::from(*label) == values[0]).unwrap();
        for (&name, &wanted) in names.iter().zip(&values).skip(1) {
            let centroid = measured.centroids_image_um[row];
            let found = match name {
                "x_um" => centroid.x,
                "y_um" => centroid.y,
                "z_um" => centroid.z,
                "n_pieces" => measured.quality[row].n_pieces as f64,
                "sum_whole" => measured.intensity.column("bright_sum_whole").unwrap()[row],
                name => measured.table.column(name).unwrap()[row],
            };
            let tolerance = match name {
                "surface_marching_cubes_um2" => AMBIGUOUS_CUBES,
                _ => ROUNDING,
            };
            let error = (found - wanted).abs();
            let cell = values[0];
            assert!(error <= tolerance * wanted.abs(), "{name} of {cell}: {found}, not {wanted}");
        }
    }
}

/// What must hold for any cell, real or not.
fn check_ranges(measured: &Measured) {
    let column = |name: &str| measured.table.column(name).unwrap().to_vec();
    assert!(measured.table.values().iter().all(|value| value.is_finite()));
    let surfaces = column("surface_um2").into_iter().zip(column("surface_marching_cubes_um2"));
    for ((smooth, stairs), quality) in surfaces.zip(&measured.quality) {
        // Cells of a few voxels are blobs, and have no stairs.
        assert!(smooth < stairs || quality.n_voxels < 100, "{smooth} {stairs} {quality:?}");
    }
    let ratios = column("sphericity_surface_ratio");
    assert!(ratios.iter().all(|ratio| (0.1..=1.001).contains(ratio)), "{ratios:?}");
    for contact in &measured.contacts {
        assert!(contact.a < contact.b && contact.area_um2 > 0.0);
    }
}

#[test]
fn cells_of_an_ovule_measure_as_by_scikit_image() {
    let Some(folder) = real_data() else { return };
    let path = folder.join("plant_ovule_labels_3d/sample_cells_label.tif");
    let labels = labels(&path, [0.4, 0.25, 0.25]);
    assert_eq!(labels.n_cells(), 461);
    let found = measured(&labels);
    compare(&labels, &found, include_str!("../../tests/reference/features_ovule.csv"));
    check_ranges(&found);
}

#[test]
fn cultured_cells_measure_as_by_scikit_image() {
    let Some(folder) = real_data() else { return };
    let path = folder.join("hipsc_TOMM20_labels_3d/TOMM20_cell_segmentation.tif");
    let labels = labels(&path, [0.3, 0.1, 0.1]);
    let found = measured(&labels);
    compare(&labels, &found, include_str!("../../tests/reference/features_hipsc.csv"));
    check_ranges(&found);
}

/// The mean distance in µm of each star-shaped cell's surface from that of its harmonics up to a degree:
/// mean, 95 % and worst over cells.
fn drawing_errors_um(labels: &Labels, l_max: usize) -> [f64; 3] {
    let params = HarmonicsParams { l_max, ..HarmonicsParams::default() };
    let found = cell_harmonics(labels, &Rigid::identity(), &params).unwrap();
    let extents = extents(labels);
    let longest_um = labels.volume().voxel_size().um().into_iter().fold(0.0, f64::max);
    let error_um = |(row, drawn): (usize, &CellHarmonics)| {
        let cell = CellMask::cut(labels, labels.cells()[row], &extents[row], [1; 3]);
        let centroid = extents[row].centroid_um(cell.voxel_size());
        drawn.mean_error_um(&cell_mesh(&cell, longest_um), centroid, &Matrix3::identity())
    };
    let drawn = found.iter().enumerate().filter(|(_, drawn)| drawn.is_star_shaped());
    let mut errors: Vec<f64> = drawn.map(error_um).collect();
    errors.sort_by(f64::total_cmp);
    let n = errors.len();
    let mean = errors.iter().sum::<f64>() / n as f64;
    let tell = [mean, errors[n * 95 / 100], errors[n - 1]];
    println!("degree {l_max}: {tell:.2?} µm of {n} in {} cells", labels.n_cells());
    tell
}

/// `docs/shape_modes.md` shows what these two print.
#[track_caller]
fn check_drawings(labels: &Labels) {
    let errors_um = [4, 6, 8, 12, 16].map(|l_max| drawing_errors_um(labels, l_max));
    assert!(errors_um.is_sorted_by(|a, b| a[0] > b[0]));
    let longest_um = labels.volume().voxel_size().um()[0];
    assert!(errors_um[2][1] < longest_um, "19 of 20 cells to within a voxel at degree 8");
    assert!(errors_um[4][2] < longest_um, "all at degree 16");
}

#[test]
fn cells_of_an_ovule_are_drawn_from_their_harmonics() {
    let Some(folder) = real_data() else { return };
    let path = folder.join("plant_ovule_labels_3d/sample_cells_label.tif");
    let labels = labels(&path, [0.4, 0.25, 0.25]);
    let every_fifth = |label: u32| if label % 5 == 1 { label } else { 0 };
    check_drawings(&Labels::new(labels.volume().map(|label| every_fifth(*label))));
}

#[test]
fn cells_of_the_demos_first_phantom_are_drawn_from_their_harmonics() {
    let optics = Optics::clean(VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap());
    let params = PhantomParams { optics, ..PhantomParams::default() }.varied(1000);
    check_drawings(&phantom::specimen(&params, 1000).unwrap().truth);
}

#[test]
fn all_cells_of_real_tissues_are_drawn_to_within_a_voxel_at_degree_16() {
    let Some(folder) = real_data() else { return };
    for (path, um) in [
        ("plant_ovule_labels_3d/sample_cells_label.tif", [0.4, 0.25, 0.25]),
        ("hipsc_TOMM20_labels_3d/TOMM20_cell_segmentation.tif", [0.3, 0.1, 0.1]),
    ] {
        let labels = labels(&folder.join(path), um);
        let [mean_um, ..] = drawing_errors_um(&labels, 16);
        assert!(mean_um < um[0], "{path}: {mean_um} µm");
    }
}

/// `tests/reference/features_explode.py` made the values.
#[track_caller]
fn check_exploded(path: &str, um: [f64; 3], shape: [usize; 3], n_drawn: usize, checksum: u32) {
    let Some(folder) = real_data() else { return };
    let params = ExplodeParams { about: ExplodeAbout::Corner, ..ExplodeParams::default() };
    let drawn = explode(&labels(&folder.join(path), um), &params).unwrap().labels().unwrap();
    assert_eq!(drawn.volume().shape(), shape);
    let values = drawn.volume().as_slice();
    assert_eq!(values.iter().filter(|value| **value != 0).count(), n_drawn);
    let found = values.iter().fold(0_u32, |sum, value| sum.wrapping_mul(31).wrapping_add(*value));
    assert_eq!(found, checksum);
}

#[test]
fn a_section_explodes_as_published() {
    let path = "zfish_membrane_2d/zfish_memGFP_2d_seg.tif";
    check_exploded(path, [1.0, 0.1735, 0.1735], [1, 1582, 1327], 555_531, 4_002_876_742);
}

#[test]
fn nuclei_in_3d_explode_as_published() {
    let path = "cells3d_nuclei/nuclei_label_cellprofiler.tif";
    check_exploded(path, [0.29, 0.26, 0.26], [103, 436, 436], 695_072, 3_744_449_280);
}
