//! Starts the page: finds the canvas and the file input of web/index.html and hands them to egui.

use super::app::{App, Page, read_file};
use super::protocol::DeviceChoice;
use super::session::Session;
use super::{hook, theme};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Document, HtmlCanvasElement, HtmlElement, HtmlInputElement};

/// Where the bundled model's files are, beside the page.
const MODEL_URL: &str = "model/";

/// Starts the page, or shows in it why that is not possible.
pub fn start() {
    let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
    wasm_bindgen_futures::spawn_local(async move {
        if let Err(error) = run(&document).await {
            let message = format!(
                "SpatialLadder Workbench cannot draw in this browser: {}. It needs WebGL 2: allow \
                 hardware acceleration, or try a current Firefox, Chrome, Edge or Safari.",
                super::link::text_of(&error)
            );
            if let Ok(notice) = element::<HtmlElement>(&document, "notice") {
                notice.set_text_content(Some(&message));
                notice.set_hidden(false);
            }
        }
    });
}

async fn run(document: &Document) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("this program belongs in a page")?;
    let choice = DeviceChoice::from_query(&window.location().search()?);
    let canvas: HtmlCanvasElement = element(document, "canvas")?;
    let input: HtmlInputElement = element(document, "picture-file")?;

    // The page draws with WebGL 2, which every current browser has, so that WebGPU is the model's alone.
    let options = eframe::WebOptions::default();
    let create = Box::new(move |creation: &eframe::CreationContext<'_>| {
        theme::install(&creation.egui_ctx);
        let session = Session::new(choice, MODEL_URL);
        let open_file = Rc::new({
            let input = input.clone();
            move || input.click()
        });
        let page = Page::new(&creation.egui_ctx, session, open_file);
        listen_to_file_input(&input, &page);
        hook::install(&page).map_err(|error| super::link::text_of(&error))?;
        Ok(Box::new(App(page)) as Box<dyn eframe::App>)
    });
    eframe::WebRunner::new().start(canvas, options, create).await
}

fn element<T: JsCast>(document: &Document, id: &str) -> Result<T, JsValue> {
    let found = document.get_element_by_id(id).and_then(|element| element.dyn_into().ok());
    found.ok_or_else(|| JsValue::from(format!("web/index.html has no element \"{id}\" of the right kind")))
}

fn listen_to_file_input(input: &HtmlInputElement, page: &Rc<RefCell<Page>>) {
    let (chosen, page) = (input.clone(), Rc::downgrade(page));
    let on_change = Closure::<dyn FnMut()>::new(move || {
        if let Some(file) = chosen.files().and_then(|files| files.get(0)) {
            read_file(file, page.clone());
        }
        // So that choosing the same file again is a change again.
        chosen.set_value("");
    });
    input.set_onchange(Some(on_change.as_ref().unchecked_ref()));
    // Lives as long as the page.
    on_change.forget();
}
