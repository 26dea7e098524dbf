// One decoded picture: three planes of 4:2:0, bilinear, to RGB by the matrix and range that the picture carries.
// In: the planes, a sampler, where and how. Out: premultiplied colour, rounded at the corners of the tile.

struct Place {
    // Window, then the rectangle of the picture, in pixels.
    window: vec2f,
    corner: f32,
    mirror: f32,
    rect: vec4f,
    // Luma samples, and chroma samples doubled: they differ where a side is odd.
    luma: vec2f,
    chroma: vec2f,
    // Red, green, blue of (Y, U, V, 1), samples from 0 to 1.
    red: vec4f,
    green: vec4f,
    blue: vec4f,
}

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) share: vec2f,
}

@group(0) @binding(0) var<uniform> place: Place;
@group(0) @binding(1) var smooth_: sampler;
@group(0) @binding(2) var luma: texture_2d<f32>;
@group(0) @binding(3) var blues: texture_2d<f32>;
@group(0) @binding(4) var reds: texture_2d<f32>;

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let share = vec2f(f32(index & 1u), f32(index >> 1u));
    let at = place.rect.xy + share * place.rect.zw;
    var out: Corner;
    out.position = vec4f(at / place.window * vec2f(2.0, -2.0) + vec2f(-1.0, 1.0), 0.0, 1.0);
    out.share = share;
    return out;
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4f {
    let share = vec2f(mix(in.share.x, 1.0 - in.share.x, place.mirror), in.share.y);
    // A chroma sample lies in the centre of its two by two luma samples, so that both planes have the same edges; where a
    // side is odd the last chroma sample reaches beyond the picture.
    let coarse = share * place.luma / place.chroma;
    let y = textureSample(luma, smooth_, share).r;
    let u = textureSample(blues, smooth_, coarse).r;
    let v = textureSample(reds, smooth_, coarse).r;
    let yuv = vec4f(y, u, v, 1.0);
    let rgb = clamp(vec3f(dot(place.red, yuv), dot(place.green, yuv), dot(place.blue, yuv)), vec3f(0.0), vec3f(1.0));
    let size = place.rect.zw;
    let q = abs((in.share - 0.5) * size) - size / 2.0 + place.corner;
    let distance = length(max(q, vec2f(0.0))) + min(max(q.x, q.y), 0.0) - place.corner;
    let alpha = select(1.0, clamp(0.5 - distance, 0.0, 1.0), place.corner > 0.0);
    return vec4f(rgb * alpha, alpha);
}
