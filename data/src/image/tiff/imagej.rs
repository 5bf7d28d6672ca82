//! The description that `ImageJ` and Fiji write: `key=value` lines, and slice labels in private tags.

use std::collections::BTreeMap;

use super::directory::{Directory, Reader, tag};
use super::meaning::{Meaning, PlaneGrid, resolution_tags, stated_units};
use crate::image::axes::Axis;
use crate::image::calibration::Calibration;
use crate::image::problem::Result;

/// The version that tifffile claims; unlike `ImageJ` it does not leave out a spacing of 1.
const TIFFFILE_VERSION: &str = "1.11a";

/// Understands an `ImageJ` description; `None` if this is none.
pub(super) fn meaning(
    reader: &mut Reader<'_>,
    first: &Directory,
    description: &str,
) -> Result<Option<Meaning>> {
    if !description.starts_with("ImageJ=") {
        return Ok(None);
    }
    let lines = description
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect::<BTreeMap<_, _>>();
    let (grid, warning) = grid(&lines);
    Ok(Some(Meaning {
        format: "ImageJ TIFF",
        axes: "TZCYX".to_owned(),
        grid,
        pages: None,
        channel_names: channel_names(&slice_labels(reader, first)?, &grid),
        calibration: calibration(reader, first, &lines, grid.z)?,
        warnings: warning.into_iter().collect(),
    }))
}

/// Planes run through channels, then slices, then frames.
fn grid(lines: &BTreeMap<&str, &str>) -> (PlaneGrid, Option<String>) {
    let count = |key: &str| lines.get(key).and_then(|value| value.parse::<u64>().ok());
    let dimension = |key: &str| count(key).unwrap_or(1);
    let [c, z, t] = ["channels", "slices", "frames"].map(dimension);
    let images = count("images").unwrap_or_else(|| c.saturating_mul(z).saturating_mul(t));
    let grid = PlaneGrid::new([(Axis::Channel, c), (Axis::Z, z), (Axis::Time, t)]);
    if grid.n_planes() == u128::from(images) {
        return (grid, None);
    }
    let stated = ["channels", "slices", "frames"].iter().any(|key| lines.contains_key(key));
    let warning = stated.then(|| {
        format!("{images} images are not {c} channels × {z} slices × {t} frames; taken as slices")
    });
    (PlaneGrid::new([(Axis::Channel, 1), (Axis::Z, images), (Axis::Time, 1)]), warning)
}

fn calibration(
    reader: &mut Reader<'_>,
    first: &Directory,
    lines: &BTreeMap<&str, &str>,
    n_slices: u64,
) -> Result<Calibration> {
    let Some(&unit) = lines.get("unit") else {
        let source = "TIFF resolution tags (the ImageJ description names no unit)".to_owned();
        return Ok(Calibration { source, ..resolution_tags(reader, first)? });
    };
    let mut calibration = Calibration::from_source(format!(
        "ImageJ unit {unit:?}, spacing {:?} and resolution tags",
        lines.get("spacing").copied().unwrap_or_default()
    ));
    let mut spacing = lines.get("spacing").and_then(|value| value.parse::<f64>().ok());
    let is_imagej = lines.get("ImageJ").is_some_and(|&version| version != TIFFFILE_VERSION);
    if !lines.contains_key("spacing") && is_imagej && n_slices > 1 {
        spacing = Some(1.0);
        calibration.warnings.push(format!(
            "no spacing between slices is written; ImageJ writes none when it is 1 {unit}, so that is taken"
        ));
    }
    let other = |key: &str| lines.get(key).copied().unwrap_or(unit);
    let units = [other("zunit"), other("yunit"), unit];
    calibration.um = stated_units(reader, first, spacing, units)?;
    Ok(calibration)
}

/// One label per plane, from the private tags of `ImageJ`: a table of kinds and counts, then UTF-16.
fn slice_labels(reader: &mut Reader<'_>, first: &Directory) -> Result<Vec<String>> {
    const MAGIC: u64 = 0x494a_494a; // IJIJ
    const LABELS: u64 = 0x6c61_626c; // labl
    let order = reader.dialect.order;
    let lengths = reader.integers(first, tag::IMAGEJ_BYTE_COUNTS)?.unwrap_or_default();
    let block = reader.raw(first, tag::IMAGEJ_METADATA)?.unwrap_or_default();
    let (Some(&header_bytes), Some(magic)) = (lengths.first(), block.get(..4)) else {
        return Ok(Vec::new());
    };
    let header = block.get(4..header_bytes as usize);
    let Some(header) = header.filter(|_| order.number(magic) == MAGIC) else {
        return Ok(Vec::new());
    };
    let mut labels = Vec::new();
    let mut lengths = lengths[1..].iter();
    let mut place = header_bytes as usize;
    for kind in header.chunks_exact(8) {
        let n_values = order.number(&kind[4..8]) as usize;
        for &length in lengths.by_ref().take(n_values) {
            let end = place.saturating_add(length as usize);
            let Some(value) = block.get(place..end) else { return Ok(labels) };
            if order.number(&kind[..4]) == LABELS {
                let units = value.chunks_exact(2).map(|unit| order.number(unit) as u16);
                labels.push(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect());
            }
            place = end;
        }
    }
    Ok(labels)
}

/// Labels name channels if there is one per channel, or if all slices of a channel share one
/// that no other channel has.
fn channel_names(labels: &[String], grid: &PlaneGrid) -> Vec<Option<String>> {
    let n_channels = grid.c as usize;
    let per_plane = labels.len() as u128 == grid.n_planes();
    if labels.is_empty() || (labels.len() != n_channels && !per_plane) {
        return Vec::new();
    }
    let names =
        labels.iter().take(n_channels).map(|label| label.trim().to_owned()).collect::<Vec<_>>();
    let shared = labels.iter().enumerate().all(|(i, label)| label.trim() == names[i % n_channels]);
    let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len() == n_channels;
    if !shared || !distinct {
        return Vec::new();
    }
    names.into_iter().map(|name| Some(name).filter(|name| !name.is_empty())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> BTreeMap<&'static str, &'static str> {
        text.lines().filter_map(|line| line.split_once('=')).collect()
    }

    #[test]
    fn images_without_dimensions_are_slices() {
        let (found, warning) = grid(&lines("ImageJ=1.53t\nimages=7"));
        assert_eq!((found.c, found.z, found.t), (1, 7, 1));
        assert!(warning.is_none());
    }

    #[test]
    fn contradicting_dimensions_warn() {
        let (found, warning) = grid(&lines("ImageJ=1.53t\nimages=7\nchannels=2\nslices=3"));
        assert_eq!((found.c, found.z, found.t), (1, 7, 1));
        assert!(warning.is_some());
    }

    #[test]
    fn labels_name_channels_only_if_they_agree_over_slices() {
        let grid = PlaneGrid::new([(Axis::Channel, 2), (Axis::Z, 2), (Axis::Time, 1)]);
        let labels = |labels: [&str; 4]| labels.map(str::to_owned).to_vec();
        assert_eq!(
            channel_names(&labels(["membrane", "actin", "membrane", "actin"]), &grid),
            [Some("membrane".to_owned()), Some("actin".to_owned())]
        );
        assert!(channel_names(&labels(["a", "b", "c", "d"]), &grid).is_empty());
        assert!(channel_names(&labels(["a.tif"; 4]), &grid).is_empty());
    }
}
