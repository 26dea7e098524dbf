//! Convert and encode: the stage between capture and [`crate::send::Sender`].
//!
//! [`Video`] owns the converter and the encoder, remembers what is inside the encoder, and returns [`Encoded`] frames
//! with their stamps. [`Audio`] does the same for Opus. Both reuse the buffers that are given back to them.
//!
//! What a session may change while it runs comes over the [`Edge`] or by method: a key frame, the bitrate, the frame rate,
//! and the size of the picture up to the one that the stage was opened with.

pub mod content;
pub mod pace;

use conclave_codecs::av1::rest::{SHARP, is_finer};
use conclave_codecs::{
    AudioEncoder, CodecError, Color, EncodedInfo, FrameInput, GpuPicture, Picture, Session, Size, VideoEncoder,
};

use crate::capture::live::{Damage, Rect, Shot};
use crate::control::{Control, Edge};
use crate::frame::{Buffer, Encoded, Header, Kind, Structure};
use crate::gpu::prepare::{Prepare, mirror};
use crate::gpu::{Converter, GpuError, Source};
use crate::ledger::{Ledger, Stage};
use crate::pool::Pool;
use crate::rtp::descriptor;
use crate::time::{Stopwatch, Time};
use content::Content;
use pace::Pace;

/// Why a picture or a sound was not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The picture could not be converted.
    #[error(transparent)]
    Convert(#[from] GpuError),
    /// The codec refused.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Frames that may be inside an encoder at once: twice what the encoders of the table hold.
const IN_FLIGHT: usize = 64;

/// What the stage remembers of a frame while the encoder has it.
#[derive(Clone, Copy)]
struct Pending {
    frame: u64,
    size: Size,
    captured: Time,
    /// It came of a picture that showed nothing new.
    rests: bool,
    ledger: Ledger,
}

/// What makes an [`Encoded`] frame of the bits of one stream. The stages below have one; so has an app that brings an
/// encoder of its own.
#[derive(Clone, Copy)]
pub struct Framing {
    stream: u32,
    kind: Kind,
    structure: Structure,
}

impl Framing {
    /// For video of one layer and of `size`: key frames get the template structure that says so.
    pub fn video(stream: u32, kind: Kind, size: Size) -> Self {
        Self { stream, kind, structure: descriptor::single_layer_structure(size) }
    }

    /// For audio.
    pub fn audio(stream: u32, kind: Kind) -> Self {
        Self { stream, kind, structure: Structure::default() }
    }

    /// For application data ([`crate::data`]).
    pub fn data(stream: u32) -> Self {
        Self { stream, kind: Kind::Data, structure: Structure::default() }
    }

    /// A frame of `payload` (a temporal unit, an audio packet or data), captured at `captured`. [`EncodedInfo::frame`] counts
    /// up from 0 and leaves none out.
    pub fn frame(&self, payload: Buffer, info: EncodedInfo, captured: Time) -> Encoded {
        let header = Header {
            stream: self.stream,
            kind: self.kind,
            spatial: info.spatial,
            temporal: info.temporal,
            // The sender counts the frames that are sent and chooses their templates.
            template_id: 0,
            frame_number: 0,
        };
        let structure = if info.keyframe { self.structure } else { Structure::default() };
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Capture, captured);
        Encoded { payload, info, header, captured, structure, ledger }
    }
}

/// Convert and encode of one video stream.
pub struct Video {
    framing: Framing,
    converter: Converter,
    encoder: Box<dyn VideoEncoder>,
    /// Size of the pictures from the next one on, and of the last one.
    size: Size,
    last_size: Size,
    /// The size that the session asks for, of which the pace makes less.
    wanted: Size,
    /// The size that the stage was opened with.
    ceiling: Size,
    color: Color,
    picture: Picture,
    /// The last picture is in `picture`, and has to be.
    pictured: bool,
    watched: bool,
    /// The self view is a mirror.
    mirrored: bool,
    frame: u64,
    /// The encoder has the picture that damage is told against.
    whole: bool,
    /// Frames in a row that came of pictures which showed nothing new, to sharpen the last one.
    resting: u32,
    /// The quantizer of the first of them.
    finest: u8,
    /// Whether that is so of the picture that is being submitted.
    rests: bool,
    content: Option<Content>,
    /// What the app allows, of which `content` may leave less.
    may_adapt: bool,
    wished_fps: Option<(u32, u32)>,
    /// In a live session.
    pace: Option<Pace>,
    beat: Option<Beat>,
    pending: [Pending; IN_FLIGHT],
    pool: Pool<Buffer>,
    watch: Stopwatch,
}

/// What [`Video::open`] needs beside the converter and the encoder.
#[derive(Clone, Copy, Debug)]
pub struct VideoConfig {
    /// The stream, which is the RTP SSRC.
    pub stream: u32,
    /// Camera or screen.
    pub kind: Kind,
    /// Size of the encoded picture, at most.
    pub size: Size,
    /// Colour of the encoded picture.
    pub color: Color,
    /// Live or offline.
    pub session: Session,
    /// Stamps from a running or a still watch.
    pub watch: Stopwatch,
}

impl Video {
    /// Puts converter and encoder together; a live session refuses an encoder with lag. Where both run on a GPU, the
    /// converter moves to the encoder's, so that pictures stay there.
    pub fn open(
        config: VideoConfig,
        converter: Converter,
        encoder: Box<dyn VideoEncoder>,
    ) -> Result<Self, EncodeError> {
        conclave_codecs::candidates::admit(&*encoder, config.session)?;
        let mut converter = converter;
        if let Some(gpu) = encoder.gpu() {
            converter.join(gpu)?;
        }
        let prepare = converter.prepare();
        converter.set_prepare(Prepare { mirror: false, ..prepare });
        let empty = Pending { frame: 0, size: config.size, captured: Time(0), rests: false, ledger: Ledger::default() };
        let resizable = encoder.check_size(config.size).is_ok();
        Ok(Self {
            framing: Framing::video(config.stream, config.kind, config.size),
            converter,
            encoder,
            size: config.size,
            wanted: config.size,
            last_size: config.size,
            ceiling: config.size,
            pace: (config.session == Session::Live).then(|| Pace::new(config.size, resizable)),
            beat: None,
            color: config.color,
            picture: Picture::new(config.size, config.color),
            pictured: true,
            watched: false,
            mirrored: prepare.mirror,
            frame: 0,
            whole: false,
            resting: 0,
            finest: 0,
            rests: false,
            content: None,
            may_adapt: config.session == Session::Live,
            wished_fps: None,
            pending: [empty; IN_FLIGHT],
            pool: Pool::new(8, move || Buffer::with_capacity(config.size.area() / 4)),
            watch: config.watch,
        })
    }

    /// Takes one picture, captured now. It is frame number `returned value`, counted from 0.
    pub fn submit(&mut self, source: Source<'_>, edge: &Edge, now: Time) -> Result<u64, EncodeError> {
        self.submit_captured(source, now, edge, now)
    }

    /// Takes one picture that was captured earlier, at `captured`, and has waited since.
    pub fn submit_captured(
        &mut self,
        source: Source<'_>,
        captured: Time,
        edge: &Edge,
        now: Time,
    ) -> Result<u64, EncodeError> {
        let shot = Shot { source, captured, damage: Damage::ALL, fresh: false };
        let wish = self.wishes(&shot, edge)?;
        (self.resting, self.rests) = (0, false);
        self.make(&shot, wish.keyframe, now)
    }

    /// Whether a picture captured at `captured` is wanted at the frame rate that was set. One that is not is left out.
    pub fn wants(&mut self, captured: Time) -> bool {
        self.beat.as_mut().is_none_or(|beat| beat.wants(captured))
    }

    /// Encodes at most `num / den` pictures a second from the next one on: [`Self::wants`] then says which.
    ///
    /// # Errors
    /// The encoder does not take such a rate.
    pub fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), EncodeError> {
        self.limit(Some(fps), self.content)?;
        self.wished_fps = Some(fps);
        Ok(())
    }

    /// The lesser of what was wished and what the content needs.
    fn limit(&mut self, wished: Option<(u32, u32)>, content: Option<Content>) -> Result<(), EncodeError> {
        let least = |a: (u32, u32), b: (u32, u32)| {
            if u64::from(a.0) * u64::from(b.1) < u64::from(b.0) * u64::from(a.1) { a } else { b }
        };
        // One that is none at all is the encoder's to refuse.
        let none = wished.filter(|fps| fps.0 == 0 || fps.1 == 0);
        let lesser = wished.into_iter().chain(content.map(Content::fps)).reduce(least);
        let Some(fps) = none.or(lesser) else { return Ok(()) };
        self.encoder.set_framerate(fps)?;
        let next = self.beat.map_or(Time(0), |beat| beat.next);
        self.beat = Some(Beat { next, interval_us: (u64::from(fps.1) * 1_000_000 / u64::from(fps.0)).max(1) });
        Ok(())
    }

    /// Scales to `size` from the next picture on, which becomes a key frame. In a live session that adapts its size this
    /// is the new full size.
    ///
    /// # Errors
    /// It is above the size that the stage was opened with, or the encoder does not take it.
    pub fn set_size(&mut self, size: Size) -> Result<(), EncodeError> {
        if size != self.ceiling {
            self.encoder.check_size(size)?;
        }
        if size.width > self.ceiling.width || size.height > self.ceiling.height {
            let what = format!("a picture of {size} is above the {} that was agreed", self.ceiling);
            let (codec, hint) = (self.encoder.info().name, "take a smaller one, or open a new stage");
            return Err(CodecError::Config { codec, what, hint }.into());
        }
        self.wanted = size;
        self.adapt();
        Ok(())
    }

    /// For a screen: from the next picture on the stage does best what `content` needs, within what the app wished. Text
    /// keeps its size, motion its rate.
    ///
    /// # Errors
    /// The encoder does not take the rate.
    pub fn set_content(&mut self, content: Content) -> Result<(), EncodeError> {
        self.limit(self.wished_fps, Some(content))?;
        self.content = Some(content);
        self.adapt();
        Ok(())
    }

    /// Camera or screen.
    pub fn kind(&self) -> Kind {
        self.framing.kind
    }

    /// The stream, which is the RTP SSRC.
    pub fn stream(&self) -> u32 {
        self.framing.stream
    }

    /// Size of the pictures from the next one on.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Whether [`Self::paced`] may change the size, which is the wanted one again now. A live session begins with `true`,
    /// an offline one with `false`.
    pub fn set_adaptive(&mut self, adaptive: bool) {
        self.may_adapt = adaptive;
        self.adapt();
    }

    fn adapt(&mut self) {
        let (size, adaptive) = (self.wanted, self.may_adapt && self.content != Some(Content::Sharp));
        self.pace = adaptive.then(|| Pace::new(size, self.encoder.check_size(size).is_ok()));
        self.size = size;
    }

    /// For those who encode in real time: the picture submitted last was done at `now`, after `spent_us` of work. They
    /// come `interval_us` apart, and `displaced` of them were lost since the call before. Where the stage does not hold
    /// its rate, or could do more, the size changes from the next picture on.
    pub fn paced(&mut self, now: Time, spent_us: u64, interval_us: u64, displaced: u64) -> Option<pace::Change> {
        let (interval_us, displaced) = match self.beat {
            // Most of those displaced would have been left out anyway.
            Some(beat) if beat.interval_us > interval_us => (beat.interval_us, 0),
            _ => (interval_us, displaced),
        };
        let change = self.pace.as_mut()?.picture(now, spent_us, interval_us, displaced)?;
        self.size = change.to;
        Some(change)
    }

    /// Takes one picture of a device, with what is known of it. A fresh one becomes a key frame. One without damage is
    /// encoded only while that sharpens what is shown: after [`RESTS`] frames of such pictures in a row, none of them much
    /// finer than the first, it is neither converted nor encoded; `None` then.
    ///
    /// Damage says what differs from the picture taken before. Who leaves out a picture in between puts its damage to
    /// that of the next ([`crate::capture::live::Damage::join`]).
    pub fn submit_shot(&mut self, shot: &Shot<'_>, edge: &Edge, now: Time) -> Result<Option<u64>, EncodeError> {
        let keyframe = self.wishes(shot, edge)?.keyframe || shot.fresh;
        let rests = shot.damage.is_none() && !keyframe && self.size == self.last_size && self.frame > 0;
        if rests && self.resting >= RESTS {
            return Ok(None);
        }
        self.rests = rests;
        if !rests {
            self.resting = 0;
        }
        if shot.fresh {
            self.restart();
        }
        let made = self.make(shot, keyframe, now);
        // Where it failed, what follows shows something new.
        self.resting = if made.is_err() { 0 } else { self.resting };
        made.map(Some)
    }

    /// Tells the encoder what differs, in pixels of the encoded picture and with those around it that a filter reaches.
    fn tell(&mut self, shot: &Shot<'_>) {
        let (from, to) = (shot.source.size, self.size);
        // The first sample that a part touches, and the one behind the last; 64 bits hold any product of two sides.
        let first = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(to) / u64::from(from)) as u32;
        let behind = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(to)).div_ceil(u64::from(from)) as u32;
        // One sample of chroma stands for two of luma, and an enlarging filter spreads it by the ratio.
        let reach = |from: u32, to: u32| AROUND + if to > from { 2 * to.div_ceil(from.max(1)) } else { 0 };
        let around = (reach(from.width, to.width), reach(from.height, to.height));
        let mut parts = [Rect::default(); Damage::MOST];
        let mut count = 0;
        for rect in shot.damage.rects().iter().filter_map(|rect| rect.clip(from)) {
            let x = first(rect.x, from.width, to.width).saturating_sub(around.0);
            let y = first(rect.y, from.height, to.height).saturating_sub(around.1);
            let right = behind(rect.x + rect.width, from.width, to.width) + around.0;
            let bottom = behind(rect.y + rect.height, from.height, to.height) + around.1;
            parts[count] = Rect { x, y, width: right - x, height: bottom - y };
            count += 1;
        }
        self.encoder.damaged(&parts[..count]);
    }

    fn make(&mut self, shot: &Shot<'_>, keyframe: bool, now: Time) -> Result<u64, EncodeError> {
        self.watch.begin(now);
        // What is prepared may change where the source does not, and lie elsewhere.
        if std::mem::take(&mut self.whole) && self.converter.prepare() == Prepare::default() {
            self.tell(shot);
        } else {
            self.encoder.damaged(&[Rect::whole(self.size)]);
        }
        let Shot { source, captured, .. } = *shot;
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Capture, captured);
        let size = self.size;
        let frame = self.frame;
        let input = FrameInput { frame, keyframe: keyframe || size != self.last_size };
        // Where both run on one GPU the picture stays there, unless it is to be looked at.
        let shared = self.encoder.gpu().filter(|_| !self.watched).is_some_and(|gpu| self.converter.shares(gpu));
        let planes = if shared { self.converter.convert_gpu(source, size, self.color, None)? } else { None };
        let gpu_us = match planes {
            Some((planes, converted)) => {
                ledger.stamp(Stage::Convert, self.watch.read());
                self.pictured = false;
                self.encoder.submit_gpu(&GpuPicture { planes, size, color: self.color }, input)?;
                converted.gpu_us
            }
            None => {
                let converted = self.converter.convert(source, size, self.color, None, &mut self.picture)?;
                ledger.stamp(Stage::Convert, self.watch.read());
                self.pictured = true;
                self.encoder.submit(&self.picture, input)?;
                converted.gpu_us
            }
        };
        if let Some(us) = gpu_us {
            ledger.stamp_gpu(Stage::Convert, us);
        }
        self.pending[frame as usize % IN_FLIGHT] = Pending { frame, size, captured, rests: self.rests, ledger };
        self.last_size = size;
        self.frame += 1;
        self.whole = true;
        Ok(frame)
    }

    /// The converted picture that was submitted last; `None` where it never left the GPU.
    pub fn picture(&self) -> Option<&Picture> {
        self.pictured.then_some(&self.picture)
    }

    /// What is done to pictures from the next one on. What is sent is never mirrored; [`Self::self_view`] is, where
    /// [`Prepare::mirror`] says so.
    pub fn set_prepare(&mut self, prepare: Prepare) {
        self.mirrored = prepare.mirror;
        let sent = Prepare { mirror: false, ..prepare };
        if sent != self.converter.prepare() {
            // All of the picture may look different, even where its source does not.
            (self.whole, self.resting) = (false, 0);
        }
        self.converter.set_prepare(sent);
    }

    /// The next picture does not follow the last, so nothing of the last is to be seen in it ([`Converter::restart`]).
    pub fn restart(&mut self) {
        self.converter.restart();
    }

    /// Copies the converted picture that was submitted last, for the one whom it shows. A GPU reads it back for this.
    /// `false` where the GPU that had it is lost.
    pub fn self_view(&mut self, out: &mut Picture) -> bool {
        if !self.pictured {
            return self.converter.view(self.mirrored, out);
        }
        if self.mirrored {
            mirror(&self.picture, out);
        } else {
            out.reset(self.picture.size(), self.picture.color);
            out.data_mut().copy_from_slice(self.picture.data());
        }
        true
    }

    /// From the next picture on, [`Self::picture`] has every one of them: a GPU then reads them back.
    pub fn watch_pictures(&mut self) {
        self.watched = true;
    }

    /// The next finished frame; `None` when the encoder wants more input.
    pub fn poll(&mut self) -> Result<Option<Encoded>, EncodeError> {
        let mut payload = self.pool.take();
        match self.encoder.poll(payload.tail()) {
            Ok(Some(info)) => Ok(Some(self.finish(payload, info))),
            other => {
                self.pool.give(payload);
                Ok(other.map(|_| None)?)
            }
        }
    }

    /// No more input follows: `poll` then returns what is held back.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        Ok(self.encoder.flush()?)
    }

    /// What a decoder must show for the frame last returned by `poll`.
    pub fn reconstruction(&mut self, out: &mut Picture) -> bool {
        self.encoder.reconstruction(out)
    }

    /// The shelf of the buffers, so that another thread can give them back.
    pub fn buffers(&self) -> Pool<Buffer> {
        self.pool.clone()
    }

    /// A buffer comes back from the sender.
    pub fn recycle(&mut self, buffer: Buffer) {
        self.pool.give(buffer);
    }

    /// The encoder.
    pub fn encoder(&self) -> &dyn VideoEncoder {
        &*self.encoder
    }

    /// Where the pictures are converted.
    pub fn converter(&self) -> &Converter {
        &self.converter
    }

    /// Takes the wishes in front of a picture. Where one fails the picture is not taken: what it would have brought comes
    /// with the next.
    fn wishes(&mut self, shot: &Shot<'_>, edge: &Edge) -> Result<Control, EncodeError> {
        let wish = edge.take();
        let heeded = self.heed(&wish);
        if wish.bitrate.is_some() || heeded.is_err() {
            // There may be more to be shown of a picture that rests.
            self.resting = 0;
        }
        if heeded.is_err() {
            self.whole = false;
            if wish.keyframe || shot.fresh {
                edge.request_keyframe();
            }
        }
        heeded.map(|()| wish)
    }

    /// Passes wishes on. One that cannot be met hinders no other; the first such is the error.
    fn heed(&mut self, wish: &Control) -> Result<(), EncodeError> {
        let bitrate = wish.bitrate.map_or(Ok(()), |bits| Ok(self.encoder.set_bitrate(bits)?));
        let framerate = wish.framerate.map_or(Ok(()), |fps| self.set_framerate(fps));
        let size = wish.size.map_or(Ok(()), |(width, height)| self.set_size(Size::new(width, height)));
        bitrate.and(framerate).and(size)
    }

    fn finish(&mut self, payload: Buffer, info: EncodedInfo) -> Encoded {
        let Pending { frame, size, captured, rests, mut ledger } = self.pending[info.frame as usize % IN_FLIGHT];
        debug_assert_eq!(frame, info.frame);
        // A picture that the rate control leaves out has sharpened nothing, and a finer one may be followed by finer ones.
        if !rests || is_finer(info.quantizer, self.finest) {
            (self.resting, self.finest) = (0, info.quantizer);
        }
        self.resting += u32::from(rests);
        if info.keyframe {
            self.framing.structure = descriptor::single_layer_structure(size);
        }
        ledger.stamp(Stage::Encode, self.watch.read());
        if let Some(us) = self.encoder.gpu_micros() {
            ledger.stamp_gpu(Stage::Encode, us);
        }
        Encoded { ledger, ..self.framing.frame(payload, info, captured) }
    }
}

/// Pictures without damage in a row that are encoded all the same: as many as make a picture sharp after a change.
pub const RESTS: u32 = SHARP as u32;

/// Samples beside a part that change with it: chroma is shared by two, and a filter that scales reaches a little further.
const AROUND: u32 = 4;

/// Which pictures of a source to take, so that there are so many a second and no more.
#[derive(Clone, Copy)]
struct Beat {
    next: Time,
    interval_us: u64,
}

/// A picture may come so much before its turn.
const MAX_EARLY_US: u64 = 8_000;

impl Beat {
    fn wants(&mut self, captured: Time) -> bool {
        // Cameras do not keep their beat to the microsecond.
        let early = self.next.since(captured);
        if early > (self.interval_us / 8).min(MAX_EARLY_US) {
            return false;
        }
        // A source that was late begins a new beat.
        let late = captured.since(self.next);
        let from = if late > self.interval_us { captured } else { self.next };
        self.next = from.plus(self.interval_us);
        true
    }
}

/// Encoding of one audio stream.
pub struct Audio {
    framing: Framing,
    encoder: Box<dyn AudioEncoder>,
    frame: u64,
    pool: Pool<Buffer>,
    watch: Stopwatch,
}

impl Audio {
    /// A stage for `stream`.
    pub fn new(stream: u32, kind: Kind, encoder: Box<dyn AudioEncoder>, watch: Stopwatch) -> Self {
        let framing = Framing::audio(stream, kind);
        Self { framing, encoder, frame: 0, pool: Pool::new(8, || Buffer::with_capacity(1500)), watch }
    }

    /// Samples per channel of one packet.
    pub fn frame_samples(&self) -> usize {
        self.encoder.frame_samples()
    }

    /// Encodes one packet's samples, captured at `now`.
    pub fn encode(&mut self, pcm: &[i16], now: Time) -> Result<Encoded, EncodeError> {
        self.watch.begin(now);
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Capture, now);
        let mut payload = self.pool.take();
        if let Err(error) = self.encoder.encode(pcm, payload.tail()) {
            self.recycle(payload);
            return Err(error.into());
        }
        ledger.stamp(Stage::Encode, self.watch.read());
        let info = EncodedInfo { frame: self.frame, keyframe: true, ..EncodedInfo::default() };
        self.frame += 1;
        Ok(Encoded { ledger, ..self.framing.frame(payload, info, now) })
    }

    /// The encoder, for its controls.
    pub fn encoder(&mut self) -> &mut dyn AudioEncoder {
        &mut *self.encoder
    }

    /// The shelf of the buffers, so that another thread can give them back.
    pub fn buffers(&self) -> Pool<Buffer> {
        self.pool.clone()
    }

    /// A buffer comes back from the sender.
    pub fn recycle(&mut self, buffer: Buffer) {
        self.pool.give(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Format;
    use conclave_codecs::{Config, open_encoder};

    const SIZE: Size = Size::new(640, 360);

    fn stage(session: Session) -> Video {
        let (color, watch) = (Color::default(), Stopwatch::still());
        let encoder = open_encoder("raw", Config { size: SIZE, ..Config::default() }, session).expect("opens");
        let config = VideoConfig { stream: 1, kind: Kind::Camera, size: SIZE, color, session, watch };
        Video::open(config, Converter::cpu(), encoder).expect("lag 0")
    }

    fn encode(stage: &mut Video, edge: &Edge) -> Result<(Size, bool), EncodeError> {
        let picture = Picture::new(SIZE, Color::default());
        let source = Source { format: Format::I420, size: SIZE, color: picture.color, data: picture.data() };
        stage.submit(source, edge, Time(0))?;
        let frame = stage.poll()?.expect("lag 0");
        let structure = descriptor::single_layer_structure(stage.picture().expect("a picture").size());
        assert!(!frame.info.keyframe || frame.structure.as_slice() == structure.as_slice());
        Ok((stage.picture().expect("a picture").size(), frame.info.keyframe))
    }

    #[test]
    fn a_session_that_is_behind_scales_down_and_says_so() {
        let (mut stage, edge) = (stage(Session::Live), Edge::new());
        assert_eq!(encode(&mut stage, &edge).expect("encodes"), (SIZE, true));
        let mut changes = (1..=59).filter_map(|n| stage.paced(Time(n * 50_000), 50_000, 33_333, 0)).collect::<Vec<_>>();
        let Some(change) = changes.pop() else { panic!("150 % of the time is too much") };
        let to = Size::new(320, 180);
        assert!(changes.is_empty() && change.from == SIZE && change.to == to && change.why == pace::Why::Behind);
        assert_eq!(encode(&mut stage, &edge).expect("encodes"), (to, true));
        assert_eq!(encode(&mut stage, &edge).expect("encodes"), (to, false));
        // A wish of the app's begins anew.
        edge.set_size((640, 360));
        assert_eq!(encode(&mut stage, &edge).expect("encodes"), (SIZE, true));
    }

    #[test]
    fn offline_or_told_not_to_it_keeps_its_size() {
        let mut fixed = stage(Session::Live);
        fixed.set_adaptive(false);
        for mut stage in [stage(Session::Offline), fixed] {
            assert!((1..=600).all(|n| stage.paced(Time(n * 90_000), 90_000, 33_333, 1).is_none()));
            assert_eq!(stage.size(), SIZE);
        }
    }

    #[test]
    fn a_lower_frame_rate_gives_more_time_to_each_picture() {
        let mut stage = stage(Session::Live);
        stage.set_framerate((10, 1)).expect("in range");
        assert!((1..=600).all(|n| stage.paced(Time(n * 100_000), 60_000, 33_333, 2).is_none()));
    }

    #[test]
    fn wishes_that_cannot_be_met_hinder_no_other() {
        let (mut stage, edge) = (stage(Session::Live), Edge::new());
        edge.set_bitrate(0);
        edge.set_framerate((1, 0));
        edge.set_size((320, 180));
        assert!(encode(&mut stage, &edge).is_err());
        assert_eq!(encode(&mut stage, &edge).expect("encodes"), (Size::new(320, 180), true));
        for above in [Size::new(641, 360), Size::new(640, 361)] {
            assert!(stage.set_size(above).is_err());
        }
        assert_eq!(stage.size(), Size::new(320, 180));
    }

    #[test]
    fn a_frame_rate_is_kept_by_leaving_pictures_out() {
        let count = |camera_us: u64, fps| {
            let mut stage = stage(Session::Live);
            stage.set_framerate(fps).expect("in range");
            (0..10_000_000 / camera_us).filter(|n| stage.wants(Time(n * camera_us + n % 3 * 500))).count()
        };
        assert_eq!(count(33_333, (15, 1)), 150);
        assert_eq!(count(33_333, (10, 1)), 100);
        assert!((195..=205).contains(&count(33_333, (20, 1))));
        assert!((299..=301).contains(&count(33_333, (30, 1))));
        assert!((299..=301).contains(&count(33_333, (60, 1))));
        assert_eq!(count(16_667, (1, 1)), 10);
    }
}
