//! `spatial-ladder data build`: from scenes to a data set folder.

use super::progress_bar;
use crate::cli::interrupt;
use clap::Args;
use spatial_ladder::questions::{self, BuildRequest, QuestionConfig, SourceSpec};
use spatial_ladder::samples::Counts;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct BuildArgs {
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

pub fn run(args: &BuildArgs) -> anyhow::Result<()> {
    let source: SourceSpec = args.source.parse()?;
    let config = QuestionConfig::load(&args.config)?;
    let cancel = interrupt::flag();
    let bar = progress_bar("scenes");
    let request = BuildRequest {
        source: &source,
        out: &args.out,
        config: &config,
        seed: args.seed,
        limit: args.limit,
        skip_bad: args.skip_bad,
    };
    let progress = |progress: questions::Progress| {
        bar.set_length(progress.total_scenes as u64);
        bar.set_position(progress.scenes as u64);
        bar.set_message(format!("{} images, {} possible questions", progress.images, progress.questions));
    };
    let result = questions::build(&request, &progress, &cancel);
    bar.finish_and_clear();
    let info = result?;
    let part = |counts: &Counts| {
        format!(
            "{} scenes, {} images; {} localization questions with {} boxes, {} spatial questions, {} cold-start \
             rows, {} foundation rows",
            counts.scenes,
            counts.images,
            counts.grounding,
            counts.boxes,
            counts.spatial,
            counts.cold_start,
            counts.foundation
        )
    };
    eprintln!("wrote {} in {:.1} s", args.out.display(), bar.elapsed().as_secs_f64());
    eprintln!("  to train on: {}", part(&info.train));
    eprintln!("  held out:    {}", part(&info.validation));
    if info.validation.images == 0 && config.validation_share > 0.0 {
        eprintln!("warning: too few scenes to hold any out; training will have nothing to be measured on");
    }
    for left_out in &info.left_out {
        eprintln!("left out: {left_out}");
    }
    for short in &info.shortfalls {
        eprintln!("warning: the scenes give too few of {short}; use more scenes");
    }
    Ok(())
}
