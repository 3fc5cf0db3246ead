//! What the page calls. Only numbers go in and out: texts lie in the memory of the module, which the page can read.
//!
//! A function has a name in WebAssembly only with `no_mangle`, and that attribute is unsafe: another function of the
//! same name would take its place. So the names begin with `playground_`. Nothing here is unsafe otherwise.

#![allow(unsafe_code, reason = "for `no_mangle` alone, as the module says")]

use std::cell::RefCell;

use crate::walk::walk;
use crate::world::{Action, Setting, World};

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    /// The text that the page reads, until the next call.
    static TEXT: RefCell<String> = RefCell::default();
}

/// Starts anew, with the settings of [`World::new`].
#[unsafe(no_mangle)]
extern "C" fn playground_begin() {
    WORLD.replace(World::new());
}

/// Changes a setting, by its place in [`Setting::ALL`]. Another number changes nothing.
#[unsafe(no_mangle)]
extern "C" fn playground_set(setting: u32, value: u32) {
    if let Some(&setting) = Setting::ALL.get(setting as usize) {
        WORLD.with_borrow_mut(|world| world.set(setting, value));
    }
}

/// Does one thing, by its place in [`Action::ALL`]. Returns 1 if something happened. Another number does nothing.
#[unsafe(no_mangle)]
extern "C" fn playground_act(action: u32) -> u32 {
    let action = Action::ALL.get(action as usize);
    action.is_some_and(|&action| WORLD.with_borrow_mut(|world| world.act(action))).into()
}

/// The new records and then the state, a line of JSON each. Returns the length of the text in bytes.
#[unsafe(no_mangle)]
extern "C" fn playground_report() -> usize {
    let text = WORLD.with_borrow_mut(|world| world.take_records() + &world.state());
    let len = text.len();
    TEXT.replace(text);
    len
}

/// The address of the text of the last report.
#[unsafe(no_mangle)]
extern "C" fn playground_text() -> *const u8 {
    TEXT.with_borrow(|text| text.as_ptr())
}

/// The digest of a random [`walk`], for the comparison with a native build.
#[unsafe(no_mangle)]
extern "C" fn playground_walk(seed: u32, steps: u32) -> u64 {
    walk(seed, steps)
}
