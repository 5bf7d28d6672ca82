//! Values of `PyTorch`, written by `tests/reference/network.py`.

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;

use super::conv3d::with_values;

/// What an operation makes of an image, and the derivatives of the sum of `result · gradient`.
#[derive(Deserialize)]
pub(super) struct Operation {
    #[serde(default)]
    pub(super) factors: [usize; 3],
    #[serde(default)]
    pub(super) kernel_side: usize,
    pub(super) image: Vec<f32>,
    #[serde(default)]
    pub(super) kernel: Vec<f32>,
    #[serde(default)]
    pub(super) bias: Vec<f32>,
    pub(super) result: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) to_image: Vec<f32>,
    #[serde(default)]
    pub(super) to_kernel: Vec<f32>,
    #[serde(default)]
    pub(super) to_bias: Vec<f32>,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    pub(super) convolutions: Vec<Operation>,
    pub(super) poolings: Vec<Operation>,
    pub(super) enlargings: Vec<Operation>,
}

pub(super) fn reference() -> Reference {
    serde_json::from_str(include_str!("../../tests/reference/network.json")).unwrap()
}

pub(super) fn variable(values: &[f32], shape: impl candle_core::shape::ShapeWithOneHole) -> Var {
    Var::from_tensor(&Tensor::from_slice(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// The derivatives of the sum of `result · gradient` with respect to `variables`.
pub(super) fn derivatives(result: &Tensor, gradient: &[f32], variables: &[&Var]) -> Vec<Vec<f32>> {
    let gradient = Tensor::from_slice(gradient, result.shape(), &Device::Cpu).unwrap();
    let gradients = (result * gradient).unwrap().sum_all().unwrap().backward().unwrap();
    variables.iter().map(|&var| numbers(gradients.get(var).unwrap())).collect()
}

pub(super) fn numbers(tensor: &Tensor) -> Vec<f32> {
    with_values(tensor, <[f32]>::to_vec).unwrap()
}

/// Fails where values differ by more than `tolerance`.
pub(super) fn assert_close(found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len());
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found - wanted).abs() <= tolerance, "at {at}: {found}, wanted {wanted}");
    }
}
