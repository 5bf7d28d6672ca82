//! A tissue and an atlas to draw in tests: neither is more than it looks.

use ndarray::{Array1, Array2};
use primordia_data::CellId;

use super::{Overview, Plane};
use crate::file::{Atlas, FeatureMatrix, Protein, Score, Specimen};

/// A section through a tissue of cells that are nearest to their centres.
pub(super) struct Tissue {
    pub(super) membrane: Array2<f32>,
    pub(super) protein: Array2<f32>,
    pub(super) labels: Array2<u32>,
}

const PIXEL_UM: f64 = 0.25;
const WIDTH_UM: f64 = 140.0;
const HEIGHT_UM: f64 = 52.0;

/// Numbers from 0 to 1 that look like chance.
fn chance(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Whether (x, y) in µm of the tissue frame lies in a teardrop of 130 × 42 µm.
fn in_teardrop(x: f64, y: f64) -> bool {
    let share = -x / 130.0;
    let half_width = 21.0 * (share / 0.25).min(1.0).sqrt() * (1.0 - 0.55 * share);
    (0.0..1.0).contains(&share) && y.abs() < half_width
}

/// Centres (x, y in µm of the tissue frame) about 6 µm from one another.
fn centres(seed: u64) -> Vec<(f64, f64)> {
    let mut chance = chance(seed);
    let mut centres = Vec::new();
    for row in 0..8_i32 {
        for column in 0..20_i32 {
            let shift = f64::from(row % 2) * 3.3;
            let x = -6.6 * f64::from(column) - shift + 2.5 * (chance() - 0.5);
            let y = 5.8 * (f64::from(row) - 3.5) + 2.5 * (chance() - 0.5);
            if in_teardrop(x, y) {
                centres.push((x, y));
            }
        }
    }
    centres
}

pub(super) fn tissue() -> Tissue {
    let centres = centres(1);
    let mut chance = chance(99);
    let shape = ((HEIGHT_UM / PIXEL_UM) as usize, (WIDTH_UM / PIXEL_UM) as usize);
    let mut tissue = Tissue {
        membrane: Array2::zeros(shape),
        protein: Array2::zeros(shape),
        labels: Array2::zeros(shape),
    };
    for (y, x) in ndarray::indices(shape) {
        let x_um = x as f64 * PIXEL_UM - 135.0;
        let y_um = HEIGHT_UM / 2.0 - y as f64 * PIXEL_UM;
        let distance = |at: &(f64, f64)| (at.0 - x_um).hypot(at.1 - y_um);
        let mut near: Vec<_> = centres.iter().map(distance).enumerate().collect();
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        let inside = near[0].1 < 4.6;
        let gap = if inside { near[1].1 - near[0].1 } else { near[0].1 - 4.6 };
        let gap = if inside { gap.min(4.6 - near[0].1) } else { gap };
        let light = 60.0 * (-(gap * gap) / 0.8).exp() + if inside { 8.0 } else { 4.0 };
        let noise = |chance: &mut dyn FnMut() -> f64| (0..4).map(|_| chance() - 0.5).sum::<f64>();
        tissue.membrane[[y, x]] = (light + light.sqrt() * 2.0 * noise(&mut chance)) as f32;
        let amount =
            if inside { 50.0 * actin(centres[near[0].0]) * (1.5 - near[0].1 / 4.0) } else { 4.0 };
        let amount = amount.max(2.0);
        tissue.protein[[y, x]] = (amount + amount.sqrt() * 2.0 * noise(&mut chance)) as f32;
        tissue.labels[[y, x]] = if inside { near[0].0 as u32 + 1 } else { 0 };
    }
    tissue
}

/// How much actin a cell at this place has.
fn actin((x, y): (f64, f64)) -> f64 {
    0.55 + 0.3 * (x / 18.0).sin() + 0.004 * y
}

/// Six specimens; actin follows position, the control nothing.
pub(super) fn atlas() -> Atlas {
    let mut chance = chance(7);
    let (mut cells, mut rows, mut specimens) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=6_u64 {
        let id = format!("E{number:02}");
        let centres = centres(number);
        specimens.push(Specimen { id: id.clone(), n_cells: centres.len(), ..Specimen::default() });
        for (at, centre) in centres.into_iter().enumerate() {
            cells.push(CellId::new(&*id, (at + 1).to_string()));
            let truth = 1000.0 * actin(centre);
            let [noise, error, control, layer] = [0; 4].map(|_| chance() + chance() - 1.0);
            let missed = number == 1 && at % 29 == 0;
            rows.push([
                centre.0,
                centre.1,
                6.0 * layer,
                230.0 + 90.0 * noise,
                if missed { f64::NAN } else { truth + 170.0 * noise },
                0.85 * truth + 90.0 + 120.0 * error,
                500.0 + 300.0 * control,
                505.0 + 25.0 * error,
            ]);
        }
    }
    let column = |at: usize| Array1::from_iter(rows.iter().map(|row| row[at] as f32));
    let spatial_um = Array2::from_shape_fn((rows.len(), 3), |(row, axis)| rows[row][axis] as f32);
    let protein = |name: &str, measured: usize, predicted: usize, half: f32| {
        let predicted = column(predicted).insert_axis(ndarray::Axis(1));
        let names = vec!["mean_intensity".to_owned()];
        let measured = column(measured).insert_axis(ndarray::Axis(1));
        Protein {
            lower: &predicted - half,
            upper: &predicted + half,
            predicted,
            ..Protein::measured(name, names, measured)
        }
    };
    Atlas {
        proteins: vec![protein("actin", 4, 5, 200.0), protein("control", 6, 7, 240.0)],
        features: FeatureMatrix {
            names: vec!["volume_um3".into()],
            values: column(3).insert_axis(ndarray::Axis(1)),
        },
        specimens,
        scores: scores(),
        ..Atlas::new("Primordia demo", cells, spatial_um)
    }
}

fn scores() -> Vec<Score> {
    let score = |protein: &str, model: &str, r2_mean, r2_sd| Score {
        protein: protein.into(),
        target: "intensity".into(),
        model: model.into(),
        r2_mean,
        r2_sd,
        folds: 5,
        best_reachable_r2: (model == "shape" && protein == "actin").then_some(0.8),
        ..Score::default()
    };
    vec![
        score("actin", "shape", 0.71, 0.05),
        score("actin", "size_orientation", 0.35, 0.07),
        score("actin", "position", 0.42, 0.06),
        score("actin", "mean", -0.01, 0.01),
        score("control", "shape", -0.02, 0.03),
        score("control", "size_orientation", -0.01, 0.02),
        score("control", "position", -0.02, 0.02),
        score("control", "mean", -0.01, 0.01),
    ]
}

pub(super) fn overview<'a>(tissue: &'a Tissue, atlas: &'a Atlas) -> Overview<'a> {
    Overview {
        title: "Primordia demo: an atlas of phantom primordia",
        subtitle: None,
        plane: Plane {
            membrane: tissue.membrane.view(),
            labels: tissue.labels.view(),
            protein: tissue.protein.view(),
            pixel_um: [PIXEL_UM, PIXEL_UM],
        },
        atlas,
        protein: "actin",
        control: "control",
        feature: 0,
        specimen: Some("E01"),
    }
}

/// Leaves a figure in the folder `$PRIMORDIA_FIGURES`, if that is set, for a person to look at.
pub(super) fn show(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("PRIMORDIA_FIGURES") {
        std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
    }
}
