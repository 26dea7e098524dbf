//! Video formats in PipeWire's words: what is asked for, and what is told.

use std::io::Cursor;

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties as Key, MediaSubtype, MediaType};
use pipewire::spa::param::video::VideoFormat;
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
        let format = Properties::of(pod)?;
        let subtype = format.choice(Key::MediaSubtype, sys::SPA_TYPE_Id)?.values[0].0;
        let wires = if subtype == MediaSubtype::Mjpg.as_raw() || subtype == MediaSubtype::Jpeg.as_raw() {
            vec![Wire::Mjpeg]
        } else if subtype == MediaSubtype::Raw.as_raw() {
            let names = format.choice(Key::VideoFormat, sys::SPA_TYPE_Id)?.values;
            let mut wires: Vec<_> =
                RAW.iter().filter(|(n, _)| names.contains(&(n.as_raw(), 0))).map(|(_, wire)| *wire).collect();
            wires.dedup();
            wires
        } else {
            Vec::new()
        };
        let sizes = format.choice(Key::VideoSize, sys::SPA_TYPE_Rectangle)?.span(|(w, h)| Size::new(w, h))?;
        let rates = [Key::VideoFramerate, Key::VideoMaxFramerate].into_iter().find_map(|key| {
            let rates = format.choice(key, sys::SPA_TYPE_Fraction)?;
            let open = rates.values.len() == 1 && rates.values[0].0 == 0;
            if open { None } else { rates.span(|(num, denom)| (num, denom.max(1))) }
        });
        let code = |key| Some(format.choice(key, sys::SPA_TYPE_Id)?.values[0].0);
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

/// The properties of an object as another program laid them out: <https://docs.pipewire.org/page_spa_pod.html>. The
/// library's reader takes what it reads for well made.
struct Properties<'a>(Vec<(u32, Pod<'a>)>);

/// A value, its type and its bytes.
#[derive(Clone, Copy)]
struct Pod<'a> {
    kind: u32,
    body: &'a [u8],
}

/// What a property leaves to choose: one value at least, each a number, or a pair of them.
struct Left {
    kind: u32,
    values: Vec<(u32, u32)>,
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

impl<'a> Pod<'a> {
    /// The first value of `bytes`, and those behind it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (len, kind) = (number(bytes)? as usize, number(bytes.get(4..)?)?);
        let (body, rest) = bytes[8..].split_at_checked(len)?;
        // Values begin at multiples of 8; behind the last one nothing has to be.
        Some((Self { kind, body }, rest.get(len.next_multiple_of(8) - len..).unwrap_or_default()))
    }
}

impl<'a> Properties<'a> {
    fn of(object: &'a [u8]) -> Option<Self> {
        let (Pod { kind: sys::SPA_TYPE_Object, body }, _) = Pod::split(object)? else { return None };
        let (mut left, mut found) = (body.get(8..)?, Vec::new());
        while !left.is_empty() {
            let (value, rest) = Pod::split(left.get(8..)?)?;
            found.push((number(left)?, value));
            left = rest;
        }
        Some(Self(found))
    }

    /// What the property `key` leaves to choose, where its values are of type `wanted`.
    fn choice(&self, key: Key, wanted: u32) -> Option<Left> {
        let Pod { kind, body } = self.0.iter().find(|(name, _)| *name == key.as_raw())?.1;
        let (choice, of, values) = match kind {
            sys::SPA_TYPE_Choice => (number(body)?, number(body.get(12..)?)?, body.get(16..)?),
            _ => (sys::SPA_CHOICE_None, kind, body),
        };
        let width = if wanted == sys::SPA_TYPE_Id { 4 } else { 8 };
        let values = values.chunks_exact(width).map(|value| Some((number(value)?, number(&value[4..]).unwrap_or(0))));
        let values = values.collect::<Option<Vec<_>>>()?;
        (of == wanted && !values.is_empty()).then_some(Left { kind: choice, values })
    }
}

impl Left {
    fn span<T: PartialEq>(&self, read: impl Fn((u32, u32)) -> T) -> Option<Span<T>> {
        let mut values = self.values.iter().map(|value| read(*value));
        Some(match self.kind {
            sys::SPA_CHOICE_None => Span::These(values.take(1).collect()),
            sys::SPA_CHOICE_Range | sys::SPA_CHOICE_Step => {
                let own = values.next()?;
                Span::Between(values.next()?, values.next()?, own)
            }
            // The first is the one that is preferred, and is among the others again.
            _ => {
                let mut all = Vec::new();
                values.for_each(|value| {
                    if !all.contains(&value) {
                        all.push(value)
                    }
                });
                Span::These(all)
            }
        })
    }
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
        // Nor does anything break where but some of it is wrong.
        for _ in 0..200_000 {
            let mut bent = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bent.len() / 4) * 4;
                let word = [0, 1, 3, 7, 8, 15, 16, 17, u32::MAX, random.u32(..)][random.usize(..10)];
                bent[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            let _ = (modes(&bent, Some(WISH)), agreed(&bent));
        }
    }
}
