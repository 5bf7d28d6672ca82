//! Meshes as PLY files (Turk 1994, <https://paulbourke.net/dataformats/ply/>), which Blender, `MeshLab`,
//! `ParaView`, Fiji and trimesh open.

use primordia_features::Mesh;

/// A mesh as the bytes of a binary PLY file, little endian: corners as float32 in µm, triangles
/// counter-clockwise as seen from outside. Each line of `comments` becomes one of the header, with a
/// question mark for what is not ASCII.
pub fn ply(mesh: &Mesh, comments: &[String]) -> Vec<u8> {
    let plain = |line: &str| line.replace(|letter: char| !letter.is_ascii(), "?");
    let lines = comments.iter().flat_map(|comment| comment.lines());
    let comments: Vec<String> = lines.map(|line| format!("comment {}\n", plain(line))).collect();
    let header = format!(
        "ply\nformat binary_little_endian 1.0\n{}\
         element vertex {}\nproperty float x\nproperty float y\nproperty float z\n\
         element face {}\nproperty list uchar uint vertex_indices\nend_header\n",
        comments.concat(),
        mesh.vertices().len(),
        mesh.triangles().len()
    );
    let mut bytes = header.into_bytes();
    for place in mesh.vertices().iter().flat_map(|vertex| vertex.iter()) {
        bytes.extend((*place as f32).to_le_bytes());
    }
    for corners in mesh.triangles() {
        bytes.push(3);
        bytes.extend(corners.iter().flat_map(|corner| corner.to_le_bytes()));
    }
    bytes
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
}
