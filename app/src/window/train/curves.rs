//! Loss and held-out curves. The raw data are smoothed first and thinned after, so that what is drawn
//! is the smooth curve of all data, not a smooth curve of a few; the raw trace stays faint behind it.

use super::watch::{RunLog, RunView};
use crate::window::theme::{self, Tokens};
use egui::{Color32, Rect, RichText, Ui, vec2};
use egui_plot::{GridInput, GridMark, Line, LineStyle, Plot, PlotPoint, PlotPoints, VLine};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// Most points drawn for one curve; more than there are pixels across would only cost time.
const DRAWN: usize = 2000;

pub struct CurveOptions {
    /// Weight of the past in the running mean, in 0..1; 0 draws the raw data.
    pub smoothing: f64,
    pub log_loss: bool,
    pub log_steps: bool,
    pub raw: bool,
    /// What the upper plot shows: `loss`, or a measure by its name.
    pub measure: String,
}

/// The measure that every run has.
pub const LOSS: &str = "loss";

impl Default for CurveOptions {
    fn default() -> Self {
        Self { smoothing: 0.9, log_loss: false, log_steps: false, raw: true, measure: LOSS.to_owned() }
    }
}

/// Step and value of a measure.
type Points = Arc<Vec<[f64; 2]>>;

/// Raw and smoothed values by run and measure, kept until the run or the smoothing changes.
#[derive(Default)]
pub struct SmoothCache {
    runs: HashMap<(PathBuf, String), Smoothed>,
}

#[derive(Default)]
struct Smoothed {
    smoothing: f64,
    raw: Points,
    smooth: Arc<Vec<f64>>,
}

impl SmoothCache {
    fn values(&mut self, run: &RunView, measure: &str, smoothing: f64) -> (Points, Arc<Vec<f64>>) {
        let log = &run.log;
        let entry = self.runs.entry((run.dir.root().to_owned(), measure.to_owned())).or_default();
        let count = match measure {
            LOSS => log.steps.len(),
            name => log.measures.get(name).map_or(0, Vec::len),
        };
        if entry.smoothing != smoothing || entry.raw.len() != count {
            let raw: Vec<[f64; 2]> = match measure {
                LOSS => log.steps.iter().map(|point| [point.step as f64, point.loss]).collect(),
                name => log.measures.get(name).cloned().unwrap_or_default(),
            };
            let smooth = Arc::new(smooth(raw.iter().map(|point| point[1]), smoothing));
            *entry = Smoothed { smoothing, raw: Arc::new(raw), smooth };
        }
        (entry.raw.clone(), entry.smooth.clone())
    }
}

/// What can be shown of these runs.
pub fn measures<'a>(runs: impl Iterator<Item = &'a RunView>) -> Vec<String> {
    let named: std::collections::BTreeSet<String> =
        runs.flat_map(|run| run.log.measures.keys().cloned()).collect();
    std::iter::once(LOSS.to_owned()).chain(named).collect()
}

/// The running mean with weight `past` on what came before, corrected for its start: the first value
/// is the first datum, not a shrunken one. Values that are not finite are passed over.
pub fn smooth(raw: impl Iterator<Item = f64>, past: f64) -> Vec<f64> {
    let (mut mean, mut weight, mut last) = (0.0, 0.0, f64::NAN);
    raw.map(|value| {
        if value.is_finite() {
            mean = past * mean + (1.0 - past) * value;
            weight = past * weight + (1.0 - past);
            last = mean / weight;
        }
        last
    })
    .collect()
}

/// At most about `most` points with the same outline: of each stretch the lowest and the highest.
fn thin(points: Vec<[f64; 2]>, most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most {
        return points;
    }
    let stretch = points.len().div_ceil(most / 2);
    let mut kept = Vec::with_capacity(most + 2);
    for part in points.chunks(stretch) {
        let by_height = |a: &&[f64; 2], b: &&[f64; 2]| a[1].total_cmp(&b[1]);
        let (Some(low), Some(high)) = (part.iter().min_by(by_height), part.iter().max_by(by_height)) else {
            continue;
        };
        let (first, second) = if low[0] <= high[0] { (low, high) } else { (high, low) };
        kept.push(*first);
        if first != second {
            kept.push(*second);
        }
    }
    kept
}

/// A run to draw, in its colour.
#[derive(Clone, Copy)]
pub struct Curve<'a> {
    pub run: &'a RunView,
    pub color: Color32,
}

/// Both plots, one above the other; the rectangle they cover.
pub fn curves_ui<'a>(
    ui: &mut Ui,
    curves: &[Curve<'a>],
    options: &CurveOptions,
    cache: &mut SmoothCache,
) -> Rect {
    let tokens = theme::tokens(ui.ctx());
    let top = ui.cursor().min;
    let title = 22.0;
    let height = ((ui.available_height() - 2.0 * (title + 2.0 * theme::GAP)) / 2.0).max(120.0);
    let width = ui.available_width();

    // Plots fill their background with this colour.
    ui.visuals_mut().extreme_bg_color = tokens.surface;
    let ends = |curve: &Curve<'_>| {
        let steps = &curve.run.log.steps;
        [steps.first(), steps.last()].map(|point| point.map_or(0, |point| point.step))
    };
    let steps: Vec<u64> = curves.iter().flat_map(ends).collect();
    let title = match options.measure.as_str() {
        LOSS => "Training loss".to_owned(),
        name => format!("While training: {}", name.replace('_', " ")),
    };
    plot_title(ui, &title, if options.raw { "smoothed; each step faint behind" } else { "smoothed" });
    let values: Vec<(Points, Arc<Vec<f64>>)> =
        curves.iter().map(|curve| cache.values(curve.run, &options.measure, options.smoothing)).collect();
    let axes = Axes { log_x: options.log_steps, log_y: options.log_loss };
    let response = axes.plot("loss", height, &steps, tokens).show(ui, |plot| {
        let window = axes.visible(plot.plot_bounds().range_x());
        for (curve, (raw, smoothed)) in curves.iter().zip(&values) {
            let range = visible_range(raw.len(), |at| raw[at][0], &window);
            let points = |value: &dyn Fn(usize) -> f64| {
                let all = range.clone().filter_map(|at| axes.point(raw[at][0], value(at)));
                PlotPoints::from(thin(all.collect(), DRAWN))
            };
            if options.raw {
                let faint = curve.color.gamma_multiply(0.28);
                plot.line(Line::new("", points(&|at| raw[at][1])).color(faint).width(1.0).allow_hover(false));
            }
            let line = Line::new(&curve.run.name, points(&|at| smoothed[at]));
            plot.line(line.color(curve.color).width(2.0).allow_hover(false));
        }
        mark_pointer(plot, tokens);
        plot.pointer_coordinate()
    });
    hover(response.response, response.inner, ["step", "value", "smoothed"], |pointer| {
        let step = axes.step_at(pointer);
        let row = |(curve, (raw, smoothed)): (&Curve<'a>, &(Points, Arc<Vec<f64>>))| {
            let at = nearest(raw.len(), |at| raw[at][0], step)?;
            let [value, smoothed] = [raw[at][1], smoothed[at]].map(|value| format!("{value:.4}"));
            Some((*curve, [format!("{}", raw[at][0]), value, smoothed]))
        };
        curves.iter().zip(&values).filter_map(row).collect()
    });

    let overlap = curves.iter().all(|curve| curve.run.log.evaluations.iter().all(|point| point.is_overlap));
    let (title, explained, heads) = match overlap {
        true => (
            "Held-out boxes",
            "mean IoU solid, share with IoU of at least 0.5 dashed",
            ["step", "mean IoU", "IoU ≥ 0.5"],
        ),
        false => (
            "Held-out questions",
            "mean score of all kinds solid, share of answers in the form asked for dashed",
            ["step", "score", "in form"],
        ),
    };
    plot_title(ui, title, explained);
    let axes = Axes { log_x: options.log_steps, log_y: false };
    let response = axes.plot("iou", height, &steps, tokens).include_y(0.0).show(ui, |plot| {
        for curve in curves {
            let evaluations = &curve.run.log.evaluations;
            let points = |value: fn(&super::watch::EvaluationPoint) -> Option<f64>| -> Vec<[f64; 2]> {
                evaluations.iter().filter_map(|point| axes.point(point.step as f64, value(point)?)).collect()
            };
            let iou = points(|point| Some(point.score));
            let line = Line::new(&curve.run.name, PlotPoints::from(iou.clone()));
            plot.line(line.color(curve.color).width(2.0).allow_hover(false));
            plot.points(
                egui_plot::Points::new("", PlotPoints::from(iou))
                    .color(curve.color)
                    .radius(3.0)
                    .allow_hover(false),
            );
            let line = Line::new("", PlotPoints::from(points(|point| point.share)));
            plot.line(line.color(curve.color).width(1.5).style(LineStyle::dashed_dense()).allow_hover(false));
        }
        mark_pointer(plot, tokens);
        plot.pointer_coordinate()
    });
    hover(response.response, response.inner, heads, |pointer| {
        let step = axes.step_at(pointer);
        let row = |curve: &Curve<'a>| {
            let points = &curve.run.log.evaluations;
            let at = nearest(points.len(), |at| points[at].step as f64, step)?;
            let share = points[at].share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0));
            Some((*curve, [points[at].step.to_string(), format!("{:.4}", points[at].score), share]))
        };
        curves.iter().filter_map(row).collect()
    });
    Rect::from_min_size(top, vec2(width, ui.cursor().min.y - top.y))
}

fn plot_title(ui: &mut Ui, title: &str, explained: &str) {
    let tokens = theme::tokens(ui.ctx());
    ui.horizontal(|ui| {
        ui.set_height(22.0);
        ui.label(RichText::new(title).strong().color(tokens.text_strong));
        ui.label(RichText::new(explained).small().color(tokens.text_subdued));
    });
}

/// A table of exact numbers beside the pointer while it is over a plot, a row for each run, without the
/// delay of ordinary tooltips.
fn hover<'a>(
    response: egui::Response,
    pointer: Option<PlotPoint>,
    heads: [&str; 3],
    rows: impl FnOnce(PlotPoint) -> Vec<(Curve<'a>, [String; 3])>,
) {
    let Some(pointer) = pointer.filter(|_| response.hovered()) else {
        return;
    };
    egui::Tooltip::for_widget(&response).at_pointer().gap(2.0 * theme::GAP).show(|ui| {
        ui.set_style(theme::style(ui.ctx().theme()));
        let tokens = theme::tokens(ui.ctx());
        ui.spacing_mut().interact_size.y = 0.0;
        let grid = egui::Grid::new("exact numbers").spacing(vec2(theme::GAP_LARGE, theme::GAP_TINY));
        grid.show(ui, |ui| {
            ui.label("");
            for head in heads {
                ui.label(RichText::new(head).small().color(tokens.text_subdued));
            }
            ui.end_row();
            for (curve, numbers) in rows(pointer) {
                ui.label(RichText::new(format!("■ {}", curve.run.name)).color(curve.color));
                for number in numbers {
                    ui.label(RichText::new(number).monospace().color(tokens.text_strong));
                }
                ui.end_row();
            }
        });
    });
}

fn mark_pointer(plot: &mut egui_plot::PlotUi<'_>, tokens: &Tokens) {
    if plot.response().hovered()
        && let Some(pointer) = plot.pointer_coordinate()
    {
        plot.vline(VLine::new("", pointer.x).color(tokens.text_subdued).width(1.0).allow_hover(false));
    }
}

/// The sorted positions that lie in the window, and one more on each side so that lines reach its edges.
fn visible_range(
    count: usize,
    step: impl Fn(usize) -> f64,
    window: &RangeInclusive<f64>,
) -> std::ops::Range<usize> {
    let below = |limit: f64| partition(count, |at| step(at) < limit);
    let (first, last) = (below(*window.start()), below(*window.end()));
    first.saturating_sub(1)..(last + 2).min(count)
}

fn partition(count: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if is_below(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// The position whose step is nearest to `wanted`; steps are sorted.
fn nearest(count: usize, step: impl Fn(usize) -> f64, wanted: f64) -> Option<usize> {
    let after = partition(count, |at| step(at) < wanted);
    [after.checked_sub(1), Some(after)]
        .into_iter()
        .flatten()
        .filter(|at| *at < count)
        .min_by(|a, b| (step(*a) - wanted).abs().total_cmp(&(step(*b) - wanted).abs()))
}

/// Linear or logarithmic axes: egui_plot knows linear ones only, so logarithms are plotted and the
/// marks are labelled with what they stand for.
#[derive(Clone, Copy)]
struct Axes {
    log_x: bool,
    log_y: bool,
}

impl Axes {
    fn point(self, step: f64, value: f64) -> Option<[f64; 2]> {
        let x = if self.log_x { step.max(1.0).log10() } else { step };
        let y = if self.log_y { (value > 0.0).then(|| value.log10())? } else { value };
        y.is_finite().then_some([x, y])
    }

    fn step_at(self, point: PlotPoint) -> f64 {
        if self.log_x { 10f64.powf(point.x) } else { point.x }
    }

    /// The steps between the edges of the plot.
    fn visible(self, x: RangeInclusive<f64>) -> RangeInclusive<f64> {
        let step = |x: f64| if self.log_x { 10f64.powf(x) } else { x };
        step(*x.start())..=step(*x.end())
    }

    /// A plot that shows at least these steps, unless the user has zoomed in.
    fn plot<'a>(self, id: &str, height: f32, steps: &[u64], tokens: &Tokens) -> Plot<'a> {
        let mut plot = Plot::new((id, self.log_x, self.log_y))
            .height(height)
            .show_x(false)
            .show_y(false)
            .label_formatter(|_| None)
            .allow_scroll(false)
            .allow_double_click_reset(true)
            .link_axis(egui::Id::new(("steps", self.log_x)), [true, false])
            .set_margin_fraction(vec2(0.01, 0.08))
            .y_axis_min_width(44.0)
            .grid_color(tokens.line)
            .x_axis_formatter(
                move |mark, range| {
                    if self.log_x { power(mark.value, range) } else { plain(mark.value) }
                },
            )
            .y_axis_formatter(
                move |mark, range| {
                    if self.log_y { power(mark.value, range) } else { plain(mark.value) }
                },
            );
        for step in steps {
            plot = plot.include_x(self.point(*step as f64, 1.0).map_or(0.0, |[x, _]| x));
        }
        let plot = if self.log_x { plot.x_grid_spacer(decades) } else { plot };
        if self.log_y { plot.y_grid_spacer(decades) } else { plot }
    }
}

/// Marks at 1, 2, … 9 times each power of ten that can be seen.
fn decades(input: GridInput) -> Vec<GridMark> {
    let (from, to) = input.bounds;
    if !(to - from).is_finite() || to - from > 40.0 {
        return Vec::new();
    }
    (from.floor() as i32..=to.ceil() as i32)
        .flat_map(|decade| (1..10).map(move |times| (decade, times)))
        .map(|(decade, times)| GridMark {
            value: f64::from(decade) + f64::from(times).log10(),
            step_size: if times == 1 { 1.0 } else { 0.15 },
        })
        .filter(|mark| (from..=to).contains(&mark.value))
        .collect()
}

/// What a mark of [`decades`] stands for. Where they would crowd, some go without a name.
fn power(exponent: f64, visible: &RangeInclusive<f64>) -> String {
    let value = 10f64.powf(exponent);
    let leading = (value / 10f64.powf((exponent + 1e-9).floor())).round() as u32;
    let named: &[u32] = match visible.end() - visible.start() {
        span if span < 1.0 => &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        span if span < 3.0 => &[1, 2, 5],
        _ => &[1],
    };
    if named.contains(&leading) { plain(value) } else { String::new() }
}

fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Loss and held-out numbers of these runs, one row a step or evaluation, the loss raw and smoothed. A run's own
/// `metrics.csv` holds its other measures too.
pub fn csv(runs: &[&RunView], smoothing: f64) -> String {
    use std::fmt::Write;
    let mut text = String::from("run,step,loss,loss_smoothed,learning_rate,held_out,held_out_share\n");
    for run in runs {
        let log: &RunLog = &run.log;
        let smoothed = smooth(log.steps.iter().map(|point| point.loss), smoothing);
        let name = if run.name.contains([',', '"', '\n']) {
            format!("\"{}\"", run.name.replace('"', "\"\""))
        } else {
            run.name.clone()
        };
        for (point, smoothed) in log.steps.iter().zip(smoothed) {
            let _ =
                writeln!(text, "{name},{},{},{smoothed},{},,", point.step, point.loss, point.learning_rate);
        }
        for point in &log.evaluations {
            let share = point.share.map_or_else(String::new, |share| share.to_string());
            let _ = writeln!(text, "{name},{},,,,{},{share}", point.step, point.score);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_starts_at_the_data_and_ignores_gaps() {
        assert_eq!(smooth([4.0, 4.0, 4.0].into_iter(), 0.9), [4.0, 4.0, 4.0].map(|v: f64| v));
        assert_eq!(smooth([1.0, 2.0].into_iter(), 0.0), [1.0, 2.0]);
        let with_gap = smooth([1.0, f64::NAN, 1.0].into_iter(), 0.5);
        assert!(with_gap.iter().all(|value| (value - 1.0).abs() < 1e-12));
    }

    #[test]
    fn thinning_keeps_the_extremes_and_the_order() {
        let mut points: Vec<[f64; 2]> = (0..50_000).map(|at| [f64::from(at), f64::from(at % 7)]).collect();
        points[31_234][1] = 99.0;
        let thinned = thin(points, 2000);
        assert!(thinned.len() <= 2002);
        assert!(thinned.iter().any(|point| point[1] == 99.0));
        assert!(thinned.windows(2).all(|pair| pair[0][0] < pair[1][0]));
    }

    #[test]
    fn the_nearest_step_is_found() {
        let steps = [1.0, 5.0, 10.0];
        let find = |wanted| nearest(steps.len(), |at| steps[at], wanted);
        assert_eq!((find(-3.0), find(4.0), find(7.6), find(99.0)), (Some(0), Some(1), Some(2), Some(2)));
        assert_eq!(nearest(0, |_| 0.0, 1.0), None);
        assert_eq!(visible_range(3, |at| steps[at], &(4.0..=6.0)), 0..3);
    }

    #[test]
    fn axis_marks_read_as_numbers() {
        assert_eq!(plain(0.25), "0.25");
        assert_eq!(plain(-0.0), "0");
        let wide = -1.0..=1.5;
        assert_eq!(power(0.0, &wide), "1");
        assert_eq!(power(3.0, &wide), "1000");
        assert_eq!(power(2f64.log10() - 1.0, &wide), "0.2");
        assert_eq!(power(3f64.log10(), &wide), "");
        assert_eq!(power(3f64.log10(), &(0.0..=0.5)), "3");
    }
}
