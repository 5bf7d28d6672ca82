//! A guard for the library that reads HDF5: it walks the heaps in which texts are kept without
//! seeing that a damaged one never ends (HDF5 2.2, `H5HG__cache_heap_deserialize`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
const HEAP: &[u8; 4] = b"GCOL";
/// Signature, version, three reserved bytes, and the size of the whole heap.
const HEAP_HEADER: usize = 16;
/// Index, number of references, four reserved bytes, and the size of the object.
const OBJECT_HEADER: usize = 16;
const CHUNK: usize = 1 << 20;

/// What was found in a file before it is given to HDF5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing against it.
    Sound,
    /// No HDF5 with 8-byte addresses at the start of the file.
    Foreign,
    /// A heap of texts in which an object takes no room.
    EndlessHeap,
}

/// Looks through a file once, start to end.
pub(super) fn inspect(file: &mut File) -> io::Result<Sight> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut start = [0; 16];
    file.seek(SeekFrom::Start(0))?;
    if file.read_exact(&mut start).is_err() || !start.starts_with(SIGNATURE) || !is_wide(&start) {
        return Ok(Sight::Foreign);
    }
    let mut at = 0;
    let mut chunk = Vec::with_capacity(CHUNK + HEAP.len());
    while at < length {
        chunk.clear();
        file.seek(SeekFrom::Start(at))?;
        // A signature may lie across two chunks.
        file.by_ref().take((CHUNK + HEAP.len() - 1) as u64).read_to_end(&mut chunk)?;
        for found in chunk.windows(HEAP.len()).enumerate().filter(|(_, bytes)| bytes == HEAP) {
            if never_ends(&heap_at(file, at + found.0 as u64)?) {
                return Ok(Sight::EndlessHeap);
            }
        }
        at += CHUNK as u64;
    }
    Ok(Sight::Sound)
}

/// Whether the superblock says that addresses and sizes take eight bytes, as all writers have it.
fn is_wide(start: &[u8; 16]) -> bool {
    match start[8] {
        0 | 1 => start[13] == 8 && start[14] == 8,
        _ => start[9] == 8 && start[10] == 8,
    }
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
fn never_ends(heap: &[u8]) -> bool {
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
    use crate::file::{Atlas, read, write};

    #[test]
    fn a_heap_that_never_ends_is_seen_before_it_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        write(&path, &Atlas::example()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(inspect(&mut File::open(&path).unwrap()).unwrap(), Sight::Sound);

        let heap = bytes.windows(4).position(|four| four == HEAP).unwrap();
        let first = heap + HEAP_HEADER;
        bytes[first..first + OBJECT_HEADER].fill(0); // free space of no size
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(inspect(&mut File::open(&path).unwrap()).unwrap(), Sight::EndlessHeap);
        assert!(read(&path).unwrap_err().to_string().contains("heap of texts"));

        bytes[first] = 1;
        bytes[first + 8..first + 16].copy_from_slice(&(u64::MAX - 15).to_le_bytes()); // wraps to 0
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(inspect(&mut File::open(&path).unwrap()).unwrap(), Sight::EndlessHeap);
    }

    #[test]
    fn a_heap_is_found_across_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.h5");
        for at in CHUNK - 5..CHUNK + 2 {
            let mut bytes = vec![0; 2 * CHUNK];
            bytes[..8].copy_from_slice(SIGNATURE);
            bytes[8..11].copy_from_slice(&[3, 8, 8]);
            bytes[at..at + 4].copy_from_slice(HEAP);
            bytes[at + 4] = 1;
            bytes[at + 8..at + 16].copy_from_slice(&4096_u64.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(inspect(&mut File::open(&path).unwrap()).unwrap(), Sight::EndlessHeap);
        }
    }
}
