//! Which of all candidates become questions.

use crate::questions::Quotas;
use crate::questions::spatial::Candidate;
use crate::samples::{DataType, QuestionType, SectorScheme};
use crate::scenes::Dice;
use std::collections::{BTreeMap, HashMap};

/// What each candidate already chosen from a scene adds to the cost of the next: little against a hint.
const SCENE_COST: f32 = 0.1;
/// Rounds of exchanging what was chosen; few are needed.
const EXCHANGES: usize = 8;

/// What is known of a candidate while choosing.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub scene: usize,
    /// Place among the scene's candidates.
    pub number: usize,
    pub data_type: DataType,
    pub question_type: QuestionType,
    scheme: Option<SectorScheme>,
    balance: String,
    hints: Vec<(String, f32)>,
}

impl Key {
    pub fn new(
        scene: usize,
        number: usize,
        candidate: &Candidate,
        categories: &BTreeMap<u16, String>,
    ) -> Self {
        Self {
            scene,
            number,
            data_type: candidate.data_type,
            question_type: candidate.question_type,
            scheme: candidate.scheme(),
            balance: candidate.balance_key(),
            hints: candidate.hints(categories),
        }
    }
}

/// Chooses candidates, so that within the quotas the types of a modality, the difficulties and answers of a type,
/// and the scenes are as even as the supply allows, and the text says little about the answer. At most
/// `max_count_share` of the counts are the same number. Returns `(scene, number)` of those chosen, sorted.
pub(super) fn select(
    keys: &[Key],
    quotas: &Quotas,
    max_count_share: f32,
    dice: &mut Dice,
) -> Vec<(usize, usize)> {
    let mut groups: BTreeMap<DataType, BTreeMap<QuestionType, Vec<&Key>>> = BTreeMap::new();
    for key in keys {
        groups.entry(key.data_type).or_default().entry(key.question_type).or_default().push(key);
    }
    for types in groups.values_mut() {
        if let Some(counts) = types.get_mut(&QuestionType::ObjectCount) {
            *counts = without_surplus(counts, max_count_share, dice);
        }
    }
    let mut chosen = Vec::new();
    for (data_type, types) in &groups {
        let (own, shared): (Vec<_>, Vec<_>) = types
            .iter()
            .partition(|(question_type, _)| quotas.of_type(*data_type, **question_type).is_some());
        for (question_type, keys) in own {
            let limit = quotas.of_type(*data_type, *question_type).unwrap_or(usize::MAX);
            choose(keys, limit, dice, &mut chosen);
        }
        let supplies: Vec<usize> = shared.iter().map(|(_, keys)| keys.len()).collect();
        let total = quotas.of_modality(*data_type).unwrap_or(usize::MAX);
        for ((_, keys), limit) in shared.iter().zip(water_fill(&supplies, total)) {
            choose(keys, limit, dice, &mut chosen);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Chooses at most `limit` of one type.
fn choose(keys: &[&Key], limit: usize, dice: &mut Dice, chosen: &mut Vec<(usize, usize)>) {
    // First the difficulties share the limit, then the answers of each.
    let mut schemes: BTreeMap<Option<SectorScheme>, BTreeMap<&str, Vec<&Key>>> = BTreeMap::new();
    for key in keys {
        schemes.entry(key.scheme).or_default().entry(&key.balance).or_default().push(key);
    }
    let supplies: Vec<usize> = schemes.values().map(|answers| answers.values().map(Vec::len).sum()).collect();
    for (answers, limit) in schemes.into_values().zip(water_fill(&supplies, limit)) {
        let supplies: Vec<usize> = answers.values().map(Vec::len).collect();
        let groups: Vec<_> = answers.into_values().zip(water_fill(&supplies, limit)).collect();
        let has_hints = groups.iter().any(|(keys, _)| keys.iter().any(|key| !key.hints.is_empty()));
        if has_hints && groups.iter().any(|(keys, limit)| *limit < keys.len()) {
            chosen.extend(against_hints(groups, dice));
        } else {
            let spread = groups.into_iter().flat_map(|(keys, limit)| spread_over_scenes(keys, limit, dice));
            chosen.extend(spread.map(|key| (key.scene, key.number)));
        }
    }
}

/// Chooses from each group as many as it says, so that the hints of those chosen cancel out: one after the other from
/// the groups in turn, always the cheapest, then by exchanging chosen ones for others while that helps.
fn against_hints(groups: Vec<(Vec<&Key>, usize)>, dice: &mut Dice) -> Vec<(usize, usize)> {
    let mut balance = Balance::default();
    let mut groups: Vec<(Vec<Weighed>, Vec<Weighed>, usize)> = groups
        .into_iter()
        .map(|(mut keys, limit)| {
            dice.shuffle(&mut keys);
            (keys.into_iter().map(|key| balance.weigh(key)).collect(), Vec::new(), limit)
        })
        .collect();
    while groups.iter().any(|(open, chosen, limit)| chosen.len() < *limit && !open.is_empty()) {
        for (open, chosen, _) in groups.iter_mut().filter(|(_, chosen, limit)| chosen.len() < *limit) {
            if let Some((at, _)) = balance.cheapest(open) {
                let key = open.swap_remove(at);
                balance.add(&key, 1.0);
                chosen.push(key);
            }
        }
    }
    for _ in 0..EXCHANGES {
        let mut exchanged = false;
        for (open, chosen, _) in &mut groups {
            for key in chosen.iter_mut() {
                balance.add(key, -1.0);
                let own = balance.cost(key);
                if let Some((at, cost)) = balance.cheapest(open)
                    && cost < own - 1e-3
                {
                    std::mem::swap(key, &mut open[at]);
                    exchanged = true;
                }
                balance.add(key, 1.0);
            }
        }
        if !exchanged {
            break;
        }
    }
    groups.into_iter().flat_map(|(_, chosen, _)| chosen).map(|key| key.place).collect()
}

/// A candidate with its hints by number.
struct Weighed {
    place: (usize, usize),
    hints: Vec<(usize, f32)>,
}

/// The hints of the candidates chosen, added up, and how many come from each scene.
#[derive(Default)]
struct Balance<'keys> {
    numbers: HashMap<&'keys str, usize>,
    sums: Vec<f32>,
    taken: Vec<f32>,
}

impl<'keys> Balance<'keys> {
    fn weigh(&mut self, key: &'keys Key) -> Weighed {
        let number = |(name, value): &'keys (String, f32)| {
            let next = self.numbers.len();
            (*self.numbers.entry(name).or_insert(next), *value)
        };
        let hints = key.hints.iter().map(number).collect();
        self.sums.resize(self.numbers.len(), 0.0);
        self.taken.resize(self.taken.len().max(key.scene + 1), 0.0);
        Weighed { place: (key.scene, key.number), hints }
    }

    /// By how much the squares of the sums would grow, and a little for each candidate from the same scene.
    fn cost(&self, key: &Weighed) -> f32 {
        let grown =
            key.hints.iter().map(|&(hint, value)| value * (2.0 * self.sums[hint] + value)).sum::<f32>();
        grown + SCENE_COST * self.taken[key.place.0]
    }

    /// The index of the cheapest and its cost; the first of several.
    fn cheapest(&self, keys: &[Weighed]) -> Option<(usize, f32)> {
        keys.iter().map(|key| self.cost(key)).enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    fn add(&mut self, key: &Weighed, sign: f32) {
        for &(hint, value) in &key.hints {
            self.sums[hint] += sign * value;
        }
        self.taken[key.place.0] += sign;
    }
}

/// Leaves out as many of the commonest answers as it takes for none to be more than this share of all that are left;
/// none where there are too few different answers for that.
fn without_surplus<'keys>(keys: &[&'keys Key], share: f32, dice: &mut Dice) -> Vec<&'keys Key> {
    let mut answers: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    for &key in keys {
        answers.entry(&key.balance).or_default().push(key);
    }
    let left = |most: usize| answers.values().map(|keys| keys.len().min(most)).sum::<usize>();
    let commonest = answers.values().map(Vec::len).max().unwrap_or(0);
    let Some(most) = (1..=commonest).rev().find(|&most| most as f32 <= share * left(most) as f32) else {
        return keys.to_vec();
    };
    answers.into_values().flat_map(|keys| spread_over_scenes(keys, most, dice)).collect()
}

/// The first candidate of each scene before the second of any.
fn spread_over_scenes<'keys>(mut keys: Vec<&'keys Key>, limit: usize, dice: &mut Dice) -> Vec<&'keys Key> {
    dice.shuffle(&mut keys);
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    keys.sort_by_cached_key(|key| {
        let rank = taken.entry(key.scene).or_default();
        *rank += 1;
        *rank
    });
    keys.truncate(limit);
    keys
}

/// Shares `total` among groups with these supplies: all get the same, except that none gets more than it has.
/// What is left over by the division goes to the first.
pub(super) fn water_fill(supplies: &[usize], total: usize) -> Vec<usize> {
    let mut shares = vec![0; supplies.len()];
    let mut left = total.min(supplies.iter().fold(0_usize, |sum, &supply| sum.saturating_add(supply)));
    while left > 0 {
        let open: Vec<usize> = (0..supplies.len()).filter(|&i| shares[i] < supplies[i]).collect();
        let each = (left / open.len().max(1)).max(1);
        for i in open {
            let more = each.min(supplies[i] - shares[i]).min(left);
            shares[i] += more;
            left -= more;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scene: usize, number: usize, question_type: QuestionType, balance: &str) -> Key {
        let (data_type, scheme, balance) = (DataType::Video, None, balance.to_owned());
        Key { scene, number, data_type, question_type, scheme, balance, hints: Vec::new() }
    }

    #[test]
    fn shares_are_even_up_to_the_supply() {
        assert_eq!(water_fill(&[10, 2, 10], 12), [5, 2, 5]);
        assert_eq!(water_fill(&[10, 2, 10], 13), [6, 2, 5]);
        assert_eq!(water_fill(&[1, 2], usize::MAX), [1, 2]);
        assert_eq!(water_fill(&[], 5), Vec::<usize>::new());
    }

    #[test]
    fn types_answers_and_scenes_are_balanced() {
        let mut keys = Vec::new();
        for scene in 0..10 {
            for number in 0..8 {
                let answer = if number == 0 { "3" } else { "2" };
                keys.push(key(scene, number, QuestionType::ObjectCount, answer));
            }
            keys.push(key(scene, 8, QuestionType::RoomSize, ""));
        }
        let quotas = Quotas::new([("video", 30), ("video/object size", 0)]);
        let chosen = select(&keys, &quotas, 1.0, &mut Dice::new(1, 0));
        assert_eq!(chosen.len(), 30);
        let rooms = chosen.iter().filter(|(_, number)| *number == 8).count();
        let threes = chosen.iter().filter(|(_, number)| *number == 0).count();
        assert_eq!((rooms, threes), (10, 10));
        for scene in 0..10 {
            assert_eq!(chosen.iter().filter(|(s, _)| *s == scene).count(), 3);
        }
        assert_eq!(chosen, select(&keys, &quotas, 1.0, &mut Dice::new(1, 0)));
    }

    #[test]
    fn no_count_is_more_than_its_share() {
        let mut keys = Vec::new();
        for scene in 0..60 {
            keys.push(key(scene, 0, QuestionType::ObjectCount, "2"));
            if scene % 3 == 0 {
                keys.push(key(scene, 1, QuestionType::ObjectCount, if scene % 2 == 0 { "3" } else { "4" }));
            }
        }
        let twos = |share: f32| {
            let chosen = select(&keys, &Quotas::default(), share, &mut Dice::new(1, 0));
            (chosen.iter().filter(|(_, number)| *number == 0).count(), chosen.len())
        };
        assert_eq!(twos(1.0), (60, 80));
        assert_eq!(twos(0.5), (20, 40));
        assert_eq!(twos(0.4), (13, 33));
        // Three numbers cannot all be less than a third.
        assert_eq!(twos(0.2), (60, 80));
    }

    #[test]
    fn what_the_text_says_about_the_answer_is_evened_out() {
        let mut dice = Dice::new(5, 0);
        let mut keys = Vec::new();
        for scene in 0..300 {
            // Pictures hang at the back four times out of five.
            let is_back = dice.chance(0.8);
            let surplus = if is_back { 0.5 } else { -0.5 };
            let hints = vec![("picture: back".to_owned(), surplus), ("picture: front".to_owned(), -surplus)];
            let answer = if is_back { "back" } else { "front" };
            keys.push(Key { hints, ..key(scene, 0, QuestionType::RelativeDirection, answer) });
            // Chairs stand at the front as often.
            let is_back = dice.chance(0.2);
            let surplus = if is_back { 0.5 } else { -0.5 };
            let hints = vec![("chair: back".to_owned(), surplus), ("chair: front".to_owned(), -surplus)];
            let answer = if is_back { "back" } else { "front" };
            keys.push(Key { hints, ..key(scene, 1, QuestionType::RelativeDirection, answer) });
        }
        let chosen = select(&keys, &Quotas::new([("video", 200)]), 1.0, &mut dice);
        assert_eq!(chosen.len(), 200);
        for number in [0, 1] {
            let of_kind: Vec<&Key> =
                keys.iter().filter(|k| k.number == number && chosen.contains(&(k.scene, k.number))).collect();
            let at_back = of_kind.iter().filter(|key| key.balance == "back").count();
            assert!(
                of_kind.len() > 50 && at_back.abs_diff(of_kind.len() - at_back) <= 2,
                "{at_back} of {}",
                of_kind.len()
            );
        }
    }
}
