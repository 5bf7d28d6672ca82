//! The voxels of one channel in the type their file gives them.

use std::fmt;

use ndarray::{Array3, ArrayView3, Zip};
use serde::Serialize;

use super::problem::{ImageProblem, Result};
use crate::volume::Volume;

/// The type of a voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelType {
    /// Unsigned, 8 bit.
    U8,
    /// Unsigned, 16 bit.
    U16,
    /// Unsigned, 32 bit.
    U32,
    /// Float, 32 bit.
    F32,
    /// Float, 64 bit.
    F64,
}

impl PixelType {
    /// The name that numpy gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The bytes of one voxel.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl fmt::Display for PixelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that files hold as voxels: `u8`, `u16`, `u32`, `f32` or `f64`.
pub trait Pixel: bytemuck::Pod + Send + Sync + hdf5_metno::H5Type + private::Sealed {
    /// What it is called.
    const TYPE: PixelType;
    /// A view of such voxels, its type known only when the program runs.
    fn view(voxels: ArrayView3<'_, Self>) -> VoxelsView<'_>;
}

mod private {
    pub trait Sealed {}
}

macro_rules! pixel {
    ($($rust:ty => $variant:ident),*) => {$(
        impl private::Sealed for $rust {}
        impl Pixel for $rust {
            const TYPE: PixelType = PixelType::$variant;
            fn view(voxels: ArrayView3<'_, Self>) -> VoxelsView<'_> {
                VoxelsView::$variant(voxels)
            }
        }
        impl From<Array3<$rust>> for Voxels {
            fn from(voxels: Array3<$rust>) -> Self {
                Voxels::$variant(voxels)
            }
        }
    )*};
}
pixel!(u8 => U8, u16 => U16, u32 => U32, f32 => F32, f64 => F64);

/// The voxels of one channel, `[z, y, x]`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the types say it
pub enum Voxels {
    U8(Array3<u8>),
    U16(Array3<u16>),
    U32(Array3<u32>),
    F32(Array3<f32>),
    F64(Array3<f64>),
}

/// Borrowed [`Voxels`], to be written.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the types say it
pub enum VoxelsView<'a> {
    U8(ArrayView3<'a, u8>),
    U16(ArrayView3<'a, u16>),
    U32(ArrayView3<'a, u32>),
    F32(ArrayView3<'a, f32>),
    F64(ArrayView3<'a, f64>),
}

/// Runs `$body` with `$voxels` bound to the array inside.
macro_rules! each_type {
    ($enum:ident, $value:expr, $voxels:ident => $body:expr) => {
        match $value {
            $enum::U8($voxels) => $body,
            $enum::U16($voxels) => $body,
            $enum::U32($voxels) => $body,
            $enum::F32($voxels) => $body,
            $enum::F64($voxels) => $body,
        }
    };
}
pub(super) use each_type;

impl Voxels {
    /// Their type.
    pub fn pixel_type(&self) -> PixelType {
        self.view().pixel_type()
    }

    /// Voxels along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.view().shape()
    }

    /// The same voxels, borrowed.
    pub fn view(&self) -> VoxelsView<'_> {
        each_type!(Voxels, self, voxels => Pixel::view(voxels.view()))
    }

    /// As 32 bit floats, which hold 8 and 16 bit integers exactly and larger numbers to 7 digits.
    pub fn into_f32(self) -> Array3<f32> {
        match self {
            Self::U8(voxels) => converted(&voxels, f32::from),
            Self::U16(voxels) => converted(&voxels, f32::from),
            Self::U32(voxels) => converted(&voxels, |value| value as f32),
            Self::F32(voxels) => voxels,
            Self::F64(voxels) => converted(&voxels, |value| value as f32),
        }
    }

    /// As labels: integers, or floats that are whole numbers.
    ///
    /// # Errors
    /// [`ImageProblem::NotLabels`] if a voxel is a fraction, negative, too large or NaN.
    pub fn into_labels(self) -> Result<Array3<u32>> {
        match self {
            Self::U8(voxels) => Ok(converted(&voxels, u32::from)),
            Self::U16(voxels) => Ok(converted(&voxels, u32::from)),
            Self::U32(voxels) => Ok(voxels),
            Self::F32(voxels) => whole_numbers(&voxels, f64::from),
            Self::F64(voxels) => whole_numbers(&voxels, |value| value),
        }
    }

    /// The number of voxels that are NaN or infinite.
    pub fn n_not_finite(&self) -> usize {
        match self {
            Self::F32(voxels) => voxels.iter().filter(|value| !value.is_finite()).count(),
            Self::F64(voxels) => voxels.iter().filter(|value| !value.is_finite()).count(),
            _ => 0,
        }
    }
}

impl VoxelsView<'_> {
    /// Their type.
    pub fn pixel_type(&self) -> PixelType {
        match self {
            Self::U8(_) => PixelType::U8,
            Self::U16(_) => PixelType::U16,
            Self::U32(_) => PixelType::U32,
            Self::F32(_) => PixelType::F32,
            Self::F64(_) => PixelType::F64,
        }
    }

    /// Voxels along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        let (z, y, x) = each_type!(Self, self, voxels => voxels.dim());
        [z, y, x]
    }
}

impl<'a> From<&'a Voxels> for VoxelsView<'a> {
    fn from(voxels: &'a Voxels) -> Self {
        voxels.view()
    }
}

impl<'a, T: Pixel> From<&'a Volume<T>> for VoxelsView<'a> {
    fn from(volume: &'a Volume<T>) -> Self {
        T::view(volume.voxels().view())
    }
}

impl<'a, T: Pixel> From<&'a Array3<T>> for VoxelsView<'a> {
    fn from(voxels: &'a Array3<T>) -> Self {
        T::view(voxels.view())
    }
}

/// Every voxel through `convert`, in parallel.
pub(super) fn converted<T: Copy + Sync + Send, U: Default + Clone + Send + Sync>(
    voxels: &Array3<T>,
    convert: impl Fn(T) -> U + Sync + Send,
) -> Array3<U> {
    let mut out = Array3::from_elem(voxels.raw_dim(), U::default()); // zeros cost nothing before they are overwritten
    Zip::from(&mut out).and(voxels).par_for_each(|out, &value| *out = convert(value));
    out
}

fn whole_numbers<T: Copy + Sync + Send>(
    voxels: &Array3<T>,
    to_f64: impl Fn(T) -> f64 + Sync + Send,
) -> Result<Array3<u32>> {
    let is_label =
        |value: f64| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
    let count = voxels.iter().filter(|&&value| !is_label(to_f64(value))).count();
    if count > 0 {
        return Err(ImageProblem::NotLabels { count });
    }
    Ok(converted(voxels, |value| to_f64(value) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<T: Clone>(values: &[T]) -> Array3<T> {
        Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap()
    }

    #[test]
    fn whole_floats_are_labels_and_fractions_are_not() {
        let labels = Voxels::from(row(&[0.0_f32, 7.0, 65_536.0])).into_labels().unwrap();
        assert_eq!(labels, row(&[0, 7, 65_536]));
        for bad in [0.5, -1.0, f64::NAN, 1e10, f64::INFINITY] {
            let problem = Voxels::from(row(&[1.0, bad])).into_labels().unwrap_err();
            assert!(matches!(problem, ImageProblem::NotLabels { count: 1 }), "{bad}");
        }
    }

    #[test]
    fn nan_and_infinity_are_counted() {
        assert_eq!(Voxels::from(row(&[0.0, f32::NAN, f32::NEG_INFINITY])).n_not_finite(), 2);
        assert_eq!(Voxels::from(row(&[0_u8, 255])).n_not_finite(), 0);
    }
}
