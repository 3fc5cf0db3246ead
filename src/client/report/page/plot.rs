//! Plots of lines, as SVG.
//!
//! Lines have classes instead of colours. The page's style sheet gives each class a colour for a light and for
//! a dark page.

use std::io;

use maud::{Markup, PreEscaped, html};
use plotters::prelude::{
    ChartBuilder, Circle, Color, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, LineSeries,
    RGBColor, SVGBackend,
};
use plotters::style::{ShapeStyle, TextStyle};

use super::scale::Axis;

/// The number of styles that a reader can distinguish.
pub const STYLES: u8 = 6;

/// Plotters has integer coordinates only. This many to a pixel make lines smooth.
const SCALE: u32 = 4;
const SIZE: (u32, u32) = (460 * SCALE, 285 * SCALE);
const FONT_SIZE: f64 = 17.0 * SCALE as f64;

/// A placeholder for the colour of the page's text.
const INK: RGBColor = RGBColor(0, 0, 0);

/// A line through points, in one of the [styles](STYLES), which count from 1.
pub struct Line {
    pub style: u8,
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines. If it cannot be drawn, a sentence that says why.
pub fn svg(title: &str, x: Axis, y: Axis, lines: &[Line]) -> Markup {
    let mut svg = String::new();
    match draw(&mut svg, x, y, lines) {
        Ok(()) => PreEscaped(styled(&svg, title)),
        Err(e) => html! { p { "There is no plot: " (e) } },
    }
}

fn draw(
    svg: &mut String,
    x: Axis,
    y: Axis,
    lines: &[Line],
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(10 * SCALE)
        .margin_right(28 * SCALE)
        .x_label_area_size(30 * SCALE)
        .y_label_area_size(66 * SCALE)
        .build_cartesian_2d(x, y)?;
    let font = TextStyle::from(("sans-serif", FONT_SIZE).into_font()).color(&INK);
    chart
        .configure_mesh()
        .label_style(font)
        .axis_style(INK.mix(0.5).stroke_width(SCALE))
        .bold_line_style(INK.mix(0.15).stroke_width(SCALE))
        .set_all_tick_mark_size(4 * SCALE)
        .draw()?;
    for line in lines {
        let style: ShapeStyle = RGBColor(0, 0, line.style).stroke_width(2 * SCALE);
        let points = line.points.iter().copied();
        match &line.points[..] {
            // A line through one point is invisible, so draw a dot. A dot over another is smaller, to show both.
            [_] => {
                let radius = 6 * SCALE - u32::from(line.style - 1) % 3 * 2 * SCALE;
                let dot = |point| Circle::new(point, radius, style.filled());
                chart.draw_series(points.map(dot))?;
            }
            _ => {
                chart.draw_series(LineSeries::new(points, style))?;
            }
        }
    }
    drop(chart);
    area.present()
}

/// Replaces colours with classes, and the fixed size with the width that the page gives it.
fn styled(svg: &str, title: &str) -> String {
    let (width, height) = SIZE;
    let fixed = format!("<svg width=\"{width}\" height=\"{height}\"");
    let free = format!("<svg role=\"img\" aria-label=\"{title}\"");
    let mut svg = svg
        .replacen(&fixed, &free, 1)
        .replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
        .replace("\"#000000\"", "\"currentColor\"")
        .replace(" opacity=\"1\"", "");
    for style in 1..=STYLES {
        svg = svg
            .replace(&format!("stroke=\"#{style:06X}\""), &format!("class=\"line{style}\""))
            .replace(&format!("fill=\"#{style:06X}\""), &format!("class=\"dot{style}\""));
    }
    svg
}
