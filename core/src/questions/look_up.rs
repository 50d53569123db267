//! Questions that are answered from their own text: what a language model brings along from its pretraining, and a small one
//! from random weights has to be taught.

use super::spatial::{Choice, LetterFrom, conclusion, letter, sectors};
use crate::samples::{SectorScheme, prompts};
use crate::scenes::Dice;

const MOST_LETTERS: u32 = 5;

/// Fewest names that questions can be made of.
pub const LOOK_UP_NAMES: usize = 8;

/// A question without a picture and its answer, both of some of `names`, at least [`LOOK_UP_NAMES`]: what thoughts do once
/// they have seen. One in eight repeats a list word by word, two sort names by the number of a picture and look for the order
/// among the options, and the others say which option has a letter and go through the options until a name comes, `A. The lamp.
/// C. I see the door. So the answer is cup: A. lamp. B. cup, which is B.`, where an option is a name, a direction or a list of
/// names.
///
/// Beside hundreds of other tokens about pictures a model of a few layers does not come to it by itself. Questions have the
/// instruction of the reasoning stage behind them, which what is looked up has to be found beyond.
pub fn look_up(names: &[String], dice: &mut Dice) -> (String, String) {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    dice.shuffle(&mut names);
    match dice.index(8) {
        0 => repeated(&names[..dice.count(3, LOOK_UP_NAMES as u32) as usize], dice),
        1 | 2 => sorted(&names[..4], dice),
        way => {
            let options = match way {
                3 | 4 => {
                    let count = dice.count(2, 4) as usize;
                    orders(&mut names[..count], dice)
                }
                5 => directions(dice),
                _ => {
                    let count = dice.count(2, MOST_LETTERS) as usize;
                    names[..count].iter().map(|name| (*name).to_owned()).collect()
                }
            };
            let asked = if way < 5 { 5 } else { 10 };
            let listed = lettered(&options);
            let answers: Vec<String> = (0..asked).map(|_| one_of(&options, &listed, dice)).collect();
            (prompts::stage3("Which of these?", &listed), answers.join(" "))
        }
    }
}

fn repeated(names: &[&str], dice: &mut Dice) -> (String, String) {
    let list = names.join(", ");
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
    let placed: Vec<String> =
        by_time.iter().map(|(picture, name)| format!("the {name} in picture {picture}")).collect();
    let order = by_time.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");

    let mut options = orders(&mut names.to_vec(), dice);
    let place =
        options.iter().position(|option| *option == order).unwrap_or_else(|| dice.index(options.len()));
    options[place].clone_from(&order);
    let question = format!("In what order do these come: {}?", told.join(", "));
    let options = lettered(&options);
    let choice = Choice { options: &options, place, letter_from: LetterFrom::Search };
    let end = conclusion(&order, Some(choice), dice);
    (prompts::stage3(&question, &options), format!("Sorted by time: {}. {end}", placed.join(", ")))
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
        let order = names.join(", ");
        if !found.contains(&order) {
            found.push(order);
        }
    }
    found
}

fn lettered(options: &[String]) -> Vec<String> {
    options.iter().enumerate().map(|(place, option)| format!("{}. {option}", letter(place))).collect()
}

/// Names one of the options, `lettered` as the question has them.
fn one_of(options: &[String], lettered: &[String], dice: &mut Dice) -> String {
    let place = dice.index(options.len());
    let (letter, option) = (letter(place), &options[place]);
    let end = |letter_from, dice: &mut Dice| {
        conclusion(option, Some(Choice { options: lettered, place, letter_from }), dice)
    };
    match dice.index(5) {
        0 => format!("{letter}. {option}."),
        1 => format!("{letter}. The {option}."),
        2 => format!("{letter}. I see the {option}."),
        3 => end(LetterFrom::Thought, dice),
        _ => end(LetterFrom::Search, dice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
        let (mut of_lists, mut of_directions, mut sorted) = (0, 0, 0);
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
            of_lists += usize::from(listed.contains(','));
            of_directions += usize::from(listed.contains("left"));
            let mut answer = answer.strip_suffix('.').unwrap();
            if let Some(rest) = answer.strip_prefix("Sorted by time: ") {
                let (placed, rest) = rest.split_once(". ").unwrap();
                let mut last = 0;
                for place in placed.split(", ") {
                    assert!(asked.contains(&place.replace(" in ", " of ")), "{place} in {asked}");
                    let picture: u32 = place.rsplit_once(' ').unwrap().1.parse().unwrap();
                    assert!(picture > last, "{placed}");
                    last = picture;
                }
                let order: Vec<&str> =
                    placed.split(", ").map(|place| &place[4..place.find(" in ").unwrap()]).collect();
                assert!(rest.contains(&order.join(", ")), "{rest}");
                answer = rest;
                sorted += 1;
            }
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
                && of_lists > 60
                && by_letter > 400
                && searched > 300
                && sorted > 50
                && of_directions > 20
        );
    }
}
