//! `spatial-ladder data check`: what is wrong with a data set, and how far one comes in it without looking.

use super::{FolderArgs, print, print_json, progress_bar};
use crate::cli::interrupt;
use anyhow::bail;
use serde::Serialize;
use spatial_ladder::benchmarks::{BlindType, Verdict, blind_baselines};
use spatial_ladder::samples::{self, CheckReport, Dataset};
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
    // Broken rows cannot be read as a data set; then there is nothing to learn from them either.
    let blind = Dataset::open(&args.dir).map(|dataset| blind_baselines(&dataset)).unwrap_or_default();
    if args.json {
        print_json(&Output { report: &report, blind: &blind })?;
    } else {
        let mut text = String::new();
        for fault in &report.faults {
            let line = fault.line.map_or(String::new(), |line| format!(", line {line}"));
            writeln!(text, "{}{line}: {}", fault.file, fault.message)?;
        }
        text.push_str(&blind_table(&blind));
        print(&text)?;
    }
    let folder = args.dir.display();
    if cancel.load(Ordering::Relaxed) || !report.complete {
        bail!("the check of {folder} was stopped before its end");
    }
    let solved = blind.iter().filter(|found| found.verdict == Verdict::SolvedBlind).count();
    match report.faults.len() {
        0 if solved > 0 => bail!(
            "{folder}: {} rows and {} images are sound, but {solved} question types are answered without looking",
            report.rows,
            report.images
        ),
        0 => eprintln!("{folder}: {} rows and {} images are sound", report.rows, report.images),
        1 => bail!("{folder} has 1 fault; correct the line named, or build the data set anew"),
        count => bail!("{folder} has {count} faults; correct the lines named, or build the data set anew"),
    }
    Ok(())
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    blind: &'a [BlindType],
}

/// Types of questions with their balance and how far one comes without looking.
fn blind_table(types: &[BlindType]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:<32} {:>9} {:>7} {:>9} {:>7} {:>6}  without looking\n",
        "question type", "questions", "chance", "commonest", "median", "text"
    );
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    for found in types {
        let name = format!("{}/{}", found.data_type.name(), found.question_type.name());
        let chance = if found.question_type.is_choice() { percent(found.chance) } else { "".to_owned() };
        let verdict = match found.verdict {
            Verdict::NeedsLooking => "not solved",
            Verdict::SolvedBlind => "SOLVED",
            Verdict::TooFewToSay => "too few held out to say",
        };
        let median = found.median.map_or(String::new(), percent);
        text.push_str(&format!(
            "{name:<32} {:>9} {chance:>7} {:>9} {median:>7} {:>6}  {verdict}\n",
            found.questions,
            percent(found.commonest),
            percent(found.text)
        ));
    }
    for found in types {
        let counted = |counts: &mut dyn Iterator<Item = (String, usize)>| {
            counts.map(|(name, count)| format!("{name} ({count})")).collect::<Vec<_>>().join(", ")
        };
        let letters = counted(&mut found.letters.iter().map(|(letter, count)| (letter.clone(), *count)));
        let answers = counted(&mut found.answers.iter().cloned());
        let both = if letters.is_empty() { answers } else { format!("{letters}; {answers}") };
        text.push_str(&format!("{}/{}: {both}\n", found.data_type.name(), found.question_type.name()));
    }
    text
}
