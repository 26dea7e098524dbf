//! Video formats in PipeWire's words: what is asked for, and what is told.

use std::io::Cursor;

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties as Key, MediaSubtype, MediaType};
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::deserialize::PodDeserializer;
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Property, PropertyFlags, Value};
use pipewire::spa::sys;
use pipewire::spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle, SpaTypes};

use super::super::Wish;
use super::super::modes::{Mode, Span};
use super::super::wire::{MAX_EDGE, Wire, is_sane};
use crate::codecs::{Color, Matrix, Range, Size};

/// PipeWire's names of the layouts that are understood, MJPEG aside.
const RAW: [(VideoFormat, Wire); 10] = [
    (VideoFormat::NV12, Wire::Nv12),
    (VideoFormat::I420, Wire::I420),
    (VideoFormat::YUY2, Wire::Yuy2),
    (VideoFormat::UYVY, Wire::Uyvy),
    (VideoFormat::BGRx, Wire::Bgra),
    (VideoFormat::BGRA, Wire::Bgra),
    (VideoFormat::RGBx, Wire::Rgba),
    (VideoFormat::RGBA, Wire::Rgba),
    (VideoFormat::BGR, Wire::Bgr),
    (VideoFormat::RGB, Wire::Rgb),
];

/// What a stream asks for, the best first: `mode` as it is where one was chosen, then anything that is understood.
pub(super) fn offers(mode: Option<Mode>, wish: Wish) -> Vec<Vec<u8>> {
    let fps = Fraction { num: wish.fps, denom: 1 };
    let rates =
        ChoiceEnum::Range { default: fps, min: Fraction { num: 0, denom: 1 }, max: Fraction { num: 1000, denom: 1 } };
    let sizes = ChoiceEnum::Range {
        default: rectangle(wish.size),
        min: Rectangle { width: 1, height: 1 },
        max: Rectangle { width: MAX_EDGE, height: MAX_EDGE },
    };
    let mut asked = Vec::new();
    if let Some(mode) = mode {
        let (num, denom) = mode.fps;
        let exact = ChoiceEnum::None(Fraction { num, denom });
        asked.push((
            Some(mode.wire),
            ChoiceEnum::None(rectangle(mode.size)),
            if num == 0 { rates.clone() } else { exact },
        ));
    }
    asked.push((None, sizes.clone(), rates.clone()));
    asked.push((Some(Wire::Mjpeg), sizes, rates));
    asked.into_iter().filter_map(|(wire, size, fps)| format(wire, size, fps)).collect()
}

fn format(wire: Option<Wire>, size: ChoiceEnum<Rectangle>, fps: ChoiceEnum<Fraction>) -> Option<Vec<u8>> {
    let subtype = if wire == Some(Wire::Mjpeg) { MediaSubtype::Mjpg } else { MediaSubtype::Raw };
    let mut properties = vec![
        property(Key::MediaType.as_raw(), Value::Id(Id(MediaType::Video.as_raw()))),
        property(Key::MediaSubtype.as_raw(), Value::Id(Id(subtype.as_raw()))),
    ];
    let names: Vec<Id> =
        RAW.iter().filter(|(_, raw)| wire.is_none_or(|wire| wire == *raw)).map(|(name, _)| Id(name.as_raw())).collect();
    if let Some(default) = names.first().copied() {
        let names = ChoiceEnum::Enum { default, alternatives: names };
        properties.push(property(Key::VideoFormat.as_raw(), Value::Choice(ChoiceValue::Id(choice(names)))));
    }
    properties.push(property(Key::VideoSize.as_raw(), Value::Choice(ChoiceValue::Rectangle(choice(size)))));
    properties.push(property(Key::VideoFramerate.as_raw(), Value::Choice(ChoiceValue::Fraction(choice(fps)))));
    bytes(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

/// What a stream wants of its buffers: memory that can be mapped, and times, crops and damage where the source has them.
pub(super) fn buffers() -> Vec<Vec<u8>> {
    let kinds = (1 << sys::SPA_DATA_MemPtr) | (1 << sys::SPA_DATA_MemFd);
    let count = ChoiceEnum::Range { default: 8, min: 2, max: 16 };
    let memory = bytes(
        SpaTypes::ObjectParamBuffers,
        ParamType::Buffers,
        vec![
            property(sys::SPA_PARAM_BUFFERS_buffers, Value::Choice(ChoiceValue::Int(choice(count)))),
            property(
                sys::SPA_PARAM_BUFFERS_dataType,
                Value::Choice(ChoiceValue::Int(choice(ChoiceEnum::Flags { default: kinds, flags: Vec::new() }))),
            ),
        ],
    );
    let region = size_of::<sys::spa_meta_region>() as i32;
    let header = Value::Int(size_of::<sys::spa_meta_header>() as i32);
    let damage = Value::Choice(ChoiceValue::Int(choice(ChoiceEnum::Range {
        default: 16 * region,
        min: region,
        max: 16 * region,
    })));
    let metas = [
        (sys::SPA_META_Header, header),
        (sys::SPA_META_VideoCrop, Value::Int(region)),
        (sys::SPA_META_VideoDamage, damage),
    ];
    let metas = metas.into_iter().map(|(kind, size)| {
        let properties =
            vec![property(sys::SPA_PARAM_META_type, Value::Id(Id(kind))), property(sys::SPA_PARAM_META_size, size)];
        bytes(SpaTypes::ObjectParamMeta, ParamType::Meta, properties)
    });
    std::iter::once(memory).chain(metas).flatten().collect()
}

/// The modes that one entry of a source's format list stands for, as far as they are understood.
pub(super) fn modes(pod: &[u8], wish: Option<Wish>) -> Vec<Mode> {
    let Some(told) = Told::read(pod) else { return Vec::new() };
    let sizes = told.sizes.near(wish).into_iter().filter(|size| is_sane(*size));
    let rates = told.rates.near(wish);
    let each = |size| rates.iter().flat_map(move |fps| [(size, *fps)]);
    let each: Vec<_> = sizes.flat_map(each).collect();
    told.wires
        .iter()
        .flat_map(|wire| each.iter().map(|(size, fps)| Mode { wire: *wire, size: *size, fps: *fps }))
        .collect()
}

/// The format that was agreed, and what its samples mean; `None` where it is none that is understood.
pub(super) fn agreed(pod: &[u8]) -> Option<(Mode, Color)> {
    let mode = modes(pod, None).first().copied()?;
    let told = Told::read(pod)?;
    Some((
        mode,
        Color {
            matrix: told.matrix.unwrap_or(mode.wire.color().matrix),
            range: told.range.unwrap_or(mode.wire.color().range),
        },
    ))
}

/// A format object, read.
struct Told {
    wires: Vec<Wire>,
    sizes: Span<Size>,
    rates: Span<(u32, u32)>,
    matrix: Option<Matrix>,
    range: Option<Range>,
}

impl Told {
    fn read(pod: &[u8]) -> Option<Self> {
        let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod).ok()? else { return None };
        let value = |key: Key| object.properties.iter().find(|p| p.key == key.as_raw()).map(|p| &p.value);
        let subtype = ids(value(Key::MediaSubtype)?);
        let wires = if subtype == [MediaSubtype::Mjpg.as_raw()] || subtype == [MediaSubtype::Jpeg.as_raw()] {
            vec![Wire::Mjpeg]
        } else if subtype == [MediaSubtype::Raw.as_raw()] {
            let names = ids(value(Key::VideoFormat)?);
            let mut wires: Vec<_> =
                RAW.iter().filter(|(n, _)| names.contains(&n.as_raw())).map(|(_, wire)| *wire).collect();
            wires.dedup();
            wires
        } else {
            Vec::new()
        };
        let sizes = match value(Key::VideoSize)? {
            Value::Rectangle(only) => Span::These(vec![size(*only)]),
            Value::Choice(ChoiceValue::Rectangle(Choice(_, choice))) => span(choice, size),
            _ => return None,
        };
        let rates = [Key::VideoFramerate, Key::VideoMaxFramerate].into_iter().find_map(|key| match value(key)? {
            Value::Fraction(Fraction { num: 0, .. }) => None,
            Value::Fraction(only) => Some(Span::These(vec![(only.num, only.denom.max(1))])),
            Value::Choice(ChoiceValue::Fraction(Choice(_, choice))) => Some(span(choice, |f| (f.num, f.denom.max(1)))),
            _ => None,
        });
        let code = |key| value(key).and_then(|value| ids(value).first().copied());
        Some(Self {
            wires,
            sizes,
            rates: rates.unwrap_or(Span::These(vec![(0, 1)])),
            matrix: code(Key::VideoColorMatrix).and_then(|code| match code {
                sys::SPA_VIDEO_COLOR_MATRIX_BT601 => Some(Matrix::Bt601),
                sys::SPA_VIDEO_COLOR_MATRIX_BT709 => Some(Matrix::Bt709),
                sys::SPA_VIDEO_COLOR_MATRIX_BT2020 => Some(Matrix::Bt2020),
                _ => None,
            }),
            range: code(Key::VideoColorRange).and_then(|code| match code {
                sys::SPA_VIDEO_COLOR_RANGE_0_255 => Some(Range::Full),
                sys::SPA_VIDEO_COLOR_RANGE_16_235 => Some(Range::Limited),
                _ => None,
            }),
        })
    }
}

fn ids(value: &Value) -> Vec<u32> {
    match value {
        Value::Id(id) => vec![id.0],
        Value::Choice(ChoiceValue::Id(Choice(_, ChoiceEnum::None(id)))) => vec![id.0],
        Value::Choice(ChoiceValue::Id(Choice(_, ChoiceEnum::Enum { default, alternatives }))) => {
            std::iter::once(default).chain(alternatives).map(|id| id.0).collect()
        }
        _ => Vec::new(),
    }
}

fn span<T: Copy + pipewire::spa::pod::CanonicalFixedSizedPod, U: PartialEq>(
    choice: &ChoiceEnum<T>,
    read: impl Fn(T) -> U,
) -> Span<U> {
    match choice {
        ChoiceEnum::None(only) => Span::These(vec![read(*only)]),
        ChoiceEnum::Range { default, min, max } | ChoiceEnum::Step { default, min, max, .. } => {
            Span::Between(read(*min), read(*max), read(*default))
        }
        ChoiceEnum::Enum { default, alternatives } | ChoiceEnum::Flags { default, flags: alternatives } => {
            let mut all = Vec::new();
            for value in std::iter::once(default).chain(alternatives).map(|value| read(*value)) {
                if !all.contains(&value) {
                    all.push(value);
                }
            }
            Span::These(all)
        }
    }
}

fn size(of: Rectangle) -> Size {
    Size::new(of.width, of.height)
}

fn rectangle(of: Size) -> Rectangle {
    Rectangle { width: of.width, height: of.height }
}

fn choice<T: pipewire::spa::pod::CanonicalFixedSizedPod>(of: ChoiceEnum<T>) -> Choice<T> {
    Choice(ChoiceFlags::empty(), of)
}

fn property(key: u32, value: Value) -> Property {
    Property { key, flags: PropertyFlags::empty(), value }
}

fn bytes(kind: SpaTypes, id: ParamType, properties: Vec<Property>) -> Option<Vec<u8>> {
    let object = Value::Object(Object { type_: kind.as_raw(), id: id.as_raw(), properties });
    PodSerializer::serialize(Cursor::new(Vec::new()), &object).ok().map(|(cursor, _)| cursor.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish { size: Size::new(1280, 720), fps: 30 };

    #[test]
    fn what_is_asked_for_reads_back() {
        let mode = Mode { wire: Wire::Nv12, size: Size::new(640, 480), fps: (15, 1) };
        let asked = offers(Some(mode), WISH);
        assert_eq!(asked.len(), 3);
        assert_eq!(modes(&asked[0], None), [mode]);
        assert_eq!(agreed(&asked[0]), Some((mode, mode.wire.color())));
        let raw = modes(&asked[1], Some(Wish { size: Size::new(320, 200), fps: 5 }));
        assert_eq!(raw.len(), 8);
        assert!(raw.iter().all(|mode| (mode.size, mode.fps) == (Size::new(320, 200), (5, 1))));
        assert_eq!(modes(&asked[2], None), [Mode { wire: Wire::Mjpeg, size: WISH.size, fps: (30, 1) }]);
        assert_eq!(buffers().len(), 4);
    }

    #[test]
    fn bytes_that_are_no_format_are_no_mode() {
        let mut random = fastrand::Rng::with_seed(3);
        let whole = offers(None, WISH).remove(0);
        for cut in 0..whole.len() {
            assert_eq!(modes(&whole[..cut], None), []);
        }
        let video = (Key::MediaType.as_raw(), Value::Id(Id(MediaType::Video.as_raw())));
        let other = bytes(SpaTypes::ObjectParamFormat, ParamType::Format, vec![property(video.0, video.1)]);
        assert_eq!(agreed(&other.expect("a pod")), None);
        for _ in 0..2_000 {
            let noise: Vec<u8> = (0..random.usize(..64)).map(|_| random.u8(..)).collect();
            assert_eq!(agreed(&noise), None);
        }
    }
}
