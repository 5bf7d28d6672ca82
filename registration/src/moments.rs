//! The mass of a body, and where it lies: moments up to the third.

use std::ops::{Add, AddAssign};

use nalgebra::{Matrix3, Point3, Vector3};

/// Sums over a body of 1, the place, and the products of two and three of its coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    mass: f64,
    first: Vector3<f64>,
    second: Matrix3<f64>,
    third: [f64; 10], // in the order of THIRD
}

/// The distinct products of three coordinates, and how often each occurs in a cube.
const THIRD: [([usize; 3], f64); 10] = [
    ([0, 0, 0], 1.0),
    ([1, 1, 1], 1.0),
    ([2, 2, 2], 1.0),
    ([0, 0, 1], 3.0),
    ([0, 0, 2], 3.0),
    ([0, 1, 1], 3.0),
    ([1, 1, 2], 3.0),
    ([0, 2, 2], 3.0),
    ([1, 2, 2], 3.0),
    ([0, 1, 2], 6.0),
];

impl Moments {
    pub(crate) const NOTHING: Self = Self {
        mass: 0.0,
        first: Vector3::new(0.0, 0.0, 0.0),
        second: Matrix3::new(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        third: [0.0; 10],
    };

    /// A mass in one place.
    pub(crate) fn of_point(place: &Point3<f64>, mass: f64) -> Self {
        let r = place.coords;
        let third = THIRD.map(|(axes, _)| axes.iter().map(|&axis| r[axis]).product::<f64>() * mass);
        Self { mass, first: r * mass, second: r * r.transpose() * mass, third }
    }

    /// Equal masses at `y`, `z` and each of many x, of which `powers` are the sums of x⁰, x¹, x² and x³.
    pub(crate) fn of_run(powers: [f64; 4], y: f64, z: f64, mass: f64) -> Self {
        let power = |of_x: usize, rest: f64| powers[of_x] * rest * mass;
        let (xy, xz, yz) = (power(1, y), power(1, z), power(0, y * z));
        let second = Matrix3::new(
            power(2, 1.0),
            xy,
            xz, //
            xy,
            power(0, y * y),
            yz, //
            xz,
            yz,
            power(0, z * z),
        );
        let third = THIRD.map(|(axes, _)| {
            let of_x = axes.iter().filter(|&&axis| axis == 0).count();
            let rest = axes.iter().map(|&axis| [1.0, y, z][axis]).product();
            power(of_x, rest)
        });
        Self {
            mass: power(0, 1.0),
            first: Vector3::new(power(1, 1.0), power(0, y), power(0, z)),
            second,
            third,
        }
    }

    pub(crate) fn mass(&self) -> f64 {
        self.mass
    }

    /// The centre of mass.
    pub(crate) fn centre(&self) -> Point3<f64> {
        Point3::from(self.first / self.mass)
    }

    /// The mean products of deviations from the centre.
    pub(crate) fn covariance(&self) -> Matrix3<f64> {
        let mean = self.first / self.mass;
        self.second / self.mass - mean * mean.transpose()
    }

    /// How lopsided the mass lies along the unit vector `axis`: the mean cube of the deviation over
    /// the cube of its standard deviation. Above 0, the thin end points along `axis`. 0 for a point.
    pub(crate) fn skewness(&self, axis: &Vector3<f64>) -> f64 {
        let mean = axis.dot(&self.first) / self.mass;
        let square = axis.dot(&(self.second * axis)) / self.mass;
        let cube = THIRD
            .iter()
            .zip(&self.third)
            .map(|((axes, times), sum)| {
                times * sum * axes.iter().map(|&i| axis[i]).product::<f64>()
            })
            .sum::<f64>()
            / self.mass;
        let variance = square - mean * mean;
        let third = cube - 3.0 * mean * square + 2.0 * mean.powi(3);
        if variance > ROUNDING * square { third / variance.powf(1.5) } else { 0.0 }
    }
}

/// A variance below this share of the mean square is rounding.
const ROUNDING: f64 = 1e-12;

impl AddAssign for Moments {
    fn add_assign(&mut self, other: Self) {
        self.mass += other.mass;
        self.first += other.first;
        self.second += other.second;
        self.third.iter_mut().zip(other.third).for_each(|(sum, more)| *sum += more);
    }
}

impl Add for Moments {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn a_run_is_its_points() {
        let xs = [2.0, 2.5, 3.0, 3.5];
        let powers =
            std::array::from_fn(|power| xs.iter().map(|x: &f64| x.powi(power as i32)).sum());
        let run = Moments::of_run(powers, -1.0, 4.0, 0.5);
        let points = xs.iter().map(|&x| Moments::of_point(&Point3::new(x, -1.0, 4.0), 0.5));
        let points = points.fold(Moments::NOTHING, |sum, more| sum + more);
        assert_relative_eq!(run.second, points.second, epsilon = 1e-12);
        assert_relative_eq!(run.first, points.first, epsilon = 1e-12);
        assert_relative_eq!(run.third[..], points.third[..], epsilon = 1e-12);
        assert_relative_eq!(run.mass(), 2.0);
    }

    #[test]
    fn the_skewness_is_that_of_the_definition() {
        // 0, 0, 0, 1 along a slanted axis: mean 1/4, variance 3/16, third moment 3/32.
        let axis = Vector3::new(1.0, 2.0, -2.0) / 3.0;
        let at =
            |s: f64| Moments::of_point(&Point3::from(Vector3::new(5.0, 1.0, 2.0) + axis * s), 1.0);
        let body = at(0.0) + at(0.0) + at(0.0) + at(1.0);
        assert_relative_eq!(
            body.skewness(&axis),
            (3.0 / 32.0) / (3.0_f64 / 16.0).powf(1.5),
            epsilon = 1e-9
        );
        assert_relative_eq!(body.skewness(&-axis), -body.skewness(&axis), epsilon = 1e-9);
        assert!(at(0.3).skewness(&axis).abs() < 1e-12);
    }
}
