//! From values to places on the sheet, with round numbers beside them.

use super::canvas::{Canvas, FAINT_INK, INK, Rect, Type};
use super::numbers::decimal;

/// The size of the numbers beside an axis.
pub(super) const TICK_SIZE: f64 = 16.0;
/// The size of an axis's name.
pub(super) const LABEL_SIZE: f64 = 17.0;
/// The length of a tick.
const TICK: f64 = 5.0;

/// Values `domain` lie at `pixels`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) domain: [f64; 2],
    pub(super) pixels: [f64; 2],
}

impl Axis {
    /// Values from the left to the right of `plot`.
    pub(super) fn along(plot: &Rect, domain: [f64; 2]) -> Self {
        Self { domain, pixels: [plot.left, plot.right()] }
    }

    /// Values from the bottom to the top of `plot`.
    pub(super) fn up(plot: &Rect, domain: [f64; 2]) -> Self {
        Self { domain, pixels: [plot.bottom(), plot.top] }
    }

    /// Where `value` lies.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.domain[0]) / (self.domain[1] - self.domain[0]);
        self.pixels[0] + share * (self.pixels[1] - self.pixels[0])
    }

    /// About `about` round values within the domain, and how many decimals they need.
    pub(super) fn ticks(&self, about: usize) -> (Vec<f64>, usize) {
        let [low, high] = self.domain;
        let rough = (high - low) / about.max(1) as f64;
        if !(rough.is_finite() && rough > 0.0) {
            return (Vec::new(), 0);
        }
        let power = rough.log10().floor() as i32;
        let unit = 10_f64.powi(power);
        let factor =
            [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * unit >= rough * 0.999);
        let step = factor.unwrap_or(10.0) * unit;
        let slack = 1e-9; // of a step: the ends of the domain count as within
        let first = (low / step - slack).ceil() as i64;
        let last = (high / step + slack).floor() as i64;
        let ticks = (first..=last).map(|at| at as f64 * step).collect();
        let decimals = -(step * 1.001).log10().floor();
        (ticks, decimals.max(0.0) as usize)
    }

    /// Ticks and numbers under `plot`, and its lower edge.
    pub(super) fn draw_below(&self, canvas: &mut Canvas, plot: &Rect, about: usize) {
        let y = plot.bottom();
        canvas.line((plot.left, y), (plot.right(), y), INK, 1.2);
        let (ticks, decimals) = self.ticks(about);
        for tick in ticks {
            let x = self.at(tick);
            canvas.line((x, y), (x, y + TICK), INK, 1.2);
            let kind = Type::new(TICK_SIZE).middle();
            canvas.text(x, y + TICK + TICK_SIZE, &decimal(tick, decimals), kind);
        }
    }

    /// Ticks and numbers left of `plot`, and its left edge.
    pub(super) fn draw_left(&self, canvas: &mut Canvas, plot: &Rect, about: usize) {
        let x = plot.left;
        canvas.line((x, plot.top), (x, plot.bottom()), INK, 1.2);
        let (ticks, decimals) = self.ticks(about);
        for tick in ticks {
            let y = self.at(tick);
            canvas.line((x - TICK, y), (x, y), INK, 1.2);
            let kind = Type::new(TICK_SIZE).end();
            canvas.text(x - TICK - 4.0, y + TICK_SIZE * 0.35, &decimal(tick, decimals), kind);
        }
    }
}

/// The name of the axis under `plot`.
pub(super) fn name_below(canvas: &mut Canvas, plot: &Rect, name: &str) {
    let kind = Type::new(LABEL_SIZE).middle().fill(FAINT_INK);
    canvas.text(plot.middle().0, plot.bottom() + 45.0, name, kind);
}

/// The name of the axis left of `plot`, reading upwards, its baseline `away` from it.
pub(super) fn name_left(canvas: &mut Canvas, plot: &Rect, name: &str, away: f64) {
    let kind = Type::new(LABEL_SIZE).middle().fill(FAINT_INK);
    canvas.upward_text(plot.left - away, plot.middle().1, name, kind);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)] // these answers are exact

    use super::*;

    fn axis(low: f64, high: f64) -> Axis {
        Axis { domain: [low, high], pixels: [0.0, 100.0] }
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(axis(-130.0, 5.0).ticks(6), (vec![-100.0, -50.0, 0.0], 0));
        assert_eq!(axis(0.0, 1.0).ticks(4), (vec![0.0, 0.5, 1.0], 1));
        assert_eq!(axis(1e-3, 3e-3).ticks(2), (vec![0.001, 0.002, 0.003], 3));
        assert!(axis(2.0, 2.0).ticks(4).0.is_empty());
        assert!(axis(f64::NAN, 1.0).ticks(4).0.is_empty());
    }

    #[test]
    fn ends_of_the_domain_lie_at_the_ends() {
        let plot = Rect::new(10.0, 20.0, 100.0, 50.0);
        assert_eq!(Axis::along(&plot, [-1.0, 1.0]).at(-1.0), 10.0);
        assert_eq!(Axis::up(&plot, [-1.0, 1.0]).at(1.0), 20.0);
    }
}
