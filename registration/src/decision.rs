//! Which end leads and which side is apical: from a hint, from the shape, or assumed, and never in silence.

use std::fmt;

use nalgebra::Vector3;

use crate::error::{RegistrationError, Result};
use crate::moments::Moments;
use crate::tissue::{Detail, Tissue};

/// What the experimenter knows: directions in the image, x, y, z; of any length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// Where the tissue migrates to.
    pub migration: Option<Vector3<f64>>,
    /// Where the cells' apices are.
    pub apical: Option<Vector3<f64>>,
}

impl Hints {
    pub(crate) fn migration(&self) -> Result<Option<Vector3<f64>>> {
        self.migration.map(|hint| unit("migration", hint)).transpose()
    }

    pub(crate) fn apical(&self) -> Result<Option<Vector3<f64>>> {
        self.apical.map(|hint| unit("apical side", hint)).transpose()
    }
}

fn unit(which: &'static str, hint: Vector3<f64>) -> Result<Vector3<f64>> {
    let length = hint.norm();
    if length.is_finite() && length > 0.0 {
        return Ok(hint / length);
    }
    Err(RegistrationError::Hint { which, x: hint.x, y: hint.y, z: hint.z })
}

/// Where a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The experimenter said so.
    Hint,
    /// The cells' shapes say so.
    Shape,
    /// Nothing says so: it agrees with the nearest axis of the image.
    Assumed,
    /// The positions came in the frame of the tissue.
    Given,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hint => "hint",
            Self::Shape => "shape",
            Self::Assumed => "assumed",
            Self::Given => "given",
        })
    }
}

/// The sign of an axis, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What decided.
    pub source: Source,
    /// The probability that the decision is right, 0.5 to 1; 0.5 where it is assumed.
    pub confidence: f64,
    /// Why, in words and numbers.
    pub evidence: String,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.0} %): {}", self.source, 100.0 * self.confidence, self.evidence)
    }
}

/// What the cells say about the sign of an axis: above 0 for it, below 0 against it.
struct Testimony {
    log_odds: f64,
    words: String,
}

/// Shapes decide if they are right with at least this probability.
const DECISIVE: f64 = 0.75;
/// A hint farther than this from its axis does not tell the axis' sign.
const ACROSS_DEG: f64 = 75.0;

/// The axis `long` with the sign of the migration.
///
/// Cells of the leading end are larger than those of the rear: over 163 published primordia (idr0079) the
/// correlation of log volume with the cube of the position along the tissue (−1 to 1) is positive
/// in 154, and the odds that it points to the tip are e to the power of 19.5 times the correlation.
pub(crate) fn direction(
    tissue: &Tissue,
    long: Vector3<f64>,
    hint: Option<Vector3<f64>>,
) -> Result<(Vector3<f64>, Decision)> {
    decide("migration", long, hint, volume_trend(tissue, &long))
}

/// The axis `upright` with the sign from basal to apical.
///
/// Cells of an epithelium constrict apically: along the axis from base to apex their mass thins out,
/// which is a positive skewness, and neighbours lean together. See [`constriction`].
pub(crate) fn apical(
    tissue: &Tissue,
    upright: Vector3<f64>,
    hint: Option<Vector3<f64>>,
) -> Result<(Vector3<f64>, Decision)> {
    decide("apical side", upright, hint, constriction(tissue, &upright))
}

fn decide(
    which: &'static str,
    axis: Vector3<f64>,
    hint: Option<Vector3<f64>>,
    testimony: Option<Testimony>,
) -> Result<(Vector3<f64>, Decision)> {
    let probability = |log_odds: f64| 1.0 / (1.0 + (-log_odds.abs()).exp());
    let words =
        testimony.as_ref().map_or("the shapes of cells are not known", |t| t.words.as_str());
    if let Some(hint) = hint {
        let angle_deg = hint.dot(&axis).abs().min(1.0).acos().to_degrees();
        if angle_deg > ACROSS_DEG {
            return Err(RegistrationError::HintAcross { which, angle_deg });
        }
        let sign = hint.dot(&axis).signum();
        let against = testimony
            .as_ref()
            .is_some_and(|t| t.log_odds * sign < 0.0 && probability(t.log_odds) >= DECISIVE);
        let but = if against { "; the shapes of cells speak against it" } else { "" };
        let evidence = format!("the hint lies {angle_deg:.0}° from the axis; {words}{but}");
        return Ok((axis * sign, Decision { source: Source::Hint, confidence: 1.0, evidence }));
    }
    match testimony {
        Some(found) if probability(found.log_odds) >= DECISIVE => {
            let confidence = probability(found.log_odds);
            let decision = Decision { source: Source::Shape, confidence, evidence: found.words };
            Ok((axis * found.log_odds.signum(), decision))
        }
        _ => {
            let nearest = axis.iamax();
            let name = ["+x", "+y", "+z"][nearest];
            let evidence = format!("{words}; taken to agree with {name} of the image");
            let decision = Decision { source: Source::Assumed, confidence: 0.5, evidence };
            Ok((axis * axis[nearest].signum(), decision))
        }
    }
}

/// Fewer cells show no trend.
const MIN_CELLS: usize = 20;

fn volume_trend(tissue: &Tissue, long: &Vector3<f64>) -> Option<Testimony> {
    /// Fitted to the published primordia: see [`direction`].
    const LOG_ODDS_PER_CORRELATION: f64 = 19.5;
    if tissue.detail() < Detail::PositionAndVolume || tissue.n_cells() < MIN_CELLS {
        return None;
    }
    let along: Vec<f64> =
        tissue.cells().iter().map(|cell| long.dot(&cell.centre().coords)).collect();
    let (low, high) = along.iter().fold((f64::MAX, f64::MIN), |(l, h), &s| (l.min(s), h.max(s)));
    let cubes = along.iter().map(|s| ((2.0 * s - low - high) / (high - low)).powi(3));
    let log_volumes = tissue.cells().iter().map(|cell| cell.mass().ln());
    let trend = correlation(&cubes.collect::<Vec<_>>(), &log_volumes.collect::<Vec<_>>())?;
    let words = format!("cells are larger towards one end (correlation {:.2})", trend.abs());
    Some(Testimony { log_odds: LOG_ODDS_PER_CORRELATION * trend, words })
}

/// Two signs of apical constriction: each cell thins out towards its apex, and neighbours lean
/// together there, as in rosettes. Each mean is told in its own standard errors; their sum over √2
/// is again in standard errors.
fn constriction(tissue: &Tissue, upright: &Vector3<f64>) -> Option<Testimony> {
    /// A logistic curve with this slope follows the normal distribution to within 0.01.
    const LOG_ODDS_PER_DEVIATION: f64 = 1.702;
    /// The signs have to stand out by this many standard errors.
    const MIN_DEVIATIONS: f64 = 3.0;
    if tissue.detail() < Detail::Voxels || tissue.n_cells() < MIN_CELLS {
        return None;
    }
    let skewness: Vec<f64> = tissue.cells().iter().map(|cell| cell.skewness(upright)).collect();
    let taper = deviations(&skewness).unwrap_or(0.0);
    let convergence = deviations(&convergences(tissue, upright));
    let together = convergence.map_or(taper, |convergence| (taper + convergence) / 2.0_f64.sqrt());
    let words = format!(
        "cells thin out by {:.1} and lean together by {:.1} standard errors along the axis",
        taper * together.signum(),
        convergence.unwrap_or(0.0) * together.signum()
    );
    let stands_out = together.abs() >= MIN_DEVIATIONS;
    let log_odds = if stands_out { LOG_ODDS_PER_DEVIATION * together } else { 0.0 };
    Some(Testimony { log_odds, words })
}

/// For each cell with neighbours, how much they lean towards it per distance, along `upright`.
///
/// A cell's lean is the sideways shift of its mass per height: covariance with the height over the
/// variance of the height. Neighbours are those within two cell diameters.
fn convergences(tissue: &Tissue, upright: &Vector3<f64>) -> Vec<f64> {
    const REACH_DIAMETERS: f64 = 2.0;
    let across = |v: Vector3<f64>| v - upright * upright.dot(&v);
    let cells: Vec<(Vector3<f64>, Vector3<f64>)> = tissue
        .cells()
        .iter()
        .filter_map(|cell| {
            let along = cell.covariance() * upright;
            let lean = across(along / upright.dot(&along));
            lean.iter().all(|part| part.is_finite()).then(|| (across(cell.centre().coords), lean))
        })
        .collect();
    let volume_um3: f64 = tissue.cells().iter().map(Moments::mass).sum::<f64>();
    let reach_um = REACH_DIAMETERS * (volume_um3 / tissue.n_cells() as f64).cbrt();
    let of_cell = |(place, lean): &(Vector3<f64>, Vector3<f64>)| {
        let (mut towards, mut squares) = (0.0, 0.0);
        for (other, other_lean) in &cells {
            let apart = other - place;
            if apart.norm() < reach_um {
                towards -= apart.dot(&(other_lean - lean));
                squares += apart.norm_squared();
            }
        }
        (squares > 0.0).then(|| towards / squares)
    };
    cells.iter().filter_map(of_cell).collect()
}

/// The mean of `values` in standard errors; `None` if they do not vary.
fn deviations(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let deviations = mean / (variance / n).sqrt();
    deviations.is_finite().then_some(deviations)
}

/// `None` if one of them does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
        ab += (a - mean_a) * (b - mean_b);
    }
    let correlation = ab / (aa * bb).sqrt();
    correlation.is_finite().then_some(correlation)
}
