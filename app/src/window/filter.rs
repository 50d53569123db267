//! What the list of samples shows: filters that compose, with how many samples each choice would leave.

use super::{theme, widgets};
use egui::Ui;
use spatial_ladder::samples::{DataType, QuestionType, Sample, SampleKind};
use std::collections::BTreeMap;

/// What filters look at.
#[derive(Debug, Clone)]
pub struct Facts {
    kind: SampleKind,
    held_out: bool,
    data_type: DataType,
    question_type: Option<QuestionType>,
    categories: Vec<String>,
    answer: String,
    /// 0 to 1; `None` where it is not known.
    visibility: Option<f32>,
    /// Everything that is searched, in lower case.
    haystack: String,
}

impl Facts {
    pub fn of(sample: &Sample, summary: &str) -> Self {
        let mut categories: Vec<String> = sample.categories().into_iter().map(str::to_owned).collect();
        categories.sort();
        categories.dedup();
        let haystack = format!(
            "#{} {} {summary} {} {} {} {}",
            sample.question_id,
            sample.question,
            sample.options.join(" "),
            sample.data_type.name(),
            categories.join(" "),
            sample.image.first().map_or("", String::as_str)
        );
        Self {
            kind: sample.kind,
            held_out: sample.held_out,
            data_type: sample.data_type,
            question_type: sample.question_type,
            categories,
            answer: sample.answer_text.to_owned(),
            visibility: sample.evidence.and_then(|evidence| evidence.visibility),
            haystack: haystack.to_lowercase(),
        }
    }
}

/// `None` and empty let everything pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    text: String,
    /// Of `text`, in lower case.
    words: Vec<String>,
    held_out: Option<bool>,
    kind: Option<SampleKind>,
    data_type: Option<DataType>,
    question_type: Option<QuestionType>,
    category: Option<String>,
    answer: Option<String>,
    /// 0 to 1.
    least_visibility: f32,
}

/// One of the choices, for counting what the others leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Kind,
    DataType,
    QuestionType,
    Category,
    Answer,
}

impl Filter {
    pub fn passes(&self, facts: &Facts) -> bool {
        self.passes_but(facts, None)
    }

    /// Whether all choices but one let it pass.
    fn passes_but(&self, facts: &Facts, open: Option<Choice>) -> bool {
        let holds = |choice: Choice, holds: bool| holds || open == Some(choice);
        self.held_out.is_none_or(|held_out| held_out == facts.held_out)
            && holds(Choice::Kind, self.kind.is_none_or(|kind| kind == facts.kind))
            && holds(Choice::DataType, self.data_type.is_none_or(|data_type| data_type == facts.data_type))
            && holds(
                Choice::QuestionType,
                self.question_type.is_none_or(|question_type| Some(question_type) == facts.question_type),
            )
            && holds(
                Choice::Category,
                self.category.as_ref().is_none_or(|category| facts.categories.contains(category)),
            )
            && holds(Choice::Answer, self.answer.as_ref().is_none_or(|answer| *answer == facts.answer))
            && (self.least_visibility <= 0.0
                || facts.visibility.is_some_and(|visibility| visibility >= self.least_visibility))
            && self.words.iter().all(|word| facts.haystack.contains(word))
    }

    /// Draws the filters; true when they have changed.
    pub fn ui<'a>(&mut self, ui: &mut Ui, facts: impl Iterator<Item = &'a Facts> + Clone) -> bool {
        let before = self.clone();
        ui.horizontal(|ui| {
            let label = widgets::subdued(ui, "Filter");
            let field = widgets::text_field(ui, &mut self.text, "Words in question, labels or path");
            if field.labelled_by(label.id).changed() {
                self.words = self.text.to_lowercase().split_whitespace().map(str::to_owned).collect();
            }
        });
        ui.horizontal(|ui| {
            for (held_out, name) in [(None, "All"), (Some(false), "Training"), (Some(true), "Held out")] {
                ui.selectable_value(&mut self.held_out, held_out, name);
            }
        });
        ui.horizontal_wrapped(|ui| {
            self.choices(ui, facts);
            if *self != Self::default() && ui.button("Clear filters").clicked() {
                *self = Self::default();
            }
        });
        *self != before
    }

    fn choices<'a>(&mut self, ui: &mut Ui, facts: impl Iterator<Item = &'a Facts> + Clone) {
        let filter = self.clone();
        choice(ui, "Kind", &mut self.kind, kind_name, || {
            count(facts.clone(), &filter, Choice::Kind, |facts| vec![facts.kind])
        });
        choice(ui, "Pictures", &mut self.data_type, data_type_name, || {
            count(facts.clone(), &filter, Choice::DataType, |facts| vec![facts.data_type])
        });
        choice(
            ui,
            "Type",
            &mut self.question_type,
            |question_type| question_type.name().to_owned(),
            || {
                count(facts.clone(), &filter, Choice::QuestionType, |facts| {
                    facts.question_type.into_iter().collect()
                })
            },
        );
        choice(ui, "Category", &mut self.category, Clone::clone, || {
            count(facts.clone(), &filter, Choice::Category, |facts| facts.categories.clone())
        });
        choice(ui, "Answer", &mut self.answer, Clone::clone, || {
            let answer = |facts: &Facts| {
                Some(facts.answer.clone()).filter(|answer| !answer.is_empty()).into_iter().collect()
            };
            count(facts.clone(), &filter, Choice::Answer, answer)
        });
        ui.add(
            egui::DragValue::new(&mut self.least_visibility)
                .range(0.0..=1.0)
                .speed(0.01)
                .prefix("visible ≥ ")
                .custom_formatter(|share, _| format!("{:.0} %", share * 100.0))
                .custom_parser(share),
        )
        .on_hover_text("Least visibility of the objects asked about, where the data set tells it");
    }
}

/// The share that was typed as a percentage, with or without its sign.
fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
    percent.is_finite().then_some(percent / 100.0)
}

/// How many samples each value would leave, by value.
fn count<'a, T: Ord>(
    facts: impl Iterator<Item = &'a Facts>,
    filter: &Filter,
    open: Choice,
    values: impl Fn(&Facts) -> Vec<T>,
) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for facts in facts.filter(|facts| filter.passes_but(facts, Some(open))) {
        for value in values(facts) {
            *counts.entry(value).or_insert(0) += 1;
        }
    }
    counts
}

/// A menu of values with their counts, which are worked out only while it is open.
fn choice<T: Clone + PartialEq + Ord>(
    ui: &mut Ui,
    name: &str,
    chosen: &mut Option<T>,
    text: impl Fn(&T) -> String,
    counts: impl FnOnce() -> BTreeMap<T, usize>,
) {
    let shown = chosen.as_ref().map_or_else(|| format!("{name}: any"), &text);
    egui::ComboBox::from_id_salt(name).selected_text(shown).height(theme::SAMPLE_ROW_HEIGHT * 8.0).show_ui(
        ui,
        |ui| {
            ui.selectable_value(chosen, None, format!("{name}: any"));
            for (value, count) in counts() {
                let label = format!("{} ({})", text(&value), widgets::grouped(count as u64));
                ui.selectable_value(chosen, Some(value), label);
            }
        },
    );
}

fn kind_name(kind: &SampleKind) -> String {
    let name = match kind {
        SampleKind::Localization => "localization",
        SampleKind::Spatial => "spatial",
        SampleKind::Thought => "chain of thought",
    };
    name.to_owned()
}

fn data_type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::SingleImage => "single image",
        DataType::MultiView => "several views",
        DataType::Video => "video",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(question_type: QuestionType, category: &str, answer: &str, visibility: f32) -> Facts {
        Facts {
            kind: SampleKind::Spatial,
            held_out: false,
            data_type: DataType::Video,
            question_type: Some(question_type),
            categories: vec![category.to_owned()],
            answer: answer.to_owned(),
            visibility: Some(visibility),
            haystack: format!("how large is the {category}"),
        }
    }

    #[test]
    fn shares_are_typed_as_percentages() {
        assert_eq!((share("50"), share(" 25 % "), share("2.5%")), (Some(0.5), Some(0.25), Some(0.025)));
        assert_eq!((share("half"), share("nan")), (None, None));
    }

    #[test]
    fn filters_compose_and_choices_count_what_the_others_leave() {
        let all = [
            facts(QuestionType::ObjectSize, "bed", "200", 0.9),
            facts(QuestionType::ObjectSize, "tv", "90", 0.4),
            facts(QuestionType::ObjectCount, "bed", "2", 0.8),
        ];
        let mut filter = Filter { category: Some("bed".to_owned()), ..Filter::default() };
        assert_eq!(all.iter().filter(|facts| filter.passes(facts)).count(), 2);
        let types =
            count(all.iter(), &filter, Choice::QuestionType, |f| f.question_type.into_iter().collect());
        assert_eq!(types, BTreeMap::from([(QuestionType::ObjectSize, 1), (QuestionType::ObjectCount, 1)]));
        filter.question_type = Some(QuestionType::ObjectSize);
        filter.least_visibility = 0.5;
        filter.words = vec!["large".to_owned()];
        assert_eq!(all.iter().filter(|facts| filter.passes(facts)).count(), 1);
        let categories = count(all.iter(), &filter, Choice::Category, |facts| facts.categories.clone());
        assert_eq!(categories, BTreeMap::from([("bed".to_owned(), 1)]));
        filter.words = vec!["small".to_owned()];
        assert!(!all.iter().any(|facts| filter.passes(facts)));
    }
}
