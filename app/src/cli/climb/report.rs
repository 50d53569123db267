//! What a climb found: `report.json`, and a table for people.

use super::examine::{Examined, Examiner, Gain};
use super::page::verdict;
use super::part;
use serde::Serialize;
use spatial_ladder::benchmarks::{Interval, paired_bootstrap};
use spatial_ladder::runs::{Event, Timed};
use spatial_ladder::training::{Evaluation, KindScore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
pub struct Report {
    localization_questions: usize,
    spatial_questions: usize,
    test_scenes: usize,
    /// Without looking: the average box of the category, and by kind the best of the blind baselines.
    blind: Blind,
    /// After the foundation and after every stage.
    stages: Vec<StageScores>,
    /// Whether reinforcement had something to choose from.
    headroom: Option<Headroom>,
    /// That this process took; a climb that was stopped before took more.
    seconds: f64,
    /// The folder of the finished model.
    model: PathBuf,
}

/// Of the first steps of the reasoning stage, before it has changed much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Headroom {
    steps: usize,
    /// By how much the best completion of a group is more accurate than all on average.
    best_over_mean: f64,
    /// Share of groups whose rewards are all alike, which teach nothing.
    zero_spread: f64,
}

impl Headroom {
    const STEPS: usize = 10;
    /// Less than this between the best and the mean, or more groups without spread, and there is little to reinforce.
    const ENOUGH: (f64, f64) = (0.08, 0.6);

    /// From the events of a run; `None` if it was none of the reasoning stage.
    pub fn of(events: &[Timed]) -> Option<Self> {
        let steps: Vec<[f64; 2]> = events
            .iter()
            .filter_map(|event| match &event.event {
                Event::Step { parts, .. } => {
                    let over = part(parts, "best_of_group")? - part(parts, "accuracy")?;
                    Some([over, part(parts, "zero_spread_groups")?])
                }
                _ => None,
            })
            .take(Self::STEPS)
            .collect();
        let mean = |at: usize| steps.iter().map(|step| step[at]).sum::<f64>() / steps.len() as f64;
        (!steps.is_empty()).then(|| Self {
            steps: steps.len(),
            best_over_mean: mean(0),
            zero_spread: mean(1),
        })
    }

    fn is_enough(&self) -> bool {
        self.best_over_mean >= Self::ENOUGH.0 && self.zero_spread < Self::ENOUGH.1
    }
}

#[derive(Debug, Serialize)]
struct Blind {
    mean_iou: f64,
    accuracy_50: f64,
    kinds: BTreeMap<String, f64>,
    /// Mean over the kinds.
    score: f64,
}

#[derive(Debug, Serialize)]
struct StageScores {
    stage: String,
    mean_iou: f64,
    accuracy_50: f64,
    /// Whether the spatial questions were answered after a thought.
    thinking: bool,
    kinds: BTreeMap<String, KindScore>,
    /// Mean over the kinds.
    score: f64,
    /// Share of the spatial answers in the form asked for.
    in_form: f64,
    /// From the stage before.
    gain: Option<Gain>,
}

impl Report {
    pub fn new(
        examiner: &Examiner<'_>,
        examined: &[Examined],
        headroom: Option<Headroom>,
        model: PathBuf,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let average = examiner.average_box()?;
        let kinds = examiner.blind();
        let gain = |before: &Evaluation, after: &Evaluation, seed: u64| {
            paired_bootstrap(&after.scores(), &before.scores(), &after.scenes(), seed)
        };
        let stages: Vec<StageScores> = examined
            .iter()
            .enumerate()
            .map(|(at, now)| StageScores {
                stage: now.stage.clone(),
                mean_iou: now.localization.mean_iou.unwrap_or(0.0),
                accuracy_50: now.localization.accuracy_50.unwrap_or(0.0),
                thinking: now.thinking,
                kinds: now.spatial.kinds.clone(),
                score: now.spatial.score.unwrap_or(0.0),
                in_form: now.spatial.parsed,
                gain: at.checked_sub(1).map(|before| Gain {
                    mean_iou: gain(&examined[before].localization, &now.localization, 1),
                    score: gain(&examined[before].spatial, &now.spatial, 2),
                }),
            })
            .collect();
        let scenes: BTreeSet<String> = examined
            .first()
            .map(|first| first.localization.scenes().into_iter().chain(first.spatial.scenes()).collect())
            .unwrap_or_default();
        Ok(Self {
            localization_questions: average.answers.len(),
            spatial_questions: examined.first().map_or(0, |first| first.spatial.answers.len()),
            test_scenes: scenes.len(),
            blind: Blind {
                mean_iou: average.mean_iou.unwrap_or(0.0),
                accuracy_50: average.accuracy_50.unwrap_or(0.0),
                score: kinds.values().sum::<f64>() / kinds.len().max(1) as f64,
                kinds,
            },
            stages,
            headroom,
            seconds,
            model,
        })
    }

    pub fn print(&self, path: &Path) {
        eprintln!(
            "\n{} localization and {} spatial questions about {} rooms never seen",
            self.localization_questions, self.spatial_questions, self.test_scenes
        );
        let short = |name: &str| name.chars().take(13).collect::<String>();
        eprint!("{:<34}{:>8}", "", "blind");
        self.stages.iter().for_each(|stage| eprint!("{:>14}", short(&stage.stage)));
        let line = |name: &str, blind: Option<f64>, values: &dyn Fn(&StageScores) -> Option<f64>| {
            eprint!("\n{name:<34}");
            blind.map_or_else(|| eprint!("{:>8}", ""), |blind| eprint!("{blind:>8.3}"));
            for stage in &self.stages {
                values(stage).map_or_else(|| eprint!("{:>14}", ""), |value| eprint!("{value:>14.3}"));
            }
        };
        line("localization, mean IoU", Some(self.blind.mean_iou), &|stage| Some(stage.mean_iou));
        line("localization, IoU ≥ 0.5", Some(self.blind.accuracy_50), &|stage| Some(stage.accuracy_50));
        let kinds: BTreeSet<&String> = self.stages.iter().flat_map(|stage| stage.kinds.keys()).collect();
        let asked = kinds.len();
        for kind in kinds {
            line(kind, self.blind.kinds.get(kind).copied(), &|stage| {
                stage.kinds.get(kind).map(|found| found.score)
            });
        }
        let mean = match (asked, self.blind.kinds.len()) {
            (asked, known) if asked == known => "mean over kinds".to_owned(),
            (asked, known) => format!("mean over {asked} kinds (blind: {known})"),
        };
        line(&mean, Some(self.blind.score), &|stage| Some(stage.score));
        line("answers in the form asked for", None, &|stage| Some(stage.in_form));
        eprintln!("\n");
        for stage in &self.stages {
            let Some(gain) = &stage.gain else { continue };
            let text = |gain: &Interval| {
                format!("{:+.3} [{:+.3}, {:+.3}] {}", gain.mean, gain.low, gain.high, verdict(gain))
            };
            eprintln!(
                "after {:<14} IoU {}   spatial {}",
                stage.stage,
                text(&gain.mean_iou),
                text(&gain.score)
            );
        }
        if let Some(headroom) = &self.headroom {
            eprintln!(
                "in the first {} steps of reasoning the best of a group was {:.3} above the mean, and {:.0} % of the groups \
                 had no spread: {}",
                headroom.steps,
                headroom.best_over_mean,
                100.0 * headroom.zero_spread,
                if headroom.is_enough() { "enough to reinforce" } else { "little to reinforce" }
            );
        }
        eprintln!("report: {}   model: {}   {:.0} s", path.display(), self.model.display(), self.seconds);
        eprintln!(
            "Ask it: spatial-ladder ask --model {} --thinking --image PICTURE --question \"…\"",
            self.model.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(parts: &[(&str, f64)]) -> Timed {
        let parts = parts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let event = Event::Step {
            step: 1,
            loss: 0.0,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            samples_per_s: 0.0,
            tokens_per_s: 0.0,
            seconds_left: 0.0,
            parts,
        };
        Timed { time: 0.0, event }
    }

    #[test]
    fn headroom_is_read_from_the_first_steps() {
        let reinforced = |best: f64, mean: f64, zero: f64| {
            step(&[("accuracy", mean), ("best_of_group", best), ("zero_spread_groups", zero)])
        };
        let mut events = vec![
            Timed { time: 0.0, event: Event::Resumed { step: 0, total_steps: 6 } },
            step(&[("accuracy", 1.0)]),
        ];
        assert_eq!(Headroom::of(&events), None);
        events.extend([reinforced(0.75, 0.25, 0.5), reinforced(0.5, 0.25, 0.25)]);
        let found = Headroom::of(&events).unwrap();
        assert_eq!(found, Headroom { steps: 2, best_over_mean: 0.375, zero_spread: 0.375 });
        assert!(found.is_enough());
        // What comes after the first steps does not count: by then the model has changed.
        events.extend((0..20).map(|_| reinforced(1.0, 1.0, 1.0)));
        assert_eq!(Headroom::of(&events).unwrap().steps, Headroom::STEPS);
        assert!(!Headroom::of(&events).unwrap().is_enough());
    }
}
