//! The worker's side of the conversation: load the model once, then answer one question at a time.

use super::protocol::{DeviceChoice, LoadStage, Request, Response};
use super::{device, fetch};
use js_sys::{Object, Promise, Reflect, Uint8Array};
use spatial_ladder::answering::{Answer, AnswerError, Answerer, AskOptions, GenerationOptions, Visuals};
use spatial_ladder::model::{Device, Qwen2_5Vl, Qwen2_5VlConfig};
use spatial_ladder::processor::{Processor, images};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};
use web_time::{Duration, Instant};

/// How long the worker may compute on the CPU before it looks for messages, such as a cancellation.
const RESPONSIVE: Duration = Duration::from_millis(30);

/// Listens to the page for as long as the worker lives.
pub fn start() {
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else { return };
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        post(&Response::Failed { message: info.to_string() });
    }));
    let worker = Worker { scope: scope.clone(), loaded: Rc::default(), cancelled: Rc::default() };
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        if let Err(message) = worker.receive(&event.data()) {
            post(&Response::Failed { message });
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // Lives as long as the worker.
    on_message.forget();
    post(&Response::Started);
}

struct Loaded {
    answerer: Answerer,
    load_s: f64,
}

#[derive(Clone)]
struct Worker {
    scope: DedicatedWorkerGlobalScope,
    loaded: Rc<RefCell<Option<Rc<Loaded>>>>,
    /// The last question that was called off, and with it all before it: the page asks one at a time.
    cancelled: Rc<Cell<Option<u32>>>,
}

impl Worker {
    fn receive(&self, envelope: &JsValue) -> Result<(), String> {
        let field = |name: &str| Reflect::get(envelope, &name.into()).unwrap_or(JsValue::UNDEFINED);
        let json = field("json").as_string().unwrap_or_default();
        let request: Request = serde_json::from_str(&json).map_err(|error| {
            format!("the page and the worker differ in version ({error}); reload the page")
        })?;
        let worker = self.clone();
        match request {
            Request::Load { device, model_url } => spawn_local(async move {
                if let Err(failure) = worker.load(device, &model_url).await {
                    post(&failure);
                }
            }),
            Request::Ask { id, question, prompt, choices, max_new_tokens } => {
                let file = field("bytes").dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec());
                let generation = GenerationOptions { max_new_tokens, ..GenerationOptions::default() };
                let options = AskOptions { prompt, choices, generation, ..AskOptions::default() };
                spawn_local(async move {
                    let file = file.unwrap_or_default();
                    match worker.ask(id, &question, &file, options).await {
                        Ok((answer, stopped)) => {
                            post(&Response::Answer { id, answer: Box::new(answer), stopped })
                        }
                        Err(message) => post(&Response::Refused { id, message }),
                    }
                });
            }
            Request::Cancel { id } => self.cancelled.set(Some(id)),
        }
        Ok(())
    }

    /// Picks a device and puts the model on it.
    ///
    /// # Errors
    /// What to tell the page.
    async fn load(&self, choice: DeviceChoice, model_url: &str) -> Result<(), Response> {
        let start = Instant::now();
        post(&Response::Loading { stage: LoadStage::Device });
        let chosen = device::choose(choice).await;
        let (device, runs_on) = chosen.map_err(|message| Response::Failed { message })?;
        let read = self.read_model(model_url, &device, runs_on.webgpu).await;
        let answerer = read.map_err(|message| Response::NotLoaded { message })?;
        let load_s = start.elapsed().as_secs_f64();
        self.loaded.replace(Some(Rc::new(Loaded { answerer, load_s })));
        post(&Response::Ready { device: runs_on, model: "Tiny model".into(), load_s });
        Ok(())
    }

    async fn read_model(&self, model_url: &str, device: &Device, webgpu: bool) -> Result<Answerer, String> {
        post(&Response::Loading { stage: LoadStage::Download { done: 0, total: 0 } });
        let address = |file: &str| format!("{model_url}{file}");
        let small = |file: &'static str| fetch::fetch(&self.scope, address(file), |_, _| ());
        let config = small("config.json").await?;
        let tokenizer = small("tokenizer.json").await?;
        let preprocessor = small("preprocessor_config.json").await?;
        let weights = fetch::fetch(&self.scope, address("model.safetensors"), |done, total| {
            post(&Response::Loading { stage: LoadStage::Download { done, total } });
        });
        let weights = weights.await?;

        post(&Response::Loading { stage: LoadStage::Weights { webgpu } });
        build(&config, &tokenizer, &preprocessor, &weights, model_url, device)
            .map_err(|error| error.to_string())
    }

    /// Answers, posting the text as it comes; true when it was called off.
    async fn ask(
        &self,
        id: u32,
        question: &str,
        file: &[u8],
        options: AskOptions,
    ) -> Result<(Answer, bool), String> {
        let loaded = self.loaded.borrow().clone().ok_or("the model is not loaded")?;
        let image = images::decode(file, "the picture").map_err(|error| error.to_string())?;
        // What came up while nobody asked concerns no answer.
        device::take_gpu_errors();
        let mut last_pause = Instant::now();
        let mut stopped = false;
        let on_text = async |text: &str| {
            post(&Response::Token { id, text: text.to_owned() });
            if last_pause.elapsed() > RESPONSIVE {
                pause(&self.scope).await;
                last_pause = Instant::now();
            }
            stopped = self.cancelled.get() >= Some(id);
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let answer = loaded.answerer.ask_async(Visuals::Images(&[image]), question, &options, on_text).await;
        let mut answer = answer.map_err(|error| error.to_string())?;
        answer.timings.load_s = loaded.load_s;
        match device::take_gpu_errors().as_slice() {
            [] => Ok((answer, stopped)),
            errors => Err(format!(
                "the GPU reported errors, so the answer may be wrong: {}. Open the page with ?device=cpu",
                errors.join("; ")
            )),
        }
    }
}

fn build(
    config: &[u8],
    tokenizer: &[u8],
    preprocessor: &[u8],
    weights: &[u8],
    folder: &str,
    device: &Device,
) -> Result<Answerer, AnswerError> {
    let path = |file: &str| Path::new(folder).join(file);
    let config = Qwen2_5VlConfig::from_json(&String::from_utf8_lossy(config), &path("config.json"))?;
    let model = Qwen2_5Vl::from_safetensors(&config, weights, &path("model.safetensors"), device)?;
    Answerer::new(model, Processor::from_bytes(tokenizer, preprocessor)?)
}

/// Lets the worker take in messages that have arrived meanwhile.
async fn pause(scope: &DedicatedWorkerGlobalScope) {
    let timer = Promise::new(&mut |resolve, _reject| {
        // Without a timer there is no pause, and messages wait until the answer is complete.
        if scope.set_timeout_with_callback(&resolve).is_err() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    let _ = JsFuture::from(timer).await;
}

fn post(response: &Response) {
    let envelope = Object::new();
    let posted = serde_json::to_string(response).map_err(|error| error.to_string()).and_then(|json| {
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        Reflect::set(&envelope, &"json".into(), &json.into())
            .and_then(|_| scope.post_message(&envelope))
            .map_err(|error| super::link::text_of(&error))
    });
    if let Err(error) = posted {
        // Whoever would show it cannot be reached.
        log::error!("a message to the page was lost: {error}");
    }
}
