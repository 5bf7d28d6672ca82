//! Shapes along an axis of a shape space, side by side.

use std::f64::consts::TAU;

use nalgebra::Vector3;
use primordia_data::Volume;
use primordia_features::{Harmonics, Mesh};

use super::canvas::{Canvas, FAINT_INK, INK, Rect, Type};
use super::colour::value_colour;
use super::numbers::{decimal, with_commas};
use super::raster::Raster;
use super::section::round_below;
use super::shade::{Frame, NUANCES, View, reach_um, shaded};
use super::tissue_map::draw_colour_bar;
use crate::walk::{MeanLayout, Walk, mesh_of};

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 44.0;
/// Room at the left for what each row is.
const LEFT: f64 = 40.0;
/// Room at the right for what colours mean.
const BAR: f64 = 96.0;
/// Where the shapes begin.
const TOP: f64 = 150.0;
/// The most that a row of shapes is high.
const HIGHEST_ROW: f64 = 300.0;
/// Between shapes, and between rows.
const GAP: f64 = 24.0;
/// From the last row to the end of the sheet.
const BELOW: f64 = 96.0;
/// Pixels of a picture for each of the sheet: sharp on fine screens.
const FINENESS: f64 = 2.0;

/// One way to show all shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Surface(View),
    /// The density in the plane of x and z through the middle.
    Section,
}

/// Draws the shapes of a walk on one scale: a column per step, seen from the side (the leading tip to the
/// right, apical up) and from above, with the outline of the mean cell; and where a protein is painted, a
/// section through its density.
pub fn walk_figure(walk: &Walk) -> String {
    let meshes: Vec<Mesh> = walk.steps.iter().map(|step| mesh_of(&step.radius_um)).collect();
    let mean = mesh_of(&walk.mean);
    let sheet = Sheet::of(walk, &meshes, &mean);
    let mut canvas = Canvas::new(WIDTH, sheet.bottom() + BELOW);
    draw_heading(&mut canvas, walk);
    for (at, row) in sheet.rows.iter().enumerate() {
        let (_, y) = sheet.place(at, 0).middle();
        let kind = Type::new(17.0).middle().fill(FAINT_INK);
        canvas.upward_text(MARGIN + 16.0, y, &name_of(*row, walk), kind);
        match row {
            Row::Surface(view) => draw_surfaces(&mut canvas, &sheet, at, *view, &meshes, &mean),
            Row::Section => draw_densities(&mut canvas, &sheet, at, walk),
        }
    }
    for (column, (step, mesh)) in walk.steps.iter().zip(&meshes).enumerate() {
        let x = sheet.middle(column);
        canvas.text(x, TOP - 12.0, &station(step.sd), Type::new(19.0).middle());
        let volume = format!("{} µm³", decimal(mesh.volume_um3(), 0));
        let kind = Type::new(17.0).middle().fill(FAINT_INK);
        canvas.text(x, sheet.bottom() + 22.0, &volume, kind);
    }
    draw_key(&mut canvas, &sheet);
    canvas.finish(&title(walk), &described(walk, &meshes))
}

/// Where shapes stand, and how large.
struct Sheet {
    rows: Vec<Row>,
    n_columns: usize,
    /// Where columns end.
    right: f64,
    /// How far shapes reach from their middle along x, y and z.
    half_um: [f64; 3],
    pixels_per_um: f64,
}

impl Sheet {
    fn of(walk: &Walk, meshes: &[Mesh], mean: &Mesh) -> Self {
        let mut rows = vec![Row::Surface(View::Side), Row::Surface(View::Above)];
        rows.extend(walk.protein.as_ref().map(|_| Row::Section));
        let reach = |view: View| {
            let all = meshes.iter().chain([mean]).map(|mesh| reach_um(mesh, view));
            all.fold([f64::MIN_POSITIVE; 2], |[x, y], [a, b]| [x.max(a), y.max(b)])
        };
        let ([x, z], [_, y]) = (reach(View::Side), reach(View::Above));
        let n_columns = meshes.len().max(1);
        let right = WIDTH - MARGIN - if walk.protein.is_some() { BAR } else { 0.0 };
        let width = (right - MARGIN - LEFT) / n_columns as f64 - GAP;
        let pixels_per_um = (width / 2.0 / x).min(HIGHEST_ROW / 2.0 / y.max(z));
        Self { rows, n_columns, right, half_um: [x, y, z], pixels_per_um }
    }

    /// The middle of a column.
    fn middle(&self, column: usize) -> f64 {
        let room = self.right - MARGIN - LEFT;
        MARGIN + LEFT + room * (column as f64 + 0.5) / self.n_columns as f64
    }

    fn half_height_um(&self, row: usize) -> f64 {
        match self.rows[row] {
            Row::Surface(View::Above) => self.half_um[1],
            Row::Surface(View::Side) | Row::Section => self.half_um[2],
        }
    }

    fn height(&self, row: usize) -> f64 {
        2.0 * self.half_height_um(row) * self.pixels_per_um
    }

    fn top(&self, row: usize) -> f64 {
        TOP + (0..row).map(|above| self.height(above) + GAP).sum::<f64>()
    }

    fn bottom(&self) -> f64 {
        self.top(self.rows.len()) - GAP
    }

    fn place(&self, row: usize, column: usize) -> Rect {
        let width = 2.0 * self.half_um[0] * self.pixels_per_um;
        Rect::new(self.middle(column) - width / 2.0, self.top(row), width, self.height(row))
    }

    fn frame(&self, row: usize) -> Frame {
        Frame {
            half_width_um: self.half_um[0],
            half_height_um: self.half_height_um(row),
            pixels_per_um: FINENESS * self.pixels_per_um,
        }
    }
}

fn name_of(row: Row, walk: &Walk) -> String {
    match row {
        Row::Surface(View::Side) => "from the side".to_owned(),
        Row::Surface(View::Above) => "from above".to_owned(),
        Row::Section => {
            let protein = walk.protein.as_ref().map_or("", |protein| &protein.protein);
            format!("{protein} inside")
        }
    }
}

fn draw_surfaces(
    canvas: &mut Canvas,
    sheet: &Sheet,
    row: usize,
    view: View,
    meshes: &[Mesh],
    mean: &Mesh,
) {
    for (column, mesh) in meshes.iter().enumerate() {
        let picture = shaded(mesh, mean, view, &sheet.frame(row));
        canvas.image(sheet.place(row, column), &picture.to_data_uri());
    }
}

/// Sections through the densities in one range of colours, and what the colours mean.
fn draw_densities(canvas: &mut Canvas, sheet: &Sheet, row: usize, walk: &Walk) {
    let densities = || walk.steps.iter().map(|step| step.density.as_ref());
    let values = densities().flatten().flat_map(middle_plane);
    let range = [0.0, values.map(f64::from).fold(1.0, f64::max)];
    for (column, density) in densities().enumerate() {
        let Some(density) = density else { continue };
        let rim_um = rim_um(&walk.steps[column].radius_um);
        let picture = density_section(density, &rim_um, &sheet.frame(row), range);
        canvas.image(sheet.place(row, column), &picture.to_data_uri());
    }
    let bar = Rect::new(sheet.right + 8.0, sheet.top(row), 16.0, sheet.height(row));
    draw_colour_bar(canvas, &bar, range, "cell mean = 1");
}

/// The values of the plane of x and z through the middle.
fn middle_plane(density: &Volume<f32>) -> impl Iterator<Item = f32> + '_ {
    let [_, n_y, _] = density.shape();
    density.voxels().index_axis(ndarray::Axis(1), n_y / 2).into_iter().copied()
}

/// The radius of a surface in the plane of x and z, evenly around from x towards z.
fn rim_um(radius_um: &Harmonics) -> Vec<f64> {
    const N_DIRECTIONS: usize = 1440;
    let direction = |at: usize| {
        let (sin, cos) = (TAU * at as f64 / N_DIRECTIONS as f64).sin_cos();
        Vector3::new(cos, 0.0, sin)
    };
    (0..N_DIRECTIONS).map(|at| radius_um.value(&direction(at))).collect()
}

/// The plane of x (to the right) and z (up) through the middle of a density; white beyond the rim.
fn density_section(
    density: &Volume<f32>,
    rim_um: &[f64],
    frame: &Frame,
    range: [f64; 2],
) -> Raster {
    let plane = density.voxels().index_axis(ndarray::Axis(1), density.shape()[1] / 2);
    let [side_z, _, side_x] = density.voxel_size().um();
    let (n_z, n_x) = plane.dim();
    let value_at = |x_um: f64, z_um: f64| {
        let x = x_um / side_x + (n_x / 2) as f64;
        let z = z_um / side_z + (n_z / 2) as f64;
        between_voxels(|z, x| plane.get((z, x)).copied().unwrap_or(0.0), z, x)
    };
    let [n_columns, n_rows] = frame.n_pixels();
    Raster::from_fn(n_columns, n_rows, |column, row| {
        let [x_um, z_um] = frame.place_um([column, row]);
        let from_middle = x_um.hypot(z_um).max(f64::MIN_POSITIVE);
        let turn = (z_um.atan2(x_um) / TAU).rem_euclid(1.0) * rim_um.len() as f64;
        if from_middle > rim_um[turn as usize % rim_um.len()] {
            return [255; 3];
        }
        // At the rim, where no voxel has its middle in the cell, the nearest towards the middle.
        let mut inwards = (0..5).map(|step| 1.0 - 0.25 * side_x * f64::from(step) / from_middle);
        let value = inwards.find_map(|part| value_at(part * x_um, part * z_um));
        value.map_or([255; 3], |value| value_colour(in_steps(value, range), range))
    })
}

/// `value`, or one near it: few enough that a PNG needs a byte per pixel.
fn in_steps(value: f64, [low, high]: [f64; 2]) -> f64 {
    low + ((value - low) / (high - low) * NUANCES).round() / NUANCES * (high - low)
}

/// A value between voxels, of those of the four nearest that lie in the cell; none if none does.
fn between_voxels(voxel: impl Fn(usize, usize) -> f32, z: f64, x: f64) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (dz, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (at_z, at_x) = (z.floor() + f64::from(dz), x.floor() + f64::from(dx));
        if at_z < 0.0 || at_x < 0.0 {
            continue;
        }
        let value = f64::from(voxel(at_z as usize, at_x as usize));
        if value > 0.0 {
            let part = (1.0 - (z - at_z).abs()) * (1.0 - (x - at_x).abs());
            sum += part * value;
            weight += part;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

fn title(walk: &Walk) -> String {
    format!("Shape axis {} of {}: {}", walk.axis, walk.n_axes, walk.name)
}

/// What the axis is worth.
fn worth(walk: &Walk) -> String {
    let painted = walk.protein.as_ref().map_or_else(String::new, |protein| {
        let MeanLayout { protein, n_cells, .. } = protein;
        format!("; {protein} as on average in {} cells", with_commas(*n_cells))
    });
    format!(
        "{} % of the variance of the surfaces of {} cells; 1 sd moves the surface by {} µm (root mean square){painted}",
        decimal(100.0 * walk.explained, 1),
        with_commas(walk.n_cells),
        decimal(walk.deviation_um, 2),
    )
}

/// `−1.33 sd`, or `mean`.
fn station(sd: f64) -> String {
    if sd == 0.0 { "mean".to_owned() } else { format!("{} sd", decimal(sd, 2)) }
}

fn draw_heading(canvas: &mut Canvas, walk: &Walk) {
    canvas.text(MARGIN, 56.0, &title(walk), Type::new(31.0).bold());
    canvas.text(MARGIN, 86.0, &worth(walk), Type::new(19.0).fill(FAINT_INK));
}

/// What the axes of the pictures are, and a scale bar.
fn draw_key(canvas: &mut Canvas, sheet: &Sheet) {
    let y = sheet.bottom() + 64.0;
    let key = "right: to the leading tip (x); from the side, up: apical (z); from above, up: y; line: outline of the mean cell";
    canvas.text(MARGIN, y, key, Type::new(17.0).fill(FAINT_INK));
    let Some(length_um) = round_below(150.0 / sheet.pixels_per_um) else { return };
    let length = length_um * sheet.pixels_per_um;
    let right = WIDTH - MARGIN;
    canvas.rect(Rect::new(right - length, y - 4.0, length, 4.0), INK);
    let name = format!("{length_um} µm");
    canvas.text(right - length - 12.0, y + 2.0, &name, Type::new(17.0).end());
}

/// What a reader who cannot see the shapes is told.
fn described(walk: &Walk, meshes: &[Mesh]) -> String {
    let shapes = walk.steps.iter().zip(meshes).map(|(step, mesh)| {
        let [x, z] = reach_um(mesh, View::Side);
        let [_, y] = reach_um(mesh, View::Above);
        let sides = [x, y, z].map(|half_um| decimal(2.0 * half_um, 1)).join(" × ");
        let volume = decimal(mesh.volume_um3(), 0);
        format!("{}: {sides} µm (x, y, z), {volume} µm³", station(step.sd))
    });
    format!("{}. {}.", worth(walk), shapes.collect::<Vec<_>>().join("; "))
}
