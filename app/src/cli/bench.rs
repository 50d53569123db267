//! `spatial-ladder bench`: how fast the parts are on this machine.

mod model;
mod reference;
mod train;

use clap::{Args, Subcommand};
use spatial_ladder::questions::{self, QuestionConfig};
use spatial_ladder::render;
use std::time::Duration;

/// Measure how fast a part of the program is on this machine
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    part: Part,
    /// JSON on stdout
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Pictures of generated rooms, on one thread
    Render {
        #[arg(long, default_value_t = 640)]
        width: u32,
        #[arg(long, default_value_t = 480)]
        height: u32,
        /// How long to measure
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
    /// A model of random weights: reading it, a picture, a prompt, an answer
    Model(model::ModelArgs),
    /// A model of random weights: a supervised step and a reinforced one (GRPO)
    Train(train::TrainArgs),
    /// Building data sets from generated rooms, with all threads
    Data {
        #[arg(long, default_value_t = 30)]
        rooms: usize,
        /// A TOML file or a preset, as for `data build`
        #[arg(long, default_value = "spatialladder-26k")]
        config: String,
    },
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.part {
        &Part::Render { width, height, seconds } => {
            anyhow::ensure!(
                (1..=8192).contains(&width) && (1..=8192).contains(&height),
                "a picture has 1 to 8192 pixels a side, not {width}×{height}"
            );
            anyhow::ensure!(
                seconds > 0.0 && seconds <= 3600.0,
                "--seconds {seconds}: more than 0, at most 3600"
            );
            let measured = render::benchmark(width, height, Duration::from_secs_f64(seconds));
            show(&measured, args.json)
        }
        Part::Model(model) => model::run(model, args.json),
        Part::Train(train) => train::run(train, args.json),
        Part::Data { rooms, config } => {
            anyhow::ensure!((1..=100_000).contains(rooms), "--rooms {rooms}: 1 to 100000");
            let config = QuestionConfig::load(config)?;
            show(&questions::benchmark(*rooms, &config, &std::env::temp_dir())?, args.json)
        }
    }
}

fn show(measured: &(impl serde::Serialize + std::fmt::Debug), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(measured)?);
    } else {
        eprintln!("{measured:#?}");
    }
    Ok(())
}
