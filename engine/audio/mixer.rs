//! Many remote speakers into one sound: volumes that move without a click, a bounded number of voices, a soft limiter.
//!
//! Each person has a seat with a small store, since packets come when they come and the mix is taken by the beat. Nothing
//! is allocated once a seat is taken.

use super::level::{self, Meter};
use super::{BLOCK, RATE};

/// A person's place in the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat(usize);

/// How a mixer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of the mix, 1 or 2.
    pub channels: u8,
    /// Seats at most.
    pub seats: usize,
    /// Voices mixed at once: the loudest.
    pub voices: usize,
}

impl Default for Config {
    /// Beyond eight voices at once nobody understands a word.
    fn default() -> Self {
        Self { channels: 2, seats: 256, voices: 8 }
    }
}

/// Counters of a mixer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Blocks mixed.
    pub blocks: u64,
    /// Frames that found no room in their seat.
    pub overfull: u64,
    /// Times that a seat ran dry while it was speaking.
    pub dry: u64,
    /// Blocks in which voices were left out for louder ones.
    pub crowded: u64,
    /// Blocks in which the limiter was at work.
    pub limited: u64,
}

/// Frames that a seat holds at most, 200 ms, and those it wants before it begins: a packet of 20 ms and a block, so that
/// packets may come 10 ms late.
const ROOM: usize = 20 * BLOCK;
const BEGIN: usize = 3 * BLOCK;
/// It waits so many blocks for that much at most: a shorter sound is played too.
const PATIENCE: u8 = 2;

/// See the module.
pub struct Mixer {
    config: Config,
    seats: Vec<Option<Place>>,
    limiter: Limiter,
    /// The block of one seat.
    voice: Vec<f32>,
    /// Levels of the seats that sound, the loudest first.
    order: Vec<(f32, usize)>,
    stats: Stats,
}

struct Place {
    /// Interleaved, as a ring.
    store: Box<[f32]>,
    read: usize,
    len: usize,
    playing: bool,
    waited: u8,
    /// Last frame that was played, from which a dry seat fades out.
    last: [f32; 2],
    volume: f32,
    /// Volume reached, one to which it moves within a block included.
    gain: f32,
    meter: Meter,
}

impl Mixer {
    /// A mixer without anybody.
    pub fn new(config: Config) -> Self {
        let channels = config.channels.clamp(1, 2);
        let config = Config { channels, seats: config.seats.max(1), voices: config.voices.max(1) };
        Self {
            seats: Vec::new(),
            limiter: Limiter::default(),
            voice: vec![0.0; BLOCK * usize::from(channels)],
            order: Vec::with_capacity(config.seats),
            stats: Stats::default(),
            config,
        }
    }

    /// Channels of the mix.
    pub fn channels(&self) -> u8 {
        self.config.channels
    }

    /// A seat for somebody new, at full volume; `None` where all are taken.
    pub fn join(&mut self) -> Option<Seat> {
        let free = self.seats.iter().position(Option::is_none);
        let seat = free.or_else(|| {
            (self.seats.len() < self.config.seats).then(|| {
                self.seats.push(None);
                self.seats.len() - 1
            })
        })?;
        self.seats[seat] = Some(Place::new(usize::from(self.config.channels)));
        Some(Seat(seat))
    }

    /// Somebody leaves.
    pub fn leave(&mut self, seat: Seat) {
        if let Some(place) = self.seats.get_mut(seat.0) {
            *place = None;
        }
    }

    /// How loud somebody is to be: 1 as he is, 0 not at all, 4 at most.
    pub fn set_volume(&mut self, seat: Seat, volume: f32) {
        if let Some(place) = self.place(seat) {
            place.volume = if volume.is_finite() { volume.clamp(0.0, 4.0) } else { 1.0 };
        }
    }

    /// Somebody's next samples: interleaved, 48 kHz, of 1 or 2 channels.
    pub fn feed(&mut self, seat: Seat, pcm: &[i16], channels: u8) {
        let out = usize::from(self.config.channels);
        let Some(place) = self.place(seat) else { return };
        let frames = pcm.len() / usize::from(channels.clamp(1, 2));
        place.meter.feed(level::dbfs(pcm), frames);
        let lost = place.feed(pcm, usize::from(channels.clamp(1, 2)), out);
        self.stats.overfull += lost as u64;
    }

    /// Somebody's level as it came, before his volume.
    pub fn level_dbfs(&self, seat: Seat) -> Option<f32> {
        Some(self.seats.get(seat.0)?.as_ref()?.meter.dbfs())
    }

    /// Microseconds of sound that wait in a seat.
    pub fn waiting_us(&self, seat: Seat) -> u64 {
        let len = self.seats.get(seat.0).and_then(Option::as_ref).map_or(0, |place| place.len);
        (len / usize::from(self.config.channels)) as u64 * 1_000_000 / u64::from(RATE)
    }

    /// Mixes the next 10 ms into `out`, which has [`BLOCK`] frames of the mix's channels.
    ///
    /// # Panics
    /// `out` has another length.
    pub fn mix(&mut self, out: &mut [f32]) {
        let channels = usize::from(self.config.channels);
        assert_eq!(out.len(), BLOCK * channels, "a block of the mix");
        out.fill(0.0);
        self.stats.blocks += 1;
        self.order.clear();
        let seats = self.seats.iter().enumerate();
        let sounding = seats.filter_map(|(at, place)| {
            place.as_ref().filter(|p| p.len > 0).map(|p| (p.meter.dbfs() + 20.0 * p.volume.max(1e-6).log10(), at))
        });
        self.order.extend(sounding);
        self.order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        self.stats.crowded += u64::from(self.order.len() > self.config.voices);
        for (at, place) in self.seats.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            let loud = self.order.iter().take(self.config.voices).any(|(_, seat)| *seat == at);
            let goal = if loud || place.len == 0 { place.volume } else { 0.0 };
            self.stats.dry += u64::from(place.take(&mut self.voice, channels));
            // A volume moves over the block, so that it does not click.
            let step = (goal - place.gain) / BLOCK as f32;
            for (frame, mixed) in self.voice.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
                place.gain += step;
                mixed.iter_mut().zip(frame).for_each(|(mixed, sample)| *mixed += sample * place.gain);
            }
            place.gain = goal;
        }
        self.stats.limited += u64::from(self.limiter.run(out, channels));
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn place(&mut self, seat: Seat) -> Option<&mut Place> {
        self.seats.get_mut(seat.0)?.as_mut()
    }
}

impl Place {
    fn new(channels: usize) -> Self {
        Self {
            store: vec![0.0; ROOM * channels].into_boxed_slice(),
            read: 0,
            len: 0,
            playing: false,
            waited: 0,
            last: [0.0; 2],
            volume: 1.0,
            gain: 1.0,
            meter: Meter::default(),
        }
    }

    /// Puts samples in, with `out` channels; returns the frames without room.
    fn feed(&mut self, pcm: &[i16], channels: usize, out: usize) -> usize {
        let mut lost = 0;
        for frame in pcm.chunks_exact(channels) {
            if self.len + out > self.store.len() {
                lost += 1;
                continue;
            }
            let sample = |at: usize| f32::from(frame[at.min(channels - 1)]) / 32_768.0;
            for channel in 0..out {
                let value = if out < channels { (sample(0) + sample(1)) / 2.0 } else { sample(channel) };
                let place = (self.read + self.len) % self.store.len();
                self.store[place] = value;
                self.len += 1;
            }
        }
        lost
    }

    /// Takes a block out; whether the seat ran dry. What is missing is a short fade from the last sample, and a beginning
    /// fades in.
    fn take(&mut self, out: &mut [f32], channels: usize) -> bool {
        let mut begins = false;
        if !self.playing && self.len > 0 {
            self.waited += 1;
            begins = self.len >= BEGIN * channels || self.waited > PATIENCE;
            self.playing = begins;
        }
        let frames = if self.playing { (self.len / channels).min(BLOCK) } else { 0 };
        for (n, frame) in out.chunks_exact_mut(channels).enumerate() {
            if n < frames {
                for sample in frame.iter_mut() {
                    *sample = self.store[self.read];
                    self.read = (self.read + 1) % self.store.len();
                }
                self.len -= channels;
                if begins {
                    frame.iter_mut().for_each(|sample| *sample *= ((n + 1) as f32 / FADE as f32).min(1.0));
                }
                self.last[..channels].copy_from_slice(frame);
            } else {
                self.last.iter_mut().for_each(|last| *last *= TAIL);
                frame.copy_from_slice(&self.last[..channels]);
            }
        }
        let dry = self.playing && frames < BLOCK;
        if dry {
            (self.playing, self.waited) = (false, 0);
        }
        dry
    }
}

/// Frames over which a beginning fades in, 5 ms, and what is left of a sound that stops from one frame to the next: it is
/// gone after 5 ms.
pub(super) const FADE: usize = 240;
pub(super) const TAIL: f32 = 0.98;

/// Keeps the mix below full scale: down at once, up within a fifth of a second, both channels alike.
#[derive(Default)]
struct Limiter {
    envelope: f32,
}

/// Nothing is louder: -1 dBFS.
const CEILING: f32 = 0.891;
/// What is left of the envelope from one frame to the next.
const RELEASE: f32 = 0.999_9;

impl Limiter {
    fn run(&mut self, out: &mut [f32], channels: usize) -> bool {
        let mut worked = false;
        for frame in out.chunks_exact_mut(channels) {
            let peak = frame.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
            self.envelope = peak.max(self.envelope * RELEASE);
            if self.envelope > CEILING {
                worked = true;
                frame.iter_mut().for_each(|sample| *sample *= CEILING / self.envelope);
            }
        }
        worked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, amplitude: f64, from: usize, frames: usize) -> Vec<i16> {
        let turn = std::f64::consts::TAU * hertz / 48_000.0;
        (from..from + frames).map(|n| ((turn * n as f64).sin() * amplitude * 32_767.0) as i16).collect()
    }

    fn mono(voices: usize) -> Mixer {
        Mixer::new(Config { channels: 1, seats: 16, voices })
    }

    /// Largest bend of a sound: what a click makes large.
    fn bend(pcm: &[f32]) -> f32 {
        pcm.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_mix_is_the_sum_and_a_volume_moves_without_a_click() {
        let mut mixer = mono(8);
        let [a, b] = [mixer.join().expect("room"), mixer.join().expect("room")];
        let (mut out, mut all) = (vec![0.0; BLOCK], Vec::new());
        for packet in 0..50 {
            mixer.feed(a, &tone(400.0, 0.2, packet * 960, 960), 1);
            mixer.feed(b, &tone(400.0, 0.3, packet * 960, 960), 1);
            if packet == 30 {
                mixer.set_volume(b, 0.0);
            }
            for _ in 0..2 {
                mixer.mix(&mut out);
                all.extend_from_slice(&out);
            }
        }
        let peak = |pcm: &[f32]| pcm.iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!((peak(&all[20 * 480..58 * 480]) - 0.5).abs() < 0.01);
        assert!((peak(&all[70 * 480..]) - 0.2).abs() < 0.01);
        assert!(bend(&all[10 * 480..]) < 0.002, "{}", bend(&all[10 * 480..]));
        assert_eq!((mixer.stats().dry, mixer.stats().limited), (0, 0));
    }

    #[test]
    fn a_seat_that_runs_dry_fades_and_begins_anew() {
        let mut mixer = mono(8);
        let seat = mixer.join().expect("room");
        let (mut out, mut all) = (vec![0.0; BLOCK], Vec::new());
        for packet in 0..40 {
            // Cut off at the crest.
            if packet < 10 || packet > 20 {
                mixer.feed(seat, &tone(412.5, 0.5, packet * 960, 960), 1);
            }
            for _ in 0..2 {
                mixer.mix(&mut out);
                all.extend_from_slice(&out);
            }
        }
        assert_eq!(mixer.stats().dry, 1);
        let jump = all.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(jump < 0.035, "{jump}");
        assert!(all[30 * 480..31 * 480].iter().all(|s| s.abs() < 1e-3));
    }

    #[test]
    fn packets_that_come_late_or_in_bursts_leave_no_gap() {
        let mut mixer = mono(8);
        let seat = mixer.join().expect("room");
        let mut random = fastrand::Rng::with_seed(5);
        let mut arrivals: Vec<u64> = (0..500).map(|n| n * 20 + random.u64(..10)).collect();
        arrivals.sort_unstable();
        let (mut out, mut next) = (vec![0.0; BLOCK], 0);
        for ms in 0..9_900u64 {
            while next < arrivals.len() && arrivals[next] <= ms {
                mixer.feed(seat, &tone(400.0, 0.5, next * 960, 960), 1);
                next += 1;
            }
            if ms % 10 == 5 {
                mixer.mix(&mut out);
            }
        }
        assert_eq!((mixer.stats().dry, mixer.stats().overfull), (0, 0));
        assert!(mixer.waiting_us(seat) <= 40_000);
    }

    #[test]
    fn many_loud_voices_are_limited_and_the_quietest_are_left_out() {
        let mut mixer = mono(3);
        let seats: Vec<Seat> = (0..16).map(|_| mixer.join().expect("room")).collect();
        assert_eq!(mixer.join(), None);
        let mut out = vec![0.0; BLOCK];
        for packet in 0..20 {
            for (n, seat) in seats.iter().enumerate() {
                mixer.feed(*seat, &tone(200.0 + 100.0 * n as f64, 0.6 / (1.0 + n as f64 / 4.0), packet * 960, 960), 1);
            }
            for _ in 0..2 {
                mixer.mix(&mut out);
                assert!(out.iter().all(|s| s.abs() <= CEILING + 1e-6));
            }
        }
        let stats = *mixer.stats();
        assert!(stats.crowded > 30 && stats.limited > 30, "{stats:?}");
        // The eleventh voice, alone at its frequency, is not heard.
        let energy = |hertz: f64| {
            let turn = std::f64::consts::TAU * hertz / 48_000.0;
            let sum = out.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, s)| {
                let angle = turn * i as f64;
                (re + f64::from(*s) * angle.cos(), im + f64::from(*s) * angle.sin())
            });
            (sum.0.powi(2) + sum.1.powi(2)).sqrt() / 240.0
        };
        assert!(energy(200.0) > 0.15 && energy(1_300.0) < 0.02, "{} {}", energy(200.0), energy(1_300.0));
        mixer.leave(seats[3]);
        assert_eq!(mixer.join(), Some(seats[3]));
    }

    #[test]
    fn channels_are_doubled_and_mixed_down_and_a_flood_is_bounded() {
        for (channels, from) in [(1u8, 2u8), (2, 1)] {
            let mut mixer = Mixer::new(Config { channels, ..Config::default() });
            let seat = mixer.join().expect("room");
            for _ in 0..30 {
                mixer.feed(seat, &vec![8_192; 960 * usize::from(from)], from);
            }
            assert_eq!(mixer.waiting_us(seat), 200_000);
            assert_eq!(mixer.stats().overfull, 30 * 960 - ROOM as u64);
            let mut out = vec![0.0; BLOCK * usize::from(channels)];
            mixer.mix(&mut out);
            assert!(out[out.len() / 2..].iter().all(|s| (s - 0.25).abs() < 1e-6));
        }
    }
}
