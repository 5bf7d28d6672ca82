//! One plane of an image and the cells in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::canvas::{Canvas, Rect, Type, text_width};
use super::colour::{self, CELLS, Rgb, between, value_colour};
use super::numbers::{decimal, quantiles};
use super::raster::Raster;

/// One plane of an image, with its cells if they are known.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// The light, (y, x). It is stretched, so that its unit does not matter; NaN is dark.
    pub image: ArrayView2<'a, f32>,
    /// The cell of each pixel, (y, x), 0 for none; of the same shape as `image`.
    pub labels: Option<ArrayView2<'a, u32>>,
    /// The size of a pixel along y and x.
    pub pixel_um: [f64; 2],
    /// The colour of light.
    pub tint: Tint,
    /// How cells are painted.
    pub paint: Paint<'a>,
}

/// The colour of light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    /// Black to white.
    #[default]
    Grey,
    /// Black over violet to pale yellow (magma).
    Magma,
}

/// How cells are painted.
#[derive(Clone, Copy, Debug, Default)]
pub enum Paint<'a> {
    /// Not at all: the image alone.
    #[default]
    Nothing,
    /// As thin outlines.
    Outlines,
    /// Filled, so that neighbours differ, with thin outlines.
    Distinct,
    /// Filled by a value, with thin outlines.
    Values {
        /// The value of each label; a label without one, or with NaN, is grey.
        values: &'a BTreeMap<u32, f32>,
        /// The values that are dark blue and yellow (viridis).
        range: [f64; 2],
    },
}

/// Nuances of light in a filled cell and outside: few enough that a PNG needs a byte per pixel.
const NUANCES: u8 = 15;
/// Nuances of light where nothing is filled.
const IMAGE_NUANCES: u8 = 63;
/// The border between cells.
const OUTLINE: Rgb = [16, 16, 16];
/// The border between cells that are not filled (Okabe and Ito's yellow).
const BRIGHT_OUTLINE: Rgb = [240, 228, 66];

/// The pixels of `section`, one for each of the image.
///
/// Light is stretched between its 1st and 99.7th percentile. Outlines are one pixel wide, inside
/// the cell that lies left of or above the border. Labels of another shape than the image are left out.
pub fn section(section: &Section<'_>) -> Raster {
    let (height, width) = section.image.dim();
    let light = stretched(&section.image);
    let labels = section.labels.filter(|labels| labels.dim() == (height, width));
    let fill = Fill::new(section, labels);
    Raster::from_fn(width, height, |x, y| {
        let light = light[[y, x]];
        let Some(labels) = labels else { return fill.image_colour(light) };
        if fill.outline.is_some() && on_border(&labels, y, x) {
            return fill.outline.unwrap_or(OUTLINE);
        }
        fill.cell_colour(labels[[y, x]], light)
    })
}

/// `section` as an SVG of its own, with a scale bar; `title` names it.
pub fn section_figure(section: &Section<'_>, title: &str) -> String {
    const WIDTH: f64 = 900.0;
    let (height, width) = physical_size(section);
    let pixels_high = (WIDTH * height / width).clamp(60.0, 1600.0);
    let mut canvas = Canvas::new(WIDTH, pixels_high);
    let area = canvas.area();
    draw_section(&mut canvas, &area, section);
    canvas.finish(title, &format!("{title}: {}", described(section)))
}

/// Draws `section` into the upper left of `area`, with a scale bar.
pub(super) fn draw_section(canvas: &mut Canvas, area: &Rect, section: &Section<'_>) {
    if section.image.is_empty() {
        canvas.rect(*area, "#000000");
        let (x, y) = area.middle();
        canvas.text(x, y, "no image", Type::new(18.0).middle().fill("#ffffff"));
        return;
    }
    let (height, width) = physical_size(section);
    let place = area.fitted(width, height);
    let small = Reduced::new(section, 2.0 * place.width, MOST_PIXELS);
    canvas.image(place, &self::section(&small.section(section)).to_data_uri());
    draw_scale_bar(canvas, &place, place.width / width);
}

/// What a reader who cannot see the section is told.
pub(super) fn described(section: &Section<'_>) -> String {
    let (height, width) = physical_size(section);
    let n_cells = section.labels.map_or(0, |labels| {
        labels.iter().filter(|&&label| label != 0).collect::<BTreeSet<_>>().len()
    });
    let size = format!("{} by {} µm", decimal(width, 0), decimal(height, 0));
    match n_cells {
        0 => format!("a section of {size}"),
        _ => format!("a section of {size} through {n_cells} cells"),
    }
}

/// A section shown in a figure has at most about this many pixels.
const MOST_PIXELS: f64 = 130_000.0;

/// A scale bar in the lower right corner, some fifth of the width long.
fn draw_scale_bar(canvas: &mut Canvas, area: &Rect, pixels_per_um: f64) {
    const SIZE: f64 = 17.0;
    let Some(length_um) = round_below(area.width * 0.22 / pixels_per_um) else { return };
    let name = format!("{length_um} µm");
    let length = length_um * pixels_per_um;
    let right = area.right() - 14.0;
    let y = area.bottom() - 12.0;
    let widest = length.max(text_width(&name, SIZE));
    let back = Rect::new(right - widest - 8.0, y - 28.0, widest + 16.0, 36.0);
    canvas.group(r#"fill-opacity="0.55""#, |canvas| canvas.rect(back, "#000000"));
    canvas.rect(Rect::new(right - length, y - 2.0, length, 4.0), "#ffffff");
    let kind = Type::new(SIZE).middle().fill("#ffffff");
    canvas.text(right - length / 2.0, y - 9.0, &name, kind);
}

/// The largest of 1, 2 and 5 times a power of ten that is at most `length`.
pub(super) fn round_below(length: f64) -> Option<f64> {
    if !(length.is_finite() && length > 0.0) {
        return None;
    }
    let unit = 10_f64.powi(length.log10().floor() as i32);
    [5.0, 2.0, 1.0].into_iter().map(|factor| factor * unit).find(|&round| round <= length)
}

/// Height and width in µm; never nothing.
pub(super) fn physical_size(section: &Section<'_>) -> (f64, f64) {
    let (height, width) = section.image.dim();
    let um = section.pixel_um.map(|um| if um.is_finite() && um > 0.0 { um } else { 1.0 });
    (height.max(1) as f64 * um[0], width.max(1) as f64 * um[1])
}

/// A section with fewer pixels: means of light, and the label in the middle of each block.
struct Reduced {
    image: Array2<f32>,
    labels: Option<Array2<u32>>,
    pixel_um: [f64; 2],
}

impl Reduced {
    /// At most about `widest` pixels wide and `most_pixels` in all; never more than there were.
    fn new(section: &Section<'_>, widest: f64, most_pixels: f64) -> Self {
        let (height, width) = section.image.dim();
        let (height_um, width_um) = physical_size(section);
        let columns = widest.min((most_pixels * width_um / height_um).sqrt());
        let rows = columns * height_um / width_um;
        let columns = (columns as usize).clamp(1, width);
        let rows = (rows as usize).clamp(1, height);
        let image = Array2::from_shape_fn((rows, columns), |(y, x)| {
            let (ys, xs) = (block(y, rows, height), block(x, columns, width));
            section.image.slice(ndarray::s![ys, xs]).mean().unwrap_or(0.0)
        });
        let labels = section.labels.filter(|labels| labels.dim() == (height, width));
        let labels = labels.map(|labels| {
            Array2::from_shape_fn((rows, columns), |(y, x)| {
                let (ys, xs) = (block(y, rows, height), block(x, columns, width));
                labels[[ys.start.midpoint(ys.end - 1), xs.start.midpoint(xs.end - 1)]]
            })
        });
        Self { image, labels, pixel_um: [height_um / rows as f64, width_um / columns as f64] }
    }

    fn section<'a, 'b: 'a>(&'a self, original: &Section<'b>) -> Section<'a> {
        Section {
            image: self.image.view(),
            labels: self.labels.as_ref().map(|labels| labels.view()),
            pixel_um: self.pixel_um,
            tint: original.tint,
            paint: original.paint,
        }
    }
}

/// Which of `all` pixels make number `at` of `n_blocks`.
fn block(at: usize, n_blocks: usize, all: usize) -> Range<usize> {
    at * all / n_blocks..(at + 1) * all / n_blocks
}

/// Light from 0 (dark) to 1 (bright).
fn stretched(image: &ArrayView2<'_, f32>) -> Array2<f64> {
    const DARK_AND_BRIGHT: [f64; 2] = [0.01, 0.997];
    let values = image.iter().map(|&value| f64::from(value));
    let [dark, bright] = quantiles(values, DARK_AND_BRIGHT).unwrap_or([0.0, 1.0]);
    let width = if bright > dark { bright - dark } else { 1.0 };
    image.mapv(|value| {
        let light = (f64::from(value) - dark) / width;
        if light.is_nan() { 0.0 } else { light.clamp(0.0, 1.0) }
    })
}

/// `light` in steps, so that a picture has few colours.
fn in_steps(light: f64, steps: u8) -> f64 {
    (light * f64::from(steps)).round() / f64::from(steps)
}

/// Whether another cell, or none, lies right of or below this pixel.
fn on_border(labels: &ArrayView2<'_, u32>, y: usize, x: usize) -> bool {
    let here = labels[[y, x]];
    [(y + 1, x), (y, x + 1)].into_iter().any(|at| labels.get(at).is_some_and(|&next| next != here))
}

/// The colours of cells, of light and of outlines.
struct Fill {
    tint: Tint,
    cells: BTreeMap<u32, Rgb>,
    outline: Option<Rgb>,
    /// How much of the light shows on a filled cell.
    translucency: f64,
}

impl Fill {
    fn new(section: &Section<'_>, labels: Option<ArrayView2<'_, u32>>) -> Self {
        let (cells, outline, translucency) = match (section.paint, labels) {
            (Paint::Nothing, _) | (_, None) => (BTreeMap::new(), None, 0.0),
            (Paint::Outlines, _) => (BTreeMap::new(), Some(BRIGHT_OUTLINE), 0.0),
            (Paint::Distinct, Some(labels)) => (distinct_colours(&labels), Some(OUTLINE), 0.3),
            (Paint::Values { values, range }, Some(labels)) => {
                (colours_by_value(&labels, values, range), Some(OUTLINE), 0.0)
            }
        };
        Self { tint: section.tint, cells, outline, translucency }
    }

    fn cell_colour(&self, label: u32, light: f64) -> Rgb {
        match self.cells.get(&label) {
            Some(&colour) => {
                let light = in_steps(light, NUANCES);
                let share = 1.0 - self.translucency * (1.0 - light);
                between([0; 3], colour, share)
            }
            None if self.cells.is_empty() => self.image_colour(light),
            None => self.tinted(in_steps(light, NUANCES)),
        }
    }

    fn image_colour(&self, light: f64) -> Rgb {
        self.tinted(in_steps(light, IMAGE_NUANCES))
    }

    fn tinted(&self, light: f64) -> Rgb {
        match self.tint {
            Tint::Grey => between([0; 3], [255; 3], light),
            Tint::Magma => colour::magma(light),
        }
    }
}

fn colours_by_value(
    labels: &ArrayView2<'_, u32>,
    values: &BTreeMap<u32, f32>,
    range: [f64; 2],
) -> BTreeMap<u32, Rgb> {
    let cells: BTreeSet<u32> = labels.iter().copied().filter(|&label| label != 0).collect();
    let value = |label| f64::from(values.get(&label).copied().unwrap_or(f32::NAN));
    cells.into_iter().map(|label| (label, value_colour(value(label), range))).collect()
}

/// A colour for each cell that its neighbours do not have. The rarest free colour is taken; where
/// more neighbours than colours meet, the rarest among all.
fn distinct_colours(labels: &ArrayView2<'_, u32>) -> BTreeMap<u32, Rgb> {
    let neighbours = neighbours(labels);
    let mut uses = [0_usize; CELLS.len()];
    let mut chosen: BTreeMap<u32, usize> = BTreeMap::new();
    for (&label, beside) in &neighbours {
        let taken: BTreeSet<usize> = beside.iter().filter_map(|n| chosen.get(n).copied()).collect();
        let free = (0..CELLS.len()).filter(|at| !taken.contains(at)).min_by_key(|&at| uses[at]);
        let rarest = || (0..CELLS.len()).min_by_key(|&at| uses[at]).unwrap_or(0);
        let colour = free.unwrap_or_else(rarest);
        uses[colour] += 1;
        chosen.insert(label, colour);
    }
    chosen.into_iter().map(|(label, colour)| (label, CELLS[colour])).collect()
}

/// Which cells share an edge between pixels.
fn neighbours(labels: &ArrayView2<'_, u32>) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut neighbours: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for ((y, x), &here) in labels.indexed_iter() {
        if here == 0 {
            continue;
        }
        neighbours.entry(here).or_default();
        for next in [(y + 1, x), (y, x + 1)].into_iter().filter_map(|at| labels.get(at).copied()) {
            if next != 0 && next != here {
                neighbours.entry(here).or_default().insert(next);
                neighbours.entry(next).or_default().insert(here);
            }
        }
    }
    neighbours
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::fake;
    use super::*;

    fn plain(image: &Array2<f32>) -> Section<'_> {
        Section {
            image: image.view(),
            labels: None,
            pixel_um: [1.0, 1.0],
            tint: Tint::Grey,
            paint: Paint::Nothing,
        }
    }

    #[test]
    fn the_darkest_is_black_and_the_brightest_white() {
        let image = array![[5.0, 10.0, f32::NAN], [7.5, 5.0, 10.0]];
        let raster = section(&plain(&image));
        assert_eq!((raster.width(), raster.height()), (3, 2));
        assert_eq!(raster.pixel(0, 0), Some([0; 3]));
        assert_eq!(raster.pixel(1, 0), Some([255; 3]));
        assert_eq!(raster.pixel(2, 0), Some([0; 3]), "NaN is dark");
    }

    #[test]
    fn cells_are_painted_by_value_and_grey_without_one() {
        let image = Array2::zeros((3, 6));
        let labels = array![[0, 0, 2, 2, 3, 3], [0, 0, 2, 2, 3, 3], [0, 0, 2, 2, 3, 3]];
        let values = BTreeMap::from([(2, 1.0), (3, f32::NAN)]);
        let paint = Paint::Values { values: &values, range: [0.0, 1.0] };
        let raster = section(&Section { labels: Some(labels.view()), paint, ..plain(&image) });
        assert_eq!(raster.pixel(2, 1), Some(colour::viridis(1.0)));
        assert_eq!(raster.pixel(5, 1), Some(colour::NOT_MEASURED));
        assert_eq!(raster.pixel(0, 1), Some([0; 3]));
        assert_eq!(raster.pixel(3, 1), Some(OUTLINE), "the border between the cells");
    }

    #[test]
    fn neighbours_differ_in_colour() {
        let tissue = fake::tissue();
        let colours = distinct_colours(&tissue.labels.view());
        assert!(colours.len() > 80);
        for (label, beside) in neighbours(&tissue.labels.view()) {
            assert!(beside.iter().all(|next| colours[next] != colours[&label]));
        }
    }

    #[test]
    fn a_filled_section_needs_a_byte_per_pixel() {
        let tissue = fake::tissue();
        let (labels, paint) = (Some(tissue.labels.view()), Paint::Distinct);
        let raster = section(&Section { labels, paint, ..plain(&tissue.membrane) });
        assert!(raster.to_png().len() < raster.width() * raster.height() + 2000);
        let outlined = Section { labels, paint: Paint::Outlines, ..plain(&tissue.membrane) };
        fake::show("outlines.svg", &section_figure(&outlined, "Outlines"));
    }

    #[test]
    fn a_large_section_is_reduced_without_changing_its_size() {
        let image = Array2::from_shape_fn((1000, 3000), |(y, x)| (x + y) as f32);
        let original = Section { pixel_um: [0.2, 0.1], ..plain(&image) };
        let reduced = Reduced::new(&original, 1e9, 40_000.0);
        let section = reduced.section(&original);
        assert!(section.image.len() <= 40_000);
        let (height, width) = physical_size(&section);
        assert!((height - 200.0).abs() < 2.0 && (width - 300.0).abs() < 2.0);
    }

    #[test]
    fn a_scale_bar_has_a_round_length() {
        assert_eq!(round_below(28.6), Some(20.0));
        assert_eq!(round_below(0.74), Some(0.5));
        assert_eq!(round_below(100.0), Some(100.0));
        assert_eq!(round_below(f64::NAN), None);
        let image = Array2::zeros((100, 400));
        let svg = section_figure(&Section { pixel_um: [0.5; 2], ..plain(&image) }, "Membranes");
        assert!(svg.contains(">20 µm<") && svg.contains("200 by 50 µm"));
    }

    #[test]
    fn no_image_is_no_panic() {
        let svg = section_figure(&plain(&Array2::zeros((0, 0))), "Nothing");
        assert!(roxmltree::Document::parse(&svg).is_ok() && svg.contains("no image"));
    }
}
