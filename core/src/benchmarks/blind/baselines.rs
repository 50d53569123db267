//! Baselines that count: the commonest answer and the median number, of all questions or by the objects named.

use super::text_model::TextModel;
use super::{Baseline, Question, number};
use crate::benchmarks::mean_relative_accuracy;
use std::collections::HashMap;

/// Objects that fewer questions name are not learned about.
pub(super) const FEWEST_LEARNED: usize = 3;

/// A baseline that has learned from questions and their answers.
pub(super) enum Fitted {
    Letter(Option<usize>),
    Answers(Backoff<AnswerCounts>),
    Numbers(Backoff<Option<f64>>),
    Text(TextModel),
}

/// How often which words are the answer.
type AnswerCounts = HashMap<String, usize>;

/// What was learned of questions by the objects they name.
pub(super) struct Backoff<T> {
    /// Of questions that name the same objects in the same order.
    all_objects: HashMap<Vec<String>, T>,
    /// Of questions that name the object among others.
    one_object: HashMap<String, T>,
    /// Of all questions.
    of_type: T,
}

impl Fitted {
    pub(super) fn new(baseline: Baseline, learned: &[&Question<'_>]) -> Self {
        let is_choice = learned.first().is_some_and(|question| question.sample.question_type.is_choice());
        match (baseline, is_choice) {
            (Baseline::CommonestLetter, _) => Self::Letter(commonest_letter(learned)),
            (Baseline::CommonestAnswer, _) => Self::Answers(Backoff::of_type(answer_counts(learned))),
            (Baseline::Median, _) => Self::Numbers(Backoff::of_type(median(learned))),
            (Baseline::ObjectPrior, true) => Self::Answers(Backoff::by_objects(learned, answer_counts)),
            (Baseline::ObjectPrior, false) => Self::Numbers(Backoff::by_objects(learned, median)),
            (Baseline::TextModel, _) => Self::Text(TextModel::fit(learned)),
        }
    }

    /// 1 or 0 for a choice, the mean relative accuracy for a number.
    pub(super) fn score(&self, question: &Question<'_>) -> f64 {
        let choice = match self {
            Self::Numbers(numbers) => {
                let guess = numbers.guess(&question.objects).unwrap_or(0.0);
                let truth = number(question.sample).unwrap_or_default();
                return mean_relative_accuracy(guess, truth).unwrap_or(0.0);
            }
            Self::Letter(letter) => *letter,
            Self::Answers(answers) => answers.guess(question),
            Self::Text(model) => model.guess(question),
        };
        f64::from(u8::from(choice.is_some() && choice == question.sample.answer_index()))
    }
}

impl<T: Default> Backoff<T> {
    fn of_type(of_type: T) -> Self {
        Self { all_objects: HashMap::new(), one_object: HashMap::new(), of_type }
    }

    fn by_objects(learned: &[&Question<'_>], summary: fn(&[&Question<'_>]) -> T) -> Self {
        let mut all_objects: HashMap<Vec<String>, Vec<&Question<'_>>> = HashMap::new();
        let mut one_object: HashMap<String, Vec<&Question<'_>>> = HashMap::new();
        for &question in learned {
            all_objects.entry(question.objects.clone()).or_default().push(question);
            for object in &question.objects {
                one_object.entry(object.clone()).or_default().push(question);
            }
        }
        fn summarized<'a, K: Eq + std::hash::Hash, T>(
            questions: HashMap<K, Vec<&'a Question<'a>>>,
            summary: fn(&[&Question<'_>]) -> T,
        ) -> HashMap<K, T> {
            let enough = questions.into_iter().filter(|(_, questions)| questions.len() >= FEWEST_LEARNED);
            enough.map(|(key, questions)| (key, summary(&questions))).collect()
        }
        Self {
            all_objects: summarized(all_objects, summary),
            one_object: summarized(one_object, summary),
            of_type: summary(learned),
        }
    }

    /// What was learned of single objects among these.
    fn single<'learned>(&'learned self, objects: &'learned [String]) -> impl Iterator<Item = &'learned T> {
        objects.iter().filter_map(|object| self.one_object.get(object))
    }
}

impl Backoff<AnswerCounts> {
    /// The index of the option that was the answer most often; the first of several.
    fn guess(&self, question: &Question<'_>) -> Option<usize> {
        let options: Vec<String> =
            question.sample.options().iter().map(|option| option_words(option)).collect();
        let of_all = self.all_objects.get(&question.objects);
        let levels: [Vec<&AnswerCounts>; 3] =
            [of_all.into_iter().collect(), self.single(&question.objects).collect(), vec![&self.of_type]];
        for counts in levels {
            let count = |words: &String| counts.iter().filter_map(|counts| counts.get(words)).sum::<usize>();
            let best = options.iter().map(count).enumerate().rev().max_by_key(|(_, count)| *count)?;
            if best.1 > 0 {
                return Some(best.0);
            }
        }
        Some(0)
    }
}

impl Backoff<Option<f64>> {
    /// The median of questions that name the same objects; the geometric mean of the medians of single objects; the
    /// median of all.
    fn guess(&self, objects: &[String]) -> Option<f64> {
        if let Some(median) = self.all_objects.get(objects) {
            return *median;
        }
        let logarithms: Vec<f64> = self.single(objects).flatten().map(|&median| libm::log(median)).collect();
        if logarithms.is_empty() {
            return self.of_type;
        }
        Some(libm::exp(logarithms.iter().sum::<f64>() / logarithms.len() as f64))
    }
}

/// An option without its letter, in lower case.
pub(super) fn option_words(option: &str) -> String {
    option.split_once(". ").map_or(option, |(_, words)| words).trim().to_lowercase()
}

fn commonest_letter(learned: &[&Question<'_>]) -> Option<usize> {
    let mut counts = [0_usize; 26];
    for index in learned.iter().filter_map(|question| question.sample.answer_index()) {
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    let best = counts.iter().enumerate().rev().max_by_key(|(_, count)| **count)?;
    Some(best.0)
}

fn answer_counts(learned: &[&Question<'_>]) -> AnswerCounts {
    let mut counts = AnswerCounts::new();
    for question in learned {
        *counts.entry(question.sample.answer_text().trim().to_lowercase()).or_default() += 1;
    }
    counts
}

/// The lower of the two in the middle.
fn median(learned: &[&Question<'_>]) -> Option<f64> {
    let mut numbers: Vec<f64> = learned.iter().filter_map(|question| number(question.sample)).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied()
}
