//! AV1 and Opus in MP4 (ISO/IEC 14496-12), plain and fragmented, through `shiguredo_mp4`, which does no I/O itself.

use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroU32;

use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Av01Box, Av1cBox, DopsBox, EdtsBox, ElstBox, ElstEntry, HdlrBox, MoovBox, OpusBox,
    SampleEntry, TrakBox, VisualSampleEntryFields,
};
use shiguredo_mp4::demux::{
    DemuxError, Fmp4FileDemuxer, Input as Fed, Mp4FileDemuxer, Mp4FileKind, Mp4FileKindDetector, RequiredInput,
};
use shiguredo_mp4::mux::{Mp4FileMuxer, Sample as Written};
use shiguredo_mp4::{Decode, Encode, FixedPointNumber, TrackKind, Uint};

use super::error::{Outcome, Refusal, Result};
use super::input::Input;
use super::matroska::{Found, Want};
use super::obu::SequenceHeader;
use super::opus_head::{OpusHead, packet_samples};
use super::{MAX_UNIT, Track, Units, WriterConfig};
use crate::picture::Size;

/// Reads the samples of one track.
pub(super) struct Reader {
    input: Input,
    demuxer: Demuxer,
    track: u32,
    /// The first sample of the track, met while its kind was looked for.
    first: Option<Place>,
    /// Boxes on their way to the demuxer.
    fed: Vec<u8>,
    /// What the edit lists add to the times of each track, in microseconds.
    edits: Vec<(u32, i128)>,
    /// What is added to the times of the wanted track: its edits, and the pre-skip of Opus.
    shift: i128,
    sound: bool,
    hidden: bool,
}

enum Demuxer {
    Plain(Box<Mp4FileDemuxer>),
    Fragmented(Box<Fmp4FileDemuxer>),
}

/// Where a sample lies, and its time in the media in microseconds.
#[derive(Clone, Copy)]
struct Place {
    track: u32,
    at: u64,
    len: u64,
    time: i128,
}

impl Reader {
    /// Reads the tables. `None` where there is no track of the wanted kind.
    pub(super) fn open(mut input: Input, want: Want) -> Result<Option<(Self, Found)>> {
        input.set_format("MP4");
        let mut fed = Vec::new();
        let mut detector = Mp4FileKindDetector::new();
        while let Some(required) = detector.required_input() {
            detector.handle_input(feed(&mut input, required, &mut fed)?);
        }
        let kind = detector.file_kind().map_err(|e| fault(&input, &e))?;
        let demuxer = match kind {
            Some(Mp4FileKind::FragmentedMp4) => Demuxer::Fragmented(Box::new(Fmp4FileDemuxer::new())),
            _ => Demuxer::Plain(Box::new(Mp4FileDemuxer::new())),
        };
        let sound = want == Want::Audio;
        let (edits, hidden) = (Vec::new(), false);
        let mut reader = Self { input, demuxer, track: 0, first: None, fed, edits, shift: 0, sound, hidden };
        reader.pump()?;
        let wanted = if want == Want::Video { TrackKind::Video } else { TrackKind::Audio };
        let tracks = match &mut reader.demuxer {
            Demuxer::Plain(demuxer) => demuxer.tracks(),
            Demuxer::Fragmented(demuxer) => demuxer.tracks(),
        };
        let tracks = tracks.map_err(|e| fault(&reader.input, &e))?;
        let Some(track) = tracks.iter().find(|track| track.kind == wanted) else { return Ok(None) };
        reader.track = track.track_id;
        let mut entry = None;
        // The sample entry comes with the first sample of its track.
        let first = loop {
            let Some((place, met)) = reader.sample()? else { return Ok(None) };
            if place.track == reader.track {
                entry = met.or(entry);
                break place;
            }
        };
        reader.first = Some(first);
        reader.shift = reader.edits.iter().find(|(track, _)| *track == reader.track).map_or(0, |(_, shift)| *shift);
        let found = match (want, entry) {
            (Want::Video, Some(SampleEntry::Av01(av01))) => {
                let size = Size::new(av01.visual.width.into(), av01.visual.height.into());
                let track = Track {
                    size: Some(size).filter(|size| size.area() > 0),
                    config: av01.av1c_box.config_obus,
                    ..Track::default()
                };
                Found { track, opus: None }
            }
            (Want::Audio, Some(SampleEntry::Opus(opus))) => {
                let dops = opus.dops_box;
                let (channels, pre_skip) = (dops.output_channel_count, dops.pre_skip);
                if !(1..=2).contains(&channels) {
                    let what = format!("Opus with {channels} channels");
                    return Err(reader.input.unsupported(what, "mix it down first"));
                }
                reader.shift += micros(pre_skip.into(), 48_000);
                let head = OpusHead { channels, pre_skip, rate: dops.input_sample_rate, gain: dops.output_gain };
                Found { track: Track::default(), opus: Some(head) }
            }
            _ => {
                let what = format!("MP4 without {}", if want == Want::Video { "AV1" } else { "Opus" });
                return Err(reader.input.unsupported(what, "only AV1 and Opus are read without ffmpeg"));
            }
        };
        Ok(Some((reader, found)))
    }

    /// Gives the demuxer the boxes it asks for.
    fn pump(&mut self) -> Result<()> {
        loop {
            let required = match &self.demuxer {
                Demuxer::Plain(demuxer) => demuxer.required_input(),
                Demuxer::Fragmented(demuxer) => demuxer.required_input(),
            };
            let Some(required) = required else { return Ok(()) };
            let fed = feed(&mut self.input, required, &mut self.fed)?;
            match &mut self.demuxer {
                Demuxer::Plain(demuxer) => demuxer.handle_input(fed),
                Demuxer::Fragmented(demuxer) => demuxer.handle_input(fed),
            }
            // The demuxer passes over edit lists; a head without its body does not decode.
            if self.fed.get(4..8) == Some(b"moov")
                && let Ok((moov, _)) = MoovBox::decode(&self.fed)
            {
                let ticks = moov.mvhd_box.timescale.get();
                self.edits = moov.trak_boxes.iter().map(|trak| (trak.tkhd_box.track_id, edit(trak, ticks))).collect();
            }
        }
    }

    /// The next sample of any track.
    fn sample(&mut self) -> Result<Option<(Place, Option<SampleEntry>)>> {
        self.pump()?;
        let sample = match &mut self.demuxer {
            Demuxer::Plain(demuxer) => demuxer.next_sample(),
            Demuxer::Fragmented(demuxer) => demuxer.next_sample(),
        };
        match sample.map_err(|e| fault(&self.input, &e))? {
            None => Ok(None),
            Some(sample) => {
                let ticks = i128::from(sample.timestamp) + i128::from(sample.composition_time_offset.unwrap_or(0));
                let time = micros(ticks.max(0), sample.track.timescale.get());
                let (at, len) = (sample.data_offset, sample.data_size as u64);
                // Checked here for every track, so that absurd tables end the search at once.
                if at.saturating_add(len) > self.input.len().unwrap_or(0) {
                    return Err(self.input.damaged(format!("a sample of {len} bytes at {at} lies beyond the end")));
                }
                let place = Place { track: sample.track.track_id, at, len, time };
                Ok(Some((place, sample.sample_entry.cloned())))
            }
        }
    }
}

impl Units for Reader {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        loop {
            let place = match self.first.take() {
                Some(place) => place,
                None => match self.sample()? {
                    Some((place, _)) => place,
                    None => return Ok(None),
                },
            };
            if place.track != self.track {
                continue;
            }
            let (start, time) = (out.len(), place.time + self.shift);
            self.input.seek_to(place.at)?;
            self.input.append(place.len, MAX_UNIT, out, "a sample")?;
            // What lies before the edit: packets are left out, since Opus needs none of those before, pictures are hidden.
            if self.sound && time < 0 && time + micros(packet_samples(&out[start..]).into(), 48_000) <= 0 {
                out.truncate(start);
                continue;
            }
            self.hidden = time < 0;
            let time = super::sane_time(time.max(0) as u128);
            return time.map(Some).ok_or_else(|| self.input.damaged("a timestamp beyond 100 years"));
        }
    }
    fn hidden(&self) -> bool {
        self.hidden
    }
}

/// What an edit list adds to the times of its track in microseconds: the empty time in front of it, less what it cuts
/// off the front. `movie` is the ticks a second of empty time.
fn edit(trak: &TrakBox, movie: u32) -> i128 {
    let entries = trak.edts_box.iter().flat_map(|edts| &edts.elst_box).flat_map(|elst| &elst.entries);
    let mut empty = 0;
    for entry in entries {
        if entry.media_time >= 0 {
            let cut = micros(entry.media_time.into(), trak.mdia_box.mdhd_box.timescale.get());
            return micros(empty, movie) - cut;
        }
        empty += i128::from(entry.edit_duration);
    }
    0
}

fn micros(ticks: i128, a_second: u32) -> i128 {
    ticks * 1_000_000 / i128::from(a_second)
}

/// Reads what is asked for, as far as the file reaches, into `fed`.
fn feed<'a>(input: &mut Input, required: RequiredInput, fed: &'a mut Vec<u8>) -> Result<Fed<'a>> {
    fed.clear();
    let len = input.len().unwrap_or(0);
    let left = len.saturating_sub(required.position);
    let size = required.size.map_or(left, |size| size as u64);
    // A box header may be asked for beyond its end; a box may not.
    if size > left && size > 64 {
        return Err(input.damaged(format!("a box of {size} bytes at {} of {len}", required.position)));
    }
    if left > 0 {
        input.seek_to(required.position)?;
        input.append(size.min(left), MAX_BOX, fed, "a box")?;
    }
    Ok(required.to_input(fed))
}

fn fault(input: &Input, error: &DemuxError) -> super::ContainerError {
    let text = match error {
        DemuxError::DecodeError(error) => error.reason.clone(),
        error => error.to_string(),
    };
    input.damaged(text.lines().next().unwrap_or_default().to_owned())
}

/// Largest box held in memory: the tables of a plain file, one fragment of a fragmented one.
const MAX_BOX: usize = 256 << 20;

/// The state of an MP4 being written. Sample data goes out as it comes, the tables at the end.
pub(super) struct Muxer {
    mux: Mp4FileMuxer,
    config: WriterConfig,
    at: u64,
    video: Lane,
    sound: Lane,
}

/// A track. Its last sample is held, since how long it lasts is known when the next one comes.
#[derive(Default)]
struct Lane {
    /// Time of the first sample in microseconds.
    first: Option<u64>,
    held: Option<Held>,
    /// The held sample's bytes.
    bytes: Vec<u8>,
}

struct Held {
    entry: Option<SampleEntry>,
    key: bool,
    /// Ticks of its track since the first sample, and for how many it lasts where none follows.
    ticks: u64,
    lasts: u64,
}

impl Lane {
    /// Ticks since the first sample, of which there are `rate` a second.
    fn ticks(&mut self, time: u64, rate: u32) -> u64 {
        let since = time.saturating_sub(*self.first.get_or_insert(time));
        let ticks = (u128::from(since) * u128::from(rate) + 500_000) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

impl Muxer {
    pub(super) fn begin(out: &mut impl Write, config: &WriterConfig) -> Outcome<Self> {
        let mux = Mp4FileMuxer::new()?;
        out.write_all(mux.initial_boxes_bytes())?;
        let at = mux.initial_boxes_bytes().len() as u64;
        Ok(Self { mux, config: config.clone(), at, video: Lane::default(), sound: Lane::default() })
    }

    pub(super) fn write(&mut self, out: &mut impl Write, unit: &[u8], time: u64, key: bool) -> Outcome<()> {
        let begun = self.video.first.is_some();
        let ticks = self.video.ticks(time, TICKS);
        self.release(out, TrackKind::Video, Some(ticks))?;
        let entry = match SequenceHeader::find(unit) {
            Some(header) if key => Some(self.video_entry(&header, unit)),
            None if !begun => return Err(Refusal::no_header()),
            _ => None,
        };
        self.video.bytes.clear();
        super::obu::without_delimiter(unit, &mut self.video.bytes).ok_or_else(Refusal::borders)?;
        let (num, den) = self.config.fps;
        let lasts = u64::from(TICKS) * u64::from(den) / u64::from(num);
        self.video.held = Some(Held { entry, key, ticks, lasts });
        Ok(())
    }

    pub(super) fn write_audio(&mut self, out: &mut impl Write, packet: &[u8], time: u64) -> Outcome<()> {
        let Some(head) = self.config.audio else { return Err(Refusal::no_audio()) };
        let mut ticks = self.sound.ticks(time, SOUND_TICKS);
        if let Some(held) = &self.sound.held {
            let end = held.ticks + held.lasts;
            ticks = if ticks.abs_diff(end) <= SLACK { end } else { ticks.max(held.ticks + 1) };
        }
        self.release(out, TrackKind::Audio, Some(ticks))?;
        self.sound.bytes.clear();
        self.sound.bytes.extend_from_slice(packet);
        let lasts = packet_samples(packet).into();
        self.sound.held = Some(Held { entry: Some(sound_entry(&head)), key: true, ticks, lasts });
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut (impl Write + Seek)) -> Outcome<()> {
        self.release(out, TrackKind::Video, None)?;
        self.release(out, TrackKind::Audio, None)?;
        let done = self.mux.finalize()?;
        for (offset, bytes) in done.offset_and_bytes_pairs() {
            out.seek(SeekFrom::Start(offset))?;
            out.write_all(bytes)?;
        }
        let (Some(head), Some(sound)) = (self.config.audio, self.sound.first) else { return Ok(()) };
        let mut moov = done.moov_box().clone();
        align(&mut moov, self.video.first.unwrap_or(sound), sound, head.pre_skip);
        // In place of the tables without edits, which are the end of the file.
        out.seek(SeekFrom::Start(self.at))?;
        out.write_all(&moov.encode_to_vec().map_err(shiguredo_mp4::mux::MuxError::from)?)?;
        Ok(())
    }

    /// Writes the held sample of a track, which lasts until `next`.
    fn release(&mut self, out: &mut impl Write, kind: TrackKind, next: Option<u64>) -> Outcome<()> {
        let sound = kind == TrackKind::Audio;
        let lane = if sound { &mut self.sound } else { &mut self.video };
        let Some(held) = lane.held.take() else { return Ok(()) };
        let lasts = next.map_or(held.lasts, |next| next.saturating_sub(held.ticks));
        let bytes = std::mem::take(&mut lane.bytes);
        let outcome = self.append(out, &bytes, |sample| {
            sample.track_kind = kind;
            sample.timescale = NonZeroU32::MIN.saturating_add(if sound { SOUND_TICKS } else { TICKS } - 1);
            sample.sample_entry = held.entry;
            sample.keyframe = held.key;
            sample.duration = u32::try_from(lasts.max(1)).unwrap_or(u32::MAX);
        });
        let lane = if sound { &mut self.sound } else { &mut self.video };
        lane.bytes = bytes;
        outcome
    }

    fn append(&mut self, out: &mut impl Write, bytes: &[u8], adjust: impl FnOnce(&mut Written)) -> Outcome<()> {
        let mut sample = Written {
            track_kind: TrackKind::Video,
            sample_entry: None,
            keyframe: true,
            timescale: NonZeroU32::MIN.saturating_add(TICKS - 1),
            duration: 0,
            composition_time_offset: None,
            data_offset: self.at,
            data_size: bytes.len(),
        };
        adjust(&mut sample);
        out.write_all(bytes)?;
        self.mux.append_sample(&sample)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn video_entry(&self, header: &SequenceHeader, unit: &[u8]) -> SampleEntry {
        let visual = VisualSampleEntryFields {
            data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            width: self.config.size.width as u16,
            height: self.config.size.height as u16,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        };
        let av1c_box = Av1cBox {
            seq_profile: Uint::new(header.profile),
            seq_level_idx_0: Uint::new(header.level),
            seq_tier_0: Uint::new(header.tier),
            high_bitdepth: (header.bit_depth > 8).into(),
            twelve_bit: (header.bit_depth == 12).into(),
            monochrome: header.monochrome.into(),
            chroma_subsampling_x: header.subsampling.0.into(),
            chroma_subsampling_y: header.subsampling.1.into(),
            chroma_sample_position: Uint::new(header.sample_position),
            initial_presentation_delay_minus_one: None,
            config_obus: super::obu::sequence_header(unit).to_vec(),
        };
        SampleEntry::Av01(Av01Box { visual, av1c_box, unknown_boxes: Vec::new() })
    }
}

fn sound_entry(head: &OpusHead) -> SampleEntry {
    let dops_box = DopsBox {
        output_channel_count: head.channels,
        pre_skip: head.pre_skip,
        input_sample_rate: head.rate,
        output_gain: head.gain,
    };
    let audio = AudioSampleEntryFields {
        data_reference_index: AudioSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        channelcount: head.channels.into(),
        samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
        samplerate: FixedPointNumber::new(48_000, 0),
    };
    SampleEntry::Opus(OpusBox { audio, dops_box, unknown_boxes: Vec::new() })
}

/// Gives the tracks edit lists, so that each begins in its time, the earlier one at 0, and the pre-skip is cut off.
/// Without one every track begins at 0, pre-skip and all. `video` and `sound` are times in microseconds.
fn align(moov: &mut MoovBox, video: u64, sound: u64, pre_skip: u16) {
    let movie = u128::from(moov.mvhd_box.timescale.get());
    let is_sound = |trak: &TrakBox| trak.mdia_box.hdlr_box.handler_type == HdlrBox::HANDLER_TYPE_SOUN;
    // The picture leads, though sound may have come first.
    moov.trak_boxes.sort_by_key(is_sound);
    for (number, trak) in (1..).zip(&mut moov.trak_boxes) {
        trak.tkhd_box.track_id = number;
        let (first, cut) = if is_sound(trak) { (sound, u64::from(pre_skip)) } else { (video, 0) };
        let late = u128::from(first - video.min(sound)) * movie / 1_000_000;
        let media = &trak.mdia_box.mdhd_box;
        let length = u128::from(media.duration.saturating_sub(cut)) * movie;
        let length = length.div_ceil(media.timescale.get().into());
        let entry = |duration: u128, media_time| ElstEntry {
            edit_duration: u64::try_from(duration).unwrap_or(u64::MAX),
            media_time,
            media_rate: FixedPointNumber::new(1, 0),
        };
        let empty = (late > 0).then(|| entry(late, -1));
        let entries: Vec<_> = empty.into_iter().chain([entry(length, cut as i64)]).collect();
        trak.tkhd_box.duration = entries.iter().fold(0, |sum, entry| entry.edit_duration.saturating_add(sum));
        trak.edts_box = Some(EdtsBox { elst_box: Some(ElstBox { entries }), unknown_boxes: Vec::new() });
    }
    let longest = moov.trak_boxes.iter().map(|trak| trak.tkhd_box.duration).max();
    moov.mvhd_box.duration = longest.unwrap_or(moov.mvhd_box.duration);
}

/// Ticks a second of the video track: the usual frame rates come out whole.
const TICKS: u32 = 90_000;
/// Ticks a second of the sound, which are samples.
const SOUND_TICKS: u32 = 48_000;
/// Ticks by which the time of a packet may miss the end of the one before, as times in milliseconds do: 10 ms.
const SLACK: u64 = 480;
