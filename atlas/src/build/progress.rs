//! What a long job tells while it runs.

/// Receives what a build is doing; the command shows it as bars or lines.
pub trait Progress: Sync {
    /// A stage of `n_steps` steps begins.
    fn begin(&self, stage: &str, n_steps: usize);
    /// The step that runs now, in words.
    fn step(&self, what: &str);
    /// One step is done.
    fn advance(&self);
    /// The stage is done; `summary` says what came of it.
    fn end(&self, summary: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _: &str, _: usize) {}
    fn step(&self, _: &str) {}
    fn advance(&self) {}
    fn end(&self, _: &str) {}
}
