//! Label images that are none, and images without cells.

use std::path::Path;

use ndarray::Array3;
use primordia_data::Volume;
use primordia_data::image::{Pixel, write_labels, write_ome_tiff, write_volume};

use super::experiments::{BUILD, FILE, image};
use super::{Case, case, membrane, put, specimen, voxel_size};

pub(super) const EVALUATE: &str = "evaluate labels.tif truth.tif";
const SEGMENT: &str = "segment image.tif -o out/labels.tif";
const WITH_CELLS: &str = "segment image.tif --channel 0 -o out/labels.tif --cells";

/// Labels and a truth that can be compared.
pub(super) fn sound(folder: &Path) {
    write_labels(folder.join("labels.tif"), &specimen().truth).unwrap();
    write_labels(folder.join("truth.tif"), &specimen().truth).unwrap();
}

fn write<T: Pixel>(folder: &Path, name: &str, voxels: Array3<T>) {
    let volume = Volume::new(voxels, voxel_size()).unwrap();
    write_volume(folder.join(name), "labels", &volume).unwrap();
}

/// An experiment of one image with labels made elsewhere.
fn labelled<T: Pixel>(kind: &'static str, says: &'static str, labels: fn() -> Array3<T>) -> Case {
    case(kind, BUILD, &["labels.tif", says], move |folder| {
        image(folder, "a.ome.tif");
        write(folder, "labels.tif", labels());
        let text = "experiment.reference = \"membrane\"\n\
                    [[specimen]]\nid = \"A\"\nimage = \"a.ome.tif\"\nlabels = \"labels.tif\"\n";
        put(folder, FILE, text.as_bytes());
    })
}

fn true_labels() -> &'static Array3<u32> {
    specimen().truth.volume().voxels()
}

fn fractions() -> Array3<f32> {
    true_labels().mapv(|label| label as f32 + 0.5)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        labelled("labels on another grid than the image", "grid", || Array3::<u8>::ones((3, 4, 5))),
        labelled("labels that are all zero", "no cells", || true_labels().mapv(|_| 0_u8)),
        labelled("labels that are fractions", "label image", fractions),
        labelled("labels that are NaN", "label image", || true_labels().mapv(|_| f32::NAN)),
        labelled("labels below zero", "label image", || {
            true_labels().mapv(|label| -(label as f32))
        }),
        case("labels that are not there", BUILD, &[FILE, "labels.tif"], |folder| {
            image(folder, "a.ome.tif");
            let text = "[[specimen]]\nid = \"A\"\nimage = \"a.ome.tif\"\nlabels = \"labels.tif\"\n";
            put(folder, FILE, text.as_bytes());
        }),
    ];
    cases.extend(empty_images());
    cases.extend(tables_of_cells());
    cases.extend(unmixed());
    cases.extend(evaluations());
    cases
}

/// Images without anything to find.
fn empty_images() -> Vec<Case> {
    let of = |kind, says, voxels: fn() -> Array3<u16>| {
        case(kind, SEGMENT, &["image.tif", says], move |folder| {
            write(folder, "image.tif", voxels());
        })
    };
    vec![
        of("an image that is all zero", "every voxel is 0", || membrane().voxels().mapv(|_| 0)),
        of("an image that is constant", "every voxel is 7", || membrane().voxels().mapv(|_| 7)),
        of("an image too small for a cell", "no cells", || {
            Array3::from_shape_fn((2, 3, 3), |(z, y, x)| (z * 5 + y * 3 + x) as u16)
        }),
        case(
            "an image too small for a cell, by hartmann2020",
            "segment image.tif --method hartmann2020 -o out/labels.tif",
            &["image.tif"],
            |folder| {
                let voxels =
                    Array3::from_shape_fn((2, 3, 3), |(z, y, x)| (z * 5 + y * 3 + x) as u8);
                write(folder, "image.tif", voxels);
            },
        ),
        case("a specimen that is empty", BUILD, &["dark.tif", "every voxel is 0"], |folder| {
            write(folder, "dark.tif", membrane().voxels().mapv(|_| 0_u16));
            let text = "experiment.reference = \"membrane\"\n[[specimen]]\nid = \"A\"\n\
                        image = \"dark.tif\"\nchannels = [\"membrane\"]\n";
            put(folder, FILE, text.as_bytes());
        }),
    ]
}

/// Tables of the found cells that cannot be written; what can be seen before the work is.
fn tables_of_cells() -> Vec<Case> {
    let of = |kind: &'static str, table: &str, says: &'static [&'static str]| {
        let command: &'static str = format!("{WITH_CELLS} {table}").leak();
        case(kind, command, says, |folder| image(folder, "image.tif"))
    };
    vec![
        of("a table of cells in a format that is not written", "out/cells.xlsx", &["xlsx", ".csv"]),
        of("no folder for a table of cells", "nowhere/cells.csv", &["nowhere", "no folder"]),
        of("a folder in place of a table of cells", "out", &["out", "folder"]),
    ]
}

/// Channels that cannot be taken out of the membranes.
fn unmixed() -> Vec<Case> {
    let of = |kind: &'static str, unmix: &str, says: &'static [&'static str]| {
        let command = format!("segment image.tif --channel membrane --unmix {unmix} -o out/a.tif");
        case(kind, command.leak(), says, |folder| image(folder, "image.tif"))
    };
    vec![
        of("a membrane that bleeds into itself", "membrane", &["image.tif", "itself"]),
        of("no such channel to unmix", "nuclei", &["image.tif", "nuclei"]),
        case(
            "nuclei in the membrane channel",
            "segment image.tif --channel membrane --nuclei membrane -o out/a.tif",
            &["image.tif", "--nuclei", "itself"],
            |folder| image(folder, "image.tif"),
        ),
        case(
            "a channel of nuclei that shows nothing",
            "segment image.tif --channel 0 --nuclei 1 -o out/a.tif",
            &["image.tif", "nuclei channel is 0"],
            |folder| {
                let dark = membrane().voxels().mapv(|_| 0_u16);
                let channels = [("membrane", membrane().into()), ("nuclei", (&dark).into())];
                write_ome_tiff(folder.join("image.tif"), &channels, voxel_size()).unwrap();
            },
        ),
        case(
            "a dark channel to unmix",
            "segment image.tif --channel 0 --unmix 1 -o out/a.tif",
            &["image.tif", "cannot bleed"],
            |folder| {
                let dark = membrane().voxels().mapv(|_| 0_u16);
                let channels = [("membrane", membrane().into()), ("nuclei", (&dark).into())];
                write_ome_tiff(folder.join("image.tif"), &channels, voxel_size()).unwrap();
            },
        ),
    ]
}

fn evaluations() -> Vec<Case> {
    let both = ["labels.tif", "truth.tif"];
    vec![
        case("labels and truth on different grids", EVALUATE, &both, |folder| {
            sound(folder);
            write(folder, "truth.tif", Array3::<u8>::ones((3, 4, 5)));
        }),
        case("a truth without cells", EVALUATE, &["truth.tif", "no cells"], |folder| {
            sound(folder);
            write(folder, "truth.tif", true_labels().mapv(|_| 0_u8));
        }),
        case("an intensity image as labels", EVALUATE, &["labels.tif", "label image"], |folder| {
            sound(folder);
            write(folder, "labels.tif", fractions());
        }),
        case("a truth of two channels", EVALUATE, &["truth.tif", "channels"], |folder| {
            sound(folder);
            image(folder, "truth.tif");
        }),
        case("a truth that is not there", EVALUATE, &["truth.tif"], |folder| {
            sound(folder);
            std::fs::remove_file(folder.join("truth.tif")).unwrap();
        }),
    ]
}
