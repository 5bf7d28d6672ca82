//! What embeddings know of a shape, and of what is in it: the benchmark of Hartmann et al. 2020
//! (doi:10.7554/eLife.55913), rebuilt. Cells are made from 17 known numbers (1 of size, 2 of
//! orientation, 14 of shape), and hold a patch of a protein, made from 4; a last number follows
//! nothing. Each embedding has to tell them again, by the nearest cells and by linear regression,
//! for a third of the cells that was held out.
//!
//! Prints the table of docs/features.md. `PRIMORDIA_CELLS=N` takes another number of cells.

use std::ops::Range;

use nalgebra::{Rotation3, Vector3};
use ndarray::{Array1, Array2, Array3, ArrayView1, Axis};
use primordia_data::{
    Labels, PointCloud, PrincipalComponents, Rigid, TissueFrame, Volume, VoxelSize,
};
use primordia_features::{
    CbeFrame, CbeParams, CbeSpace, Channel, HarmonicsParams, LandmarkParams, LayoutParams,
    Placement, cell_harmonics, cell_layouts, moments, sample_landmarks, turned_to_tissue,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Cells, unless said otherwise; the paper had 20,000.
const CELLS: usize = 3000;
/// Sides of voxels, z, y, x.
const VOXEL_UM: [f64; 3] = [0.4, 0.4, 0.4];
/// Half the side of the image of a cell.
const HALF_UM: f64 = 12.8;
/// As in the paper.
const FOLDS: usize = 3;
const NEIGHBOURS: usize = 10;
const MOMENTS: usize = 5;
const L_MAX: usize = 8;

/// What a cell is made from, and what it is to be told by: name and range.
const PARAMETERS: [(&str, f64, f64); 22] = [
    ("size", 3.2, 4.8),
    ("turn", -0.7, 0.7),
    ("tilt", -0.7, 0.7),
    ("elongation", -0.25, 0.35),
    ("flatness", -0.25, 0.25),
    ("taper x", -0.35, 0.35),
    ("taper y", -0.35, 0.35),
    ("bend x", -0.3, 0.3),
    ("bend y", -0.3, 0.3),
    ("twist", -0.8, 0.8),
    ("shear", -0.4, 0.4),
    ("bump", 0.0, 0.4),
    ("dent", 0.0, 0.4),
    ("ridges", 0.0, 0.2),
    ("foot", 0.0, 0.5),
    ("squareness", 0.0, 0.5),
    ("waist", -0.25, 0.25),
    ("patch height", -0.8, 0.8),
    ("patch side", -0.8, 0.8),
    ("patch depth", 0.3, 0.9),
    ("patch width", 0.25, 0.6),
    ("control", 0.0, 1.0),
];

/// Where a point (in µm from the middle) was in the ball from which the cell was made: all that was
/// done to the ball is undone. Beyond a length of 1 it is not in the cell.
fn in_ball(point: Vector3<f64>, p: &[f64]) -> Vector3<f64> {
    let turn = Rotation3::from_euler_angles(0.0, p[2], p[1]);
    let mut q = turn.inverse() * point / p[0];
    q.x -= p[10] * q.z;
    q.x -= p[7] * (q.z * q.z - 0.3);
    q.y -= p[8] * (q.z * q.z - 0.3);
    q = Rotation3::from_axis_angle(&Vector3::z_axis(), -p[9] * q.z) * q;
    let waist = 1.0 + p[16] * (2.0 * q.z * q.z - 0.6);
    let narrow = |taper: f64, height: f64| (waist * (1.0 + taper * height)).max(0.2);
    q.x /= narrow(p[5], q.z) * p[4].exp();
    q.y /= narrow(p[6], q.z) * (-p[4]).exp();
    q.z /= p[3].exp();
    let direction = q.try_normalize(1e-9).unwrap_or_default();
    let cap = |axis: Vector3<f64>, width: f64| {
        (-(direction - axis.normalize()).norm_squared() / (width * width)).exp()
    };
    let ridges = (5.0 * direction.y.atan2(direction.x)).cos() * direction.xy().norm().powi(3);
    let radius = 1.0 + p[11] * cap(Vector3::new(1.0, 0.3, 0.6), 0.5)
        - p[12] * cap(Vector3::new(-1.0, 0.5, 0.1), 0.5)
        + p[13] * ridges
        + p[14] * cap(-Vector3::z(), 0.35);
    // From the ball's norm towards that of a cube.
    let fourth = q.map(|value| value.powi(4)).sum().sqrt().sqrt();
    let norm = q.norm() * (1.0 - p[15]) + 1.15 * fourth * p[15];
    direction * (norm / radius)
}

/// The protein at a place of the ball: a patch, and a tenth of it everywhere.
fn protein(place: &Vector3<f64>, p: &[f64]) -> f64 {
    let (height, side) = (p[17], p[18]);
    let around = (1.0 - height * height).sqrt();
    let middle = p[19] * Vector3::new(around * side.cos(), around * side.sin(), height);
    0.1 + (-(place - middle).norm_squared() / (p[20] * p[20])).exp()
}

/// A cell, and its protein.
fn images(parameters: &[f64]) -> (Labels, Volume<f32>) {
    let voxel_size = VoxelSize::from_um(VOXEL_UM).expect("a valid size");
    let shape = VOXEL_UM.map(|side| (2.0 * HALF_UM / side) as usize);
    let mut voxels = Array3::zeros(shape);
    let bright = Array3::from_shape_fn(shape, |(z, y, x)| {
        let at = |index: usize, side: f64| (index as f64 + 0.5) * side - HALF_UM;
        let point = Vector3::new(at(x, VOXEL_UM[2]), at(y, VOXEL_UM[1]), at(z, VOXEL_UM[0]));
        let place = in_ball(point, parameters);
        voxels[[z, y, x]] = u32::from(place.norm() <= 1.0);
        protein(&place, parameters) as f32
    });
    let labels = Labels::from_voxels(voxels, voxel_size).expect("not empty");
    (labels, Volume::new(bright, voxel_size).expect("not empty"))
}

/// A cell's landmarks, those of its protein, and what is fitted to it.
struct Described {
    shape: PointCloud<TissueFrame>,
    protein: PointCloud<TissueFrame>,
    harmonics: Vec<f64>,
    layout: Vec<f64>,
}

fn described(parameters: &[f64], seed: u64) -> Described {
    let (labels, bright) = images(parameters);
    let channels = [Channel::new("protein", &bright)];
    let landmarks = LandmarkParams { seed, n_landmarks: 2000, placement: Placement::Random };
    let landmarks = sample_landmarks(&labels, &channels, &landmarks).expect("a finite channel");
    let to_tissue = Rigid::identity();
    let params = HarmonicsParams { l_max: L_MAX, ..HarmonicsParams::default() };
    let harmonics = cell_harmonics(&labels, &to_tissue, &params).expect("valid parameters");
    let layouts =
        cell_layouts(&labels, &channels, &harmonics, &to_tissue, &LayoutParams::default());
    let layout = layouts.expect("valid parameters").remove(0).remove(0).expect("a bright channel");
    Described {
        shape: turned_to_tissue(&landmarks.shape[0], &to_tissue),
        protein: turned_to_tissue(&landmarks.proteins[0][0], &to_tissue),
        harmonics: harmonics[0].radius_um.coefficients().to_vec(),
        layout: layout.coefficients().to_vec(),
    }
}

fn table(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

/// R² of predictions, over all held-out cells.
fn r2(found: &Array1<f64>, wanted: ArrayView1<f64>) -> f64 {
    let mean = wanted.mean().expect("cells");
    let error: f64 = found.iter().zip(wanted).map(|(a, b)| (a - b).powi(2)).sum();
    1.0 - error / wanted.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
}

/// R² of each parameter by nearest cells and by linear regression.
fn retrieved(features: &Array2<f64>, parameters: &Array2<f64>) -> Vec<[f64; 2]> {
    let n = features.nrows();
    let mut found = [Array2::zeros(parameters.dim()), Array2::zeros(parameters.dim())];
    for fold in 0..FOLDS {
        let (held, known): (Vec<usize>, Vec<usize>) = (0..n).partition(|row| row % FOLDS == fold);
        let training = features.select(Axis(0), &known);
        let space = PrincipalComponents::fit(training.view(), None).expect("features that vary");
        let scores = space.transform(training.view());
        let targets = parameters.select(Axis(0), &known);
        let means = targets.mean_axis(Axis(0)).expect("cells");
        let tested = space.transform(features.select(Axis(0), &held).view());
        // Scores do not correlate, so linear regression is one division each.
        let mut weights = scores.t().dot(&(&targets - &means));
        for (mut row, scores) in weights.rows_mut().into_iter().zip(scores.columns()) {
            row /= scores.dot(&scores);
        }
        let linear = tested.dot(&weights) + &means;
        let nearest: Vec<Array1<f64>> = (0..held.len())
            .into_par_iter()
            .map(|row| {
                let mut near: Vec<(f64, usize)> = scores
                    .rows()
                    .into_iter()
                    .map(|other| (&other - &tested.row(row)).mapv(|d| d * d).sum())
                    .zip(0..)
                    .collect();
                near.select_nth_unstable_by(NEIGHBOURS, |a, b| a.0.total_cmp(&b.0));
                let rows: Vec<usize> = near[..NEIGHBOURS].iter().map(|(_, at)| *at).collect();
                targets.select(Axis(0), &rows).mean_axis(Axis(0)).expect("neighbours")
            })
            .collect();
        for (at, &row) in held.iter().enumerate() {
            found[0].row_mut(row).assign(&nearest[at]);
            found[1].row_mut(row).assign(&linear.row(at));
        }
    }
    let score = |at: usize| {
        [0, 1].map(|method| r2(&found[method].column(at).to_owned(), parameters.column(at)))
    };
    (0..parameters.ncols()).map(score).collect()
}

fn main() {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let n_cells = std::env::var("PRIMORDIA_CELLS").ok().and_then(|n| n.parse().ok());
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let parameters: Vec<Vec<f64>> = (0..n_cells.unwrap_or(CELLS))
        .map(|_| PARAMETERS.iter().map(|(_, low, high)| rng.random_range(*low..*high)).collect())
        .collect();
    let cells: Vec<Described> = parameters
        .par_iter()
        .enumerate()
        .map(|(row, parameters)| described(parameters, row as u64))
        .collect();
    let parameters = table(&parameters);
    let embeddings = |cloud: fn(&Described) -> &PointCloud<TissueFrame>, fitted: Fitted| {
        let clouds: Vec<_> = cells.iter().map(|cell| cloud(cell).clone()).collect();
        let cbe = |frame: CbeFrame| {
            CbeSpace::fit_embed(&clouds, &CbeParams::in_frame(frame)).expect("enough points").1
        };
        let moments: Vec<Vec<f64>> = clouds.iter().map(|cloud| moments(cloud, MOMENTS)).collect();
        let (name, values) = fitted;
        vec![
            ("CBE, tissue", cbe(CbeFrame::Tissue)),
            ("CBE, cell", cbe(CbeFrame::Cell)),
            ("moments", table(&moments)),
            (name, table(&cells.iter().map(values).collect::<Vec<_>>())),
        ]
    };
    println!("{} cells; R² by nearest cells / linear regression", parameters.nrows());
    let shape = embeddings(|cell| &cell.shape, ("harmonics", |cell| cell.harmonics.clone()));
    let mut lines = vec![("size", 0..1), ("orientation (mean of 2)", 1..3)];
    lines.push(("shape (mean of 14)", 3..17));
    lines.extend((3..17).map(|at| (PARAMETERS[at].0, at..at + 1)));
    lines.push(("control", 21..22));
    print_table(&shape, &parameters, &lines);
    let protein = embeddings(|cell| &cell.protein, ("layout", |cell| cell.layout.clone()));
    let mut lines = vec![("protein (mean of 4)", 17..21)];
    lines.extend((17..21).map(|at| (PARAMETERS[at].0, at..at + 1)));
    lines.push(("control", 21..22));
    print_table(&protein, &parameters, &lines);
}

/// The name of an embedding, and what it says of a cell.
type Fitted = (&'static str, fn(&Described) -> Vec<f64>);

/// A line per parameter, or mean of several, and a column per embedding.
fn print_table(
    embeddings: &[(&str, Array2<f64>)],
    parameters: &Array2<f64>,
    lines: &[(&str, Range<usize>)],
) {
    let scores: Vec<Vec<[f64; 2]>> =
        embeddings.iter().map(|(_, features)| retrieved(features, parameters)).collect();
    let names: Vec<String> =
        embeddings.iter().map(|(name, all)| format!("{name} ({})", all.ncols())).collect();
    println!("\n| | {} |\n| --- |{}", names.join(" | "), " --- |".repeat(names.len()));
    let mean = |scores: &[[f64; 2]], method: usize| {
        scores.iter().map(|score| score[method]).sum::<f64>() / scores.len() as f64
    };
    for (name, range) in lines {
        let cell = |scores: &Vec<[f64; 2]>| {
            let part = &scores[range.clone()];
            format!("{:.2} / {:.2}", mean(part, 0), mean(part, 1))
        };
        println!("| {name} | {} |", scores.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}
