//! What the model said on the way: held-out answers at every evaluation, and in the reasoning stage every completion
//! with its rewards.

use crate::window::{theme, widgets};
use egui::{RichText, ScrollArea, Ui};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the folder is looked at again.
const INTERVAL: Duration = Duration::from_secs(1);

/// A row of a file of `samples/`, of either kind.
#[derive(Debug, Clone, Deserialize)]
struct Row {
    question: String,
    #[serde(default)]
    kind: String,
    truth: serde_json::Value,
    text: String,
    /// Of a held-out answer.
    score: Option<f64>,
    /// Of a completion.
    accuracy: Option<f64>,
    format: Option<f64>,
    advantage: Option<f64>,
}

/// The files of one run, and the one that is shown.
#[derive(Default)]
pub struct Answers {
    folder: PathBuf,
    files: Vec<String>,
    looked: Option<Instant>,
    /// The chosen file; the newest when none is.
    chosen: Option<String>,
    shown: Option<(String, Result<Vec<Row>, String>)>,
    only_wrong: bool,
}

impl Answers {
    /// Draws the answers of the run in this folder.
    pub fn ui(&mut self, ui: &mut Ui, run: &Path) {
        self.look(&run.join("samples"));
        ui.ctx().request_repaint_after(INTERVAL);
        let tokens = theme::tokens(ui.ctx());
        let Some(newest) = self.files.last().cloned() else {
            widgets::subdued(
                ui,
                "No answers yet: they come with evaluations and with steps of the reasoning stage.",
            );
            return;
        };
        let chosen = self.chosen.clone().filter(|name| self.files.contains(name)).unwrap_or(newest);
        ui.horizontal(|ui| {
            widgets::subdued(ui, "Answers of");
            egui::ComboBox::from_id_salt("answers of").selected_text(title(&chosen)).width(220.0).show_ui(
                ui,
                |ui| {
                    for name in self.files.iter().rev() {
                        if ui.selectable_label(*name == chosen, title(name)).clicked() {
                            self.chosen = Some(name.clone());
                        }
                    }
                },
            );
            ui.checkbox(&mut self.only_wrong, "Only wrong ones");
        });
        if self.shown.as_ref().is_none_or(|(name, _)| *name != chosen) {
            self.shown = Some((chosen.clone(), read(&self.folder.join(&chosen))));
        }
        let rows = match &self.shown {
            Some((_, Ok(rows))) => rows,
            Some((_, Err(message))) => {
                ui.label(RichText::new(message).color(tokens.danger));
                return;
            }
            None => return,
        };
        let rows: Vec<&Row> = rows.iter().filter(|row| !self.only_wrong || row.right() < 1.0).collect();
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            for row in rows.iter().take(MOST) {
                theme::card_frame(tokens).show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    ui.label(RichText::new(&row.question).color(tokens.text_strong));
                    ui.label(RichText::new(row.text.trim()).monospace());
                    let color = if row.right() >= 1.0 { tokens.success } else { tokens.text_subdued };
                    ui.label(RichText::new(row.facts()).small().color(color));
                });
                ui.add_space(theme::GAP_TINY);
            }
            if rows.len() > MOST {
                widgets::subdued(ui, format!("and {} more", rows.len() - MOST));
            }
        });
    }

    fn look(&mut self, folder: &Path) {
        if self.folder != folder {
            *self = Self { folder: folder.to_owned(), only_wrong: self.only_wrong, ..Self::default() };
        }
        if self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        self.files = names.filter(|name| name.ends_with(".jsonl")).collect();
        // Both kinds in the order of their steps.
        self.files.sort_by_key(|name| (step(name), name.clone()));
    }
}

/// Cards drawn at once.
const MOST: usize = 200;

impl Row {
    /// How right the answer is, 0 to 1.
    fn right(&self) -> f64 {
        self.accuracy.or(self.score).unwrap_or(0.0)
    }

    fn facts(&self) -> String {
        let truth = self.truth.as_str().map_or_else(|| self.truth.to_string(), str::to_owned);
        let mut facts = vec![self.kind.clone(), format!("wanted {truth}")];
        match (self.accuracy, self.format, self.advantage) {
            (Some(accuracy), Some(format), Some(advantage)) => {
                facts.push(format!("accuracy {accuracy:.2}, form {format:.0}, advantage {advantage:+.2}"));
            }
            _ => facts.push(format!("score {:.2}", self.right())),
        }
        facts.join("  ·  ")
    }
}

fn step(name: &str) -> u64 {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn title(name: &str) -> String {
    let what = if name.starts_with("rollouts") { "completions" } else { "evaluation" };
    format!("step {}: {what}", step(name))
}

fn read(path: &Path) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}, line {}: {error}", path.display(), number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_rows_are_read_in_the_order_of_steps() {
        let dir = tempfile::tempdir().unwrap();
        let samples = dir.path().join("samples");
        std::fs::create_dir(&samples).unwrap();
        let completion = r#"{"question_id":1,"kind":"video/room size","image":"a.jpg","question":"How large?","truth":"12","text":"<think>x</think><answer>12</answer>","accuracy":1.0,"format":1.0,"advantage":0.5,"tokens":9,"truncated":false}"#;
        let answer = r#"{"question":"Where?","truth":[{"bbox_2d":[1,2,3,4],"label":"chair"}],"text":"here","score":0.25}"#;
        std::fs::write(samples.join("rollouts_000010.jsonl"), format!("{completion}\n")).unwrap();
        std::fs::write(samples.join("step_000009.jsonl"), format!("{answer}\n")).unwrap();
        let mut answers = Answers::default();
        answers.look(&samples);
        assert_eq!(answers.files, ["step_000009.jsonl", "rollouts_000010.jsonl"]);
        let rows = read(&samples.join("rollouts_000010.jsonl")).unwrap();
        assert!(rows[0].right() == 1.0 && rows[0].facts().contains("wanted 12"), "{}", rows[0].facts());
        let rows = read(&samples.join("step_000009.jsonl")).unwrap();
        assert!(rows[0].right() == 0.25 && rows[0].facts().contains("chair"));
        std::fs::write(samples.join("step_000011.jsonl"), "{}\n").unwrap();
        assert!(read(&samples.join("step_000011.jsonl")).unwrap_err().contains("line 1"));
    }
}
