//! `primordia explode`: what is drawn apart is what was there.

use std::collections::BTreeMap;
use std::path::Path;

use primordia_data::VoxelSize;
use primordia_data::image::{ImageFile, PixelType, write_labels, write_ome_tiff};
use primordia_data::phantom::{self, Optics, Phantom, PhantomParams, TissueParams};
use primordia_tests::primordia;

/// z, y, x in µm.
const VOXEL_UM: [f64; 3] = [1.0, 0.5, 0.5];

/// Writes `labels.ome.tif` and `image.ome.tif`, of two channels.
pub(super) fn write_phantom(folder: &Path) -> Phantom {
    let voxel_size = VoxelSize::from_um(VOXEL_UM).expect("positive");
    let params = PhantomParams {
        tissue: TissueParams { n_cells: 16, ..TissueParams::default() },
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    let phantom = phantom::specimen(&params, 5).expect("sensible parameters");
    let channels = [("membrane", (&phantom.membrane).into()), ("actin", (&phantom.protein).into())];
    write_ome_tiff(folder.join("image.ome.tif"), &channels, voxel_size).expect("room on the disk");
    write_labels(folder.join("labels.ome.tif"), &phantom.truth).expect("room on the disk");
    phantom
}

/// What `primordia` says when it runs `line` in `folder`.
pub(super) fn said(folder: &Path, line: &str) -> String {
    let mut command = primordia();
    let output = command.current_dir(folder).args(line.split_whitespace()).output();
    let output = output.expect("the command starts");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The number of voxels and the brightness of each cell in every channel.
fn contents(labels: &Path, image: &Path) -> BTreeMap<u32, [(usize, f64); 2]> {
    let labels = ImageFile::open(labels).and_then(|file| file.read_labels()).expect("labels");
    let image = ImageFile::open(image).expect("an image");
    let mut found = BTreeMap::new();
    for index in 0..image.n_channels() {
        let channel = image.read_volume_f32(index).expect("a channel");
        for (&label, &value) in labels.volume().as_slice().iter().zip(channel.as_slice()) {
            let (n_voxels, sum) = &mut found.entry(label).or_insert([(0, 0.0); 2])[index];
            *n_voxels += 1;
            *sum += f64::from(value);
        }
    }
    found
}

#[test]
fn every_cell_keeps_its_voxels_and_its_brightness() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let phantom = write_phantom(folder.path());
    let line = "explode labels.ome.tif --image image.ome.tif --factor 1.3 --apart -o apart.ome.tif";
    let words = said(folder.path(), line);
    assert!(words.starts_with("16 cells, factor 1."), "{words}");
    assert!(words.contains(" 0 voxels overlap, "), "{words}");
    assert!(words.contains("apart.ome.tif and apart_image.ome.tif"), "{words}");

    let image = ImageFile::open(at("apart_image.ome.tif")).expect("an image");
    assert_eq!(image.channel_names_or_numbers(), ["membrane", "actin"]);
    assert_eq!(image.pixel_type(), PixelType::U16);
    assert_eq!(image.voxel_size().map(|size| size.um()), Some(VOXEL_UM));
    let mut whole = contents(&at("labels.ome.tif"), &at("image.ome.tif"));
    let mut apart = contents(&at("apart.ome.tif"), &at("apart_image.ome.tif"));
    let between = apart.remove(&0).map(|channels| channels.map(|(_, sum)| sum));
    assert_eq!(between, Some([0.0, 0.0]));
    whole.remove(&0);
    assert_eq!(whole.len(), phantom.truth.n_cells());
    assert_eq!(whole, apart);
}

#[cfg(target_os = "linux")]
#[test]
fn where_labels_cannot_be_written_there_is_no_image_either() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_phantom(folder.path());
    // A link into a folder that takes no files: the labels go where it leads.
    std::os::unix::fs::symlink("/proc/version", folder.path().join("full.h5")).expect("a link");
    let line = "explode labels.ome.tif --image image.ome.tif --image-output picture.tif -o full.h5";
    let mut command = primordia();
    command.current_dir(folder.path()).args(line.split_whitespace()).assert().code(1);
    assert!(!folder.path().join("picture.tif").exists(), "an image without labels");
}

#[test]
fn surfaces_of_cells_are_drawn_apart_as_the_cells_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = write_phantom(folder.path());
    said(folder.path(), "explode labels.ome.tif --meshes cells.ply -o apart.ome.tif");
    let bytes = std::fs::read(folder.path().join("cells.ply")).expect("meshes");
    let end = b"end_header\n";
    let body = bytes.windows(end.len()).position(|window| window == end).expect("a header");
    let header = std::str::from_utf8(&bytes[..body]).expect("text");
    let count = |element: &str| -> usize {
        let line = header.lines().find_map(|line| line.strip_prefix(element)).expect("a count");
        line.trim().parse().expect("a number")
    };
    let (n_corners, n_triangles) = (count("element vertex"), count("element face"));
    let triangles = &bytes[body + end.len() + 12 * n_corners..];
    assert_eq!(triangles.len(), 20 * n_triangles);
    let label = |triangle: &[u8]| u32::from_le_bytes(triangle[13..17].try_into().expect("four"));
    let mut labels: Vec<u32> = triangles.chunks(20).map(label).collect();
    labels.dedup();
    assert_eq!(labels, phantom.truth.cells());
}

#[test]
fn axes_shrinking_and_outputs_are_the_users_choice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let phantom = write_phantom(folder.path());
    let line = "explode labels.ome.tif --factor 1,1.5,2 --shrink 0.8 -o out.h5 --image image.ome.tif \
                --image-output picture.tif --voxel-size 2,0.4,0.4";
    said(folder.path(), line);
    let open = |name: &str| ImageFile::open(folder.path().join(name)).expect("an image");
    let (labels, image) = (open("out.h5"), open("picture.tif"));
    assert_eq!(labels.shape(), image.shape());
    for file in [&labels, &image] {
        let um = file.voxel_size().expect("a voxel size").um();
        assert!(um.iter().zip([2.0, 0.4, 0.4]).all(|(a, b)| (a - b).abs() < 1e-6), "{um:?}");
    }
    let [z, y, x] = phantom.truth.volume().shape();
    assert!(labels.shape()[0] <= z && labels.shape()[1] < y * 3 / 2 && labels.shape()[2] < x * 2);
    let drawn = labels.read_labels().expect("labels");
    assert_eq!(drawn.cells(), phantom.truth.cells());
    let n_voxels = |voxels: &[u32]| voxels.iter().filter(|label| **label != 0).count() as f64;
    let left = n_voxels(drawn.volume().as_slice()) / n_voxels(phantom.truth.volume().as_slice());
    // 0.8³ = 0.512, but for voxels cut at the surface.
    assert!((0.49..0.53).contains(&left), "{left}");
}
