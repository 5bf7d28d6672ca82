//! The cells of an atlas where they lie in the tissue, each in the colour of a value.

use std::f64::consts::PI;

use super::axis::{Axis, LABEL_SIZE, TICK_SIZE, name_below, name_left};
use super::canvas::{Canvas, FAINT_INK, INK, Rect, Type, hex};
use super::colour::{NOT_MEASURED, value_colour, viridis_bar};
use super::numbers::{colour_range, decimal};
use crate::file::Atlas;

/// A value for each cell of an atlas, to be drawn where the cell lies.
#[derive(Clone, Copy, Debug)]
pub struct TissueMap<'a> {
    /// What the map shows.
    pub title: &'a str,
    /// What the colours mean, with the unit: `actin, mean intensity (counts)`.
    pub value_name: &'a str,
    /// One value per cell of the atlas; NaN, drawn grey, where there is none.
    pub values: &'a [f32],
    /// Only the cells of this specimen; `None` for those of all.
    pub specimen: Option<&'a str>,
    /// The values that are dark blue and yellow; by default the 2nd and 98th percentile.
    pub range: Option<[f64; 2]>,
}

/// Draws the cells of `atlas` in the tissue frame, seen from the apical side: x along the tissue
/// with the leading tip at 0 on the right, y upwards, both in µm on the same scale.
///
/// A cell is a disc with the cross-section of a ball of its volume (feature `volume_um3`, else that
/// of a typical cell); where several specimens overlie each other the discs are smaller, in
/// proportion. Cells without a position are left out; cells without a value are grey.
pub fn tissue_map(atlas: &Atlas, map: &TissueMap<'_>) -> String {
    const WIDTH: f64 = 1000.0;
    let discs = discs(atlas, map.specimen);
    let (x_um, y_um) = extent(&discs);
    let plot_width = WIDTH - LEFT - BAR;
    let plot_height = plot_width * (y_um[1] - y_um[0]) / (x_um[1] - x_um[0]);
    let heading = 44.0;
    let mut canvas = Canvas::new(WIDTH, heading + plot_height.clamp(120.0, 1200.0) + BELOW);
    let area = canvas.area().inside(0.0, heading, 0.0, 0.0);
    canvas.text(20.0, 30.0, map.title, Type::new(22.0).bold());
    let range = map.range.unwrap_or_else(|| shown_range(atlas, map));
    let plot = draw_map(&mut canvas, &area, &discs, map.values, range, true);
    draw_colour_bar(&mut canvas, &bar_beside(&plot), range, map.value_name);
    let measured = discs.iter().filter(|disc| value(map.values, disc).is_finite()).count();
    let description = format!(
        "{}: {} cells in the tissue frame, {measured} of them with a value between {} and {}.",
        map.value_name,
        discs.len(),
        decimal(range[0], 2),
        decimal(range[1], 2),
    );
    canvas.finish(map.title, &description)
}

/// Room for the numbers and the name of the y axis.
const LEFT: f64 = 78.0;
/// Room for the numbers and the name of the x axis.
const BELOW: f64 = 56.0;
/// Room for the colour bar, its numbers and its name.
pub(super) const BAR: f64 = 108.0;

/// A cell as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Disc {
    /// The cell's row in the atlas.
    row: usize,
    x_um: f64,
    y_um: f64,
    z_um: f64,
    radius_um: f64,
}

/// The cells of one specimen, or of all, from the lowest to the topmost.
pub(super) fn discs(atlas: &Atlas, specimen: Option<&str>) -> Vec<Disc> {
    let shown = |row: &usize| specimen.is_none_or(|wanted| &*atlas.cells[*row].specimen == wanted);
    let overlain = specimen.is_none() && several_specimens(atlas);
    let shrink = if overlain { 0.45 } else { 1.0 };
    let mut discs: Vec<Disc> = (0..atlas.n_cells().min(atlas.spatial_um.nrows()))
        .filter(shown)
        .map(|row| disc(atlas, row, shrink))
        .filter(|disc| disc.x_um.is_finite() && disc.y_um.is_finite())
        .collect();
    discs.sort_by(|a, b| a.z_um.total_cmp(&b.z_um).then(a.row.cmp(&b.row)));
    discs
}

fn several_specimens(atlas: &Atlas) -> bool {
    atlas.cells.iter().any(|cell| cell.specimen != atlas.cells[0].specimen)
}

fn disc(atlas: &Atlas, row: usize, shrink: f64) -> Disc {
    const TYPICAL_VOLUME_UM3: f64 = 270.0; // a cell of the lateral line primordium
    let names = &atlas.features.names;
    let column = names.iter().position(|name| name == "volume_um3");
    let volume_um3 = column.and_then(|column| atlas.features.values.get((row, column)));
    let volume_um3 = volume_um3.map(|&volume| f64::from(volume));
    let volume_um3 = volume_um3.filter(|volume| volume.is_finite() && *volume > 0.0);
    let volume_um3 = volume_um3.unwrap_or(TYPICAL_VOLUME_UM3);
    let at = |axis| atlas.spatial_um.get((row, axis)).map_or(f64::NAN, |&um| f64::from(um));
    let z_um = if at(2).is_nan() { f64::NEG_INFINITY } else { at(2) };
    let radius_um = shrink * (3.0 * volume_um3 / (4.0 * PI)).cbrt();
    Disc { row, x_um: at(0), y_um: at(1), z_um, radius_um }
}

fn value(values: &[f32], disc: &Disc) -> f64 {
    values.get(disc.row).map_or(f64::NAN, |&value| f64::from(value))
}

fn shown_range(atlas: &Atlas, map: &TissueMap<'_>) -> [f64; 2] {
    values_range(&discs(atlas, map.specimen), map.values)
}

/// The range of colours for the values of `discs`.
pub(super) fn values_range(discs: &[Disc], values: &[f32]) -> [f64; 2] {
    colour_range(discs.iter().map(|disc| value(values, disc)))
}

/// What the axes must cover: all discs, the tip, and a little more. x, then y.
pub(super) fn extent(discs: &[Disc]) -> ([f64; 2], [f64; 2]) {
    const MARGIN_UM: f64 = 2.0;
    if discs.is_empty() {
        return ([-130.0, 5.0], [-25.0, 25.0]);
    }
    let mut x = [0.0, 0.0];
    let mut y = [f64::INFINITY, f64::NEG_INFINITY];
    for disc in discs {
        let reach = disc.radius_um + MARGIN_UM;
        x = [f64::min(x[0], disc.x_um - reach), f64::max(x[1], disc.x_um + reach)];
        y = [f64::min(y[0], disc.y_um - reach), f64::max(y[1], disc.y_um + reach)];
    }
    (x, y)
}

/// Draws discs and axes into the upper left of `area`, leaving room for a colour bar at the right.
/// Returns where the plot came to lie. The x axis's name is drawn if `named`.
pub(super) fn draw_map(
    canvas: &mut Canvas,
    area: &Rect,
    discs: &[Disc],
    values: &[f32],
    range: [f64; 2],
    named: bool,
) -> Rect {
    let (x_um, y_um) = extent(discs);
    let room = area.inside(LEFT, 0.0, BAR, BELOW);
    let plot = room.fitted(x_um[1] - x_um[0], y_um[1] - y_um[0]);
    let x = Axis::along(&plot, x_um);
    let y = Axis::up(&plot, y_um);
    let pixels_per_um = plot.width / (x_um[1] - x_um[0]);
    canvas.dashed_line((x.at(0.0), plot.top), (x.at(0.0), plot.bottom()), FAINT_INK, 1.2, "2 4");
    canvas.group(r##"stroke="#ffffff" stroke-width="1""##, |canvas| {
        for disc in discs {
            let colour = hex(value_colour(value(values, disc), range));
            let centre = (x.at(disc.x_um), y.at(disc.y_um));
            canvas.circle(centre, disc.radius_um * pixels_per_um, &colour);
        }
    });
    x.draw_below(canvas, &plot, 7);
    y.draw_left(canvas, &plot, 4);
    name_left(canvas, &plot, "y (µm)", 52.0);
    if named {
        name_below(canvas, &plot, "x from the leading tip (µm)");
    }
    if discs.is_empty() {
        let (x, y) = plot.middle();
        canvas.text(x, y, "no cells", Type::new(18.0).middle().fill(FAINT_INK));
    }
    let grey = discs.iter().any(|disc| value(values, disc).is_nan());
    if grey {
        draw_grey_key(canvas, &plot);
    }
    plot
}

/// Where a colour bar stands beside `plot`.
fn bar_beside(plot: &Rect) -> Rect {
    Rect::new(plot.right() + 18.0, plot.top, 16.0, plot.height)
}

/// Viridis with numbers at its right, and its name further right, reading upwards.
pub(super) fn draw_colour_bar(canvas: &mut Canvas, bar: &Rect, range: [f64; 2], name: &str) {
    canvas.image(*bar, &viridis_bar().to_data_uri());
    let axis = Axis::up(bar, range);
    let (ticks, decimals) = axis.ticks((bar.height / 50.0).round().clamp(2.0, 6.0) as usize);
    for tick in ticks {
        let y = axis.at(tick);
        canvas.line((bar.right(), y), (bar.right() + 4.0, y), INK, 1.2);
        let text = decimal(tick, decimals);
        canvas.text(bar.right() + 8.0, y + TICK_SIZE * 0.35, &text, Type::new(TICK_SIZE));
    }
    let kind = Type::new(LABEL_SIZE).middle().fill(FAINT_INK);
    canvas.upward_text(bar.right() + 66.0, bar.middle().1, name, kind);
}

/// Says in the lower left corner of `plot`, where a tissue is narrow, what grey means.
fn draw_grey_key(canvas: &mut Canvas, plot: &Rect) {
    let y = plot.bottom() - 14.0;
    canvas.circle((plot.left + 16.0, y), 6.0, &hex(NOT_MEASURED));
    canvas.text(plot.left + 28.0, y + 5.0, "no value", Type::new(TICK_SIZE).fill(FAINT_INK));
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::super::fake;
    use super::*;

    fn circles<'a>(document: &'a Document<'a>) -> Vec<Node<'a, 'a>> {
        document.descendants().filter(|node| node.has_tag_name("circle")).collect()
    }

    fn number(node: &Node<'_, '_>, name: &str) -> f64 {
        node.attribute(name).unwrap().parse().unwrap()
    }

    fn map(values: &[f32]) -> TissueMap<'_> {
        TissueMap {
            title: "Actin & cells",
            value_name: "actin (counts)",
            values,
            specimen: None,
            range: None,
        }
    }

    #[test]
    fn each_cell_with_a_position_is_drawn_and_grey_without_a_value() {
        let atlas = Atlas::example();
        let svg = tissue_map(&atlas, &map(&[1.0, 2.0, f32::NAN, 3.0, 4.0]));
        let document = Document::parse(&svg).unwrap();
        let grey = hex(NOT_MEASURED);
        let circles = circles(&document);
        assert_eq!(circles.len(), 5 + 1, "the cells and the key to grey");
        let greys = circles.iter().filter(|node| node.attribute("fill") == Some(&*grey));
        assert_eq!(greys.count(), 1 + 1);
        assert!(svg.contains("no value") && svg.contains("Actin &amp; cells"));
    }

    #[test]
    fn without_a_missing_value_there_is_no_key_to_grey() {
        assert!(!tissue_map(&Atlas::example(), &map(&[1.0; 5])).contains("no value"));
    }

    #[test]
    fn axes_cover_the_cells_on_one_scale_and_the_tip_is_on_the_right() {
        let atlas = fake::atlas();
        let discs = discs(&atlas, Some("E01"));
        let mut canvas = Canvas::new(900.0, 500.0);
        let area = canvas.area();
        let values = vec![1.0; atlas.n_cells()];
        let plot = draw_map(&mut canvas, &area, &discs, &values, [0.0, 2.0], true);
        let svg = canvas.finish("", "");
        let document = Document::parse(&svg).unwrap();
        for node in circles(&document) {
            let [x, y, r] = ["cx", "cy", "r"].map(|name| number(&node, name));
            assert!(x - r >= plot.left && x + r <= plot.right());
            assert!(y - r >= plot.top && y + r <= plot.bottom());
        }
        let (x_um, y_um) = extent(&discs);
        let scales = [plot.width / (x_um[1] - x_um[0]), plot.height / (y_um[1] - y_um[0])];
        assert!((scales[0] / scales[1] - 1.0).abs() < 1e-9);
        assert!(x_um[0] < -100.0 && x_um[1] >= 0.0);
    }

    #[test]
    fn area_is_in_proportion_to_the_cross_section_of_a_ball_of_the_same_volume() {
        let mut atlas = Atlas::example();
        atlas.features.values[[0, 0]] = 4.0 / 3.0 * PI as f32 * 125.0;
        let found = discs(&atlas, Some("056F63395C"));
        let first = found.iter().find(|disc| disc.row == 0).unwrap();
        assert!((first.radius_um - 5.0).abs() < 1e-4);
    }

    #[test]
    fn one_specimen_shows_only_its_cells() {
        let svg = tissue_map(
            &Atlas::example(),
            &TissueMap { specimen: Some("2902E38204"), ..map(&[0.0, 1.0, 2.0, 3.0, 4.0]) },
        );
        assert_eq!(circles(&Document::parse(&svg).unwrap()).len(), 2);
    }

    #[test]
    fn specimens_overlie_one_another_in_smaller_discs() {
        let atlas = fake::atlas();
        let measured = atlas.proteins[0].measured.column(0).to_vec();
        let svg = tissue_map(&atlas, &map(&measured));
        let circles = circles(&Document::parse(&svg).unwrap()).len();
        assert_eq!(circles, atlas.n_cells() + 1, "the cells and the key to grey");
        let radius = |specimen| discs(&atlas, specimen).iter().map(|disc| disc.radius_um).sum();
        let (all, one): (f64, f64) = (radius(None), radius(Some("E01")));
        assert!(all / (atlas.n_cells() as f64) < one / 90.0);
        fake::show("map.svg", &svg);
    }

    #[test]
    fn an_empty_atlas_gives_an_empty_map() {
        let svg = tissue_map(&Atlas::default(), &map(&[]));
        assert!(Document::parse(&svg).is_ok() && svg.contains("no cells"));
    }
}
