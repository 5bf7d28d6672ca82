//! The published primordia, from their raw centroids back into their published frame
//! (Hartmann et al. 2020, doi:10.7554/eLife.55913; IDR idr0079, doi:10.17867/10000138).
//!
//! `$PRIMORDIA_DATA`, or `../shared/data/real` beside the repository, holds them; without them the test says so and passes.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::PointCloud;
use primordia_registration::{Hints, Source, Tissue, register, residuals_um};

/// Published axes come from 3,000 random points of all voxels, ours here from centroids alone.
const MEDIAN_LONG_DEG: f64 = 0.3;
const MEDIAN_UPRIGHT_DEG: f64 = 2.0;
/// The share of specimens whose direction the cells' volumes tell (measured: 154 of 163).
const RIGHT_BY_VOLUME: f64 = 0.93;
/// A stated confidence is kept to within this.
const CALIBRATION: f64 = 0.04;

#[derive(Default)]
struct Specimen {
    raw: Vec<Point3<f64>>,
    published: Vec<Point3<f64>>,
    volumes_um3: Vec<f64>,
}

fn specimens() -> Option<BTreeMap<String, Specimen>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let root = std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from);
    let file = File::open(root.join("idr0079_pllp_tables/other_measurements.tsv.gz")).ok()?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let at = |name: &str| names.iter().position(|column| *column == name).unwrap();
    let place = |frame: &str| ["X", "Y", "Z"].map(|axis| at(&format!("Centroids {frame} {axis}")));
    let (raw, published, volume) = (place("RAW"), place("TFOR"), at("Volume"));
    let mut specimens = BTreeMap::<String, Specimen>::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |column: usize| fields[column].parse::<f64>().unwrap();
        let specimen = specimens.entry(fields[0].to_owned()).or_default();
        specimen.raw.push(Point3::from(raw.map(number)));
        specimen.published.push(Point3::from(published.map(number)));
        specimen.volumes_um3.push(number(volume));
    }
    Some(specimens)
}

/// The published axes in the image, as rows: the least-squares solution, which is exact here.
fn published_axes(specimen: &Specimen) -> Matrix3<f64> {
    let mean = |points: &[Point3<f64>]| {
        points.iter().map(|point| point.coords).sum::<Vector3<f64>>() / points.len() as f64
    };
    let (from, to) = (mean(&specimen.raw), mean(&specimen.published));
    let (mut across, mut own) = (Matrix3::zeros(), Matrix3::zeros());
    for (raw, published) in specimen.raw.iter().zip(&specimen.published) {
        across += (published.coords - to) * (raw.coords - from).transpose();
        own += (raw.coords - from) * (raw.coords - from).transpose();
    }
    across * own.try_inverse().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn published_primordia_come_back_into_their_published_frame() {
    let Some(specimens) = specimens() else {
        eprintln!("SKIPPED: no idr0079_pllp_tables in $PRIMORDIA_DATA or ../shared/data/real");
        return;
    };
    let (mut long_deg, mut upright_deg, mut profiles) = (vec![], vec![], vec![]);
    let (mut by_shape, mut right_by_shape, mut right, mut confidence) = (0, 0, 0, 0.0);
    for specimen in specimens.values() {
        let cloud = PointCloud::new(specimen.raw.clone());
        let tissue = Tissue::from_centroids(&cloud, Some(&specimen.volumes_um3)).unwrap();
        let found = register(&tissue, &Hints::default()).unwrap();
        let published = published_axes(specimen);
        let cosine =
            |row: usize| found.image_to_tissue.rotation().row(row).dot(&published.row(row));
        let angle_deg = |row: usize| cosine(row).abs().min(1.0).acos().to_degrees();
        long_deg.push(angle_deg(0));
        upright_deg.push(angle_deg(2));
        let is_right = cosine(0) > 0.0;
        right += usize::from(is_right);
        if found.direction.source == Source::Shape {
            by_shape += 1;
            right_by_shape += usize::from(is_right);
            confidence += found.direction.confidence;
        }
        profiles.push(found.profile);
    }
    let n = specimens.len();
    let residuals = residuals_um(&profiles.iter().collect::<Vec<_>>());
    let (long_deg, upright_deg) = (median(long_deg), median(upright_deg));
    let stated = confidence / f64::from(by_shape);
    let kept = f64::from(right_by_shape as i32) / f64::from(by_shape);
    println!(
        "{n} specimens; median angle of the long axis {long_deg:.2}°, of the upright axis {upright_deg:.2}°"
    );
    println!(
        "direction right in {right} of {n}; {right_by_shape} of {by_shape} that the shape decides (stated {stated:.3}, kept {kept:.3})"
    );
    println!("median residual {:.2} µm", median(residuals));
    assert!(long_deg < MEDIAN_LONG_DEG && upright_deg < MEDIAN_UPRIGHT_DEG);
    assert!(right as f64 >= RIGHT_BY_VOLUME * n as f64);
    assert!(kept > stated - CALIBRATION, "{kept} of those stated {stated}");
}
