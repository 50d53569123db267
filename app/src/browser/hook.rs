//! `window.spatialLadder`: the page for programs. A canvas has no elements that a test could read.
//!
//! - `state()`: what [`Session::report`](super::session::Session::report) tells
//! - `loadImage(bytes: Uint8Array, name?: string)`: as if the user had chosen this file
//! - `ask(question?: string, prompt?: "localization" | "direct" | "thinking")`, `stop()`: the buttons; `ask` throws what is
//!   missing

use super::app::Page;
use js_sys::{Object, Reflect, Uint8Array};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::{JsValue, closure::Closure};

pub fn install(page: &Rc<RefCell<Page>>) -> Result<(), JsValue> {
    let hook = Object::new();
    let state = Closure::<dyn Fn() -> Result<JsValue, JsValue>>::new({
        let page = page.clone();
        move || {
            let page = page.borrow();
            let json = serde_json::to_string(&page.session().report());
            js_sys::JSON::parse(&json.map_err(|error| error.to_string())?)
        }
    });
    let load_image = Closure::<dyn Fn(Uint8Array, Option<String>)>::new({
        let page = page.clone();
        move |bytes: Uint8Array, name: Option<String>| {
            let name = name.as_deref().unwrap_or("picture");
            page.borrow_mut().open_picture(name, bytes.to_vec());
        }
    });
    let ask = Closure::<dyn Fn(Option<String>, JsValue) -> Result<(), JsValue>>::new({
        let page = page.clone();
        move |question, prompt: JsValue| {
            let mut page = page.borrow_mut();
            if !prompt.is_undefined() {
                let prompt = js_sys::JSON::stringify(&prompt)?.as_string().unwrap_or_default();
                let prompt = serde_json::from_str(&prompt);
                page.set_prompt(prompt.map_err(|error| js_sys::Error::new(&error.to_string()))?);
            }
            page.ask(question).map_err(|error| js_sys::Error::new(&error).into())
        }
    });
    let stop = Closure::<dyn Fn()>::new({
        let page = page.clone();
        move || page.borrow_mut().stop()
    });
    Reflect::set(&hook, &"state".into(), &state.into_js_value())?;
    Reflect::set(&hook, &"loadImage".into(), &load_image.into_js_value())?;
    Reflect::set(&hook, &"ask".into(), &ask.into_js_value())?;
    Reflect::set(&hook, &"stop".into(), &stop.into_js_value())?;
    Reflect::set(&js_sys::global(), &"spatialLadder".into(), &hook)?;
    Ok(())
}
