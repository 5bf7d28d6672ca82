//! What lies open towards the outside of a tissue and looks like a cell all the same.
//!
//! **Notches** between cells that stand out of the surface have walls towards these cells, but hardly any towards the outside: there
//! is nothing across the opening but the walls at its rim. Cells have walls on all sides: a free surface shows one membrane where a border shows two,
//! and where it is dim, it is evenly so.
//!
//! **Hollows** between a tissue and what lies over it, such as skin, have sheets above and below, but little where they were cut
//! from the outside and from the next hollow: far weaker
//! sheets enclose them than enclose the cells of the image. How much weaker is an outlier tell the median and the median
//! absolute deviation of all cells (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers): where light is dim, cells
//! differ so much that none is one. And a hollow lies open, and what encloses it is strong here and missing there: a cell of the tissue
//! that lost its walls to a dim place borders mostly on other cells, and one near something bright has weak walls all around.

use crate::merge::{Face, RegionGraph};

/// This share of the surface of a notch is towards what is no cell: most of it lies between cells,
const NOTCHED: std::ops::RangeInclusive<f64> = 0.15..=0.5;
/// where there is less than this evidence, which is less than hardly any cell of phantoms has,
const MOST_OF_NOTCH: f64 = 0.4;
/// which differs from place to place by this standard deviation or more,
const LEAST_RIM: f64 = 0.15;
/// and towards cells there is this at least: where walls are seen poorly, a missing one tells nothing.
const LEAST_TO_CELLS: f64 = 0.7;

/// Around hollows there is less than this share of the evidence that usually is around cells,
const MOST: f64 = 0.7;
/// and they are more than so many standard deviations below it.
const DEVIATIONS: f64 = 5.0;
/// At least this share of the surface of a hollow is towards what is no cell: above it lies the skin, below it the tissue.
const LEAST_OPEN: f64 = 0.35;
/// The evidence on its surface differs from place to place by this standard deviation or more.
const LEAST_DEVIATION: f64 = 0.22;
/// Fewer cells do not tell what is usual.
const FEWEST_CELLS: usize = 8;

/// Takes notches and hollows from the cells, from the outside on: what lies behind one may then lie open as well. `around` is
/// the mean evidence on the faces of each group of regions, `graph` that of the groups; what holds a nucleus is a cell, and beside something
/// bright walls are too weak to tell a notch.
pub(crate) fn open_hollows(
    is_cell: &mut [bool],
    around: &[f64],
    graph: &RegionGraph,
    has_nucleus: impl Fn(usize) -> bool,
    is_beside_bright: impl Fn(usize) -> bool,
) {
    let cells = is_cell.iter().zip(around).filter(|(is_cell, _)| **is_cell);
    let most = least_of_cells(cells.map(|(_, &around)| around).collect());
    loop {
        let surfaces = surfaces(is_cell, graph);
        let lies_open = |&group: &usize| {
            let surface = &surfaces[group];
            is_cell[group]
                && !has_nucleus(group)
                && (surface.is_notch() && !is_beside_bright(group)
                    || around[group] < most && surface.is_hollow())
        };
        let open: Vec<usize> = (0..is_cell.len()).filter(lies_open).collect();
        if open.is_empty() {
            return;
        }
        open.into_iter().for_each(|group| is_cell[group] = false);
    }
}

/// The surface of a group of regions.
#[derive(Clone, Copy, Debug, Default)]
struct Surface {
    to_cells: Face,
    /// Towards what is no cell.
    open: Face,
}

impl Surface {
    fn all(&self) -> Face {
        self.to_cells.with(self.open)
    }

    fn share_open(&self) -> f64 {
        self.open.area_um2() / self.all().area_um2()
    }

    fn is_notch(&self) -> bool {
        NOTCHED.contains(&self.share_open())
            && self.open.mean() < MOST_OF_NOTCH
            && self.open.deviation() >= LEAST_RIM
            && self.to_cells.mean() >= LEAST_TO_CELLS
    }

    /// Whether it looks like that of a hollow, if there is little evidence on it.
    fn is_hollow(&self) -> bool {
        self.share_open() >= LEAST_OPEN && self.all().deviation() >= LEAST_DEVIATION
    }
}

/// The surfaces of all groups.
fn surfaces(is_cell: &[bool], graph: &RegionGraph) -> Vec<Surface> {
    let mut all = vec![Surface::default(); is_cell.len()];
    for (a, b, face) in graph.faces() {
        for (group, other) in [(a as usize, b as usize), (b as usize, a as usize)] {
            let Surface { to_cells, open } = &mut all[group];
            let part = if is_cell[other] { to_cells } else { open };
            *part = part.with(face);
        }
    }
    all
}

/// The least evidence around a group that may be no hollow, from that around all cells; none is one where they are few.
fn least_of_cells(around: Vec<f64>) -> f64 {
    const PER_DEVIATION: f64 = 1.4826; // of a normal distribution
    if around.len() < FEWEST_CELLS {
        return f64::NEG_INFINITY;
    }
    let usual = median(around.clone());
    let away = around.into_iter().map(|around| (around - usual).abs()).collect();
    (MOST * usual).min(usual - DEVIATIONS * PER_DEVIATION * median(away))
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outside 0, a hollow 1 that touches it, a hollow 2 behind that one, and cells, each of which touches the one before.
    fn chain(around_cells: &[f64]) -> (Vec<bool>, Vec<f64>, RegionGraph) {
        let around = [&[0.6, 0.4, 0.5], around_cells].concat();
        let mut graph = RegionGraph::new(around.len());
        for group in 1..around.len() as u32 {
            // Strong in one part, missing in the other.
            graph.add(group - 1, group, Face::new(1.0, 1.0).with(Face::new(0.0, 1.0)));
        }
        let is_cell = (0..around.len()).map(|group| group > 0).collect();
        (is_cell, around, graph)
    }

    #[test]
    fn hollows_are_opened_from_the_outside_on() {
        // The last cell has as little evidence around it, but cells lie between it and the outside.
        let cells = [0.9, 0.94, 0.9, 0.96, 0.92, 0.95, 0.93, 0.91, 0.94, 0.4];
        let (mut is_cell, around, graph) = chain(&cells);
        open_hollows(&mut is_cell, &around, &graph, |_| false, |_| false);
        assert_eq!(is_cell[..3], [false; 3]);
        assert!(is_cell[3..].iter().all(|is_cell| *is_cell));
    }

    /// Whether a cell with weak walls towards other cells (100 µm²) and the outside is a hollow.
    fn is_hollow(outside: Face) -> bool {
        lies_open(0.4, outside, 0.5)
    }

    /// Whether a cell with some evidence around it, towards the outside, and on its walls towards other cells (100 µm²) is none.
    fn lies_open(around: f64, outside: Face, to_cells: f64) -> bool {
        let around = [[0.6, around].as_slice(), &[0.9; 10]].concat();
        let mut graph = RegionGraph::new(around.len());
        graph.add(0, 1, outside);
        let to_cell = Face::new(10.0 * to_cells, 10.0);
        (2..around.len() as u32).for_each(|cell| graph.add(1, cell, to_cell));
        let mut is_cell: Vec<bool> = (0..around.len()).map(|group| group > 0).collect();
        open_hollows(&mut is_cell, &around, &graph, |_| false, |_| false);
        !is_cell[1]
    }

    #[test]
    fn a_cell_of_a_dim_place_is_no_hollow_unless_it_lies_open() {
        assert!(!is_hollow(Face::new(0.0, 40.0)));
        assert!(is_hollow(Face::new(0.0, 80.0)));
    }

    #[test]
    fn a_cell_with_weak_walls_all_around_is_no_hollow() {
        assert!(!is_hollow(Face::new(32.0, 80.0)));
    }

    #[test]
    fn a_notch_has_walls_towards_cells_and_hardly_any_towards_the_outside() {
        // A quarter of it is the rim, with twice as much evidence.
        let opening =
            |evidence: f64| Face::new(20.0 * evidence, 10.0).with(Face::new(20.0 * evidence, 30.0));
        assert!(lies_open(0.8, opening(0.3), 0.95));
        assert!(!lies_open(0.9, opening(0.7), 0.95), "a free surface");
        assert!(!lies_open(0.8, Face::new(12.0, 40.0), 0.95), "an evenly dim one");
        assert!(!lies_open(0.8, opening(0.3), 0.6), "walls are seen poorly");
        assert!(!lies_open(0.9, Face::new(0.0, 10.0), 0.95), "a gap in a wall");
        assert!(
            !Surface { open: opening(0.3), ..Surface::default() }.is_notch(),
            "it stands alone"
        );
    }

    #[test]
    fn what_holds_a_nucleus_is_no_hollow() {
        let (mut is_cell, around, graph) = chain(&[0.9; 10]);
        open_hollows(&mut is_cell, &around, &graph, |group| group == 1, |_| false);
        assert_eq!(is_cell[..3], [false, true, true], "the second one is behind the first");
    }

    #[test]
    fn where_cells_differ_or_are_few_none_is_a_hollow() {
        let dim = [0.3, 0.9, 0.5, 0.7, 0.4, 0.8, 0.6, 0.75, 0.55, 0.65];
        for cells in [&dim[..], &[0.9; 4]] {
            let (before, around, graph) = chain(cells);
            let mut after = before.clone();
            open_hollows(&mut after, &around, &graph, |_| false, |_| false);
            assert_eq!(after, before);
        }
    }
}
