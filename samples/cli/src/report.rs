//! The demo's report: one HTML file without anything from outside, with plots as SVG and thumbnails as PNG.

use std::fmt::Write;
use std::io;
use std::path::Path;

use conclave::codecs::{Picture, Plane, Range, Size};

/// What the report shows, top to bottom.
pub struct Report {
    pub title: String,
    pub verdict: String,
    /// Name and value.
    pub summary: Vec<(String, String)>,
    /// Head and rows of the table per stage.
    pub stages: Vec<[String; 4]>,
    /// Cause and count.
    pub drops: Vec<(String, u64)>,
    pub plots: Vec<Plot>,
    /// Caption, captured, shown.
    pub thumbnails: Vec<(String, Picture, Picture)>,
}

/// Lines over time on one pair of axes.
pub struct Plot {
    pub title: String,
    pub unit: &'static str,
    /// Name and `(seconds, value)`.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d232b;--soft:#667085;--line:#d8dde4;--paper:#fbfbfa;--card:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#98a2b3;--line:#343b46;--paper:#14171c;--card:#1b2027}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;max-width:62rem;padding:2rem 1rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p.verdict{color:var(--soft);margin:.3rem 0 1.5rem}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.8rem;margin:0}
dl div,figure,svg{background:var(--card);border:1px solid var(--line);border-radius:.6rem}
dl div{padding:.6rem .8rem}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-size:1.1rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:500;font-size:.85rem}svg{width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1rem}figure{margin:0;padding:.5rem}
figure div{display:flex;gap:.4rem}img{width:50%;border-radius:.3rem}figcaption{color:var(--soft);font-size:.8rem;padding-top:.3rem}";

const COLORS: [&str; 8] = ["#2e7dd1", "#e0803a", "#3a9c6b", "#b8479b", "#8a6fd1", "#c9a227", "#d1504f", "#3aa5b0"];

/// Writes the report.
pub fn write(report: &Report, path: &Path) -> io::Result<()> {
    std::fs::write(path, html(report)?)
}

fn html(report: &Report) -> io::Result<String> {
    let mut out = String::new();
    let title = escape(&report.title);
    out += &format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'><title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p class=verdict>{}</p><dl>",
        escape(&report.verdict)
    );
    for (name, value) in &report.summary {
        out += &format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out += "</dl><h2>Time per stage, milliseconds</h2><table><tr><th>stage<th>p50<th>p95<th>p99</tr>";
    for row in &report.stages {
        let cells = row.each_ref().map(|cell| format!("<td>{}</td>", escape(cell)));
        out += &format!("<tr>{}</tr>", cells.concat());
    }
    out += "</table>";
    for plot in &report.plots {
        out += &format!("<h2>{}</h2>{}", escape(&plot.title), svg(plot));
    }
    out += "<h2>Drops by cause</h2><table><tr><th>cause<th>count</tr>";
    for (cause, count) in &report.drops {
        out += &format!("<tr><td>{}</td><td>{count}</td></tr>", escape(cause));
    }
    out += "</table><h2>Captured and shown</h2><div class=pairs>";
    for (caption, captured, shown) in &report.thumbnails {
        let [left, right] = [png(captured)?, png(shown)?].map(|bytes| base64(&bytes));
        let image = |data: &str, alt: &str| format!("<img alt='{alt}' src='data:image/png;base64,{data}'>");
        out += &format!(
            "<figure><div>{}{}</div><figcaption>{}: captured, shown</figcaption></figure>",
            image(&left, "captured"),
            image(&right, "shown"),
            escape(caption)
        );
    }
    Ok(out + "</div></html>\n")
}

/// Axes with ticks, one polyline a line, and a legend.
fn svg(plot: &Plot) -> String {
    let (width, height, left, bottom) = (900.0, 260.0, 56.0, 230.0);
    let points = || plot.lines.iter().flat_map(|(_, points)| points);
    let t_max = points().map(|p| p.0).fold(1e-3, f64::max);
    let top = nice(points().map(|p| p.1).fold(1e-3, f64::max));
    let (x, y) = (|t: f64| left + t / t_max * (width - left - 20.0), |v: f64| bottom - v / top * (bottom - 34.0));
    let mut out = format!("<svg viewBox='0 0 {width} {height}' role=img aria-label='{}'>", escape(&plot.title));
    for i in 0..=4 {
        let value = top * f64::from(i) / 4.0;
        let _ = write!(
            out,
            "<line x1={left} x2={} y1={y:.1} y2={y:.1} stroke='var(--line)'/><text x={} y={:.1} text-anchor=end>{}</text>",
            width - 20.0,
            left - 6.0,
            y(value) + 4.0,
            number(value),
            y = y(value)
        );
        let time = t_max * f64::from(i) / 4.0;
        let _ = write!(out, "<text x={:.1} y={} text-anchor=middle>{time:.1} s</text>", x(time), bottom + 18.0);
    }
    let _ = write!(out, "<text x={left} y=14>{}</text>", plot.unit);
    let mut legend = left + 70.0;
    for ((name, points), color) in plot.lines.iter().zip(COLORS.iter().cycle()) {
        // A plot is 900 units wide: more points than that only make the file large.
        let step = points.len().div_ceil(900).max(1);
        let path: String = points.iter().step_by(step).map(|(t, v)| format!("{:.1},{:.1} ", x(*t), y(*v))).collect();
        let name = escape(name);
        let _ = write!(
            out,
            "<polyline fill=none stroke='{color}' stroke-width=1.5 points='{path}'><title>{name}</title></polyline><rect x={legend} y=6 width=9 height=9 fill='{color}'/><text x={} y=14>{name}</text>",
            legend + 13.0
        );
        legend += 26.0 + 7.0 * name.len() as f64;
    }
    out + "</svg>"
}

/// The next number with one leading digit of 1, 2, 4 or 8.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|m| m * power).find(|m| *m >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

/// A picture as PNG, at most 480 pixels wide, by dropping samples.
pub fn png(picture: &Picture) -> io::Result<Vec<u8>> {
    let size = picture.size();
    let step = size.width.div_ceil(480).max(1);
    let small = Size::new(size.width.div_ceil(step), size.height.div_ceil(step));
    let (kr, kb) = picture.color.matrix.weights();
    let (kr, kb) = (f64::from(kr) / 1e4, f64::from(kb) / 1e4);
    let (black, luma, chroma) = match picture.color.range {
        Range::Limited => (16.0, 219.0, 224.0),
        Range::Full => (0.0, 255.0, 255.0),
    };
    let mut rgb = Vec::with_capacity(small.area() * 3);
    for row in (0..size.height).step_by(step as usize) {
        for column in (0..size.width).step_by(step as usize) {
            let at = (row * size.width + column) as usize;
            let chroma_at = (row / 2 * size.chroma().width + column / 2) as usize;
            let y = (f64::from(picture.plane(Plane::Y)[at]) - black) / luma;
            let [u, v] = [Plane::U, Plane::V].map(|p| (f64::from(picture.plane(p)[chroma_at]) - 128.0) / chroma);
            let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
            let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
            rgb.extend([r, g, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8));
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, small.width, small.height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(&rgb).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(out)
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = ALPHABET[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { sextet.into() } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn names_from_outside_cannot_break_out_of_the_page() {
        let plot =
            Plot { title: "<b>'\"&".into(), unit: "ms", lines: vec![("</svg>".into(), vec![(0.0, 1.0), (1.0, 3.0)])] };
        let drawn = svg(&plot);
        assert!(!drawn.contains("<b>") && drawn.matches("</svg>").count() == 1, "{drawn}");
    }
}
