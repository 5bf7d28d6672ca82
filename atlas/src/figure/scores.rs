//! How well proteins are predicted in embryos that were held out, beside baselines.

use super::axis::{Axis, LABEL_SIZE, TICK_SIZE, name_below};
use super::canvas::{Canvas, FAINT_INK, HAIRLINE, Rect, Type, hex, text_width};
use super::colour::{CONTROL, PROTEIN, Rgb};
use super::numbers::decimal;
use crate::file::{Atlas, Score};

/// A protein's scores, one per model.
struct Row<'a> {
    model: &'a str,
    /// The score of each protein by this model.
    scores: Vec<Option<&'a Score>>,
}

/// Draws the held-out R² of each of `proteins` by every model that the atlas has scores of, as
/// mean ± standard deviation over the folds; a diamond is the best reachable R².
pub fn held_out_scores(atlas: &Atlas, proteins: &[&str]) -> String {
    let rows = rows(atlas, proteins).len().max(1);
    let mut canvas = Canvas::new(720.0, 60.0 + 34.0 * rows as f64 + 60.0);
    let area = canvas.area().inside(16.0, 40.0, 16.0, 0.0);
    draw_key(&mut canvas, area.right(), 24.0, proteins);
    draw_scores(&mut canvas, &area, atlas, proteins);
    canvas.finish("Held-out R² beside baselines", &described(atlas, proteins))
}

/// What a reader who cannot see the scores is told.
pub(super) fn described(atlas: &Atlas, proteins: &[&str]) -> String {
    let mut parts = Vec::new();
    for row in rows(atlas, proteins) {
        for score in row.scores.into_iter().flatten() {
            let (mean, sd) = (decimal(score.r2_mean, 2), decimal(score.r2_sd, 2));
            parts.push(format!("{} from {}: {mean} ± {sd}", score.protein, named(row.model)));
        }
    }
    format!("Held-out R². {}.", parts.join("; "))
}

/// Which colour is which protein, right-aligned at `right`.
pub(super) fn draw_key(canvas: &mut Canvas, right: f64, y: f64, proteins: &[&str]) {
    let mut x = right;
    for (at, protein) in proteins.iter().enumerate().rev() {
        x -= text_width(protein, TICK_SIZE);
        canvas.text(x, y, protein, Type::new(TICK_SIZE));
        canvas.circle((x - 13.0, y - 5.5), 6.0, &hex(colour(at)));
        x -= 36.0;
    }
}

/// Draws the scores into `area`.
pub(super) fn draw_scores(canvas: &mut Canvas, area: &Rect, atlas: &Atlas, proteins: &[&str]) {
    let rows = rows(atlas, proteins);
    let plot = area.inside(174.0, 0.0, 10.0, 56.0);
    if rows.is_empty() {
        let (x, y) = area.middle();
        canvas.text(x, y, "no scores", Type::new(18.0).middle().fill(FAINT_INK));
        return;
    }
    let axis = Axis::along(&plot, domain(&rows));
    canvas.line((axis.at(0.0), plot.top), (axis.at(0.0), plot.bottom()), HAIRLINE, 1.5);
    let high = plot.height / rows.len() as f64;
    for (at, row) in rows.iter().enumerate() {
        let y = plot.top + (at as f64 + 0.5) * high;
        let kind = Type::new(LABEL_SIZE).end();
        canvas.text(plot.left - 10.0, y + LABEL_SIZE * 0.35, named(row.model), kind);
        let apart = high * 0.34;
        let middle = (row.scores.len() as f64 - 1.0) / 2.0;
        for (at, score) in row.scores.iter().enumerate() {
            let Some(score) = score else { continue };
            draw_score(canvas, &axis, y + (at as f64 - middle) * apart, score, colour(at));
        }
    }
    axis.draw_below(canvas, &plot, 6);
    let best = rows.iter().flat_map(|row| &row.scores).flatten();
    let diamonds = best.filter(|score| score.best_reachable_r2.is_some()).count();
    let name = match diamonds {
        0 => "R² in embryos never seen (mean ± SD over folds)",
        _ => "R² in embryos never seen (mean ± SD; \u{25c7} best reachable)",
    };
    name_below(canvas, &plot, name);
}

fn draw_score(canvas: &mut Canvas, axis: &Axis, y: f64, score: &Score, colour: Rgb) {
    let x = |value: f64| axis.at(value.clamp(axis.domain[0], axis.domain[1]));
    let colour = hex(colour);
    if let Some(best) = score.best_reachable_r2.filter(|best| best.is_finite()) {
        let at = x(best);
        let corners = [(at, y - 6.5), (at + 6.5, y), (at, y + 6.5), (at - 6.5, y)];
        let stroke = format!(r#"stroke="{colour}" stroke-width="1.8""#);
        canvas.group(&stroke, |canvas| canvas.polygon(&corners, "#ffffff"));
    }
    if !score.r2_mean.is_finite() {
        return;
    }
    let sd = if score.r2_sd.is_finite() { score.r2_sd } else { 0.0 };
    canvas.line((x(score.r2_mean - sd), y), (x(score.r2_mean + sd), y), &colour, 2.2);
    canvas.circle((x(score.r2_mean), y), 5.5, &colour);
}

/// The models in the order in which they occur, the atlas's own first. Of a protein with several
/// targets its brightness is meant: layouts also hold the outline of the cell.
fn rows<'a>(atlas: &'a Atlas, proteins: &[&str]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let target = |protein: &&str| {
        let mut of_protein = atlas.scores.iter().filter(|score| score.protein == **protein);
        let first = of_protein.clone().next();
        of_protein.find(|score| score.target == "intensity").or(first)
    };
    let targets: Vec<_> = proteins.iter().map(|p| target(p).map(|score| &*score.target)).collect();
    for score in &atlas.scores {
        let at = proteins.iter().position(|protein| score.protein == *protein);
        let Some(at) = at.filter(|&at| targets[at] == Some(&*score.target)) else { continue };
        let row = rows.iter().position(|row| row.model == score.model).unwrap_or_else(|| {
            rows.push(Row { model: &score.model, scores: vec![None; proteins.len()] });
            rows.len() - 1
        });
        rows[row].scores[at].get_or_insert(score);
    }
    rows.sort_by_key(|row| row.model != "shape");
    rows
}

/// All means and best scores, 0 and 1; what is far below 0 is drawn at the edge.
fn domain(rows: &[Row<'_>]) -> [f64; 2] {
    const LOWEST: f64 = -0.5;
    let scores = rows.iter().flat_map(|row| &row.scores).flatten();
    let lowest = scores.map(|score| score.r2_mean - score.r2_sd).filter(|low| low.is_finite());
    let low = lowest.fold(-0.05, f64::min).max(LOWEST);
    [low - 0.03, 1.0]
}

/// A model's name in words.
fn named(model: &str) -> &str {
    match model {
        "size_orientation" => "size, orientation",
        "mean" => "mean of others",
        other => other,
    }
}

fn colour(at: usize) -> Rgb {
    const MORE: Rgb = [85, 85, 85];
    [PROTEIN, CONTROL].get(at).copied().unwrap_or(MORE)
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn every_score_stands_beside_its_baselines() {
        let atlas = fake::atlas();
        let svg = held_out_scores(&atlas, &["actin", "control"]);
        assert!(roxmltree::Document::parse(&svg).is_ok());
        fake::show("scores.svg", &svg);
        for name in ["shape", "position", "size, orientation", "mean of others"] {
            assert!(svg.contains(&format!(">{name}<")), "{name}");
        }
        assert!(svg.contains("actin from shape: 0.71 ± 0.05"));
    }

    #[test]
    fn the_model_comes_first_and_other_targets_are_left_out() {
        let mut atlas = fake::atlas();
        atlas.scores.reverse();
        atlas.scores.push(Score {
            protein: "actin".into(),
            target: "elsewhere".into(),
            model: "new".into(),
            ..Score::default()
        });
        let rows = rows(&atlas, &["actin", "control"]);
        assert_eq!(rows[0].model, "shape");
        assert!(rows.iter().all(|row| row.model != "new"));
    }

    #[test]
    fn no_scores_is_no_panic() {
        assert!(held_out_scores(&Atlas::default(), &["actin"]).contains("no scores"));
        let nan = Score { protein: "a".into(), r2_mean: f64::NAN, ..Score::default() };
        let atlas = Atlas { scores: vec![nan], ..Atlas::default() };
        assert!(!held_out_scores(&atlas, &["a"]).contains("<circle cx=\"NaN"));
    }
}
