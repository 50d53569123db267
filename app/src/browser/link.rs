//! The page's end of the line to the model worker.

use super::protocol::{Request, Response};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

/// A running worker; ends with this value.
pub struct Link {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(web_sys::Event)>,
}

impl Link {
    /// Starts a worker. `receive` gets every message from it, first [`Response::Started`].
    ///
    /// # Errors
    /// When the browser has no module workers or forbids them.
    pub fn start(receive: impl Fn(Response) + Clone + 'static) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options("./start-worker.js", &options)
            .map_err(|error| format!("the browser does not start a worker: {}", text_of(&error)))?;
        let on_message = Closure::new({
            let receive = receive.clone();
            move |event: MessageEvent| match parse(&event.data()) {
                Ok(response) => receive(response),
                Err(message) => receive(Response::Failed { message }),
            }
        });
        // Errors inside a running worker come as messages (start-worker.js); this is for a worker
        // whose script cannot even be loaded.
        let on_error = Closure::new(move |_event: web_sys::Event| {
            receive(Response::Failed {
                message: "the worker's script start-worker.js cannot be loaded; reload the page".into(),
            });
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self { worker, _on_message: on_message, _on_error: on_error })
    }

    /// Posts a message, with a file beside it where the message has one.
    ///
    /// # Errors
    /// When the browser cannot copy the file (memory).
    pub fn send(&self, request: &Request, file: Option<&[u8]>) -> Result<(), String> {
        let json = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let envelope = Object::new();
        let transfer = Array::new();
        let post = || {
            Reflect::set(&envelope, &"json".into(), &json.into())?;
            if let Some(file) = file {
                let bytes = Uint8Array::from(file);
                Reflect::set(&envelope, &"bytes".into(), &bytes)?;
                transfer.push(&bytes.buffer());
            }
            self.worker.post_message_with_transfer(&envelope, &transfer)
        };
        post().map_err(|error| text_of(&error))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

fn parse(envelope: &JsValue) -> Result<Response, String> {
    let json = Reflect::get(envelope, &"json".into()).ok().and_then(|json| json.as_string());
    let json = json.ok_or("the worker sent a message without text")?;
    serde_json::from_str(&json)
        .map_err(|error| format!("the worker and the page differ in version ({error}); reload the page"))
}

/// What a JavaScript exception says.
pub fn text_of(value: &JsValue) -> String {
    match value.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => value.as_string().unwrap_or_else(|| format!("{value:?}")),
    }
}
