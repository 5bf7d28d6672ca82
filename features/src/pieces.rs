//! How many pieces a cell is in; pieces that touch at a corner are one.

use crate::sweep::Run;

/// The number of pieces of the cell with these runs, in an image of so many lines per plane.
pub(crate) fn n_pieces(runs: &[Run], lines_per_plane: usize) -> usize {
    let mut pieces = Pieces { parents: (0..runs.len()).collect() };
    // Lines before a run's own, in which runs may touch it: how far before, and by which step in y.
    let before =
        [(1, -1), (lines_per_plane + 1, -1), (lines_per_plane, 0), (lines_per_plane - 1, 1)];
    for (n_lines, step_y) in before {
        pieces.join_touching(runs, n_lines, |line| {
            let y = (line % lines_per_plane) as isize + step_y;
            (0..lines_per_plane as isize).contains(&y)
        });
    }
    pieces.count()
}

/// Sets of runs that touch: each run points to another of its set, the root to itself.
struct Pieces {
    parents: Vec<usize>,
}

impl Pieces {
    /// Joins each run with those that touch it in the line that lies `n_lines` before it, if its
    /// own line `has` such a line beside it.
    fn join_touching(&mut self, runs: &[Run], n_lines: usize, has: impl Fn(usize) -> bool) {
        let mut first = 0;
        for (piece, run) in runs.iter().enumerate().filter(|(_, run)| has(run.line())) {
            let Some(line) = run.line().checked_sub(n_lines) else { continue };
            let is_before = |other: &Run| (other.line(), other.x().end) < (line, run.x().start);
            while is_before(&runs[first]) {
                first += 1;
            }
            let touching = |other: &Run| other.line() == line && other.x().start <= run.x().end;
            for (other, _) in (first..).zip(runs[first..].iter().take_while(|run| touching(run))) {
                self.join(piece, other);
            }
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn root(&mut self, mut piece: usize) -> usize {
        while self.parents[piece] != piece {
            self.parents[piece] = self.parents[self.parents[piece]];
            piece = self.parents[piece];
        }
        piece
    }

    fn count(&self) -> usize {
        self.parents.iter().enumerate().filter(|(piece, parent)| piece == *parent).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::solid;
    use crate::sweep::Cells;

    #[test]
    fn pieces_that_touch_at_a_corner_are_one() {
        let at = |places: &'static [[f64; 3]]| {
            let labels = solid([4, 4, 6], [1.0; 3], |p| places.contains(&[p.z, p.y, p.x]));
            n_pieces(Cells::of(&labels).runs(0), 4)
        };
        assert_eq!(at(&[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), 1);
        assert_eq!(at(&[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), 1);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), 2);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 1.0]]), 1);
        assert_eq!(at(&[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 3.0, 5.0]]), 3);
        // The last line of a plane and the first of the next are neighbours in memory only.
        assert_eq!(at(&[[0.0, 3.0, 0.0], [1.0, 0.0, 0.0]]), 2);
    }
}
