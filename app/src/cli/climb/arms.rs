//! `climb --arms`: is it the ladder that helps? The same compute spent in other ways, from the same foundation, examined
//! with the same questions about rooms never seen.

use super::examine::{Examined, Examiner, Gain};
use super::{ClimbArgs, Scale, page, part, stage_config, train_in};
use clap::ValueEnum;
use serde::Serialize;
use spatial_ladder::benchmarks::{Interval, bootstrap, paired_bootstrap};
use spatial_ladder::runs::{Event, RunDir, read_events};
use spatial_ladder::samples::files::write_atomic;
use spatial_ladder::training::{Evaluation, KindScore, Mixture, Stage, StageSize, TrainConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A way of spending the compute of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// Perception, understanding, cold start, reasoning
    Ladder,
    /// Perception and understanding mixed, then cold start and reasoning
    Joint,
    /// All supervised tokens of the first two stages in understanding, and no localization anywhere
    NoPerception,
    /// All supervised tokens of the first two stages in perception
    NoUnderstanding,
    /// The cold start's tokens in understanding
    NoColdStart,
    /// The compute of reinforcement in the cold start
    NoReasoning,
    /// Understanding, with no localization in it, before perception
    Reversed,
    /// Nothing but reinforcement
    FromScratch,
}

impl Arm {
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What a step of the reasoning stage costs, in tokens of supervised training. Its tokens are written (one pass), read by
/// the reference where there is one (one) and learned from (three, as every token of supervised training), those of a prompt
/// once for its group. Completions that will be dropped count too, so that this is the most that a step can cost. `thoughts`:
/// prompts and answers as its own are.
fn reinforced_step(config: &TrainConfig, thoughts: &StageSize) -> f64 {
    let reinforcement = &config.reinforcement;
    let prompt = thoughts.mean_tokens - thoughts.mean_answer_tokens;
    let group = prompt + reinforcement.group as f64 * thoughts.mean_answer_tokens;
    let reference = if reinforcement.kl == 0.0 { 0.0 } else { 1.0 };
    let passes = 1.0 + reference + 3.0 * reinforcement.updates_per_rollout as f64;
    (config.batch_size * config.accumulation) as f64 * group * passes / 3.0
}

/// One stage of an arm.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    stage: Stage,
    steps: u64,
    /// How often localization is drawn, where it is not as the ladder has it (which rehearses it).
    localization: Option<f64>,
}

impl Link {
    fn name(&self) -> String {
        let mixed = match self.localization {
            None => "",
            Some(0.0) => "-alone",
            Some(_) => "-mixed",
        };
        format!("{}{mixed}-{}", self.stage.name(), self.steps)
    }
}

/// Tokens of supervised training, or their worth, that each stage of the ladder takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Budget {
    pub perception: f64,
    pub understanding: f64,
    pub cold_start: f64,
    pub reasoning: f64,
}

impl Budget {
    /// The same with so many times the understanding.
    fn with_understanding(self, factor: f64) -> Self {
        Self { understanding: self.understanding * factor, ..self }
    }
}

/// The tokens of a step of each stage, and the mixture's balance.
struct Costs {
    perception: f64,
    understanding: f64,
    cold_start: f64,
    reasoning: f64,
    /// Without rehearsal of localization.
    understanding_alone: f64,
    cold_start_alone: f64,
    /// How often localization rows are drawn so that they take as many tokens as all spatial rows.
    even_localization: f64,
}

impl Costs {
    fn step(&self, stage: Stage) -> f64 {
        match stage {
            Stage::Perception => self.perception,
            Stage::Understanding => self.understanding,
            Stage::Reasoning => self.reasoning,
            Stage::ColdStart | Stage::Foundation => self.cold_start,
        }
    }

    fn link(&self, stage: Stage, tokens: f64) -> Link {
        Link { stage, steps: steps(tokens, self.step(stage)), localization: None }
    }

    /// The same without rehearsal of localization.
    fn alone(&self, stage: Stage, tokens: f64) -> Link {
        let step = match stage {
            Stage::Understanding => self.understanding_alone,
            Stage::ColdStart => self.cold_start_alone,
            _ => return self.link(stage, tokens),
        };
        Link { stage, steps: steps(tokens, step), localization: Some(0.0) }
    }

    /// The stages of an arm, which all take the same tokens together.
    fn plan(&self, arm: Arm, budget: &Budget) -> Vec<Link> {
        use Stage::{ColdStart, Perception, Reasoning, Understanding};
        let &Budget { perception, understanding, cold_start, reasoning } = budget;
        let sight = perception + understanding;
        let (link, alone) =
            (|stage, tokens| self.link(stage, tokens), |stage, tokens| self.alone(stage, tokens));
        match arm {
            Arm::Ladder => vec![
                link(Perception, perception),
                link(Understanding, understanding),
                link(ColdStart, cold_start),
                link(Reasoning, reasoning),
            ],
            Arm::Joint => {
                // As many steps as the two stages have apart from each other.
                let apart = perception / self.perception + understanding / self.understanding_alone;
                let mixed = sight / apart;
                let localization = Some(self.even_localization * perception / understanding);
                vec![
                    Link { stage: Understanding, steps: steps(sight, mixed), localization },
                    link(ColdStart, cold_start),
                    link(Reasoning, reasoning),
                ]
            }
            Arm::NoPerception => {
                vec![alone(Understanding, sight), alone(ColdStart, cold_start), link(Reasoning, reasoning)]
            }
            Arm::NoUnderstanding => {
                vec![link(Perception, sight), link(ColdStart, cold_start), link(Reasoning, reasoning)]
            }
            Arm::NoColdStart => vec![
                link(Perception, perception),
                link(Understanding, understanding + cold_start),
                link(Reasoning, reasoning),
            ],
            Arm::NoReasoning => vec![
                link(Perception, perception),
                link(Understanding, understanding),
                link(ColdStart, cold_start + reasoning),
            ],
            Arm::Reversed => vec![
                alone(Understanding, understanding),
                link(Perception, perception),
                link(ColdStart, cold_start),
                link(Reasoning, reasoning),
            ],
            Arm::FromScratch => vec![link(Reasoning, sight + cold_start + reasoning)],
        }
    }
}

/// As many as the tokens pay for.
fn steps(tokens: f64, step: f64) -> u64 {
    (tokens / step).round().max(1.0) as u64
}

/// What the arms scored: `arms.json`.
#[derive(Debug, Serialize)]
pub struct ArmsReport {
    pub quick: bool,
    /// Of the steps of every stage.
    pub scale: f64,
    pub seeds: u64,
    pub localization_questions: usize,
    pub spatial_questions: usize,
    /// Of the ladder, and of every other arm together.
    pub budget: Budget,
    pub blind_iou: f64,
    pub blind: BTreeMap<String, f64>,
    pub arms: Vec<ArmScores>,
    /// The ladder with more or less understanding, which costs more or less.
    pub sweep: Vec<ArmScores>,
}

#[derive(Debug, Serialize)]
pub struct ArmScores {
    pub arm: String,
    /// After each of its stages, in order: at least one.
    pub stages: Vec<ArmStage>,
    /// By seed, of the model at the end.
    pub runs: Vec<RunScores>,
    /// Above the ladder, paired by seed too. `None` for the ladder itself, or where it did not run.
    pub against_ladder: Option<Gain>,
}

impl ArmScores {
    /// What it came to.
    pub fn end(&self) -> &ArmStage {
        &self.stages[self.stages.len() - 1]
    }
}

/// Means over questions and seeds; intervals resampled by scene, 95 %.
#[derive(Debug, Serialize)]
pub struct ArmStage {
    pub stage: String,
    pub steps: u64,
    /// Whether the spatial questions were answered after a thought.
    pub thinking: bool,
    pub mean_iou: Interval,
    /// Mean over the kinds of spatial questions.
    pub score: Interval,
    pub in_form: f64,
    /// `mean_iou` and `score` of each seed.
    pub seeds: Vec<[f64; 2]>,
}

#[derive(Debug, Serialize)]
pub struct RunScores {
    pub seed: u64,
    pub kinds: BTreeMap<String, KindScore>,
    /// Mean reward of each step of the reasoning stage, and the spread within groups.
    pub rewards: Vec<(f64, f64)>,
    pub model: PathBuf,
}

/// Trains and examines every arm with every seed; what is there already is not done again.
pub fn run(
    args: &ClimbArgs,
    scale: &Scale,
    data: &Path,
    model: &str,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let bench = Bench { args, scale, data, model, stop };
    let reasoning = bench.config(Stage::Reasoning, model)?.reinforcement;
    let examiner = Examiner::new(data, scale.test_questions, reasoning.max_new_tokens, &args.device, stop)?;
    let costs = bench.costs()?;
    let of = |stage: Stage| -> anyhow::Result<f64> {
        Ok(bench.config(stage, model)?.steps as f64 * costs.step(stage))
    };
    let budget = Budget {
        perception: of(Stage::Perception)?,
        understanding: of(Stage::Understanding)?,
        cold_start: of(Stage::ColdStart)?,
        reasoning: of(Stage::Reasoning)?,
    };
    let mut arms = Vec::new();
    for &arm in &args.arms {
        arms.push(bench.climb(&examiner, arm.name(), costs.plan(arm, &budget))?);
    }
    let mut sweep = Vec::new();
    for &factor in &args.sweep {
        let plan = costs.plan(Arm::Ladder, &budget.with_understanding(factor));
        sweep.push(bench.climb(&examiner, format!("{factor} × understanding"), plan)?);
    }
    let report = report(args, &examiner, budget, &arms, &sweep)?;
    let json = serde_json::to_string_pretty(&report)?;
    let (path, html) = (args.out.join("arms.json"), args.out.join("arms.html"));
    write_atomic(&path, json.as_bytes())?;
    write_atomic(&html, page::html(&report).as_bytes())?;
    write_atomic(&args.out.join("arms.svg"), page::figure(&report).as_bytes())?;
    eprint!("{}", page::tables(&report));
    eprintln!("report: {}   page: {}", path.display(), html.display());
    if args.json {
        println!("{json}");
    }
    Ok(())
}

/// What all arms have in common.
struct Bench<'a> {
    args: &'a ClimbArgs,
    scale: &'a Scale,
    data: &'a Path,
    /// The foundation.
    model: &'a str,
    stop: &'a AtomicBool,
}

impl Bench<'_> {
    fn config(&self, stage: Stage, model: &str) -> anyhow::Result<TrainConfig> {
        stage_config(self.args, self.scale, stage, self.data, model)
    }

    /// Trains an arm with every seed, and examines it after every stage.
    fn climb(&self, examiner: &Examiner<'_>, name: String, plan: Vec<Link>) -> anyhow::Result<Climbed> {
        let mut seeds = Vec::new();
        for seed in self.args.first_seed..self.args.first_seed + self.args.seeds {
            let mut stages = Vec::new();
            for (link, run) in plan.iter().zip(self.train(&plan, seed)?) {
                let title = format!("{name} {seed}: {}", link.stage.name());
                let found = examiner.examine_run(&title, &run, link.stage)?;
                eprintln!(
                    "{title}: mean IoU {:.3}, spatial {:.3}",
                    found.localization.mean_iou.unwrap_or(0.0),
                    found.spatial.score.unwrap_or(0.0)
                );
                stages.push((found, run));
            }
            seeds.push((seed, stages));
        }
        Ok(Climbed { name, plan, seeds })
    }

    /// Trains the stages of an arm one after the other; arms that begin alike share what they have in common. Their runs.
    fn train(&self, plan: &[Link], seed: u64) -> anyhow::Result<Vec<RunDir>> {
        let mut model = self.model.to_owned();
        let mut name = String::new();
        let mut runs = Vec::new();
        for link in plan {
            let mut config = self.config(link.stage, &model)?;
            config.steps = link.steps;
            config.evaluate_every = 0;
            config.seed = seed;
            if let Some(localization) = link.localization {
                config.mixture = Mixture { localization, ..config.mixture };
            }
            name = if name.is_empty() { link.name() } else { format!("{name}+{}", link.name()) };
            let root = self.args.out.join("arms").join(format!("seed_{seed}")).join(&name);
            let run = train_in(config, &root, &self.args.device, self.stop)?;
            model = run.model_dir().display().to_string();
            runs.push(run);
        }
        Ok(runs)
    }

    /// Measured on the data: the mean tokens of a sample of each stage, times the samples of its step.
    fn costs(&self) -> anyhow::Result<Costs> {
        let measured = |stage: Stage, set: &[&str]| -> anyhow::Result<(TrainConfig, StageSize)> {
            let mut config = self.config(stage, self.model)?;
            config.set_all(set.iter().copied())?;
            let size = StageSize::measure(&config)?;
            Ok((config, size))
        };
        let step = |(config, size): &(TrainConfig, StageSize)| {
            size.mean_tokens * (config.batch_size * config.accumulation) as f64
        };
        let all = |(_, size): &(TrainConfig, StageSize)| size.samples as f64 * size.mean_tokens;
        const ALONE: &str = "mixture.localization=0";
        let perception = measured(Stage::Perception, &[])?;
        let understanding_alone = measured(Stage::Understanding, &[ALONE])?;
        // A completion is about as long as a thought of the cold start, asked for by itself and of the same kinds.
        let reasoning = self.config(Stage::Reasoning, self.model)?;
        let even = format!("mixture.even_kinds={}", reasoning.mixture.even_kinds);
        let thoughts = measured(Stage::ColdStart, &[ALONE, "turns=1", "look_ups=0", &even])?.1;
        Ok(Costs {
            perception: step(&perception),
            understanding: step(&measured(Stage::Understanding, &[])?),
            cold_start: step(&measured(Stage::ColdStart, &[])?),
            reasoning: reinforced_step(&reasoning, &thoughts),
            understanding_alone: step(&understanding_alone),
            cold_start_alone: step(&measured(Stage::ColdStart, &[ALONE])?),
            even_localization: all(&understanding_alone) / all(&perception),
        })
    }
}

/// An arm, its stages, and for each seed what was found after each of them, with the run.
struct Climbed {
    name: String,
    plan: Vec<Link>,
    seeds: Vec<(u64, Vec<(Examined, RunDir)>)>,
}

impl Climbed {
    /// One part of what was found after a stage (of a plan that has it), seed after seed, so that each question of each seed
    /// counts once.
    fn all<T>(
        &self,
        stage: usize,
        part: fn(&Examined) -> &Evaluation,
        of: impl Fn(&Evaluation) -> Vec<T>,
    ) -> Vec<T> {
        self.seeds.iter().flat_map(|(_, stages)| of(part(&stages[stage].0))).collect()
    }

    fn scores(&self, ladder: Option<&Self>) -> anyhow::Result<ArmScores> {
        let [localization, spatial]: [fn(&Examined) -> &Evaluation; 2] =
            [|found| &found.localization, |found| &found.spatial];
        let interval = |stage: usize, part, seed: u64| {
            let scores = self.all(stage, part, Evaluation::scores);
            bootstrap(&scores, &self.all(stage, part, Evaluation::scenes), seed)
        };
        let stage = |(at, link): (usize, &Link)| {
            let found = || self.seeds.iter().map(|(_, stages)| &stages[at].0);
            let seeds = |found: &Examined| [found.localization.headline(), found.spatial.headline()];
            ArmStage {
                stage: link.stage.name().to_owned(),
                steps: link.steps,
                thinking: found().any(|found| found.thinking),
                mean_iou: interval(at, localization, 1),
                score: interval(at, spatial, 2),
                in_form: found().map(|found| found.spatial.parsed).sum::<f64>() / self.seeds.len() as f64,
                seeds: found().map(seeds).collect(),
            }
        };
        let last = self.plan.len() - 1;
        let gain = |ladder: &Self, part, seed: u64| {
            let scores = |climbed: &Self| climbed.all(climbed.plan.len() - 1, part, Evaluation::scores);
            let scenes = self.all(last, part, Evaluation::scenes);
            paired_bootstrap(&scores(self), &scores(ladder), &scenes, seed)
        };
        Ok(ArmScores {
            arm: self.name.clone(),
            stages: self.plan.iter().enumerate().map(stage).collect(),
            runs: self
                .seeds
                .iter()
                .map(|(seed, stages)| {
                    let (found, run) = &stages[last];
                    Ok(RunScores {
                        seed: *seed,
                        kinds: found.spatial.kinds.clone(),
                        rewards: rewards(run)?,
                        model: run.model_dir(),
                    })
                })
                .collect::<anyhow::Result<_>>()?,
            against_ladder: ladder.map(|ladder| Gain {
                mean_iou: gain(ladder, localization, 1),
                score: gain(ladder, spatial, 2),
            }),
        })
    }
}

fn report(
    args: &ClimbArgs,
    examiner: &Examiner<'_>,
    budget: Budget,
    arms: &[Climbed],
    sweep: &[Climbed],
) -> anyhow::Result<ArmsReport> {
    let ladder = arms.iter().find(|climbed| climbed.name == Arm::Ladder.name());
    let first = arms.iter().chain(sweep).find_map(|climbed| climbed.seeds.first()?.1.first());
    let against = |climbed: &Climbed| climbed.scores(ladder.filter(|ladder| ladder.name != climbed.name));
    Ok(ArmsReport {
        quick: args.quick,
        scale: args.scale,
        seeds: args.seeds,
        localization_questions: first.map_or(0, |(found, _)| found.localization.answers.len()),
        spatial_questions: first.map_or(0, |(found, _)| found.spatial.answers.len()),
        budget,
        blind_iou: examiner.average_box()?.mean_iou.unwrap_or(0.0),
        blind: examiner.blind(),
        arms: arms.iter().map(against).collect::<anyhow::Result<_>>()?,
        sweep: sweep.iter().map(against).collect::<anyhow::Result<_>>()?,
    })
}

/// Of a run of the reasoning stage, the mean reward and its spread in every step; nothing for other stages.
fn rewards(run: &RunDir) -> anyhow::Result<Vec<(f64, f64)>> {
    Ok(read_events(&run.events_path())?
        .iter()
        .filter_map(|event| match &event.event {
            Event::Step { parts, .. } => Some((part(parts, "reward")?, part(parts, "reward_spread")?)),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spatial_ladder::training::Preset;

    #[test]
    fn every_arm_costs_what_the_ladder_costs() {
        let costs = Costs {
            perception: 3_000.0,
            understanding: 5_000.0,
            cold_start: 6_000.0,
            reasoning: 40_000.0,
            understanding_alone: 4_000.0,
            cold_start_alone: 7_000.0,
            even_localization: 2.0,
        };
        let budget = Budget { perception: 9e6, understanding: 5e6, cold_start: 3e6, reasoning: 4e6 };
        let step = |link: &Link| match (link.stage, link.localization) {
            (Stage::Understanding, Some(0.0)) => 4_000.0,
            (Stage::ColdStart, Some(0.0)) => 7_000.0,
            // 3,000 steps of perception and 1,250 of understanding, mixed.
            (_, Some(_)) => 14e6 / 4_250.0,
            (stage, None) => costs.step(stage),
        };
        for arm in Arm::value_variants() {
            let plan = costs.plan(*arm, &budget);
            let total: f64 = plan.iter().map(|link| link.steps as f64 * step(link)).sum();
            assert!((total / 21e6 - 1.0).abs() < 0.01, "{}: {total}", arm.name());
        }
        let joint = costs.plan(Arm::Joint, &budget);
        assert_eq!((joint[0].steps, joint[0].localization), (4_250, Some(2.0 * 9.0 / 5.0)));
        // Rehearsal would bring back what these leave out.
        let blind = costs.plan(Arm::NoPerception, &budget);
        assert!(blind.iter().all(|link| link.stage == Stage::Reasoning || link.localization == Some(0.0)));
        let reversed = costs.plan(Arm::Reversed, &budget);
        assert_eq!((reversed[0].stage, reversed[0].localization), (Stage::Understanding, Some(0.0)));
        assert_eq!(costs.plan(Arm::FromScratch, &budget).len(), 1);
    }

    #[test]
    fn a_reinforced_step_reads_its_prompts_once() {
        let (data, model) = (PathBuf::from("data"), "tiny".to_owned());
        let mut config = TrainConfig::new(Stage::Reasoning, Preset::Corrected, data, model);
        (config.batch_size, config.accumulation, config.reinforcement.group) = (2, 3, 8);
        config.reinforcement.updates_per_rollout = 1;
        config.reinforcement.kl = 0.01;
        let thoughts = StageSize { samples: 1, mean_tokens: 130.0, mean_answer_tokens: 30.0 };
        let tokens = 2.0 * 3.0 * (100.0 + 8.0 * 30.0);
        assert!((reinforced_step(&config, &thoughts) - tokens * 5.0 / 3.0).abs() < 1e-6);
        config.reinforcement.kl = 0.0;
        config.reinforcement.updates_per_rollout = 2;
        assert!((reinforced_step(&config, &thoughts) - tokens * 7.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_sweep_changes_understanding_alone() {
        let costs = Costs {
            perception: 1.0,
            understanding: 2.0,
            cold_start: 3.0,
            reasoning: 4.0,
            understanding_alone: 2.0,
            cold_start_alone: 3.0,
            even_localization: 1.0,
        };
        let budget = Budget { perception: 10.0, understanding: 80.0, cold_start: 30.0, reasoning: 40.0 };
        let steps = |factor: f64| -> Vec<u64> {
            costs
                .plan(Arm::Ladder, &budget.with_understanding(factor))
                .iter()
                .map(|link| link.steps)
                .collect()
        };
        assert_eq!([0.25, 1.0, 4.0].map(steps), [[10, 10, 10, 10], [10, 40, 10, 10], [10, 160, 10, 10]]);
    }
}
