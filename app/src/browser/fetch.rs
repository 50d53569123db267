//! Files from the page's server.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response, WorkerGlobalScope};

/// Fetches a file whole. `progress` gets the bytes so far and all of them, or zero where the server
/// does not say how many there are.
///
/// # Errors
/// When the server cannot be reached, does not have the file or breaks off; names the address.
pub async fn fetch(
    scope: &WorkerGlobalScope,
    url: String,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<u8>, String> {
    let fail = |error: JsValue| {
        let error = super::link::text_of(&error);
        format!("{url} cannot be loaded ({error}); check the connection and try again")
    };
    let response = JsFuture::from(scope.fetch_with_str(&url)).await.map_err(fail)?;
    let response: Response = response.dyn_into().map_err(fail)?;
    if !response.ok() {
        return Err(format!(
            "{url} cannot be loaded: the server answers {} {}; the page was not installed whole",
            response.status(),
            response.status_text()
        ));
    }
    let length = response.headers().get("content-length").map_err(fail)?;
    let total = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = response.body().ok_or_else(|| format!("{url} is empty"))?;
    let reader: ReadableStreamDefaultReader =
        body.get_reader().dyn_into().map_err(|_| format!("{url} cannot be read"))?;
    let mut file = Vec::new();
    loop {
        let step = JsFuture::from(reader.read()).await.map_err(fail)?;
        if Reflect::get(&step, &"done".into()).map_err(fail)?.is_truthy() {
            return Ok(file);
        }
        let chunk: Uint8Array = Reflect::get(&step, &"value".into()).map_err(fail)?.unchecked_into();
        let start = file.len();
        file.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut file[start..]);
        progress(file.len() as u64, total);
    }
}
