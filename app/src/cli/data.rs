//! `spatial-ladder data`: builds data sets, and tells what is in them and what is wrong with them.

use super::interrupt;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use spatial_ladder::questions::{self, BuildRequest, QuestionConfig, SourceSpec};
use spatial_ladder::samples::{self, BOX_SHARE_BORDERS, Counts, Dataset, PartStatistics};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Build, describe and check data sets
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
    /// Look for broken rows, boxes and images; exit code 1 when there are any
    Check(FolderArgs),
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
        DataCommand::Build(args) => build(&args),
        DataCommand::Stats(args) => stats(&args),
        DataCommand::Check(args) => check(&args),
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<()> {
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
        bar.set_message(format!("{} images, {} questions", progress.images, progress.questions));
    };
    let result = questions::build(&request, &progress, &cancel);
    bar.finish_and_clear();
    let info = result?;
    let part = |counts: &Counts| {
        format!(
            "{} scenes, {} images, {} questions with {} boxes, {} foundation rows",
            counts.scenes, counts.images, counts.grounding, counts.boxes, counts.foundation
        )
    };
    eprintln!("wrote {} in {:.1} s", args.out.display(), bar.elapsed().as_secs_f64());
    eprintln!("  to train on: {}", part(&info.train));
    eprintln!("  held out:    {}", part(&info.validation));
    if info.validation.images == 0 && config.validation_share > 0.0 {
        eprintln!("warning: too few scenes to hold any out; training will have nothing to be measured on");
    }
    Ok(())
}

fn stats(args: &FolderArgs) -> anyhow::Result<()> {
    let statistics = samples::statistics(&Dataset::open(&args.dir)?);
    if args.json {
        return print_json(&statistics);
    }
    print(&table(&statistics.train, &statistics.validation))
}

fn check(args: &FolderArgs) -> anyhow::Result<()> {
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

/// The numbers of both parts side by side, and a bar for those of the training part.
fn table(train: &PartStatistics, validation: &PartStatistics) -> String {
    let mut rows = vec![
        Row::heading("", "train", "held out"),
        Row::numbers("images", train.images, validation.images),
        Row::numbers("localization questions", train.questions, validation.questions),
        Row::numbers("boxes", train.boxes, validation.boxes),
        Row::numbers("foundation rows", train.foundation_rows, validation.foundation_rows),
    ];
    if train.boxes + validation.boxes > 0 {
        let named = |numbers: &BTreeMap<usize, usize>| {
            numbers.iter().map(|(key, count)| (format!("{key:>2}"), *count)).collect::<BTreeMap<_, _>>()
        };
        rows.push(Row::heading("boxes a question", "", ""));
        rows.extend(bars(&named(&train.boxes_per_question), &named(&validation.boxes_per_question), false));
        rows.push(Row::heading("box area, % of the image", "", ""));
        rows.extend(share_rows(train, validation));
        rows.push(Row::heading("boxes by category", "", ""));
        rows.extend(bars(&train.categories, &validation.categories, true));
    }
    if train.foundation_rows + validation.foundation_rows > 0 {
        rows.push(Row::heading("objects in foundation rows", "", ""));
        rows.extend(bars(&train.foundation_categories, &validation.foundation_categories, true));
    }
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, row| {
        let line = format!("{:<width$}  {:>8}  {:>8}  {}", row.name, row.train, row.validation, row.bar);
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

struct Row {
    name: String,
    train: String,
    validation: String,
    bar: String,
}

impl Row {
    fn heading(name: &str, train: &str, validation: &str) -> Self {
        let [name, train, validation] = [name, train, validation].map(str::to_owned);
        Self { name, train, validation, bar: String::new() }
    }

    fn numbers(name: &str, train: usize, validation: usize) -> Self {
        Self::heading(name, &train.to_string(), &validation.to_string())
    }
}

/// A row for each name, in the order of names or from the commonest to the rarest.
fn bars(
    train: &BTreeMap<String, usize>,
    validation: &BTreeMap<String, usize>,
    commonest_first: bool,
) -> Vec<Row> {
    let count = |numbers: &BTreeMap<String, usize>, name: &str| numbers.get(name).copied().unwrap_or(0);
    let mut names: Vec<&String> = train.keys().chain(validation.keys()).collect();
    names.sort();
    names.dedup();
    if commonest_first {
        names.sort_by_key(|name| std::cmp::Reverse(count(train, name)));
    }
    let rows = names.into_iter().map(|name| (name.clone(), count(train, name), count(validation, name)));
    with_bars(rows.collect())
}

fn share_rows(train: &PartStatistics, validation: &PartStatistics) -> Vec<Row> {
    let percent: Vec<String> =
        BOX_SHARE_BORDERS.iter().map(|border| format!("{:.0}", border * 100.0)).collect();
    let name = |bin: usize| match (bin.checked_sub(1).map(|i| &percent[i]), percent.get(bin)) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (None, Some(to)) => format!("below {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, None) => String::new(),
    };
    let counts = train.box_shares.iter().zip(&validation.box_shares).enumerate();
    with_bars(counts.map(|(bin, (&train, &validation))| (name(bin), train, validation)).collect())
}

fn with_bars(rows: Vec<(String, usize, usize)>) -> Vec<Row> {
    const WIDTH: usize = 30;
    let longest = rows.iter().map(|(_, train, _)| *train).max().unwrap_or(0).max(1);
    rows.into_iter()
        .map(|(name, train, validation)| Row {
            bar: "█".repeat((train * WIDTH).div_ceil(longest)),
            ..Row::numbers(&format!("  {name}"), train, validation)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_orders_categories_by_number() {
        let train = PartStatistics {
            questions: 3,
            images: 2,
            boxes: 4,
            categories: BTreeMap::from([("bed".to_owned(), 1), ("tv".to_owned(), 3)]),
            boxes_per_question: BTreeMap::from([(1, 2), (2, 1)]),
            box_shares: [0, 0, 4, 0, 0, 0, 0],
            ..PartStatistics::default()
        };
        let text = table(&train, &PartStatistics::default());
        assert!(text.find("  tv").unwrap() < text.find("  bed").unwrap(), "{text}");
        assert!(text.contains("below 1") && text.contains("2 to 5") && text.contains("from 50"), "{text}");
        let column = text.lines().next().unwrap().find("train").unwrap() + "train".len();
        assert_eq!(text.lines().nth(3).unwrap().chars().nth(column - 1), Some('4'), "{text}");
    }
}
