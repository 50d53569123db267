//! `spatial-ladder data check`: what is wrong with a data set, and what its spatial questions are like.

use super::{FolderArgs, print, print_json, progress_bar};
use crate::cli::interrupt;
use anyhow::bail;
use serde::Serialize;
use spatial_ladder::benchmarks::blind::{self, AnswerBin, Blind, QualityReport, TypeQuality};
use spatial_ladder::samples::{self, CheckReport, Fault, names};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// What `--json` prints.
#[derive(Serialize)]
struct FullReport {
    /// Question types that are solved blind are among the faults.
    #[serde(flatten)]
    check: CheckReport,
    /// `None` when the check was stopped before.
    quality: Option<QualityReport>,
}

pub fn run(args: &FolderArgs) -> anyhow::Result<()> {
    let cancel = interrupt::flag();
    let bar = progress_bar("images");
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let result = samples::check_and_read(&args.dir, &progress, &cancel);
    bar.finish_and_clear();
    let checked = result?;
    let quality = (!cancel.load(Ordering::Relaxed)).then(|| blind::quality(&checked.dataset));
    let mut report = FullReport { check: checked.report, quality };
    if let Some(quality) = &report.quality {
        report.check.faults.extend(blind_faults(quality));
    }
    if args.json {
        print_json(&report)?;
    } else {
        let mut text = report.quality.as_ref().map_or(String::new(), quality_text);
        for fault in &report.check.faults {
            let line = fault.line.map_or(String::new(), |line| format!(", line {line}"));
            writeln!(text, "{}{line}: {}", fault.file, fault.message)?;
        }
        print(&text)?;
    }
    let folder = args.dir.display();
    let CheckReport { rows, images, complete, faults } = &report.check;
    if cancel.load(Ordering::Relaxed) || !complete {
        bail!("the check of {folder} was stopped before its end");
    }
    match faults.len() {
        0 => eprintln!("{folder}: {rows} rows and {images} images are sound"),
        1 => bail!("{folder} has 1 fault; correct the line named, or build the data set anew"),
        count => bail!("{folder} has {count} faults; correct the lines named, or build the data set anew"),
    }
    Ok(())
}

fn blind_faults(quality: &QualityReport) -> impl Iterator<Item = Fault> {
    let messages = quality.types.iter().filter_map(TypeQuality::fault);
    messages.map(|message| Fault { file: names::SPATIAL.to_owned(), line: None, message })
}

/// Tables of the questions by modality, type and category, of their answers, and of the blind baselines. Empty when
/// there are no spatial questions.
fn quality_text(quality: &QualityReport) -> String {
    if quality.types.is_empty() {
        return String::new();
    }
    let mut blocks = vec![modality_table(quality), category_lines(quality)];
    let width = quality.types.iter().map(|kind| kind.name().chars().count()).max().unwrap_or(0);
    let blocks_of_types = [
        ("questions by type", "train  held out", type_line as fn(&TypeQuality) -> String),
        ("answers by letter", "", letter_line),
        ("answers", "", answer_line),
        ("answered blind", "", blind_line),
    ];
    for (title, columns, line) in blocks_of_types {
        let mut block = format!("{title:<width$}    {columns}").trim_end().to_owned() + "\n";
        for kind in &quality.types {
            let line = line(kind);
            if !line.is_empty() {
                block.push_str(format!("  {:<width$}  {line}", kind.name()).trim_end());
                block.push('\n');
            }
        }
        blocks.push(block);
    }
    blocks.join("\n") + "\n"
}

fn modality_table(quality: &QualityReport) -> String {
    let header = format!("{:<14}{:>14}{:>10}{:>12}\n", "rows", "localization", "spatial", "cold start");
    quality.modalities.iter().fold(header, |text, (name, counts)| {
        let (localization, spatial, cold_start) = (counts.localization, counts.spatial, counts.cold_start);
        text + &format!("  {name:<12}{localization:>14}{spatial:>10}{cold_start:>12}\n")
    })
}

/// The commonest categories; `--json` has all.
fn category_lines(quality: &QualityReport) -> String {
    const MOST: usize = 20;
    let mut categories: Vec<(&String, &usize)> = quality.categories.iter().collect();
    categories.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named: Vec<String> =
        categories.iter().take(MOST).map(|(name, count)| format!("{name} {count}")).collect();
    let more = match categories.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("spatial questions by category ({})\n  {}{more}\n", categories.len(), named.join(", "))
}

fn type_line(kind: &TypeQuality) -> String {
    format!("{:>5}  {:>8}", kind.train, kind.held_out)
}

fn letter_line(kind: &TypeQuality) -> String {
    let shares = kind.letters.iter().map(|(letter, share)| format!("{letter} {:>4.1} %", 100.0 * share));
    shares.collect::<Vec<_>>().join("  ")
}

fn answer_line(kind: &TypeQuality) -> String {
    let bins = kind.answers.iter().map(|AnswerBin { answer, count }| format!("{answer}: {count}"));
    bins.collect::<Vec<_>>().join("; ")
}

fn blind_line(kind: &TypeQuality) -> String {
    let (scores, verdict) = match &kind.blind {
        Blind::TooFewRows { scored } => {
            let fewest = blind::FEWEST_SCORED;
            return format!("too few questions to say: {scored} to score on, at least {fewest} are needed");
        }
        Blind::TooFewScenes { scenes } => {
            let fewest = blind::FEWEST_SCENES;
            return format!("too few scenes to say: {scenes}, at least {fewest} are needed");
        }
        Blind::NotSolved(scores) => (scores, ""),
        Blind::Solved(scores) => (scores, "  SOLVED BLIND"),
    };
    let named = scores.baselines.iter().map(|score| {
        let margin = &score.above_chance;
        let half = 50.0 * (margin.high - margin.low);
        format!("{} {:.1} ±{half:.1} %", score.baseline.name(), 100.0 * score.score)
    });
    let chance = match kind.question_type.is_choice() {
        true => format!("chance {:.1} %, ", 100.0 * scores.chance),
        false => String::new(),
    };
    let source = if scores.on_held_out { "held out" } else { "in two halves" };
    format!("{chance}{} ({} {source}){verdict}", named.collect::<Vec<_>>().join(", "), scores.scored)
}
