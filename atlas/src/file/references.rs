//! How long the texts of an array claim to be.
//!
//! HDF5 keeps texts of variable length in heaps, and in the array 16 bytes each: length, address
//! of the heap, index in it. It makes room for the length before it looks into the heap, so that
//! a damaged length of 4 GiB takes 4 GiB; hence this look at the lengths before.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use hdf5_metno::Dataset;
use hdf5_metno::dataset::Layout;
use hdf5_metno::filters::Filter;

/// The bytes of one reference to a text.
const REFERENCE: usize = 16;

/// The length in bytes of the longest text that `dataset` refers to; `None` where that cannot be
/// seen: for layouts and filters in which nobody stores texts.
pub(super) fn longest_text(dataset: &Dataset, file: &mut File) -> io::Result<Option<u64>> {
    if dataset.size() == 0 {
        return Ok(Some(0));
    }
    match dataset.layout() {
        Layout::Contiguous => {
            let Some(at) = dataset.offset() else { return Ok(None) };
            let references = bytes_at(file, at, dataset.storage_size())?;
            Ok(Some(longest(&references)))
        }
        Layout::Chunked => longest_in_chunks(dataset, file),
        _ => Ok(None),
    }
}

fn longest_in_chunks(dataset: &Dataset, file: &mut File) -> io::Result<Option<u64>> {
    let filters = dataset.filters();
    let side: usize = dataset.chunk().iter().flatten().product();
    let mut found = 0;
    for index in 0..dataset.num_chunks().unwrap_or(0) {
        let Some(chunk) = dataset.chunk_info(index) else { return Ok(None) };
        let mut bytes = bytes_at(file, chunk.addr, chunk.size)?;
        for (at, filter) in filters.iter().enumerate().rev() {
            if chunk.filter_mask & (1 << at) != 0 {
                continue; // this chunk went without
            }
            bytes = match filter {
                Filter::Deflate(_) => inflated(&bytes, side.saturating_mul(REFERENCE))?,
                Filter::Shuffle => unshuffled(&bytes),
                _ => return Ok(None),
            };
        }
        found = found.max(longest(&bytes));
    }
    Ok(Some(found))
}

fn bytes_at(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn longest(references: &[u8]) -> u64 {
    let length = |reference: &[u8]| {
        u64::from(u32::from_le_bytes([reference[0], reference[1], reference[2], reference[3]]))
    };
    references.chunks_exact(REFERENCE).map(length).max().unwrap_or(0)
}

fn inflated(bytes: &[u8], at_most: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    ZlibDecoder::new(bytes).take(at_most as u64).read_to_end(&mut plain)?;
    Ok(plain)
}

/// Undoes HDF5's shuffle, which stores the first bytes of all references, then the second, ….
fn unshuffled(bytes: &[u8]) -> Vec<u8> {
    let n = bytes.len() / REFERENCE;
    let mut plain = bytes.to_vec();
    for (at, byte) in plain.iter_mut().enumerate().take(n * REFERENCE) {
        *byte = bytes[at % REFERENCE * n + at / REFERENCE];
    }
    plain
}

#[cfg(test)]
mod tests {
    use hdf5_metno::types::VarLenUnicode;

    use super::*;

    #[test]
    fn lengths_are_seen_through_every_way_to_store_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.h5");
        let texts: Vec<VarLenUnicode> =
            (0..300).map(|at| "x".repeat(at % 77 + 1).parse().unwrap()).collect();
        let hdf5 = hdf5_metno::File::create(&path).unwrap();
        let builder = || hdf5.new_dataset_builder();
        builder().with_data(&texts).create("plain").unwrap();
        builder().chunk(100).with_data(&texts).create("chunked").unwrap();
        builder().chunk(100).deflate(4).with_data(&texts).create("deflated").unwrap();
        builder().chunk(64).shuffle().deflate(4).with_data(&texts).create("shuffled").unwrap();
        builder().chunk(100).fletcher32().with_data(&texts).create("checked").unwrap();
        hdf5.flush().unwrap();
        let mut file = File::open(&path).unwrap();
        for name in ["plain", "chunked", "deflated", "shuffled"] {
            let dataset = hdf5.dataset(name).unwrap();
            assert_eq!(longest_text(&dataset, &mut file).unwrap(), Some(77), "{name}");
        }
        assert_eq!(longest_text(&hdf5.dataset("checked").unwrap(), &mut file).unwrap(), None);
    }
}
