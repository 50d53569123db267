//! Rerun's viewer inside the Data workspace.
//!
//! The viewer is a whole eframe application; its panels are hidden, and it draws into our central panel.
//! It is fed in this process, through a channel, from a thread of its own: sending waits while the
//! viewer has 128 MiB unread, and reading scenes and pictures takes time.

use super::pictures::Pictures;
use super::viewer::{SceneViewer, Selection};
use super::widgets;
use eframe::App as _;
use re_log_channel::{DataSourceMessage, LogSender, LogSource, log_channel};
use re_sdk::StoreId;
use re_viewer::external::re_sdk_types::blueprint::components::PanelState;
use re_viewer::{AppEnvironment, AsyncRuntimeHandle, MainThreadToken, StartupOptions};
use re_viewer::{SystemCommand, SystemCommandSender};
use spatial_ladder::recording::SampleRecorder;
use std::sync::{Arc, Condvar, Mutex, mpsc};

pub struct RerunViewer {
    app: re_viewer::App,
    feeder: Feeder,
    selected: Option<Selection>,
    /// What could not be recorded last, and why, until something can.
    failed: Option<(Selection, String)>,
    /// The recording that shows the newest selection.
    current: Option<StoreId>,
    /// Recordings of earlier scenes, closed as soon as the viewer has left them.
    stale: Vec<StoreId>,
}

impl RerunViewer {
    /// Needs the renderer set up by [`re_viewer::customize_eframe_and_setup_renderer`] and an entered
    /// tokio runtime.
    pub fn new(main_thread: MainThreadToken, cc: &eframe::CreationContext<'_>) -> anyhow::Result<Self> {
        let mut options =
            StartupOptions { persist_state: false, hide_welcome_screen: true, ..StartupOptions::default() };
        let panels = &mut options.panel_state_overrides;
        // The time panel is the layout's matter: a video has one.
        for panel in [&mut panels.top, &mut panels.blueprint, &mut panels.selection] {
            *panel = Some(PanelState::Hidden);
        }
        let mut app = re_viewer::App::new(
            main_thread,
            re_viewer::build_info(),
            AppEnvironment::Custom("SpatialLadder Workbench".to_owned()),
            options,
            cc,
            None,
            AsyncRuntimeHandle::from_current_tokio_runtime_or_wasmbindgen()?,
        );
        // The window is ours: the system draws its frame and buttons, not the viewer.
        app.app_options_mut().custom_window_decorations = false;
        let (sender, receiver) = log_channel(LogSource::Sdk);
        app.add_log_receiver(receiver);
        let feeder = Feeder::new(&cc.egui_ctx, sender);
        Ok(Self { app, feeder, selected: None, failed: None, current: None, stale: Vec::new() })
    }

    fn receive(&mut self) {
        for (selection, fed) in self.feeder.fed.try_iter() {
            match fed {
                Ok(store) => {
                    self.failed = None;
                    if self.current.as_ref() != Some(&store)
                        && let Some(before) = self.current.replace(store)
                    {
                        self.stale.push(before);
                    }
                }
                Err(message) => self.failed = Some((selection, message)),
            }
        }
        // Closing the recording on show would bring up the welcome screen for a moment.
        if self.app.active_recording_id() == self.current.as_ref() {
            for store in self.stale.drain(..) {
                self.app.command_sender.send_system(SystemCommand::CloseRecordingOrTable(store.into()));
            }
        }
    }
}

impl SceneViewer for RerunViewer {
    fn select(&mut self, selection: &Selection) {
        self.selected = Some(selection.clone());
        self.feeder.wish(selection.clone());
    }

    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        self.app.logic(ctx, frame);
        self.receive();
    }

    fn viewer_ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame, _pictures: &mut Pictures) {
        let is_selected = |failed: &Selection| self.selected.as_ref().is_some_and(|it| it.is_same(failed));
        if let Some((_, message)) = self.failed.as_ref().filter(|(failed, _)| is_selected(failed)) {
            widgets::empty_state(ui, "This scene cannot be shown", message, |_| {});
            return;
        }
        // After a failure the viewer still holds the scene before it, which belongs to another question.
        if self.failed.is_some() || self.app.active_recording_id().is_none() {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        }
        ui.scope(|ui| {
            ui.reset_style();
            self.app.ui(ui, frame);
        });
    }

    fn is_settled(&self) -> bool {
        let is_shown = self.current.is_some() && self.app.active_recording_id() == self.current.as_ref();
        self.feeder.is_idle() && (self.failed.is_some() || is_shown)
    }
}

#[derive(Default)]
struct Wishes {
    /// Only the newest selection matters: whoever leans on an arrow key wants to see where it stops.
    newest: Option<Selection>,
    busy: bool,
    closed: bool,
}

/// The thread that turns selections into messages for the viewer.
struct Feeder {
    wishes: Arc<(Mutex<Wishes>, Condvar)>,
    /// The recording that now shows a selection, or why it cannot be shown.
    fed: mpsc::Receiver<(Selection, Result<StoreId, String>)>,
}

impl Feeder {
    fn new(ctx: &egui::Context, to_viewer: LogSender) -> Self {
        let wishes = Arc::new((Mutex::new(Wishes::default()), Condvar::new()));
        let (sender, fed) = mpsc::channel();
        let (for_thread, ctx) = (wishes.clone(), ctx.clone());
        let spawned = std::thread::Builder::new().name("scene feeder".into()).spawn(move || {
            let mut recorder = SampleRecorder::default();
            while let Some(selection) = next_wish(&for_thread) {
                let result = feed(&mut recorder, &selection, &to_viewer);
                if sender.send((selection, result)).is_err() {
                    return;
                }
                if let Ok(mut wishes) = for_thread.0.lock() {
                    wishes.busy = false;
                }
                ctx.request_repaint();
            }
        });
        if let Err(error) = spawned {
            log::error!("Scenes cannot be shown: no thread could be started ({error})");
        }
        Self { wishes, fed }
    }

    fn wish(&self, selection: Selection) {
        if let Ok(mut wishes) = self.wishes.0.lock() {
            wishes.newest = Some(selection);
        }
        self.wishes.1.notify_one();
    }

    fn is_idle(&self) -> bool {
        self.wishes.0.lock().is_ok_and(|wishes| wishes.newest.is_none() && !wishes.busy)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        if let Ok(mut wishes) = self.wishes.0.lock() {
            wishes.closed = true;
        }
        self.wishes.1.notify_all();
    }
}

fn next_wish(shared: &(Mutex<Wishes>, Condvar)) -> Option<Selection> {
    let mut wishes = shared.0.lock().ok()?;
    loop {
        if wishes.closed {
            return None;
        }
        if let Some(selection) = wishes.newest.take() {
            wishes.busy = true;
            return Some(selection);
        }
        wishes = shared.1.wait(wishes).ok()?;
    }
}

fn feed(
    recorder: &mut SampleRecorder,
    selection: &Selection,
    to_viewer: &LogSender,
) -> Result<StoreId, String> {
    let sample = selection.sample().ok_or("the sample is no longer in the data set")?;
    let recorded = recorder.record(&selection.library.dataset, &sample).map_err(|error| error.to_string())?;
    for message in recorded.messages {
        to_viewer
            .send(DataSourceMessage::LogMsg(message))
            .map_err(|_| "the 3D viewer has closed its channel. Restart the program".to_owned())?;
    }
    Ok(recorded.store)
}
