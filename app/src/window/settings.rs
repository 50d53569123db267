//! What the window remembers between two sessions: a small file in the user's configuration folder.
//! Losing it loses nothing but convenience: runs and data live elsewhere.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const RECENT: usize = 8;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeChoice {
    #[default]
    System,
    Dark,
    Light,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: ThemeChoice,
    /// Newest first.
    pub recent_data: Vec<PathBuf>,
    /// The folder whose runs the Train workspace lists.
    pub runs_folder: PathBuf,
    /// The last model folder used for questions; empty for the bundled one.
    pub model: String,
    pub device: String,
    /// Where this is stored; `None` in tests and when the system names no such folder.
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::default(),
            recent_data: Vec::new(),
            runs_folder: PathBuf::from("runs"),
            model: String::new(),
            device: "auto".to_owned(),
            file: None,
        }
    }
}

impl Settings {
    /// The user's settings; the defaults where there are none yet or they cannot be read.
    pub fn load() -> Self {
        settings_file().map_or_else(Self::default, |file| Self::load_from(&file))
    }

    fn load_from(file: &Path) -> Self {
        let mut read = match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).unwrap_or_else(|error| {
                log::warn!("{}: {error}. Starting with default settings", file.display());
                Self::default()
            }),
            Err(_) => Self::default(),
        };
        // What earlier versions stored for a run that was named by a relative path.
        if read.runs_folder.as_os_str().is_empty() {
            read.runs_folder = Self::default().runs_folder;
        }
        Self { file: Some(file.to_owned()), ..read }
    }

    /// Writes the settings, if they have a file. A failure is logged: it must not disturb the work.
    pub fn save(&self) {
        let Some(file) = &self.file else { return };
        let written = toml::to_string(self).map_err(std::io::Error::other).and_then(|text| {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let partial = file.with_extension("partial");
            std::fs::write(&partial, text)?;
            std::fs::rename(partial, file)
        });
        if let Err(error) = written {
            log::warn!("{}: {error}. Settings are kept for this session only", file.display());
        }
    }

    /// Moves a data set to the top of the recent ones.
    pub fn remember_data(&mut self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.recent_data.retain(|known| *known != path);
        self.recent_data.insert(0, path);
        self.recent_data.truncate(RECENT);
        self.save();
    }
}

fn settings_file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(target_os = "windows") {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
    };
    folder.map(|folder| folder.join("spatial-ladder").join("window.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_session_and_a_broken_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("sub").join("window.toml");
        let mut settings = Settings::load_from(&file);
        settings.runs_folder = PathBuf::from("/somewhere/runs");
        settings.theme = ThemeChoice::Light;
        for name in 0..12 {
            settings.remember_data(Path::new(&format!("/data/{name}")));
        }
        settings.remember_data(Path::new("/data/7"));
        let again = Settings::load_from(&file);
        assert_eq!(again, settings);
        assert_eq!(again.recent_data.len(), RECENT);
        assert_eq!(again.recent_data[0], Path::new("/data/7"));
        std::fs::write(&file, "theme = 3").expect("written");
        assert_eq!(Settings::load_from(&file).theme, ThemeChoice::System);
        std::fs::write(&file, "theme = \"light\"\nruns_folder = \"\"").expect("written");
        let read = Settings::load_from(&file);
        assert_eq!((read.theme, read.runs_folder), (ThemeChoice::Light, PathBuf::from("runs")));
    }
}
