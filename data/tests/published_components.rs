//! The published shape spaces of the zebrafish's lateral line primordium (Hartmann et al. 2020,
//! doi:10.7554/eLife.55913; idr0079): 60 features of 12,878 cells of experiment A, and their
//! principal components, which were fitted on those and on 2,469 cells that are not here.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ndarray::{Array2, ArrayView1, Axis, s};
use primordia_data::PrincipalComponents;
use primordia_data::linear::{product, transposed_product};

/// Percent of variance along the first eight components, as recomputed from all specimens.
const SPECTRA: [(&str, [f64; 8]); 2] = [
    ("TFOR", [20.4, 15.7, 12.5, 7.6, 7.0, 4.8, 3.3, 2.9]),
    ("CFOR", [45.6, 11.6, 7.5, 4.3, 4.1, 3.0, 2.7, 2.2]),
];
/// Points of percent: a sixth of the cells is missing.
const SPLIT: f64 = 0.5;
/// The tables are rounded to nine digits.
const ROUNDING: f64 = 1e-6;
/// Scores on specimens that had no part in learning the map.
const SAME: f64 = 0.9999;
/// Components of nearly the same variance (CFOR 4 and 5) turn into one another with the cells.
const REFITTED: f64 = 0.995;

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let data = std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from);
    let folder = data.join("idr0079_pllp_tables");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no {}; set PRIMORDIA_DATA", folder.display());
    None
}

/// The specimens of experiment A.
fn experiment_a(folder: &Path) -> HashSet<String> {
    let text = std::fs::read_to_string(folder.join("specimens.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row[1] == "A").map(|row| row[0].to_owned()).collect()
}

/// The specimen of each row, and its numbers.
fn table(path: &Path, specimens: &HashSet<String>) -> (Vec<String>, Array2<f64>) {
    let lines = BufReader::new(MultiGzDecoder::new(File::open(path).unwrap())).lines();
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    for line in lines.skip(1).map(Result::unwrap) {
        let mut parts = line.split('\t');
        let id = parts.next().unwrap();
        if specimens.contains(id) {
            ids.push(id.to_owned());
            values.extend(parts.skip(1).map(|value| value.parse::<f64>().unwrap()));
        }
    }
    let n_columns = values.len() / ids.len();
    let values = Array2::from_shape_vec((ids.len(), n_columns), values).unwrap();
    (ids, values)
}

fn correlation(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let (a, b) = (&a - a.mean().unwrap(), &b - b.mean().unwrap());
    (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt()
}

/// The space whose scores on `raw` are `published`: the affine map between them, taken apart into
/// means, scales and directions.
fn published_space(raw: &Array2<f64>, published: &Array2<f64>) -> PrincipalComponents {
    // Our own scores do not correlate with one another, so each has its own regression.
    let own = PrincipalComponents::fit(raw.view(), None).unwrap();
    let scores = own.transform(raw.view());
    let middle = published.mean_axis(Axis(0)).unwrap();
    let mut slopes = transposed_product(scores.view(), (published - &middle).view());
    for (mut row, scores) in slopes.rows_mut().into_iter().zip(scores.columns()) {
        row /= scores.dot(&scores);
    }
    // Raw features × published components: directions over scales.
    let mut map = product(own.components.t(), slopes.view());
    for (mut row, scale) in map.rows_mut().into_iter().zip(&own.scale) {
        row /= *scale;
    }
    let scale = map.map_axis(Axis(1), |row| 1.0 / row.dot(&row).sqrt());
    for (mut row, scale) in map.rows_mut().into_iter().zip(&scale) {
        row *= *scale;
    }
    let components = map.t().to_owned();
    let shift = product(components.t(), middle.view().insert_axis(Axis(1))).column(0).to_owned();
    let mean = &own.mean - &(&shift * &scale);
    PrincipalComponents {
        mean,
        scale,
        components,
        explained_variance_ratio: own.explained_variance_ratio,
    }
}

#[test]
fn the_published_components_are_reproduced() {
    let Some(folder) = folder() else { return };
    let specimens = experiment_a(&folder);
    for (frame, spectrum) in SPECTRA {
        let (ids, raw) =
            table(&folder.join(format!("shape_{frame}_raw_measured.tsv.gz")), &specimens);
        let (same_ids, published) =
            table(&folder.join(format!("shape_{frame}_pca_measured.tsv.gz")), &specimens);
        assert_eq!(ids, same_ids);
        assert_eq!(raw.ncols(), published.ncols());

        let own = PrincipalComponents::fit(raw.view(), None).unwrap();
        let percent = own.explained_variance_ratio.slice(s![..8]).mapv(|part| 100.0 * part);
        println!("{frame}: {percent:.1} % of variance; published {spectrum:?}");
        for (found, wanted) in percent.iter().zip(spectrum) {
            assert!((found - wanted).abs() <= SPLIT, "{frame}: {percent}");
        }
        let scores = own.transform(raw.view());
        for at in 0..6 {
            let r = correlation(scores.column(at), published.column(at)).abs();
            println!("{frame} component {}: |r| {r:.5} when fitted anew", at + 1);
            assert!(r >= REFITTED, "{frame} {at}: {r}");
        }

        let middle = ids.len() / 2;
        let learned = published_space(
            &raw.slice(s![..middle, ..]).to_owned(),
            &published.slice(s![..middle, ..]).to_owned(),
        );
        let squares = product(learned.components.view(), learned.components.t());
        let off = (&squares - &Array2::<f64>::eye(squares.nrows())).mapv(f64::abs);
        let off = off.iter().copied().fold(0.0, f64::max);
        assert!(off < ROUNDING, "{frame}: directions are off orthonormal by {off}");
        let scores = learned.transform(raw.slice(s![middle.., ..]));
        for at in 0..published.ncols() {
            let r = correlation(scores.column(at), published.slice(s![middle.., at]));
            assert!(r >= SAME, "{frame} {at}: {r}");
        }
    }
}
