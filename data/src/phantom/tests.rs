//! What a phantom promises.

use super::*;
use crate::VoxelSize;

#[test]
fn dump() {
    let mut params = PhantomParams::default();
    let s: Vec<f64> = std::env::var("PH_VOX")
        .unwrap_or("0.5,0.25,0.25".into())
        .split(',')
        .map(|v| v.parse().unwrap())
        .collect();
    params.optics = Optics::clean(VoxelSize::from_um([s[0], s[1], s[2]]).unwrap());
    if std::env::var("PH_DIM").is_ok() {
        params.optics = Optics::very_dim(params.optics.voxel_size);
    }
    if std::env::var("PH_SKIN").is_ok() {
        params.optics.skin = Some(Skin::default());
    }
    let seed = std::env::var("PH_SEED").map_or(7, |s| s.parse().unwrap());
    if std::env::var("PH_VARY").is_ok() {
        params = params.varied(seed);
    }
    let start = std::time::Instant::now();
    let p = specimen(&params, seed).unwrap();
    println!(
        "time {:?} shape {:?} cells {} r2 {}",
        start.elapsed(),
        p.truth.volume().shape(),
        p.cells.len(),
        p.best_r2
    );
    for c in &p.cells {
        println!(
            "CELL {} {:.1} {:.2} {:.2} {:.2} {:.2} {:?} {:.3} {:.3} {:.3}",
            c.label,
            c.volume_um3,
            c.centroid_um.x,
            c.centroid_um.y,
            c.centroid_um.z,
            c.height_um,
            c.rosette,
            c.expected,
            c.amount,
            c.control
        );
    }
    println!("rosettes {:?}", p.rosettes);
    let dump16 = |name: &str, v: &Volume<u16>| {
        std::fs::write(
            format!("/tmp/ph_{name}.raw"),
            v.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
        )
        .unwrap()
    };
    dump16("membrane", &p.membrane);
    dump16("protein", &p.protein);
    dump16("control", &p.control);
    std::fs::write(
        "/tmp/ph_labels.raw",
        p.truth.volume().as_slice().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
    )
    .unwrap();
    std::fs::write("/tmp/ph_shape.txt", format!("{:?}", p.truth.volume().shape())).unwrap();
}
