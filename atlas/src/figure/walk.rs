//! Shapes along an axis of a shape space, side by side.

use primordia_features::Mesh;

use super::canvas::{Canvas, FAINT_INK, INK, Rect, Type};
use super::numbers::{decimal, with_commas};
use super::section::round_below;
use super::shade::{Frame, View, reach_um, shaded};
use crate::walk::{Walk, mesh_of};

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 44.0;
/// Room at the left for what each row is.
const LEFT: f64 = 40.0;
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

/// The views, each a row, and what they are called.
const ROWS: [(View, &str); 2] = [(View::Side, "from the side"), (View::Above, "from above")];

/// Draws the shapes of a walk on one scale: a column per step, seen from the side (the leading tip to the
/// right, apical up) and from above, with the outline of the mean cell.
pub fn walk_figure(walk: &Walk) -> String {
    let meshes: Vec<Mesh> = walk.steps.iter().map(|step| mesh_of(&step.radius_um)).collect();
    let mean = mesh_of(&walk.mean);
    let sheet = Sheet::of(&meshes, &mean);
    let mut canvas = Canvas::new(WIDTH, sheet.bottom() + BELOW);
    draw_heading(&mut canvas, walk);
    for (column, mesh) in meshes.iter().enumerate() {
        let x = sheet.middle(column);
        canvas.text(x, TOP - 12.0, &station(walk.steps[column].sd), Type::new(19.0).middle());
        for (row, (view, _)) in ROWS.into_iter().enumerate() {
            let picture = shaded(mesh, &mean, view, &sheet.frame(row));
            canvas.image(sheet.place(row, column), &picture.to_data_uri());
        }
        let volume = format!("{} µm³", decimal(mesh.volume_um3(), 0));
        let kind = Type::new(17.0).middle().fill(FAINT_INK);
        canvas.text(x, sheet.bottom() + 22.0, &volume, kind);
    }
    for (row, (_, name)) in ROWS.into_iter().enumerate() {
        let (_, y) = sheet.place(row, 0).middle();
        canvas.upward_text(MARGIN + 16.0, y, name, Type::new(17.0).middle().fill(FAINT_INK));
    }
    draw_key(&mut canvas, &sheet);
    canvas.finish(&title(walk), &described(walk, &meshes))
}

/// Where shapes stand, and how large.
struct Sheet {
    n_columns: usize,
    /// To either side of the middle of a column, and of each row.
    half_um: [f64; 1 + ROWS.len()],
    pixels_per_um: f64,
}

impl Sheet {
    fn of(meshes: &[Mesh], mean: &Mesh) -> Self {
        let mut half_um = [f64::MIN_POSITIVE; 1 + ROWS.len()];
        for (row, (view, _)) in ROWS.into_iter().enumerate() {
            for [x, y] in meshes.iter().chain([mean]).map(|mesh| reach_um(mesh, view)) {
                half_um[0] = half_um[0].max(x);
                half_um[1 + row] = half_um[1 + row].max(y);
            }
        }
        let n_columns = meshes.len().max(1);
        let width = (WIDTH - 2.0 * MARGIN - LEFT) / n_columns as f64 - GAP;
        let highest = half_um[1..].iter().copied().fold(0.0, f64::max);
        let pixels_per_um = (width / 2.0 / half_um[0]).min(HIGHEST_ROW / 2.0 / highest);
        Self { n_columns, half_um, pixels_per_um }
    }

    /// The middle of a column.
    fn middle(&self, column: usize) -> f64 {
        let room = WIDTH - 2.0 * MARGIN - LEFT;
        MARGIN + LEFT + room * (column as f64 + 0.5) / self.n_columns as f64
    }

    fn height(&self, row: usize) -> f64 {
        2.0 * self.half_um[1 + row] * self.pixels_per_um
    }

    fn top(&self, row: usize) -> f64 {
        TOP + (0..row).map(|above| self.height(above) + GAP).sum::<f64>()
    }

    fn bottom(&self) -> f64 {
        self.top(ROWS.len()) - GAP
    }

    fn place(&self, row: usize, column: usize) -> Rect {
        let width = 2.0 * self.half_um[0] * self.pixels_per_um;
        Rect::new(self.middle(column) - width / 2.0, self.top(row), width, self.height(row))
    }

    fn frame(&self, row: usize) -> Frame {
        Frame {
            half_width_um: self.half_um[0],
            half_height_um: self.half_um[1 + row],
            pixels_per_um: FINENESS * self.pixels_per_um,
        }
    }
}

fn title(walk: &Walk) -> String {
    format!("Shape axis {} of {}: {}", walk.axis, walk.n_axes, walk.name)
}

/// What the axis is worth.
fn worth(walk: &Walk) -> String {
    format!(
        "{} % of the variance of the surfaces of {} cells; 1 sd moves the surface by {} µm (root mean square)",
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
