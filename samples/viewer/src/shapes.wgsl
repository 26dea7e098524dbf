// Everything that is not a picture: boxes, strokes with round ends, the shield. One quad per shape.
// In: the window's size, one instance per shape. Out: premultiplied colour, antialiased over one pixel.

struct Window { size: vec2f, pad: vec2f }

struct Shape {
    @location(0) a: vec2f,
    @location(1) b: vec2f,
    @location(2) color: vec4f,
    // Radius of corners or of the stroke; width of the outline, 0 for a filled shape.
    @location(3) round: f32,
    @location(4) line: f32,
    @location(5) kind: u32,
}

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) at: vec2f,
    @location(1) @interpolate(flat) a: vec2f,
    @location(2) @interpolate(flat) b: vec2f,
    @location(3) @interpolate(flat) color: vec4f,
    @location(4) @interpolate(flat) form: vec2f,
    @location(5) @interpolate(flat) kind: u32,
}

@group(0) @binding(0) var<uniform> window: Window;

const STROKE = 1u;
const SHIELD = 2u;

@vertex
fn vertex(shape: Shape, @builtin(vertex_index) index: u32) -> Corner {
    let corner = vec2f(f32(index & 1u), f32(index >> 1u));
    let reach = 1.0 + select(shape.line, shape.round, shape.kind == STROKE);
    let low = min(shape.a, shape.b) - reach;
    let high = max(shape.a, shape.b) + reach;
    let at = mix(low, high, corner);
    var out: Corner;
    out.position = vec4f(at / window.size * vec2f(2.0, -2.0) + vec2f(-1.0, 1.0), 0.0, 1.0);
    out.at = at;
    out.a = shape.a;
    out.b = shape.b;
    out.color = shape.color;
    out.form = vec2f(shape.round, shape.line);
    out.kind = shape.kind;
    return out;
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4f {
    var distance = 0.0;
    if in.kind == STROKE {
        distance = segment(in.at, in.a, in.b) - in.form.x;
    } else if in.kind == SHIELD {
        let unit = (in.b.x - in.a.x) / 24.0;
        distance = shield((in.at - in.a) / unit) * unit + in.form.x;
    } else {
        distance = frame(in.at - (in.a + in.b) / 2.0, abs(in.b - in.a) / 2.0, in.form.x);
    }
    if in.form.y > 0.0 {
        distance = abs(distance + in.form.y / 2.0) - in.form.y / 2.0;
    }
    let alpha = in.color.a * clamp(0.5 - distance, 0.0, 1.0);
    return vec4f(in.color.rgb * alpha, alpha);
}

fn segment(p: vec2f, a: vec2f, b: vec2f) -> f32 {
    let along = b - a;
    let share = clamp(dot(p - a, along) / max(dot(along, along), 1e-6), 0.0, 1.0);
    return length(p - a - share * along);
}

fn frame(p: vec2f, reach: vec2f, round: f32) -> f32 {
    let q = abs(p) - reach + round;
    return length(max(q, vec2f(0.0))) + min(max(q.x, q.y), 0.0) - round;
}

// The outline that `Shield::svg` has, in its 24 units: shoulders, flanks, and a cubic to the point.
fn shield(at: vec2f) -> f32 {
    let p = vec2f(abs(at.x - 12.0), at.y);
    var last = vec2f(0.0, 1.7);
    var distance = 1e6;
    var crossings = 0u;
    for (var i = 0u; i < 12u; i++) {
        var to = vec2f(8.3, 4.7);
        if i > 0u {
            let t = f32(i - 1u) / 10.0;
            let s = 1.0 - t;
            to = s * s * s * vec2f(8.3, 11.4) + 3.0 * s * s * t * vec2f(8.3, 16.6)
                + 3.0 * s * t * t * vec2f(4.9, 20.2) + t * t * t * vec2f(0.0, 22.3);
        }
        distance = min(distance, segment(p, last, to));
        if (last.y > p.y) != (to.y > p.y) && p.x < last.x + (p.y - last.y) / (to.y - last.y) * (to.x - last.x) {
            crossings++;
        }
        last = to;
    }
    return select(distance, -distance, (crossings & 1u) == 1u);
}
