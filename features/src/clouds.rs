//! What the landmarks of a cell tell: how far they lie apart, and their moments.
//!
//! These are the features of Hartmann et al. 2020 (doi:10.7554/eLife.55913) that are about the
//! landmarks themselves. Lengths and deviations, which there come from landmarks as well, follow in
//! [`crate::registry::SHAPE`] from the surface, without the noise of a draw.

use nalgebra::Point3;
use ndarray::Array2;
use primordia_data::{CellId, CellTable, PointCloud};
use rayon::prelude::*;

use crate::error::Result;
use crate::moments::{moment_names, moments};
use crate::registry::LANDMARKS;

/// The distances in a cloud of landmarks about a cell's centroid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CloudShape {
    /// From each to the nearest other one.
    pub(crate) nearest_um: Spread,
    /// Of all ordered pairs, each with itself included.
    pub(crate) pairs_um: Spread,
    /// To the centroid.
    pub(crate) radius_um: Spread,
}

/// A mean and a standard deviation (over n); NaN of nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let add = |(n, sum, squares): (f64, f64, f64), value: f64| {
            (n + 1.0, sum + value, squares + value * value)
        };
        let (n, sum, squares) = values.fold((0.0, 0.0, 0.0), add);
        Self::of_sums(n, sum, squares)
    }

    fn of_sums(n: f64, sum: f64, squares: f64) -> Self {
        let mean = sum / n;
        // Rounding may make the difference of equal numbers negative; NaN stays.
        let variance = squares / n - mean * mean;
        Self { mean, deviation: if variance < 0.0 { 0.0 } else { variance.sqrt() } }
    }
}

impl CloudShape {
    /// Of a cloud whose points are relative to the cell's centroid; NaN without points, and no
    /// nearest without two.
    pub fn of<F>(cloud: &PointCloud<F>) -> Self {
        let points = cloud.points();
        let mut nearest_um2 = vec![f64::INFINITY; points.len()];
        let (mut sum, mut squares) = (0.0, 0.0);
        for (at, point) in points.iter().enumerate() {
            for (before, other) in points[..at].iter().enumerate() {
                let distance_um2 = (point - other).norm_squared();
                sum += distance_um2.sqrt();
                squares += distance_um2;
                nearest_um2[at] = nearest_um2[at].min(distance_um2);
                nearest_um2[before] = nearest_um2[before].min(distance_um2);
            }
        }
        let nearest_um = nearest_um2.iter().filter(|um2| um2.is_finite()).map(|um2| um2.sqrt());
        Self {
            nearest_um: Spread::of(nearest_um),
            // Each pair counts twice.
            pairs_um: Spread::of_sums((points.len() as f64).powi(2), 2.0 * sum, 2.0 * squares),
            radius_um: Spread::of(
                points.iter().map(|point| Point3::origin() - point).map(|r| r.norm()),
            ),
        }
    }
}

/// The features of [`LANDMARKS`] and the moments up to `order` of one cloud per cell, whose points
/// are relative to the cell's centroid; columns begin with `prefix`. Empty clouds have NaN.
///
/// # Errors
/// [`crate::FeatureError::Data`] if two cells have one name.
pub fn cloud_table<F: Sync>(
    cells: &[CellId],
    clouds: &[PointCloud<F>],
    order: usize,
    prefix: &str,
) -> Result<CellTable> {
    let names = LANDMARKS.iter().map(|feature| feature.name.to_owned()).chain(moment_names(order));
    let columns: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
    let row = |cloud: &PointCloud<F>| {
        let shape = CloudShape::of(cloud);
        let distances = LANDMARKS.iter().map(|feature| feature.value(&shape));
        distances.chain(moments(cloud, order)).collect::<Vec<f64>>()
    };
    let rows: Vec<Vec<f64>> = clouds.par_iter().map(row).collect();
    let values = Array2::from_shape_fn((rows.len(), columns.len()), |(row, at)| rows[row][at]);
    Ok(CellTable::new(cells.to_vec(), columns, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use primordia_data::TissueFrame;

    fn cloud(points: &[[f64; 3]]) -> PointCloud<TissueFrame> {
        PointCloud::new(points.iter().map(|p| Point3::from(*p)).collect())
    }

    #[test]
    fn distances_of_a_right_triangle() {
        // Sides 3, 4 and 5 about the corner with the right angle.
        let shape = CloudShape::of(&cloud(&[[0.0; 3], [3.0, 0.0, 0.0], [0.0, 4.0, 0.0]]));
        assert_relative_eq!(shape.nearest_um.mean, (3.0 + 3.0 + 4.0) / 3.0);
        assert_relative_eq!(shape.nearest_um.deviation, (2.0_f64 / 9.0).sqrt(), epsilon = 1e-12);
        // Nine ordered pairs, three of them a point with itself.
        assert_relative_eq!(shape.pairs_um.mean, 2.0 * 12.0 / 9.0);
        let variance = 2.0 * 50.0 / 9.0 - (24.0_f64 / 9.0).powi(2);
        assert_relative_eq!(shape.pairs_um.deviation, variance.sqrt(), epsilon = 1e-12);
        assert_relative_eq!(shape.radius_um.mean, 7.0 / 3.0);
    }

    #[test]
    fn points_of_a_ball_surface_are_four_thirds_of_its_radius_apart() {
        // Evenly along z, turned by the golden angle.
        let point = |k: usize| {
            let z = 1.0 - (2 * k + 1) as f64 / 2000.0;
            let (sin, cos) = (2.399_963_2 * k as f64).sin_cos();
            [3.0 * (1.0 - z * z).sqrt() * cos, 3.0 * (1.0 - z * z).sqrt() * sin, 3.0 * z]
        };
        let shape = CloudShape::of(&cloud(&(0..2000).map(point).collect::<Vec<_>>()));
        assert_relative_eq!(shape.pairs_um.mean, 4.0, max_relative = 1e-3);
        assert_relative_eq!(shape.radius_um.mean, 3.0, epsilon = 1e-12);
    }

    #[test]
    fn a_row_holds_distances_and_moments_and_an_empty_cloud_has_none() {
        let cells = [CellId::new("fish", "1"), CellId::new("fish", "2")];
        let clouds = [cloud(&[[0.0; 3], [3.0, 0.0, 0.0]]), cloud(&[])];
        let table = cloud_table(&cells, &clouds, 5, "actin_").unwrap();
        assert_eq!(table.columns().len(), 6 + 55);
        assert_eq!(table.column("actin_landmarks_radius_mean_um").unwrap()[0], 1.5);
        assert_eq!(table.column("actin_moment_z0_y0_x1_um").unwrap()[0], 1.5);
        assert!(table.values().row(1).iter().all(|value| value.is_nan()));
    }
}
