//! From what the scenes gave to the rows of the data set.

use super::gather::{Gathered, Gatherer, image_path};
use super::select::{Key, select, water_fill};
use super::{BuildRequest, program};
use crate::questions::spatial::{
    Candidate, CandidateAnswer, Choice, LetterFrom, conclusion, letter, solution,
};
use crate::questions::{Localization, QuestionConfig, QuestionError, Quotas, SpatialConfig};
use crate::samples::files::FileError;
use crate::samples::{
    ColdStartSample, Counts, DataType, DatasetInfo, Evidence, GroundingSample, JsonlWriter, QuestionType,
    Reason, SpatialSample, names, prompts,
};
use crate::scenes::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Streams of the composing dice.
const SELECT_STREAM: u64 = 1;
const LETTER_STREAM: u64 = 2;

/// Chooses, numbers and writes the rows, and removes the pictures that none of them shows.
pub(super) fn compose(
    gatherer: &Gatherer,
    request: &BuildRequest<'_>,
    total: usize,
) -> Result<DatasetInfo, QuestionError> {
    let config = request.config;
    let (mut keys, mut left_out) = ([Vec::new(), Vec::new()], Vec::new());
    for index in 0..total {
        let gathered = gatherer.load(index)?;
        let part = usize::from(is_held_out(index, config.validation_share));
        let numbered = gathered.candidates.iter().enumerate();
        let categories = &gathered.categories;
        keys[part].extend(numbered.map(|(number, candidate)| Key::new(index, number, candidate, categories)));
        left_out.extend(gathered.left_out);
        left_out.extend(gathered.warnings);
    }
    let mut dice = Dice::new(request.seed, SELECT_STREAM);
    let SpatialConfig { train, evaluation, cold_start, cold_start_evaluation, max_count_share, .. } =
        &config.spatial;
    let [trained_on, held_out] = &keys;
    let chosen = [
        select(trained_on, train, *max_count_share, &mut dice),
        select(held_out, evaluation, *max_count_share, &mut dice),
    ];
    let thought = [
        thought_about(&keys[0], &chosen[0], *cold_start),
        thought_about(&keys[1], &chosen[1], *cold_start_evaluation),
    ];
    drop(keys);

    let mut output = Output::create(gatherer.root, config)?;
    let mut letters = Letters::new(request.seed);
    for index in 0..total {
        let gathered = gatherer.load(index)?;
        let part = usize::from(is_held_out(index, config.validation_share));
        let of_scene = |places: &'_ [(usize, usize)]| -> Vec<usize> {
            let start = places.partition_point(|(scene, _)| *scene < index);
            places[start..]
                .iter()
                .take_while(|(scene, _)| *scene == index)
                .map(|(_, number)| *number)
                .collect()
        };
        let questions = of_scene(&chosen[part]);
        let thoughts = of_scene(&thought[part]);
        let used = output.write_scene(part, gathered, &questions, &thoughts, &mut letters, config)?;
        remove_unused(gatherer.root, &used)?;
    }
    let evidence = output.evidence;
    let parts = output.parts;
    evidence.finish()?;
    let [trained, validated] = parts.map(Part::finish);
    let (written, held_out) = (trained?, validated?);
    if written.images + held_out.images == 0 {
        return Err(QuestionError::NothingToAsk { source_spec: request.source.to_string() });
    }
    let mut shortfalls = Vec::new();
    for (name, quotas, counts) in [("to train on", train, &written), ("held out", evaluation, &held_out)] {
        shortfalls.extend(shortfalls_of(name, quotas, counts));
    }
    Ok(DatasetInfo {
        program: program(),
        source: request.source.to_string(),
        seed: request.seed,
        limit: request.limit,
        train: written,
        validation: held_out,
        left_out,
        shortfalls,
        config: serde_json::to_value(config).unwrap_or_default(),
    })
}

/// Quotas that were not met, in words.
fn shortfalls_of(part: &str, quotas: &Quotas, counts: &Counts) -> Vec<String> {
    let written = |name: &str| -> usize {
        let of_type = |(kind, count): (&String, &usize)| {
            let modality = kind.split('/').next().unwrap_or_default();
            let counts = if name.contains('/') {
                kind == name
            } else {
                modality == name && !quotas.0.contains_key(kind)
            };
            if counts { *count } else { 0 }
        };
        counts.question_types.iter().map(of_type).sum()
    };
    let short = |(name, &wanted): (&String, &usize)| {
        let found = written(name);
        (found < wanted).then(|| format!("{name}: {found} of {wanted} {part}"))
    };
    quotas.0.iter().filter_map(short).collect()
}

/// Whether a scene belongs to the validation part. Held-out scenes are spread evenly over the source, and a
/// scene stays where it is when the source grows.
pub(super) fn is_held_out(index: usize, share: f32) -> bool {
    let before = |count: usize| (count as f64 * f64::from(share) + 0.5).floor();
    before(index + 1) > before(index)
}

/// Chosen questions that get a cold-start row: evenly over modalities and types, and over the scenes.
fn thought_about(keys: &[Key], chosen: &[(usize, usize)], wanted: usize) -> Vec<(usize, usize)> {
    let is_chosen: BTreeSet<&(usize, usize)> = chosen.iter().collect();
    let mut groups: BTreeMap<(DataType, QuestionType), Vec<(usize, usize)>> = BTreeMap::new();
    for key in keys.iter().filter(|key| is_chosen.contains(&(key.scene, key.number))) {
        groups.entry((key.data_type, key.question_type)).or_default().push((key.scene, key.number));
    }
    let supplies: Vec<usize> = groups.values().map(Vec::len).collect();
    let mut thought: Vec<(usize, usize)> = groups
        .values()
        .zip(water_fill(&supplies, wanted))
        .flat_map(|(places, count)| (0..count).map(move |i| places[i * places.len() / count]))
        .collect();
    thought.sort_unstable();
    thought
}

/// Deals out the letters of the right options, each as often as the others in either part of the data set.
struct Letters {
    dice: Dice,
    /// What is left to deal for each part, kind of question and number of options.
    decks: BTreeMap<(usize, DataType, QuestionType, usize), Vec<usize>>,
}

impl Letters {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, LETTER_STREAM), decks: BTreeMap::new() }
    }

    /// The order in which the options will stand, by their places in the candidate; `None` for a number.
    fn order(&mut self, part: usize, candidate: &Candidate) -> Option<Vec<usize>> {
        let CandidateAnswer::Choice { options, correct, fixed_order } = &candidate.answer else {
            return None;
        };
        let mut order: Vec<usize> = (0..options.len()).collect();
        if *fixed_order {
            return Some(order);
        }
        let kind = (part, candidate.data_type, candidate.question_type, options.len());
        let deck = self.decks.entry(kind).or_default();
        if deck.is_empty() {
            deck.extend(0..options.len());
            self.dice.shuffle(deck);
        }
        let place = deck.pop().unwrap_or(0);
        let right = order.remove(*correct);
        self.dice.shuffle(&mut order);
        order.insert(place, right);
        Some(order)
    }
}

/// Cameras of a scene whose pictures were written, and those that rows show.
struct Used {
    scene: String,
    written: BTreeSet<usize>,
    shown: BTreeSet<usize>,
}

fn remove_unused(root: &Path, used: &Used) -> Result<(), QuestionError> {
    for camera in used.written.difference(&used.shown) {
        let path = root.join(image_path(&used.scene, *camera));
        std::fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
    }
    if used.shown.is_empty() && !used.written.is_empty() {
        let path = root.join(names::SCENES).join(format!("{}.json", used.scene));
        std::fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
        // Only scans have a surface.
        let _ = std::fs::remove_file(path.with_extension("ply"));
        // All its pictures are gone.
        let _ = std::fs::remove_dir(root.join(names::IMAGES).join(&used.scene));
    }
    Ok(())
}

/// The row files of both parts.
struct Output {
    next_id: u64,
    parts: [Part; 2],
    evidence: JsonlWriter,
}

/// The row files of one part; those that the config does not ask for are absent.
struct Part {
    grounding: Option<JsonlWriter>,
    spatial: Option<JsonlWriter>,
    cold_start: Option<JsonlWriter>,
    foundation: Option<JsonlWriter>,
    counts: Counts,
}

impl Output {
    fn create(root: &Path, config: &QuestionConfig) -> Result<Self, QuestionError> {
        let spatial = &config.spatial;
        let grounds = config.questions_per_frame > 0 || (spatial.ground_single_image && spatial.single_image);
        let part = |files: [&str; 4], cold_start: usize| -> Result<Part, QuestionError> {
            let create =
                |wanted: bool, name: &str| wanted.then(|| JsonlWriter::create(&root.join(name))).transpose();
            Ok(Part {
                grounding: create(grounds, files[0])?,
                spatial: create(spatial.asks(), files[1])?,
                cold_start: create(spatial.asks() && cold_start > 0, files[2])?,
                foundation: create(config.foundation, files[3])?,
                counts: Counts::default(),
            })
        };
        let held_out = [
            names::GROUNDING_VALIDATION,
            names::SPATIAL_VALIDATION,
            names::COLD_START_VALIDATION,
            names::FOUNDATION_VALIDATION,
        ];
        let train = [names::GROUNDING, names::SPATIAL, names::COLD_START, names::FOUNDATION];
        Ok(Self {
            next_id: 0,
            parts: [part(train, spatial.cold_start)?, part(held_out, spatial.cold_start_evaluation)?],
            evidence: JsonlWriter::create(&root.join(names::EVIDENCE))?,
        })
    }

    fn write_scene(
        &mut self,
        number_of_part: usize,
        gathered: Gathered,
        questions: &[usize],
        thoughts: &[usize],
        letters: &mut Letters,
        config: &QuestionConfig,
    ) -> Result<Used, QuestionError> {
        let categories = gathered.categories;
        let mut used = Used {
            scene: gathered.scene.clone(),
            written: gathered.images.keys().copied().collect(),
            shown: BTreeSet::new(),
        };
        let part = &mut self.parts[number_of_part];
        for (camera, localizations) in gathered.localization {
            used.shown.insert(camera);
            for Localization { question, answer } in localizations {
                part.ground(GroundingSample {
                    question_id: self.next_id,
                    question,
                    answer,
                    image: vec![image_path(&gathered.scene, camera)],
                    data_type: DataType::SingleImage,
                })?;
                self.next_id += 1;
            }
        }
        for &number in questions {
            let Some(candidate) = gathered.candidates.get(number) else {
                continue;
            };
            used.shown.extend(&candidate.cameras);
            let question_id = self.next_id;
            self.next_id += 1;
            let order = letters.order(number_of_part, candidate);
            let row = spatial_row(candidate, question_id, &gathered.scene, order.as_deref());
            let reason = ordered(&candidate.reason, order.as_deref());
            if config.spatial.ground_single_image && candidate.data_type == DataType::SingleImage {
                part.ground(GroundingSample {
                    question_id,
                    question: candidate.question.clone(),
                    answer: candidate.boxes.clone(),
                    image: row.image.clone(),
                    data_type: row.data_type,
                })?;
            }
            if thoughts.binary_search(&number).is_ok() {
                part.think(candidate, &row, order.as_deref(), config, &mut letters.dice)?;
            }
            self.evidence.write(&Evidence {
                question_id,
                scene: gathered.scene.clone(),
                cameras: candidate.cameras.clone(),
                categories: reason.objects().iter().filter_map(|id| categories.get(id).cloned()).collect(),
                visibility: candidate.visibility,
                reason,
            })?;
            part.counts.add_spatial(&row);
            if let Some(writer) = &mut part.spatial {
                writer.write(&row)?;
            }
        }
        for row in gathered.foundation {
            used.shown.extend(used.written.iter().find(|&&at| image_path(&used.scene, at) == row.image));
            part.counts.foundation += 1;
            if let Some(writer) = &mut part.foundation {
                writer.write(&row)?;
            }
        }
        part.counts.images += used.shown.len();
        part.counts.scenes += usize::from(!used.shown.is_empty());
        Ok(used)
    }
}

/// The row of a candidate whose options stand in this order.
fn spatial_row(
    candidate: &Candidate,
    question_id: u64,
    scene: &str,
    order: Option<&[usize]>,
) -> SpatialSample {
    let (options, answer) = match (&candidate.answer, order) {
        (CandidateAnswer::Choice { options, correct, .. }, Some(order)) => {
            let lettered = (0..).zip(order).map(|(place, &at)| format!("{}. {}", letter(place), options[at]));
            let place = order.iter().position(|at| at == correct).unwrap_or(0);
            (Some(lettered.collect()), letter(place).to_string())
        }
        _ => (None, candidate.answer_text().to_owned()),
    };
    SpatialSample {
        question_id,
        question: candidate.question.clone(),
        options,
        answer,
        image: candidate.cameras.iter().map(|&camera| image_path(scene, camera)).collect(),
        question_type: candidate.question_type,
        data_type: candidate.data_type,
    }
}

/// The reason, its candidates in the order of the options.
fn ordered(reason: &Reason, order: Option<&[usize]>) -> Reason {
    match (reason, order) {
        (Reason::RelativeDistance { target, candidates, shortest }, Some(order)) => {
            Reason::RelativeDistance {
                target: *target,
                candidates: order.iter().map(|&at| candidates[at]).collect(),
                shortest: order.iter().map(|&at| shortest[at]).collect(),
            }
        }
        _ => reason.clone(),
    }
}

impl Part {
    fn ground(&mut self, row: GroundingSample) -> Result<(), QuestionError> {
        self.counts.add_grounding(&row);
        if let Some(writer) = &mut self.grounding {
            writer.write(&row)?;
        }
        Ok(())
    }

    fn think(
        &mut self,
        candidate: &Candidate,
        row: &SpatialSample,
        order: Option<&[usize]>,
        config: &QuestionConfig,
        dice: &mut Dice,
    ) -> Result<(), QuestionError> {
        let is_order = candidate.question_type == QuestionType::AppearanceOrder;
        let letter_from = match config.spatial.boxes_in_thoughts {
            _ if candidate.thought.is_by_letter() => LetterFrom::Thought,
            false => LetterFrom::Words,
            true if is_order => LetterFrom::NameByName,
            true => LetterFrom::Search,
        };
        let choice = row.answer_index().map(|place| Choice { options: row.options(), place, letter_from });
        let end = conclusion(candidate.answer_text(), choice, dice);
        let row = ColdStartSample {
            question_id: row.question_id,
            prompt: prompts::stage3(&row.question, row.options()),
            solution: solution(&format!("{} {end}", candidate.thought.text(order)), &row.answer),
            image: row.image.clone(),
            data_type: row.data_type,
        };
        self.counts.cold_start += 1;
        if let Some(writer) = &mut self.cold_start {
            writer.write(&row)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Counts, QuestionError> {
        for writer in [self.grounding, self.spatial, self.cold_start, self.foundation].into_iter().flatten() {
            writer.finish()?;
        }
        Ok(self.counts)
    }
}
