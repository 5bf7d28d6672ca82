//! Curved functions of the inputs, as further columns for a linear regression.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use primordia_data::linear::{column_means, product, symmetric_eigen};
use rayon::prelude::*;

use crate::error::Result;

/// Nyström features of a Gaussian kernel: the function space of a support-vector regression, spanned by
/// a few cells instead of all (Williams & Seeger 2000, NIPS 13, 682–688).
///
/// `k(a, b) = exp(−‖a − b‖² / width²)`, with `width²` five times the variance of the inputs, so
/// that the functions bend over the whole cloud of cells rather than around single ones. The
/// features are scaled to the inputs' total variance: one ridge penalty weighs both.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelExpansion {
    /// Centres × inputs used: cells of the fitted table.
    pub centres: Array2<f64>,
    /// `1 / width²`.
    pub inverse_square_width: f64,
    /// Centres × features: from the kernel's values at the centres to uncorrelated features.
    pub whitening: Array2<f64>,
    /// The mean of each feature over the fitted cells.
    pub means: Array1<f64>,
}

/// The kernel sees this many leading inputs: later components are mostly noise, which would fill all distances.
const N_INPUTS: usize = 20;
/// Width² over the variance of the inputs.
const SQUARE_WIDTH_PER_VARIANCE: f64 = 5.0;
/// Directions of the kernel below this share of the largest are rounding.
const NO_DIRECTION: f64 = 1e-10;

impl KernelExpansion {
    /// Spans the space with `n_centres` cells of `inputs` (cells × components, centred, most variance first),
    /// evenly spaced in their order. `None` if the inputs do not vary or `n_centres` is 0.
    ///
    /// # Errors
    /// [`crate::RegressionError::Data`] if the kernel's eigenvalues do not converge.
    pub fn fit(inputs: ArrayView2<f64>, n_centres: usize) -> Result<Option<Self>> {
        let used = leading(inputs);
        let n_centres = n_centres.min(used.nrows());
        let variance = total_variance(used);
        if n_centres == 0 || variance <= 0.0 {
            return Ok(None);
        }
        let rows: Vec<usize> = (0..n_centres).map(|k| k * used.nrows() / n_centres).collect();
        let centres = used.select(Axis(0), &rows);
        let inverse_square_width = 1.0 / (SQUARE_WIDTH_PER_VARIANCE * variance);
        let whitening = whitening(&kernel(centres.view(), &centres, inverse_square_width))?;
        let n_features = whitening.ncols();
        let means = Array1::zeros(n_features);
        let mut expansion = Self { centres, inverse_square_width, whitening, means };
        let features = expansion.features(used);
        let scale = (total_variance(inputs) / total_variance(features.view())).sqrt();
        if !scale.is_finite() {
            return Ok(None);
        }
        expansion.means = column_means(features.view()) * scale;
        expansion.whitening *= scale;
        Ok(Some(expansion))
    }

    /// The inputs (cells × components) with the curved features beside them.
    pub fn transform(&self, inputs: ArrayView2<f64>) -> Array2<f64> {
        let features = self.features(leading(inputs));
        // the same rows in both
        concatenate(Axis(1), &[inputs, features.view()]).unwrap_or(features)
    }

    fn features(&self, inputs: ArrayView2<f64>) -> Array2<f64> {
        let values = kernel(inputs, &self.centres, self.inverse_square_width);
        product(values.view(), self.whitening.view()) - &self.means
    }
}

fn leading(inputs: ArrayView2<'_, f64>) -> ArrayView2<'_, f64> {
    let n_inputs = inputs.ncols().min(N_INPUTS);
    inputs.slice_move(s![.., ..n_inputs])
}

fn total_variance(table: ArrayView2<f64>) -> f64 {
    table.var_axis(Axis(0), 0.0).sum()
}

fn kernel(cells: ArrayView2<f64>, centres: &Array2<f64>, inverse_square_width: f64) -> Array2<f64> {
    let squares = |table: ArrayView2<f64>| table.map_axis(Axis(1), |row| row.dot(&row));
    let (of_cells, of_centres) = (squares(cells), squares(centres.view()));
    let mut values = product(cells, centres.t());
    let rows =
        values.axis_iter_mut(Axis(0)).into_par_iter().zip(of_cells.as_slice().unwrap_or(&[]));
    rows.for_each(|(mut row, of_cell)| {
        row.iter_mut().zip(&of_centres).for_each(|(value, of_centre)| {
            let square_distance = (of_cell + of_centre - 2.0 * *value).max(0.0);
            *value = (-square_distance * inverse_square_width).exp();
        });
    });
    values
}

/// Centres × features: the inverse square root of the kernel among the centres, in its eigenvectors.
fn whitening(among_centres: &Array2<f64>) -> Result<Array2<f64>> {
    let (values, vectors) = symmetric_eigen(among_centres.view())?;
    let kept = values.iter().take_while(|&&value| value > NO_DIRECTION * values[0]).count();
    let inverse_roots = values.slice(s![..kept]).mapv(|value| 1.0 / value.sqrt());
    Ok(&vectors.slice(s![.., ..kept]) * &inverse_roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ridge::Ridge;
    use crate::score::variance_weighted_r2;
    use ndarray::ArrayView1;

    fn cloud(n_cells: usize) -> Array2<f64> {
        Array2::from_shape_fn((n_cells, 2), |(i, j)| ((i * 31 + j * 17) as f64 * 0.7).sin())
    }

    /// The definition: the Nyström features' products are the kernel, exactly so at the centres.
    #[test]
    fn products_of_features_are_the_kernel_at_the_centres() {
        let cells = cloud(40);
        let mut expansion = KernelExpansion::fit(cells.view(), 40).unwrap().unwrap();
        let distance = |a: ArrayView1<f64>, b: ArrayView1<f64>| (&a - &b).mapv(|d| d * d).sum();
        let scale = expansion.whitening.mapv(|w| w * w).sum();
        expansion.means.fill(0.0);
        let features = expansion.features(cells.view());
        let products = features.dot(&features.t());
        let unit = products[[0, 0]]; // k(a, a) = 1, before scaling
        assert!(scale > 0.0);
        for (i, j) in [(0, 1), (3, 30), (12, 13)] {
            let expected =
                (-distance(cells.row(i), cells.row(j)) * expansion.inverse_square_width).exp();
            assert!((products[[i, j]] / unit - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn a_line_cannot_follow_a_circle_but_the_expansion_can() {
        let cells = cloud(200);
        let radius = cells.map_axis(Axis(1), |row| row.dot(&row)).insert_axis(Axis(1));
        let score = |inputs: &Array2<f64>| {
            let model = Ridge::default().fit(inputs.view(), radius.view()).unwrap();
            let guess = model.predict(inputs.view()).unwrap();
            variance_weighted_r2(radius.view(), guess.view()).unwrap()
        };
        let expansion = KernelExpansion::fit(cells.view(), 50).unwrap().unwrap();
        assert!(score(&cells) < 0.2);
        assert!(score(&expansion.transform(cells.view())) > 0.99);
    }

    #[test]
    fn inputs_that_do_not_vary_are_not_expanded() {
        assert!(KernelExpansion::fit(Array2::zeros((9, 2)).view(), 4).unwrap().is_none());
        assert!(KernelExpansion::fit(cloud(9).view(), 0).unwrap().is_none());
    }
}
