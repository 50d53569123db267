//! Which object categories a text names.

use crate::samples::{Dataset, QuestionType};
use crate::scenes::CATEGORIES;
use std::collections::HashSet;

/// The categories that are known, in lower case, words apart by single spaces.
pub(super) struct Vocabulary {
    categories: HashSet<String>,
    /// Words of the longest category.
    longest: usize,
}

impl Vocabulary {
    /// The categories of generated rooms, the labels of the data set's boxes, and the objects that its options name.
    pub(super) fn of(dataset: &Dataset) -> Self {
        let mut names: HashSet<String> =
            CATEGORIES.iter().map(|category| words(category.name).join(" ")).collect();
        for split in [&dataset.train, &dataset.validation] {
            names.extend(
                split
                    .grounding
                    .iter()
                    .flat_map(|row| &row.answer)
                    .map(|answer| words(&answer.label).join(" ")),
            );
            let of_objects =
                |kind| matches!(kind, QuestionType::RelativeDistance | QuestionType::AppearanceOrder);
            let options = split.spatial.iter().filter(|row| of_objects(row.question_type));
            for option in options.flat_map(|row| row.options()) {
                let text = option.split_once(". ").map_or(option.as_str(), |(_, text)| text);
                names.extend(text.split(',').map(|name| words(name).join(" ")));
            }
        }
        names.remove("");
        let longest = names.iter().map(|name| name.split(' ').count()).max().unwrap_or(0);
        Self { categories: names, longest }
    }

    /// The categories in the order in which the text first names them, each once: the longest name at each place,
    /// in the singular where only that is known.
    pub(super) fn named_in(&self, text: &str) -> Vec<String> {
        let words = words(text);
        let mut named = Vec::new();
        let mut start = 0;
        while start < words.len() {
            let longest = self.longest.min(words.len() - start);
            let found = (1..=longest).rev().find_map(|length| {
                let name = words[start..start + length].join(" ");
                [name.as_str(), name.strip_suffix('s').unwrap_or(""), name.strip_suffix("es").unwrap_or("")]
                    .into_iter()
                    .find(|form| self.categories.contains(*form))
                    .map(|form| (form.to_owned(), length))
            });
            match found {
                Some((name, length)) => {
                    if !named.contains(&name) {
                        named.push(name);
                    }
                    start += length;
                }
                None => start += 1,
            }
        }
        named
    }
}

/// Letters and digits in lower case, cut at everything else.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_name_is_taken_in_the_singular() {
        let categories = ["table", "coffee table", "trash can", "box"].map(str::to_owned).into();
        let vocabulary = Vocabulary { categories, longest: 2 };
        let named =
            vocabulary.named_in("How far are the Coffee Tables, 2 boxes and trash can(s) from the table?");
        assert_eq!(named, ["coffee table", "box", "trash can", "table"]);
        assert!(vocabulary.named_in("How large is this room?").is_empty());
    }
}
