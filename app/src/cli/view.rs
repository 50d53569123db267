//! `spatial-ladder view`: a data set or a scene in Rerun, in the window or as a file.

use anyhow::bail;
use std::path::PathBuf;

/// Show a data set, a scene or a run in the window, or save it for Rerun's viewer.
#[derive(Debug, clap::Args)]
pub struct ViewArgs {
    /// Data set folder, scene file (scenes/NAME.json), run directory or folder of runs
    pub path: PathBuf,

    /// Write an .rrd file instead of opening the window
    #[arg(long, value_name = "F.rrd")]
    pub save: Option<PathBuf>,
}

pub fn run(args: &ViewArgs) -> anyhow::Result<()> {
    if !args.path.exists() {
        bail!("{}: no such file or folder", args.path.display());
    }
    match &args.save {
        Some(target) => save(&args.path, target),
        None => show(&args.path),
    }
}

#[cfg(feature = "viewer")]
fn save(path: &std::path::Path, target: &std::path::Path) -> anyhow::Result<()> {
    use anyhow::Context as _;
    use spatial_ladder::{recording, samples, scenes};
    if path.is_file() {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let scene: scenes::Scene = serde_json::from_str(&text).with_context(|| {
            format!("{} is not a scene; give a data set folder or one of its scenes/*.json", path.display())
        })?;
        recording::save_scene(&scene, target)?;
    } else {
        recording::save_dataset(&samples::Dataset::open(path)?, target)?;
    }
    eprintln!("Wrote {}", target.display());
    Ok(())
}

#[cfg(not(feature = "viewer"))]
fn save(_path: &std::path::Path, _target: &std::path::Path) -> anyhow::Result<()> {
    bail!("this build has no Rerun; build with the feature `viewer` to write recordings")
}

#[cfg(feature = "window")]
fn show(path: &std::path::Path) -> anyhow::Result<()> {
    use crate::window::{self, Workspace};
    if path.is_file() {
        bail!("{}: a single scene has no window; add --save F.rrd and open that in Rerun", path.display());
    }
    if !window::has_display() {
        bail!("there is no display to open a window on; add --save F.rrd to write a recording instead");
    }
    let workspace = if window::train::has_runs(path) { Workspace::Train } else { Workspace::Data };
    window::run(window::Options { workspace, open: Some(path.to_owned()), ..window::Options::default() })
}

#[cfg(not(feature = "window"))]
fn show(_path: &std::path::Path) -> anyhow::Result<()> {
    bail!("this build has no window; add --save F.rrd, or build with the feature `window`")
}
