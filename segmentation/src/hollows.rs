//! Hollows between a tissue and what lies over it, such as skin, that look like cells.
//!
//! A hollow has sheets above and below, but little where it was cut from the outside and from the next hollow: far weaker
//! sheets enclose it than enclose the cells of the image. How much weaker is an outlier tell the median and the median
//! absolute deviation of all cells (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers): where light is dim, cells
//! differ so much that none is one. And it lies open, and what encloses it is strong here and missing there: a cell of the tissue
//! that lost its walls to a dim place borders mostly on other cells, and one near something bright has weak walls all around.

use crate::merge::{Face, RegionGraph};

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

/// Takes hollows from the cells: those around which there is far less evidence than usual, and which lie open towards what is
/// no cell, or another hollow, and are enclosed here but not there. `around` is the mean evidence on the faces of each group of
/// regions, `graph` that of the groups; what holds a nucleus is no hollow.
pub(crate) fn open_hollows(
    is_cell: &mut [bool],
    around: &[f64],
    graph: &RegionGraph,
    has_nucleus: impl Fn(usize) -> bool,
) {
    let cells = is_cell.iter().zip(around).filter(|(is_cell, _)| **is_cell);
    let of_cells: Vec<f64> = cells.map(|(_, &around)| around).collect();
    if of_cells.len() < FEWEST_CELLS {
        return;
    }
    let most = least_of_cells(of_cells);
    let mut near = vec![Vec::new(); is_cell.len()];
    let mut surface = vec![Face::default(); is_cell.len()];
    for (a, b, face) in graph.faces() {
        for (group, other) in [(a, b), (b, a)] {
            near[group as usize].push((other as usize, face.area_um2()));
            surface[group as usize] = surface[group as usize].with(face);
        }
    }
    let mut open_um2 = vec![0.0; is_cell.len()];
    let mut open: Vec<usize> = (0..is_cell.len()).filter(|&group| !is_cell[group]).collect();
    while let Some(group) = open.pop() {
        for &(other, area_um2) in &near[group] {
            open_um2[other] += area_um2;
            let is_open = open_um2[other] >= LEAST_OPEN * surface[other].area_um2();
            let differs = surface[other].deviation() >= LEAST_DEVIATION;
            let is_hollow = is_open && differs && around[other] < most;
            if is_cell[other] && is_hollow && !has_nucleus(other) {
                is_cell[other] = false;
                open.push(other);
            }
        }
    }
}

/// The least evidence around a group that may be a cell, from that around all of them.
fn least_of_cells(around: Vec<f64>) -> f64 {
    const PER_DEVIATION: f64 = 1.4826; // of a normal distribution
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
        open_hollows(&mut is_cell, &around, &graph, |_| false);
        assert_eq!(is_cell[..3], [false; 3]);
        assert!(is_cell[3..].iter().all(|is_cell| *is_cell));
    }

    /// Whether a cell with weak walls towards other cells (100 µm²) and the outside is a hollow.
    fn is_hollow(outside: Face) -> bool {
        let around = [[0.6, 0.4].as_slice(), &[0.9; 10]].concat();
        let mut graph = RegionGraph::new(around.len());
        graph.add(0, 1, outside);
        (2..around.len() as u32).for_each(|cell| graph.add(1, cell, Face::new(5.0, 10.0)));
        let mut is_cell: Vec<bool> = (0..around.len()).map(|group| group > 0).collect();
        open_hollows(&mut is_cell, &around, &graph, |_| false);
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
    fn what_holds_a_nucleus_is_no_hollow() {
        let (mut is_cell, around, graph) = chain(&[0.9; 10]);
        open_hollows(&mut is_cell, &around, &graph, |group| group == 1);
        assert_eq!(is_cell[..3], [false, true, true], "the second one is behind the first");
    }

    #[test]
    fn where_cells_differ_or_are_few_none_is_a_hollow() {
        let dim = [0.3, 0.9, 0.5, 0.7, 0.4, 0.8, 0.6, 0.75, 0.55, 0.65];
        for cells in [&dim[..], &[0.9; 4]] {
            let (before, around, graph) = chain(cells);
            let mut after = before.clone();
            open_hollows(&mut after, &around, &graph, |_| false);
            assert_eq!(after, before);
        }
    }
}
