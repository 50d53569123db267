//! The arms' scores for people: tables for the terminal and for Markdown, and one HTML page that needs nothing else.

use super::arms::{Arm, ArmScores, ArmStage, ArmsReport};
use spatial_ladder::benchmarks::Interval;
use std::collections::BTreeSet;
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
    let stages: Vec<String> =
        arm.stages.iter().map(|stage| format!("{} {}", stage.stage, stage.steps)).collect();
    stages.join(" → ")
}

/// Mean over the kinds of spatial questions that enough is known about; 0 where that is none.
fn blind_mean(report: &ArmsReport) -> f64 {
    report.blind.values().fold(0.0, |sum, value| sum + value) / report.blind.len().max(1) as f64
}

/// Cells below their heads.
struct Table {
    title: &'static str,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        let mut text = format!(
            "\n{}\n\n| {} |\n{}|\n",
            self.title,
            self.heads.join(" | "),
            "|---".repeat(self.heads.len())
        );
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }

    fn html(&self) -> String {
        let cells = |tag: &str, cells: &[String]| {
            let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
            format!("<tr>{cells}</tr>")
        };
        let rows: String = self.rows.iter().map(|row| cells("td", row)).collect();
        format!("<h2>{}</h2><table>{}{rows}</table>", escape(self.title), cells("th", &self.heads))
    }
}

fn heads<const N: usize>(heads: [&str; N]) -> Vec<String> {
    heads.map(str::to_owned).to_vec()
}

/// What the arms came to: a row for each, one for each of the sweep, and one for who does not look.
fn ends(report: &ArmsReport) -> Table {
    let row = |arm: &ArmScores| {
        let (end, gain) = (arm.end(), arm.against_ladder.as_ref());
        vec![
            arm.arm.clone(),
            stages(arm),
            format!("{:.3}", end.mean_iou.mean),
            against(gain.map(|gain| &gain.mean_iou)),
            format!("{:.3}", end.score.mean),
            against(gain.map(|gain| &gain.score)),
            format!("{:.2}", end.in_form),
        ]
    };
    let mut rows: Vec<Vec<String>> = report.arms.iter().chain(&report.sweep).map(row).collect();
    let [iou, spatial] = [report.blind_iou, blind_mean(report)].map(|score| format!("{score:.3}"));
    let none = String::new;
    rows.push(vec!["without looking".to_owned(), none(), iou, none(), spatial, none(), none()]);
    Table {
        title: "At the end",
        heads: heads([
            "arm",
            "steps",
            "mean IoU",
            "less the ladder's",
            "spatial",
            "less the ladder's",
            "in form",
        ]),
        rows,
    }
}

/// What the arms knew after each of their stages.
fn by_stage(report: &ArmsReport) -> Table {
    let scored = |score: &Interval| format!("{:.3} [{:.3}, {:.3}]", score.mean, score.low, score.high);
    let row = |arm: &ArmScores, stage: &ArmStage| {
        vec![
            arm.arm.clone(),
            format!("{} {}", stage.stage, stage.steps),
            scored(&stage.mean_iou),
            scored(&stage.score),
            if stage.thinking { "after a thought" } else { "directly" }.to_owned(),
            format!("{:.2}", stage.in_form),
        ]
    };
    Table {
        title: "After every stage",
        heads: heads(["arm", "after", "mean IoU", "spatial", "answered", "in form"]),
        rows: report
            .arms
            .iter()
            .chain(&report.sweep)
            .flat_map(|arm| arm.stages.iter().map(move |stage| row(arm, stage)))
            .collect(),
    }
}

/// The kinds of spatial questions at the end, each the mean over the seeds.
fn by_kind(report: &ArmsReport) -> Table {
    let arms = || report.arms.iter().chain(&report.sweep);
    let kinds: BTreeSet<&String> =
        arms().flat_map(|arm| &arm.runs).flat_map(|run| run.kinds.keys()).collect();
    let mean = |arm: &ArmScores, kind: &str| {
        let found: Vec<f64> = arm.runs.iter().filter_map(|run| Some(run.kinds.get(kind)?.score)).collect();
        format!("{:.3}", found.iter().sum::<f64>() / found.len().max(1) as f64)
    };
    let row = |kind: &String| {
        let blind = report.blind.get(kind).map_or_else(|| "—".to_owned(), |blind| format!("{blind:.3}"));
        [kind.clone(), blind].into_iter().chain(arms().map(|arm| mean(arm, kind))).collect()
    };
    Table {
        title: "By kind of spatial question",
        heads: heads(["kind", "without looking"])
            .into_iter()
            .chain(arms().map(|arm| arm.arm.clone()))
            .collect(),
        rows: kinds.into_iter().map(row).collect(),
    }
}

/// As Markdown.
pub fn tables(report: &ArmsReport) -> String {
    [ends(report), by_stage(report), by_kind(report)].iter().map(Table::markdown).collect()
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
    table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
    svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#444}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}text{fill:#bbb}}";

const COLORS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b22222"];

/// One page with tables and plots.
pub fn html(report: &ArmsReport) -> String {
    let total = report.budget.perception
        + report.budget.understanding
        + report.budget.cold_start
        + report.budget.reasoning;
    let charts = |bars: &dyn Fn(Measure) -> Vec<Bar>| -> String {
        MEASURES
            .iter()
            .map(|measure| {
                format!("<h3>{}</h3>{}", measure.title(), chart(&bars(*measure), measure.blind(report)))
            })
            .collect()
    };
    let sweep = if report.sweep.is_empty() {
        String::new()
    } else {
        format!(
            "<h2>With less and more understanding</h2><p>These cost less and more than the ladder.</p>{}",
            charts(&|measure| sweep_bars(report, measure))
        )
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Is it the ladder that helps?</title><style>{STYLE}</style>\
         <h1>Is it the ladder that helps?</h1>\
         <p>The same compute, {:.1} million tokens of supervised training or their worth in reinforcement, spent in {} ways \
         from the same foundation; seeds: {}; {} localization and {} spatial questions about rooms never seen, at the end \
         answered after a thought. Bars are means with their 95 % intervals (resampled by room), dots are seeds; differences \
         are paired by question and seed.</p>{}{}{}\
         {}{}{}\
         <h2>Reward while reinforced</h2>{}<h2>Spread of the reward within a group</h2>{}</html>\n",
        total / 1e6,
        report.arms.len(),
        report.seeds,
        report.localization_questions,
        report.spatial_questions,
        ends(report).html(),
        charts(&|measure| end_bars(&report.arms, measure)),
        by_kind(report).html(),
        by_stage(report).html(),
        charts(&|measure| stage_bars(&report.arms, measure)),
        sweep,
        curves(report, &|(reward, _)| *reward),
        curves(report, &|(_, spread)| *spread),
    )
}

/// What the arms came to as one picture that needs nothing else.
pub fn figure(report: &ArmsReport) -> String {
    const GAP: f64 = 34.0;
    let height = chart_height(report.arms.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {0:.0}\" width=\"{WIDTH}\" height=\"{0:.0}\">\
         <style>text{{font:12px sans-serif;fill:#777}}</style>",
        2.0 * (height + GAP)
    );
    for (at, measure) in MEASURES.iter().enumerate() {
        let top = at as f64 * (height + GAP);
        let _ = write!(
            svg,
            "<text x=\"4\" y=\"{:.0}\" font-weight=\"bold\">{}</text>\
             <svg y=\"{:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\">{}</svg>",
            top + 18.0,
            measure.title(),
            top + 26.0,
            chart(&end_bars(&report.arms, *measure), measure.blind(report))
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a chart shows.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Spatial,
    Localization,
}

const MEASURES: [Measure; 2] = [Measure::Spatial, Measure::Localization];

impl Measure {
    fn title(self) -> &'static str {
        match self {
            Self::Spatial => "Spatial questions, mean score over the kinds",
            Self::Localization => "Localization, mean IoU",
        }
    }

    fn blind(self, report: &ArmsReport) -> f64 {
        match self {
            Self::Spatial => blind_mean(report),
            Self::Localization => report.blind_iou,
        }
    }

    fn of(self, stage: &ArmStage) -> Interval {
        match self {
            Self::Spatial => stage.score,
            Self::Localization => stage.mean_iou,
        }
    }

    fn seeds(self, stage: &ArmStage) -> Vec<f64> {
        let at = match self {
            Self::Spatial => 1,
            Self::Localization => 0,
        };
        stage.seeds.iter().map(|seed| seed[at]).collect()
    }
}

/// One row of a chart.
struct Bar {
    label: String,
    /// Which of [`COLORS`].
    color: usize,
    score: Interval,
    seeds: Vec<f64>,
}

impl Bar {
    fn new(label: String, color: usize, stage: &ArmStage, measure: Measure) -> Self {
        Self { label, color, score: measure.of(stage), seeds: measure.seeds(stage) }
    }
}

fn end_bars<'a>(arms: impl IntoIterator<Item = &'a ArmScores>, measure: Measure) -> Vec<Bar> {
    let arms = arms.into_iter().enumerate();
    arms.map(|(at, arm)| Bar::new(arm.arm.clone(), at, arm.end(), measure)).collect()
}

fn stage_bars(arms: &[ArmScores], measure: Measure) -> Vec<Bar> {
    let stages =
        arms.iter().enumerate().flat_map(|(at, arm)| arm.stages.iter().map(move |stage| (at, arm, stage)));
    stages
        .map(|(at, arm, stage)| Bar::new(format!("{}: {}", arm.arm, stage.stage), at, stage, measure))
        .collect()
}

/// The ladder with less and more understanding, in the order of how much.
fn sweep_bars(report: &ArmsReport, measure: Measure) -> Vec<Bar> {
    let understanding = |arm: &&ArmScores| {
        arm.stages.iter().find(|stage| stage.stage == "understanding").map_or(0, |stage| stage.steps)
    };
    let ladder = report.arms.iter().filter(|arm| arm.arm == Arm::Ladder.name());
    let mut points: Vec<&ArmScores> = report.sweep.iter().chain(ladder).collect();
    points.sort_by_key(understanding);
    end_bars(points, measure)
}

const WIDTH: f64 = 700.0;
const BAR_ROW: f64 = 26.0;

/// Of a chart of so many bars.
fn chart_height(bars: usize) -> f64 {
    BAR_ROW * bars as f64 + 24.0
}

/// A bar for each row with its interval, a dot for each seed, a line where one comes without looking.
fn chart(bars: &[Bar], blind: f64) -> String {
    // A letter is about 6 wide.
    let left = 16.0 + 6.4 * bars.iter().map(|bar| bar.label.len()).max().unwrap_or(0) as f64;
    let far = |bar: &Bar| bar.seeds.iter().copied().fold(bar.score.high, f64::max);
    let top = bars.iter().map(far).fold(blind, f64::max).max(1e-9);
    let x = |value: f64| left + value / top * (WIDTH - left - 60.0);
    let height = chart_height(bars.len());
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (at, bar) in bars.iter().enumerate() {
        let middle = BAR_ROW * at as f64 + 12.0;
        let (above, below) = (middle - 8.0, middle + 5.0);
        let color = COLORS[bar.color % COLORS.len()];
        let Interval { mean, low, high } = bar.score;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{below}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left:.1}\" y=\"{above}\" width=\"{:.1}\" height=\"16\" fill=\"{color}\" opacity=\".45\"/>\
             <path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {end}v8M{high:.1} {end}v8\" stroke=\"{color}\" \
             stroke-width=\"1.5\"/>\
             <text x=\"{:.1}\" y=\"{below}\">{mean:.3}</text>",
            left - 8.0,
            escape(&bar.label),
            x(mean) - left,
            x(far(bar)) + 8.0,
            low = x(low),
            high = x(high),
            end = middle - 4.0,
        );
        for seed in &bar.seeds {
            let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{middle}\" r=\"3\" fill=\"{color}\"/>", x(*seed));
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
