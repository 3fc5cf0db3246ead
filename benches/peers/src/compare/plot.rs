//! Draws the ratios of the tables as bars: one picture for each message size, with a panel for each number of
//! connections.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend,
    Text,
};
use plotters::style::TextStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figure::{FIGURES, Figure, connections, ratio as shown, size};
use super::results::{CellResults, Results, ServerResults};

/// The approximate width of a letter.
const LETTER_WIDTH: i32 = 7;
const PANEL_WIDTH: i32 = 200;
/// Room for the figure beside the longest bar.
const FIGURE_WIDTH: i32 = 44;
const ROW_HEIGHT: i32 = 20;
const HEADER_HEIGHT: i32 = 46;
const FOOTER_HEIGHT: i32 = 10;

/// Placeholders for the colours of the style sheet, which has a light and a dark variant.
const INK: RGBColor = RGBColor(0, 0, 1);
const FAINT: RGBColor = RGBColor(0, 0, 2);
const OURS: RGBColor = RGBColor(0, 0, 3);
const THEIRS: RGBColor = RGBColor(0, 0, 4);

const STYLE: &str = "<style>\
    .ink{fill:#1b1f24}.faint{fill:#5a6370;stroke:#5a6370}.ours{fill:#1f5fd0}.theirs{fill:#b9c0ca}\
    @media (prefers-color-scheme:dark){.ink{fill:#e4e7eb}.faint{fill:#a0a8b3;stroke:#a0a8b3}\
    .ours{fill:#7fb0ff}.theirs{fill:#4a525d}}\
    text.faint{stroke:none}</style>";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// All pictures, with the names of their files.
pub fn all(results: &Results) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut pictures = Vec::new();
    for figure in &FIGURES {
        for (bytes, cells) in results.by_size() {
            pictures.push((file(figure, bytes), draw(figure, bytes, &cells)?));
        }
    }
    Ok(pictures)
}

/// The name of the file of a picture.
pub fn file(figure: &Figure, message_bytes: usize) -> String {
    format!("{}-{message_bytes}.svg", figure.name)
}

fn draw(figure: &Figure, bytes: usize, cells: &[&CellResults]) -> Result<String, Box<dyn Error>> {
    let rows = rows(figure, cells);
    let longest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let names_width = LETTER_WIDTH * (longest as i32 + 2);
    let width = names_width + PANEL_WIDTH * cells.len() as i32;
    let height = HEADER_HEIGHT + ROW_HEIGHT * rows.len() as i32 + FOOTER_HEIGHT;
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
        let better = if figure.is_more_better { "longer is better" } else { "shorter is better" };
        let title = format!("{}, {} messages ({better})", figure.title, size(bytes));
        write(&area, &title, (0, 10), HPos::Left, &INK)?;
        for (row, (name, _)) in rows.iter().enumerate() {
            write(&area, name, (names_width - 8, middle(row)), HPos::Right, &INK)?;
        }
        let scale = Scale::of(rows.iter().flat_map(|(_, ratios)| ratios.iter().flatten().copied()));
        for (panel, cell) in cells.iter().enumerate() {
            let left = names_width + PANEL_WIDTH * panel as i32;
            let bars = rows.iter().map(|(name, ratios)| (*name, ratios[panel]));
            draw_panel(&area, left, cell, bars, &scale)?;
        }
        area.present()?;
    }
    Ok(styled(&svg))
}

/// Servers and their ratios in each cell, the best first, without servers that have no ratio.
fn rows<'a>(figure: &Figure, cells: &[&'a CellResults]) -> Vec<(&'a str, Vec<Option<f64>>)> {
    let Some(first) = cells.first() else { return Vec::new() };
    let ratios = |i: usize| {
        let of =
            |cell: &&CellResults| cell.servers.get(i).and_then(|server| server.ratio(figure.of));
        (&*first.servers[i].server, cells.iter().map(of).collect::<Vec<_>>())
    };
    let mut rows: Vec<_> = (0..first.servers.len()).map(ratios).collect();
    rows.retain(|(_, ratios)| ratios.iter().any(Option::is_some));
    // The geometric mean, because these are ratios.
    let mean = |ratios: &[Option<f64>]| {
        let logs: Vec<_> = ratios.iter().flatten().map(|ratio| ratio.ln()).collect();
        logs.iter().sum::<f64>() / logs.len() as f64
    };
    let sign = if figure.is_more_better { -1.0 } else { 1.0 };
    rows.sort_by(|(_, a), (_, b)| (sign * mean(a)).total_cmp(&(sign * mean(b))));
    rows
}

/// A logarithmic scale: one half and double are equally far from 1.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let (least, most) = ratios.fold((0.8, 1.25), |(least, most): (f64, f64), ratio| {
            (least.min(ratio), most.max(ratio))
        });
        Self { least, most }
    }

    fn place(&self, ratio: f64) -> i32 {
        let part = (ratio / self.least).ln() / (self.most / self.least).ln();
        (f64::from(PANEL_WIDTH - 2 * FIGURE_WIDTH) * part) as i32 + FIGURE_WIDTH
    }
}

fn draw_panel<'a>(
    area: &Area<'_>,
    left: i32,
    cell: &CellResults,
    bars: impl Iterator<Item = (&'a str, Option<f64>)>,
    scale: &Scale,
) -> Drawn {
    let one = left + scale.place(1.0);
    write(area, &connections(cell.connections), (one, 34), HPos::Center, &FAINT)?;
    let mut bottom = HEADER_HEIGHT;
    for (row, (name, ratio)) in bars.enumerate() {
        bottom = middle(row) + ROW_HEIGHT / 2;
        let Some(ratio) = ratio else { continue };
        let end = left + scale.place(ratio);
        let colour = if ServerResults::is_ours(name) { OURS } else { THEIRS };
        let corners = [(one.min(end), middle(row) - 7), (one.max(end), middle(row) + 7)];
        area.draw(&Rectangle::new(corners, colour.filled()))?;
        let (beside, side) =
            if ratio < 1.0 { (end - 4, HPos::Right) } else { (end + 4, HPos::Left) };
        write(area, &shown(ratio), (beside, middle(row)), side, &INK)?;
    }
    let line = vec![(one, HEADER_HEIGHT), (one, bottom)];
    Ok(area.draw(&PathElement::new(line, FAINT.stroke_width(1)))?)
}

fn middle(row: usize) -> i32 {
    HEADER_HEIGHT + ROW_HEIGHT * row as i32 + ROW_HEIGHT / 2
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), side: HPos, colour: &RGBColor) -> Drawn {
    let style = TextStyle::from(("sans-serif", 16).into_font()).color(colour);
    Ok(area.draw(&Text::new(text, at, style.pos(Pos::new(side, VPos::Center))))?)
}

/// Replaces the placeholder colours by class names, and adds the style sheet.
fn styled(svg: &str) -> String {
    let mut svg = svg.replace(" opacity=\"1\"", "");
    for (colour, class) in [(INK, "ink"), (FAINT, "faint"), (OURS, "ours"), (THEIRS, "theirs")] {
        let RGBColor(r, g, b) = colour;
        let value = format!("#{r:02X}{g:02X}{b:02X}");
        svg = svg
            .replace(&format!("fill=\"{value}\" stroke=\"none\""), &format!("class=\"{class}\""))
            .replace(
                &format!("fill=\"none\" stroke=\"{value}\""),
                &format!("fill=\"none\" class=\"{class}\""),
            )
            .replace(&format!("fill=\"{value}\""), &format!("class=\"{class}\""));
    }
    svg.replacen(">\n", &format!(">\n{STYLE}\n"), 1)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    /// The texts of a picture, in their order.
    fn words(svg: &str) -> Vec<&str> {
        svg.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('<'))
            .collect()
    }

    #[test]
    fn each_figure_has_a_picture_with_the_best_on_top() {
        let pictures = all(&results()).unwrap();
        let names: Vec<_> = pictures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cpu-64.svg", "rate-64.svg"]);
        let rest = [
            "resound",
            "slow", // The reference is the line.
            "1 connection",
            "1.25",
            "0.50",
            "50 connections",
            "1.25",
        ];
        assert_eq!(words(&pictures[1].1)[1..], rest);
        assert_eq!(
            words(&pictures[0].1)[1..3],
            ["resound", "slow"],
            "a smaller ratio is better here"
        );
    }

    #[test]
    fn colours_are_left_to_the_style_sheet() {
        for (name, svg) in all(&results()).unwrap() {
            let (style, drawing) = svg.split_once("</style>").unwrap();
            assert!(
                style.contains("prefers-color-scheme:dark") && !drawing.contains('#'),
                "{name}"
            );
            assert_eq!(
                drawing.matches("class=\"ours\"").count(),
                2,
                "one bar in each panel: {name}"
            );
        }
    }
}
