//! Weights as safetensors, and back.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::conv3d::with_values;
use super::unet::{LAYERS, UNet};
use crate::error::{Result, SegmentError};

/// The only entry of the file's own notes: JSON that tells how the weights came about.
const NOTE: &str = "primordia";
/// What [`LAYERS`] have.
const PARTS: [&str; 2] = ["kernel", "bias"];

/// The names and shapes of all weights, in order.
fn names() -> impl Iterator<Item = (String, Vec<usize>)> {
    LAYERS.iter().flat_map(|layer| {
        let names = PARTS.map(|part| format!("{}.{part}", layer.name));
        names.into_iter().zip(layer.shapes())
    })
}

/// All weights, in order.
pub(crate) fn flat(net: &UNet) -> Result<Vec<Vec<f32>>> {
    let tensors = net.weights().iter().flatten();
    Ok(tensors.map(|tensor| with_values(tensor, <[f32]>::to_vec)).collect::<Result<_, _>>()?)
}

/// A network with these weights.
pub(crate) fn network(weights: &[Vec<f32>]) -> Result<UNet> {
    let pairs = weights.chunks_exact(2).zip(&LAYERS).map(|(pair, layer)| {
        let [kernel, bias] = layer.shapes();
        Ok([
            Tensor::from_slice(&pair[0], kernel, &Device::Cpu)?,
            Tensor::from_slice(&pair[1], bias, &Device::Cpu)?,
        ])
    });
    Ok(UNet::new(pairs.collect::<Result<_>>()?))
}

/// The weights as candle's variables.
pub(crate) fn variables(weights: &[Vec<f32>]) -> Result<Vec<[Var; 2]>> {
    let network = network(weights)?;
    let variables =
        |[kernel, bias]: &[Tensor; 2]| Ok([Var::from_tensor(kernel)?, Var::from_tensor(bias)?]);
    network.weights().iter().map(variables).collect()
}

/// Sets of weights under prefixes, and a note.
pub(crate) fn write(sets: &[(&str, &Vec<Vec<f32>>)], note: &impl Serialize) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for (prefix, weights) in sets {
        for ((name, shape), values) in names().zip(*weights) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            all.push((format!("{prefix}{name}"), shape, bytes));
        }
    }
    let views = all
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    let note = serde_json::to_string(note).map_err(|_| SegmentError::NoRecipe)?;
    Ok(safetensors::serialize(views, Some(HashMap::from([(NOTE.to_owned(), note)])))?)
}

/// What a file of weights holds.
pub(crate) struct Tensors<'a> {
    tensors: SafeTensors<'a>,
    note: Option<String>,
}

impl<'a> Tensors<'a> {
    /// Reads the file's table of contents.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let note = header.metadata().as_ref().and_then(|notes| notes.get(NOTE)).cloned();
        Ok(Self { tensors: SafeTensors::deserialize(bytes)?, note })
    }

    /// The note.
    pub(crate) fn note<T: DeserializeOwned>(&self) -> Result<T> {
        let note = self.note.as_deref().ok_or(SegmentError::NoRecipe)?;
        serde_json::from_str(note).map_err(|_| SegmentError::NoRecipe)
    }

    /// All weights under a prefix, in order.
    pub(crate) fn layers(&self, prefix: &str) -> Result<Vec<Vec<f32>>> {
        names().map(|(name, wanted)| self.values(&format!("{prefix}{name}"), wanted)).collect()
    }

    fn values(&self, name: &str, wanted: Vec<usize>) -> Result<Vec<f32>> {
        let missing =
            || SegmentError::MissingWeights { wanted: names().map(|(name, _)| name).collect() };
        let tensor = self.tensors.tensor(name).map_err(|_| missing())?;
        if tensor.shape() != wanted || tensor.dtype() != Dtype::F32 {
            let found = tensor.shape().to_vec();
            return Err(SegmentError::WrongWeights { found, wanted });
        }
        let values: Vec<f32> = tensor
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(SegmentError::WeightsNotFinite)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Boundary, Recipe, Training};
    use super::*;

    fn training() -> Training {
        Training::new(Recipe { steps: 1, ..Recipe::default() }, Vec::new(), None).unwrap()
    }

    #[test]
    fn weights_come_back_with_their_recipe() {
        let boundary = training().boundary().unwrap();
        let bytes = boundary.to_bytes().unwrap();
        let back = Boundary::from_bytes(&bytes).unwrap();
        assert_eq!(flat(&back.net).unwrap(), flat(&boundary.net).unwrap());
        assert_eq!(back.recipe(), Some(training().recipe()));
        assert_eq!(back.to_bytes().unwrap(), bytes);
        let further = Training::new(training().recipe().clone(), Vec::new(), Some(&back)).unwrap();
        assert_eq!(
            further.recipe().start.as_deref(),
            Some(training().recipe()),
            "what it began with"
        );
    }

    #[test]
    fn a_checkpoint_serves_as_weights_but_not_the_other_way_round() {
        let checkpoint = training().checkpoint().unwrap();
        assert!(Boundary::from_bytes(&checkpoint).is_ok());
        let weights = training().boundary().unwrap().to_bytes().unwrap();
        assert!(matches!(Training::resume(&weights, Vec::new()), Err(SegmentError::NoRecipe)));
    }

    #[test]
    fn what_is_no_network_says_so() {
        let read = |bytes: &[u8]| Boundary::from_bytes(bytes).err().unwrap();
        let bytes = training().boundary().unwrap().to_bytes().unwrap();
        assert!(matches!(read(b"text"), SegmentError::NotWeights(_)));
        assert!(matches!(read(&[]), SegmentError::NotWeights(_)));
        assert!(matches!(read(&bytes[..bytes.len() - 9]), SegmentError::NotWeights(_)));
        let nan = f32::NAN.to_le_bytes();
        let mut broken = bytes.clone();
        let end = broken.len() - 4;
        broken[end..].copy_from_slice(&nan);
        assert!(matches!(read(&broken), SegmentError::WeightsNotFinite));
        let other = |name: &'static str, shape: Vec<usize>| {
            let data = vec![0; 4 * shape.iter().product::<usize>()];
            let view = TensorView::new(Dtype::F32, shape, &data).unwrap();
            safetensors::serialize([(name, view)], None).unwrap()
        };
        assert!(matches!(
            read(&other("conv.weight", vec![2])),
            SegmentError::MissingWeights { .. }
        ));
        let first = names().next().unwrap().0;
        let first: &'static str = Box::leak(first.into_boxed_str());
        assert!(matches!(read(&other(first, vec![2])), SegmentError::WrongWeights { .. }));
    }
}
