//! Meshes as PLY files (Turk 1994, <https://paulbourke.net/dataformats/ply/>), which Blender, `MeshLab`,
//! `ParaView`, Fiji and trimesh open.

use primordia_features::Mesh;

/// A mesh as the bytes of a binary PLY file, little endian: corners as float32 in µm, triangles
/// counter-clockwise as seen from outside. Each line of `comments` becomes one of the header, with a
/// question mark for what is not ASCII.
pub fn ply(mesh: &Mesh, comments: &[String]) -> Vec<u8> {
    let mut bytes = header([mesh.vertices().len(), mesh.triangles().len()], "", comments);
    write_corners(&mut bytes, mesh);
    write_triangles(&mut bytes, mesh, 0, &[]);
    bytes
}

/// The meshes of many cells in one PLY file, as [`ply`] writes one; each triangle has the number of
/// its cell (property `label`) and its colour.
pub fn ply_of_cells(cells: &[(u32, [u8; 3], Mesh)], comments: &[String]) -> Vec<u8> {
    const OF_CELL: &str =
        "property uint label\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n";
    let meshes = || cells.iter().map(|(_, _, mesh)| mesh);
    let n_corners = meshes().map(|mesh| mesh.vertices().len()).sum();
    let n_triangles = meshes().map(|mesh| mesh.triangles().len()).sum();
    let mut bytes = header([n_corners, n_triangles], OF_CELL, comments);
    meshes().for_each(|mesh| write_corners(&mut bytes, mesh));
    let mut first = 0;
    for (label, colour, mesh) in cells {
        let of_cell = [&label.to_le_bytes()[..], colour].concat();
        write_triangles(&mut bytes, mesh, first, &of_cell);
        first += mesh.vertices().len() as u32;
    }
    bytes
}

/// The header of a file of so many corners and triangles, of which each has these properties besides.
fn header([n_corners, n_triangles]: [usize; 2], properties: &str, comments: &[String]) -> Vec<u8> {
    let plain = |line: &str| line.replace(|letter: char| !letter.is_ascii(), "?");
    let lines = comments.iter().flat_map(|comment| comment.lines());
    let comments: Vec<String> = lines.map(|line| format!("comment {}\n", plain(line))).collect();
    format!(
        "ply\nformat binary_little_endian 1.0\n{}\
         element vertex {n_corners}\nproperty float x\nproperty float y\nproperty float z\n\
         element face {n_triangles}\nproperty list uchar uint vertex_indices\n{properties}end_header\n",
        comments.concat(),
    )
    .into_bytes()
}

fn write_corners(bytes: &mut Vec<u8>, mesh: &Mesh) {
    for place in mesh.vertices().iter().flat_map(|vertex| vertex.iter()) {
        bytes.extend((*place as f32).to_le_bytes());
    }
}

/// The mesh's own first corner is number `first` of the file.
fn write_triangles(bytes: &mut Vec<u8>, mesh: &Mesh, first: u32, properties: &[u8]) {
    for corners in mesh.triangles() {
        bytes.push(3);
        bytes.extend(corners.iter().flat_map(|corner| (first + corner).to_le_bytes()));
        bytes.extend(properties);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::mesh_of;
    use primordia_features::Harmonics;

    #[test]
    fn a_ply_file_is_as_long_as_its_header_says() {
        let ball = mesh_of(&Harmonics::from_coefficients(vec![5.0]).unwrap());
        let bytes = ply(&ball, &["a ball\nof radius 5 µm".to_owned()]);
        let end = b"end_header\n";
        let at = bytes.windows(end.len()).position(|window| window == end).unwrap() + end.len();
        let header = std::str::from_utf8(&bytes[..at]).unwrap();
        assert!(header.contains("comment a ball\ncomment of radius 5 ?m\n"));
        assert!(header.contains(&format!("element vertex {}\n", ball.vertices().len())));
        let body = 12 * ball.vertices().len() + 13 * ball.triangles().len();
        assert_eq!(bytes.len() - at, body);
        let first = f32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        assert!((first - 5.0).abs() < 1e-6, "the pole, 5 µm above the centre");
    }

    #[test]
    fn many_cells_share_a_file_and_keep_their_numbers() {
        let ball = mesh_of(&Harmonics::from_coefficients(vec![5.0]).unwrap());
        let cells = [(7, [1, 2, 3], ball.clone()), (300, [4, 5, 6], ball.clone())];
        let bytes = ply_of_cells(&cells, &[]);
        let (n_corners, n_triangles) = (ball.vertices().len(), ball.triangles().len());
        let triangle = &bytes[bytes.len() - 20..];
        assert_eq!(triangle[13..], [44, 1, 0, 0, 4, 5, 6], "label 300 = 1 × 256 + 44, its colour");
        let last = u32::from_le_bytes(triangle[9..13].try_into().unwrap()) as usize;
        assert_eq!(last, n_corners + ball.triangles()[n_triangles - 1][2] as usize);
        let end = bytes.len() - 2 * (12 * n_corners + 20 * n_triangles);
        assert!(bytes[..end].ends_with(b"end_header\n"));
    }
}
