//! The report of a run: one HTML file that carries everything it shows, in light and in dark, on a wide screen and on
//! a telephone. It loads nothing and runs no script.

mod plot;
mod protection;
mod thumb;

use std::fmt::Write;
use std::path::Path;

pub use plot::{Plot, Scale, Series};
pub use protection::Protection;
pub use thumb::png;

/// What the report shows, top to bottom. A part that is empty is left out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// What came of it, a sentence each.
    pub verdicts: Vec<Verdict>,
    /// How it was protected, where it was.
    pub protection: Option<Protection>,
    /// The few figures to read first.
    pub figures: Vec<Figure>,
    /// Time per stage.
    pub stages: Vec<Stage>,
    /// Rows of text and figures.
    pub sheets: Vec<Sheet>,
    /// Curves over time.
    pub plots: Vec<Plot>,
    /// What was dropped, by cause.
    pub drops: Vec<(String, u64)>,
    /// Frames as sent and as received.
    pub thumbnails: Vec<Thumbnail>,
    /// What the run was given, name and value.
    pub parameters: Vec<(String, String)>,
}

/// One sentence of the verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How it is to be taken.
    pub mood: Mood,
    /// The sentence.
    pub text: String,
}

/// How a verdict is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Good,
    /// Worth a look.
    Fair,
    /// Not as it should be.
    Bad,
}

/// A figure with its name.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The value, with its unit.
    pub value: String,
    /// A few words to judge it by; may be empty.
    pub note: String,
}

/// Percentiles of one stage, in microseconds.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Half of the frames took no longer.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

/// A table under a heading, and lines of name and value below it.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// The heading.
    pub title: String,
    /// What the rows are about.
    pub note: String,
    /// Heads of the columns.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Name and value.
    pub facts: Vec<(String, String)>,
}

/// One moment, before and after.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// Which moment.
    pub caption: String,
    /// PNG of what was sent.
    pub sent: Vec<u8>,
    /// PNG of what was received; `None` where the frame never arrived.
    pub received: Option<Vec<u8>>,
}

impl Report {
    /// Writes the page to `path`.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, self.html())
    }

    /// The page.
    pub fn html(&self) -> String {
        let mut page = String::with_capacity(64 * 1024);
        let title = escape(&self.title);
        page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
        page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
        page += "<meta name=\"color-scheme\" content=\"light dark\">\n";
        put(&mut page, format_args!("<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"));
        put(&mut page, format_args!("<header>\n<h1>{title}</h1>\n"));
        for verdict in &self.verdicts {
            let (class, sign) = match verdict.mood {
                Mood::Good => ("good", "✓"),
                Mood::Fair => ("fair", "!"),
                Mood::Bad => ("bad", "✕"),
            };
            let text = escape(&verdict.text);
            put(&mut page, format_args!("<p class=\"verdict {class}\"><b>{sign}</b><span>{text}</span></p>\n"));
        }
        page += "</header>\n";
        self.protection.iter().for_each(|protection| protection.write(&mut page));
        self.figures(&mut page);
        self.thumbnails(&mut page);
        self.stages(&mut page);
        self.sheets.iter().for_each(|sheet| sheet.write(&mut page));
        for plot in &self.plots {
            plot.write(&mut page);
        }
        self.drops(&mut page);
        self.parameters(&mut page);
        page += "</main>\n</body>\n</html>\n";
        page
    }

    fn figures(&self, page: &mut String) {
        if self.figures.is_empty() {
            return;
        }
        page.push_str("<section>\n<dl class=\"figures\">\n");
        for figure in &self.figures {
            let (name, value, note) = (escape(&figure.name), escape(&figure.value), escape(&figure.note));
            put(page, format_args!("<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n"));
        }
        page.push_str("</dl>\n</section>\n");
    }

    fn stages(&self, page: &mut String) {
        if self.stages.is_empty() {
            return;
        }
        let top = self.stages.iter().map(|s| s.p99).filter(|v| v.is_finite()).fold(10.0f64, f64::max);
        // A logarithmic bar from one microsecond on: stages lie four orders of magnitude apart.
        let at = |us: f64| if us.is_finite() { (us.max(1.0).ln() / top.ln() * 100.0).clamp(0.0, 100.0) } else { 0.0 };
        page.push_str(
            "<section>\n<h2>Time per stage</h2>\n<div class=\"scroll\"><table class=\"stages\">\n<thead><tr>",
        );
        page.push_str("<th>Stage</th><th class=\"bar\">p50 to p99, logarithmic</th>");
        page.push_str("<th>p50</th><th>p95</th><th>p99</th></tr></thead>\n<tbody>\n");
        for stage in &self.stages {
            let (name, p) = (escape(&stage.name), [stage.p50, stage.p95, stage.p99]);
            let [a, b, c] = p.map(at);
            let [p50, p95, p99] = p.map(duration);
            put(page, format_args!("<tr title=\"{name}: {p50}, {p95}, {p99}\"><td>{name}</td><td class=\"bar\"><i>"));
            put(page, format_args!("<i class=\"far\" style=\"left:{a:.1}%;width:{:.1}%\"></i>", (c - a).max(0.6)));
            put(page, format_args!("<i class=\"near\" style=\"left:{a:.1}%;width:{:.1}%\"></i>", (b - a).max(0.6)));
            put(page, format_args!("<i class=\"mid\" style=\"left:{a:.1}%\"></i></i></td>"));
            put(page, format_args!("<td>{p50}</td><td>{p95}</td><td>{p99}</td></tr>\n"));
        }
        page.push_str("</tbody>\n</table></div>\n</section>\n");
    }

    fn drops(&self, page: &mut String) {
        page.push_str("<section>\n<h2>Drops</h2>\n");
        let most = self.drops.iter().map(|d| d.1).max().unwrap_or(0);
        if most == 0 {
            page.push_str("<p class=\"quiet\">Nothing was dropped.</p>\n</section>\n");
            return;
        }
        page.push_str("<div class=\"scroll\"><table class=\"stages\">\n<tbody>\n");
        for (cause, count) in self.drops.iter().filter(|d| d.1 > 0) {
            let (cause, share) = (escape(cause), *count as f64 / most as f64 * 100.0);
            put(page, format_args!("<tr><td>{cause}</td><td class=\"bar\"><i>"));
            put(
                page,
                format_args!(
                    "<i class=\"lost\" style=\"left:0;width:{share:.1}%\"></i></i></td><td>{count}</td></tr>\n"
                ),
            );
        }
        page.push_str("</tbody>\n</table></div>\n</section>\n");
    }

    fn thumbnails(&self, page: &mut String) {
        if self.thumbnails.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>Sent and received</h2>\n<div class=\"pairs\">\n");
        for pair in &self.thumbnails {
            let caption = escape(&pair.caption);
            page.push_str("<figure>\n<div>");
            image(page, &pair.sent, &format!("{caption}, sent"));
            match &pair.received {
                Some(received) => image(page, received, &format!("{caption}, received")),
                None => page.push_str("<span class=\"missing\">never arrived</span>"),
            }
            put(page, format_args!("</div>\n<figcaption>{caption}: sent, received</figcaption>\n</figure>\n"));
        }
        page.push_str("</div>\n</section>\n");
    }

    fn parameters(&self, page: &mut String) {
        if self.parameters.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>Parameters</h2>\n");
        facts(page, &self.parameters);
        page.push_str("</section>\n");
    }
}

impl Sheet {
    fn write(&self, page: &mut String) {
        let (title, note) = (escape(&self.title), escape(&self.note));
        put(page, format_args!("<section>\n<h2>{title}<small>{note}</small></h2>\n"));
        if !self.rows.is_empty() {
            page.push_str("<div class=\"scroll\"><table class=\"sheet\">\n<thead><tr>");
            self.head.iter().for_each(|head| put(page, format_args!("<th>{}</th>", escape(head))));
            page.push_str("</tr></thead>\n<tbody>\n");
            for row in &self.rows {
                page.push_str("<tr>");
                row.iter().for_each(|cell| put(page, format_args!("<td>{}</td>", escape(cell))));
                page.push_str("</tr>\n");
            }
            page.push_str("</tbody>\n</table></div>\n");
        }
        facts(page, &self.facts);
        page.push_str("</section>\n");
    }
}

/// Lines of name and value.
fn facts(page: &mut String, facts: &[(String, String)]) {
    page.push_str("<table class=\"parameters\">\n<tbody>\n");
    for (name, value) in facts {
        put(page, format_args!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)));
    }
    page.push_str("</tbody>\n</table>\n");
}

fn image(page: &mut String, png: &[u8], alt: &str) {
    put(page, format_args!("<img alt=\"{alt}\" title=\"{alt}\" src=\"data:image/png;base64,"));
    thumb::base64(png, page);
    page.push_str("\">");
}

/// Text as it may stand in an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A duration given in microseconds, in the unit that reads best.
fn duration(us: f64) -> String {
    match us {
        us if !us.is_finite() => "–".into(),
        us if us < 0.1 => "< 1 µs".into(),
        us if us < 10.0 => format!("{us:.1} µs"),
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Appends formatted text; a string takes all of it.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

const STYLE: &str = include_str!("report/style.css");

#[cfg(test)]
mod tests {
    use super::*;
    use conclave::capture::scene::{Config, Scene};
    use conclave::codecs::{Color, Picture, Size};

    fn sample() -> Report {
        let mut scene = Scene::new(Config { size: Size::new(640, 360), ..Config::default() }).unwrap();
        let mut picture = Picture::new(Size::new(16, 16), Color::default());
        let mut frame = |n| {
            scene.render(n, &mut picture);
            png(&picture, 320).unwrap()
        };
        let curve = |name: &str, base: f64, swing: f64| Series {
            name: name.into(),
            points: (0..900)
                .map(|n| (f64::from(n) / 30.0, base * (1.0 + swing * (f64::from(n * n % 97) / 97.0 - 0.3))))
                .collect(),
        };
        let stage = |name: &str, p50: f64| Stage { name: name.into(), p50, p95: p50 * 1.7, p99: p50 * 3.1 };
        let names = [
            ("convert", 900.0),
            ("encode", 9_400.0),
            ("seal", 4.2),
            ("packetize", 7.0),
            ("network", 31_000.0),
            ("decode", 2_100.0),
        ];
        Report {
            title: "Made-up <data> & \"numbers\"".into(),
            verdicts: vec![
                Verdict {
                    mood: Mood::Good,
                    text: "891 of 900 frames were shown, all equal to what the encoder reconstructed.".into(),
                },
                Verdict { mood: Mood::Fair, text: "9 frames came too late.".into() },
                Verdict { mood: Mood::Bad, text: "<script>alert(1)</script>".into() },
            ],
            protection: Some(Protection {
                sign: conclave::meeting::shield::Shield::EndToEnd.svg(),
                label: "End-to-end <encrypted>".into(),
                sentence: "Made up.".into(),
                code: vec!["01234".into(), "56789".into()],
                picture: "<?xml version=\"1.0\"?><svg></svg>".into(),
                said: "Of no epoch.".into(),
            }),
            figures: [
                ("Frames shown", "891", "of 900"),
                ("Latency, median", "48.2 ms", "capture to render"),
                ("PSNR, luma", "41.3 dB", ""),
                ("SSIM, luma", "0.982", ""),
                ("Bitrate", "1.48 Mbit/s", "target 1.5"),
                ("Packets lost", "5.1 %", "repaired 4.9 %"),
            ]
            .map(|(name, value, note)| Figure { name: name.into(), value: value.into(), note: note.into() })
            .into(),
            stages: names.map(|(name, p50)| stage(name, p50)).into(),
            sheets: vec![Sheet {
                title: "The <group>".into(),
                note: "in the order of their time".into(),
                head: vec!["Change".into(), "Bytes".into()],
                rows: vec![vec!["join".into(), "1202".into()], vec!["<leave>".into(), "803".into()]],
                facts: vec![("suite".into(), "hybrid & more".into())],
            }],
            plots: vec![
                Plot {
                    title: "Latency per stage".into(),
                    unit: "ms".into(),
                    scale: Scale::Log,
                    series: names.map(|(name, us)| curve(name, us / 1e3, 0.8)).into(),
                },
                Plot {
                    title: "Bitrate".into(),
                    unit: "kbit/s".into(),
                    scale: Scale::Linear,
                    series: vec![curve("sent", 1480.0, 0.3), curve("received", 1390.0, 0.35)],
                },
                Plot {
                    title: "Loss and repairs".into(),
                    unit: "packets/s".into(),
                    scale: Scale::Linear,
                    series: vec![curve("lost", 6.0, 1.8), curve("repaired", 5.0, 1.5)],
                },
            ],
            drops: vec![("too late".into(), 9), ("queue full".into(), 2), ("replay".into(), 0)],
            thumbnails: vec![
                Thumbnail { caption: "frame 30".into(), sent: frame(30), received: Some(frame(30)) },
                Thumbnail { caption: "frame 400".into(), sent: frame(400), received: None },
            ],
            parameters: [
                ("input", "rendered scene, 1280x720 at 30"),
                ("encoder", "rav1e on cpu, holds 3 frames"),
                ("network", "5 % loss, 20 ms jitter, seed 1"),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        }
    }

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        let page = sample().html();
        for outside in ["http:", "https:", "<script", "<link", "url(", "@import", "src=\"/"] {
            assert!(!page.contains(outside), "the page reaches outside: {outside}");
        }
        assert!(page.contains("<td>&lt;leave&gt;</td><td>803</td>") && page.contains("<td>hybrid &amp; more</td>"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("Made-up &lt;data&gt; &amp;"));
        for tag in ["section", "figure", "table", "svg", "tr", "td", "div", "p", "g", "dl"] {
            let (open, shut) = (format!("<{tag}"), format!("</{tag}>"));
            let opened =
                page.match_indices(&open).filter(|(at, _)| !page.as_bytes()[at + open.len()].is_ascii_alphanumeric());
            assert_eq!(opened.count(), page.matches(&shut).count(), "{tag}");
        }
        let text: Vec<&str> = page.lines().filter(|line| !line.contains("base64")).collect();
        assert!(text.iter().all(|line| !line.contains("NaN") && !line.contains("inf")));
    }

    #[test]
    fn an_empty_report_and_broken_numbers_still_make_a_page() {
        assert!(Report::default().html().contains("Nothing was dropped."));
        let points = vec![(0.0, f64::NAN), (1.0, f64::INFINITY), (f64::NAN, 1.0)];
        let series = |points: &[(f64, f64)]| vec![Series { name: "x".into(), points: points.into() }];
        for points in [&points[..], &[], &[(0.0, 0.0)], &[(5.0, -3.0), (5.0, -3.0)], &[(0.0, 1e300), (1e300, -1e300)]] {
            for scale in [Scale::Linear, Scale::Log] {
                let plot = Plot { title: "t".into(), unit: "u".into(), scale, series: series(points) };
                let page = Report { plots: vec![plot], ..Report::default() }.html();
                assert!(!page.contains("NaN") && page.len() < 100_000, "{points:?}");
            }
        }
        let stage = Stage { name: "s".into(), p50: f64::NAN, p95: f64::INFINITY, p99: -1.0 };
        assert!(!Report { stages: vec![stage], ..Report::default() }.html().contains("NaN"));
    }

    #[test]
    fn durations_choose_their_unit() {
        let all = [0.0, 9.94, 12.0, 999.4, 1_000.0, 99_950.0, 2.5e6, f64::NAN].map(duration);
        assert_eq!(all, ["< 1 µs", "9.9 µs", "12 µs", "999 µs", "1.00 ms", "100.0 ms", "2.50 s", "–"]);
    }

    #[test]
    fn the_page_is_written_where_it_was_asked() {
        let path = std::env::temp_dir().join(format!("conclave-report-{}.html", std::process::id()));
        sample().write(&path).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        std::fs::remove_file(&path).unwrap();
        assert!((20_000..2_000_000).contains(&size), "{size} bytes");
        assert!(sample().write(Path::new("/nowhere/at/all.html")).is_err());
    }
}
