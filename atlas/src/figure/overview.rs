//! The whole story in one figure: light, cells, protein, map, prediction, honesty.

use ndarray::ArrayView2;

use super::axis::TICK_SIZE;
use super::canvas::{Canvas, FAINT_INK, Rect, Type};
use super::colour::{CONTROL, PROTEIN};
use super::numbers::with_commas;
use super::scatter::{self, Comparison, draw_scatter};
use super::scores::{self, draw_key, draw_scores};
use super::section::{self, Paint, Section, Tint, draw_section};
use super::tissue_map::{Disc, discs, draw_colour_bar, draw_map, values_range};
use crate::file::Atlas;

/// What the overview shows.
#[derive(Clone, Copy, Debug)]
pub struct Overview<'a> {
    /// The figure's name.
    pub title: &'a str,
    /// A line under it; by default the numbers of cells and specimens.
    pub subtitle: Option<&'a str>,
    /// One plane through a specimen.
    pub plane: Plane<'a>,
    /// The atlas.
    pub atlas: &'a Atlas,
    /// The protein that follows shape.
    pub protein: &'a str,
    /// The protein that should not.
    pub control: &'a str,
    /// Which column of the proteins' arrays is shown.
    pub feature: usize,
    /// The specimen on the maps; by default the one with most cells in which `protein` was measured.
    pub specimen: Option<&'a str>,
}

/// One plane through a specimen: light and cells, all (y, x) and of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The membranes' light.
    pub membrane: ArrayView2<'a, f32>,
    /// The cell of each pixel; 0 for none.
    pub labels: ArrayView2<'a, u32>,
    /// The protein's light.
    pub protein: ArrayView2<'a, f32>,
    /// The size of a pixel along y and x.
    pub pixel_um: [f64; 2],
}

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 44.0;
/// Between the sections.
const GAP: f64 = 32.0;
/// Where the sections begin.
const SECTIONS: f64 = 150.0;
/// From the headings of the maps to the end.
const LOWER_HALF: f64 = 596.0;

/// Draws sections above, maps of the measured and the predicted protein below them, and at their
/// right the predictions of the protein and of the control, with their scores.
pub fn overview(overview: &Overview<'_>) -> String {
    let width = (WIDTH - 2.0 * MARGIN - 2.0 * GAP) / 3.0;
    let height = section_height(&overview.plane, width);
    let lower = SECTIONS + height + 58.0;
    let mut canvas = Canvas::new(WIDTH, lower + LOWER_HALF);
    canvas.text(MARGIN, 56.0, overview.title, Type::new(31.0).bold());
    let counted = counted(overview.atlas);
    let subtitle = overview.subtitle.unwrap_or(&counted);
    canvas.text(MARGIN, 86.0, subtitle, Type::new(19.0).fill(FAINT_INK));
    draw_sections(&mut canvas, overview, width, height);
    draw_maps(&mut canvas, overview, lower);
    draw_predictions(&mut canvas, overview, lower);
    canvas.finish(overview.title, &described(overview))
}

/// `612 cells of 6 specimens`.
fn counted(atlas: &Atlas) -> String {
    let (cells, specimens) = (atlas.n_cells(), atlas.specimens.len());
    let ending = if specimens == 1 { "" } else { "s" };
    format!("{} cells of {} specimen{ending}", with_commas(cells), with_commas(specimens))
}

fn described(overview: &Overview<'_>) -> String {
    let [membrane, ..] = sections(&overview.plane);
    let names = [value_name(overview, overview.protein), value_name(overview, overview.control)];
    let [protein, control] = comparisons(overview, &names);
    let proteins = [overview.protein, overview.control];
    format!(
        "Membranes, cells found, and {} in {}. Maps of {}, measured and predicted, in the tissue frame. {} {} {}",
        overview.protein,
        section::described(&membrane),
        overview.protein,
        scatter::described(&protein),
        scatter::described(&control),
        scores::described(overview.atlas, &proteins),
    )
}

/// A bold letter and the name of a panel.
fn heading(canvas: &mut Canvas, x: f64, y: f64, letter: &str, name: &str) {
    canvas.text(x, y, letter, Type::new(26.0).bold());
    canvas.text(x + 28.0, y, name, Type::new(20.0));
}

fn sections<'a>(plane: &Plane<'a>) -> [Section<'a>; 3] {
    let membrane = Section {
        image: plane.membrane,
        labels: Some(plane.labels),
        pixel_um: plane.pixel_um,
        tint: Tint::Grey,
        paint: Paint::Nothing,
    };
    let cells = Section { paint: Paint::Distinct, ..membrane };
    let protein = Section { image: plane.protein, tint: Tint::Magma, ..membrane };
    [membrane, cells, protein]
}

/// As high as sections of `width` are, within limits.
fn section_height(plane: &Plane<'_>, width: f64) -> f64 {
    let [membrane, ..] = sections(plane);
    let (high_um, wide_um) = section::physical_size(&membrane);
    (width * high_um / wide_um).clamp(80.0, 280.0)
}

fn draw_sections(canvas: &mut Canvas, overview: &Overview<'_>, width: f64, height: f64) {
    let names = ["Membranes".into(), "Cells found".into(), capitalised(overview.protein)];
    for (at, section) in sections(&overview.plane).iter().enumerate() {
        let left = MARGIN + at as f64 * (width + GAP);
        heading(canvas, left, SECTIONS - 14.0, ["a", "b", "c"][at], &names[at]);
        draw_section(canvas, &Rect::new(left, SECTIONS, width, height), section);
    }
}

fn draw_maps(canvas: &mut Canvas, overview: &Overview<'_>, top: f64) {
    const WIDTH: f64 = 790.0;
    let (protein, atlas) = (overview.protein, overview.atlas);
    let specimen = overview.specimen.or_else(|| most_measured(atlas, protein, overview.feature));
    let discs: Vec<Disc> = discs(atlas, specimen);
    let name = value_name(overview, protein);
    let Comparison { measured, predicted, .. } = comparison(overview, protein, &name);
    let range = values_range(&discs, if measured.is_empty() { &predicted } else { &measured });
    let whose = specimen.map_or_else(String::new, |specimen| format!(", specimen {specimen}"));
    let protein = capitalised(protein);
    heading(canvas, MARGIN, top, "d", &format!("{protein} as measured{whose}"));
    let upper = Rect::new(MARGIN, top + 18.0, WIDTH, 264.0);
    let upper = draw_map(canvas, &upper, &discs, &measured, range, false);
    heading(
        canvas,
        MARGIN,
        top + 290.0,
        "e",
        &format!("{protein} as predicted from shape, held out"),
    );
    let lower = Rect::new(MARGIN, top + 308.0, WIDTH, 264.0);
    let lower = draw_map(canvas, &lower, &discs, &predicted, range, true);
    let right = upper.right().max(lower.right());
    let bar = Rect::new(right + 24.0, upper.top, 18.0, lower.bottom() - upper.top);
    draw_colour_bar(canvas, &bar, range, &name);
}

fn draw_predictions(canvas: &mut Canvas, overview: &Overview<'_>, top: f64) {
    const LEFT: f64 = 890.0;
    let proteins = [overview.protein, overview.control];
    let names = proteins.map(|protein| value_name(overview, protein));
    let width = (WIDTH - MARGIN - LEFT) / 2.0;
    let headings = ["follows shape", "follows nothing"];
    let comparisons = comparisons(overview, &names);
    for (at, comparison) in comparisons.iter().enumerate() {
        let left = LEFT + at as f64 * width;
        let name = format!("{}: {}", capitalised(proteins[at]), headings[at]);
        heading(canvas, left, top, ["f", "g"][at], &name);
        let area = Rect::new(left, top + 4.0, width, 362.0);
        draw_scatter(canvas, &area, comparison, [PROTEIN, CONTROL][at]);
    }
    heading(canvas, LEFT, top + 404.0, "h", "Scores beside baselines");
    draw_key(canvas, WIDTH - MARGIN, top + 404.0, &proteins);
    let area = Rect::new(LEFT, top + 414.0, WIDTH - MARGIN - LEFT, 166.0);
    draw_scores(canvas, &area, overview.atlas, &proteins);
}

fn comparisons<'a>(overview: &Overview<'_>, names: &'a [String; 2]) -> [Comparison<'a>; 2] {
    [
        comparison(overview, overview.protein, &names[0]),
        comparison(overview, overview.control, &names[1]),
    ]
}

/// The column of `protein` that is shown; empty if the atlas has none.
fn comparison<'a>(overview: &Overview<'_>, protein: &str, name: &'a str) -> Comparison<'a> {
    let Some(found) = overview.atlas.protein(protein) else {
        return Comparison { name, ..Comparison::default() };
    };
    let mut scores = overview.atlas.scores.iter().filter(|score| score.protein == protein);
    let best_reachable_r2 = scores.find_map(|score| score.best_reachable_r2);
    Comparison { best_reachable_r2, ..Comparison::of(found, overview.feature, name) }
}

/// `actin mean intensity`: the protein and the column shown.
fn value_name(overview: &Overview<'_>, protein: &str) -> String {
    let found = overview.atlas.protein(protein);
    match found.and_then(|found| found.feature_names.get(overview.feature)) {
        Some(feature) => format!("{protein} {}", feature.replace('_', " ")),
        None => protein.to_owned(),
    }
}

/// The specimen with most cells in which the protein was measured; the first of several.
fn most_measured<'a>(atlas: &'a Atlas, protein: &str, feature: usize) -> Option<&'a str> {
    let measured = &atlas.protein(protein)?.measured;
    let n_measured = |id: &str| {
        let rows = (0..atlas.n_cells()).filter(|&row| &*atlas.cells[row].specimen == id);
        rows.filter(|&row| measured.get((row, feature)).is_some_and(|v| v.is_finite())).count()
    };
    let ids = atlas.specimens.iter().map(|specimen| &*specimen.id);
    ids.rev().max_by_key(|id| n_measured(id))
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Kept beside the sizes above: numbers must not become smaller than a README can show.
const _: () = assert!(TICK_SIZE >= 0.01 * WIDTH);

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use roxmltree::Document;

    use super::super::fake;
    use super::*;

    /// What a README can carry without slowing its reader.
    const MOST_BYTES: usize = 600_000;

    #[test]
    fn the_demo_in_one_picture() {
        let (tissue, atlas) = (fake::tissue(), fake::atlas());
        let svg = overview(&fake::overview(&tissue, &atlas));
        let document = Document::parse(&svg).unwrap();
        let images = document.descendants().filter(|node| node.has_tag_name("image"));
        assert_eq!(images.count(), 3 + 1, "three sections and a colour bar");
        for letter in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert!(svg.contains(&format!(">{letter}<")), "panel {letter}");
        }
        let names = ["", ""].map(str::to_owned);
        for comparison in comparisons(&fake::overview(&tissue, &atlas), &names) {
            let r2 = super::super::numbers::decimal(comparison.r2().unwrap(), 2);
            assert!(svg.contains(&format!(">R² = {r2}<")));
        }
        assert!(svg.len() < MOST_BYTES, "{} bytes", svg.len());
        fake::show("overview.svg", &svg);
    }

    #[test]
    fn noise_that_nothing_compresses_still_fits_a_readme() {
        let mut tissue = fake::tissue();
        let mut state = 1_u32;
        for light in tissue.membrane.iter_mut().chain(tissue.protein.iter_mut()) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *light = (state >> 8) as f32;
        }
        let atlas = fake::atlas();
        let svg = overview(&fake::overview(&tissue, &atlas));
        assert!(svg.len() < MOST_BYTES, "{} bytes", svg.len());
    }

    #[test]
    fn the_same_atlas_gives_the_same_bytes() {
        let (tissue, atlas) = (fake::tissue(), fake::atlas());
        let shown = fake::overview(&tissue, &atlas);
        assert_eq!(overview(&shown), overview(&shown));
    }

    #[test]
    fn an_empty_atlas_gives_empty_panels() {
        let (light, labels) = (Array2::zeros((0, 0)), Array2::zeros((0, 0)));
        let plane = Plane {
            membrane: light.view(),
            labels: labels.view(),
            protein: light.view(),
            pixel_um: [0.1, 0.1],
        };
        let tissue = fake::tissue();
        let atlas = Atlas::default();
        let svg = overview(&Overview { plane, atlas: &atlas, ..fake::overview(&tissue, &atlas) });
        assert!(Document::parse(&svg).is_ok());
        for words in ["no image", "no cells", "nothing to compare", "no scores"] {
            assert!(svg.contains(words), "{words}");
        }
        fake::show("empty.svg", &svg);
    }

    #[test]
    fn the_map_shows_the_specimen_with_most_measurements() {
        let mut atlas = fake::atlas();
        for wanted in ["E04", "E05"] {
            for row in 0..atlas.n_cells() {
                let measured = &*atlas.cells[row].specimen == wanted;
                atlas.proteins[0].measured[[row, 0]] = if measured { 1.0 } else { f32::NAN };
            }
            assert_eq!(most_measured(&atlas, "actin", 0), Some(wanted));
        }
        assert_eq!(most_measured(&atlas, "unknown", 0), None);
    }
}
