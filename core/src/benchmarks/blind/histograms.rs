//! How the answers of a question type are spread.

use super::number;
use crate::samples::SpatialSample;
use serde::Serialize;
use std::collections::BTreeMap;

/// Different numbers up to this many are counted one by one; of more, quantiles are.
const FEW_NUMBERS: usize = 10;
/// Bins with about as many answers each.
const QUANTILES: usize = 10;
/// Answers in words beyond the commonest this many are counted together.
const MOST_ANSWERS: usize = 10;

/// How often an answer, or one of a range, is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerBin {
    /// In words, a number, a range as `0.5 to 1.2`, or `others`.
    pub answer: String,
    pub count: usize,
}

/// The share of questions that each letter answers, for every letter that an option has.
pub(super) fn letter_shares(samples: &[&SpatialSample]) -> BTreeMap<char, f64> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for sample in samples {
        for (letter, _) in ('A'..='Z').zip(sample.options()) {
            counts.entry(letter).or_default();
        }
        if let Some(letter) = sample.answer_index().and_then(|index| ('A'..='Z').nth(index)) {
            *counts.entry(letter).or_default() += 1;
        }
    }
    let total = samples.len().max(1) as f64;
    counts.into_iter().map(|(letter, count)| (letter, count as f64 / total)).collect()
}

/// Choices by words, the commonest first; numbers one by one if there are few, otherwise in ranges that hold about
/// as many answers each.
pub(super) fn answers(samples: &[&SpatialSample], is_choice: bool) -> Vec<AnswerBin> {
    if is_choice {
        return commonest(samples.iter().map(|sample| sample.answer_text()));
    }
    let mut numbers: Vec<f64> = samples.iter().filter_map(|sample| number(sample)).collect();
    numbers.sort_by(f64::total_cmp);
    let runs: Vec<&[f64]> = numbers.chunk_by(|a, b| a == b).collect();
    if runs.len() <= FEW_NUMBERS {
        return runs.iter().map(|run| AnswerBin { answer: run[0].to_string(), count: run.len() }).collect();
    }
    // Equal numbers stay in one bin: a bin is full when it has reached its share of all numbers.
    let mut bins = Vec::new();
    let (mut start, mut end) = (0, 0);
    for run in runs {
        end += run.len();
        if end * QUANTILES >= numbers.len() * (bins.len() + 1) {
            let (from, to) = (numbers[start], numbers[end - 1]);
            let answer = if from == to { from.to_string() } else { format!("{from} to {to}") };
            bins.push(AnswerBin { answer, count: end - start });
            start = end;
        }
    }
    bins
}

fn commonest<'text>(answers: impl Iterator<Item = &'text str>) -> Vec<AnswerBin> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.to_lowercase()).or_default() += 1;
    }
    let mut bins: Vec<AnswerBin> =
        counts.into_iter().map(|(answer, count)| AnswerBin { answer, count }).collect();
    bins.sort_by_key(|bin| std::cmp::Reverse(bin.count));
    if bins.len() > MOST_ANSWERS {
        let others = bins.drain(MOST_ANSWERS..).map(|bin| bin.count).sum();
        bins.push(AnswerBin { answer: "others".to_owned(), count: others });
    }
    bins
}
