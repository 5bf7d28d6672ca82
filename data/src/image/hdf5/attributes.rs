//! What attributes say about a dataset: voxel size, channel names, axes.

use hdf5_metno::types::{TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5_metno::{Attribute, Dataset, File, Location};

use crate::image::calibration::Calibration;

/// The attribute that holds µm along z, y, x (after the convention of the Fiji HDF5 plugin and
/// `PlantSeg`).
pub(super) const ELEMENT_SIZE: &str = "element_size_um";
/// The attribute that holds a name per channel.
pub(super) const CHANNEL_NAMES: &str = "channel_names";
/// An attribute of a size that a few names or numbers have.
pub(super) fn attribute(place: &Location, name: &str) -> Option<Attribute> {
    const MOST_VALUES: usize = 4096;
    place.attr(name).ok().filter(|attribute| (1..=MOST_VALUES).contains(&attribute.size()))
}

pub(super) fn calibration(file: &File, dataset: &Dataset) -> Calibration {
    let mut calibration = Calibration::from_source(format!("HDF5 attribute {ELEMENT_SIZE}"));
    let places: [&Location; 2] = [dataset, file];
    let found = places.into_iter().find_map(|place| attribute(place, ELEMENT_SIZE));
    let sides = found.and_then(|attribute| attribute.read_raw::<f64>().ok()).unwrap_or_default();
    if sides.len() <= 3 {
        for (um, side) in calibration.um.iter_mut().rev().zip(sides.iter().rev()) {
            *um = Some(*side);
        }
    }
    calibration
}

/// The axes by letter: an `axes` attribute, or the JSON that ilastik and vigra write.
pub(super) fn axis_letters(dataset: &Dataset) -> Option<String> {
    let text =
        |name: &str| attribute(dataset, name).and_then(|text| texts(&text).into_iter().next());
    if let Some(json) = text("axistags") {
        let json = serde_json::from_str::<serde_json::Value>(&json).ok()?;
        return json["axes"].as_array()?.iter().map(|axis| axis["key"].as_str()).collect();
    }
    text("axes").filter(|letters| letters.len() == dataset.ndim())
}

/// The texts of an attribute, however they are encoded; bytes that are no UTF-8 become marks.
pub(super) fn texts(attribute: &Attribute) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match attribute.dtype().and_then(|dtype| dtype.to_descriptor()) {
        Ok(TypeDescriptor::VarLenUnicode) => attribute
            .read_raw::<VarLenUnicode>()
            .map(|values| values.iter().map(|value| text(value.as_bytes())).collect()),
        Ok(TypeDescriptor::VarLenAscii) => attribute
            .read_raw::<VarLenAscii>()
            .map(|values| values.iter().map(|value| text(value.as_bytes())).collect()),
        _ => Ok(Vec::new()),
    }
    .unwrap_or_default()
}
