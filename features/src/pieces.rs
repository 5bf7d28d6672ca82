//! How many pieces a cell is in; pieces that touch at a corner are one.

use crate::sweep::Run;

/// The number of pieces of the cell with these runs.
pub(crate) fn n_pieces(runs: &[Run]) -> usize {
    let mut pieces = Pieces { parents: (0..runs.len() as u32).collect() };
    // The line before a run's own in its plane, and the line beside it in the plane before.
    pieces.join_touching(runs, LINE);
    pieces.join_touching(runs, PLANE);
    // Where a cell is in one piece already, there is nothing to join across edges.
    if pieces.count() > 1 {
        pieces.join_touching(runs, PLANE + LINE);
        pieces.join_touching(runs, PLANE - LINE);
    }
    pieces.count()
}

/// Lines in order of z and y, as one number.
const LINE: u64 = 1;
const PLANE: u64 = 1 << 32;

fn line_of(run: Run) -> u64 {
    run.z() as u64 * PLANE + run.y() as u64 * LINE
}

/// Sets of runs that touch: each run points to another of its set, the root to itself.
struct Pieces {
    parents: Vec<u32>,
}

impl Pieces {
    /// Joins each run with those that touch it in the line that lies `back` before its own.
    fn join_touching(&mut self, runs: &[Run], back: u64) {
        let mut first = 0;
        for (piece, run) in runs.iter().enumerate() {
            // In the first plane, none does; beyond the first line of another, no run lies.
            let Some(line) = line_of(*run).checked_sub(back) else { continue };
            let x = run.x();
            let is_before = |other: Run| {
                let other_line = line_of(other);
                other_line < line || (other_line == line && other.x().end < x.start)
            };
            while is_before(runs[first]) {
                first += 1;
            }
            let touches = |other: &Run| line_of(*other) == line && other.x().start <= x.end;
            for (other, _) in (first..).zip(runs[first..].iter().take_while(|run| touches(run))) {
                self.join(piece as u32, other as u32);
            }
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    fn root(&mut self, mut piece: u32) -> u32 {
        while self.parents[piece as usize] != piece {
            let parent = self.parents[piece as usize];
            self.parents[piece as usize] = self.parents[parent as usize];
            piece = self.parents[piece as usize];
        }
        piece
    }

    fn count(&self) -> usize {
        (0..).zip(&self.parents).filter(|(piece, parent)| piece == *parent).count()
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
            n_pieces(Cells::of(&labels).runs(0))
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
