//! How a long job shows where it is: bars on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use primordia::build::Progress;

/// Progress on standard error, in the manner that suits where it goes.
pub(crate) fn reporter(quiet: bool) -> Box<dyn Progress> {
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines::default())
    }
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: usize) {}
    fn step(&self, _: &str) {}
    fn advance(&self) {}
    fn end(&self, _: &str) {}
}

/// One bar for the stage that runs.
struct Bars {
    bar: ProgressBar,
    stage: Mutex<String>,
}

impl Bars {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {pos}/{len} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, stage: Mutex::new(String::new()) }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &str, n_steps: usize) {
        self.bar.reset();
        self.bar.set_length(n_steps as u64);
        self.bar.set_prefix(stage.to_owned());
        self.bar.set_message("");
        if let Ok(mut current) = self.stage.lock() {
            stage.clone_into(&mut current);
        }
    }

    fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    fn advance(&self) {
        self.bar.inc(1);
    }

    fn end(&self, summary: &str) {
        let stage = self.stage.lock().map(|stage| stage.clone()).unwrap_or_default();
        self.bar.println(format!("{stage:>12}  {summary}"));
        self.bar.set_length(0);
        self.bar.set_message("");
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// One line for each thing that was done.
#[derive(Default)]
struct Lines {
    stage: Mutex<(String, usize, usize)>, // name, done, of
}

impl Progress for Lines {
    fn begin(&self, stage: &str, n_steps: usize) {
        if let Ok(mut current) = self.stage.lock() {
            *current = (stage.to_owned(), 0, n_steps);
        }
    }

    fn step(&self, what: &str) {
        if let Ok(current) = self.stage.lock() {
            let (stage, done, of) = &*current;
            eprintln!("{stage} {}/{of}: {what}", done + 1);
        }
    }

    fn advance(&self) {
        if let Ok(mut current) = self.stage.lock() {
            current.1 += 1;
        }
    }

    fn end(&self, summary: &str) {
        if let Ok(current) = self.stage.lock() {
            eprintln!("{}: {summary}", current.0);
        }
    }
}
