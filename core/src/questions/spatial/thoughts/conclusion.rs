//! How a thought ends: the answer, and where its letter is from.

use super::pick;
use crate::scenes::Dice;

/// What the option in this place is called.
pub fn letter(place: usize) -> char {
    char::from(b'A' + (place % 26) as u8)
}

/// Puts a thought and an answer into the form that stage 3 asks for.
pub fn solution(thought: &str, answer: &str) -> String {
    format!("<think>{thought}</think><answer>{answer}</answer>")
}

/// Where a thought has the letter of its answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterFrom {
    /// The options: it is looked up when the answer is known in words.
    Words,
    /// The options, gone through until those words come. Small models find the words of a letter (`questions::look_up`), and
    /// hardly ever the letter of words.
    Search,
    /// The options, which are orders of the same names: the first name of each, then the second of those that begin rightly,
    /// until one is left. Small models do not write a whole order again.
    NameByName,
    /// The thought, which calls options by their letters.
    Thought,
}

/// The options of a question, `A. left`, `B. right`, …, and which of them is the answer.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    pub options: &'a [String],
    pub place: usize,
    pub letter_from: LetterFrom,
}

/// The sentence that ends a thought by naming the answer: `So the answer is left, which is A.`, `So the answer is right: A.
/// left. B. right, which is B.` or `So the answer is B, right.`; name by name `The order starts with lamp: A. tv. B. lamp. C.
/// lamp. Next comes tv: B. sofa. C. tv, which is C.`
pub fn conclusion(words: &str, choice: Option<Choice<'_>>, dice: &mut Dice) -> String {
    let mut start = || {
        pick(dice, &["So the answer is", "That makes the answer", "I will answer", "Therefore the answer is"])
    };
    let Some(Choice { options, place, letter_from }) = choice else { return format!("{} {words}.", start()) };
    let letter = letter(place);
    match letter_from {
        LetterFrom::Words => format!("{} {words}, which is {letter}.", start()),
        LetterFrom::Search => {
            let seen = options[..=place].join(". ");
            format!("{} {words}: {seen}, which is {letter}.", start())
        }
        LetterFrom::NameByName => name_by_name(options, place),
        LetterFrom::Thought => format!("{} {letter}, {words}.", start()),
    }
}

/// How names stand in a list.
pub(in crate::questions) const LIST_SEPARATOR: &str = ", ";

/// See [`LetterFrom::NameByName`]; options as `A. lamp, tv, sofa`.
fn name_by_name(options: &[String], place: usize) -> String {
    let orders: Vec<Vec<&str>> = options
        .iter()
        .map(|option| option.split_once(". ").map_or(option.as_str(), |(_, order)| order))
        .map(|order| order.split(LIST_SEPARATOR).collect())
        .collect();
    let mut left: Vec<usize> = (0..orders.len()).collect();
    let mut rounds = Vec::new();
    for (at, &name) in orders[place].iter().enumerate() {
        let start = if at == 0 { "The order starts with" } else { "Next comes" };
        let has = |&option: &usize| orders[option].get(at).copied().unwrap_or_default();
        let told: Vec<String> =
            left.iter().map(|option| format!("{}. {}", letter(*option), has(option))).collect();
        rounds.push(format!("{start} {name}: {}", told.join(". ")));
        left.retain(|option| has(option) == name);
        if left.len() < 2 {
            break;
        }
    }
    format!("{}, which is {}.", rounds.join(". "), letter(place))
}
