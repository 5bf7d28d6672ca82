//! Loops over vectors as wide as the processor has them.

/// Runs `work`, compiled for AVX2 where the processor has it, else for what every processor of its kind has. Only
/// what is inlined into `work` is compiled so. The numbers are the same: no two operations become one.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
