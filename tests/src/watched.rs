//! Processes whose time and memory are measured.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a process took, from start to end, and the most memory that it held.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From start to end.
    pub time: Duration,
    /// The most resident memory, where the system tells.
    pub peak_bytes: Option<u64>,
}

impl Run {
    /// Runs a process to its end.
    ///
    /// # Errors
    /// What it said on standard error if it failed.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn of(mut command: Command) -> Result<Self, String> {
        let start = Instant::now();
        let errors = tempfile::NamedTempFile::new().expect("room for what it says");
        let said = errors.reopen().expect("the file was just made");
        let child = command.stdout(Stdio::null()).stderr(said).spawn().expect("the process starts");
        let (exit, peak_bytes) = watched(child);
        let time = start.elapsed();
        if exit.success() {
            return Ok(Self { time, peak_bytes });
        }
        Err(std::fs::read_to_string(errors.path()).unwrap_or_default())
    }
}

/// Waits for `child` while another thread reads its peak memory, which only a living process tells.
fn watched(mut child: Child) -> (ExitStatus, Option<u64>) {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let (peak, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let exit = std::thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                peak.fetch_max(peak_bytes(&status).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let exit = child.wait().expect("the process ends");
        done.store(1, Ordering::Relaxed);
        exit
    });
    let peak = peak.into_inner();
    (exit, (peak > 0).then_some(peak))
}

/// `VmHWM` of Linux, which is what `/usr/bin/time -v` calls the maximum resident set size; `None` elsewhere.
fn peak_bytes(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
