//! `spatial-ladder data import` and `data export`: data sets in the files of others.

use super::{print_json, progress_bar};
use crate::cli::interrupt;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use spatial_ladder::benchmarks::sets::{Benchmark, EvaluationSet};
use spatial_ladder::samples::Dataset;
use spatial_ladder::samples::export::{self, ExportFormat};
use spatial_ladder::samples::import::{self, ImportRequest};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// spatialladder-26k, or a benchmark to look through: vsi-bench, spbench, cv-bench, spar-bench,
    /// viewspatial-bench
    #[arg(long)]
    format: String,
    /// Folder with the released row files; of a benchmark its file or folder
    path: PathBuf,
    /// Folder that image paths are relative to
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Folder to write; must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave out faulty rows, and list them, instead of stopping
    #[arg(long)]
    skip_bad: bool,
    /// Hold out about this share of the scenes (0 to 0.9); the folder of an image stands for its scene
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    validation_share: f32,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A data set folder
    dir: PathBuf,
    #[arg(long, value_enum)]
    format: Format,
    /// Folder to write; must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Keep the images inside the Parquet files, every one in each row that shows it: with videos, some 40 times as
    /// much on disk
    #[arg(long)]
    embed_images: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The released row files
    Jsonl,
    /// For Hugging Face `datasets`
    Parquet,
    /// The held-out questions as SPBench keeps its own
    Spbench,
}

pub fn import(args: &ImportArgs) -> anyhow::Result<()> {
    if args.format != "spatialladder-26k" {
        return look_through(args);
    }
    let images =
        args.images.as_ref().context("--images DIR is needed: the folder that image paths start from")?;
    let out = args.out.as_ref().context("--out DIR is needed: the folder to write")?;
    let bar = progress_bar("images");
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let request = ImportRequest {
        rows: &args.path,
        images,
        out,
        skip_bad: args.skip_bad,
        validation_share: args.validation_share,
    };
    let result = import::import(&request, &progress, &interrupt::flag());
    bar.finish_and_clear();
    let report = result?;
    for fault in &report.faults {
        eprintln!("left out: {}, line {}: {}", fault.file, fault.line.unwrap_or(0), fault.message);
    }
    eprintln!("wrote {}", out.display());
    eprintln!(
        "  {} localization questions, {} of them asked again as spatial ones",
        report.grounding, report.joined
    );
    eprintln!("  {} spatial questions, {} cold-start rows", report.spatial, report.cold_start);
    eprintln!(
        "  {} images of {} scenes, {:.1} MB, {} of them linked",
        report.images,
        report.scenes,
        report.image_bytes as f64 / 1e6,
        report.linked_images
    );
    eprintln!("  {} rows held out, {} rows left out", report.held_out, report.faults.len());
    if report.renumbered > 0 {
        eprintln!("  {} questions got another id, as theirs was given twice", report.renumbered);
    }
    if args.json { print_json(&report) } else { Ok(()) }
}

/// Counts what the files of a benchmark hold.
fn look_through(args: &ImportArgs) -> anyhow::Result<()> {
    let benchmark: Benchmark = args.format.parse()?;
    let set = EvaluationSet::open(benchmark, &args.path, args.images.as_deref())?;
    if args.json {
        print_json(&set.summary())?;
    } else {
        for (name, count) in set.counts() {
            eprintln!("{name:<40} {count:>6}");
        }
        for fault in &set.faults {
            eprintln!("{}, row {}: {}", fault.file, fault.line.unwrap_or(0), fault.message);
        }
        eprintln!("{}: {} questions, {} faulty rows", benchmark.name(), set.items.len(), set.faults.len());
    }
    if !set.faults.is_empty() && !args.skip_bad {
        bail!("{} has {} faulty rows; see above", args.path.display(), set.faults.len());
    }
    Ok(())
}

pub fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Jsonl => ExportFormat::Jsonl,
        Format::Parquet => ExportFormat::Parquet { embed_images: args.embed_images },
        Format::Spbench => ExportFormat::Spbench,
    };
    let written = export::export(&Dataset::open(&args.dir)?, format, &args.out, &interrupt::flag())?;
    for (file, rows) in written {
        eprintln!("{}: {rows} rows", args.out.join(file).display());
    }
    Ok(())
}
