//! Measures the cells of a label image and says how long each step took.
//!
//! ```sh
//! cargo run --release -p primordia-features --example measure_labels -- LABELS.tif 0.225 0.1 0.1 IMAGE.tif
//! ```
//! The pages of `IMAGE.tif` go channel by channel, then plane by plane.

use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use ndarray::{Array3, Array4, s};
use primordia_data::{Labels, Rigid, Volume, VoxelSize};
use primordia_features::{
    Channel, LandmarkParams, MeasureParams, measure, sample_protein_landmarks,
    sample_shape_landmarks,
};
use tiff::decoder::{Decoder, DecodingResult};

type Failure = Box<dyn std::error::Error>;

/// All pages of a file, (page, y, x).
fn pages(path: &str) -> Result<Array3<u32>, Failure> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?))?;
    let (width, height) = decoder.dimensions()?;
    let (mut values, mut n_pages) = (Vec::new(), 0);
    loop {
        match decoder.read_image()? {
            DecodingResult::U8(page) => values.extend(page.into_iter().map(u32::from)),
            DecodingResult::U16(page) => values.extend(page.into_iter().map(u32::from)),
            _ => return Err(format!("{path}: 8 or 16 bits wanted").into()),
        }
        n_pages += 1;
        if !decoder.more_images() {
            break;
        }
        decoder.next_image()?;
    }
    Ok(Array3::from_shape_vec((n_pages, height as usize, width as usize), values)?)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [labels, z, y, x, rest @ ..] = &arguments[..] else {
        return Err("usage: measure_labels LABELS.tif Z_UM Y_UM X_UM [IMAGE.tif]".into());
    };
    let voxel_size = VoxelSize::from_um([z.parse()?, y.parse()?, x.parse()?])?;
    let labels = Labels::from_voxels(pages(labels)?, voxel_size)?;
    let n_planes = labels.volume().shape()[0];
    let mut channels = Vec::new();
    for path in rest {
        let image = pages(path)?;
        let (n_pages, n_y, n_x) = image.dim();
        let image: Array4<u32> =
            image.into_shape_with_order((n_planes, n_pages / n_planes, n_y, n_x))?;
        for channel in 0..image.dim().1 {
            let voxels = image.slice(s![.., channel, .., ..]).map(|value| *value as u16);
            channels.push(Volume::new(voxels, voxel_size)?);
        }
    }
    let names: Vec<String> =
        (0..channels.len()).map(|channel| format!("channel{channel}")).collect();
    let channels: Vec<Channel> =
        names.iter().zip(&channels).map(|(name, volume)| Channel::new(name, volume)).collect();

    let start = Instant::now();
    let found = measure(&labels, &channels, "A", &Rigid::identity(), &MeasureParams::default())?;
    let measured = start.elapsed();
    let landmarks = LandmarkParams::default();
    sample_shape_landmarks(&labels, &landmarks);
    for channel in &channels {
        sample_protein_landmarks(&labels, channel, &landmarks)?;
    }
    println!(
        "{} cells in {} voxels, {} channels: measured in {:.3} s, landmarks in {:.3} s",
        found.table.n_cells(),
        labels.volume().n_voxels(),
        channels.len(),
        measured.as_secs_f64(),
        (start.elapsed() - measured).as_secs_f64(),
    );
    Ok(())
}
