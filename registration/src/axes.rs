//! How a tissue lies: its axes by extent, and how surely they are known.

use nalgebra::{Matrix2, Matrix3, SymmetricEigen, Vector3};

use crate::decision::Hints;
use crate::error::{RegistrationError, Result};

/// The axes of a tissue in the frame of its image, orthonormal, their signs still open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axes {
    /// The long axis.
    pub long: Vector3<f64>,
    /// The axis from basal to apical: the shorter of the others, or the one nearer to the hint.
    pub upright: Vector3<f64>,
    /// The standard deviation of the mass along the long axis, across, and along the upright axis, in µm.
    pub spread_um: [f64; 3],
    /// How far other samples of as many cells would turn the long axis, and the two others about
    /// it, in degrees (one standard deviation; 90 if anything goes).
    pub uncertainty_deg: [f64; 2],
    /// Whether the long axis is known. If it is not, and a hint of the migration is given, the hint is the long axis.
    pub long_is_determined: bool,
    /// Whether the two others are known. If they are not, and an apical hint is given, the hint is the upright axis.
    pub upright_is_determined: bool,
}

/// Axes that another sample would turn farther than this are not determined.
const DETERMINED_DEG: f64 = 15.0;

impl Axes {
    /// The axes of a tissue of `n_cells` whose mass has this `covariance` (µm²).
    pub(crate) fn find(covariance: &Matrix3<f64>, n_cells: usize, hints: &Hints) -> Result<Self> {
        let (variances, directions) = principal(covariance);
        if !(variances[0] > 0.0 && variances[0].is_finite()) {
            return Err(RegistrationError::NoExtent);
        }
        let long_uncertainty_deg = uncertainty_deg(variances[0], variances[1], n_cells);
        let long_is_determined = long_uncertainty_deg <= DETERMINED_DEG;
        let long = match hints.migration()? {
            Some(hint) if !long_is_determined => hint,
            _ => directions[0],
        };
        let (across_variances, across) = principal_across(covariance, &long);
        let upright_uncertainty_deg =
            uncertainty_deg(across_variances[0], across_variances[1], n_cells);
        let upright_is_determined = upright_uncertainty_deg <= DETERMINED_DEG;
        let upright = match hints.apical()? {
            Some(hint) if !upright_is_determined => perpendicular(&hint, &long)?,
            Some(hint) if hint.dot(&across[0]).abs() > hint.dot(&across[1]).abs() => across[0],
            _ => across[1],
        };
        let side = upright.cross(&long);
        let spread_um =
            [long, side, upright].map(|axis| axis.dot(&(covariance * axis)).max(0.0).sqrt());
        let uncertainty_deg = [long_uncertainty_deg, upright_uncertainty_deg];
        Ok(Self {
            long,
            upright,
            spread_um,
            uncertainty_deg,
            long_is_determined,
            upright_is_determined,
        })
    }
}

/// Variances, descending, and the unit vectors along which they lie.
fn principal(covariance: &Matrix3<f64>) -> ([f64; 3], [Vector3<f64>; 3]) {
    let eigen = SymmetricEigen::new(*covariance);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let vector = |k: usize| eigen.eigenvectors.column(k).normalize();
    (order.map(|k| eigen.eigenvalues[k].max(0.0)), order.map(vector))
}

/// The same in the plane across `axis`.
fn principal_across(
    covariance: &Matrix3<f64>,
    axis: &Vector3<f64>,
) -> ([f64; 2], [Vector3<f64>; 2]) {
    let start = Vector3::ith(axis.iamin(), 1.0); // the image axis farthest from `axis`
    let first = (start - axis * axis.dot(&start)).normalize();
    let second = axis.cross(&first);
    let entry = |a: &Vector3<f64>, b: &Vector3<f64>| a.dot(&(covariance * b));
    let across = entry(&first, &second);
    let eigen = SymmetricEigen::new(Matrix2::new(
        entry(&first, &first),
        across,
        across,
        entry(&second, &second),
    ));
    let order = if eigen.eigenvalues[0] >= eigen.eigenvalues[1] { [0, 1] } else { [1, 0] };
    let vector = |k: usize| {
        let column = eigen.eigenvectors.column(k);
        (first * column[0] + second * column[1]).normalize()
    };
    (order.map(|k| eigen.eigenvalues[k].max(0.0)), order.map(vector))
}

/// The asymptotic standard deviation of the angle between the first two principal axes of a
/// sample of `n` and the population's (Anderson 1963, doi:10.1214/aoms/1177704248).
fn uncertainty_deg(larger: f64, smaller: f64, n: usize) -> f64 {
    let angle = (larger * smaller / n as f64).sqrt() / (larger - smaller);
    if angle.is_finite() { angle.to_degrees().clamp(0.0, 90.0) } else { 90.0 }
}

fn perpendicular(hint: &Vector3<f64>, axis: &Vector3<f64>) -> Result<Vector3<f64>> {
    const ALONG: f64 = 0.1;
    let rest = hint - axis * axis.dot(hint);
    if rest.norm() < ALONG {
        return Err(RegistrationError::HintAcross { which: "apical side", angle_deg: 90.0 });
    }
    Ok(rest.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(diagonal: [f64; 3], hints: &Hints) -> Axes {
        Axes::find(&Matrix3::from_diagonal(&Vector3::from(diagonal)), 100, hints).unwrap()
    }

    #[test]
    fn axes_are_ordered_by_extent_not_by_image_axes() {
        let axes = find([4.0, 36.0, 1000.0], &Hints::default());
        assert!(
            (axes.long.z.abs() - 1.0).abs() < 1e-12 && (axes.upright.x.abs() - 1.0).abs() < 1e-12
        );
        assert!((axes.spread_um[1] - 6.0).abs() < 1e-12);
        assert!(axes.long_is_determined && axes.upright_is_determined);
    }

    #[test]
    fn a_ball_has_no_axes_but_those_of_the_hints() {
        let ball = [9.0, 9.0, 9.0];
        let axes = find(ball, &Hints::default());
        assert!(!axes.long_is_determined && !axes.upright_is_determined);
        let (migration, apical) = (Vector3::new(1.0, 1.0, 0.0), Vector3::new(0.0, 1.0, 1.0));
        let hinted = find(ball, &Hints { migration: Some(migration), apical: Some(apical) });
        assert!((hinted.long - migration.normalize()).norm() < 1e-12);
        assert!(
            hinted.upright.dot(&hinted.long).abs() < 1e-12 && hinted.upright.dot(&apical) > 1.0
        );
    }

    #[test]
    fn an_apical_hint_chooses_between_the_shorter_axes() {
        let hints = Hints { apical: Some(Vector3::y()), ..Hints::default() };
        assert!((find([1000.0, 36.0, 4.0], &hints).upright.y.abs() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_point_has_no_axes() {
        let result = Axes::find(&Matrix3::zeros(), 5, &Hints::default());
        assert!(matches!(result, Err(RegistrationError::NoExtent)));
    }
}
