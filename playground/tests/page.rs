//! The page is what its parts give. Whether its module is what the sources give, only ci/real can tell.

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};

#[path = "../examples/page.rs"]
#[allow(dead_code, reason = "the example has a main function")]
mod assembled;

#[test]
fn the_page_is_put_together_from_its_parts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/playground/index.html");
    let page = fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("id=\"wasm\">\n").unwrap();
    let wasm = BASE64_STANDARD.decode(rest.lines().next().unwrap()).unwrap();
    let expected = assembled::page(&wasm).unwrap();
    let differs = page.lines().zip(expected.lines()).find(|(has, needs)| has != needs);
    assert!(page == expected, "run ./playground/build: the page differs at {differs:?}");
}
