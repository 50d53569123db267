//! What a model's text says: its thought, its answer, its boxes. Tolerant in form (fences or none, JSON
//! encoded once or twice, cut off at the end), never guessing in content: what cannot be read as it
//! stands is left out and named in [`Parsed::problems`].

use serde_json::Value;

/// A box as the model said it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledBox {
    /// Its place among the boxes of the text, readable or not, from 1.
    pub number: usize,
    /// Empty when the model gave none, which is also a problem.
    pub label: String,
    /// `[x1, y1, x2, y2]` in pixels of the picture the model saw, finite, `x1 < x2` and `y1 < y2`; not
    /// necessarily inside the picture.
    pub bbox_2d: [f32; 4],
}

/// A model's text, taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// What stands in `<think>…</think>`.
    pub thought: Option<String>,
    /// What stands in the last `<answer>…</answer>`; without these tags all that is not thought.
    pub answer: String,
    /// The boxes of the answer, in its order.
    pub boxes: Vec<LabelledBox>,
    /// What was wrong with the text, one sentence each; empty for a text in good form.
    pub problems: Vec<String>,
}

/// Takes a model's text apart. Never fails: an empty text is an empty answer.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let rest = split_thought(text, &mut parsed);
    parsed.answer = find_answer(rest, &mut parsed.problems).trim().to_owned();

    let mut reader = BoxReader::default();
    reader.read(&parsed.answer, true);
    let named = parsed.answer.matches("bbox_2d").count();
    if named > reader.seen {
        let cut = named - reader.seen;
        let (noun, verb) = if cut == 1 { ("box", "is") } else { ("boxes", "are") };
        reader.problems.push(format!("{cut} {noun} {verb} not in readable JSON, or cut off"));
    }
    parsed.boxes = reader.boxes;
    parsed.problems.append(&mut reader.problems);
    parsed
}

/// Puts the thought aside and returns what follows it.
fn split_thought<'a>(text: &'a str, parsed: &mut Parsed) -> &'a str {
    const OPEN: &str = "<think>";
    const CLOSE: &str = "</think>";
    let (thought, rest) = match (text.split_once(OPEN), text.split_once(CLOSE)) {
        (None, None) => return text,
        // The opening tag may have been part of the prompt.
        (None, Some((thought, rest))) => (thought, rest),
        (Some((before, after)), _) => {
            if !before.trim().is_empty() {
                parsed.problems.push("there is text before the thought".to_owned());
            }
            match after.split_once(CLOSE) {
                Some((thought, rest)) => (thought, rest),
                None => {
                    parsed.problems.push("the thought does not end".to_owned());
                    // An answer begun inside an unfinished thought is still an answer.
                    after.find("<answer>").map_or((after, ""), |at| after.split_at(at))
                }
            }
        }
    };
    parsed.thought = Some(thought.trim().to_owned());
    rest
}

fn find_answer<'a>(text: &'a str, problems: &mut Vec<String>) -> &'a str {
    const OPEN: &str = "<answer>";
    const CLOSE: &str = "</answer>";
    // The last one, as the reward of the reinforcement stage takes it.
    let Some((before, after)) = text.rsplit_once(OPEN) else {
        return match text.split_once(CLOSE) {
            Some((before, _)) => {
                problems.push("the answer ends without having begun".to_owned());
                before
            }
            None => text,
        };
    };
    if before.contains(OPEN) {
        problems.push("there is more than one answer; the last one counts".to_owned());
    }
    match after.split_once(CLOSE) {
        Some((answer, _)) => answer,
        None => {
            problems.push("the answer does not end".to_owned());
            after
        }
    }
}

/// Whether a decoded JSON string is itself JSON with boxes, and not just the word, as a key is.
fn holds_boxes(text: &str) -> bool {
    text.contains("\"bbox_2d\"")
}

#[derive(Default)]
struct BoxReader {
    boxes: Vec<LabelledBox>,
    problems: Vec<String>,
    /// Objects with a `bbox_2d`, read or refused.
    seen: usize,
}

impl BoxReader {
    /// Reads every JSON value in the text that holds boxes. `may_be_encoded`: whether a JSON string may
    /// hold the JSON, as the published training data has it.
    fn read(&mut self, text: &str, may_be_encoded: bool) {
        let mut rest = text;
        while let Some(start) = rest.find(['{', '[', '"']) {
            rest = &rest[start..];
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let length = match values.next() {
                Some(Ok(Value::String(inner))) if holds_boxes(&inner) && may_be_encoded => {
                    self.read_encoded(&inner)
                }
                Some(Ok(value @ (Value::Array(_) | Value::Object(_)))) => self.take(&value),
                // Cut off inside an encoded text: read what is there.
                Some(Err(error)) if error.is_eof() && may_be_encoded && rest.starts_with('"') => {
                    let closed = format!("{}\"", rest.trim_end_matches('\\'));
                    match serde_json::from_str::<String>(&closed) {
                        Ok(inner) if holds_boxes(&inner) => {
                            self.read_encoded(&inner);
                            return;
                        }
                        _ => false,
                    }
                }
                _ => false,
            }
            .then(|| values.byte_offset());
            // Where nothing was found a value may still begin later: complete boxes in a list cut short.
            rest = rest.get(length.unwrap_or(1).max(1)..).unwrap_or("");
        }
    }

    fn read_encoded(&mut self, inner: &str) -> bool {
        self.problems.push("the boxes are JSON inside a JSON string".to_owned());
        self.read(inner, false);
        true
    }

    /// Takes the boxes of a JSON value; whether it had any.
    fn take(&mut self, value: &Value) -> bool {
        let seen = self.seen;
        match value {
            Value::Array(values) => values.iter().for_each(|value| {
                self.take(value);
            }),
            Value::Object(fields) => match fields.get("bbox_2d") {
                Some(bbox) => self.take_box(bbox, fields.get("label")),
                None => fields.values().for_each(|value| {
                    self.take(value);
                }),
            },
            _ => {}
        }
        self.seen > seen
    }

    fn take_box(&mut self, bbox: &Value, label: Option<&Value>) {
        self.seen += 1;
        let number = self.seen;
        let numbers: Option<Vec<f32>> = bbox
            .as_array()
            .and_then(|values| values.iter().map(|value| value.as_f64().map(|v| v as f32)).collect());
        let Some(Ok(bbox_2d)) = numbers.map(<[f32; 4]>::try_from) else {
            return self.problems.push(format!("box {number} is not four numbers"));
        };
        if !bbox_2d.iter().all(|value| value.is_finite()) {
            return self.problems.push(format!("box {number} has a number that is too large"));
        }
        let [x1, y1, x2, y2] = bbox_2d;
        if x1 >= x2 || y1 >= y2 {
            return self.problems.push(format!("box {number} [{x1}, {y1}, {x2}, {y2}] is inverted or empty"));
        }
        let label = label.and_then(Value::as_str).unwrap_or_default().trim();
        if label.is_empty() {
            self.problems.push(format!("box {number} has no label"));
        }
        self.boxes.push(LabelledBox { number, label: label.to_owned(), bbox_2d });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "```json\n[\n\t{\"bbox_2d\": [1, 2, 30, 40], \"label\": \"chair\"},\n\t\
                       {\"bbox_2d\": [5, 6, 70.5, 80], \"label\": \"trash can\"}\n]\n```";

    fn labels(parsed: &Parsed) -> Vec<&str> {
        parsed.boxes.iter().map(|labelled| labelled.label.as_str()).collect()
    }

    #[test]
    fn reads_boxes_however_they_are_wrapped() {
        let bare = TWO.trim_start_matches("```json\n").trim_end_matches("\n```");
        let one = r#"{"bbox_2d": [1, 2, 30, 40], "label": "chair"}"#;
        let nested = format!(r#"{{"objects": {bare}}}"#);
        for text in [
            TWO,
            bare,
            &format!("Here they are: {bare} as you wished [sic]."),
            &format!("<think>Hm, [1] \"maybe\".</think>\n<answer>{TWO}</answer>"),
            &TWO.replace("}\n]", "},\n]"),
            &TWO.replace("```json", "```"),
            &nested,
        ] {
            let parsed = parse(text);
            assert_eq!(labels(&parsed), ["chair", "trash can"], "{text}");
            assert_eq!(parsed.boxes[1].bbox_2d, [5.0, 6.0, 70.5, 80.0]);
            assert_eq!(parsed.problems, [""; 0], "{text}");
        }
        assert_eq!(labels(&parse(one)), ["chair"]);
    }

    #[test]
    fn reads_json_that_was_encoded_twice() {
        let bare = TWO.trim_start_matches("```json\n").trim_end_matches("\n```");
        let twice = format!("```json\n{}\n```", serde_json::to_string(bare).unwrap());
        let parsed = parse(&twice);
        assert_eq!(labels(&parsed), ["chair", "trash can"]);
        assert_eq!(parsed.problems.len(), 1);
        let cut = &twice[..twice.find("trash").unwrap()];
        assert_eq!(labels(&parse(cut)), ["chair"]);
        assert_eq!(parse(cut).problems.len(), 2);
    }

    #[test]
    fn keeps_whole_boxes_of_a_text_cut_short() {
        let parsed = parse(&TWO[..TWO.find("70.5").unwrap()]);
        assert_eq!(labels(&parsed), ["chair"]);
        assert_eq!(parsed.problems, ["1 box is not in readable JSON, or cut off"]);
    }

    #[test]
    fn refuses_what_is_no_box() {
        for bbox in [
            "[30, 2, 1, 40]",
            "[1, 2, 1, 40]",
            "[1, 2, 3]",
            "[1, 2, 3, 4, 5]",
            "[NaN, 2, 30, 40]",
            "[1e999, 2, 30, 40]",
            "[1, 2, 1e300, 40]",
            "[\"1\", 2, 30, 40]",
            "[[1, 2, 30, 40]]",
            "null",
            "\"1, 2, 30, 40\"",
        ] {
            let parsed = parse(&format!(r#"[{{"bbox_2d": {bbox}, "label": "chair"}}]"#));
            assert!(parsed.boxes.is_empty(), "{bbox}");
            assert_eq!(parsed.problems.len(), 1, "{bbox}: {:?}", parsed.problems);
        }
        let unlabelled = parse(r#"{"bbox_2d": [1, 2, 30, 40]}"#);
        assert_eq!((unlabelled.boxes.len(), unlabelled.problems.len()), (1, 1));
    }

    #[test]
    fn separates_thought_and_answer() {
        let parsed = |text| {
            let parsed = parse(text);
            (parsed.thought, parsed.answer, parsed.problems.len())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed(""), (None, String::new(), 0));
        assert_eq!(parsed(" B "), (None, "B".into(), 0));
        assert_eq!(parsed("<think> a </think> <answer> B </answer>"), (some("a"), "B".into(), 0));
        assert_eq!(parsed("a</think><answer>B</answer>"), (some("a"), "B".into(), 0));
        assert_eq!(parsed("<think>a</think>B"), (some("a"), "B".into(), 0));
        assert_eq!(parsed("<think>a"), (some("a"), String::new(), 1));
        assert_eq!(parsed("<think>a<answer>B</answer>"), (some("a"), "B".into(), 1));
        assert_eq!(parsed("<answer>A</answer><answer>B"), (None, "B".into(), 2));
        assert_eq!(parsed("B</answer>"), (None, "B".into(), 1));
        assert_eq!(parsed("so <think>a</think><answer>B</answer>"), (some("a"), "B".into(), 1));
    }

    /// Pieces of good answers in any order must neither panic nor take long.
    #[test]
    fn survives_any_text() {
        let pieces = [
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "```json\n",
            "```",
            "[",
            "]",
            "{",
            "}",
            "\"",
            "\\",
            "\\\"",
            "\"bbox_2d\"",
            "bbox_2d",
            ": ",
            ", ",
            "1",
            "-2.5e3",
            "NaN",
            "\"label\"",
            "\"chair\"",
            "null",
            "é🎉",
            "\n",
            "\u{0}",
            "\\u12",
            "{\"bbox_2d\": [1, 2, 3, 4]}",
        ];
        let mut state = 1_u64;
        let mut random = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        for _ in 0..5_000 {
            let text: String = (0..random(30)).map(|_| pieces[random(pieces.len())]).collect();
            for labelled in parse(&text).boxes {
                assert!(labelled.bbox_2d.iter().all(|value| value.is_finite()), "{text}");
            }
        }
        parse(&"[".repeat(100_000));
        parse(&"{\"bbox_2d\": [".repeat(5_000));
        parse(&"\"[1,".repeat(5_000));
    }
}
