//! Joins the regions of an over-segmentation that are one cell, as was learned from tissues whose cells are known.
//!
//! The two groups of regions that most probably are one cell are joined first, until no two probably are
//! (agglomeration with a learned policy: Nunez-Iglesias et al. 2013, doi:10.1371/journal.pone.0071715). How probable it is tells
//! a perceptron from what is known of both: the evidence on their common face and on all others, how large they are
//! and what form they have, and what was overruled to make them.

mod groups;
mod lesson;
mod perceptron;
mod phantoms;
mod teacher;
mod training;

use groups::Groups;
pub(crate) use groups::{Image, OUTSIDE};
pub use lesson::Lesson;
use perceptron::Perceptron;
pub use training::{Recipe, train};

use crate::cells::usual_um3;
use crate::error::{Result, SegmentError};
use crate::guide::Guide;
use crate::merge::{Face, Held, Linkage, Merged, RegionGraph, Within, merge, merge_within};

/// The weights that come with Primordia; docs/segmentation.md has their recipe.
const SHIPPED: &str = include_str!("../../weights/joining.json");

/// Two groups are joined if this or less is the probability that they are two.
const MOST: f64 = 0.5;
/// The perceptron knows nothing of nuclei. What two groups hold of them changes the odds that they are two by e to this many
/// times the evidence that it adds to a face: different nuclei that are sure make two cells 20 times as probable.
const NUCLEI: f64 = 10.0;

/// Knows which regions are one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Joining(Perceptron);

impl Joining {
    /// What comes with Primordia.
    ///
    /// # Errors
    /// None, unless the program was built with other weights.
    pub fn shipped() -> Result<Self> {
        Self::from_json(SHIPPED)
    }

    /// What was learned and kept as JSON.
    ///
    /// # Errors
    /// [`SegmentError::NotJoining`] if it is something else.
    pub fn from_json(json: &str) -> Result<Self> {
        let perceptron: Perceptron =
            serde_json::from_str(json).map_err(|_| SegmentError::NotJoining)?;
        if perceptron.is_whole() { Ok(Self(perceptron)) } else { Err(SegmentError::NotJoining) }
    }

    /// What was learned as JSON.
    ///
    /// # Errors
    /// [`SegmentError::NotJoining`] if it cannot be written as such.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(&self.0).map_err(|_| SegmentError::NotJoining)
    }

    /// The usual volume of a cell, after that of groups of regions joined by evidence alone: between that, which is too large
    /// where cells leak, and that of what is joined with it in mind, which is too small where they are cut.
    pub(crate) fn usual_um3(
        &self,
        image: &Image,
        guide: &Guide<'_>,
        by_evidence_um3: f64,
        least_um3: f64,
    ) -> f64 {
        let merged = self.merge(image, guide, by_evidence_um3);
        let learned_um3 = usual_um3(&merged, image, guide, least_um3);
        (by_evidence_um3 * learned_um3).sqrt()
    }

    /// Joins the regions of an image whose cells usually have some volume.
    pub(crate) fn merge(&self, image: &Image, guide: &Guide<'_>, usual_um3: f64) -> Merged {
        merge(&image.graph, MOST, &mut Learned::new(self, image, guide, usual_um3))
    }

    /// What speaks against each of the `groups` of regions, which are numbered in the order of their first regions; `joined` is
    /// their graph.
    pub(crate) fn doubts(
        &self,
        image: &Image,
        guide: &Guide<'_>,
        usual_um3: f64,
        groups: &[u32],
        joined: &RegionGraph,
    ) -> Vec<Doubt> {
        let linkage = Learned::new(self, image, guide, usual_um3);
        let mut within = Within { groups, linkage };
        let merged = merge_within(&image.graph, &mut within);
        let learned = within.linkage;
        let mut doubts: Vec<Doubt> = (merged.most_joined.iter())
            .map(|&most_joined| Doubt { most_joined, least_parted: 1.0 })
            .collect();
        let roots = learned.groups.roots(groups, doubts.len());
        for (a, b, face) in joined.faces() {
            let parted = learned.parts(roots[a as usize], roots[b as usize], face);
            for side in [a, b] {
                let least = &mut doubts[side as usize].least_parted;
                *least = least.min(parted);
            }
        }
        doubts
    }
}

/// What speaks against a group of regions: probabilities that two are two cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// The highest of regions, or groups of them, that were joined to make it.
    pub(crate) most_joined: f64,
    /// The lowest of it and a group that it touches; 1 if it touches none.
    pub(crate) least_parted: f64,
}

/// Joins what most probably is one cell.
struct Learned<'j> {
    joining: &'j Joining,
    groups: Groups,
    held: Held<'j>,
}

impl<'j> Learned<'j> {
    fn new(joining: &'j Joining, image: &Image, guide: &'j Guide<'j>, usual_um3: f64) -> Self {
        let (groups, held) = (Groups::new(image, usual_um3), Held::new(&image.graph, guide));
        Self { joining, groups, held }
    }
}

impl Linkage for Learned<'_> {
    /// The probability that two groups of regions are two cells.
    fn parts(&self, a: u32, b: u32, face: Face) -> f64 {
        let logit = f64::from(self.joining.0.logit(&self.groups.features(a, b, face)));
        1.0 / (1.0 + (-logit - NUCLEI * self.held.between(a, b)).exp())
    }

    fn join(&mut self, gone: u32, kept: u32, face: Face) -> bool {
        let holds_more = self.held.join(gone, kept);
        self.groups.join(gone, kept, face) || holds_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide::Holds;
    use crate::nuclei::Nuclei;

    #[test]
    fn sure_nuclei_change_the_odds_that_two_groups_are_two_cells_by_20() {
        let lesson = Lesson::small(1);
        let joining = Joining::shipped().unwrap();
        let nuclei = Nuclei::known(&[1.0; 2]);
        let (a, b, face) = lesson.image.graph.faces().next().unwrap();
        let odds = |rows: Option<[u32; 2]>| {
            let mut held = vec![Vec::new(); lesson.image.pieces.len()];
            for (region, row) in [a, b].into_iter().zip(rows.into_iter().flatten()) {
                held[region as usize].push(Holds::Nucleus(row));
            }
            let guide = Guide::new(&nuclei, vec![1.0; 2], held);
            let learned = Learned::new(&joining, &lesson.image, &guide, lesson.usual_um3);
            let two = learned.parts(a, b, face);
            two / (1.0 - two)
        };
        let change = |rows: [u32; 2]| odds(Some(rows)) / odds(None);
        assert!((change([0, 1]) - 20.0).abs() < 0.2, "two nuclei: {}", change([0, 1]));
        assert!((1.0 / change([1, 1]) - 20.0).abs() < 0.2, "one nucleus: {}", change([1, 1]));
    }
}
