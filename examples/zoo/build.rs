//! Mends each server with the diff beside it, for `--mended`: `src/NAME.rs` and `src/NAME.diff` become a module `NAME`
//! in `mended.rs`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut modules = String::new();
    for entry in fs::read_dir("src")? {
        let diff = entry?.path();
        if diff.extension().is_some_and(|extension| extension == "diff") {
            let name = diff.file_stem().unwrap_or_default().display().to_string();
            let mended = out.join(&name).with_extension("rs");
            let text = mend(&diff).map_err(|e| format!("examples/zoo/{}: {e}", diff.display()))?;
            fs::write(&mended, text)?;
            modules += &format!("#[path = {mended:?}]\npub mod {name};\n");
        }
    }
    fs::write(out.join("mended.rs"), modules)?;
    Ok(())
}

/// The text of the source that lies beside a diff, with the diff applied.
fn mend(diff: &Path) -> Result<String, Box<dyn Error>> {
    let source = fs::read_to_string(diff.with_extension("rs"))?;
    Ok(apply(&source, &fs::read_to_string(diff)?)?)
}

/// Applies a unified diff whose line numbers and lines must be exactly those of the source.
fn apply(source: &str, diff: &str) -> Result<String, String> {
    let (mut rest, mut result) = (source.lines().enumerate().peekable(), String::new());
    let mut push = |line: &str| result += &format!("{line}\n");
    for (at, line) in diff.lines().enumerate().skip(2) {
        let wrong = |what: &str| format!("line {}: {what}: {line:?}", at + 1);
        if let Some(hunk) = line.strip_prefix("@@ -") {
            let start = hunk.split([',', ' ']).next().and_then(|start| start.parse().ok());
            let start: usize = start.ok_or_else(|| wrong("no line number"))?;
            while let Some((_, line)) = rest.next_if(|(at, _)| at + 1 < start) {
                push(line);
            }
        } else if let Some(added) = line.strip_prefix('+') {
            push(added);
        } else {
            let kept = line.strip_prefix(' ');
            let expected = kept.or(line.strip_prefix('-')).ok_or_else(|| wrong("no mark"))?;
            rest.next_if(|(_, found)| *found == expected)
                .ok_or_else(|| wrong("the source has another line here"))?;
            kept.into_iter().for_each(&mut push);
        }
    }
    rest.for_each(|(_, line)| push(line));
    Ok(result)
}
