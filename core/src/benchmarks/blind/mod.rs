//! How good the spatial questions of a data set are: what they ask about, how their answers are spread, and how well
//! they are answered without looking. A question type that can be answered blind teaches nothing about space.

mod baselines;
mod histograms;
mod text_model;
mod vocabulary;

pub use histograms::AnswerBin;

use super::{Interval, paired_bootstrap};
use crate::samples::{DataType, Dataset, QuestionType, Reason, SectorScheme, SpatialSample};
use baselines::Fitted;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use vocabulary::Vocabulary;

/// With fewer questions to score on, nothing is said about how a type is answered blind.
pub const FEWEST_SCORED: usize = 50;
/// Nor with fewer scenes, where one half of all scenes is scored with what the other teaches.
pub const FEWEST_SCENES: usize = 20;
/// A choice type is solved blind from this many points above chance, if the interval agrees.
pub const CHOICE_MARGIN: f64 = 0.15;
/// … which it does when the lower end of its 95 % interval is more than this above chance.
pub const CHOICE_MARGIN_LOW: f64 = 0.05;
/// A numeric type is solved blind from this mean relative accuracy.
pub const NUMBER_ACCURACY: f64 = 0.75;
/// Seed of the bootstrap behind the intervals.
const BOOTSTRAP_SEED: u64 = 0;

/// What the spatial questions of a data set are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityReport {
    /// Rows by how their images belong together.
    pub modalities: BTreeMap<&'static str, ModalityCounts>,
    /// Spatial questions that name the category, of both parts.
    pub categories: BTreeMap<String, usize>,
    /// In the order of modalities and types; relative directions apart by scheme where evidence tells it.
    pub types: Vec<TypeQuality>,
}

/// Rows of both parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ModalityCounts {
    pub localization: usize,
    pub spatial: usize,
    pub cold_start: usize,
}

/// The spatial questions of one modality and type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TypeQuality {
    pub data_type: DataType,
    pub question_type: QuestionType,
    /// Of relative directions that have evidence.
    pub scheme: Option<SectorScheme>,
    pub train: usize,
    pub held_out: usize,
    /// The share of questions that each letter answers; empty for numeric types.
    pub letters: BTreeMap<char, f64>,
    /// How often which answer is right, in words or as a number.
    pub answers: Vec<AnswerBin>,
    pub blind: Blind,
}

/// How the questions of a type are answered by who does not see the images.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Blind {
    /// Fewer than [`FEWEST_SCORED`] questions to score on, or none to learn from.
    TooFewRows { scored: usize },
    /// Too few questions are held out, and fewer than [`FEWEST_SCENES`] scenes are there to be cut in halves.
    TooFewScenes { scenes: usize },
    /// No baseline solves the type.
    NotSolved(BlindScores),
    /// [`BlindScores::best`] solves the type.
    Solved(BlindScores),
}

/// The scores of all blind baselines: accuracy for choices, mean relative accuracy for numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlindScores {
    /// How many questions were scored.
    pub scored: usize,
    /// Whether they are those held out; where these are too few, each half of all scenes was scored with what the
    /// other half teaches.
    pub on_held_out: bool,
    /// What guessing scores: the mean of one over the number of options; 0 for numbers.
    pub chance: f64,
    pub baselines: Vec<BaselineScore>,
}

/// What a baseline scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BaselineScore {
    pub baseline: Baseline,
    pub score: f64,
    /// The score less chance, with its 95 % interval over scenes.
    pub above_chance: Interval,
}

/// A way of answering without looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Always the letter that is right most often.
    CommonestLetter,
    /// Of the options, the one whose words are right most often.
    CommonestAnswer,
    /// Always the median number.
    Median,
    /// The commonest answer, or the median number, of questions that name the same objects in the same order; where
    /// there are too few, of those that name one of them; else of the type.
    ObjectPrior,
    /// A log-linear model of the options' words and the objects that the question names.
    TextModel,
}

impl Baseline {
    const FOR_CHOICES: [Self; 4] =
        [Self::CommonestLetter, Self::CommonestAnswer, Self::ObjectPrior, Self::TextModel];
    const FOR_NUMBERS: [Self; 2] = [Self::Median, Self::ObjectPrior];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommonestLetter => "commonest letter",
            Self::CommonestAnswer => "commonest answer",
            Self::Median => "median",
            Self::ObjectPrior => "object prior",
            Self::TextModel => "text model",
        }
    }
}

impl BlindScores {
    /// The baseline that scores highest. It is chosen by the scores it is judged by: rather a type reported in vain
    /// than a leak missed.
    pub fn best(&self) -> Option<&BaselineScore> {
        self.baselines.iter().max_by(|a, b| a.score.total_cmp(&b.score))
    }
}

impl TypeQuality {
    /// `video/relative direction (hard)`.
    pub fn name(&self) -> String {
        let name = format!("{}/{}", self.data_type.name(), self.question_type.name());
        match self.scheme {
            Some(scheme) => format!("{name} ({})", scheme_name(scheme)),
            None => name,
        }
    }

    /// What is wrong with the questions, if a baseline solves them.
    pub fn fault(&self) -> Option<String> {
        let Blind::Solved(scores) = &self.blind else { return None };
        let best = scores.best()?;
        let (baseline, score) = (best.baseline.name(), 100.0 * best.score);
        let told = if self.question_type.is_choice() {
            let Interval { low, high, .. } = best.above_chance;
            format!(
                "{score:.0} % right, {:.0} to {:.0} points above chance; balance which option is right",
                100.0 * low,
                100.0 * high
            )
        } else {
            format!("a mean relative accuracy of {score:.0} %; vary the numbers asked for")
        };
        Some(format!("{} is solved blind by the {baseline}: {told}", self.name()))
    }
}

/// As the report writes it.
fn scheme_name(scheme: SectorScheme) -> &'static str {
    match scheme {
        SectorScheme::Easy => "easy",
        SectorScheme::Medium => "medium",
        SectorScheme::Hard => "hard",
        SectorScheme::Cardinal => "cardinal",
        SectorScheme::Diagonal => "diagonal",
    }
}

/// A question with what its text says.
struct Question<'rows> {
    sample: &'rows SpatialSample,
    /// Categories in the order in which the question first names them.
    objects: Vec<String>,
    /// The folder of its images.
    scene: &'rows str,
}

/// The questions of one type, of both parts.
#[derive(Default)]
struct Group<'rows> {
    train: Vec<Question<'rows>>,
    held_out: Vec<Question<'rows>>,
}

/// Describes the spatial questions of a data set and answers them blind. Questions whose answer is neither an option
/// nor a number are left out: naming them is for [`crate::samples::check`].
pub fn quality(dataset: &Dataset) -> QualityReport {
    let vocabulary = Vocabulary::of(dataset);
    let schemes: HashMap<u64, SectorScheme> = dataset
        .evidence
        .iter()
        .filter_map(|row| match row.reason {
            Reason::RelativeDirection { scheme, .. } => Some((row.question_id, scheme)),
            _ => None,
        })
        .collect();
    let mut groups: BTreeMap<(DataType, QuestionType, Option<SectorScheme>), Group<'_>> = BTreeMap::new();
    let mut categories = BTreeMap::new();
    for (split, held_out) in [(&dataset.train, false), (&dataset.validation, true)] {
        for sample in split.spatial.iter().filter(|sample| is_answered(sample)) {
            let objects = vocabulary.named_in(&sample.question);
            for object in &objects {
                *categories.entry(object.clone()).or_insert(0) += 1;
            }
            let folder = sample.image.first().and_then(|image| Path::new(image).parent()?.to_str());
            let question = Question { sample, objects, scene: folder.unwrap_or_default() };
            let is_direction = sample.question_type == QuestionType::RelativeDirection;
            let scheme = schemes.get(&sample.question_id).copied().filter(|_| is_direction);
            let group = groups.entry((sample.data_type, sample.question_type, scheme)).or_default();
            if held_out { group.held_out.push(question) } else { group.train.push(question) }
        }
    }
    let groups: Vec<_> = groups.into_iter().collect();
    let types = groups
        .par_iter()
        .map(|((data_type, question_type, scheme), group)| {
            let all: Vec<&SpatialSample> =
                group.train.iter().chain(&group.held_out).map(|question| question.sample).collect();
            TypeQuality {
                data_type: *data_type,
                question_type: *question_type,
                scheme: *scheme,
                train: group.train.len(),
                held_out: group.held_out.len(),
                letters: histograms::letter_shares(&all),
                answers: histograms::answers(&all, question_type.is_choice()),
                blind: blind(group, question_type.is_choice()),
            }
        })
        .collect();
    QualityReport { modalities: modalities(dataset), categories, types }
}

fn is_answered(sample: &SpatialSample) -> bool {
    match sample.question_type.is_choice() {
        true => sample.answer_index().is_some(),
        false => number(sample).is_some(),
    }
}

/// The positive number that answers the question.
fn number(sample: &SpatialSample) -> Option<f64> {
    sample.answer.trim().parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)
}

fn modalities(dataset: &Dataset) -> BTreeMap<&'static str, ModalityCounts> {
    let mut counts: BTreeMap<&'static str, ModalityCounts> = BTreeMap::new();
    for split in [&dataset.train, &dataset.validation] {
        for row in &split.grounding {
            counts.entry(row.data_type.name()).or_default().localization += 1;
        }
        for row in &split.spatial {
            counts.entry(row.data_type.name()).or_default().spatial += 1;
        }
        for row in &split.cold_start {
            counts.entry(row.data_type.name()).or_default().cold_start += 1;
        }
    }
    counts
}

/// Scores every baseline on questions of scenes that it did not learn from.
fn blind(group: &Group<'_>, is_choice: bool) -> Blind {
    let on_held_out = !group.train.is_empty() && group.held_out.len() >= FEWEST_SCORED;
    let folds = if on_held_out {
        vec![(group.train.iter().collect(), group.held_out.iter().collect())]
    } else {
        let all = group.train.iter().chain(&group.held_out);
        let scenes = all.map(|question| question.scene).collect::<BTreeSet<_>>().len();
        if scenes < FEWEST_SCENES && group.train.len() + group.held_out.len() >= FEWEST_SCORED {
            return Blind::TooFewScenes { scenes };
        }
        halves(group)
    };
    let scored: Vec<&Question<'_>> = folds.iter().flat_map(|(_, scored)| scored.iter().copied()).collect();
    if scored.len() < FEWEST_SCORED {
        return Blind::TooFewRows { scored: scored.len() };
    }
    let chances: Vec<f64> = scored
        .iter()
        .map(|question| if is_choice { 1.0 / question.sample.options().len() as f64 } else { 0.0 })
        .collect();
    let scenes: Vec<String> = scored.iter().map(|question| question.scene.to_owned()).collect();
    let kinds: &[Baseline] = if is_choice { &Baseline::FOR_CHOICES } else { &Baseline::FOR_NUMBERS };
    let baselines: Vec<BaselineScore> = kinds
        .iter()
        .map(|&baseline| {
            let scores: Vec<f64> = folds
                .iter()
                .flat_map(|(learned, scored)| {
                    let fitted = Fitted::new(baseline, learned);
                    scored.iter().map(|question| fitted.score(question)).collect::<Vec<_>>()
                })
                .collect();
            BaselineScore {
                baseline,
                score: mean(&scores),
                above_chance: paired_bootstrap(&scores, &chances, &scenes, BOOTSTRAP_SEED),
            }
        })
        .collect();
    let scores = BlindScores { scored: scored.len(), on_held_out, chance: mean(&chances), baselines };
    let is_solved = scores.baselines.iter().any(|baseline| solves(&baseline.above_chance, is_choice));
    if is_solved { Blind::Solved(scores) } else { Blind::NotSolved(scores) }
}

fn solves(above_chance: &Interval, is_choice: bool) -> bool {
    if is_choice {
        above_chance.mean >= CHOICE_MARGIN && above_chance.low > CHOICE_MARGIN_LOW
    } else {
        above_chance.mean >= NUMBER_ACCURACY
    }
}

type Fold<'group, 'rows> = (Vec<&'group Question<'rows>>, Vec<&'group Question<'rows>>);

/// Every other scene, by name, to learn from and the others to score, then the other way round. None when there are
/// not two scenes.
fn halves<'group, 'rows>(group: &'group Group<'rows>) -> Vec<Fold<'group, 'rows>> {
    let all = || group.train.iter().chain(&group.held_out);
    let scenes: BTreeSet<&str> = all().map(|question| question.scene).collect();
    if scenes.len() < 2 {
        return Vec::new();
    }
    let half: HashMap<&str, bool> =
        scenes.into_iter().enumerate().map(|(index, scene)| (scene, index % 2 == 0)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = all().partition(|question| half[question.scene]);
    vec![(even.clone(), odd.clone()), (odd, even)]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests;
