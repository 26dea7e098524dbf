//! Curves over time as inline SVG: axes, a legend, and a reading under the pointer without any script.

use super::{escape, put};

/// Curves that share their axes.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The heading.
    pub title: String,
    /// Unit of the values.
    pub unit: String,
    /// How values map to height.
    pub scale: Scale,
    /// The curves, in the order of the legend.
    pub series: Vec<Series>,
}

/// How values map to height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// In proportion, from 0 on where no value lies below it.
    #[default]
    Linear,
    /// By their logarithm; values at or below 0 are left out.
    Log,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Seconds and values, in order of time. What is not finite breaks the line.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// Appends the section that shows this plot.
    pub(super) fn write(&self, page: &mut String) {
        let (title, unit) = (escape(&self.title), escape(&self.unit));
        put(page, format_args!("<section>\n<h2>{title} <small>{unit}</small></h2>\n"));
        let Some(axes) = Axes::new(self) else {
            page.push_str("<p class=\"quiet\">Nothing was measured.</p>\n</section>\n");
            return;
        };
        page.push_str("<ul class=\"legend\">\n");
        for (index, series) in self.series.iter().enumerate() {
            let (name, color) = (escape(&series.name), index % COLORS);
            put(page, format_args!("<li><i style=\"background:var(--c{color})\"></i>{name}</li>\n"));
        }
        page.push_str("</ul>\n");
        put(
            page,
            format_args!("<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n"),
        );
        axes.write(page);
        for (index, series) in self.series.iter().enumerate() {
            curve(page, &axes, index, series);
        }
        self.readings(page, &axes);
        page.push_str("</svg>\n</section>\n");
    }

    /// Invisible columns that show the values of all curves under the pointer.
    fn readings(&self, page: &mut String, axes: &Axes) {
        page.push_str("<g class=\"readings\">\n");
        let wide = (RIGHT - LEFT) / COLUMNS as f64;
        for column in 0..COLUMNS {
            let x = LEFT + wide * column as f64;
            let (from, to) = (axes.time(x), axes.time(x + wide));
            let mut text = clock((from + to) / 2.0, to - from);
            let mut any = false;
            for series in &self.series {
                // Points are in order of time.
                let first = series.points.partition_point(|p| p.0 < from);
                let inside =
                    series.points[first..].iter().take_while(|p| p.0 < to).map(|p| p.1).filter(|v| v.is_finite());
                let (sum, count) = inside.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
                if count > 0 {
                    any = true;
                    text += &format!("\n{} {} {}", series.name, number(sum / f64::from(count)), self.unit);
                }
            }
            if any {
                put(
                    page,
                    format_args!("<rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{wide:.2}\" height=\"{}\">", BOTTOM - TOP),
                );
                put(page, format_args!("<title>{}</title></rect>\n", escape(&text)));
            }
        }
        page.push_str("</g>\n");
    }
}

fn curve(page: &mut String, axes: &Axes, index: usize, series: &Series) {
    let mut path = String::new();
    let mut pen = false;
    let mut alone = Vec::new();
    for (t, v) in thin(&series.points, axes) {
        let Some((x, y)) = axes.place(t, v) else {
            pen = false;
            continue;
        };
        if !pen {
            alone.push((x, y));
        } else if let Some(last) = alone.last_mut().filter(|_| !path.is_empty()) {
            *last = (f64::NAN, 0.0);
        }
        put(&mut path, format_args!("{}{x:.1} {y:.1}", if pen { "L" } else { "M" }));
        pen = true;
    }
    let (name, color) = (escape(&series.name), index % COLORS);
    let dash = if index % (2 * DASHED) >= DASHED { " stroke-dasharray=\"6 3\"" } else { "" };
    put(page, format_args!("<g class=\"curve\" style=\"--c:var(--c{color})\"><title>{name}</title>"));
    if !path.is_empty() {
        put(page, format_args!("<path d=\"{path}\"{dash}/>"));
    }
    // A point without neighbours makes no line.
    for (x, y) in alone.into_iter().filter(|p| p.0.is_finite()) {
        put(page, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>"));
    }
    page.push_str("</g>\n");
}

/// Keeps the least and the greatest value of each column, so that a long run draws no more than a short one and no
/// peak is lost. What cannot be placed stays, once a column, to break the line.
fn thin(points: &[(f64, f64)], axes: &Axes) -> Vec<(f64, f64)> {
    if points.len() <= 2 * THIN {
        return points.to_vec();
    }
    let mut out = Vec::with_capacity(3 * THIN);
    let column = |t: f64| ((t - axes.times.0) / (axes.times.1 - axes.times.0) * THIN as f64) as i64;
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let placed = || group.iter().enumerate().filter(|(_, p)| axes.place(p.0, p.1).is_some());
        let least = placed().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let most = placed().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        match (least, most) {
            (Some(a), Some(b)) if a.0 == b.0 => out.push(*a.1),
            (Some(a), Some(b)) => out.extend(if a.0 < b.0 { [*a.1, *b.1] } else { [*b.1, *a.1] }),
            _ => out.push((group[0].0, f64::NAN)),
        }
    }
    out
}

/// The extent of time and of values.
struct Axes {
    times: (f64, f64),
    /// On the scale: logarithms for [`Scale::Log`].
    values: (f64, f64),
    scale: Scale,
}

impl Axes {
    /// `None` where no point can be placed.
    fn new(plot: &Plot) -> Option<Self> {
        let (mut times, mut values) = ((f64::MAX, f64::MIN), (f64::MAX, f64::MIN));
        for (t, v) in plot.series.iter().flat_map(|series| &series.points) {
            let Some(v) = raise(plot.scale, *v).filter(|_| t.is_finite() && t.abs() < LIMIT) else { continue };
            times = (times.0.min(*t), times.1.max(*t));
            values = (values.0.min(v), values.1.max(v));
        }
        if times.0 > times.1 {
            return None;
        }
        if times.1 - times.0 < 1e-9 {
            times = (times.0 - 0.5, times.0 + 0.5);
        }
        match plot.scale {
            Scale::Linear => {
                values = (values.0.min(0.0), values.1.max(values.0.min(0.0) + 1e-9));
                let step = step(values.1 - values.0, 4.0);
                values = ((values.0 / step).floor() * step, (values.1 / step).ceil() * step);
            }
            Scale::Log => {
                let room = ((values.1 - values.0) * 0.06).max(0.15);
                values = (values.0 - room, values.1 + room);
            }
        }
        Some(Self { times, values, scale: plot.scale })
    }

    /// Where a point stands in the picture.
    fn place(&self, t: f64, v: f64) -> Option<(f64, f64)> {
        let v = raise(self.scale, v).filter(|_| t.is_finite() && t.abs() < LIMIT)?;
        let x = LEFT + (t - self.times.0) / (self.times.1 - self.times.0) * (RIGHT - LEFT);
        let y = BOTTOM - (v - self.values.0) / (self.values.1 - self.values.0) * (BOTTOM - TOP);
        Some((x, y))
    }

    /// The time at `x`.
    fn time(&self, x: f64) -> f64 {
        self.times.0 + (x - LEFT) / (RIGHT - LEFT) * (self.times.1 - self.times.0)
    }

    fn write(&self, page: &mut String) {
        page.push_str("<g class=\"axes\">\n");
        for (value, main) in self.value_ticks() {
            let Some((_, y)) = self.place(self.times.0, value) else { continue };
            if !(TOP - 0.5..=BOTTOM + 0.5).contains(&y) {
                continue;
            }
            let class = if main { "" } else { " class=\"faint\"" };
            put(page, format_args!("<line{class} x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
            if main {
                put(
                    page,
                    format_args!(
                        "<text class=\"v\" x=\"{}\" y=\"{:.1}\">{}</text>\n",
                        LEFT - 8.0,
                        y + 4.0,
                        number(value)
                    ),
                );
            }
        }
        let step = step(self.times.1 - self.times.0, 6.0);
        let first = (self.times.0 / step).ceil();
        for n in 0..20 {
            let t = (first + f64::from(n)) * step;
            if t > self.times.1 + step * 1e-6 {
                break;
            }
            let x = LEFT + (t - self.times.0) / (self.times.1 - self.times.0) * (RIGHT - LEFT);
            put(
                page,
                format_args!(
                    "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{}\"/>",
                    BOTTOM + 4.0
                ),
            );
            put(
                page,
                format_args!("<text class=\"t\" x=\"{x:.1}\" y=\"{}\">{}</text>\n", BOTTOM + 21.0, clock(t, step)),
            );
        }
        put(
            page,
            format_args!("<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\n</g>\n"),
        );
    }

    /// Values that get a line, and whether they get a label too.
    fn value_ticks(&self) -> Vec<(f64, bool)> {
        let (low, high) = self.values;
        if self.scale == Scale::Linear {
            let step = step(high - low, 4.0);
            let first = (low / step).ceil();
            return (0..12)
                .map(|n| (first + f64::from(n)) * step)
                .take_while(|v| *v <= high + step * 1e-6)
                .map(|v| (v, true))
                .collect();
        }
        // Powers of ten; where they are few, twos and fives are named as well.
        let decades = (high - low).max(1.0);
        let stride = (decades / 6.0).ceil();
        let mut ticks = Vec::new();
        let mut power = low.floor();
        while power <= high && ticks.len() < 60 {
            ticks.push((10f64.powf(power), true));
            if stride == 1.0 {
                ticks.extend([2.0, 5.0].map(|k| (k * 10f64.powf(power), decades < 2.2)));
            }
            power += stride;
        }
        ticks
    }
}

/// A value on its scale; `None` where it has no place there.
fn raise(scale: Scale, value: f64) -> Option<f64> {
    match scale {
        Scale::Linear => (value.abs() < LIMIT).then_some(value),
        Scale::Log => (value > 0.0 && value < LIMIT).then(|| value.log10()),
    }
}

/// A round step that cuts `span` into about `parts`.
fn step(span: f64, parts: f64) -> f64 {
    let raw = (span / parts).max(1e-12);
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    power
        * if lead <= 1.0 {
            1.0
        } else if lead <= 2.0 {
            2.0
        } else if lead <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// A moment, to the precision of a step of `step` seconds.
fn clock(seconds: f64, step: f64) -> String {
    match () {
        () if step < 0.1 => format!("{seconds:.2} s"),
        () if step < 1.0 => format!("{seconds:.1} s"),
        () if seconds.abs() < 120.0 => format!("{seconds:.0} s"),
        () => format!("{:.0}:{:02.0} min", (seconds / 60.0).floor(), (seconds % 60.0).abs().floor()),
    }
}

/// A value in few digits.
fn number(value: f64) -> String {
    let size = value.abs();
    let text = match () {
        () if size == 0.0 => return "0".into(),
        () if size >= 1e6 => return format!("{value:.0e}"),
        () if size >= 100.0 => return format!("{value:.0}"),
        () if size >= 10.0 => format!("{value:.1}"),
        () if size >= 1.0 => format!("{value:.2}"),
        () if size >= 1e-4 => format!("{value:.4}"),
        () => return format!("{value:.0e}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').into()
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 748.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 222.0;

/// Colours in the style sheet.
const COLORS: usize = 10;
/// Every other run of this many curves is dashed.
const DASHED: usize = 5;
/// Columns with a reading.
const COLUMNS: usize = 72;
/// Columns of a long curve.
const THIN: usize = 343;
/// Larger values, and times, are not drawn.
const LIMIT: f64 = 1e15;
