//! Questions that are answered from their own text: what a language model brings along from its pretraining, and a small one
//! from random weights has to be taught.

use crate::questions::spatial::letter;
use crate::scenes::Dice;

/// Fewest names that questions can be made of.
pub const LOOK_UP_NAMES: usize = 8;

/// A question without a picture and its answer, both of some of `names`, at least [`LOOK_UP_NAMES`]. One in four repeats a
/// list word by word, one looks up which list of names has which letter, the others which name has, in both directions:
/// `A. The lamp. C. I see the door. The answer is lamp, which is A.`
///
/// Thoughts go through their options so, and end so. Beside hundreds of other tokens about pictures a model of a few layers
/// does not come to it.
pub fn look_up(names: &[String], dice: &mut Dice) -> (String, String) {
    const MOST_LETTERS: u32 = 5;
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    dice.shuffle(&mut names);
    let way = dice.index(4);
    if way == 0 {
        names.truncate(dice.count(3, LOOK_UP_NAMES as u32) as usize);
        let list = names.join(", ");
        let times = dice.count(1, 3) as usize;
        return (format!("{list}?"), vec![format!("{list}."); times].join(" "));
    }
    let lists = way == 1;
    let letters = dice.count(2, MOST_LETTERS) as usize;
    let options: Vec<String> = if lists {
        names.truncate(dice.count(2, 4) as usize);
        let mut lists = Vec::new();
        for _ in 0..letters {
            dice.shuffle(&mut names);
            let list = names.join(", ");
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
        lists
    } else {
        names[..letters].iter().map(|name| (*name).to_owned()).collect()
    };
    let listed: Vec<String> =
        options.iter().enumerate().map(|(place, option)| format!("{}. {option}", letter(place))).collect();
    let asked = if lists { 5 } else { 12 };
    let answers: Vec<String> = (0..asked)
        .map(|_| {
            let place = dice.index(options.len());
            let (letter, option) = (letter(place), &options[place]);
            match dice.index(4) {
                0 if !lists => format!("{letter}. I see the {option}."),
                1 if !lists => format!("{letter}. The {option}."),
                0 | 1 => format!("{option}, which is {letter}."),
                2 => format!("The answer is {option}, which is {letter}."),
                _ => format!("{letter}. {option}."),
            }
        })
        .collect();
    (format!("Which of these?\nOptions:\n{}", listed.join("\n")), answers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_looked_up_stands_in_the_question() {
        let names: Vec<String> = ["bed", "tv", "lamp", "trash can", "sofa", "desk", "door", "cup", "fan"]
            .map(str::to_owned)
            .into();
        let (mut repeated, mut by_letter, mut by_name, mut of_lists) = (0, 0, 0, 0);
        for seed in 0..200 {
            let (question, answer) = look_up(&names, &mut Dice::new(5, seed));
            assert_eq!(look_up(&names, &mut Dice::new(5, seed)), (question.clone(), answer.clone()));
            let Some((_, listed)) = question.split_once("Options:\n") else {
                let list = question.strip_suffix('?').unwrap();
                assert!(
                    answer.split_inclusive('.').all(|copy| copy.trim() == format!("{list}.")),
                    "{answer}"
                );
                repeated += 1;
                continue;
            };
            let options: BTreeMap<&str, &str> =
                listed.lines().map(|line| line.split_once(". ").unwrap()).collect();
            assert_eq!(options.len(), listed.lines().count());
            of_lists += usize::from(listed.contains(','));
            // `C. The door.` and `The answer is door, which is C.`
            let mut parts = answer.strip_suffix('.').unwrap().split(". ");
            while let Some(part) = parts.next() {
                if let Some((name, letter)) = part.split_once(", which is ") {
                    assert_eq!(
                        options[letter],
                        name.trim_start_matches("The answer is "),
                        "{question} {answer}"
                    );
                    by_name += 1;
                } else {
                    let name = parts.next().unwrap();
                    let name = ["The ", "I see the "]
                        .iter()
                        .find_map(|start| name.strip_prefix(start))
                        .unwrap_or(name);
                    assert_eq!(options[part], name, "{question} {answer}");
                    by_letter += 1;
                }
            }
        }
        assert!(repeated > 30 && of_lists > 30 && by_letter > 400 && by_name > 400);
    }
}
