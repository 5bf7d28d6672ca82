//! Memory that is freed goes back to the system.

/// Has large blocks of memory go back to the system as soon as they are freed.
///
/// The GNU allocator keeps what was freed once it has seen blocks of some size come and go; images are such blocks, of every size.
/// Without this, segmentation held up to 4 bytes per voxel that it did not use. Its own first limit is kept instead, which
/// costs no time that can be measured.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // the allocator is set up by C alone
pub(super) fn give_back_large_blocks() {
    const LARGE: libc::c_int = 128 << 10;
    // SAFETY: no other thread runs yet, and the call only sets a number.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back_large_blocks() {}
