//! Spatial rows: options, answer and images.

use super::images::image_count_fault;
use crate::samples::SpatialSample;
use std::collections::HashSet;

/// What is wrong with the row, apart from its id and the files it names.
pub fn faults(sample: &SpatialSample) -> Vec<String> {
    let mut messages = Vec::new();
    if sample.question.trim().is_empty() {
        messages.push("the question is empty".to_owned());
    }
    messages.extend(image_count_fault(sample.image.len(), sample.data_type));
    let name = sample.question_type.name();
    if sample.question_type.is_choice() {
        match sample.options() {
            [] | [_] => messages.push(format!("a {name} question needs 2 or more options")),
            options => messages.extend(option_faults(options)),
        }
        let letter_is_plain = matches!(sample.answer.as_bytes(), [letter] if letter.is_ascii_uppercase());
        if !letter_is_plain || sample.answer_index().is_none() {
            messages.push(format!("the answer {:?} is not the letter of an option", sample.answer));
        }
    } else {
        if sample.options.is_some() {
            messages.push(format!("a {name} question is answered by a number, but the row has options"));
        }
        if positive_decimal(&sample.answer).is_none() {
            messages.push(format!("the answer {:?} is not a positive decimal number", sample.answer));
        }
    }
    messages
}

/// The value of digits with at most one point between them; `None` for anything else, and for 0.
pub(super) fn positive_decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let value: f64 = (digits(whole) && digits(fraction)).then(|| text.parse().ok())??;
    (value > 0.0 && value.is_finite()).then_some(value)
}

/// Options are lettered `A. `, `B. `, … in order, and no two say the same.
fn option_faults(options: &[String]) -> Vec<String> {
    let mut messages = Vec::new();
    let mut seen = HashSet::new();
    for (option, letter) in options.iter().zip('A'..='Z') {
        let words = option.strip_prefix(letter).and_then(|rest| rest.strip_prefix(". ")).map(str::trim);
        match words {
            None | Some("") => {
                messages.push(format!("the option {option:?} does not read \"{letter}. \" and some words"));
            }
            Some(words) if !seen.insert(words.to_lowercase()) => {
                messages.push(format!("the option {option:?} says the same as one before it"));
            }
            Some(_) => {}
        }
    }
    if options.len() > 26 {
        messages.push(format!("{} options are more than there are letters", options.len()));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_positive_numbers_are_answers() {
        for (text, value) in [("2.5", 2.5), ("172", 172.0), ("0.1", 0.1)] {
            assert_eq!(positive_decimal(text), Some(value));
        }
        for text in ["", "0", "0.0", "-1", "1e3", "inf", "2.", ".5", "1.2.3", "3 m", " 3"] {
            assert_eq!(positive_decimal(text), None, "{text:?}");
        }
    }
}
