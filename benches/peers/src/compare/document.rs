//! Writes the results as a page of Markdown.

use std::fmt::Write;

use super::figure::{FIGURES, Figure, connections, mebibytes, ratio, size, thousands, time};
use super::plot::file;
use super::results::{CellResults, Generated, Results, Server, ServerResults, Start, median};

const INTRODUCTION: &str = include_str!("introduction.md");
const METHOD: &str = include_str!("method.md");

/// The whole page.
pub fn markdown(results: &Results) -> String {
    let mut parts = vec![INTRODUCTION.to_string(), servers(results)];
    for (bytes, cells) in results.by_size() {
        parts.push(format!("## {} messages\n", size(bytes)));
        for figure in &FIGURES {
            let title = figure.title;
            parts.push(format!("![{title}](benchmarks/{})\n", file(figure, bytes)));
            parts.push(format!("{title}:\n\n{}", table_of_cells(&cells, figure)));
        }
        parts.push(missing(&cells));
    }
    parts.extend([starts(&results.starts), generators(results), machine(results), METHOD.into()]);
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn servers(results: &Results) -> String {
    let mut text = String::new();
    for Server { name, runtime } in &results.servers {
        let _ = writeln!(text, "- {name}: {runtime}");
    }
    for (name, why) in &results.left_out {
        let _ = writeln!(text, "- not available: {name} ({why})");
    }
    text
}

/// A row for each server, and a column for each number of connections. The reference's row shows its figures
/// themselves, and the others their ratios to it.
fn table_of_cells(cells: &[&CellResults], figure: &Figure) -> String {
    let names = cells.iter().map(|cell| connections(cell.connections));
    let head: Vec<_> = ["server".to_string()].into_iter().chain(names).collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let Some(first) = cells.first() else { return String::new() };
    let row = |i: usize| {
        let name = &first.servers[i].server;
        let bold = if ServerResults::is_ours(name) { "**" } else { "" };
        let cell = |cell: &&CellResults| {
            let shown = cell.servers[i].ratio(figure.of).map_or("–".into(), ratio);
            format!("{bold}{shown}{bold}")
        };
        [format!("{bold}{name}{bold}")].into_iter().chain(cells.iter().map(cell)).collect()
    };
    let of_reference =
        |cell: &&CellResults| cell.reference(figure.of).map_or("–".into(), figure.shown);
    let reference = cells.iter().map(of_reference);
    let reference = ["reference (absolute)".to_string()].into_iter().chain(reference).collect();
    let rows = (1..first.servers.len()).map(row);
    table(&head, [reference].into_iter().chain(rows))
}

/// Lists the servers that have no figures, with the reason.
fn missing(cells: &[&CellResults]) -> String {
    let mut text = String::new();
    for cell in cells {
        for ServerResults { server, trouble, pairs } in &cell.servers {
            let Some(trouble) = trouble else { continue };
            let more = if pairs.is_empty() { "" } else { ", in some rounds" };
            let connections = connections(cell.connections);
            let _ = writeln!(text, "- {server}, {connections}{more}: {trouble}");
        }
    }
    if text.is_empty() { text } else { format!("No figures:\n\n{text}") }
}

fn starts(starts: &[Start]) -> String {
    let Some(first) = starts.first() else { return String::new() };
    let rows = starts.iter().map(|start| {
        let crowd = start.resident_with_crowd_kib.map_or("–".into(), mebibytes);
        let seconds = median(start.seconds.iter().copied()).map_or("–".into(), time);
        vec![start.server.clone(), seconds, mebibytes(start.resident_kib), crowd]
    });
    let crowd = format!("resident, {} idle", thousands(first.crowd as f64));
    let head = ["server", "to listening", "resident", &crowd];
    format!(
        "## Start and memory\n\nThe time from just before the process is created until it reports where it \
         listens (the median of {} starts), and the resident memory then and with {} idle connections.\n\n{}",
        first.seconds.len(),
        thousands(first.crowd as f64),
        table(&head, rows)
    )
}

fn generators(results: &Results) -> String {
    if results.generators.is_empty() {
        return String::new();
    }
    let rows = results.generators.iter().map(|generator| {
        let of = |i: usize, of: fn(&Generated) -> f64| {
            median(generator.rounds.iter().map(|pair| of(&pair[i]))).unwrap_or_default()
        };
        let ratio_of = |of: fn(&Generated) -> f64| {
            median(generator.rounds.iter().map(|[c, resound]| of(resound) / of(c)))
                .map_or("–".into(), ratio)
        };
        vec![
            format!("{}, {}", connections(generator.connections), size(generator.message_bytes)),
            format!("{} /s", thousands(of(0, |g| g.messages_per_second))),
            time(of(0, |g| g.cpu_seconds_per_message)),
            ratio_of(|g| g.messages_per_second),
            ratio_of(|g| g.cpu_seconds_per_message),
        ]
    });
    let head = [
        "load",
        "C, rate",
        "C, processor time",
        "resound load, rate",
        "resound load, processor time",
    ];
    format!(
        "## Generators\n\n`resound load` compared with a minimal C program that sends, receives and compares. Both \
         load the reference, one right after the other. The table shows the C generator's rate and the \
         processor time that it takes itself for a message, and `resound load`'s as multiples of them.\n\n{}",
        table(&head, rows)
    )
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let versions = machine.versions.iter().map(|(name, said)| format!("- {name}: {said}\n"));
    format!(
        "## Machine\n\n- processor: {} ({} of them)\n- kernel: Linux {}\n{}- {} rounds of {} each, or longer, so that each connection gets some echoes\n\
         - command: `resound-peers {}`\n",
        machine.cpu,
        machine.logical_cpus,
        machine.kernel,
        versions.collect::<String>(),
        results.settings.rounds,
        time(results.settings.seconds),
        results.settings.arguments.join(" ")
    )
}

/// A table whose first column holds names, and the others figures.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rule = (1..head.len()).map(|_| "---:".to_string());
    let rule = ["---".to_string()].into_iter().chain(rule).collect();
    let head = head.iter().map(|&name| name.into()).collect();
    let lines = [head, rule].into_iter().chain(rows);
    lines.map(|cells: Vec<String>| format!("| {} |\n", cells.join(" | "))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn each_size_has_a_table_of_ratios() {
        let document = markdown(&results());
        let expected = "\
| server | 1 connection | 50 connections |
| --- | ---: | ---: |
| reference (absolute) | 100 /s | 5,050 /s |
| slow | 0.50 | – |
| **resound** | **1.25** | **1.25** |
";
        assert!(document.contains(expected), "{document}");
        assert!(
            document.contains(
                "![Echoes per second, relative to the reference](benchmarks/rate-64.svg)"
            )
        );
        assert!(document.contains("- slow, 50 connections: it handles up to 1 connection here\n"));
        assert!(document.contains("- not available: node (there is no node)\n"));
    }

    #[test]
    fn a_table_has_names_on_the_left_and_figures_on_the_right() {
        let rows = [vec!["a".to_string(), "1".to_string()]].into_iter();
        assert_eq!(
            table(&["server", "ratio"], rows),
            "| server | ratio |\n| --- | ---: |\n| a | 1 |\n"
        );
    }
}
