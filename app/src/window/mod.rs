//! The native window: four workspaces, one file or folder each. Everything slow runs elsewhere: runs
//! are processes of their own, and pictures, scenes and the model have a thread each.

pub mod app;
pub mod ask;
pub mod data;
mod dialogs;
mod errors;
mod filter;
pub mod pictures;
#[cfg(feature = "viewer")]
mod rerun_viewer;
mod screenshot;
pub mod settings;
pub mod theme;
pub mod train;
pub mod viewer;
mod widgets;

pub use app::{Parts, Workbench, Workspace};

use anyhow::Context as _;
use std::path::PathBuf;

const TITLE: &str = "SpatialLadder Workbench";
/// Decides where the system keeps the window's state, and groups its windows.
const APP_ID: &str = "spatial-ladder";
const SIZE: [f32; 2] = [1400.0, 900.0];
const SMALLEST_SIZE: [f32; 2] = [960.0, 600.0];

/// How the window opens.
#[derive(Debug, Default)]
pub struct Options {
    pub workspace: Workspace,
    /// A data set, a run or folder of runs, or a picture, as fits the workspace.
    pub open: Option<PathBuf>,
    /// Shown first, by its question_id, in the Data workspace.
    pub sample: Option<u64>,
    /// Asked about the picture at once, in the Ask workspace.
    pub question: Option<String>,
    /// Save a picture of the complete window here and quit.
    pub screenshot: Option<PathBuf>,
}

/// Whether a window can be opened at all, as far as the environment tells.
pub fn has_display() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Opens the window and returns when it is closed. To be called on the main thread.
pub fn run(options: Options) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program's own file cannot be found")?;
    #[cfg(feature = "viewer")]
    let runtime = tokio::runtime::Runtime::new().context("no runtime for the 3D viewer could be started")?;
    #[cfg(feature = "viewer")]
    let _entered = runtime.enter();
    eframe::run_native(
        TITLE,
        native_options(),
        Box::new(move |cc| Ok(Box::new(workbench(cc, options, program)))),
    )
    .map_err(|error| {
        anyhow::anyhow!(
            "the window could not be opened: {error}. It needs a display and a Vulkan, Metal or DirectX 12 driver; \
             without them use the subcommands (spatial-ladder --help)"
        )
    })
}

fn native_options() -> eframe::NativeOptions {
    // The viewer's own options choose an adapter and device limits that its renderer can work with.
    #[cfg(feature = "viewer")]
    let options = re_viewer::native::eframe_options(None);
    #[cfg(not(feature = "viewer"))]
    let options = eframe::NativeOptions { renderer: eframe::Renderer::Wgpu, ..Default::default() };
    let viewport = egui::ViewportBuilder::default()
        .with_app_id(APP_ID)
        .with_title(TITLE)
        .with_inner_size(SIZE)
        .with_min_inner_size(SMALLEST_SIZE)
        .with_drag_and_drop(true);
    eframe::NativeOptions { viewport, ..options }
}

fn workbench(cc: &eframe::CreationContext<'_>, options: Options, program: PathBuf) -> Workbench {
    let ctx = &cc.egui_ctx;
    let parts = Parts {
        settings: settings::Settings::load(),
        program,
        viewer: scene_viewer(cc),
        engine: Box::new(ask::model::ModelEngine::default()),
    };
    let mut workbench = Workbench::new(ctx, parts);
    workbench.show_workspace(options.workspace);
    if let Some(path) = &options.open {
        workbench.open(ctx, path);
    }
    if let Some(sample) = options.sample {
        workbench.show_sample(sample);
    }
    if let Some(question) = &options.question {
        workbench.ask(question);
    }
    workbench.shot = options.screenshot.map(screenshot::Shot::new);
    workbench
}

/// Rerun's viewer, or plain pictures where it cannot run.
fn scene_viewer(cc: &eframe::CreationContext<'_>) -> Box<dyn viewer::SceneViewer> {
    #[cfg(feature = "viewer")]
    {
        let main_thread = re_viewer::MainThreadToken::i_promise_i_am_on_the_main_thread();
        let viewer = re_viewer::customize_eframe_and_setup_renderer(cc)
            .map_err(anyhow::Error::from)
            .and_then(|()| rerun_viewer::RerunViewer::new(main_thread, cc));
        match viewer {
            Ok(viewer) => return Box::new(viewer),
            Err(error) => {
                log::warn!("The 3D viewer cannot run here ({error}); showing pictures instead")
            }
        }
    }
    #[cfg(not(feature = "viewer"))]
    let _ = cc;
    Box::new(viewer::PictureViewer::default())
}
