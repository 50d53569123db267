//! Training in a terminal: one bar, with the numbers that tell whether it learns.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use spatial_ladder::runs::{Event, Timed};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// A bar for work whose steps are counted; plain lines where stderr is no terminal.
pub fn bar(name: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{prefix:>12} {bar:32.cyan/dim} {pos}/{len}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}

/// Shows the events of a training run.
pub struct TrainingProgress {
    bar: ProgressBar,
    /// Exponential mean, since the loss of one batch says little.
    loss: Option<f64>,
    reward: Option<f64>,
    held_out: Option<String>,
    last_line: Option<Instant>,
}

impl TrainingProgress {
    pub fn new(stage: &str, steps: u64) -> Self {
        Self { bar: bar(stage, steps), loss: None, reward: None, held_out: None, last_line: None }
    }

    pub fn show(&mut self, event: &Timed) {
        match &event.event {
            Event::Started { parameters, train_samples, device, .. } => self.say(&format!(
                "training {:.1} M parameters on {train_samples} samples, {device}",
                *parameters as f64 / 1e6
            )),
            Event::Resumed { step, .. } => {
                self.bar.set_position(*step);
                self.say(&format!("resumed after step {step}"));
            }
            Event::Step { step, loss, samples_per_s, tokens_per_s, seconds_left, parts, .. } => {
                let smooth = self.loss.map_or(*loss, |old| 0.95 * old + 0.05 * loss);
                self.loss = Some(smooth);
                let held_out = self.held_out.clone().unwrap_or_default();
                let part = |name: &str| parts.iter().find(|(part, _)| part == name).map(|(_, value)| *value);
                // Of reinforcement the reward says more than the loss.
                let learnt = match (part("reward"), part("accuracy"), part("format")) {
                    (Some(reward), Some(accuracy), Some(format)) => {
                        let smooth = self.reward.map_or(reward, |old| 0.95 * old + 0.05 * reward);
                        self.reward = Some(smooth);
                        format!("reward {smooth:.3} (now accuracy {accuracy:.2}, format {format:.2})")
                    }
                    _ => format!("loss {smooth:.3}"),
                };
                let left = HumanDuration(Duration::from_secs_f64(seconds_left.max(0.0)));
                let message = format!(
                    "{learnt}{held_out}  {samples_per_s:.0} samples/s  {tokens_per_s:.0} tokens/s  {left} left"
                );
                self.bar.set_position(*step);
                self.bar.set_message(message.clone());
                self.plain_line(&format!("step {step}  {message}"));
            }
            Event::Evaluation {
                step,
                mean_iou,
                accuracy_50,
                score,
                parsed,
                category_accuracy,
                samples,
                kinds,
                ..
            } => {
                let mut line = format!("step {step:>6}: held-out");
                if let (Some(iou), Some(found)) = (mean_iou, accuracy_50) {
                    self.held_out = Some(format!("  held-out IoU {iou:.3}"));
                    line += &format!(" mean IoU {iou:.3}, found at IoU 0.5 {:.1} %", 100.0 * found);
                }
                if let Some(score) = score {
                    self.held_out = Some(format!("  held-out score {score:.3}"));
                    line += &format!(" score {score:.3} over {} kinds of questions", kinds.len());
                }
                if let Some(parsed) = parsed {
                    line += &format!(", in form {:.1} % of {samples}", 100.0 * parsed);
                }
                if let Some(accuracy) = category_accuracy {
                    line += &format!(", category right {:.1} %, {samples} pictures", 100.0 * accuracy);
                }
                self.say(&line);
            }
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::Checkpoint { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. }
            | Event::Failed { .. } => {}
        }
    }

    pub fn finish(&self) {
        self.bar.finish();
    }

    fn say(&self, line: &str) {
        if std::io::stderr().is_terminal() { self.bar.println(line) } else { eprintln!("{line}") }
    }

    /// Without a terminal there is no bar: say where it stands every ten seconds instead.
    fn plain_line(&mut self, line: &str) {
        let due = self.last_line.is_none_or(|last| last.elapsed() > Duration::from_secs(10));
        if due && !std::io::stderr().is_terminal() {
            eprintln!("{line}");
            self.last_line = Some(Instant::now());
        }
    }
}
