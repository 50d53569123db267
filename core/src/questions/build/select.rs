//! Which of all candidates become questions.

use crate::questions::Quotas;
use crate::questions::spatial::Candidate;
use crate::samples::{DataType, QuestionType, SectorScheme};
use crate::scenes::Dice;
use std::collections::BTreeMap;

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
}

impl Key {
    pub fn new(scene: usize, number: usize, candidate: &Candidate) -> Self {
        Self {
            scene,
            number,
            data_type: candidate.data_type,
            question_type: candidate.question_type,
            scheme: candidate.scheme(),
            balance: candidate.balance_key(),
        }
    }
}

/// Chooses candidates, so that within the quotas the types of a modality, the difficulties and answers of a type,
/// and the scenes are as even as the supply allows. Returns `(scene, number)` of those chosen, sorted.
pub(super) fn select(keys: &[Key], quotas: &Quotas, dice: &mut Dice) -> Vec<(usize, usize)> {
    let mut groups: BTreeMap<DataType, BTreeMap<QuestionType, Vec<&Key>>> = BTreeMap::new();
    for key in keys {
        groups.entry(key.data_type).or_default().entry(key.question_type).or_default().push(key);
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
    for (answers, limit) in schemes.values().zip(water_fill(&supplies, limit)) {
        let supplies: Vec<usize> = answers.values().map(Vec::len).collect();
        for (keys, limit) in answers.values().zip(water_fill(&supplies, limit)) {
            chosen.extend(spread_over_scenes(keys, limit, dice));
        }
    }
}

/// The first candidate of each scene before the second of any.
fn spread_over_scenes(keys: &[&Key], limit: usize, dice: &mut Dice) -> Vec<(usize, usize)> {
    let mut shuffled: Vec<&&Key> = keys.iter().collect();
    dice.shuffle(&mut shuffled);
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, (usize, usize))> = shuffled
        .into_iter()
        .map(|key| {
            let rank = taken.entry(key.scene).or_default();
            *rank += 1;
            (*rank, (key.scene, key.number))
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(limit).map(|(_, place)| place).collect()
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
        Key { scene, number, data_type, question_type, scheme, balance }
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
        let chosen = select(&keys, &quotas, &mut Dice::new(1, 0));
        assert_eq!(chosen.len(), 30);
        let rooms = chosen.iter().filter(|(_, number)| *number == 8).count();
        let threes = chosen.iter().filter(|(_, number)| *number == 0).count();
        assert_eq!((rooms, threes), (10, 10));
        for scene in 0..10 {
            assert_eq!(chosen.iter().filter(|(s, _)| *s == scene).count(), 3);
        }
        assert_eq!(chosen, select(&keys, &quotas, &mut Dice::new(1, 0)));
    }
}
