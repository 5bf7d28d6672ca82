//! Real cells, against scikit-image and scipy (`tests/reference/features.py` made the values).

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use primordia_data::{Labels, Rigid, Volume, VoxelSize};
use primordia_features::{Channel, MeasureParams, Measured, measure};
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
            other => panic!("labels of 8 or 16 bits wanted, got {other:?}"),
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
    for (smooth, stairs) in column("surface_um2").iter().zip(column("surface_marching_cubes_um2")) {
        assert!(*smooth < stairs, "{smooth} {stairs}");
    }
    assert!(column("sphericity_surface_ratio").iter().all(|ratio| (0.1..=1.0).contains(ratio)));
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
