//! Starting and resuming a run: a process of its own, which goes on when the window closes.

use crate::window::app::Shared;
use crate::window::ask::device_choice;
use crate::window::dialogs::Picker;
use crate::window::{theme, widgets};
use egui::{RichText, Ui};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where a started process writes what it would say in a terminal.
const CONSOLE_LOG: &str = "console.log";
/// Of that log, what is shown of a process that failed.
const CONSOLE_TAIL: u64 = 2000;
/// How often the folders that the form names are looked at again.
const INTERVAL: Duration = Duration::from_secs(1);
const STAGES: [&str; 5] = ["perception", "understanding", "cold-start", "reasoning", "foundation"];
const PRESETS: [&str; 2] = ["corrected", "paper"];

/// What the next run is to be.
pub struct RunForm {
    pub stage: String,
    pub data: String,
    /// Folder to start from; empty for the bundled tiny model.
    pub model: String,
    pub preset: String,
    pub device: String,
    /// Empty for the preset's own number.
    pub steps: String,
    /// Empty for the next free name.
    pub name: String,
    /// The data set opened last was put into its field, or there was something else in it.
    prefilled: bool,
    on_disk: Option<OnDisk>,
    data_picker: Picker,
    model_picker: Picker,
}

impl Default for RunForm {
    fn default() -> Self {
        Self {
            stage: STAGES[0].to_owned(),
            data: String::new(),
            model: String::new(),
            preset: PRESETS[0].to_owned(),
            device: "auto".to_owned(),
            steps: String::new(),
            name: String::new(),
            prefilled: false,
            on_disk: None,
            data_picker: Picker::default(),
            model_picker: Picker::default(),
        }
    }
}

impl RunForm {
    /// Draws the form; the arguments of the program when the user wants the run to start.
    pub fn ui(&mut self, ui: &mut Ui, shared: &Shared) -> Option<NewRun> {
        if let Some(path) = self.data_picker.poll() {
            self.data = path.display().to_string();
        }
        if let Some(path) = self.model_picker.poll() {
            self.model = path.display().to_string();
        }
        if !self.prefilled
            && let Some(recent) = shared.settings.recent_data.first()
        {
            self.prefilled = true;
            if self.data.is_empty() {
                self.data = recent.display().to_string();
            }
        }
        widgets::form_row(ui, "Stage", |ui| choice(ui, "stage", &mut self.stage, &STAGES));
        widgets::form_row(ui, "Data set", |ui| {
            let (field, choose) =
                widgets::text_field_with_button(ui, &mut self.data, "Folder made by data build", "Choose…");
            if choose {
                self.data_picker.folder(ui.ctx(), Path::new(&self.data));
            }
            field
        });
        widgets::form_row(ui, "Model", |ui| {
            let (field, choose) =
                widgets::text_field_with_button(ui, &mut self.model, "Bundled tiny model", "Choose…");
            if choose {
                self.model_picker.folder(ui.ctx(), Path::new(&self.model));
            }
            field
        });
        widgets::form_row(ui, "Preset", |ui| choice(ui, "preset", &mut self.preset, &PRESETS));
        widgets::form_row(ui, "Device", |ui| device_choice(ui, "train device", &mut self.device));
        widgets::form_row(ui, "Steps", |ui| widgets::text_field(ui, &mut self.steps, "As the preset says"));
        let runs = &shared.settings.runs_folder;
        let known = self.on_disk.take().filter(|known| known.is_of(self, runs));
        let on_disk = known.unwrap_or_else(|| OnDisk::look(self, runs));
        let free = on_disk.free_name.as_str();
        widgets::form_row(ui, "Run name", |ui| widgets::text_field(ui, &mut self.name, free));

        let name = if self.name.trim().is_empty() { free } else { self.name.trim() };
        let run = self.new_run(&runs.join(name));
        let problem = self.problem(&on_disk);
        let mut started = None;
        ui.horizontal(|ui| {
            if widgets::primary_button(ui, problem.is_none(), "Start run").clicked() {
                started = Some(run.clone());
            }
            if ui.button("Copy command").on_hover_text(run.command_line()).clicked() {
                ui.ctx().copy_text(run.command_line());
            }
        });
        if let Some(problem) = problem {
            widgets::subdued(ui, problem);
        }
        // A run that starts takes the free name.
        self.on_disk = started.is_none().then_some(on_disk);
        started
    }

    /// Why the run cannot start yet.
    fn problem(&self, on_disk: &OnDisk) -> Option<&'static str> {
        if self.data.trim().is_empty() {
            return Some("Choose a data set to train on.");
        }
        if !on_disk.has_data {
            return Some("The data set folder does not exist.");
        }
        if !self.model.trim().is_empty() && !on_disk.has_model {
            return Some("The model folder does not exist.");
        }
        if !self.steps.trim().is_empty() && !self.steps.trim().parse::<u64>().is_ok_and(|steps| steps > 0) {
            return Some("Steps must be a whole number above zero.");
        }
        let separators: &[char] = &['/', '\\'];
        if self.name.contains(separators) || self.name.trim().starts_with('.') {
            return Some("A run name is a folder name: no slashes, no dot in front.");
        }
        None
    }

    fn new_run(&self, folder: &Path) -> NewRun {
        let model = self.model.trim();
        let mut arguments = vec!["train".to_owned(), self.stage.clone()];
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        option("--data", self.data.trim());
        option("--model", if model.is_empty() { "tiny" } else { model });
        option("--run", &folder.display().to_string());
        option("--preset", &self.preset);
        option("--device", &self.device);
        if !self.steps.trim().is_empty() {
            option("--set", &format!("steps={}", self.steps.trim()));
        }
        NewRun { folder: folder.to_owned(), arguments }
    }
}

fn choice(ui: &mut Ui, id: &str, chosen: &mut String, names: &[&str]) -> egui::Response {
    egui::ComboBox::from_id_salt(id)
        .selected_text(chosen.as_str())
        .show_ui(ui, |ui| {
            for name in names {
                ui.selectable_value(chosen, (*name).to_owned(), *name);
            }
        })
        .response
}

/// What the disk says about the form. It is not asked in every frame: the folders may lie on another machine.
struct OnDisk {
    looked: Instant,
    /// The entries that were looked for.
    runs: PathBuf,
    stage: String,
    data: String,
    model: String,
    free_name: String,
    has_data: bool,
    has_model: bool,
}

impl OnDisk {
    fn look(form: &RunForm, runs: &Path) -> Self {
        let is_folder = |entry: &str| Path::new(entry.trim()).is_dir();
        Self {
            looked: Instant::now(),
            runs: runs.to_owned(),
            stage: form.stage.clone(),
            data: form.data.clone(),
            model: form.model.clone(),
            free_name: free_name(runs, &form.stage),
            has_data: is_folder(&form.data),
            has_model: is_folder(&form.model),
        }
    }

    /// Whether it still is what the disk would say, as far as can be told without asking.
    fn is_of(&self, form: &RunForm, runs: &Path) -> bool {
        let entries = (self.runs.as_path(), &self.stage, &self.data, &self.model);
        self.looked.elapsed() < INTERVAL && entries == (runs, &form.stage, &form.data, &form.model)
    }
}

/// `perception-001`, or the first number after it that is free.
fn free_name(runs: &Path, stage: &str) -> String {
    (1..)
        .map(|number| format!("{stage}-{number:03}"))
        .find(|name| !runs.join(name).exists())
        .unwrap_or_default()
}

/// A run that can be started.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub folder: PathBuf,
    pub arguments: Vec<String>,
}

impl NewRun {
    /// Going on with a run that was stopped or interrupted; its configuration says the rest.
    pub fn resume(folder: &Path, config: &RunConfig) -> Self {
        let mut arguments = vec!["train".to_owned(), config.stage.clone()];
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        option("--data", &config.data);
        option("--model", &config.model);
        option("--run", &folder.display().to_string());
        arguments.push("--resume".to_owned());
        Self { folder: folder.to_owned(), arguments }
    }

    /// As one would type it.
    pub fn command_line(&self) -> String {
        let quoted = self.arguments.iter().map(|argument| {
            if argument.contains(|c: char| c.is_whitespace() || "\"'$&|;<>()*?\\".contains(c)) {
                format!("'{}'", argument.replace('\'', r"'\''"))
            } else {
                argument.clone()
            }
        });
        std::iter::once("spatial-ladder".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Starts the process, detached: it outlives the window, and the terminal that opened the window.
    pub fn start(&self, program: &Path) -> Result<StartedRun, String> {
        let console = self.folder.join(CONSOLE_LOG);
        let fail = |path: &Path, error: std::io::Error| {
            format!(
                "{}: {error}. Check that the folder is writable and that the disk is not full",
                path.display()
            )
        };
        std::fs::create_dir_all(&self.folder).map_err(|error| fail(&self.folder, error))?;
        let output = File::options()
            .create(true)
            .append(true)
            .open(&console)
            .map_err(|error| fail(&console, error))?;
        let begins = output.metadata().map_or(0, |meta| meta.len());
        let errors = output.try_clone().map_err(|error| fail(&console, error))?;
        let mut command = Command::new(program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        {
            const DETACHED_PROCESS: u32 = 0x8;
            const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
            std::os::windows::process::CommandExt::creation_flags(
                &mut command,
                DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
            );
        }
        let child = command.spawn().map_err(|error| fail(program, error))?;
        Ok(StartedRun { folder: self.folder.clone(), child, console, begins })
    }
}

/// What resuming needs of a run's `config.toml`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct RunConfig {
    pub stage: String,
    pub data: String,
    pub model: String,
}

impl RunConfig {
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A process this window has started; kept to learn how it ended and to leave no zombie.
pub struct StartedRun {
    pub folder: PathBuf,
    child: Child,
    console: PathBuf,
    /// Length of the console log when the process started.
    begins: u64,
}

/// How a started process is doing.
pub enum Health {
    Running,
    Ended,
    /// Ended with an error; what it last said.
    Failed(String),
}

impl StartedRun {
    pub fn health(&mut self) -> Health {
        match self.child.try_wait() {
            Ok(None) => Health::Running,
            Ok(Some(status)) if status.success() => Health::Ended,
            Ok(Some(_)) => Health::Failed(format!(
                "{}: the run ended with an error. {}",
                self.folder.display(),
                self.last_words()
            )),
            Err(error) => Health::Failed(format!("{}: {error}", self.folder.display())),
        }
    }

    fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.console)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.begins.max(length.saturating_sub(CONSOLE_TAIL))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_default()
    }
}

/// The folder whose runs are listed, with a way to choose another.
pub fn runs_folder_ui(ui: &mut Ui, folder: &Path, picker: &mut Picker) -> Option<PathBuf> {
    let tokens = theme::tokens(ui.ctx());
    ui.horizontal(|ui| {
        ui.label(RichText::new("Runs").strong().color(tokens.text_strong));
        let name = folder
            .file_name()
            .map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button("Folder…").on_hover_text("Choose the folder whose runs are listed").clicked() {
                picker.folder(ui.ctx(), folder);
            }
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let label =
                    egui::Label::new(RichText::new(format!("in {name}")).small().color(tokens.text_subdued))
                        .truncate();
                ui.add(label).on_hover_text(folder.display().to_string());
            });
        });
    });
    picker.poll()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_says_what_it_will_run() {
        let form = RunForm { data: "my data".into(), steps: "50".into(), ..RunForm::default() };
        let run = form.new_run(Path::new("runs/perception-001"));
        assert_eq!(
            run.command_line(),
            "spatial-ladder train perception --data 'my data' --model tiny --run runs/perception-001 \
             --preset corrected --device auto --set steps=50"
        );
    }

    #[test]
    fn wrong_entries_are_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let good = || RunForm { data: dir.path().display().to_string(), ..RunForm::default() };
        let problem = |form: RunForm| form.problem(&OnDisk::look(&form, dir.path()));
        assert_eq!(problem(good()), None);
        assert!(problem(RunForm { data: String::new(), ..good() }).is_some());
        assert!(problem(RunForm { data: "/no/such".into(), ..good() }).is_some());
        assert!(problem(RunForm { steps: "many".into(), ..good() }).is_some());
        assert!(problem(RunForm { name: "../up".into(), ..good() }).is_some());
        assert!(problem(RunForm { model: "/no/such".into(), ..good() }).is_some());
    }

    #[test]
    fn the_disk_is_asked_again_when_an_entry_changes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut form = RunForm::default();
        let known = OnDisk::look(&form, dir.path());
        assert!(known.is_of(&form, dir.path()));
        assert!(!known.is_of(&form, &dir.path().join("others")));
        form.data = "elsewhere".into();
        assert!(!known.is_of(&form, dir.path()));
    }

    #[test]
    fn names_are_free() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(free_name(dir.path(), "perception"), "perception-001");
        std::fs::create_dir(dir.path().join("perception-001")).expect("created");
        assert_eq!(free_name(dir.path(), "perception"), "perception-002");
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_fails_is_quoted() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = NewRun {
            folder: dir.path().join("run"),
            arguments: vec!["-c".into(), "echo error: no such data >&2; exit 3".into()],
        };
        let mut started = run.start(Path::new("/bin/sh")).expect("started");
        for _ in 0..500 {
            match started.health() {
                Health::Running => std::thread::sleep(std::time::Duration::from_millis(10)),
                Health::Ended => panic!("it failed"),
                Health::Failed(message) => {
                    assert!(message.contains("error: no such data"), "{message}");
                    return;
                }
            }
        }
        panic!("it never ended");
    }
}
