//! How well labels agree with the truth.

use std::collections::HashMap;

use primordia_data::Labels;
use rayon::prelude::*;
use serde::Serialize;

use crate::assignment::best_assignment;
use crate::error::{Result, SegmentError};

/// Agreement of a label image with the truth; voxels that are background in the truth count only
/// in the overlaps (`IoU`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Cells in the scored labels.
    pub n_cells: usize,
    /// Cells in the truth.
    pub n_true: usize,
    /// Adapted Rand error, 0 (perfect) to 1 (Arganda-Carreras et al. 2015,
    /// doi:10.3389/fnana.2015.00142): one minus the F-score over pairs of voxels of true cells;
    /// voxels labelled background count as one cell each.
    pub adapted_rand_error: f64,
    /// Variation of information due to splits, `H(labels | truth)` in bits (Meilă 2007,
    /// doi:10.1016/j.jmva.2006.11.013).
    pub voi_split: f64,
    /// Variation of information due to merges, `H(truth | labels)` in bits.
    pub voi_merge: f64,
    /// F1 of cells matched with an intersection over union of at least 0.5.
    pub f1_iou_50: f64,
    /// F1 of cells matched with an intersection over union of at least 0.75.
    pub f1_iou_75: f64,
    /// Mean intersection over union of the matched pairs. Labels are matched one to one so that
    /// the sum of their overlaps is largest; numbers that no voxel carries, up to the largest,
    /// count as cells without overlap here.
    pub mean_matched_iou: f64,
}

/// Scores `labels` against `truth`.
///
/// # Errors
/// [`SegmentError::Data`] if the two are not on one grid, [`SegmentError::NoTruth`] if the truth has no cells.
pub fn score(labels: &Labels, truth: &Labels) -> Result<Scores> {
    truth.volume().check_same_grid(labels.volume())?;
    if truth.n_cells() == 0 {
        return Err(SegmentError::NoTruth);
    }
    let overlaps = Overlaps::count(labels, truth);
    let (voi_split, voi_merge) = overlaps.variation_of_information();
    let matched = overlaps.matched_ious();
    let f1 = |least: f64| {
        let n_matched = matched.iter().filter(|&&iou| iou >= least).count();
        2.0 * n_matched as f64 / (labels.n_cells() + truth.n_cells()) as f64
    };
    let numbers = |labels: &Labels| labels.cells().last().map_or(0, |&label| label as usize);
    let n_pairs = numbers(labels).min(numbers(truth)).max(1);
    Ok(Scores {
        n_cells: labels.n_cells(),
        n_true: truth.n_cells(),
        adapted_rand_error: overlaps.adapted_rand_error(),
        voi_split,
        voi_merge,
        f1_iou_50: f1(0.5),
        f1_iou_75: f1(0.75),
        mean_matched_iou: matched.iter().sum::<f64>() / n_pairs as f64,
    })
}

/// For each of the cells of `labels`, its largest intersection over union with a cell of `truth`; 0 if it meets none.
///
/// # Errors
/// [`SegmentError::Data`] if the two are not on one grid.
pub fn best_ious(labels: &Labels, truth: &Labels) -> Result<Vec<f64>> {
    truth.volume().check_same_grid(labels.volume())?;
    let mut best = vec![0.0; labels.n_cells()];
    for (cell, _, iou) in Overlaps::count(labels, truth).ious() {
        best[cell] = iou.max(best[cell]);
    }
    Ok(best)
}

/// Voxels shared by each pair of labels. Row and column 0 are background, then cells in order.
struct Overlaps {
    pairs: Vec<(usize, usize, u64)>, // row (labels), column (truth), voxels; ascending
    rows: Vec<u64>,                  // voxels of each label
    columns: Vec<u64>,               // voxels of each true cell
}

impl Overlaps {
    fn count(labels: &Labels, truth: &Labels) -> Self {
        const CHUNK: usize = 1 << 18;
        let found = labels.volume().as_slice().par_chunks(CHUNK);
        let wanted = truth.volume().as_slice().par_chunks(CHUNK);
        let mut shared = found
            .zip(wanted)
            .map(|(found, wanted)| count_pairs(found, wanted))
            .reduce(HashMap::new, |mut all, some| {
                for (pair, n) in some {
                    *all.entry(pair).or_insert(0) += n;
                }
                all
            })
            .into_iter()
            .collect::<Vec<_>>();
        shared.sort_unstable();
        let (label_rows, true_rows) = (labels.rows(), truth.rows());
        let mut rows = vec![0; labels.n_cells() + 1];
        let mut columns = vec![0; truth.n_cells() + 1];
        let mut pairs = Vec::with_capacity(shared.len());
        for ((label, cell), n) in shared {
            let row = label_rows.row(label).map_or(0, |row| row + 1);
            let column = true_rows.row(cell).map_or(0, |column| column + 1);
            rows[row] += n;
            columns[column] += n;
            pairs.push((row, column, n));
        }
        Self { pairs, rows, columns }
    }

    /// The pairs whose truth is a cell.
    fn in_true_cells(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        self.pairs.iter().filter(|pair| pair.1 > 0).map(|&(row, column, n)| (row, column, n as f64))
    }

    /// Voxels of each label that lie in true cells.
    fn rows_in_true_cells(&self) -> Vec<f64> {
        let mut rows = vec![0.0; self.rows.len()];
        self.in_true_cells().for_each(|(row, _, n)| rows[row] += n);
        rows
    }

    fn adapted_rand_error(&self) -> f64 {
        let rows = self.rows_in_true_cells();
        let unlabelled = rows[0];
        let in_both: f64 =
            self.in_true_cells().filter(|pair| pair.0 > 0).map(|pair| pair.2 * pair.2).sum();
        let in_both = in_both + unlabelled;
        let in_labels = rows[1..].iter().map(|n| n * n).sum::<f64>() + unlabelled;
        let in_truth = self.columns[1..].iter().map(|&n| (n as f64).powi(2)).sum::<f64>();
        let (precision, recall) = (in_both / in_labels, in_both / in_truth);
        1.0 - 2.0 * precision * recall / (precision + recall)
    }

    fn variation_of_information(&self) -> (f64, f64) {
        let total: f64 = self.columns[1..].iter().map(|&n| n as f64).sum();
        let joint = entropy_bits(self.in_true_cells().map(|pair| pair.2), total);
        let labels = entropy_bits(self.rows_in_true_cells().into_iter(), total);
        let truth = entropy_bits(self.columns[1..].iter().map(|&n| n as f64), total);
        (joint - truth, joint - labels)
    }

    /// The cells that overlap (found, true, each from 0) and by how much (`IoU`).
    fn ious(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let cells = self.pairs.iter().filter(|pair| pair.0 > 0 && pair.1 > 0);
        cells.map(|&(row, column, n)| {
            let union = self.rows[row] + self.columns[column] - n;
            (row - 1, column - 1, n as f64 / union as f64)
        })
    }

    /// The overlaps (`IoU`) of the one-to-one matching of cells that makes their sum largest.
    fn matched_ious(&self) -> Vec<f64> {
        let weights: Vec<_> = self.ious().collect();
        best_assignment(&weights).into_iter().map(|pair| weights[pair].2).collect()
    }
}

fn count_pairs(labels: &[u32], truth: &[u32]) -> HashMap<(u32, u32), u64> {
    let mut counts = HashMap::new();
    let mut run = ((0, 0), 0);
    for (&label, &cell) in labels.iter().zip(truth) {
        if run.0 == (label, cell) {
            run.1 += 1;
        } else {
            if run.1 > 0 {
                *counts.entry(run.0).or_insert(0) += run.1;
            }
            run = ((label, cell), 1);
        }
    }
    *counts.entry(run.0).or_insert(0) += run.1;
    counts
}

fn entropy_bits(counts: impl Iterator<Item = f64>, total: f64) -> f64 {
    counts.filter(|&n| n > 0.0).map(|n| n / total).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use ndarray::Array3;
    use primordia_data::VoxelSize;
    use rand::{Rng, SeedableRng};

    /// `score_labels.py` rounds to four digits.
    const ROUNDING: f64 = 0.5e-4 + 1e-9;

    fn labels(shape: (usize, usize, usize), values: Vec<u32>) -> Labels {
        let voxels = Array3::from_shape_vec(shape, values).unwrap();
        Labels::from_voxels(voxels, VoxelSize::from_um([1.0; 3]).unwrap()).unwrap()
    }

    #[test]
    fn the_truth_is_perfect() {
        let truth = labels((1, 1, 5), vec![0, 1, 1, 2, 2]);
        let scores = score(&truth, &truth).unwrap();
        assert_eq!(scores.f1_iou_75, 1.0);
        assert_eq!(scores.mean_matched_iou, 1.0);
        assert_abs_diff_eq!(scores.adapted_rand_error, 0.0, epsilon = 1e-12);
        assert_abs_diff_eq!(scores.voi_split + scores.voi_merge, 0.0, epsilon = 1e-12);
    }

    #[test]
    fn one_cell_halved_is_a_bit_of_splitting() {
        let truth = labels((1, 1, 4), vec![1; 4]);
        let scores = score(&labels((1, 1, 4), vec![1, 1, 2, 2]), &truth).unwrap();
        assert_abs_diff_eq!(scores.voi_split, 1.0, epsilon = 1e-12);
        assert_abs_diff_eq!(scores.voi_merge, 0.0, epsilon = 1e-12);
        // Pairs of the truth: 16; of the labels: 8, all of them right: F = 2 · 1 · ½ / 1½.
        assert_abs_diff_eq!(scores.adapted_rand_error, 1.0 / 3.0, epsilon = 1e-12);
    }

    /// The best sum pairs two half-good overlaps rather than one good and one empty.
    #[test]
    fn matching_is_best_overall() {
        let truth = labels((1, 1, 9), vec![1, 1, 1, 1, 1, 2, 2, 2, 0]);
        let found = labels((1, 1, 9), vec![1, 1, 2, 2, 2, 2, 2, 2, 0]);
        let scores = score(&found, &truth).unwrap();
        assert_abs_diff_eq!(scores.mean_matched_iou, f64::midpoint(2.0 / 5.0, 3.0 / 6.0));
        assert_eq!(scores.f1_iou_50, 0.5);
    }

    #[test]
    fn the_best_overlap_of_a_cell_need_not_be_its_own() {
        let truth = labels((1, 1, 9), vec![1, 1, 1, 1, 1, 2, 2, 2, 0]);
        let found = labels((1, 1, 9), vec![7, 7, 2, 2, 2, 2, 2, 2, 9]);
        // Cell 2 shares three voxels with either cell, of 8 and of 6.
        assert_eq!(best_ious(&found, &truth).unwrap(), [3.0 / 6.0, 2.0 / 5.0, 0.0]);
        assert!(best_ious(&found, &labels((1, 1, 1), vec![1])).is_err());
    }

    #[test]
    fn a_truth_without_cells_is_an_error() {
        let nothing = labels((1, 1, 3), vec![0; 3]);
        assert!(matches!(score(&nothing, &nothing), Err(SegmentError::NoTruth)));
        let cells = labels((1, 3, 1), vec![1; 3]);
        assert!(matches!(
            score(&cells, &labels((1, 1, 3), vec![1; 3])),
            Err(SegmentError::Data(_))
        ));
    }

    /// Blocks of labels with gaps in their numbers, as in `tests/reference/segmentation.py`.
    #[test]
    fn scores_are_those_of_the_script() {
        #[derive(serde::Deserialize)]
        struct Case {
            shape: [usize; 3],
            labels: Vec<u32>,
            truth: Vec<u32>,
            scores: HashMap<String, f64>,
        }
        let json = include_str!("../tests/reference/scores.json");
        for case in serde_json::from_str::<Vec<Case>>(json).unwrap() {
            let shape = case.shape.into();
            let scores = score(&labels(shape, case.labels), &labels(shape, case.truth)).unwrap();
            let close = |value: f64, name: &str| {
                assert!(
                    (value - case.scores[name]).abs() <= ROUNDING,
                    "{name}: {value} {:?}",
                    case.scores
                );
            };
            close(scores.n_cells as f64, "cells_pred");
            close(scores.n_true as f64, "cells_true");
            close(scores.adapted_rand_error, "are");
            close(scores.voi_split, "voi_split");
            close(scores.voi_merge, "voi_merge");
            close(scores.f1_iou_50, "f1_50");
            close(scores.f1_iou_75, "f1_75");
            close(scores.mean_matched_iou, "miou");
        }
    }

    #[test]
    fn names_of_cells_do_not_matter() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let found: Vec<u32> = (0..120).map(|_| rng.random_range(0..5)).collect();
        let truth: Vec<u32> = (0..120).map(|_| rng.random_range(0..4)).collect();
        let swapped = found.iter().map(|&label| [0, 3, 1, 4, 2][label as usize]).collect();
        let truth = labels((4, 5, 6), truth);
        let one = score(&labels((4, 5, 6), found), &truth).unwrap();
        let other = score(&labels((4, 5, 6), swapped), &truth).unwrap();
        assert_abs_diff_eq!(one.adapted_rand_error, other.adapted_rand_error, epsilon = 1e-12);
        assert_abs_diff_eq!(one.mean_matched_iou, other.mean_matched_iou, epsilon = 1e-12);
    }
}
