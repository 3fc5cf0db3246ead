//! The fenced blocks of a Markdown document.

/// One block, and where it stands.
pub struct Block {
    /// What stands behind the opening fence: `rust`, `console`.
    pub language: String,
    /// The lines between the fences, without the indent or the `>` of what they stand in.
    pub lines: Vec<String>,
    /// The line of the opening fence, from 1.
    pub line: usize,
    /// The target of the last link to a Rust file above it.
    pub source: Option<String>,
}

/// All blocks of a document, from top to bottom.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut source) = (Vec::new(), None::<(Block, String)>, None);
    for (at, line) in markdown.lines().enumerate() {
        let content = line.trim_start_matches(['>', ' ']);
        let margin = &line[..line.len() - content.len()];
        match (content.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some(language), None) => {
                let (language, source) = (language.to_owned(), source.clone());
                let block = Block { language, lines: Vec::new(), line: at + 1, source };
                open = Some((block, margin.to_owned()));
            }
            (None, Some((block, margin))) => {
                let line = line.strip_prefix(margin.as_str()).unwrap_or(content);
                block.lines.push(line.to_owned());
            }
            (None, None) => source = linked_source(line).or(source),
        }
    }
    blocks
}

/// The target of the last link to a Rust file in a line.
fn linked_source(line: &str) -> Option<String> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| target.ends_with(".rs")).last()
}
