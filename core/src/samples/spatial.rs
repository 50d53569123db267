//! Spatial questions: what stages 2 and 3 and the cold start learn from.

use super::DataType;
use serde::{Deserialize, Deserializer, Serialize};

/// The seven dimensions, named as the released rows name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuestionType {
    #[serde(rename = "relative direction")]
    RelativeDirection,
    #[serde(rename = "relative distance")]
    RelativeDistance,
    #[serde(rename = "appearance order")]
    AppearanceOrder,
    #[serde(rename = "absolute distance")]
    AbsoluteDistance,
    #[serde(rename = "object size")]
    ObjectSize,
    #[serde(rename = "object count")]
    ObjectCount,
    #[serde(rename = "room size")]
    RoomSize,
}

impl QuestionType {
    pub const ALL: [Self; 7] = [
        Self::RelativeDirection,
        Self::RelativeDistance,
        Self::AppearanceOrder,
        Self::AbsoluteDistance,
        Self::ObjectSize,
        Self::ObjectCount,
        Self::RoomSize,
    ];

    /// As the rows write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RelativeDirection => "relative direction",
            Self::RelativeDistance => "relative distance",
            Self::AppearanceOrder => "appearance order",
            Self::AbsoluteDistance => "absolute distance",
            Self::ObjectSize => "object size",
            Self::ObjectCount => "object count",
            Self::RoomSize => "room size",
        }
    }

    /// Answered by the letter of an option; otherwise by a number.
    pub fn is_choice(self) -> bool {
        matches!(self, Self::RelativeDirection | Self::RelativeDistance | Self::AppearanceOrder)
    }
}

/// A row of `spld_spatial_data.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpatialSample {
    pub question_id: u64,
    /// Without options and instruction, which [`super::prompts`] adds.
    pub question: String,
    /// `A. left`, `B. right`, …; `None` for a numeric question.
    #[serde(default)]
    pub options: Option<Vec<String>>,
    /// The letter of an option, or a number. Rows that hold a JSON number are read too.
    #[serde(deserialize_with = "text_or_number")]
    pub answer: String,
    /// Paths relative to the data set folder; of a video its frames, in order.
    pub image: Vec<String>,
    pub question_type: QuestionType,
    pub data_type: DataType,
}

impl SpatialSample {
    /// The options, none for a numeric question.
    pub fn options(&self) -> &[String] {
        self.options.as_deref().unwrap_or_default()
    }

    /// The index of the right option; `None` for numeric questions and for letters that no option has.
    pub fn answer_index(&self) -> Option<usize> {
        let mut letters = self.answer.trim().chars();
        let letter = letters.next()?.to_ascii_uppercase();
        let index = (letter as usize).checked_sub('A' as usize)?;
        (letters.next().is_none() && index < self.options().len()).then_some(index)
    }

    /// The answer in words: the text of the right option without its letter, or the number.
    pub fn answer_text(&self) -> &str {
        let option = self.answer_index().and_then(|index| self.options().get(index));
        option.map_or(&self.answer, |text| text.split_once(". ").map_or(text.as_str(), |(_, words)| words))
    }
}

/// A row of `spld_coldstart_data.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStartSample {
    pub question_id: u64,
    /// All of the user's text: [`super::prompts::stage3`].
    pub prompt: String,
    /// `<think>…</think><answer>…</answer>`.
    pub solution: String,
    pub image: Vec<String>,
    pub data_type: DataType,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(match Answer::deserialize(deserializer)? {
        Answer::Text(text) => text,
        Answer::Number(number) => number.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_rows_are_read_and_written_alike() {
        let row = r#"{"question_id":3,"question":"Which?","options":["A. left","B. right"],"answer":"B","image":["a.jpg"],"question_type":"relative direction","data_type":"single_image"}"#;
        let sample: SpatialSample = serde_json::from_str(row).unwrap();
        assert_eq!((sample.answer_index(), sample.answer_text()), (Some(1), "right"));
        assert_eq!(serde_json::to_string(&sample).unwrap(), row);
        let number = row.replace(r#"["A. left","B. right"]"#, "null").replace(r#""B""#, "2.5");
        let sample: SpatialSample = serde_json::from_str(&number).unwrap();
        assert_eq!((sample.answer_index(), sample.answer_text()), (None, "2.5"));
    }

    #[test]
    fn names_are_those_of_the_rows() {
        for kind in QuestionType::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
        }
        for kind in DataType::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
        }
    }
}
