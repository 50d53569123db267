//! The program: without arguments the window, else one of the subcommands of [`cli`].

use spatial_ladder_app::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
