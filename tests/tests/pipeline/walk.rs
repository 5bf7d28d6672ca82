//! `primordia walk`: cells drawn from the shape space of an atlas.

use std::path::Path;

use primordia_data::image::ImageFile;
use primordia_tests::primordia;
use serde_json::Value;

use crate::exploded::said;
use crate::interruption::{build_to_the_end, experiment};

/// The corners and triangles of a binary PLY file.
struct Mesh {
    corners: Vec<[f64; 3]>,
    triangles: Vec<[usize; 3]>,
}

/// Reads a PLY file by its header alone.
fn read_ply(path: &Path) -> Mesh {
    let bytes = std::fs::read(path).expect("a mesh");
    let end = b"end_header\n";
    let body = bytes.windows(end.len()).position(|window| window == end).expect("a header");
    let header = std::str::from_utf8(&bytes[..body]).expect("text");
    assert!(header.starts_with("ply\nformat binary_little_endian 1.0\ncomment primordia "));
    let count = |element: &str| -> usize {
        let line = header.lines().find_map(|line| line.strip_prefix(element)).expect("a count");
        line.trim().parse().expect("a number")
    };
    let (n_corners, n_triangles) = (count("element vertex"), count("element face"));
    let (corners, triangles) = bytes[body + end.len()..].split_at(12 * n_corners);
    assert_eq!(triangles.len(), 13 * n_triangles);
    let word = |bytes: &[u8]| -> [u8; 4] { bytes.try_into().expect("four bytes") };
    let place = |corner: &[u8]| {
        [0, 4, 8].map(|at| f64::from(f32::from_le_bytes(word(&corner[at..at + 4]))))
    };
    let triangle = |face: &[u8]| {
        assert_eq!(face[0], 3);
        [1, 5, 9].map(|at| u32::from_le_bytes(word(&face[at..at + 4])) as usize)
    };
    Mesh {
        corners: corners.chunks(12).map(place).collect(),
        triangles: triangles.chunks(13).map(triangle).collect(),
    }
}

impl Mesh {
    /// By the divergence theorem: positive only if triangles are counter-clockwise from outside.
    fn volume_um3(&self) -> f64 {
        let volume = |corners: &[usize; 3]| {
            let [a, b, c] = corners.map(|at| self.corners[at]);
            let cross =
                [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
            (a[0] * cross[0] + a[1] * cross[1] + a[2] * cross[2]) / 6.0
        };
        self.triangles.iter().map(volume).sum()
    }
}

/// The answer to a question as JSON.
fn answer(folder: &Path, sql: &str) -> Value {
    let mut query = primordia();
    let output = query.current_dir(folder).args(["query", "atlas.h5", sql, "--json"]).output();
    serde_json::from_slice(&output.expect("the command starts").stdout).expect("JSON")
}

#[test]
fn the_mean_cell_of_an_atlas_has_the_size_of_its_cells_and_densities_fill_the_meshes() {
    let folder = experiment();
    build_to_the_end(folder.path());
    let words = said(folder.path(), "walk atlas.h5 --steps 3 --extent 1 --channel actin -o walk");
    assert!(words.starts_with("axis 1 of "), "{words}");
    let cells = answer(
        folder.path(),
        "SELECT AVG(volume_um3) AS mean, MIN(volume_um3) AS least, MAX(volume_um3) AS most \
         FROM cells WHERE star_share >= 0.98 AND quality = 'sound'",
    );
    let number = |name: &str| cells[0][name].as_f64().expect("a number");
    let file = |step: usize, sd: &str, ending: &str| {
        folder.path().join(format!("walk/axis1_step{step}_{sd}sd.{ending}"))
    };
    for (step, sd) in [(1, "-1.00"), (2, "0.00"), (3, "1.00")] {
        let mesh = read_ply(&file(step, sd, "ply"));
        let volume_um3 = mesh.volume_um3();
        assert!((0.8 * number("least")..1.2 * number("most")).contains(&volume_um3));
        if step == 2 {
            // The mean radius is below that of the mean volume, and bulges that differ even out.
            assert!((0.8..1.05).contains(&(volume_um3 / number("mean"))), "{volume_um3} {cells}");
        }
        let image = ImageFile::open(file(step, sd, "ome.tif")).expect("a density");
        let density = image.read_volume_f32(0).expect("a channel");
        let sum: f64 = density.as_slice().iter().copied().map(f64::from).sum();
        let integral = sum * density.voxel_size().volume_um3();
        // In units of the cell's mean; the surface runs through voxels of 0.25 µm.
        assert!((integral / volume_um3 - 1.0).abs() < 0.02, "{integral} {volume_um3}");
    }
    let picture = std::fs::read_to_string(folder.path().join("walk/axis1.svg")).expect("a picture");
    for wanted in ["Shape axis 1 of", "% of the variance", "mean", "µm", "actin inside"] {
        assert!(picture.contains(wanted), "no {wanted:?}");
    }
}
