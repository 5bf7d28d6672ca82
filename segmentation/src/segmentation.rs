//! What a segmentation gives: cells, how sure it is of each, and what it decided on the way.

use primordia_data::{Labels, Volume};
use rayon::prelude::*;
use serde::Serialize;

use crate::confidence::{CellEvidence, Unfound, Verdict};

/// The cells of one image.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The cells, numbered `1..=n`, on the grid of the image.
    pub labels: Labels,
    /// For each cell, in the order of [`Labels::cells`], what speaks for it; `None` of a method that does not ask.
    pub evidence: Option<Vec<CellEvidence>>,
    /// What tells of cells that were not found; nothing of a method that does not ask.
    pub unfound: Unfound,
    /// How the grey level that parts cell bodies from membranes was chosen.
    pub threshold: Threshold,
}

impl Segmentation {
    /// For each cell, in the order of [`Labels::cells`], the probability that it is one whole cell.
    pub fn confidence(&self) -> Option<Vec<f32>> {
        let evidence = self.evidence.as_ref()?;
        Some(evidence.iter().map(|cell| cell.probability() as f32).collect())
    }

    /// What to make of the whole.
    pub fn verdict(&self) -> Option<Verdict> {
        let verdict = Verdict::new(self.labels.cells(), &self.confidence()?);
        Some(verdict.with_unfound(self.unfound))
    }
}

/// A threshold and those it was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// The chosen level: voxels at or below it are cell bodies or background.
    pub level: f64,
    /// Every level tried, with the number of cells that it gave.
    pub tried: Vec<(f64, usize)>,
}

/// The number of voxels of each label `0..=largest`.
pub(crate) fn label_sizes(labels: &Volume<u32>, largest: u32) -> Vec<u64> {
    const CHUNK: usize = 1 << 20;
    labels
        .as_slice()
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut sizes = vec![0; largest as usize + 1];
            chunk
                .chunk_by(|a, b| a == b)
                .for_each(|run| sizes[run[0] as usize] += run.len() as u64);
            sizes
        })
        .reduce(|| vec![0; largest as usize + 1], sum_of)
}

/// Replaces every label by its entry in `names`.
pub(crate) fn rename(labels: &mut Volume<u32>, names: &[u32]) {
    if let Some(voxels) = labels.voxels_mut().as_slice_mut() {
        voxels.par_iter_mut().for_each(|label| *label = names[*label as usize]);
    }
}

/// The pairs of labels (lower first, 0 included) that share a face of a voxel, ascending.
pub(crate) fn touching(labels: &Volume<u32>) -> Vec<(u32, u32)> {
    const STRETCH: usize = 64;
    let [_, n_y, n_x] = labels.shape();
    let voxels = labels.as_slice();
    let next = |from: usize| voxels.get(from..from + n_x);
    let mut pairs: Vec<(u32, u32)> = voxels
        .par_chunks(n_x)
        .enumerate()
        .flat_map_iter(|(row, here)| {
            let mut pairs = Vec::new();
            let below = if (row + 1) % n_y > 0 { next((row + 1) * n_x) } else { None };
            let behind = next((row + n_y) * n_x);
            for near in [Some(&here[1..]), below, behind].into_iter().flatten() {
                // Stretches inside one cell take one look.
                for (here, near) in here.chunks(STRETCH).zip(near.chunks(STRETCH)) {
                    if here == near {
                        continue;
                    }
                    for (&a, &b) in here.iter().zip(near) {
                        if a != b && pairs.last() != Some(&(a.min(b), a.max(b))) {
                            pairs.push((a.min(b), a.max(b)));
                        }
                    }
                }
            }
            pairs.sort_unstable();
            pairs.dedup();
            pairs
        })
        .collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    pairs
}

fn sum_of(mut a: Vec<u64>, b: Vec<u64>) -> Vec<u64> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::volume;

    #[test]
    fn faces_make_neighbours() {
        let labels = volume([2, 1, 3], vec![1, 1, 2, 3, 0, 0]);
        assert_eq!(touching(&labels), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
        assert_eq!(label_sizes(&labels, 3), [2, 2, 1, 1]);
    }
}
