//! The command line. One file a subcommand; JSON goes to stdout and only with `--json`, everything else
//! for people goes to stderr, and failure is a non-zero exit code.

pub mod ask;
pub mod bench;
pub mod climb;
pub mod data;
pub mod devices;
pub mod interrupt;
pub mod merge;
pub mod places;
pub mod progress;
pub mod quantize;
pub mod serve_device;
pub mod train;
pub mod view;
pub mod window;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "spatial-ladder", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    window: window::WindowArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Climb(climb::ClimbArgs),
    Data(data::DataArgs),
    Train(train::TrainArgs),
    Ask(ask::AskArgs),
    Quantize(quantize::QuantizeArgs),
    Merge(merge::MergeArgs),
    View(view::ViewArgs),
    Devices(devices::DevicesArgs),
    ServeDevice(serve_device::ServeDeviceArgs),
    Bench(bench::BenchArgs),
}

/// Runs what the arguments ask for.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let cli = Cli::parse();
    let result = match cli.command {
        None => window::run(cli.window),
        Some(Command::Climb(args)) => climb::run(args),
        Some(Command::Data(args)) => data::run(args),
        Some(Command::Train(args)) => train::run(args),
        Some(Command::Ask(args)) => ask::run(&args),
        Some(Command::Quantize(args)) => quantize::run(&args),
        Some(Command::Merge(args)) => merge::run(&args),
        Some(Command::View(args)) => view::run(&args),
        Some(Command::Devices(args)) => devices::run(&args),
        Some(Command::ServeDevice(args)) => serve_device::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, one a line; causes that the error already names are left out.
fn report(error: &anyhow::Error) {
    let mut said = error.to_string();
    eprintln!("error: {said}");
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !said.contains(&text) {
            eprintln!("  because: {text}");
            said.push_str(&text);
        }
    }
}
