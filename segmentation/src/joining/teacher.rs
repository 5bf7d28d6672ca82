//! Joins the regions of a lesson, and writes down what came up on the way.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::groups::{Groups, N_FEATURES};
use super::lesson::{Lesson, most_of};
use super::{Joining, Learned, MOST};
use crate::guide::Guide;
use crate::merge::{Average, Face, Linkage, merge};

/// Two groups that came up, and whether they are two cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    pub(crate) features: [f32; N_FEATURES],
    pub(crate) two: bool,
    /// How much it counts: the more, the larger the smaller group is.
    pub(crate) weight: f32,
}

/// A piece of another cell that is smaller than this share of a cell is let through where it would be joined: what then comes
/// of it has to be learned as well.
const SLIP: f64 = 0.2;

/// Joins regions in the order of another linkage, but never those of different cells, and writes down all that came up.
struct Teacher<L> {
    usual_um3: f64,
    order: L,
    /// What parts two groups that `order` would join.
    most: f64,
    groups: Groups,
    /// For each group how much of it is each cell.
    cells: Vec<BTreeMap<u32, f64>>,
    examples: Vec<Example>,
}

impl<L: Linkage> Teacher<L> {
    fn new(lesson: &Lesson, order: L, most: f64, usual_um3: f64) -> Self {
        let cells = lesson.truth.iter().zip(&lesson.image.pieces);
        let cells =
            cells.map(|(&cell, piece)| BTreeMap::from([(cell, piece.volume_um3)])).collect();
        let groups = Groups::new(&lesson.image, usual_um3);
        Self { usual_um3, order, most, groups, cells, examples: Vec::new() }
    }

    fn cell(&self, group: u32) -> u32 {
        most_of(&self.cells[group as usize])
    }

    fn volume(&self, group: u32) -> f64 {
        self.cells[group as usize].values().sum()
    }

    /// How large the smaller of two groups is, as a share of a cell.
    fn smaller(&self, a: u32, b: u32) -> f64 {
        self.volume(a).min(self.volume(b)) / self.usual_um3
    }

    /// Writes down what is known of two groups, and tells whether they are of two cells.
    fn look(&mut self, a: u32, b: u32, face: Face) -> bool {
        let two = self.cell(a) != self.cell(b);
        let features = self.groups.features(a, b, face);
        let weight = 0.1 + self.smaller(a, b).min(1.0) as f32;
        self.examples.push(Example { features, two, weight });
        two
    }
}

impl<L: Linkage> Linkage for Teacher<L> {
    fn parts(&self, a: u32, b: u32, face: Face) -> f64 {
        self.order.parts(a, b, face)
    }

    fn refuses(&mut self, a: u32, b: u32, face: Face) -> bool {
        let is_own_slip = self.smaller(a, b) < SLIP && self.order.parts(a, b, face) <= self.most;
        self.look(a, b, face) && !is_own_slip
    }

    fn join(&mut self, gone: u32, kept: u32, face: Face) -> bool {
        let cells = std::mem::take(&mut self.cells[gone as usize]);
        for (cell, um3) in cells {
            *self.cells[kept as usize].entry(cell).or_default() += um3;
        }
        self.groups.join(gone, kept, face);
        self.order.join(gone, kept, face)
    }
}

/// At most so many examples are learned from of a lesson in a round.
const MOST_EXAMPLES: usize = 4_000;

impl Lesson {
    /// What comes up when regions are joined as was learned so far.
    pub(crate) fn examples(&self, joining: Option<&Joining>, rng: &mut ChaCha8Rng) -> Vec<Example> {
        const LEAST_UM3: f64 = 10.0;
        let guide = Guide::default();
        let mut examples = match joining {
            None => {
                let average = Average::new(&self.image.graph, self.image.assumed(), &guide);
                self.examples_of(average, self.usual_um3, [0.0, 0.6])
            }
            Some(joining) => {
                let usual_um3 = joining.usual_um3(&self.image, &guide, self.usual_um3, LEAST_UM3);
                let learned = Learned::new(joining, &self.image, &guide, usual_um3);
                self.examples_of(learned, usual_um3, [MOST, 0.9])
            }
        };
        examples.shuffle(rng);
        examples.truncate(MOST_EXAMPLES);
        examples
    }

    /// `most` parts groups that it would join itself, and, all that come up.
    fn examples_of(&self, order: impl Linkage, usual_um3: f64, most: [f64; 2]) -> Vec<Example> {
        let mut teacher = Teacher::new(self, order, most[0], usual_um3);
        let merged = merge(&self.image.graph, most[1], &mut teacher);
        let joined = self.image.graph.grouped(&merged.groups, merged.n_groups());
        let roots = teacher.groups.roots(&merged.groups, merged.n_groups());
        for (a, b, face) in joined.faces() {
            teacher.look(roots[a as usize], roots[b as usize], face);
        }
        teacher.examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_different_cells_are_never_joined_in_a_lesson() {
        let lesson = Lesson::small(1);
        let guide = Guide::default();
        let average = Average::new(&lesson.image.graph, lesson.image.assumed(), &guide);
        let mut teacher = Teacher::new(&lesson, average, 0.0, lesson.usual_um3);
        let merged = merge(&lesson.image.graph, f64::INFINITY, &mut teacher);
        let mut cells = vec![None; merged.n_groups()];
        for (&group, &cell) in merged.groups.iter().zip(&lesson.truth) {
            assert_eq!(*cells[group as usize].get_or_insert(cell), cell);
        }
        assert!(merged.n_groups() < lesson.truth.len() / 2, "pieces of one cell are joined");
        assert!(teacher.examples.iter().any(|example| example.two));
    }
}
