//! Image stacks from and to disk (the page cache), in voxels per second.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use primordia_data::image::{ImageFile, write_volume};
use primordia_data::{Volume, VoxelSize};

/// A stack of `side`³ voxels that deflates about as well as microscopy does.
fn stack(side: usize) -> Volume<u8> {
    let mut state = 1_u32;
    let voxels = Array3::from_shape_fn((side, side, side), |(z, y, x)| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((z + y + x) / 8) as u8 ^ (state >> 29) as u8
    });
    Volume::new(voxels, VoxelSize::from_um([0.5, 0.1, 0.1]).unwrap()).unwrap()
}

/// The same voxels as one uncompressed page after another, as microscopes write them.
fn write_raw(path: &Path, volume: &Volume<u8>) {
    let [z, y, x] = volume.shape();
    let description = format!("ImageJ=1.53t\nimages={z}\nslices={z}\n\0");
    let data = 8 + description.len() as u32;
    let tags: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, x as u32),
        (257, 4, 1, y as u32),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (270, 2, description.len() as u32, 8),
        (273, 4, 1, data),
        (277, 3, 1, 1),
        (278, 4, 1, y as u32),
        (279, 4, 1, (x * y) as u32),
    ];
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((data + volume.n_voxels() as u32).to_le_bytes());
    bytes.extend(description.as_bytes());
    bytes.extend(volume.as_slice());
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    std::fs::write(path, bytes).unwrap();
}

fn image(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("image");
    group.sample_size(10);
    for side in [80, 160, 320_usize] {
        let volume = stack(side);
        group.throughput(Throughput::Elements(volume.n_voxels() as u64));
        let path = |name: &str| folder.path().join(name);
        write_raw(&path("raw.tif"), &volume);
        write_volume(path("deflate.tif"), "membrane", &volume).unwrap();
        write_volume(path("deflate.h5"), "membrane", &volume).unwrap();
        for name in ["raw.tif", "deflate.tif", "deflate.h5"] {
            group.bench_with_input(
                BenchmarkId::new(format!("read {name}"), side),
                &side,
                |bencher, _| {
                    bencher.iter(|| ImageFile::open(path(name)).unwrap().read_channel(0).unwrap());
                },
            );
        }
        for suffix in ["tif", "h5"] {
            let out = path(&format!("out.{suffix}"));
            group.bench_with_input(
                BenchmarkId::new(format!("write {suffix}"), side),
                &side,
                |bencher, _| {
                    bencher.iter(|| write_volume(&out, "membrane", &volume).unwrap());
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, image);
criterion_main!(benches);
