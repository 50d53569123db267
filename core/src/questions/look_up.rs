//! Questions that are answered from their own text: what a language model brings along from its pretraining, and a small one
//! from random weights has to be taught.

use super::spatial::{Choice, LIST_SEPARATOR, LetterFrom, comes, conclusion, letter, sectors};
use crate::samples::{SectorScheme, prompts};
use crate::scenes::Dice;

const MOST_LETTERS: u32 = 5;

/// Fewest names that questions can be made of.
pub const LOOK_UP_NAMES: usize = 8;

/// A question without a picture and its answer, both of some of `names`, at least [`LOOK_UP_NAMES`]: what thoughts do once
/// they have seen. One in eight repeats a list word by word, two sort names by the number of a picture and look for the order
/// among the options, and two look for several orders among them. The others say which option has a letter and go through the
/// options until a name or a direction comes: `A. The lamp. C. I see the door. So the answer is cup: A. lamp. B. cup, which is
/// B.`
///
/// Beside hundreds of other tokens about pictures a model of a few layers does not come to it by itself. Questions have the
/// instruction of the reasoning stage behind them, which what is looked up has to be found beyond.
pub fn look_up(names: &[String], dice: &mut Dice) -> (String, String) {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    dice.shuffle(&mut names);
    match dice.index(8) {
        0 => repeated(&names[..dice.count(3, LOOK_UP_NAMES as u32) as usize], dice),
        1 | 2 => sorted(&names[..4], dice),
        3 | 4 => {
            let count = dice.count(2, 4) as usize;
            asked_for(&orders(&mut names[..count], dice), 5, order, dice)
        }
        5 => asked_for(&directions(dice), 10, one_of, dice),
        _ => {
            let count = dice.count(2, MOST_LETTERS) as usize;
            let options: Vec<String> = names[..count].iter().map(|name| (*name).to_owned()).collect();
            asked_for(&options, 10, one_of, dice)
        }
    }
}

/// Several of the options, drawn with their places and told by `tell`, which has them as the question has them.
fn asked_for(
    options: &[String],
    times: usize,
    tell: fn(&[String], &[String], usize, &mut Dice) -> String,
    dice: &mut Dice,
) -> (String, String) {
    let listed = lettered(options);
    let mut draw = || {
        let place = dice.index(options.len());
        tell(options, &listed, place, dice)
    };
    let answers: Vec<String> = (0..times).map(|_| draw()).collect();
    (prompts::stage3("Which of these?", &listed), answers.join(" "))
}

fn repeated(names: &[&str], dice: &mut Dice) -> (String, String) {
    let list = names.join(LIST_SEPARATOR);
    let times = dice.count(1, 3) as usize;
    (format!("{list}?"), vec![format!("{list}."); times].join(" "))
}

/// As thoughts about the order of appearance end.
fn sorted(names: &[&str], dice: &mut Dice) -> (String, String) {
    const MOST_PICTURES: u32 = 8;
    let mut pictures: Vec<u32> = (1..=MOST_PICTURES).collect();
    dice.shuffle(&mut pictures);
    pictures.truncate(names.len());
    let told: Vec<String> = names
        .iter()
        .zip(&pictures)
        .map(|(name, picture)| format!("the {name} of picture {picture}"))
        .collect();
    let mut by_time: Vec<(u32, &str)> = pictures.into_iter().zip(names.iter().copied()).collect();
    by_time.sort_unstable();
    let placed: Vec<String> = by_time
        .iter()
        .enumerate()
        .map(|(place, (picture, name))| comes(place, &format!("the {name} of picture {picture}")))
        .collect();
    let order = by_time.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(LIST_SEPARATOR);

    let mut options = orders(&mut names.to_vec(), dice);
    let place =
        options.iter().position(|option| *option == order).unwrap_or_else(|| dice.index(options.len()));
    options[place].clone_from(&order);
    let question = format!("In what order do these come: {}?", told.join(LIST_SEPARATOR));
    let options = lettered(&options);
    let choice = Choice { options: &options, place, letter_from: LetterFrom::NameByName };
    let end = conclusion(&order, Some(choice), dice);
    (prompts::stage3(&question, &options), format!("{} {end}", placed.join(" ")))
}

/// Words of which one is often part of another, and so hard to tell apart.
fn directions(dice: &mut Dice) -> Vec<String> {
    let schemes = [SectorScheme::Medium, SectorScheme::Hard, SectorScheme::Cardinal, SectorScheme::Diagonal];
    let scheme = schemes[dice.index(schemes.len())];
    let mut words: Vec<String> = sectors(scheme).iter().map(|(word, _)| (*word).to_owned()).collect();
    dice.shuffle(&mut words);
    words
}

/// Different orders of the names, a few.
fn orders(names: &mut [&str], dice: &mut Dice) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..dice.count(2, MOST_LETTERS) {
        dice.shuffle(names);
        let order = names.join(LIST_SEPARATOR);
        if !found.contains(&order) {
            found.push(order);
        }
    }
    found
}

fn lettered(options: &[String]) -> Vec<String> {
    options.iter().enumerate().map(|(place, option)| format!("{}. {option}", letter(place))).collect()
}

/// Names one of the options.
fn one_of(options: &[String], listed: &[String], place: usize, dice: &mut Dice) -> String {
    let (letter, option) = (letter(place), &options[place]);
    let end = |letter_from, dice: &mut Dice| {
        conclusion(option, Some(Choice { options: listed, place, letter_from }), dice)
    };
    match dice.index(5) {
        0 => format!("{letter}. {option}."),
        1 => format!("{letter}. The {option}."),
        2 => format!("{letter}. I see the {option}."),
        3 => end(LetterFrom::Thought, dice),
        _ => end(LetterFrom::Search, dice),
    }
}

/// Looks for one of several orders.
fn order(options: &[String], listed: &[String], place: usize, dice: &mut Dice) -> String {
    let choice = Choice { options: listed, place, letter_from: LetterFrom::NameByName };
    conclusion(&options[place], Some(choice), dice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// `lamp: A. tv. B. lamp. C. lamp. Next comes tv: B. sofa. C. tv, which is C.`
    fn follow_name_by_name(options: &BTreeMap<&str, &str>, search: &str) {
        let (rounds, found) = search.strip_suffix('.').unwrap().split_once(", which is ").unwrap();
        let mut left: Vec<&str> = options.keys().copied().collect();
        for (at, round) in rounds.split(". Next comes ").enumerate() {
            assert!(at == 0 || left.len() > 1, "{search}");
            let (name, told) = round.split_once(": ").unwrap();
            let has = |letter: &&str| options[letter].split(LIST_SEPARATOR).nth(at).unwrap();
            let expected: Vec<String> =
                left.iter().map(|letter| format!("{letter}. {}", has(letter))).collect();
            assert_eq!(told, expected.join(". "), "{search}");
            left.retain(|letter| has(letter) == name);
        }
        assert_eq!(left, [found], "{search}");
    }

    #[test]
    fn what_is_looked_up_stands_in_the_question() {
        const STARTS: [&str; 7] = [
            "The ",
            "I see the ",
            "So the answer is ",
            "That makes the answer ",
            "I will answer ",
            "Therefore the answer is ",
            "",
        ];
        let names: Vec<String> = ["bed", "tv", "lamp", "trash can", "sofa", "desk", "door", "cup", "fan"]
            .map(str::to_owned)
            .into();
        let (mut repeated, mut by_letter, mut searched) = (0, 0, 0);
        let (mut searched_lists, mut of_directions, mut sorted) = (0, 0, 0);
        for seed in 0..400 {
            let (question, answer) = look_up(&names, &mut Dice::new(5, seed));
            assert_eq!(look_up(&names, &mut Dice::new(5, seed)), (question.clone(), answer.clone()));
            let Some((asked, listed)) = question.split_once("Options:\n") else {
                let list = question.strip_suffix('?').unwrap();
                assert!(
                    answer.split_inclusive('.').all(|copy| copy.trim() == format!("{list}.")),
                    "{answer}"
                );
                repeated += 1;
                continue;
            };
            let (listed, instruction) = listed.split_once(" \n").unwrap();
            assert!(instruction.starts_with("Please Think about"));
            let options: BTreeMap<&str, &str> =
                listed.lines().map(|line| line.split_once(". ").unwrap()).collect();
            assert_eq!(options.len(), listed.lines().count());
            of_directions += usize::from(listed.contains("left"));
            let mut answer = answer.as_str();
            if answer.starts_with("First comes the ") {
                let (placed, rest) = answer.split_once(". The order").unwrap();
                let mut last = 0;
                let mut names = Vec::new();
                for (place, start) in placed.split(". ").zip(["First comes ", "Then ", "Then ", "Then "]) {
                    let place = place.strip_prefix(start).unwrap();
                    assert!(asked.contains(place), "{place} in {asked}");
                    let (name, picture) = place.split_once(" of picture ").unwrap();
                    let picture: u32 = picture.parse().unwrap();
                    assert!(picture > last, "{placed}");
                    last = picture;
                    names.push(&name[4..]);
                }
                answer = &answer[answer.len() - rest.len() - "The order".len()..];
                let right = options.iter().find(|(_, order)| **order == names.join(LIST_SEPARATOR)).unwrap();
                assert!(rest.ends_with(&format!("which is {}.", right.0)), "{rest}");
                sorted += 1;
            }
            if answer.starts_with("The order") {
                for search in answer.split("The order starts with ").skip(1) {
                    follow_name_by_name(&options, search.trim_end());
                    searched_lists += 1;
                }
                continue;
            }
            let answer = answer.strip_suffix('.').unwrap();
            // `C. The door.`, `So the answer is C, door.` and `So the answer is door: A. cup. B. bed. C. door, which is C.`
            let named =
                |said: &str| STARTS.iter().find_map(|start| said.strip_prefix(start)).unwrap().to_owned();
            let mut parts = answer.split(". ").peekable();
            while let Some(part) = parts.next() {
                if let Some((name, first)) = part.split_once(": ") {
                    let mut letter = first;
                    for (expected, option) in &options {
                        assert_eq!(letter, *expected);
                        let said = parts.next().unwrap();
                        if said == format!("{option}, which is {letter}") {
                            assert_eq!(named(name), *option, "{question} {answer}");
                            break;
                        }
                        assert_eq!(said, *option, "{question} {answer}");
                        assert_ne!(named(name), *option, "{question} {answer}");
                        letter = parts.next().unwrap();
                    }
                    searched += 1;
                } else if let Some((letter, name)) = part.split_once(", ") {
                    assert_eq!(options[named(letter).as_str()], name, "{question} {answer}");
                    by_letter += 1;
                } else {
                    assert_eq!(options[part], named(parts.next().unwrap()), "{question} {answer}");
                    by_letter += 1;
                }
            }
        }
        assert!(
            repeated > 20
                && searched_lists > 300
                && by_letter > 400
                && searched > 200
                && sorted > 50
                && of_directions > 20
        );
    }
}
