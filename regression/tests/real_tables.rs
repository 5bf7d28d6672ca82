//! The published tables of the zebrafish lateral line primordium: eight proteins, tissue and cell frame
//! (Hartmann et al. 2020, doi:10.7554/eLife.55913; IDR idr0079, doi:10.17867/10000138).
//!
//! `$PRIMORDIA_DATA`, or `../shared/data/real` beside the repository, holds them; without them the test says so and passes.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::GzDecoder;
use ndarray::{Array2, Axis};
use primordia_data::linear::side_by_side;
use primordia_regression::{Folds, Intervals, ProteinRegressor, cross_validate};

/// What scikit-learn 1.9.1 scores on these tables with z-scores, 20 components in and out and `RidgeCV`,
/// by the same folds (mean over folds; TFOR, CFOR).
const SCIKIT_LEARN: [(&str, f64, f64); 8] = [
    ("NLStdTomato", 0.444, 0.088),
    ("tagRFPtUtrCH", 0.559, 0.072),
    ("mKate2GM130", 0.662, -0.012),
    ("mKate2rab5", 0.672, -0.115),
    ("mKate2rab11", 0.553, 0.115),
    ("CDMPRtagRFPt", 0.795, 0.192),
    ("b4galT1tagRFPt", 0.652, 0.115),
    ("lysotrackerdeepred", 0.664, 0.072),
];
/// Rounding of the printed scores.
const PRINTED: f64 = 0.001;

fn tables() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let root = std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from);
    let folder = root.join("idr0079_pllp_tables");
    folder.is_dir().then_some(folder)
}

struct Table {
    specimens: Vec<String>,
    cells: Vec<String>,
    columns: Vec<String>,
    values: Array2<f64>,
}

impl Table {
    fn read(folder: &Path, name: &str) -> Self {
        let file = File::open(folder.join(format!("{name}.tsv.gz"))).unwrap();
        let mut text = String::new();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let columns: Vec<String> =
            lines.next().unwrap().split('\t').skip(2).map(str::to_owned).collect();
        let (mut specimens, mut cells, mut values) = (vec![], vec![], vec![]);
        for line in lines {
            let mut fields = line.split('\t');
            specimens.push(fields.next().unwrap().to_owned());
            cells.push(fields.next().unwrap().to_owned());
            values.extend(fields.map(|field| field.parse::<f64>().unwrap()));
        }
        let values = Array2::from_shape_vec((cells.len(), columns.len()), values).unwrap();
        Self { specimens, cells, columns, values }
    }

    fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.specimens.iter().zip(&self.cells).map(|(a, b)| (a.as_str(), b.as_str()))
    }

    /// The rows of this table for the cells of `other`.
    fn for_cells_of(&self, other: &Self) -> Array2<f64> {
        let rows: HashMap<_, _> = self.keys().enumerate().map(|(row, key)| (key, row)).collect();
        let rows: Vec<usize> = other.keys().map(|key| rows[&key]).collect();
        self.values.select(Axis(0), &rows)
    }

    fn select(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let at: Vec<usize> =
            (0..self.columns.len()).filter(|&i| wanted(&self.columns[i])).collect();
        Self {
            specimens: self.specimens.clone(),
            cells: self.cells.clone(),
            columns: at.iter().map(|&i| self.columns[i].clone()).collect(),
            values: self.values.select(Axis(1), &at),
        }
    }
}

fn size_and_orientation(column: &str) -> bool {
    column == "Volume" || column.ends_with("Axis Length") || column.starts_with("Orientation")
}

#[test]
fn eight_proteins_score_at_least_what_scikit_learn_scores() {
    let Some(folder) = tables() else {
        eprintln!("SKIPPED: no idr0079_pllp_tables in $PRIMORDIA_DATA or ../shared/data/real");
        return;
    };
    let tissue = Table::read(&folder, "shape_TFOR_raw_measured");
    let cell = Table::read(&folder, "shape_CFOR_raw_measured");
    let other = Table::read(&folder, "other_measurements");
    let position = other.select(|column| column.starts_with("Centroids TFOR"));
    let size = other.select(size_and_orientation);
    let engineered = other.select(|column| !column.starts_with("Centroids"));
    println!(
        "target                     cells linear   (sklearn) shape  all    | posit. size+o | covered | seconds"
    );
    let mut summary = Vec::new();
    for (protein, peer_tissue, peer_cell) in SCIKIT_LEARN {
        for (frame, shape, peer) in [("TFOR", &tissue, peer_tissue), ("CFOR", &cell, peer_cell)] {
            let target = Table::read(&folder, &format!("{protein}_{frame}_raw_measured"));
            let folds = Folds::whole_specimens(&target.specimens, 5).unwrap();
            let y = target.values.view();
            let [own, tissue, cell, engineered, position, size] =
                [shape, &tissue, &cell, &engineered, &position, &size]
                    .map(|table| table.for_cells_of(&target));
            let all =
                side_by_side(&[tissue.view(), cell.view(), engineered.view(), position.view()]);
            let start = Instant::now();
            let validate = |x: &Array2<f64>, regressor: &ProteinRegressor| {
                cross_validate(regressor, x.view(), y, &folds).unwrap()
            };
            let (linear, default) = (ProteinRegressor::linear(), ProteinRegressor::default());
            let as_peer = validate(&own, &linear).score.mean();
            let shape_only = validate(&own, &default);
            let everything = match frame {
                "TFOR" => f64::NAN, // no better than shape alone
                _ => validate(&all, &default).score.mean(),
            };
            let seconds = start.elapsed().as_secs_f64();
            let baselines = [&position, &size].map(|x| validate(x, &linear).score.mean());
            let covered = covered_share(&shape_only, &target.values, &target.specimens);
            let score = shape_only.score.mean();
            println!(
                "{protein:20} {frame} {:6} {as_peer:6.3} ({peer:6.3})  {score:6.3} {everything:6.3} | {:6.3} {:6.3} | {covered:.3} | {seconds:.2}",
                y.nrows(),
                baselines[0],
                baselines[1],
            );
            assert!((as_peer - peer).abs() < PRINTED, "{protein} {frame}: {as_peer} is not {peer}");
            summary.push((protein, frame, score.max(everything), peer));
        }
    }
    for (protein, frame, best, peer) in summary {
        assert!(best > peer - PRINTED, "{protein} {frame}: {best} is below {peer}");
    }
}

/// How many of the values of every third specimen the intervals from the others cover.
fn covered_share(
    validated: &primordia_regression::CrossValidation,
    measured: &Array2<f64>,
    specimens: &[String],
) -> f64 {
    let thirds = Folds::whole_specimens(specimens, 3).unwrap();
    let (mut covered, mut total) = (0, 0);
    for fold in 0..3 {
        let (known, new) = thirds.split(fold);
        let part = |table: &Array2<f64>, rows: &[usize]| table.select(Axis(0), rows);
        let names: Vec<&str> = known.iter().map(|&row| specimens[row].as_str()).collect();
        let folds = Folds::whole_specimens(&names, 5).unwrap();
        let predicted = part(&validated.predicted, &known);
        let leverage = validated.leverage.select(Axis(0), &known);
        let predicted = (predicted.view(), leverage.view());
        let intervals =
            Intervals::fit(part(measured, &known).view(), predicted, &folds, 0.9).unwrap();
        let guess = part(&validated.predicted, &new);
        let (lower, upper) =
            intervals.around(guess.view(), validated.leverage.select(Axis(0), &new).view());
        let values = part(measured, &new);
        covered +=
            values.iter().zip(&lower).zip(&upper).filter(|((v, l), u)| l <= v && v <= u).count();
        total += values.len();
    }
    covered as f64 / total as f64
}
