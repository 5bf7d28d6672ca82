//! The cells that were found in one image, beside the light that they were found in.

use ndarray::{ArrayView2, Axis};
use primordia_data::{Labels, Volume};

use super::canvas::{Canvas, FAINT_INK, Rect, Type, text_width};
use super::numbers::decimal;
use super::section::{Paint, Section, Tint, described, draw_section, physical_size};

const WIDTH: f64 = 1400.0;
const MARGIN: f64 = 36.0;
const GAP: f64 = 24.0;
/// Room for the line over each pair of sections.
const CAPTION: f64 = 44.0;

/// Two planes through an image, each alone at the left and with its cells at the right: the plane across z, and the
/// one across y, in which cells cover most. `subtitle` is a line under the `title`, such as a verdict.
///
/// Gives an SVG.
///
/// # Panics
/// If `labels` is of another shape than `light`.
pub fn found_cells(light: &Volume<f32>, labels: &Labels, title: &str, subtitle: &str) -> String {
    assert_eq!(light.shape(), labels.volume().shape(), "labels of another image");
    let planes = [(0, "z", "seen from above"), (1, "y", "seen from the side")]
        .map(|(axis, name, view)| Plane::fullest(light, labels, axis, name, view));
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let heights = planes.each_ref().map(|plane| plane.height(width));
    let top = 116.0;
    let all = top + heights.iter().map(|height| height + CAPTION).sum::<f64>() + MARGIN;
    let mut canvas = Canvas::new(WIDTH, all);
    canvas.text(MARGIN, 52.0, title, Type::new(29.0).bold());
    let fits = ((WIDTH - 2.0 * MARGIN) / text_width(subtitle, 19.0)).min(1.0);
    canvas.text(MARGIN, 84.0, subtitle, Type::new(19.0 * fits).fill(FAINT_INK));
    let mut y = top;
    for (plane, height) in planes.iter().zip(heights) {
        canvas.text(MARGIN, y + 24.0, &plane.caption, Type::new(19.0));
        y += CAPTION;
        let light = Rect::new(MARGIN, y, width, height);
        draw_section(&mut canvas, &light, &plane.section(Paint::Nothing));
        let cells = Rect::new(MARGIN + width + GAP, y, width, height);
        draw_section(&mut canvas, &cells, &plane.section(Paint::Distinct));
        y += height;
    }
    let [above, side] = planes.map(|plane| described(&plane.section(Paint::Distinct)));
    canvas.finish(title, &format!("{subtitle}; {above}, and {side}"))
}

/// One plane of an image, and what it is called.
struct Plane<'a> {
    light: ArrayView2<'a, f32>,
    labels: ArrayView2<'a, u32>,
    pixel_um: [f64; 2],
    caption: String,
}

impl<'a> Plane<'a> {
    /// The plane across `axis` in which cells cover most; the one in the middle if there are no cells.
    fn fullest(
        light: &'a Volume<f32>,
        labels: &'a Labels,
        axis: usize,
        name: &str,
        view: &str,
    ) -> Self {
        let (um, voxels) = (light.voxel_size().um(), labels.volume().voxels());
        let covered: Vec<usize> = voxels
            .axis_iter(Axis(axis))
            .map(|plane| plane.iter().filter(|&&label| label > 0).count())
            .collect();
        let most = covered.iter().copied().max().unwrap_or(0);
        let full: Vec<usize> = (0..covered.len()).filter(|&at| covered[at] == most).collect();
        let at = full[full.len() / 2];
        let pixel_um = if axis == 0 { [um[1], um[2]] } else { [um[0], um[2]] };
        let place_um = decimal((at as f64 + 0.5) * um[axis], 1);
        Self {
            light: light.voxels().index_axis(Axis(axis), at),
            labels: voxels.index_axis(Axis(axis), at),
            pixel_um,
            caption: format!("{view}, at {name} = {place_um} µm"),
        }
    }

    fn section(&self, paint: Paint<'a>) -> Section<'a> {
        Section {
            image: self.light,
            labels: Some(self.labels),
            pixel_um: self.pixel_um,
            tint: Tint::Grey,
            paint,
        }
    }

    /// How high the plane is where it is `width` wide, within reason.
    fn height(&self, width: f64) -> f64 {
        let (high_um, wide_um) = physical_size(&self.section(Paint::Nothing));
        (width * high_um / wide_um).clamp(60.0, 2.0 * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::fake;
    use ndarray::Array3;
    use primordia_data::VoxelSize;

    #[test]
    fn the_fullest_planes_are_shown_beside_their_light() {
        let um = VoxelSize::from_um([2.0, 0.5, 0.5]).unwrap();
        let mut labels = Array3::zeros((6, 40, 80));
        labels.slice_mut(ndarray::s![4, 5..30, 10..60]).fill(1_u32);
        labels.slice_mut(ndarray::s![2, 5..20, 10..60]).fill(2_u32);
        let light = Volume::new(labels.mapv(|label| label as f32), um).unwrap();
        let labels = Labels::new(Volume::new(labels, um).unwrap());
        let svg = found_cells(&light, &labels, "embryo.tif", "2 cells");
        fake::show("found.svg", &svg);
        assert!(svg.contains("seen from above, at z = 9.0 µm"));
        assert!(svg.contains("seen from the side, at y = 6.2 µm"));
        assert_eq!(svg.matches("<image").count(), 4);
    }
}
