//! The arms' scores for people: a table for the terminal and for Markdown, and one HTML page that needs nothing else.

use super::arms::{ArmScores, ArmsReport};
use spatial_ladder::benchmarks::Interval;
use std::fmt::Write as _;

/// What an interval says, in words.
pub fn verdict(gain: &Interval) -> &'static str {
    if gain.low > 0.0 {
        "better"
    } else if gain.high < 0.0 {
        "worse"
    } else {
        "no clear difference"
    }
}

fn against(gain: Option<&Interval>) -> String {
    gain.map_or_else(
        || "—".to_owned(),
        |gain| format!("{:+.3} [{:+.3}, {:+.3}], {}", gain.mean, gain.low, gain.high, verdict(gain)),
    )
}

fn stages(arm: &ArmScores) -> String {
    let stages: Vec<String> = arm.stages.iter().map(|(stage, steps)| format!("{stage} {steps}")).collect();
    stages.join(" → ")
}

/// Mean over the kinds of spatial questions that enough is known about; 0 where that is none.
fn blind_mean(report: &ArmsReport) -> f64 {
    report.blind.values().fold(0.0, |sum, value| sum + value) / report.blind.len().max(1) as f64
}

const HEADS: [&str; 7] =
    ["arm", "steps", "mean IoU", "less the ladder's", "spatial", "less the ladder's", "in form"];

/// The cells below [`HEADS`]: a row for each arm, and one for who does not look.
fn rows(report: &ArmsReport) -> Vec<[String; 7]> {
    let row = |arm: &ArmScores| {
        let gain = arm.against_ladder.as_ref();
        [
            arm.arm.clone(),
            stages(arm),
            format!("{:.3}", arm.mean_iou),
            against(gain.map(|gain| &gain.mean_iou)),
            format!("{:.3}", arm.score),
            against(gain.map(|gain| &gain.score)),
            format!("{:.2}", arm.in_form),
        ]
    };
    let mut rows: Vec<[String; 7]> = report.arms.iter().map(row).collect();
    let [iou, spatial] = [report.blind_iou, blind_mean(report)].map(|score| format!("{score:.3}"));
    let none = String::new;
    rows.push(["without looking".to_owned(), none(), iou, none(), spatial, none(), none()]);
    rows
}

/// As Markdown.
pub fn table(report: &ArmsReport) -> String {
    let mut text = format!("\n| {} |\n{}|\n", HEADS.join(" | "), "|---".repeat(HEADS.len()));
    for row in rows(report) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
    table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
    svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#444}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}text{fill:#bbb}}";

const COLORS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b22222"];

/// One page with tables and plots.
pub fn html(report: &ArmsReport) -> String {
    let cells = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let table: String = std::iter::once(cells("th", &HEADS.map(str::to_owned)))
        .chain(rows(report).iter().map(|row| cells("td", row)))
        .collect();
    let blind = blind_mean(report);
    let total = report.budget.perception
        + report.budget.understanding
        + report.budget.cold_start
        + report.budget.reasoning;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Is it the ladder that helps?</title><style>{STYLE}</style>\
         <h1>Is it the ladder that helps?</h1>\
         <p>The same compute, {:.1} million tokens of supervised training or their worth in reinforcement, spent in {} ways \
         from the same foundation; {} seeds; {} localization and {} spatial questions about rooms never seen, answered after \
         a thought. Intervals of 95 %, paired by question and seed, resampled by room.</p>\
         <table>{table}</table>\
         <h2>Spatial questions</h2>{}<h2>Localization</h2>{}<h2>Reward while reinforced</h2>{}\
         <h2>Spread of the reward within a group</h2>{}</html>\n",
        total / 1e6,
        report.arms.len(),
        report.seeds,
        report.localization_questions,
        report.spatial_questions,
        bars(report, &|arm| arm.score, &|arm| arm.runs.iter().map(|run| run.score).collect(), blind),
        bars(
            report,
            &|arm| arm.mean_iou,
            &|arm| arm.runs.iter().map(|run| run.mean_iou).collect(),
            report.blind_iou
        ),
        curves(report, &|(reward, _)| *reward),
        curves(report, &|(_, spread)| *spread),
    )
}

/// A bar for each arm, a dot for each of its seeds, a line where one comes without looking.
fn bars(
    report: &ArmsReport,
    mean: &dyn Fn(&ArmScores) -> f64,
    seeds: &dyn Fn(&ArmScores) -> Vec<f64>,
    blind: f64,
) -> String {
    const WIDTH: f64 = 700.0;
    const ROW: f64 = 26.0;
    let all = report.arms.iter().flat_map(seeds).chain([blind]);
    let top = all.fold(0.0, f64::max).max(1e-9) * 1.1;
    let x = |value: f64| 150.0 + value / top * (WIDTH - 210.0);
    let height = ROW * report.arms.len() as f64 + 24.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (at, arm) in report.arms.iter().enumerate() {
        let y = ROW * at as f64 + 4.0;
        let color = COLORS[at % COLORS.len()];
        let _ = write!(
            svg,
            "<text x=\"142\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"150\" y=\"{y:.0}\" width=\"{:.1}\" height=\"16\" fill=\"{color}\" opacity=\".55\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{:.3}</text>",
            y + 13.0,
            escape(&arm.arm),
            x(mean(arm)) - 150.0,
            seeds(arm).into_iter().map(&x).fold(x(mean(arm)), f64::max) + 8.0,
            y + 13.0,
            mean(arm),
        );
        for value in seeds(arm) {
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.0}\" r=\"3.5\" fill=\"{color}\"/>",
                x(value),
                y + 8.0
            );
        }
    }
    let _ = write!(
        svg,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{1:.0}\" stroke=\"#888\" stroke-dasharray=\"4\"/>\
         <text x=\"{0:.1}\" y=\"{2:.0}\" text-anchor=\"middle\">without looking</text></svg>",
        x(blind),
        height - 20.0,
        height - 6.0
    );
    svg
}

/// A curve for each arm that was reinforced, the mean over its seeds, over the share of the stage.
fn curves(report: &ArmsReport, value: &dyn Fn(&(f64, f64)) -> f64) -> String {
    const WIDTH: f64 = 700.0;
    const HEIGHT: f64 = 260.0;
    let reinforced: Vec<(usize, &ArmScores)> = report
        .arms
        .iter()
        .enumerate()
        .filter(|(_, arm)| arm.runs.iter().any(|run| run.rewards.len() > 1))
        .collect();
    let points: Vec<(usize, &str, Vec<f64>)> = reinforced
        .into_iter()
        .map(|(at, arm)| {
            let steps = arm.runs.iter().map(|run| run.rewards.len()).min().unwrap_or(0);
            let mean = |step: usize| {
                let all = arm.runs.iter().filter_map(|run| run.rewards.get(step)).map(value);
                all.sum::<f64>() / arm.runs.len().max(1) as f64
            };
            (at, arm.arm.as_str(), (0..steps).map(mean).collect())
        })
        .collect();
    let top = points.iter().flat_map(|(.., values)| values).copied().fold(0.0, f64::max).max(1e-9) * 1.05;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for line in 0..=4 {
        let share = f64::from(line) / 4.0;
        let y = (HEIGHT - 30.0) * (1.0 - share) + 8.0;
        let _ = write!(
            svg,
            "<line x1=\"44\" x2=\"560\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#8884\"/>\
             <text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{:.2}</text>",
            y + 4.0,
            share * top
        );
    }
    for (row, (at, name, values)) in points.iter().enumerate() {
        let color = COLORS[at % COLORS.len()];
        let last = values.len().saturating_sub(1).max(1) as f64;
        let line: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(step, value)| {
                let x = 44.0 + step as f64 / last * 516.0;
                format!("{x:.1},{:.1}", (HEIGHT - 30.0) * (1.0 - value / top) + 8.0)
            })
            .collect();
        let y = 16.0 + 18.0 * row as f64;
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <line x1=\"572\" x2=\"590\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"3\"/>\
             <text x=\"596\" y=\"{}\">{}</text>",
            line.join(" "),
            y + 4.0,
            escape(name)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"302\" y=\"{}\" text-anchor=\"middle\">share of the stage's steps</text></svg>",
        HEIGHT - 4.0
    );
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
