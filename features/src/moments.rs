//! Moments of a cloud: the plain embedding that others are compared with.
//!
//! First moments as they are, second ones about the mean, higher ones also in units of the standard
//! deviations (Hartmann et al. 2020, doi:10.7554/eLife.55913, which uses order 5: 55 numbers).

use nalgebra::Vector3;
use primordia_data::PointCloud;

/// The moments of a cloud up to `order`, in the order of [`moment_names`]; NaN for an empty cloud.
/// Along an axis on which all points agree, higher moments are 0.
pub fn moments<F>(cloud: &PointCloud<F>, order: usize) -> Vec<f64> {
    let points = cloud.points();
    let Some(mean) = cloud.centroid() else { return vec![f64::NAN; n_moments(order)] };
    let centred: Vec<Vector3<f64>> = points.iter().map(|point| point - mean).collect();
    let n = points.len() as f64;
    let variance = centred.iter().map(|d| d.component_mul(d)).sum::<Vector3<f64>>() / n;
    let scale = variance.map(|variance| if variance > 0.0 { variance.sqrt().recip() } else { 0.0 });
    let average = |exponents: [i32; 3], scale: Vector3<f64>| {
        let power = |d: &Vector3<f64>| {
            let d = d.component_mul(&scale);
            d.z.powi(exponents[0]) * d.y.powi(exponents[1]) * d.x.powi(exponents[2])
        };
        centred.iter().map(power).sum::<f64>() / n
    };
    let moment = |exponents: [i32; 3]| match exponents.iter().sum() {
        1 => mean.coords.dot(&Vector3::new(exponents[2], exponents[1], exponents[0]).cast()),
        2 => average(exponents, Vector3::repeat(1.0)),
        _ => average(exponents, scale),
    };
    exponents(order).map(moment).collect()
}

/// The names of the moments up to `order`: by order, then by the powers of z, y and x.
pub fn moment_names(order: usize) -> Vec<String> {
    let unit = |[z, y, x]: [i32; 3]| match z + y + x {
        1 => "_um",
        2 => "_um2",
        _ => "",
    };
    exponents(order).map(|e| format!("moment_z{}_y{}_x{}{}", e[0], e[1], e[2], unit(e))).collect()
}

fn n_moments(order: usize) -> usize {
    (order + 1) * (order + 2) * (order + 3) / 6 - 1
}

fn exponents(order: usize) -> impl Iterator<Item = [i32; 3]> {
    (1..=order as i32).flat_map(|sum| {
        (0..=sum).rev().flat_map(move |z| (0..=sum - z).rev().map(move |y| [z, y, sum - z - y]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use nalgebra::Point3;
    use primordia_data::TissueFrame;

    fn moment(cloud: &PointCloud<TissueFrame>, name: &str) -> f64 {
        let at = moment_names(5).iter().position(|other| other == name).unwrap();
        moments(cloud, 5)[at]
    }

    #[test]
    fn moments_are_means_of_powers() {
        // Two of three points at 0, one at 3, along x; y mirrors it, z stays.
        let at = |v: f64| Point3::new(v, -v, 7.0);
        let cloud = PointCloud::new(vec![at(0.0), at(0.0), at(3.0)]);
        assert_eq!(moments(&cloud, 5).len(), 55);
        assert_relative_eq!(moment(&cloud, "moment_z0_y0_x1_um"), 1.0);
        assert_relative_eq!(moment(&cloud, "moment_z1_y0_x0_um"), 7.0);
        assert_relative_eq!(moment(&cloud, "moment_z0_y1_x1_um2"), -2.0, epsilon = 1e-12);
        // Skewness of a share p = 1/3: (1 − 2p) / √(p (1 − p)); kurtosis 3 + (1 − 6pq) / pq = 3/2.
        assert_relative_eq!(moment(&cloud, "moment_z0_y0_x3"), 0.5_f64.sqrt(), epsilon = 1e-12);
        assert_relative_eq!(moment(&cloud, "moment_z0_y0_x4"), 1.5, epsilon = 1e-12);
        assert_relative_eq!(moment(&cloud, "moment_z3_y0_x0"), 0.0);
    }

    #[test]
    fn an_empty_cloud_has_no_moments() {
        let none = PointCloud::<TissueFrame>::new(Vec::new());
        assert_eq!(moments(&none, 8).len(), 164);
        assert!(moments(&none, 8).iter().all(|value| value.is_nan()));
    }
}
