//! What can be wrong with spatial rows, cold-start rows and evidence.

use super::{Checker, Fault, Row, Sizes};
use crate::samples::{ColdStartSample, DataType, Evidence, GroundingSample, SpatialSample, files, names};
use crate::scenes::Scene;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Least number of images of each kind of row, and most where there is a limit.
pub fn image_count_fault(data_type: DataType, count: usize) -> Option<String> {
    let fits = match data_type {
        DataType::SingleImage => count == 1,
        DataType::MultiView | DataType::Video => count >= 2,
    };
    (!fits).then(|| format!("has {count} images, which does not fit its data_type {}", data_type.name()))
}

impl Checker {
    pub(super) fn spatial(&mut self, rows: &[Row<SpatialSample>], sizes: &Sizes) {
        let mut ids: HashMap<u64, (&'static str, usize)> = HashMap::new();
        for row in rows {
            let mut messages = spatial_faults(&row.sample);
            if let Some((file, line)) = ids.insert(row.sample.question_id, (row.file, row.line)) {
                messages
                    .push(format!("question_id {} is that of {file}, line {line}", row.sample.question_id));
            }
            messages.extend(image_faults(&row.sample.image, sizes));
            self.faults.extend(messages.into_iter().map(|message| row.fault(message)));
        }
    }

    /// Rows of one id are one question: about the same images, in the same way.
    pub(super) fn join(&mut self, spatial: &[Row<SpatialSample>], grounding: &[Row<GroundingSample>]) {
        let by_id: HashMap<u64, &SpatialSample> =
            spatial.iter().map(|row| (row.sample.question_id, &row.sample)).collect();
        for row in grounding {
            if let Some(other) = by_id.get(&row.sample.question_id)
                && (other.image != row.sample.image || other.data_type != row.sample.data_type)
            {
                let id = row.sample.question_id;
                self.faults.push(row.fault(format!(
                    "question_id {id} is that of a spatial row with other images or another data_type"
                )));
            }
        }
    }

    pub(super) fn cold_start(
        &mut self,
        rows: &[Row<ColdStartSample>],
        spatial: &[Row<SpatialSample>],
        sizes: &Sizes,
    ) {
        let by_id: HashMap<u64, &SpatialSample> =
            spatial.iter().map(|row| (row.sample.question_id, &row.sample)).collect();
        for row in rows {
            let sample = &row.sample;
            let mut messages: Vec<String> = image_faults(&sample.image, sizes);
            messages.extend(image_count_fault(sample.data_type, sample.image.len()));
            if sample.prompt.trim().is_empty() {
                messages.push("the prompt is empty".to_owned());
            }
            match answer_of(&sample.solution) {
                None => messages.push(
                    "the solution is not one <think>…</think> followed by one <answer>…</answer>".to_owned(),
                ),
                Some(answer) => match by_id.get(&sample.question_id) {
                    Some(question) if question.answer != answer => messages.push(format!(
                        "answers {answer:?}, but the spatial row of question_id {} answers {:?}",
                        sample.question_id, question.answer
                    )),
                    Some(question) if question.image != sample.image => messages.push(format!(
                        "shows other images than the spatial row of question_id {}",
                        sample.question_id
                    )),
                    _ => {}
                },
            }
            self.faults.extend(messages.into_iter().map(|message| row.fault(message)));
        }
    }

    pub(super) fn evidence(&mut self, root: &Path, rows: &[Row<Evidence>], spatial: &[&Row<SpatialSample>]) {
        let by_id: HashMap<u64, &SpatialSample> =
            spatial.iter().map(|row| (row.sample.question_id, &row.sample)).collect();
        let mut by_scene: BTreeMap<&str, Vec<&Row<Evidence>>> = BTreeMap::new();
        for row in rows {
            by_scene.entry(&row.sample.scene).or_default().push(row);
            match by_id.get(&row.sample.question_id) {
                None => {
                    self.faults.push(row.fault(format!("no question has the id {}", row.sample.question_id)))
                }
                Some(question) if question.image.len() != row.sample.cameras.len() => {
                    self.faults.push(row.fault(format!(
                        "{} cameras for {} images",
                        row.sample.cameras.len(),
                        question.image.len()
                    )))
                }
                _ => {}
            }
        }
        for (name, rows) in by_scene {
            let file = format!("{}/{name}.json", names::SCENES);
            let read = files::read(&root.join(&file)).map_err(|error| error.to_string());
            let scene = read.and_then(|text| {
                serde_json::from_slice::<Scene>(&text).map_err(|error| format!("is no scene: {error}"))
            });
            let scene = match scene {
                Ok(scene) => scene,
                Err(message) => {
                    self.faults.push(Fault { file, line: None, message });
                    continue;
                }
            };
            for row in rows {
                let evidence = &row.sample;
                if let Some(camera) = evidence.cameras.iter().find(|&&camera| camera >= scene.cameras.len()) {
                    self.faults.push(row.fault(format!("{file} has no camera {camera}")));
                }
                let known = |id: &u16| scene.objects.iter().any(|object| object.id == *id);
                if let Some(id) = evidence.reason.objects().iter().find(|id| !known(id)) {
                    self.faults.push(row.fault(format!("{file} has no object {id}")));
                }
            }
        }
    }
}

fn image_faults(images: &[String], sizes: &Sizes) -> Vec<String> {
    images.iter().filter_map(|image| sizes.get(image.as_str())?.as_ref().err().cloned()).collect()
}

/// What is wrong with a spatial row by itself.
pub fn spatial_faults(sample: &SpatialSample) -> Vec<String> {
    let mut messages = Vec::new();
    if sample.question.trim().is_empty() {
        messages.push("the question is empty".to_owned());
    }
    messages.extend(image_count_fault(sample.data_type, sample.image.len()));
    let options = sample.options();
    if sample.question_type.is_choice() {
        if options.len() < 2 {
            messages.push(format!("a question of {} needs options", sample.question_type.name()));
        } else if sample.answer_index().is_none() {
            messages.push(format!("the answer {:?} is not the letter of an option", sample.answer));
        }
        for (letter, option) in ('A'..='Z').zip(options) {
            if !option.starts_with(&format!("{letter}. ")) {
                messages.push(format!("the option {option:?} does not start with \"{letter}. \""));
            }
        }
        let mut words: Vec<&str> = options
            .iter()
            .map(|option| option.split_once(". ").map_or(option.as_str(), |(_, words)| words))
            .collect();
        words.sort_unstable();
        if words.windows(2).any(|pair| pair[0] == pair[1]) {
            messages.push("two options are the same".to_owned());
        }
    } else {
        if !options.is_empty() {
            messages.push(format!("a question of {} has no options", sample.question_type.name()));
        }
        let number = sample.answer.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
        if number.is_none() {
            messages.push(format!("the answer {:?} is not a number above 0", sample.answer));
        }
    }
    messages
}

/// The answer of a solution in the form of stage 3.
fn answer_of(solution: &str) -> Option<&str> {
    let rest = solution.trim().strip_prefix("<think>")?;
    let (thought, rest) = rest.split_once("</think>")?;
    let answer = rest.trim_start().strip_prefix("<answer>")?.strip_suffix("</answer>")?;
    let tags = ["<think>", "</think>", "<answer>", "</answer>"];
    let clean = !tags.iter().any(|tag| thought.contains(tag) || answer.contains(tag));
    clean.then_some(answer.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_spatial_row_is_named() {
        let good = r#"{"question_id":1,"question":"Which?","options":["A. left","B. right"],"answer":"A","image":["a.jpg"],"question_type":"relative direction","data_type":"single_image"}"#;
        let faults = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            spatial_faults(&serde_json::from_str(&good.replace(from, to)).unwrap()).join("; ")
        };
        assert_eq!(faults("Which?", "Where?"), "");
        for (from, to, part) in [
            ("Which?", " ", "question is empty"),
            ("\"answer\":\"A\"", "\"answer\":\"C\"", "\"C\" is not the letter"),
            ("B. right", "C. right", "does not start with \"B. \""),
            ("B. right", "B. left", "two options are the same"),
            ("[\"A. left\",\"B. right\"]", "null", "needs options"),
            ("single_image", "video", "has 1 images"),
            ("relative direction", "room size", "has no options"),
        ] {
            assert!(faults(from, to).contains(part), "{}", faults(from, to));
        }
    }

    #[test]
    fn solutions_have_one_thought_and_one_answer() {
        assert_eq!(answer_of("<think>so</think><answer>2.1</answer>"), Some("2.1"));
        assert_eq!(answer_of("<think>so</think>\n<answer> B </answer>\n"), Some("B"));
        for wrong in
            ["B", "<think>so<answer>B</answer>", "<think>a</think><answer>B</answer><answer>C</answer>"]
        {
            assert_eq!(answer_of(wrong), None, "{wrong}");
        }
    }
}
