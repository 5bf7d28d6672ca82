//! From stored strips and tiles to pixels.

use std::io::Read;

use super::directory::ByteOrder;
use super::page::{Compression, Page, Predictor};
use crate::image::bytes::FileBytes;
use crate::image::problem::{ImageProblem, Result};

/// Decodes sample number `sample` of a page into `out`: its pixels row by row, in this machine's byte order.
pub(super) fn read_plane(
    bytes: &FileBytes,
    page: &Page,
    sample: usize,
    out: &mut [u8],
) -> Result<()> {
    let [down, across] = page.grid();
    let first = if page.planar { sample * down * across } else { 0 };
    let sample = if page.planar { 0 } else { sample };
    for (i, &place) in page.chunks[first..first + down * across].iter().enumerate() {
        let corner = [i / across * page.chunk[0], i % across * page.chunk[1]];
        let rows = page.chunk[0].min(page.height - corner[0]);
        // A tile is stored whole even where it hangs over the edge; the last strip is not.
        let stored = [if page.tiled { page.chunk[0] } else { rows }, page.chunk[1]];
        if page.chunk_samples() == 1 && stored == [rows, page.width] {
            let row_bytes = page.width * page.sample.bytes;
            let target = &mut out[corner[0] * row_bytes..(corner[0] + rows) * row_bytes];
            read_chunk(bytes, page, place, stored, target)?;
        } else {
            let decoded = read_whole_chunk(bytes, page, place, stored)?;
            copy_window(&decoded, page, sample, corner, stored[1], out);
        }
    }
    Ok(())
}

fn read_whole_chunk(
    bytes: &FileBytes,
    page: &Page,
    place: (u64, u64),
    stored: [usize; 2],
) -> Result<Vec<u8>> {
    // The page bounds its sides and samples, so that this fits.
    let length = stored[0] * stored[1] * page.chunk_samples() * page.sample.bytes;
    check_decodable(bytes, page, place, length)?;
    let mut decoded = vec![0; length];
    read_chunk(bytes, page, place, stored, &mut decoded)?;
    Ok(decoded)
}

fn check_decodable(bytes: &FileBytes, page: &Page, place: (u64, u64), length: usize) -> Result<()> {
    if page.compression == Compression::None {
        return bytes.check("a strip or tile", place.0, length as u64);
    }
    bytes.check("a strip or tile", place.0, place.1)?;
    if page.can_decode(place.1, length) { Ok(()) } else { Err(corrupt(page)) }
}

fn corrupt(page: &Page) -> ImageProblem {
    ImageProblem::Corrupt { page: page.page, compression: page.compression.name() }
}

/// Reads one strip or tile of `[rows, columns]` into `out`, which it fills.
fn read_chunk(
    bytes: &FileBytes,
    page: &Page,
    place: (u64, u64),
    [_, columns]: [usize; 2],
    out: &mut [u8],
) -> Result<()> {
    check_decodable(bytes, page, place, out.len())?;
    if page.compression == Compression::None {
        bytes.read_into("a strip or tile", place.0, out)?;
    } else {
        // No packing makes data twice as long; what lies beyond is not ours.
        let length = place.1.min(2 * out.len() as u64 + 4096);
        let packed = bytes.read("a strip or tile", place.0, length)?;
        if !unpack(page.compression, &packed, out) {
            return Err(corrupt(page));
        }
    }
    undo_predictor(page, columns * page.chunk_samples(), out);
    Ok(())
}

/// Fills `out` from `packed`; false if that fails.
fn unpack(compression: Compression, packed: &[u8], out: &mut [u8]) -> bool {
    match compression {
        Compression::None => false,
        Compression::Deflate => inflate(packed, out),
        Compression::Lzw => unpack_lzw(packed, out),
        Compression::PackBits => unpack_bits(packed, out),
        Compression::Zstd => zstd::stream::read::Decoder::with_buffer(packed)
            .and_then(|mut decoder| decoder.read_exact(out))
            .is_ok(),
    }
}

fn inflate(packed: &[u8], out: &mut [u8]) -> bool {
    let mut inflater = flate2::Decompress::new(true);
    loop {
        let (read, written) = (inflater.total_in() as usize, inflater.total_out() as usize);
        if written == out.len() {
            return true;
        }
        let status = inflater.decompress(
            &packed[read..],
            &mut out[written..],
            flate2::FlushDecompress::Finish,
        );
        let is_stuck =
            inflater.total_in() as usize == read && inflater.total_out() as usize == written;
        if status.is_err() || (is_stuck && written < out.len()) {
            return false;
        }
    }
}

fn unpack_lzw(packed: &[u8], out: &mut [u8]) -> bool {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let result = decoder.decode_bytes(&packed[read..], &mut out[written..]);
        read += result.consumed_in;
        written += result.consumed_out;
        let is_stuck = result.consumed_in == 0 && result.consumed_out == 0;
        if result.status.is_err() || is_stuck {
            break;
        }
    }
    written == out.len()
}

/// Runs and literals, after Apple's `PackBits` (TIFF 6.0, section 9).
fn unpack_bits(packed: &[u8], out: &mut [u8]) -> bool {
    let (mut packed, mut written) = (packed, 0);
    while written < out.len() {
        let Some((&head, rest)) = packed.split_first() else { return false };
        packed = rest;
        let room = out.len() - written;
        match head {
            0..=127 => {
                let n = usize::from(head) + 1;
                if packed.len() < n.min(room) {
                    return false;
                }
                let copied = n.min(room);
                out[written..written + copied].copy_from_slice(&packed[..copied]);
                packed = &packed[n.min(packed.len())..];
                written += copied;
            }
            128 => {}
            129..=255 => {
                let Some((&value, rest)) = packed.split_first() else { return false };
                packed = rest;
                let n = (257 - usize::from(head)).min(room);
                out[written..written + n].fill(value);
                written += n;
            }
        }
    }
    true
}

/// Turns what is stored into numbers in this machine's byte order. A row has `row_samples` numbers.
fn undo_predictor(page: &Page, row_samples: usize, out: &mut [u8]) {
    let bytes = page.sample.bytes;
    let row_bytes = row_samples * bytes;
    match page.predictor {
        Predictor::None => to_native(page.order, bytes, out),
        Predictor::Horizontal => {
            to_native(page.order, bytes, out);
            for row in out.chunks_exact_mut(row_bytes) {
                add_up(row, bytes, page.chunk_samples());
            }
        }
        Predictor::Float => {
            let mut shuffled = vec![0; row_bytes];
            for row in out.chunks_exact_mut(row_bytes) {
                shuffled.copy_from_slice(row);
                for i in page.chunk_samples()..row_bytes {
                    shuffled[i] = shuffled[i].wrapping_add(shuffled[i - page.chunk_samples()]);
                }
                for (i, value) in row.chunks_exact_mut(bytes).enumerate() {
                    for (byte, out) in value.iter_mut().enumerate() {
                        *out = shuffled[byte * row_samples + i]; // most significant byte first
                    }
                }
            }
            to_native(ByteOrder::Big, bytes, out);
        }
    }
}

fn to_native(order: ByteOrder, bytes: usize, out: &mut [u8]) {
    if order.is_native() {
        return;
    }
    match bytes {
        2 => out.as_chunks_mut::<2>().0.iter_mut().for_each(|value| value.reverse()),
        4 => out.as_chunks_mut::<4>().0.iter_mut().for_each(|value| value.reverse()),
        8 => out.as_chunks_mut::<8>().0.iter_mut().for_each(|value| value.reverse()),
        _ => {}
    }
}

/// Sums each sample of a row over the pixels before it.
fn add_up(row: &mut [u8], bytes: usize, samples: usize) {
    macro_rules! sum_as {
        ($number:ty, $n:literal) => {{
            let values = row.as_chunks_mut::<$n>().0;
            for i in samples..values.len() {
                let before = <$number>::from_ne_bytes(values[i - samples]);
                let sum = <$number>::from_ne_bytes(values[i]).wrapping_add(before);
                values[i] = sum.to_ne_bytes();
            }
        }};
    }
    match bytes {
        1 => sum_as!(u8, 1),
        2 => sum_as!(u16, 2),
        4 => sum_as!(u32, 4),
        _ => sum_as!(u64, 8),
    }
}

/// Copies one sample of a decoded strip or tile, `columns` wide, to its place in the plane.
fn copy_window(
    decoded: &[u8],
    page: &Page,
    sample: usize,
    [top, left]: [usize; 2],
    columns: usize,
    out: &mut [u8],
) {
    let (bytes, samples) = (page.sample.bytes, page.chunk_samples());
    let rows = page.chunk[0].min(page.height - top);
    let shown = columns.min(page.width - left);
    for row in 0..rows {
        let from = &decoded[row * columns * samples * bytes..][..shown * samples * bytes];
        let to = &mut out[((top + row) * page.width + left) * bytes..][..shown * bytes];
        if samples == 1 {
            to.copy_from_slice(from);
        } else {
            for (to, pixel) in to.chunks_exact_mut(bytes).zip(from.chunks_exact(samples * bytes)) {
                to.copy_from_slice(&pixel[sample * bytes..(sample + 1) * bytes]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_decodes_apples_example() {
        // Apple Technical Note TN1023.
        let packed = [
            0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7,
            0xAA,
        ];
        let unpacked = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        let mut out = [0; 24];
        assert!(unpack_bits(&packed, &mut out));
        assert_eq!(out, unpacked);
        assert!(!unpack_bits(&packed[..14], &mut out), "the last run lacks its value");
    }

    #[test]
    fn short_streams_are_refused_by_every_method() {
        let mut out = [0; 64];
        for method in
            [Compression::Deflate, Compression::Lzw, Compression::PackBits, Compression::Zstd]
        {
            for packed in [&[][..], &[0x78, 0x9c][..], &[0x80, 0x00][..]] {
                assert!(!unpack(method, packed, &mut out), "{method:?} {packed:?}");
            }
        }
    }

    #[test]
    fn a_horizontal_predictor_adds_up_per_sample() {
        let mut row = [1, 10, 1, 10, 1, 10];
        add_up(&mut row, 1, 2);
        assert_eq!(row, [1, 10, 2, 20, 3, 30]);
    }
}
