//! What was predicted beside what was measured.

use super::axis::{Axis, TICK_SIZE, name_below, name_left};
use super::canvas::{Canvas, FAINT_INK, Rect, Type, hex, text_width};
use super::colour::{PROTEIN, Rgb};
use super::numbers::{decimal, r2, range, with_commas};
use crate::file::Protein;

/// One measurement of a protein and its prediction from embryos that do not hold the cell.
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    /// What is measured, with its unit: `actin, mean intensity (counts)`.
    pub name: &'a str,
    /// One value per cell; cells in which this or the prediction is NaN are left out.
    pub measured: Vec<f32>,
    /// The prediction for each cell.
    pub predicted: Vec<f32>,
    /// The lower and the upper end of each cell's prediction interval; may be empty.
    pub interval: (Vec<f32>, Vec<f32>),
    /// The R² that measurement noise would leave to a perfect model.
    pub best_reachable_r2: Option<f64>,
}

impl<'a> Comparison<'a> {
    /// Column `feature` of `protein` over all cells of its atlas; empty without such a column.
    pub fn of(protein: &Protein, feature: usize, name: &'a str) -> Self {
        let column = |part: &ndarray::Array2<f32>| match part.ncols() {
            columns if feature < columns => part.column(feature).to_vec(),
            _ => Vec::new(),
        };
        Self {
            name,
            measured: column(&protein.measured),
            predicted: column(&protein.predicted),
            interval: (column(&protein.lower), column(&protein.upper)),
            best_reachable_r2: None,
        }
    }

    /// `1 − Σ(y − ŷ)² / Σ(y − ȳ)²` over the cells that are measured and predicted; `None` where the
    /// measured do not vary.
    pub fn r2(&self) -> Option<f64> {
        let pairs: Vec<_> = self.points().iter().map(|p| (p.measured, p.predicted)).collect();
        r2(&pairs)
    }

    /// The share of the cells with an interval whose measurement lies within it.
    pub fn coverage(&self) -> Option<f64> {
        let (held, judged) = held_and_judged(&self.points());
        (judged > 0).then(|| held as f64 / judged as f64)
    }

    /// The cells that are measured and predicted.
    fn points(&self) -> Vec<Point> {
        let pairs = self.measured.iter().zip(&self.predicted).enumerate();
        pairs
            .filter(|(_, (measured, predicted))| measured.is_finite() && predicted.is_finite())
            .map(|(row, (&measured, &predicted))| {
                let ends = (self.interval.0.get(row), self.interval.1.get(row));
                let interval = match ends {
                    (Some(&lower), Some(&upper)) if lower.is_finite() && upper.is_finite() => {
                        Some([f64::from(lower), f64::from(upper)])
                    }
                    _ => None,
                };
                Point { measured: measured.into(), predicted: predicted.into(), interval }
            })
            .collect()
    }
}

/// How many cells' intervals hold the measurement, and how many have an interval.
fn held_and_judged(points: &[Point]) -> (usize, usize) {
    let judged = points.iter().filter_map(|p| Some((p.measured, p.interval?)));
    let holds = judged.clone().filter(|(y, [lower, upper])| lower <= y && y <= upper);
    (holds.count(), judged.count())
}

#[derive(Clone, Copy, Debug)]
struct Point {
    measured: f64,
    predicted: f64,
    interval: Option<[f64; 2]>,
}

/// More points than this hide one another; every so many-th is drawn then, and the figure says so.
const MOST_POINTS: usize = 1500;
/// Whiskers on more cells than this hide the cells.
const MOST_WHISKERS: usize = 24;

/// Draws the predicted value of each cell over its measured value, with the line on which both are
/// equal and prediction intervals of a few cells from the lowest to the highest. R², the best
/// reachable R² and the share of cells that their intervals hold stand above.
pub fn measured_against_predicted(comparison: &Comparison<'_>) -> String {
    let mut canvas = Canvas::new(560.0, 600.0);
    let area = canvas.area().inside(16.0, 24.0, 16.0, 8.0);
    draw_scatter(&mut canvas, &area, comparison, PROTEIN);
    canvas.finish(comparison.name, &described(comparison))
}

/// What a reader who cannot see the scatter is told.
pub(super) fn described(comparison: &Comparison<'_>) -> String {
    let n_cells = with_commas(comparison.points().len());
    let r2 = comparison.r2().map_or_else(|| "undefined".to_owned(), |r2| decimal(r2, 2));
    format!("{}: predicted over measured for {n_cells} cells, R² {r2}.", comparison.name)
}

/// Room for the numbers above the plot.
const ABOVE: f64 = 56.0;

/// Draws the scatter as a square into the upper left of `area`.
pub(super) fn draw_scatter(
    canvas: &mut Canvas,
    area: &Rect,
    comparison: &Comparison<'_>,
    colour: Rgb,
) {
    let room = area.inside(74.0, ABOVE, 6.0, 56.0);
    let side = room.width.min(room.height);
    let plot = Rect::new(room.left, room.top, side, side);
    let points = comparison.points();
    let whiskers = whiskers(&points);
    let domain = domain(&points, &whiskers);
    let (x, y) = (Axis::along(&plot, domain), Axis::up(&plot, domain));
    let (low, high) = ((plot.left, plot.bottom()), (plot.right(), plot.top));
    if !points.is_empty() {
        canvas.dashed_line(low, high, FAINT_INK, 1.5, "7 5");
    }
    let colour = hex(colour);
    canvas.group(r#"stroke-opacity="0.45""#, |canvas| {
        for (measured, [lower, upper]) in whiskers {
            let x = x.at(measured);
            canvas.line((x, y.at(lower)), (x, y.at(upper)), &colour, 1.6);
        }
    });
    canvas.group(&format!(r#"fill="{colour}" fill-opacity="0.55""#), |canvas| {
        for point in points.iter().step_by(step(&points)) {
            canvas.dot((x.at(point.measured), y.at(point.predicted)), 2.8);
        }
    });
    x.draw_below(canvas, &plot, 4);
    y.draw_left(canvas, &plot, 4);
    name_below(canvas, &plot, &format!("measured {}", comparison.name));
    name_left(canvas, &plot, "predicted, held out", 56.0);
    draw_numbers(canvas, &plot, comparison, &points);
}

fn step(points: &[Point]) -> usize {
    points.len().div_ceil(MOST_POINTS).max(1)
}

/// R² and what was counted, above the plot, where no point lies.
fn draw_numbers(canvas: &mut Canvas, plot: &Rect, comparison: &Comparison<'_>, points: &[Point]) {
    const SIZE: f64 = 19.0;
    if points.is_empty() {
        let (x, y) = plot.middle();
        canvas.text(x, y, "nothing to compare", Type::new(18.0).middle().fill(FAINT_INK));
        return;
    }
    let left = plot.left - 46.0;
    let r2 = comparison.r2().map_or_else(|| "\u{2013}".to_owned(), |r2| decimal(r2, 2));
    let r2 = format!("R² = {r2}");
    canvas.text(left, plot.top - 34.0, &r2, Type::new(SIZE).bold());
    let small = Type::new(TICK_SIZE).fill(FAINT_INK);
    if let Some(best) = comparison.best_reachable_r2 {
        let text = format!("best reachable {}", decimal(best, 2));
        canvas.text(left + text_width(&r2, SIZE) + 12.0, plot.top - 34.0, &text, small);
    }
    canvas.text(left, plot.top - 12.0, &counted(points), small);
}

/// `intervals hold 91 % of 564 cells`.
fn counted(points: &[Point]) -> String {
    let (held, judged) = held_and_judged(points);
    let text = if judged == 0 {
        format!("{} cells", with_commas(points.len()))
    } else {
        let percent = decimal(100.0 * held as f64 / judged as f64, 0);
        format!("intervals hold {percent} % of {} cells", with_commas(judged))
    };
    match step(points) {
        1 => text,
        step => format!("{text}, 1 in {step} drawn"),
    }
}

/// Measured value and interval of cells evenly chosen from the lowest to the highest.
fn whiskers(points: &[Point]) -> Vec<(f64, [f64; 2])> {
    let mut all: Vec<_> = points.iter().filter_map(|p| Some((p.measured, p.interval?))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1[0].total_cmp(&b.1[0])));
    let n_shown = all.len().min(MOST_WHISKERS);
    (0..n_shown).map(|at| all[(2 * at + 1) * all.len() / (2 * n_shown)]).collect()
}

/// The same range for both axes: all points and whiskers, and a little more.
fn domain(points: &[Point], whiskers: &[(f64, [f64; 2])]) -> [f64; 2] {
    let ends = whiskers.iter().flat_map(|(_, ends)| *ends);
    let [low, high] = range(points.iter().flat_map(|p| [p.measured, p.predicted]).chain(ends));
    let margin = 0.04 * (high - low);
    [low - margin, high + margin]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)] // these answers are exact

    use super::super::fake;
    use super::*;

    fn comparison() -> Comparison<'static> {
        Comparison {
            name: "actin (counts)",
            measured: vec![1.0, 2.0, 3.0, 4.0, f32::NAN, 9.0],
            predicted: vec![1.5, 2.0, 2.5, 4.0, 5.0, f32::NAN],
            interval: (vec![0.0, 1.0, 2.0, 4.5, 0.0, 0.0], vec![2.0, 3.0, 3.0, 5.0, 9.0, 9.0]),
            best_reachable_r2: Some(0.95),
        }
    }

    #[test]
    fn r2_is_that_of_the_cells_with_both_values() {
        // mean 2.5; total 2.25 + 0.25 + 0.25 + 2.25 = 5; left 0.25 + 0 + 0.25 + 0 = 0.5
        assert!((comparison().r2().unwrap() - 0.9).abs() < 1e-12);
        let svg = measured_against_predicted(&comparison());
        assert!(svg.contains(">R² = 0.90<") && svg.contains(">best reachable 0.95<"));
    }

    #[test]
    fn coverage_counts_the_measurements_within_their_intervals() {
        assert_eq!(comparison().coverage(), Some(0.75));
        assert!(
            measured_against_predicted(&comparison()).contains(">intervals hold 75 % of 4 cells<")
        );
        assert_eq!(Comparison::default().coverage(), None);
    }

    #[test]
    fn each_cell_is_a_point() {
        let svg = measured_against_predicted(&comparison());
        let document = roxmltree::Document::parse(&svg).unwrap();
        let points = document.descendants().filter(|node| node.has_tag_name("circle"));
        assert_eq!(points.count(), 4);
    }

    #[test]
    fn of_many_cells_some_are_drawn_and_all_are_counted() {
        let measured: Vec<f32> = (0..4000_u16).map(f32::from).collect();
        let many = Comparison { predicted: measured.clone(), measured, ..Comparison::default() };
        let svg = measured_against_predicted(&many);
        assert!(svg.matches("<circle").count() <= MOST_POINTS);
        fake::show("scatter.svg", &svg);
        assert!(svg.contains("4,000 cells, 1 in 3 drawn") && svg.contains("R² = 1.00"));
    }

    #[test]
    fn nothing_to_compare_is_no_panic() {
        let svg = measured_against_predicted(&Comparison::default());
        assert!(roxmltree::Document::parse(&svg).is_ok() && svg.contains("nothing to compare"));
    }

    #[test]
    fn a_column_that_is_not_there_is_empty() {
        let atlas = crate::Atlas::example();
        let protein = atlas.protein("actin").unwrap();
        assert_eq!(Comparison::of(protein, 1, "PC 1").measured[1], -1.0);
        assert!(Comparison::of(protein, 9, "").measured.is_empty());
    }
}
