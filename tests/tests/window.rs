//! The window, drawn without a screen by the software Vulkan driver: pictures of each workspace, and
//! what buttons and keys do. Rerun's viewer needs a real window; the plain picture viewer stands in.
#![cfg(feature = "window")]

use egui::accesskit::Role;
use egui::{Key, Vec2, vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use egui_kittest::{Harness, SnapshotOptions};
use spatial_ladder::runs::{Event, EventLog, RunDir};
use spatial_ladder::samples::GroundedBox;
use spatial_ladder_app::window::ask::engine::{Answer, Engine, Progress, Question, Timings};
use spatial_ladder_app::window::settings::{Settings, ThemeChoice};
use spatial_ladder_app::window::viewer::PictureViewer;
use spatial_ladder_app::window::{Parts, Workbench, Workspace};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SIZE: Vec2 = vec2(1200.0, 800.0);
/// For everything that another thread does.
const PATIENCE: Duration = Duration::from_secs(30);

/// All tests work in one folder, so that pictures show the same relative paths on every machine.
fn enter_work_folder() {
    static ENTERED: Once = Once::new();
    ENTERED.call_once(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("window");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a work folder");
        std::env::set_current_dir(&folder).expect("the work folder can be entered");
        build_data_set(Path::new("rooms"));
    });
}

/// A wall, a floor and coloured furniture: enough to see that boxes lie where they should.
fn picture(index: u32) -> (image::RgbImage, Vec<GroundedBox>) {
    let mut picture = image::RgbImage::from_fn(320, 240, |_, y| {
        if y < 130 { image::Rgb([196, 188, 172]) } else { image::Rgb([120, 96, 74]) }
    });
    let pieces = [
        ("chair", [20 + 30 * index, 120, 90 + 30 * index, 210], [58, 92, 140]),
        ("table", [150, 100, 290, 190], [150, 104, 60]),
        ("lamp", [10, 20, 50, 110], [222, 205, 120]),
    ];
    let mut boxes = Vec::new();
    for (label, [x1, y1, x2, y2], color) in pieces.into_iter().take(1 + index as usize % 3) {
        for y in y1..y2 {
            for x in x1..x2 {
                picture.put_pixel(x, y, image::Rgb(color));
            }
        }
        boxes.push(GroundedBox { bbox_2d: [x1, y1, x2, y2].map(i64::from), label: label.to_owned() });
    }
    (picture, boxes)
}

fn build_data_set(root: &Path) {
    std::fs::create_dir_all(root.join("images/room_000001")).expect("a folder");
    let rows: Vec<String> = (0..6)
        .map(|index| {
            let (picture, boxes) = picture(index);
            let image = format!("images/room_000001/{index:04}.png");
            picture.save(root.join(&image)).expect("saved");
            serde_json::json!({
                "question_id": index + 1,
                "question": format!("Detect every {} in the image and give its box.", boxes[boxes.len() - 1].label),
                "answer": boxes,
                "image": [image],
                "data_type": "single_image",
            })
            .to_string()
        })
        .collect();
    std::fs::write(root.join("spld_grounding_data.jsonl"), rows.join("\n") + "\n").expect("written");
}

/// A run with `steps` of 400 steps in its log, every number fixed.
fn write_run(root: &Path, steps: u64, end: Option<Event>) -> RunDir {
    let run = RunDir::create(root).expect("created");
    std::fs::write(run.config_path(), "stage = \"perception\"\ndata = \"rooms\"\nmodel = \"tiny\"\n")
        .expect("written");
    let mut log = EventLog::append(&run.events_path()).expect("opened");
    log.write(Event::Started {
        stage: "perception".into(),
        total_steps: 400,
        train_samples: 600,
        validation_samples: 60,
        parameters: 3_900_000,
        device: "cpu".into(),
    })
    .expect("written");
    append_steps(&mut log, 1..=steps);
    if let Some(end) = end {
        log.write(end).expect("written");
    }
    run
}

fn append_steps(log: &mut EventLog, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        let noise = ((step * 7919) % 101) as f64 / 101.0 - 0.5;
        log.write(Event::Step {
            step,
            loss: 0.4 + 3.0 * (-(step as f64) / 120.0).exp() + 0.3 * noise,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            samples_per_s: 21.5,
            tokens_per_s: 3400.0,
            seconds_left: 1.2 * (400.0 - step as f64),
            parts: Vec::new(),
        })
        .expect("written");
        if step % 50 == 0 {
            let learnt = 1.0 - (-(step as f64) / 200.0).exp();
            log.write(Event::Evaluation {
                step,
                samples: 60,
                mean_iou: Some(0.6 * learnt),
                accuracy_50: Some(0.5 * learnt * learnt),
                score: None,
                kinds: Default::default(),
                parsed: Some(1.0),
                category_accuracy: None,
                seconds: 3.0,
            })
            .expect("written");
        }
    }
}

/// Says what a model would say, word by word, until it is stopped.
struct Script {
    endless: bool,
}

impl Engine for Script {
    fn answer(&mut self, question: &Question, stop: &AtomicBool, report: &mut dyn FnMut(Progress)) {
        report(Progress::Loading { device: question.device.clone() });
        report(Progress::Reading);
        let text = "[{\"bbox_2d\": [150, 100, 290, 190], \"label\": \"table\"}]";
        for word in text.split_inclusive(' ') {
            report(Progress::Text(word.to_owned()));
        }
        let begun = Instant::now();
        while self.endless && !stop.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let table = vec![GroundedBox { bbox_2d: [150, 100, 290, 190], label: "table".into() }];
        // Who is stopped while thinking has no boxes but those of the thought.
        let (boxes, seen) = if self.endless { (Vec::new(), table) } else { (table, Vec::new()) };
        report(Progress::Done(Box::new(Answer {
            text: text.to_owned(),
            thought: Some("The table stands right of the chair.".into()),
            answer: text.to_owned(),
            boxes,
            seen,
            token_ids: Vec::new(),
            problems: Vec::new(),
            timings: Timings {
                remembered_tokens: 0,
                load_s: 0.12,
                encode_s: 0.05,
                prefill_s: 0.08,
                decode_s: 0.5,
                prompt_tokens: 96,
                new_tokens: 40,
            },
        })));
    }
}

struct Setup {
    workspace: Workspace,
    open: Option<&'static str>,
    settings: Settings,
    program: PathBuf,
    endless: bool,
}

impl Setup {
    fn new(workspace: Workspace) -> Self {
        Self {
            workspace,
            open: None,
            settings: Settings::default(),
            program: PathBuf::from("/nowhere"),
            endless: false,
        }
    }

    fn open(self, path: &'static str) -> Self {
        Self { open: Some(path), ..self }
    }

    fn window(self) -> Window {
        enter_work_folder();
        // The harness sets a theme of its own after the window has set its one.
        let theme = match self.settings.theme {
            ThemeChoice::Light => egui::Theme::Light,
            ThemeChoice::Dark | ThemeChoice::System => egui::Theme::Dark,
        };
        Harness::builder().with_size(SIZE).with_theme(theme).wgpu().build_eframe(move |cc| {
            let parts = Parts {
                settings: self.settings,
                program: self.program,
                viewer: Box::new(PictureViewer::default()),
                engine: Box::new(Script { endless: self.endless }),
            };
            let mut workbench = Workbench::new(&cc.egui_ctx, parts);
            workbench.show_workspace(self.workspace);
            if let Some(path) = self.open {
                workbench.open(&cc.egui_ctx, Path::new(path));
            }
            workbench
        })
    }
}

type Window = Harness<'static, Workbench>;

/// Draws frames until the condition holds.
fn wait_for(window: &mut Window, what: &str, condition: impl Fn(&Window) -> bool) {
    let begun = Instant::now();
    loop {
        window.step();
        if condition(window) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn shows(window: &Window, text: &str) -> bool {
    window.query_all_by_label_contains(text).next().is_some()
}

/// Everything is loaded, and animations have come to rest.
fn settle(window: &mut Window) {
    wait_for(window, "everything to load", |window| window.state().is_settled());
    window.run_steps(12);
    wait_for(window, "pictures", |window| window.state().is_settled());
    window.run_steps(4);
}

/// Software drivers of other versions may shade a few edge pixels differently; a moved or missing piece
/// of the window changes hundreds.
fn snapshot(window: &mut Window, name: &str) {
    settle(window);
    let options = SnapshotOptions::new()
        .output_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"))
        .threshold(1.5)
        .max_failed_pixels(60);
    window.snapshot_options(name, &options);
}

#[test]
fn data_workspace_looks_right() {
    snapshot(&mut Setup::new(Workspace::Data).open("rooms").window(), "data");
}

#[test]
fn data_workspace_looks_right_in_light() {
    let mut setup = Setup::new(Workspace::Data).open("rooms");
    setup.settings.theme = ThemeChoice::Light;
    snapshot(&mut setup.window(), "data_light");
}

#[test]
fn without_a_data_set() {
    snapshot(&mut Setup::new(Workspace::Data).window(), "data_empty");
}

#[test]
fn without_runs() {
    let mut train = Setup::new(Workspace::Train);
    train.settings.runs_folder = PathBuf::from("no-runs");
    snapshot(&mut train.window(), "train_empty");
}

#[test]
fn without_a_picture() {
    snapshot(&mut Setup::new(Workspace::Ask).window(), "ask_empty");
}

#[test]
fn errors_say_what_will_come() {
    snapshot(&mut Setup::new(Workspace::Errors).window(), "errors");
}

#[test]
fn train_workspace_looks_right() {
    enter_work_folder();
    let folder = Path::new("snapshot-runs");
    write_run(
        &folder.join("perception-001"),
        400,
        Some(Event::Finished { step: 400, model: "model".into() }),
    );
    let mut setup = Setup::new(Workspace::Train).open("snapshot-runs");
    setup.settings.runs_folder = folder.to_owned();
    let mut window = setup.window();
    wait_for(&mut window, "the run", |window| shows(window, "400 of 400 steps"));
    snapshot(&mut window, "train");
}

#[test]
fn ask_workspace_looks_right() {
    enter_work_folder();
    picture(2).0.save("photo.png").expect("saved");
    let mut window = Setup::new(Workspace::Ask).open("photo.png").window();
    settle(&mut window);
    window.get_by_role_and_label(Role::Button, "Ask the model").click();
    wait_for(&mut window, "the answer", |window| shows(window, "Thought"));
    snapshot(&mut window, "ask");
}

#[test]
fn the_filter_narrows_the_list() {
    let mut window = Setup::new(Workspace::Data).open("rooms").window();
    wait_for(&mut window, "the samples", |window| shows(window, "6 samples"));
    window.get_by_role_and_label(Role::TextInput, "Filter").click();
    window.step();
    window.get_by_role_and_label(Role::TextInput, "Filter").type_text("lamp detect");
    wait_for(&mut window, "the filter", |window| shows(window, "2 of 6 samples"));
    assert!(!shows(&window, "Sample 1:"), "the first sample has no lamp");
    assert!(shows(&window, "Sample 3:"));
    assert!(shows(&window, "Sample 1 of 2"), "the selection moves to what is left");
}

#[test]
fn arrow_keys_step_through_samples() {
    let mut window = Setup::new(Workspace::Data).open("rooms").window();
    wait_for(&mut window, "the samples", |window| shows(window, "Sample 1 of 6"));
    window.key_press(Key::ArrowDown);
    window.key_press(Key::ArrowDown);
    wait_for(&mut window, "the third sample", |window| shows(window, "Sample 3 of 6"));
    window.key_press(Key::ArrowUp);
    wait_for(&mut window, "the second sample", |window| shows(window, "Sample 2 of 6"));
    window.get_by_label_contains("Sample 5:").click();
    wait_for(&mut window, "the clicked sample", |window| shows(window, "Sample 5 of 6"));
    window.get_by_role_and_label(Role::Button, "Next").click();
    wait_for(&mut window, "the last sample", |window| shows(window, "Sample 6 of 6"));
    window.key_press(Key::ArrowDown);
    window.run_steps(3);
    assert!(shows(&window, "Sample 6 of 6"), "the list ends here");
}

#[test]
fn a_wrong_data_set_is_explained() {
    enter_work_folder();
    std::fs::create_dir_all("broken").expect("a folder");
    std::fs::write("broken/spld_grounding_data.jsonl", "{\"question_id\": 1}\n").expect("written");
    let mut window = Setup::new(Workspace::Data).open("broken").window();
    wait_for(&mut window, "the explanation", |window| shows(window, "spld_grounding_data.jsonl"));
    assert!(shows(&window, "line 1"));
    window.get_by_role_and_label(Role::Button, "Dismiss").click();
    wait_for(&mut window, "its end", |window| !shows(window, "line 1"));
}

#[test]
fn a_run_goes_on_while_the_window_is_closed() {
    enter_work_folder();
    let folder = Path::new("reopened-runs");
    let run = write_run(&folder.join("live"), 50, None);
    let _claim = run.claim().expect("claimed");
    let open = || {
        let mut setup = Setup::new(Workspace::Train);
        setup.settings.runs_folder = folder.to_owned();
        setup.window()
    };
    let mut window = open();
    wait_for(&mut window, "the run", |window| shows(window, "50 of 400 steps"));
    assert!(shows(&window, "Running"));
    drop(window);
    let mut log = EventLog::append(&run.events_path()).expect("opened");
    append_steps(&mut log, 51..=120);
    let mut window = open();
    wait_for(&mut window, "the whole curve", |window| shows(window, "120 of 400 steps"));
    append_steps(&mut log, 121..=130);
    wait_for(&mut window, "new steps", |window| shows(window, "130 of 400 steps"));
    assert!(shows(&window, "Run live: Running"));
}

#[test]
fn stop_asks_the_run_to_stop() {
    enter_work_folder();
    let folder = Path::new("stopped-runs");
    let run = write_run(&folder.join("live"), 20, None);
    let _claim = run.claim().expect("claimed");
    let mut setup = Setup::new(Workspace::Train);
    setup.settings.runs_folder = folder.to_owned();
    let mut window = setup.window();
    wait_for(&mut window, "the run", |window| shows(window, "20 of 400 steps"));
    assert!(!run.stop_requested());
    window.get_by_role_and_label(Role::Button, "Stop").click();
    wait_for(&mut window, "the request", |_| run.stop_requested());
    wait_for(&mut window, "the window to say so", |window| shows(window, "Run live: Stopping"));
    EventLog::append(&run.events_path())
        .and_then(|mut log| log.write(Event::Stopped { step: 20 }))
        .expect("written");
    wait_for(&mut window, "the end", |window| shows(window, "Run live: Stopped"));
    assert!(window.query_by_role_and_label(Role::Button, "Resume").is_some());
}

/// A stand-in for the program that notes its arguments.
#[cfg(unix)]
fn noting_program(path: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, "#!/bin/sh\necho \"$@\" > \"$8/arguments\"\n").expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    std::path::absolute(path).expect("absolute")
}

#[cfg(unix)]
#[test]
fn the_form_starts_a_process() {
    enter_work_folder();
    let mut setup = Setup::new(Workspace::Train);
    setup.settings.runs_folder = PathBuf::from("started-runs");
    setup.settings.remember_data(Path::new("rooms"));
    setup.program = noting_program("noting-program");
    let mut window = setup.window();
    window.run_steps(3);
    window.get_by_role_and_label(Role::Button, "Start run").click();
    let arguments = Path::new("started-runs/perception-001/arguments");
    wait_for(&mut window, "the process", |_| {
        std::fs::read_to_string(arguments).is_ok_and(|text| text.ends_with('\n'))
    });
    let told = std::fs::read_to_string(arguments).expect("arguments");
    assert!(told.starts_with("train perception --data "), "{told}");
    assert!(told.contains("--model tiny --run started-runs/perception-001 --preset corrected"), "{told}");
}

#[test]
fn an_answer_streams_in_and_can_be_stopped() {
    enter_work_folder();
    picture(1).0.save("asked.png").expect("saved");
    let mut setup = Setup::new(Workspace::Ask).open("asked.png");
    setup.endless = true;
    let mut window = setup.window();
    settle(&mut window);
    window.get_by_role_and_label(Role::Button, "Ask the model").click();
    wait_for(&mut window, "streamed text", |window| shows(window, "bbox_2d"));
    assert!(!window.state().is_settled(), "still answering");
    window.get_by_role_and_label(Role::Button, "Stop").click();
    wait_for(&mut window, "the boxes", |window| shows(window, "Picture with 1 boxes"));
    assert!(shows(&window, "Answer (stopped)"), "there might have been more");
    let ask = window.get_by_role_and_label(Role::Button, "Ask the model");
    assert!(!ask.accesskit_node().is_disabled(), "another question can be asked");
}
