//! The numbers of a run for other programs: `metrics.csv`, and an event file that TensorBoard reads.
//!
//! Both are made from the event log, so that a resumed run shows no step twice: they are written anew when a run starts
//! or goes on, and grow with it.

use super::{Event, RunError, Timed};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Every number of an event by name, with its step; none for events without numbers.
fn scalars(event: &Event) -> Option<(u64, Vec<(String, f64)>)> {
    let named = |name: &str, value: f64| (name.to_owned(), value);
    match event {
        Event::Step {
            step, loss, learning_rate, gradient_norm, samples_per_s, tokens_per_s, parts, ..
        } => {
            let mut all = vec![
                named("train/loss", *loss),
                named("train/learning_rate", *learning_rate),
                named("train/gradient_norm", *gradient_norm),
                named("speed/samples_per_s", *samples_per_s),
                named("speed/tokens_per_s", *tokens_per_s),
            ];
            all.extend(parts.iter().map(|(name, value)| (format!("train/{name}"), *value)));
            Some((*step, all))
        }
        Event::Evaluation {
            step,
            mean_iou,
            accuracy_50,
            score,
            kinds,
            parsed,
            category_accuracy,
            seconds,
            ..
        } => {
            let maybe = [
                ("mean_iou", *mean_iou),
                ("accuracy_50", *accuracy_50),
                ("score", *score),
                ("in_form", *parsed),
                ("category_accuracy", *category_accuracy),
                ("seconds", Some(*seconds)),
            ];
            let mut all: Vec<_> = maybe
                .into_iter()
                .filter_map(|(name, value)| Some((format!("held_out/{name}"), value?)))
                .collect();
            all.extend(kinds.iter().map(|(kind, value)| (format!("held_out/{kind}"), *value)));
            Some((*step, all))
        }
        _ => None,
    }
}

/// Writes the numbers of a run as they come.
#[derive(Debug)]
pub struct ScalarFiles {
    csv: (File, PathBuf),
    board: (File, PathBuf),
}

impl ScalarFiles {
    /// Begins both files in a run's folder with what was logged already.
    pub fn create(root: &Path, logged: &[Timed]) -> Result<Self, RunError> {
        let open = |path: PathBuf| {
            let file = File::create(&path).map_err(RunError::io(&path))?;
            Ok::<_, RunError>((file, path))
        };
        let folder = root.join("tensorboard");
        std::fs::create_dir_all(&folder).map_err(RunError::io(&folder))?;
        let mut files = Self {
            csv: open(root.join("metrics.csv"))?,
            // TensorBoard looks for `tfevents` in the name, and reads files in the order of theirs.
            board: open(folder.join("events.out.tfevents.0.spatial-ladder"))?,
        };
        let time = logged.first().map_or(0.0, |event| event.time);
        files.put(record(&version(time)).as_slice(), b"time,step,name,value\n")?;
        for event in logged {
            files.add(event)?;
        }
        Ok(files)
    }

    pub fn add(&mut self, timed: &Timed) -> Result<(), RunError> {
        let Some((step, all)) = scalars(&timed.event) else {
            return Ok(());
        };
        let rows: String =
            all.iter().map(|(name, value)| format!("{:.3},{step},{name},{value}\n", timed.time)).collect();
        self.put(&record(&summary(timed.time, step, &all)), rows.as_bytes())
    }

    fn put(&mut self, board: &[u8], csv: &[u8]) -> Result<(), RunError> {
        self.board.0.write_all(board).map_err(RunError::io(&self.board.1))?;
        self.csv.0.write_all(csv).map_err(RunError::io(&self.csv.1))
    }
}

/// A record of TensorFlow's record files: length, its checksum, the bytes, their checksum.
fn record(bytes: &[u8]) -> Vec<u8> {
    // CRC-32C, turned and shifted so that checksums of checksums do not degenerate.
    let masked = |bytes: &[u8]| {
        let crc = crc32c(bytes);
        crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    };
    let length = (bytes.len() as u64).to_le_bytes();
    [length.as_slice(), &masked(&length), bytes, &masked(bytes)].concat()
}

/// CRC-32C (Castagnoli), bit by bit: these records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    };
    !bytes.iter().fold(!0, step)
}

/// `tensorflow.Event { wall_time = 1, file_version = 3 }`
fn version(time: f64) -> Vec<u8> {
    [double(1, time), bytes(3, b"brain.Event:2")].concat()
}

/// `tensorflow.Event { wall_time = 1, step = 2, summary = 5 }`, the summary a list of `{ tag = 1, simple_value = 2 }`.
fn summary(time: f64, step: u64, all: &[(String, f64)]) -> Vec<u8> {
    let value = |(name, value): &(String, f64)| {
        let number = [&[2 << 3 | 5], (*value as f32).to_le_bytes().as_slice()].concat();
        bytes(1, &[bytes(1, name.as_bytes()), number].concat())
    };
    let values: Vec<u8> = all.iter().flat_map(value).collect();
    [double(1, time), [vec![2 << 3], varint(step)].concat(), bytes(5, &values)].concat()
}

/// A field of protocol buffers that holds eight bytes.
fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1], value.to_le_bytes().as_slice()].concat()
}

/// A field of protocol buffers that holds a text, bytes or a message.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_those_of_tensorboard() {
        // Written by torch.utils.tensorboard's EventFileWriter: Event(wall_time=1.5, file_version="brain.Event:2").
        let expected = "18000000000000009b27a3b109000000000000f83f1a0d627261696e2e4576656e743a32";
        let found: String = record(&version(1.5)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(found.starts_with("1800000000000000") && found[24..].starts_with(&expected[24..]), "{found}");
        let step = summary(2.0, 300, &[("train/loss".to_owned(), 0.5)]);
        let expected = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xac, 0x02, 0x2a, 0x13, 0x0a, 0x11, 0x0a, 0x0a],
            b"train/loss".as_slice(),
            &[0x15, 0, 0, 0, 0x3f],
        ]
        .concat();
        assert_eq!(step, expected);
    }

    #[test]
    fn every_number_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let event = Event::Evaluation {
            step: 7,
            samples: 3,
            mean_iou: None,
            accuracy_50: None,
            score: Some(0.25),
            kinds: [("video/room size".to_owned(), 0.5)].into(),
            parsed: Some(1.0),
            category_accuracy: None,
            seconds: 2.0,
        };
        let timed = Timed { time: 10.0, event };
        let mut files = ScalarFiles::create(dir.path(), std::slice::from_ref(&timed)).unwrap();
        files.add(&Timed { time: 11.0, event: Event::Stopped { step: 7 } }).unwrap();
        let text = std::fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
        let expected = "time,step,name,value\n10.000,7,held_out/score,0.25\n10.000,7,held_out/in_form,1\n\
                        10.000,7,held_out/seconds,2\n10.000,7,held_out/video/room size,0.5\n";
        assert_eq!(text, expected);
        let board =
            std::fs::read(dir.path().join("tensorboard/events.out.tfevents.0.spatial-ladder")).unwrap();
        assert!(board.windows(8).any(|part| part == b"held_out"));
    }
}
