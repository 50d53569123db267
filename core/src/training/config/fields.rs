//! The fields by their names: set from text, checked, compared.

use super::{Mixture, Stage, TrainConfig};
use crate::training::TrainError;
use std::collections::BTreeMap;

impl TrainConfig {
    /// Sets fields from `key=value`; nested fields by dots: `foundation.bounds=2`.
    pub fn set_all<'a>(&mut self, assignments: impl IntoIterator<Item = &'a str>) -> Result<(), TrainError> {
        assignments.into_iter().try_for_each(|assignment| self.assign(assignment))?;
        // In the end: two fields may only go together.
        self.check()
    }

    /// Sets one.
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainError> {
        self.set_all([assignment])
    }

    fn assign(&mut self, assignment: &str) -> Result<(), TrainError> {
        let fault = |message: String| TrainError::Config(format!("--set {assignment}: {message}"));
        let (key, value) = assignment.split_once('=').ok_or_else(|| fault("expected key=value".into()))?;
        let mut table = toml::Table::try_from(&*self).map_err(|error| fault(error.to_string()))?;
        let mut slot = &mut table;
        let mut parts = key.trim().split('.').peekable();
        while let Some(part) = parts.next() {
            let names = slot.keys().cloned().collect::<Vec<_>>().join(", ");
            let unknown = || fault(format!("there is no field {part}; fields are {names}"));
            let field = slot.get_mut(part).ok_or_else(unknown)?;
            if parts.peek().is_none() {
                *field = parse_like(field, value.trim())
                    .ok_or_else(|| fault(format!("{value} is not a {}", field.type_str())))?;
                break;
            }
            slot = field.as_table_mut().ok_or_else(|| fault(format!("{part} has no fields")))?;
        }
        *self = table.try_into().map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
        Ok(())
    }

    /// Refuses numbers that cannot work, naming the field.
    pub fn check(&self) -> Result<(), TrainError> {
        let positive = [
            ("steps", self.steps as f64),
            ("batch_size", self.batch_size as f64),
            ("accumulation", self.accumulation as f64),
            ("turns", self.turns as f64),
            ("shards", self.shards as f64),
            ("learning_rate", self.learning_rate),
            ("max_gradient_norm", self.max_gradient_norm),
            ("checkpoint_every", self.checkpoint_every as f64),
            ("keep_checkpoints", self.keep_checkpoints as f64),
            ("reinforcement.temperature", self.reinforcement.temperature),
            ("reinforcement.top_p", self.reinforcement.top_p),
            ("reinforcement.max_new_tokens", self.reinforcement.max_new_tokens as f64),
            ("reinforcement.updates_per_rollout", self.reinforcement.updates_per_rollout as f64),
            ("reinforcement.clip", self.reinforcement.clip),
            ("reinforcement.advantage_epsilon", self.reinforcement.advantage_epsilon),
            ("reinforcement.micro_batch", self.reinforcement.micro_batch as f64),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(TrainError::Config(format!("{field} must be above zero, not {value}")));
            }
        }
        for (field, share, of) in [
            ("warmup", self.warmup, "steps"),
            ("foundation.captions_after", self.foundation.captions_after, "steps"),
            ("foundation.several", self.foundation.several, "batches"),
            ("look_ups", self.look_ups, "batches"),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(TrainError::Config(format!(
                    "{field} is a share of the {of}, 0 to 1, not {share}"
                )));
            }
        }
        let Mixture { localization, single_image, multi_view, video, cold_start, even_kinds: _ } =
            self.mixture;
        let not_negative = [
            ("weight_decay", self.weight_decay),
            ("picture_numbers", self.picture_numbers),
            ("foundation.category", self.foundation.category),
            ("foundation.bounds", self.foundation.bounds),
            ("foundation.distance", self.foundation.distance),
            ("foundation.position", self.foundation.position),
            ("foundation.caption", self.foundation.caption),
            ("mixture.localization", localization),
            ("mixture.single_image", single_image),
            ("mixture.multi_view", multi_view),
            ("mixture.video", video),
            ("mixture.cold_start", cold_start),
            ("reinforcement.kl", self.reinforcement.kl),
            ("reinforcement.accuracy_weight", self.reinforcement.accuracy_weight),
            ("reinforcement.format_weight", self.reinforcement.format_weight),
        ];
        for (field, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(TrainError::Config(format!("{field} must not be below zero: {value}")));
            }
        }
        let fault = |message: String| Err(TrainError::Config(message));
        if self.stage == Stage::Reasoning && self.reinforcement.group < 2 {
            return fault(
                "reinforcement.group must be at least 2: advantages compare answers to one prompt".into(),
            );
        }
        if self.stage == Stage::Reasoning && localization + cold_start > 0.0 {
            return fault(
                "mixture.localization and mixture.cold_start must be 0: only spatial questions have a reward"
                    .into(),
            );
        }
        if self.foundation.several > 0.0 && self.foundation.most_pictures < 2 {
            return fault(format!(
                "foundation.most_pictures must be at least 2 where foundation.several is above zero, not {}",
                self.foundation.most_pictures
            ));
        }
        if self.stage == Stage::Foundation && self.foundation.several > 0.0 && self.batch_size < 2 {
            return fault(
                "foundation.several puts pictures of a batch together: batch_size must be at least 2".into(),
            );
        }
        if self.max_pixels > 0 && self.min_pixels > self.max_pixels {
            return fault(format!("min_pixels {} is above max_pixels {}", self.min_pixels, self.max_pixels));
        }
        if self.freeze.vision && self.freeze.merger && self.freeze.language && self.lora.rank == 0 {
            return fault("freeze leaves nothing to learn".into());
        }
        if self.look_ups > 0.0 {
            if self.stage == Stage::Reasoning {
                return fault(
                    "look_ups must be 0: answers of the reasoning stage are the model's own".into(),
                );
            }
            if self.freeze.language && self.lora.rank == 0 {
                return fault(
                    "look_ups must be 0 where freeze.language is set: nothing else learns from texts".into(),
                );
            }
        }
        if self.lora.rank > 0 {
            if self.stage == Stage::Foundation {
                return fault("lora.rank: the foundation stage trains the whole model".into());
            }
            self.lora.check().or_else(|message| fault(format!("lora.{message}")))?;
        }
        Ok(())
    }

    /// The fields in which another run's configuration differs, as `steps=500, not 130`, but for those that say only where it
    /// computes.
    pub fn differences(&self, other: &Self) -> Result<Vec<String>, TrainError> {
        let fields = |config: &Self| -> Result<BTreeMap<String, String>, TrainError> {
            let table =
                toml::Table::try_from(config).map_err(|error| TrainError::Config(error.to_string()))?;
            let mut found = BTreeMap::new();
            flatten("", &table, &mut found);
            Ok(found)
        };
        let (own, other) = (fields(self)?, fields(other)?);
        let differs = |name: &&String| {
            !["device", "shards"].contains(&name.as_str()) && own.get(*name) != other.get(*name)
        };
        let value = |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or_default();
        let names = own.keys().chain(other.keys().filter(|name| !own.contains_key(*name))).filter(differs);
        Ok(names.map(|name| format!("{name}={}, not {}", value(&own, name), value(&other, name))).collect())
    }
}

/// The fields of a table by their names with dots.
fn flatten(prefix: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, found),
            value => {
                found.insert(format!("{prefix}{name}"), value.to_string());
            }
        }
    }
}

/// `text` as a value of the same type as `like`.
fn parse_like(like: &toml::Value, text: &str) -> Option<toml::Value> {
    Some(match like {
        toml::Value::Integer(_) => toml::Value::Integer(text.replace('_', "").parse().ok()?),
        toml::Value::Float(_) => toml::Value::Float(text.parse().ok()?),
        toml::Value::Boolean(_) => toml::Value::Boolean(text.parse().ok()?),
        toml::Value::String(_) => toml::Value::String(text.to_owned()),
        toml::Value::Array(_) => {
            toml::Value::Array(text.split(',').map(|part| part.trim().to_owned().into()).collect())
        }
        _ => return None,
    })
}
