//! Dense products and symmetric eigenvectors, with the same bits for any number of threads.
//!
//! Every entry of a result is summed by one thread in one order; threads share out blocks of the
//! result, whose sizes do not depend on how many threads there are.

// Views are passed by value, as ndarray's own functions take them.
#![allow(clippy::needless_pass_by_value)]

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, Axis, CowArray, Ix2, s};
use rayon::prelude::*;

use crate::error::{DataError, Result};

/// Rows of a result that one thread computes at a time.
const ROW_BLOCK: usize = 256;
/// Columns of a tall matrix, each a row of its transposed product, that one thread computes at a
/// time.
const COLUMN_BLOCK: usize = 32;

/// The product `a b` of (n × p) and (p × q) matrices.
///
/// # Panics
/// If `b` has not as many rows as `a` has columns.
pub fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions");
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let (left, right) = (row_major(&a), row_major(&b));
    let mut result = Array2::zeros((a.nrows(), b.ncols()));
    if a.ncols() == 0 || result.is_empty() {
        return result;
    }
    let width = b.ncols();
    let blocks = contiguous_mut(&mut result).par_chunks_mut(ROW_BLOCK * width);
    blocks.enumerate().for_each(|(block, values)| {
        let n_rows = values.len() / width;
        let target = MatMut::from_row_major_slice_mut(values, n_rows, width);
        let rows = left.subrows(block * ROW_BLOCK, n_rows);
        matmul(target, Accum::Replace, rows, right, 1.0, Par::Seq);
    });
    result
}

/// The product `aᵀ b` of (n × p) and (n × q) matrices.
///
/// # Panics
/// If `a` and `b` have different numbers of rows.
pub fn transposed_product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    assert_eq!(a.nrows(), b.nrows(), "rows");
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let (left, right) = (row_major(&a).transpose(), row_major(&b));
    let mut result = Array2::zeros((a.ncols(), b.ncols()));
    if a.nrows() == 0 || result.is_empty() {
        return result;
    }
    let width = b.ncols();
    let blocks = contiguous_mut(&mut result).par_chunks_mut(COLUMN_BLOCK * width);
    blocks.enumerate().for_each(|(block, values)| {
        let n_rows = values.len() / width;
        let target = MatMut::from_row_major_slice_mut(values, n_rows, width);
        let rows = left.subrows(block * COLUMN_BLOCK, n_rows);
        matmul(target, Accum::Replace, rows, right, 1.0, Par::Seq);
    });
    result
}

/// The eigenvalues of a symmetric matrix, descending, and its eigenvectors as columns.
///
/// Only the lower triangle is read. The signs of the vectors are arbitrary, but always the same.
///
/// # Errors
/// [`DataError::Eigen`] if the iteration does not converge, as for a matrix that is not finite.
///
/// # Panics
/// If the matrix is not square.
pub fn symmetric_eigen(matrix: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let side = matrix.nrows();
    assert_eq!(side, matrix.ncols(), "a square matrix");
    if side == 0 {
        return Ok((Array1::zeros(0), Array2::zeros((0, 0))));
    }
    let matrix = matrix.as_standard_layout();
    let mut values = Diag::<f64>::zeros(side);
    let mut vectors = Mat::<f64>::zeros(side, side);
    let compute = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(side, compute, Par::Seq, Default::default());
    self_adjoint_evd(
        row_major(&matrix),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| DataError::Eigen { side })?;
    let last = side - 1; // ascending there, descending here
    let descending = Array1::from_shape_fn(side, |k| values.column_vector()[last - k]);
    Ok((descending, Array2::from_shape_fn((side, side), |(i, k)| vectors[(i, last - k)])))
}

/// The mean of each column.
pub fn column_means(matrix: ArrayView2<f64>) -> Array1<f64> {
    matrix.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(matrix.ncols()))
}

/// The given rows, in the given order.
pub fn rows_of(matrix: ArrayView2<f64>, rows: &[usize]) -> Array2<f64> {
    matrix.select(Axis(0), rows)
}

/// The matrices side by side; they have equal numbers of rows.
///
/// # Panics
/// If the numbers of rows differ, or there is no matrix.
pub fn side_by_side(matrices: &[ArrayView2<f64>]) -> Array2<f64> {
    let n_columns = matrices.iter().map(ArrayView2::ncols).sum();
    let mut result = Array2::zeros((matrices[0].nrows(), n_columns));
    let mut at = 0;
    for matrix in matrices {
        result.slice_mut(s![.., at..at + matrix.ncols()]).assign(matrix);
        at += matrix.ncols();
    }
    result
}

fn row_major<'a>(matrix: &'a CowArray<'_, f64, Ix2>) -> MatRef<'a, f64> {
    let values = matrix.as_slice().expect("standard layout is contiguous");
    MatRef::from_row_major_slice(values, matrix.nrows(), matrix.ncols())
}

fn contiguous_mut(matrix: &mut Array2<f64>) -> &mut [f64] {
    matrix.as_slice_mut().expect("a new matrix is contiguous")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Rounding of sums of a few hundred products of order one.
    const ROUNDING: f64 = 1e-10;

    fn waves(n_rows: usize, n_columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((n_rows, n_columns), |(i, j)| {
            (1.3 * i as f64 + 0.7 * (j * j) as f64).sin()
        })
    }

    fn slow_product(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
            (0..a.ncols()).map(|k| a[[i, k]] * b[[k, j]]).sum()
        })
    }

    fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        (a - b).iter().fold(0.0, |largest, error| error.abs().max(largest))
    }

    #[test]
    fn products_are_sums_of_products() {
        let (a, b) = (waves(600, 70), waves(70, 5));
        assert!(distance(&product(a.view(), b.view()), &slow_product(&a, &b)) < ROUNDING);
        let transposed = a.t().to_owned();
        let c = waves(600, 3);
        let slow = slow_product(&transposed, &c);
        assert!(distance(&transposed_product(a.view(), c.view()), &slow) < ROUNDING);
        assert!(distance(&product(a.t(), c.view()), &slow) < ROUNDING);
    }

    #[test]
    fn eigenvectors_of_a_known_matrix() {
        let (values, vectors) = symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        assert!((values - array![3.0, 1.0]).mapv(f64::abs).sum() < ROUNDING);
        assert!((vectors[[0, 0]] - vectors[[1, 0]]).abs() < ROUNDING);
        assert!((vectors[[0, 1]] + vectors[[1, 1]]).abs() < ROUNDING);
    }

    #[test]
    fn nothing_times_nothing_is_nothing() {
        let empty = Array2::<f64>::zeros((0, 3));
        assert_eq!(product(empty.view(), waves(3, 2).view()).dim(), (0, 2));
        assert_eq!(transposed_product(empty.view(), empty.view()), Array2::<f64>::zeros((3, 3)));
        assert_eq!(symmetric_eigen(Array2::<f64>::zeros((0, 0)).view()).unwrap().0.len(), 0);
    }
}
