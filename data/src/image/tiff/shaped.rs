//! The description that tifffile writes: JSON with a `shape` and perhaps `axes` and sizes.

use serde_json::Value;

use super::directory::{Directory, Reader};
use super::meaning::{Meaning, grid_of, resolution_tags, stated_units};
use super::page::Page;
use crate::image::axes::{Axes, Axis};
use crate::image::calibration::Calibration;
use crate::image::problem::{ImageProblem, Result};

/// Understands a JSON description; `None` if this is none, or one of another image than the pages.
pub(super) fn meaning(
    reader: &mut Reader<'_>,
    first: &Directory,
    page: &Page,
    description: &str,
) -> Result<Option<Meaning>> {
    let Some((json, shape)) = parse(description) else { return Ok(None) };
    let stated = json["axes"].as_str();
    let axes = match stated {
        Some(letters) => Axes::named(letters, &shape)?,
        None => axes_beside_samples(&shape, page)?,
    };
    let is_this = axes.length(Axis::Y, &shape) == page.height as u64
        && axes.length(Axis::X, &shape) == page.width as u64
        && axes.length(Axis::Sample, &shape) == page.samples as u64;
    if !is_this {
        return Ok(None);
    }
    check_page_axes(&axes, stated.unwrap_or_default())?;
    Ok(Some(Meaning {
        format: "TIFF described by JSON",
        axes: axes.letters(),
        grid: grid_of(&axes, &shape),
        pages: None,
        channel_names: channel_names(&json),
        calibration: calibration(reader, first, &json)?,
        warnings: axes.warning.into_iter().collect(),
    }))
}

fn parse(description: &str) -> Option<(Value, Vec<u64>)> {
    let json = serde_json::from_str::<Value>(description.trim()).ok()?;
    let shape = json.get("shape")?.as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
    Some((json, shape))
}

/// Without names, the axis that the colour samples have is known.
fn axes_beside_samples(shape: &[u64], page: &Page) -> Result<Axes> {
    if page.samples == 1 {
        return Axes::unnamed(shape);
    }
    let unclear = || ImageProblem::UnnamedAxes { shape: shape.to_vec() };
    let from_end = if page.planar { 3 } else { 1 };
    let place = shape.len().checked_sub(from_end).ok_or_else(unclear)?;
    let mut rest = shape.to_vec();
    rest.remove(place);
    let mut axes = Axes::unnamed(&rest)?;
    axes.axes.insert(place, Axis::Sample);
    Ok(axes)
}

/// Pages are rows of pixels: y and x come last, beside them only samples.
fn check_page_axes(axes: &Axes, letters: &str) -> Result<()> {
    let pages = axes.letters();
    if ["YX", "YXS", "SYX"].iter().any(|end| pages.ends_with(end)) {
        return Ok(());
    }
    Err(ImageProblem::Axes { axes: letters.to_owned() })
}

fn channel_names(json: &Value) -> Vec<Option<String>> {
    let names = [&json["Channel"]["Name"], &json["channel_names"]];
    let names = names.into_iter().find_map(Value::as_array);
    names.into_iter().flatten().map(|name| name.as_str().map(str::to_owned)).collect()
}

fn calibration(reader: &mut Reader<'_>, first: &Directory, json: &Value) -> Result<Calibration> {
    if let Some(sides) = json["voxel_size_zyx_um"].as_array() {
        let mut calibration = Calibration::from_source("voxel_size_zyx_um in the JSON description");
        for (um, side) in calibration.um.iter_mut().rev().zip(sides.iter().rev()) {
            *um = side.as_f64();
        }
        return Ok(calibration);
    }
    let Some(unit) = json["unit"].as_str() else { return resolution_tags(reader, first) };
    let mut calibration = Calibration::from_source(format!(
        "unit {unit:?} and spacing in the JSON description, and resolution tags"
    ));
    calibration.um = stated_units(reader, first, json["spacing"].as_f64(), [unit; 3])?;
    Ok(calibration)
}
