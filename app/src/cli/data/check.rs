//! `spatial-ladder data check`: what is wrong with a data set.

use super::{FolderArgs, print, print_json, progress_bar};
use crate::cli::interrupt;
use anyhow::bail;
use spatial_ladder::samples;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

pub fn run(args: &FolderArgs) -> anyhow::Result<()> {
    let cancel = interrupt::flag();
    let bar = progress_bar("images");
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let result = samples::check(&args.dir, &progress, &cancel);
    bar.finish_and_clear();
    let report = result?;
    if args.json {
        print_json(&report)?;
    } else {
        let mut text = String::new();
        for fault in &report.faults {
            let line = fault.line.map_or(String::new(), |line| format!(", line {line}"));
            writeln!(text, "{}{line}: {}", fault.file, fault.message)?;
        }
        print(&text)?;
    }
    let folder = args.dir.display();
    if cancel.load(Ordering::Relaxed) || !report.complete {
        bail!("the check of {folder} was stopped before its end");
    }
    match report.faults.len() {
        0 => eprintln!("{folder}: {} rows and {} images are sound", report.rows, report.images),
        1 => bail!("{folder} has 1 fault; correct the line named, or build the data set anew"),
        count => bail!("{folder} has {count} faults; correct the lines named, or build the data set anew"),
    }
    Ok(())
}
