//! Proteins with known rules: one follows the cells' shapes and places, one follows nothing.

use nalgebra::{Point3, Vector3};
use ndarray::Array3;
use rayon::prelude::*;

use super::random::{Purpose, direction, normal, stream};
use super::render::Grid;
use super::within;
use crate::Result;

/// A feature that a protein can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// The natural logarithm of the cell's volume in µm³.
    LogVolume,
    /// The cell's extent along z of the tissue, in µm.
    Height,
    /// x of the cell's centroid in the tissue, in µm.
    Position,
}

impl Feature {
    /// The feature of a cell.
    pub fn of(self, cell: &PhantomCell) -> f64 {
        match self {
            Self::LogVolume => libm::log(cell.volume_um3),
            Self::Height => cell.height_um,
            Self::Position => cell.centroid_um.x,
        }
    }
}

/// One term of a rule: `weight` · (feature − `mean`) / `standard_deviation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Which feature.
    pub feature: Feature,
    /// The feature's mean over the population: a constant, the same for every specimen.
    pub mean: f64,
    /// The feature's standard deviation over the population: a constant as well.
    pub standard_deviation: f64,
    /// The share of the protein's signal.
    pub weight: f64,
}

/// How much protein a cell has and where in the cell it is.
///
/// signal = Σ terms; expected = 1 + `spread` √(1 − `noise_share`) signal; amount = expected +
/// `spread` √`noise_share` ε with ε from the normal distribution, never less than a tenth. Inside
/// the cell the density is amount · (1 + `apical_enrichment` (z − z̄)/max|z − z̄|), z along the
/// tissue's z: so the cell's mean density is its amount, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct ProteinRule {
    /// What the protein follows. Weights whose squares sum to 1 give a signal of variance near 1.
    pub terms: Vec<Term>,
    /// The standard deviation of the amounts.
    pub spread: f64,
    /// The share of the amounts' variance that no feature explains, 0 to 1.
    pub noise_share: f64,
    /// How much denser the protein is at the apical end, 0 to 1.
    pub apical_enrichment: f64,
}

impl Default for ProteinRule {
    /// Follows volume, height and position, with a fifth of noise, apically enriched.
    fn default() -> Self {
        let term = |feature, mean, standard_deviation, weight| Term {
            feature,
            mean,
            standard_deviation,
            weight,
        };
        Self {
            terms: vec![
                term(Feature::LogVolume, 5.77, 0.3, 0.55),
                term(Feature::Height, 13.7, 2.7, 0.4),
                term(Feature::Position, -65.0, 28.0, 0.6),
            ],
            spread: 0.25,
            noise_share: 0.2,
            apical_enrichment: 0.5,
        }
    }
}

impl ProteinRule {
    pub(super) fn check(&self) -> Result<()> {
        within("noise_share", self.noise_share, 0.0..=1.0, "from 0 to 1")?;
        within("apical_enrichment", self.apical_enrichment, 0.0..=1.0, "from 0 to 1")?;
        within("spread", self.spread, 0.0..=1.0, "from 0 to 1")?;
        for term in &self.terms {
            super::positive("standard_deviation", term.standard_deviation)?;
            within("weight", term.weight, -1e3..=1e3, "from -1000 to 1000")?;
            within("mean", term.mean, f64::MIN..=f64::MAX, "finite")?;
        }
        Ok(())
    }

    /// The amount that the rule gives to `cell`, without noise: what the best regressor predicts.
    pub fn expected(&self, cell: &PhantomCell) -> f64 {
        let term = |term: &Term| {
            term.weight * (term.feature.of(cell) - term.mean) / term.standard_deviation
        };
        let signal: f64 = self.terms.iter().map(term).sum();
        (1.0 + self.spread * (1.0 - self.noise_share).sqrt() * signal).max(LEAST)
    }
}

/// No cell has less protein than this.
const LEAST: f64 = 0.1;

/// What is true of one cell. Places and directions are in the tissue frame.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomCell {
    /// Its number in the label image.
    pub label: u32,
    /// Its volume: voxels × their volume.
    pub volume_um3: f64,
    /// Its centroid.
    pub centroid_um: Point3<f64>,
    /// Its extent along z of the tissue.
    pub height_um: f64,
    /// Its highest z: where its apical end is.
    pub top_um: f64,
    /// The unit vector along which the cell rises from basal to apical.
    pub apical: Vector3<f64>,
    /// The rosette whose apex it constricts to, as an index of the phantom's rosettes.
    pub rosette: Option<usize>,
    /// Protein that the rule gives: see [`ProteinRule::expected`].
    pub expected: f64,
    /// Protein that it has: the mean over its voxels, before imaging.
    pub amount: f64,
    /// Control protein that it has: the mean over its voxels, before imaging.
    pub control: f64,
}

/// R² of `expected` against `amount`: what the best of all regressors reaches on these cells.
pub fn best_r2<'a>(cells: impl IntoIterator<Item = &'a PhantomCell>) -> f64 {
    let cells: Vec<_> = cells.into_iter().collect();
    let mean = cells.iter().map(|cell| cell.amount).sum::<f64>() / cells.len() as f64;
    let left: f64 = cells.iter().map(|cell| (cell.amount - cell.expected).powi(2)).sum();
    let all: f64 = cells.iter().map(|cell| (cell.amount - mean).powi(2)).sum();
    1.0 - left / all
}

/// Sums over the voxels of a cell.
#[derive(Clone, Copy)]
struct Sums {
    n: f64,
    point: Vector3<f64>,
    point_z: Vector3<f64>, // x z, y z, z z
    z: [f64; 2],           // least, most
}

impl Sums {
    const NONE: Self = Self {
        n: 0.0,
        point: Vector3::new(0.0, 0.0, 0.0),
        point_z: Vector3::new(0.0, 0.0, 0.0),
        z: [f64::INFINITY, f64::NEG_INFINITY],
    };

    fn add(&mut self, point: &Point3<f64>) {
        self.n += 1.0;
        self.point += point.coords;
        self.point_z += point.coords * point.z;
        self.z = [self.z[0].min(point.z), self.z[1].max(point.z)];
    }

    fn join(&mut self, other: &Self) {
        self.n += other.n;
        self.point += other.point;
        self.point_z += other.point_z;
        self.z = [self.z[0].min(other.z[0]), self.z[1].max(other.z[1])];
    }
}

/// The cells 1..=`n_cells` of `labels`, without their proteins.
pub(super) fn measure(labels: &Array3<u32>, n_cells: usize, grid: &Grid) -> Vec<PhantomCell> {
    let planes: Vec<Vec<Sums>> = (0..grid.shape[0])
        .into_par_iter()
        .map(|z| {
            let mut sums = vec![Sums::NONE; n_cells];
            for (place, &label) in labels.index_axis(ndarray::Axis(0), z).indexed_iter() {
                if label > 0 {
                    sums[label as usize - 1].add(&grid.tissue_point(z, place));
                }
            }
            sums
        })
        .collect();
    let mut cells = vec![Sums::NONE; n_cells];
    for plane in &planes {
        cells.iter_mut().zip(plane).for_each(|(cell, part)| cell.join(part));
    }
    let measured = (1..).zip(&cells).filter(|(_, sums)| sums.n > 0.0);
    measured.map(|(label, sums)| known_cell(label, sums, grid)).collect()
}

fn known_cell(label: u32, sums: &Sums, grid: &Grid) -> PhantomCell {
    let mean = sums.point / sums.n;
    let slope = sums.point_z / sums.n - mean * mean.z; // covariances with z
    let axis = if slope.z > 0.0 { slope.normalize() } else { Vector3::z() };
    PhantomCell {
        label,
        volume_um3: sums.n * grid.voxel_size.volume_um3(),
        centroid_um: Point3::from(mean),
        height_um: sums.z[1] - sums.z[0],
        top_um: sums.z[1],
        apical: axis,
        rosette: None,
        expected: 0.0,
        amount: 0.0,
        control: 0.0,
    }
}

/// How a protein lies in one cell: density = amount (1 + gradient · (point − centroid)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    amount: f64,
    gradient_per_um: Vector3<f64>,
}

/// Gives every cell its protein by `rule`; returns where in the cells it is.
pub(super) fn express(
    rule: &ProteinRule,
    cells: &mut [PhantomCell],
    reaches_um: &[f64],
    seed: u64,
) -> Vec<Layout> {
    let mut layouts = Vec::with_capacity(cells.len());
    for (cell, reach_um) in cells.iter_mut().zip(reaches_um) {
        let mut rng = stream(seed, Purpose::Amounts, cell.label as usize);
        cell.expected = rule.expected(cell);
        let noise = rule.spread * rule.noise_share.sqrt() * normal(&mut rng);
        cell.amount = (cell.expected + noise).max(LEAST);
        let gradient_per_um = Vector3::z() * (rule.apical_enrichment / reach_um);
        layouts.push(Layout { amount: cell.amount, gradient_per_um });
    }
    layouts
}

/// Each cell's random direction, along which its control protein grows.
pub(super) fn control_directions(cells: &[PhantomCell], seed: u64) -> Vec<Vector3<f64>> {
    let of =
        |cell: &PhantomCell| direction(&mut stream(seed, Purpose::Control, cell.label as usize));
    cells.iter().map(of).collect()
}

/// Gives every cell an amount of the control protein that follows nothing, of the same mean and
/// spread as a protein; returns where in the cells it is.
pub(super) fn express_control(
    spread: f64,
    cells: &mut [PhantomCell],
    directions: &[Vector3<f64>],
    reaches_um: &[f64],
    seed: u64,
) -> Vec<Layout> {
    const STRONGEST: f64 = 0.6;
    let mut layouts = Vec::with_capacity(cells.len());
    for ((cell, direction), reach_um) in cells.iter_mut().zip(directions).zip(reaches_um) {
        let mut rng = stream(seed, Purpose::Control, (cell.label as usize) << 1 | 1 << 32);
        cell.control = (1.0 + spread * normal(&mut rng)).max(LEAST);
        let strength = STRONGEST * rand::Rng::random::<f64>(&mut rng);
        let gradient_per_um = direction * (strength / reach_um);
        layouts.push(Layout { amount: cell.control, gradient_per_um });
    }
    layouts
}

/// For each cell, how far its voxels reach from the centroid along (or against) its direction.
pub(super) fn reaches_um(
    labels: &Array3<u32>,
    cells: &[PhantomCell],
    directions: &[Vector3<f64>],
    grid: &Grid,
) -> Vec<f64> {
    let rows = rows(cells);
    let planes: Vec<Vec<f64>> = (0..grid.shape[0])
        .into_par_iter()
        .map(|z| {
            let mut reaches = vec![f64::MIN_POSITIVE; cells.len()];
            for (place, &label) in labels.index_axis(ndarray::Axis(0), z).indexed_iter() {
                if label > 0 {
                    let row = rows[label as usize];
                    let from_centroid = grid.tissue_point(z, place) - cells[row].centroid_um;
                    reaches[row] = reaches[row].max(directions[row].dot(&from_centroid).abs());
                }
            }
            reaches
        })
        .collect();
    let most = |row: usize| planes.iter().map(|plane| plane[row]).fold(f64::MIN_POSITIVE, f64::max);
    (0..cells.len()).map(most).collect()
}

/// The density of a protein at every voxel, before imaging.
pub(super) fn paint(
    labels: &Array3<u32>,
    cells: &[PhantomCell],
    layouts: &[Layout],
    grid: &Grid,
) -> Array3<f32> {
    let rows = rows(cells);
    let mut density = Array3::zeros(labels.raw_dim());
    density.outer_iter_mut().into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let labels = labels.index_axis(ndarray::Axis(0), z);
        for ((place, density), &label) in plane.indexed_iter_mut().zip(labels) {
            if label > 0 {
                let row = rows[label as usize];
                let from_centroid = grid.tissue_point(z, place) - cells[row].centroid_um;
                let slope = layouts[row].gradient_per_um.dot(&from_centroid);
                *density = (layouts[row].amount * (1.0 + slope)) as f32;
            }
        }
    });
    density
}

/// From label to row; the labels are ascending.
fn rows(cells: &[PhantomCell]) -> Vec<usize> {
    let largest = cells.last().map_or(0, |cell| cell.label as usize);
    let mut rows = vec![0; largest + 1];
    cells.iter().enumerate().for_each(|(row, cell)| rows[cell.label as usize] = row);
    rows
}
