//! `spatial-ladder devices`: what models can run on here.

use spatial_ladder::model::device;
use std::io::Write as _;

#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Print a JSON list instead
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let devices = device::list();
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &devices)?;
        writeln!(out)?;
        return Ok(());
    }
    for info in devices {
        let mark = if info.default { "  (what `auto` picks)" } else { "" };
        writeln!(out, "{:<10} {}{mark}", info.name, info.description)?;
    }
    Ok(())
}
