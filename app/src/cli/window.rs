//! No subcommand: the window, or where none can be opened the quick climb in the terminal.

use super::climb;
use std::path::PathBuf;

/// For pictures of the window in documentation and tests; not shown in the help.
#[derive(Debug, Default, clap::Args)]
pub struct WindowArgs {
    /// Save a picture of the window as soon as it is complete, and quit
    #[arg(long, hide = true, value_name = "FILE.png")]
    pub screenshot: Option<PathBuf>,

    /// data, train, ask or errors
    #[arg(long, hide = true, value_name = "NAME", default_value = "data")]
    #[arg(value_parser = ["data", "train", "ask", "errors"])]
    pub workspace: String,

    /// Open this in the workspace: a data set, a run or folder of runs, a picture
    #[arg(long, hide = true, value_name = "PATH")]
    pub open: Option<PathBuf>,

    /// Show the sample with this question_id
    #[arg(long, hide = true, value_name = "ID")]
    pub sample: Option<u64>,

    /// Ask this about the picture at once
    #[arg(long, hide = true, value_name = "TEXT")]
    pub question: Option<String>,
}

pub fn run(args: WindowArgs) -> anyhow::Result<()> {
    #[cfg(feature = "window")]
    if crate::window::has_display() {
        return open(args);
    }
    anyhow::ensure!(args.screenshot.is_none(), "there is no display to open the window on");
    eprintln!(
        "No window can be opened here, so this climbs the ladder in the terminal (`climb --quick`).\n\
         For everything else: spatial-ladder --help\n"
    );
    climb::run(climb::ClimbArgs::quick())
}

#[cfg(feature = "window")]
fn open(args: WindowArgs) -> anyhow::Result<()> {
    use crate::window::{Options, Workspace};
    let workspace =
        Workspace::ALL.into_iter().find(|workspace| workspace.name().eq_ignore_ascii_case(&args.workspace));
    crate::window::run(Options {
        workspace: workspace.unwrap_or_default(),
        open: args.open,
        sample: args.sample,
        question: args.question,
        screenshot: args.screenshot,
    })
}
