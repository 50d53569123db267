//! A log-linear model that chooses an option by its words and the words of the question.

use super::Question;
use super::baselines::{FEWEST_LEARNED, option_words};
use std::collections::HashMap;

/// Times that all questions are learned from.
const EPOCHS: usize = 10;
/// Step of AdaGrad (Duchi, Hazan and Singer, 2011).
const STEP: f64 = 0.2;
/// Pulls the weight of each feature seen towards zero.
const DECAY: f64 = 1e-3;

/// The chance that an option is right is proportional to the exponential of the sum of its features' weights.
pub(super) struct TextModel {
    features: HashMap<String, usize>,
    weights: Vec<f64>,
}

impl TextModel {
    /// Learns from questions in their order, by the gradient of the likelihood of the right options.
    pub(super) fn fit(learned: &[&Question<'_>]) -> Self {
        let named: Vec<Vec<Vec<String>>> = learned.iter().map(|question| features(question)).collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for feature in named.iter().flatten().flatten() {
            *counts.entry(feature).or_default() += 1;
        }
        let mut known: HashMap<String, usize> = HashMap::new();
        for feature in named.iter().flatten().flatten() {
            if counts[feature.as_str()] >= FEWEST_LEARNED && !known.contains_key(feature) {
                known.insert(feature.clone(), known.len());
            }
        }
        let mut model = Self { weights: vec![0.0; known.len()], features: known };
        let questions: Vec<(Vec<Vec<usize>>, usize)> = learned
            .iter()
            .zip(&named)
            .filter_map(|(question, named)| Some((model.indices(named), question.sample.answer_index()?)))
            .collect();
        let mut squares = vec![1e-8; model.weights.len()];
        for _ in 0..EPOCHS {
            for (options, answer) in &questions {
                model.learn(options, *answer, &mut squares);
            }
        }
        model
    }

    /// The index of the option that is most likely right; the first of several.
    pub(super) fn guess(&self, question: &Question<'_>) -> Option<usize> {
        let options = self.indices(&features(question));
        let logits = options.iter().map(|option| self.logit(option)).enumerate().rev();
        logits.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
    }

    fn learn(&mut self, options: &[Vec<usize>], answer: usize, squares: &mut [f64]) {
        let logits: Vec<f64> = options.iter().map(|option| self.logit(option)).collect();
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let chances: Vec<f64> = logits.iter().map(|logit| libm::exp(logit - highest)).collect();
        let total: f64 = chances.iter().sum();
        for (index, (option, chance)) in options.iter().zip(chances).enumerate() {
            let error = chance / total - f64::from(u8::from(index == answer));
            for &feature in option {
                let gradient = error + DECAY * self.weights[feature];
                squares[feature] += gradient * gradient;
                self.weights[feature] -= STEP * gradient / squares[feature].sqrt();
            }
        }
    }

    fn logit(&self, option: &[usize]) -> f64 {
        option.iter().map(|&feature| self.weights[feature]).sum()
    }

    fn indices(&self, options: &[Vec<String>]) -> Vec<Vec<usize>> {
        let known = |option: &Vec<String>| {
            option.iter().filter_map(|name| self.features.get(name).copied()).collect()
        };
        options.iter().map(known).collect()
    }
}

/// What can be said of each option by text alone: its place, its words, its words beside the objects that the
/// question names and beside each other option's words, and for a list its first item, the order of each two items
/// and how many places it shares with the other options.
fn features(question: &Question<'_>) -> Vec<Vec<String>> {
    let options: Vec<String> = question.sample.options().iter().map(|option| option_words(option)).collect();
    let lists: Vec<Vec<&str>> =
        options.iter().map(|words| words.split(',').map(str::trim).collect()).collect();
    let shared: Vec<usize> = lists.iter().map(|list| shared_places(list, &lists)).collect();
    let (least, most) = (shared.iter().min().copied(), shared.iter().max().copied());
    let describe = |(index, words): (usize, &String)| {
        let list = &lists[index];
        let mut named = vec![format!("place {index}"), format!("words {words}")];
        if list.len() == 1 {
            let objects = question.objects.iter().enumerate();
            named.extend(objects.map(|(place, object)| format!("object {place} {object}: {words}")));
            let others = options.iter().filter(|other| *other != words);
            named.extend(others.map(|other| format!("rather {words} than {other}")));
        } else {
            named.push(format!("first {}", list[0]));
            for (place, before) in list.iter().enumerate() {
                named.extend(list[place + 1..].iter().map(|after| format!("{before} before {after}")));
            }
            if least != most {
                named.extend((Some(shared[index]) == most).then(|| "most shared places".to_owned()));
                named.extend((Some(shared[index]) == least).then(|| "least shared places".to_owned()));
            }
        }
        named
    };
    options.iter().enumerate().map(describe).collect()
}

/// The number of places at which the list and any list have the same item.
fn shared_places(list: &[&str], lists: &[Vec<&str>]) -> usize {
    lists.iter().map(|other| list.iter().zip(other).filter(|(a, b)| a == b).count()).sum()
}
