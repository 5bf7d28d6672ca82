//! How sure it is that each segmented cell is one whole cell.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the faces of a cell and of its pieces say, each as a mean of the evidence for sheets in
/// them: 0 where there is none, 1 where they are as strong as is usual nearby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CellEvidence {
    /// Over all faces to neighbours.
    pub around: f64,
    /// Over the weakest face to a neighbour.
    pub weakest: f64,
    /// The highest probability that two of its pieces, which were joined, are two cells.
    pub most_joined: f64,
    /// The lowest probability that it and a neighbour are two cells.
    pub least_parted: f64,
    /// The cell's volume as a share of the usual.
    pub relative_volume: f64,
    /// Whether the border of the image cuts the cell, so that it may look smaller than it is.
    pub is_cut: bool,
}

impl CellEvidence {
    /// The probability that this is one whole cell: that it overlaps with a true one by an
    /// intersection over union of at least 0.5.
    ///
    /// A logistic regression on 14,850 cells of 76 phantoms, from clean ones to the edge of sight, of several voxel
    /// sizes, whole tissues and parts of crowded ones, found by sheets alone and with the network; `training/confidence.py` makes
    /// one from the tables that the benchmark `phantoms` writes.
    pub fn probability(&self) -> f64 {
        let log_volume = self.relative_volume.max(1e-3).ln();
        let smaller = if self.is_cut { 1.579 } else { 2.695 };
        let logit = -0.577 + 2.400 * self.around + 1.769 * self.weakest
            - 0.198 * log_odds(self.most_joined)
            - 0.476 * log_odds(1.0 - self.least_parted)
            - 4.056 * log_volume.max(0.0)
            - smaller * (-log_volume).max(0.0);
        1.0 / (1.0 + (-logit).exp())
    }
}

/// The logarithm of the odds of a probability, which says more near 0 and 1.
fn log_odds(p: f64) -> f64 {
    const SURE: f64 = 1e-3;
    let p = p.clamp(SURE, 1.0 - SURE);
    (p / (1.0 - p)).ln()
}

/// What to do about a segmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nearly all cells are whole: go on.
    Pass,
    /// Some cells are probably wrong: look at the least sure ones.
    Look,
    /// Many cells are probably wrong: the image shows its membranes too poorly.
    Fail,
}

/// How well one image was segmented, as far as the image itself tells; cells that were missed altogether show only by their
/// walls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub grade: Grade,
    /// The number of cells that was found.
    pub n_cells: usize,
    /// How many of them are expected not to be one whole cell.
    pub expected_wrong: f64,
    /// The least sure cells and their probabilities of being whole, at most five, least sure first.
    pub least_sure: Vec<(u32, f32)>,
    /// What tells of cells that were not found.
    #[serde(flatten)]
    pub unfound: Unfound,
}

/// What an image shows outside of the cells that were found, where there may be more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unfound {
    /// The area of faint walls outside of all cells, as a share of it and the area of all faces that pieces of cells have.
    pub faint_walls: f64,
    /// The volume of what is far brighter than membranes and no cell, as a share of the volume of all cells.
    pub glare: f64,
}

impl Verdict {
    /// More than this share of wrong cells is worth a look.
    const LOOK: f64 = 0.03;
    /// More than this share is no basis for anything.
    const FAIL: f64 = 0.15;

    /// Up to this share of wrong cells nothing is in doubt: less than one cell of an embryo of a hundred.
    const DOUBT: f64 = 0.005;

    /// Where faint walls outside of cells are more than this share, cells may be missing: what noise looks like is less.
    const MISSED: f64 = 0.05;

    /// Where what is far brighter than membranes is more than this share as large as all cells, it may hide some.
    const GLARE: f64 = 0.1;

    /// Whether a slower method may be worth its time.
    pub fn leaves_doubts(&self) -> bool {
        self.share_wrong() > Self::DOUBT || self.misses_cells()
    }

    /// Whether walls outside of all cells tell that cells are missing.
    pub fn misses_cells(&self) -> bool {
        self.unfound.faint_walls > Self::MISSED
    }

    /// The share of cells that are expected to be wrong; 0 without cells.
    pub fn share_wrong(&self) -> f64 {
        self.expected_wrong / self.n_cells.max(1) as f64
    }

    /// Whether, of two segmentations of an image, this one leaves no more doubts than `other`, or hardly any, and yet finds nearly
    /// as much: at least three quarters of the cells expected to be whole. Not all, since what looks like cells where noise or
    /// stripes look like walls counts as such. Or it finds a tenth more of them, is nearly as sure (a third more of its cells are
    /// wrong at most), and does not fail. Anything is as good as no cells.
    pub fn is_no_worse_than(&self, other: &Self) -> bool {
        const NEARLY: f64 = 0.75;
        const MORE: f64 = 1.1;
        const NEARLY_AS_SURE: f64 = 4.0 / 3.0;
        let whole = |verdict: &Self| verdict.n_cells as f64 - verdict.expected_wrong;
        let leaves_no_more = self.share_wrong() <= other.share_wrong().max(Self::DOUBT);
        let finds_nearly_all = whole(self) >= NEARLY * whole(other);
        let finds_more = whole(self) >= MORE * whole(other);
        let is_nearly_as_sure =
            self.grade != Grade::Fail && self.share_wrong() <= NEARLY_AS_SURE * other.share_wrong();
        other.n_cells == 0
            || (leaves_no_more && finds_nearly_all)
            || (is_nearly_as_sure && finds_more)
    }

    /// With what tells of cells that were not found. What is far brighter than membranes, which may be yolk, is mentioned; faint
    /// walls are worth a look.
    #[must_use]
    pub fn with_unfound(mut self, unfound: Unfound) -> Self {
        self.unfound = unfound;
        if self.misses_cells() && self.grade == Grade::Pass {
            self.grade = Grade::Look;
        }
        self
    }

    /// From the probability of each of the cells `labels` to be whole.
    pub fn new(labels: &[u32], probabilities: &[f32]) -> Self {
        const LISTED: usize = 5;
        const UNSURE: f32 = 0.9;
        let n_cells = probabilities.len();
        let expected_wrong = probabilities.iter().map(|&p| 1.0 - f64::from(p)).sum::<f64>();
        let grade = match expected_wrong / n_cells.max(1) as f64 {
            share if share <= Self::LOOK => Grade::Pass,
            share if share <= Self::FAIL => Grade::Look,
            _ => Grade::Fail,
        };
        let mut least_sure: Vec<(u32, f32)> =
            labels.iter().copied().zip(probabilities.iter().copied()).collect();
        least_sure.retain(|cell| cell.1 < UNSURE);
        least_sure.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        least_sure.truncate(LISTED);
        Self { grade, n_cells, expected_wrong, least_sure, unfound: Unfound::default() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Pass => "pass",
            Grade::Look => "look",
            Grade::Fail => "fail",
        };
        let (wrong, n_cells) = (self.expected_wrong, self.n_cells);
        match self.grade {
            Grade::Pass | Grade::Look if wrong < 0.5 => {
                write!(f, "{grade}: every cell looks whole")?;
            }
            _ if wrong < 1.5 => {
                write!(f, "{grade}: about 1 of {n_cells} cells is probably split, merged or none")?;
            }
            _ => write!(
                f,
                "{grade}: about {wrong:.0} of {n_cells} cells are probably split, merged or none"
            )?,
        }
        let listed: Vec<String> = self
            .least_sure
            .iter()
            .map(|(label, p)| format!("{label} ({:.0} %)", 100.0 * p))
            .collect();
        if !listed.is_empty() {
            write!(f, "; least sure: {}", listed.join(", "))?;
        }
        if self.misses_cells() {
            write!(f, "; cells may be missing: there are faint walls outside of cells")?;
        }
        if self.unfound.glare > Self::GLARE {
            let percent = 100.0 * self.unfound.glare;
            write!(
                f,
                "; what is far brighter than membranes, {percent:.0} % as large as all cells, may hide some"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> CellEvidence {
        CellEvidence {
            around: 0.9,
            weakest: 0.7,
            most_joined: 0.1,
            least_parted: 0.99,
            relative_volume: 1.0,
            ..CellEvidence::default()
        }
    }

    #[test]
    fn stronger_faces_make_a_cell_surer_and_stronger_cuts_through_it_less_sure() {
        let p = sound().probability();
        assert!(p > 0.99, "{p}");
        let worse = [
            CellEvidence { around: 0.5, ..sound() },
            CellEvidence { weakest: 0.3, ..sound() },
            CellEvidence { most_joined: 0.45, ..sound() },
            CellEvidence { least_parted: 0.6, ..sound() },
            CellEvidence { relative_volume: 2.0, ..sound() },
            CellEvidence { relative_volume: 0.2, ..sound() },
        ];
        assert!(worse.iter().all(|cell| cell.probability() < p));
    }

    #[test]
    fn a_small_cell_at_the_border_of_the_image_may_be_a_whole_one_that_is_cut() {
        let small = CellEvidence { relative_volume: 0.2, ..sound() };
        let cut = CellEvidence { is_cut: true, ..small };
        assert!(cut.probability() > small.probability());
        assert!(cut.probability() < sound().probability());
    }

    #[test]
    fn a_verdict_names_the_least_sure_cells() {
        let verdict = Verdict::new(&[1, 2, 7, 9], &[0.99, 0.2, 0.995, 0.85]);
        assert_eq!(verdict.grade, Grade::Fail);
        assert_eq!(
            verdict.to_string(),
            "fail: about 1 of 4 cells is probably split, merged or none; least sure: 2 (20 %), 9 (85 %)"
        );
        let sure = Verdict::new(&[1, 2], &[0.99, 0.99]);
        assert_eq!(sure.grade, Grade::Pass);
        assert_eq!(sure.to_string(), "pass: every cell looks whole");
    }

    #[test]
    fn faint_walls_outside_of_cells_are_worth_a_look() {
        let verdict = |faint_walls| {
            let unfound = Unfound { faint_walls, glare: 0.05 };
            Verdict::new(&[1, 2], &[1.0, 1.0]).with_unfound(unfound)
        };
        assert_eq!(verdict(0.02).grade, Grade::Pass);
        let found = verdict(0.2);
        assert!(found.leaves_doubts() && found.grade == Grade::Look);
        assert_eq!(
            found.to_string(),
            "look: every cell looks whole; cells may be missing: there are faint walls outside of cells"
        );
    }

    #[test]
    fn what_may_hide_cells_is_mentioned() {
        let unfound = Unfound { glare: 0.25, ..Unfound::default() };
        let found = Verdict::new(&[1, 2], &[1.0, 1.0]).with_unfound(unfound);
        assert_eq!(found.grade, Grade::Pass);
        assert_eq!(
            found.to_string(),
            "pass: every cell looks whole; what is far brighter than membranes, 25 % as large as all cells, may hide some"
        );
    }
}
