//! Labels and images that cannot be exploded or measured.

use std::path::Path;

use ndarray::Array3;
use primordia_data::image::{Pixel, write_labels, write_volume};
use primordia_data::{Volume, VoxelSize};

use super::experiments::image;
use super::{Case, case, put, specimen, tiff, voxel_size};

pub(super) const EXPLODE: &str =
    "explode labels.tif --image image.tif --image-output out/image.tif -o out/labels.tif";
pub(super) const FEATURES: &str = "features labels.tif --image image.tif -o out/cells.csv";

/// Labels and their image.
pub(super) fn sound(folder: &Path) {
    write_labels(folder.join("labels.tif"), &specimen().truth).unwrap();
    image(folder, "image.tif");
}

fn write<T: Pixel>(folder: &Path, name: &str, voxels: Array3<T>, voxel_size: VoxelSize) {
    write_volume(folder.join(name), "any", &Volume::new(voxels, voxel_size).unwrap()).unwrap();
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = exploded();
    cases.extend(measured());
    cases.extend(of_both("explode", EXPLODE));
    cases.extend(of_both("features", FEATURES));
    cases
}

fn exploded() -> Vec<Case> {
    let of = |kind, command, says: &[&'static str]| case(kind, command, says, sound);
    let labels = "labels.tif";
    vec![
        of("a factor below one", "explode labels.tif --factor 0.5 -o out/a.tif", &[labels, "0.5"]),
        of("a factor that is no number", "explode labels.tif --factor NaN -o out/a.tif", &[labels]),
        of(
            "a factor beyond all memory",
            "explode labels.tif --factor 1e9 -o out/a.tif",
            &[labels, "too large", "smaller factor"],
        ),
        of("cells made larger", "explode labels.tif --shrink 1.5 -o out/a.tif", &[labels, "1.5"]),
        of(
            "exploded labels in a format that is not written",
            "explode labels.tif -o out/a.png",
            &["a.png", ".tif"],
        ),
        of(
            "no folder for exploded labels",
            "explode labels.tif -o nowhere/a.tif",
            &["nowhere", "no folder"],
        ),
        of(
            "an exploded image in a format that is not written",
            "explode labels.tif --image image.tif --image-output out/a.h5 -o out/b.h5",
            &["a.h5", "OME-TIFF"],
        ),
        of(
            "one output for labels and image",
            "explode labels.tif --image image.tif --image-output out/a.tif -o out/a.tif",
            &["a.tif", "two files"],
        ),
        case(
            "cells that never come apart",
            "explode labels.tif --factor 3 --apart -o out/a.tif",
            &[labels, "overlap"],
            nested,
        ),
        of("a full disk for an exploded image", EXPLODE, &["image.tif"])
            .after("ulimit -f 1; trap '' XFSZ"),
        of(
            "surfaces in a format that is not written",
            "explode labels.tif --meshes out/a.stl -o out/a.tif",
            &["a.stl", ".ply"],
        ),
    ]
}

/// A frame around a core that lies one voxel from its centre: at a factor of 10 still inside.
fn nested(folder: &Path) {
    let voxels = Array3::from_shape_fn((1, 41, 41), |(_, y, x)| {
        let far = y.abs_diff(20).max(x.abs_diff(20));
        if y.abs_diff(20).max(x.abs_diff(21)) <= 4 { 2_u8 } else { u8::from(far >= 6) }
    });
    write(folder, "labels.tif", voxels, voxel_size());
}

fn measured() -> Vec<Case> {
    vec![
        case(
            "features in a format that is not written",
            "features labels.tif -o out/a.xlsx",
            &["a.xlsx", ".csv"],
            sound,
        ),
        case(
            "no folder for features",
            "features labels.tif -o nowhere/a.csv",
            &["nowhere", "no folder"],
            sound,
        ),
        case("a channel that is NaN", FEATURES, &["image.tif", "NaN"], |folder| {
            sound(folder);
            let nan = specimen().truth.volume().voxels().mapv(|_| f32::NAN);
            write(folder, "image.tif", nan, voxel_size());
        }),
        case("a full disk for features", FEATURES, &["cells.csv"], sound)
            .after("ulimit -f 1; trap '' XFSZ"),
    ]
}

/// What both verbs refuse.
fn of_both(verb: &'static str, command: &'static str) -> Vec<Case> {
    let kind = |what: &str| -> &'static str { format!("{verb}: {what}").leak() };
    vec![
        case(kind("labels that are not there"), command, &["labels.tif", "not there"], |folder| {
            image(folder, "image.tif");
        }),
        case(kind("an image that is not there"), command, &["image.tif", "not there"], |folder| {
            sound(folder);
            std::fs::remove_file(folder.join("image.tif")).unwrap();
        }),
        case(kind("labels on another grid"), command, &["labels.tif", "grid"], |folder| {
            sound(folder);
            write(folder, "labels.tif", Array3::<u8>::ones((3, 4, 5)), voxel_size());
        }),
        case(kind("no cells"), command, &["labels.tif", "no cells"], |folder| {
            sound(folder);
            let none = specimen().truth.volume().voxels().mapv(|_| 0_u8);
            write(folder, "labels.tif", none, voxel_size());
        }),
        case(kind("an image in place of labels"), command, &["labels.tif", "channels"], |folder| {
            sound(folder);
            image(folder, "labels.tif");
        }),
        case(
            kind("two voxel sizes"),
            command,
            &["labels.tif", "image.tif", "--voxel-size"],
            |folder| {
                sound(folder);
                let voxels = specimen().truth.volume().voxels().mapv(|label| label as u16);
                write(folder, "labels.tif", voxels, VoxelSize::from_um([1.0; 3]).unwrap());
            },
        ),
        case(kind("no voxel size"), command, &["image.tif", "--voxel-size"], |folder| {
            put(folder, "labels.tif", &tiff::sound());
            put(folder, "image.tif", &tiff::sound());
        }),
    ]
}
