//! The verbs: one file each.

/// Says a line on standard output.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::command::say(format_args!($($line)*))?
    };
}

mod allocator;
mod along_axes;
mod build;
mod channel;
mod demo;
mod edit;
mod evaluate;
mod explode;
mod export;
mod feature_list;
mod features;
mod init;
mod inspect;
mod labelled;
mod memory_size;
mod output;
mod progress;
mod query;
mod segment;
mod train;
mod validate;
mod walk;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Build cell atlases from 3D microscopy
///
/// Primordia finds the cells of every specimen from its membrane channel, describes their shape, brings all
/// specimens into one frame, learns how each protein follows from shape, and maps every protein
/// onto every cell: one HDF5 atlas to query and to open in Python.
///
/// Start with `primordia demo`, or `primordia init FOLDER` beside your images.
#[derive(Parser)]
#[command(name = "primordia", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Args)]
struct Everywhere {
    /// Threads to compute on; default: one per core. The result is the same for any number
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Say nothing but the answer and errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Demo),
    Init(init::Init),
    Inspect(inspect::Inspect),
    Segment(segment::Segment),
    Edit(edit::Edit),
    Evaluate(evaluate::Evaluate),
    Explode(explode::Explode),
    Features(features::Features),
    Build(build::Build),
    Train(train::Train),
    Query(query::Query),
    Export(export::Export),
    Validate(validate::Validate),
    Walk(walk::Walk),
}

/// Runs the verb of the command line: exit code 0 done, 1 failed, 2 misused.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    // Training takes and frees blocks of the same sizes in every step: asking the system for each would cost a fifth of its time.
    if !matches!(cli.verb, Verb::Train(_)) {
        allocator::give_back_large_blocks();
    }
    let filter = EnvFilter::try_from_env("PRIMORDIA_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_full(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if let Some(threads) = cli.everywhere.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .context("cannot start the threads")?;
    }
    let quiet = cli.everywhere.quiet;
    match &cli.verb {
        Verb::Demo(demo) => demo.run(quiet),
        Verb::Init(init) => init.run(),
        Verb::Inspect(inspect) => inspect.run(),
        Verb::Segment(segment) => segment.run(quiet),
        Verb::Edit(edit) => edit.run(quiet),
        Verb::Evaluate(evaluate) => evaluate.run(),
        Verb::Explode(explode) => explode.run(quiet),
        Verb::Features(features) => features.run(quiet),
        Verb::Build(build) => build.run(quiet),
        Verb::Train(train) => train.run(quiet),
        Verb::Query(query) => query.run(),
        Verb::Export(export) => export.run(),
        Verb::Validate(validate) => validate.run(),
        Verb::Walk(walk) => walk.run(quiet),
    }
}

/// An error and its causes, but for those whose words it has already said.
fn in_full(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        if said.is_empty() {
            cause
        } else if said.contains(&cause) {
            said
        } else {
            format!("{said}: {cause}")
        }
    })
}

/// Says a line on standard output; that nobody reads on, as with `primordia evaluate … | head -1`, stops no work.
fn say(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Whether the reader of our answer has gone, as with `primordia query … | head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_thing_once() {
        let error = anyhow::anyhow!("no room on the disk")
            .context("cells.csv cannot be written: no room on the disk")
            .context("cannot export");
        assert_eq!(
            in_full(&error),
            "cannot export: cells.csv cannot be written: no room on the disk"
        );
    }
}
