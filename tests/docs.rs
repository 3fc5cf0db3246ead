//! The documents name files, tests and headings that exist, the code map names every file of `src/`, and the source
//! keeps to what they say of its order and its size.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "support/blocks.rs"]
mod blocks;
#[path = "docs/guide.rs"]
mod guide;
#[path = "docs/operations.rs"]
mod operations;
#[path = "docs/traces.rs"]
mod traces;

/// A path in a document begins with one of these.
const FOLDERS: [&str; 12] = [
    "src/",
    "tests/",
    "examples/",
    "benches/",
    "fuzz/",
    "playground/",
    "docs/",
    "deploy/",
    "ci/",
    ".ci/",
    ".cargo/",
    ".github/",
];

/// One document, and what it says outside of its code blocks.
struct Document {
    /// From the root of the repository.
    path: PathBuf,
    text: String,
}

impl Document {
    fn read(path: &Path) -> Self {
        let mut is_code = false;
        let prose = |line: &&str| {
            let is_fence = line.trim_start_matches(['>', ' ']).starts_with("```");
            is_code ^= is_fence;
            !is_fence && !is_code
        };
        let text = fs::read_to_string(root().join(path)).expect("the document can be read");
        let text = text.lines().filter(prose).map(|line| format!("{line}\n")).collect();
        Self { path: path.into(), text }
    }

    /// The targets of its links that are files or headings of this repository.
    fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target).filter(|target| !target.contains("://"))
    }

    /// What stands between backticks, and the text from there to the next.
    fn code(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts: Vec<_> = self.text.split('`').collect();
        (1..parts.len())
            .step_by(2)
            .map(move |i| (parts[i], parts.get(i + 1).copied().unwrap_or("")))
    }

    /// The paths that it names as code.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let words = self.code().flat_map(|(code, _)| code.split([' ', ',']));
        let words = words.map(|word| word.strip_prefix("./").unwrap_or(word));
        words.filter(|word| {
            FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '…', '{'])
        })
    }

    /// The names that it finds in a source file: "`name` in `path`".
    fn names(&self) -> Vec<(&str, &str)> {
        let code: Vec<_> = self.code().collect();
        let pairs = code.windows(2).filter(|pair| pair[0].1 == " in ");
        let pairs = pairs.map(|pair| (pair[0].0, pair[1].0));
        pairs.filter(|(name, path)| is_name(name) && !is_test(name) && is_source(path)).collect()
    }

    /// The tests that it names, and the next path in the same line: "`test`, `test` in `path`".
    fn tests(&self) -> Vec<(&str, Option<&str>)> {
        let mut tests = Vec::new();
        for line in self.text.lines() {
            let mut code: Vec<_> = line.split('`').skip(1).step_by(2).collect();
            let mut path = None;
            while let Some(code) = code.pop() {
                if is_source(code) {
                    path = Some(code);
                } else if is_test(code) {
                    tests.push((code, path));
                }
            }
        }
        tests
    }

    /// The anchors of its headings, as the usual hosts make them.
    fn anchors(&self) -> impl Iterator<Item = String> {
        let headings = self.text.lines().filter_map(|line| line.strip_prefix('#'));
        headings.map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
    }
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Whether code is a name, or a path of names.
fn is_name(code: &str) -> bool {
    code.chars().all(|c| c.is_alphanumeric() || "_:".contains(c))
}

fn is_source(code: &str) -> bool {
    code.ends_with(".rs") && code.contains('/') && !code.contains('*')
}

/// Whether code is the name of a test: a sentence in lower case.
fn is_test(code: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !code.starts_with('_') && code.chars().all(is_allowed) && code.matches('_').count() >= 3
}

/// The files below a folder whose names end with `extension`, from the root of the repository.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let (path, name) = (entry.path(), Path::new(folder).join(entry.file_name()));
        if path.is_dir() {
            files.extend(self::files(&name.display().to_string(), extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(name);
        }
    }
    files.sort();
    files
}

fn documents() -> Vec<Document> {
    let top = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"];
    let top = top.map(|name| PathBuf::from(format!("{name}.md")));
    top.into_iter().chain(files("docs", "md")).map(|path| Document::read(&path)).collect()
}

/// Fails with all of the faults at once.
#[track_caller]
fn expect_none(faults: impl Iterator<Item = String>) {
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_file_that_a_document_names_exists() {
    let documents = documents();
    let named = documents.iter().flat_map(|document| {
        let missing = document.paths().filter(|path| !root().join(path).exists());
        missing.map(|path| format!("{}: {path}", document.path.display()))
    });
    expect_none(named);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let is_broken = |document: &Document, link: &str| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = document.path.parent().unwrap();
        let target = if file.is_empty() { document.path.clone() } else { folder.join(file) };
        !root().join(&target).exists()
            || !anchor.is_empty() && !Document::read(&target).anchors().any(|a| a == anchor)
    };
    let documents = documents();
    let broken = documents.iter().flat_map(|document| {
        let broken = document.links().filter(|link| is_broken(document, link));
        broken.map(|link| format!("{}: {link}", document.path.display()))
    });
    expect_none(broken);
}

/// For `Type::name`, the file must define or use both.
#[test]
fn every_name_that_a_document_finds_in_a_file_is_there() {
    let is_missing = |name: &str, path: &str| {
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        name.split("::").any(|part| !words.contains(&part))
    };
    let documents = documents();
    let missing = documents.iter().flat_map(|document| {
        let names = document.names().into_iter();
        let missing = names.filter(|(name, path)| is_missing(name, path));
        missing.map(|(name, path)| format!("{}: {name} in {path}", document.path.display()))
    });
    expect_none(missing);
}

/// The pages about JSON and metrics have names that look like those of tests.
#[test]
fn every_test_that_a_document_names_is_in_the_file_that_it_names() {
    let is_missing = |test: &str, path: Option<&str>| {
        let source = path.and_then(|path| fs::read_to_string(root().join(path)).ok());
        !source.is_some_and(|source| source.contains(&format!("fn {test}(")))
    };
    let has_other_names = |document: &Document| {
        ["-json.md", "operations.md"]
            .iter()
            .any(|end| document.path.to_string_lossy().ends_with(end))
    };
    let documents = documents();
    let missing =
        documents.iter().filter(|document| !has_other_names(document)).flat_map(|document| {
            let tests = document.tests().into_iter();
            let missing = tests.filter(|(test, path)| is_missing(test, *path));
            missing.map(|(test, path)| format!("{}: {test} in {path:?}", document.path.display()))
        });
    expect_none(missing);
}

fn code_map() -> Document {
    let architecture = Document::read(Path::new("ARCHITECTURE.md"));
    let (_, map) = architecture.text.split_once("\n## Code map\n").unwrap();
    Document { path: architecture.path, text: map.split("\n## ").next().unwrap().to_owned() }
}

/// A file is named itself, or by its folder; `src/` alone would name everything, and so nothing.
#[test]
fn the_code_map_names_every_file_of_the_source() {
    let map = code_map();
    let named: Vec<_> = map.paths().filter(|path| *path != "src/").collect();
    let is_named = |file: &PathBuf| {
        let folders = file.ancestors().skip(1).map(|folder| format!("{}/", folder.display()));
        let is_test = file.iter().any(|part| part == "tests" || part == "tests.rs");
        is_test || folders.chain([file.display().to_string()]).any(|path| named.contains(&&*path))
    };
    let source = files("src", "rs").into_iter();
    expect_none(source.filter(|file| !is_named(file)).map(|file| file.display().to_string()));
}

/// A file of the program without its tests, line by line.
struct Source {
    path: PathBuf,
    /// From the root of the crate: `client`, `dial`, `race`.
    module: Vec<String>,
    lines: Vec<String>,
}

impl Source {
    fn all() -> Vec<Self> {
        let is_test =
            |file: &PathBuf| file.iter().any(|part| part == "tests" || part == "tests.rs");
        files("src", "rs").into_iter().filter(|file| !is_test(file)).map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let module = path.with_extension("");
        let module = module.iter().skip(1).map(|name| name.to_string_lossy().into_owned());
        let module = module.filter(|name| name != "lib" && name != "main").collect();
        let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        Self { path, module, lines: text.lines().map(str::to_owned).collect() }
    }

    /// Whether it is the program's main file. It is a crate of its own, which has no parts.
    fn is_main(&self) -> bool {
        self.path.ends_with("main.rs")
    }

    /// The parts that it lists.
    fn parts(&self) -> Vec<&str> {
        let items = self.lines.iter().filter_map(|line| line.strip_suffix(';'));
        let is_visibility = |before: &str| before.is_empty() || before.starts_with("pub");
        let parts = items.filter_map(|item| item.split_once("mod "));
        parts.filter(|(before, _)| is_visibility(before)).map(|(_, name)| name).collect()
    }

    /// The paths in its code that start with `crate` or `super`, from the root of the crate.
    fn paths(&self) -> Vec<Vec<String>> {
        let code = self.lines.iter().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.map(|line| format!("{line}\n")).collect();
        let starts = ["crate::", "super::"].map(|start| code.match_indices(start));
        let starts = starts.into_iter().flatten().map(|(at, _)| at);
        let starts = starts.filter(|at| !code[..*at].ends_with("::"));
        starts.flat_map(|at| expand(&code[at..])).map(|path| self.absolute(&path)).collect()
    }

    fn absolute(&self, path: &str) -> Vec<String> {
        let mut names = self.module.clone();
        for name in path.split("::") {
            match name {
                "crate" => names.clear(),
                "super" => drop(names.pop()),
                name => names.push(name.to_owned()),
            }
        }
        names
    }

    /// The line where each function starts, and how many lines it has.
    fn functions(&self) -> Vec<(usize, usize)> {
        let is_head = |line: &str| {
            let visibility = ["", "pub ", "pub(super) ", "pub(crate) "];
            let rest = visibility.iter().filter_map(|it| line.trim_start().strip_prefix(it));
            rest.into_iter().any(|rest| rest.starts_with("fn ") || rest.starts_with("const fn "))
        };
        let heads = self.lines.iter().enumerate().filter(|(_, line)| is_head(line));
        heads.map(|(at, _)| (at + 1, self.function_len(at))).collect()
    }

    /// How many lines the function at `at` has: up to the first line that is indented like its head and ends it.
    fn function_len(&self, at: usize) -> usize {
        let head = &self.lines[at];
        let indent = &head[..head.len() - head.trim_start().len()];
        let is_end = |line: &String| {
            let rest = line.strip_prefix(indent).unwrap_or("");
            rest.starts_with(['f', 'c', 'p', '}', ')']) && rest.ends_with([';', '}'])
        };
        1 + self.lines[at..].iter().position(is_end).expect("a function ends")
    }
}

/// The paths that the start of a text stands for: `a::{b, c::d}` stands for `a::b` and `a::c::d`.
fn expand(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let Some(group) = rest.strip_prefix('{').filter(|_| path.ends_with("::")) else {
        return vec![path.to_owned()];
    };
    let (mut depth, mut items) = (0, vec![0]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(at + 1),
            _ => {}
        }
    }
    let items = items.into_iter().flat_map(|at| expand(group[at..].trim_start()));
    items.map(|item| format!("{path}{item}")).collect()
}

#[test]
fn groups_of_paths_are_expanded() {
    let expected = ["a::b", "a::c::d", "a::c::e::f", "a::g"];
    assert_eq!(expand("a::{b, c::{d, e::f},\n    g};\nuse h;"), expected);
    assert_eq!(expand("a::b::c(d)"), ["a::b::c"]);
}

/// As the architecture says: each file lists its parts in reading order. Failed to notice `super::`, groups and parts.
#[test]
fn each_module_knows_only_those_above_it() {
    let sources = Source::all();
    let files = sources.iter().filter(|source| !source.is_main());
    let parts: HashMap<_, _> = files.map(|file| (&file.module[..], file.parts())).collect();
    let mut known = 0;
    let mut faults = Vec::new();
    for source in &sources {
        for path in source.paths() {
            let shared = source.module.iter().zip(&path).take_while(|(a, b)| a == b).count();
            let place = |path: &[String]| {
                let name = path.get(shared)?;
                parts[&source.module[..shared]].iter().position(|part| part == name)
            };
            if let (Some(own), Some(other)) = (place(&source.module), place(&path)) {
                known += 1;
                if own < other {
                    faults.push(format!("{} knows {}", source.path.display(), path.join("::")));
                }
            }
        }
    }
    assert!(known > 300, "only {known} uses of other modules were found");
    expect_none(faults.into_iter());
}

/// The files below a module in reading order: the module itself, then its parts.
fn in_reading_order<'a>(sources: &'a [Source], module: &[String]) -> Vec<&'a Path> {
    let found = sources.iter().find(|source| source.module == module && !source.is_main());
    // A part without a file of its own is for tests.
    let Some(source) = found else { return Vec::new() };
    let parts = source.parts().into_iter().map(|part| [module, &[part.to_owned()]].concat());
    let below = parts.flat_map(|part| in_reading_order(sources, &part));
    [&*source.path].into_iter().chain(below).collect()
}

/// Failed when the rows of the server and of `net` stood in another order than their modules.
#[test]
fn the_code_map_is_in_reading_order() {
    let sources = Source::all();
    let order = in_reading_order(&sources, &[]);
    let map = code_map();
    let place = |path: &&str| order.iter().position(|file| *file == Path::new(path));
    let rows: Vec<_> = map.paths().filter_map(|path| Some((place(&path)?, path))).collect();
    assert!(rows.len() > 40, "only {} files were found", rows.len());
    let wrong = rows.windows(2).filter(|pair| pair[0].0 >= pair[1].0);
    expect_none(wrong.map(|pair| format!("{} stands before {}", pair[0].1, pair[1].1)));
}

/// As CONTRIBUTING.md says.
#[test]
fn files_and_functions_stay_short() {
    const MAX_FILE_LINES: usize = 350;
    const MAX_FUNCTION_LINES: usize = 40;
    let mut functions = 0;
    let mut faults = Vec::new();
    for source in Source::all() {
        let (path, lines) = (source.path.display(), source.lines.len());
        if lines > MAX_FILE_LINES {
            faults.push(format!("{path} has {lines} lines"));
        }
        for (line, len) in source.functions() {
            functions += 1;
            if len > MAX_FUNCTION_LINES {
                faults.push(format!("{path}:{line} has {len} lines"));
            }
        }
    }
    assert!(functions > 1000, "only {functions} functions were found");
    expect_none(faults.into_iter());
}

#[test]
fn every_recipe_that_a_document_names_is_in_the_justfile() {
    let justfile = fs::read_to_string(root().join("justfile")).unwrap();
    let is_recipe = |name: &str| {
        let head = justfile.lines().find_map(|line| line.strip_prefix(name));
        head.is_some_and(|rest| rest.starts_with([':', ' ']))
    };
    let documents = documents();
    let unknown = documents.iter().flat_map(|document| {
        let commands = document.code().filter_map(|(code, _)| code.strip_prefix("just "));
        let names = commands.filter_map(|command| command.split(' ').next());
        let unknown = names.filter(|name| !is_recipe(name));
        unknown.map(|name| format!("{}: just {name}", document.path.display()))
    });
    expect_none(unknown);
}

/// The tables of options begin with the command: "| `resound serve` | default | |".
#[test]
fn every_option_in_the_tables_of_the_readme_is_one_of_its_command() {
    let readme = Document::read(Path::new("README.md"));
    let tables = readme.text.split("\n| `resound ").skip(1);
    let unknown = tables.flat_map(|table| {
        let (head, rows) = table.split_once('\n').unwrap();
        let command = head.split([' ', '`']).next().unwrap();
        let help = help(command);
        let known: Vec<_> = help.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
        let rows = rows.lines().take_while(|row| row.starts_with('|'));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        let words = cells.flat_map(|cell| cell.split(['`', ' ', ',', ';']));
        let options = words.filter(|word| word.starts_with("--") && !known.contains(word));
        options.map(|option| format!("{command} {option}")).collect::<Vec<_>>()
    });
    expect_none(unknown);
}

fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_resound")).args([command, "--help"]).output();
    String::from_utf8(output.expect("the program runs").stdout).expect("help is text")
}
