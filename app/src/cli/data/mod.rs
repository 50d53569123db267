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
    Build(BuildArgs),
    /// Count what a data set holds
    Stats(FolderArgs),
    /// Look for broken rows, boxes and images, and for questions that need no looking; exit code 1 for faults
    Check(FolderArgs),
    /// Take over a data set in the released files, or look through the files of a benchmark
    Import(exchange::ImportArgs),
    /// Write a data set in the released files, or as Parquet
    Export(exchange::ExportArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Where scenes come from: rooms:COUNT, vsi-meta:FILE, scannet:PATH, arkitscenes:PATH or scannetpp:PATH
    #[arg(long, value_name = "SPEC")]
    source: String,
    /// Folder to write; must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A TOML file, or a preset: default, spatialladder-26k, viewspatial, vsi, climb, foundation
    #[arg(long, value_name = "FILE", default_value = "default")]
    config: String,
    /// The same source, config and seed give the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Use at most this many scenes of the source
    #[arg(long)]
    limit: Option<usize>,
    /// Leave out scenes that cannot be read, and list them, instead of stopping
    #[arg(long)]
    skip_bad: bool,
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
