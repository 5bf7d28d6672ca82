//! A guard for the library that reads HDF5: it walks the heaps in which texts are kept without
//! seeing that a damaged one never ends (HDF5 2.2, `H5HG__cache_heap_deserialize`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const HEAP: &[u8; 4] = b"GCOL";
/// Signature, version, three reserved bytes, and the size of the whole heap.
const HEAP_HEADER: usize = 16;
/// Index, number of references, four reserved bytes, and the size of the object.
const OBJECT_HEADER: usize = 16;
const CHUNK: usize = 1 << 20;

/// Whether a heap of texts in the file has an object that takes no room, so that HDF5 would walk it
/// for ever. Looks through the file once, start to end; addresses of 8 bytes are taken for granted,
/// as all writers have them.
///
/// # Errors
/// If the file cannot be read.
pub fn never_ends(file: &mut File) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut chunk = Vec::with_capacity(CHUNK + HEAP.len());
    while at < length {
        chunk.clear();
        file.seek(SeekFrom::Start(at))?;
        // A signature may lie across two chunks.
        file.by_ref().take((CHUNK + HEAP.len() - 1) as u64).read_to_end(&mut chunk)?;
        for found in memchr::memmem::find_iter(&chunk, HEAP) {
            if stands_still(&heap_at(file, at + found as u64)?) {
                return Ok(true);
            }
        }
        at += CHUNK as u64;
    }
    Ok(false)
}

/// The heap that starts here, as far as it lies in the file; empty for what only looks like one.
fn heap_at(file: &mut File, at: u64) -> io::Result<Vec<u8>> {
    let mut header = [0; HEAP_HEADER];
    file.seek(SeekFrom::Start(at))?;
    if file.read_exact(&mut header).is_err() || header[4] != 1 {
        return Ok(Vec::new());
    }
    let mut heap = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.by_ref().take(u64_at(&header, 8)).read_to_end(&mut heap)?;
    Ok(heap)
}

/// Whether a walk from object to object, as HDF5 does it, stands still.
fn stands_still(heap: &[u8]) -> bool {
    let mut at = HEAP_HEADER;
    while at + OBJECT_HEADER <= heap.len() {
        let index = u16::from_le_bytes([heap[at], heap[at + 1]]);
        let size = u64_at(heap, at + 8);
        let room = match index {
            0 => size, // free space counts its header and is not padded
            _ => (size.wrapping_add(7) & !7).wrapping_add(OBJECT_HEADER as u64),
        };
        if room == 0 {
            return true;
        }
        match usize::try_from(room).ok().and_then(|room| at.checked_add(room)) {
            Some(next) => at = next,
            None => return false, // beyond the heap: this HDF5 does see
        }
    }
    false
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdf5_metno::types::VarLenUnicode;

    #[test]
    fn a_heap_that_never_ends_is_seen_before_it_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.h5");
        let file = hdf5_metno::File::create(&path).unwrap();
        let names = ["actin", "nuclei"].map(|name| name.parse::<VarLenUnicode>().unwrap());
        file.new_dataset_builder().with_data(&names).create("names").unwrap();
        file.close().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(!never_ends(&mut File::open(&path).unwrap()).unwrap());

        let heap = bytes.windows(4).position(|four| four == HEAP).unwrap();
        let first = heap + HEAP_HEADER;
        bytes[first..first + OBJECT_HEADER].fill(0); // free space of no size
        std::fs::write(&path, &bytes).unwrap();
        assert!(never_ends(&mut File::open(&path).unwrap()).unwrap());

        bytes[first] = 1;
        bytes[first + 8..first + 16].copy_from_slice(&(u64::MAX - 15).to_le_bytes()); // wraps to 0
        std::fs::write(&path, &bytes).unwrap();
        assert!(never_ends(&mut File::open(&path).unwrap()).unwrap());
    }

    #[test]
    fn a_heap_is_found_across_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.h5");
        for at in CHUNK - 5..CHUNK + 2 {
            let mut bytes = vec![0; 2 * CHUNK];
            bytes[at..at + 4].copy_from_slice(HEAP);
            bytes[at + 4] = 1;
            bytes[at + 8..at + 16].copy_from_slice(&4096_u64.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            assert!(never_ends(&mut File::open(&path).unwrap()).unwrap());
        }
    }
}
