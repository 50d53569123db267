//! `spatial-ladder data`: builds data sets, and tells what is in them and what is wrong with them.

mod build;
mod check;
mod exchange;
mod stats;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

/// Build, describe, check, import and export data sets
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Make questions from scenes and write them as a data set folder
    Build(build::BuildArgs),
    /// Count what a data set holds
    Stats(FolderArgs),
    /// Look for broken rows, boxes and images, and for questions answered without looking; exit code 1 for faults
    Check(FolderArgs),
    /// Take over a data set in the released files, or look through the files of a benchmark
    Import(exchange::ImportArgs),
    /// Write a data set in the released files, or as Parquet
    Export(exchange::ExportArgs),
}

#[derive(Debug, Args)]
struct FolderArgs {
    /// A data set folder
    dir: PathBuf,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

/// Runs `spatial-ladder data …`.
pub fn run(args: DataArgs) -> anyhow::Result<()> {
    match args.command {
        DataCommand::Build(args) => build::run(&args),
        DataCommand::Stats(args) => stats::run(&args),
        DataCommand::Check(args) => check::run(&args),
        DataCommand::Import(args) => exchange::import(&args),
        DataCommand::Export(args) => exchange::export(&args),
    }
}

fn progress_bar(unit: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}  {{elapsed}} gone, {{eta}} to go");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Writes to stdout; a reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}
