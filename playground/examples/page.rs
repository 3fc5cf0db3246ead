//! Prints the page of the playground: `page FILE.wasm`. `playground/build` calls it.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use base64::prelude::{BASE64_STANDARD, Engine};

fn main() -> ExitCode {
    let Some(file) = env::args_os().nth(1) else {
        eprintln!("page needs the module to put into the page: page FILE.wasm");
        return ExitCode::from(2);
    };
    let page = fs::read(file).and_then(|wasm| page(&wasm));
    if let Err(e) = page.and_then(|page| io::stdout().write_all(page.as_bytes())) {
        eprintln!("page cannot be made: {e}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The template, with the files that it names, each as `{{path}}` on a line of its own, and the module.
///
/// # Errors
///
/// If a file cannot be read, or would end the element that holds it.
pub fn page(wasm: &[u8]) -> io::Result<String> {
    let mut page = String::new();
    for line in read("playground/page/index.html")?.lines() {
        match line.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some("wasm") => page += &BASE64_STANDARD.encode(wasm),
            Some(path) => page += read(path)?.trim_end(),
            None => page += line,
        }
        page.push('\n');
    }
    Ok(page)
}

/// A file, by its path from the root of the repository.
fn read(path: &str) -> io::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(path))
        .map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?;
    let ends = ["</script", "</style", "<!--"];
    match ends.iter().find(|end| !path.ends_with(".html") && text.contains(**end)) {
        Some(end) => Err(io::Error::other(format!("{path} has {end}, which ends its element"))),
        None => Ok(text),
    }
}
