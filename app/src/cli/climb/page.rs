//! The arms' scores for people: a table for the terminal and for Markdown, and one HTML page that needs nothing else.

use super::arms::{ArmScores, ArmsReport, RunScores};
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

/// The cells below [`HEADS`]: a row for each arm, one for each of the sweep, and one for who does not look.
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
    let mut rows: Vec<[String; 7]> = report.arms.iter().chain(&report.sweep).map(row).collect();
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
         <h2>Spatial questions</h2>{}<h2>Localization</h2>{}{}<h2>Reward while reinforced</h2>{}\
         <h2>Spread of the reward within a group</h2>{}</html>\n",
        total / 1e6,
        report.arms.len(),
        report.seeds,
        report.localization_questions,
        report.spatial_questions,
        bars(&report.arms, &|run| run.score, blind),
        bars(&report.arms, &|run| run.mean_iou, report.blind_iou),
        sweep(report, blind),
        curves(report, &|(reward, _)| *reward),
        curves(report, &|(_, spread)| *spread),
    )
}

/// The scores of the arms as one picture that needs nothing else.
pub fn figure(report: &ArmsReport) -> String {
    const WIDTH: usize = 700;
    let charts = [
        (
            "Spatial questions, mean score over the kinds",
            bars(&report.arms, &|run| run.score, blind_mean(report)),
        ),
        ("Localization, mean IoU", bars(&report.arms, &|run| run.mean_iou, report.blind_iou)),
    ];
    let height = bars_height(report.arms.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {0:.0}\" width=\"{WIDTH}\" height=\"{0:.0}\">\
         <style>text{{font:12px sans-serif;fill:#777}}</style>",
        2.0 * (height + 34.0)
    );
    for (at, (title, chart)) in charts.iter().enumerate() {
        let top = at as f64 * (height + 34.0);
        let _ = write!(
            svg,
            "<text x=\"4\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>\
             <svg y=\"{:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\">{chart}</svg>",
            top + 18.0,
            top + 26.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The ladder with less and more understanding, in the order of how much.
fn sweep(report: &ArmsReport, blind: f64) -> String {
    if report.sweep.is_empty() {
        return String::new();
    }
    let understanding = |arm: &&ArmScores| {
        arm.stages.iter().find(|(stage, _)| stage == "understanding").map_or(0, |(_, steps)| *steps)
    };
    let ladder = report.arms.iter().filter(|arm| arm.against_ladder.is_none());
    let mut points: Vec<&ArmScores> = report.sweep.iter().chain(ladder).collect();
    points.sort_by_key(understanding);
    format!(
        "<h2>With less and more understanding</h2><p>Spatial questions, then localization; these cost less and more than \
         the ladder.</p>{}{}",
        bars(points.iter().copied(), &|run| run.score, blind),
        bars(points.iter().copied(), &|run| run.mean_iou, report.blind_iou)
    )
}

const BAR_ROW: f64 = 26.0;

/// Of a chart of so many bars.
fn bars_height(arms: usize) -> f64 {
    BAR_ROW * arms as f64 + 24.0
}

/// A bar for each arm, a dot for each of its seeds, a line where one comes without looking.
fn bars<'a>(
    arms: impl IntoIterator<Item = &'a ArmScores>,
    value: &dyn Fn(&RunScores) -> f64,
    blind: f64,
) -> String {
    const WIDTH: f64 = 700.0;
    let arms: Vec<&ArmScores> = arms.into_iter().collect();
    let seeds = |arm: &ArmScores| arm.runs.iter().map(value).collect::<Vec<f64>>();
    let mean = |arm: &ArmScores| seeds(arm).iter().sum::<f64>() / arm.runs.len().max(1) as f64;
    let all = arms.iter().flat_map(|arm| seeds(arm)).chain([blind]);
    let top = all.fold(0.0, f64::max).max(1e-9) * 1.1;
    let x = |value: f64| 150.0 + value / top * (WIDTH - 210.0);
    let height = bars_height(arms.len());
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (at, arm) in arms.iter().enumerate() {
        let y = BAR_ROW * at as f64 + 4.0;
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
