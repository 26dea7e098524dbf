//! A speech-like voice: 48 kHz, mono, seeded, and the same for every way of reading it.
//!
//! Time is cut into breath groups of [`GROUP_SECONDS`]; each draws its phrase from the seed and ends in a pause, so
//! that any sample is found by rendering one group. A glottal pulse train with a falling pitch contour runs through
//! four formant resonators that glide from vowel to vowel; consonants are shaped noise.

use crate::capture::math::{cosine, decay, hash, hash3, mix, sine, smooth, unit};
use crate::time::Time;

/// Samples a second.
pub const RATE: u32 = 48_000;

/// Length of one breath group, its pause included.
pub const GROUP_SECONDS: u64 = 4;

/// An endless speech-like track, read in order or from any sample on.
#[derive(Clone)]
pub struct Voice {
    seed: u64,
    next: u64,
    group: Option<u64>,
    samples: Vec<i16>,
}

impl Voice {
    /// The voice of `seed`, at its first sample. Seeds differ in pitch, tempo and words.
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 0, group: None, samples: Vec::new() }
    }

    /// The sample that [`fill`](Self::fill) reads next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Reads from `sample` on.
    pub fn seek(&mut self, sample: u64) {
        self.next = sample;
    }

    /// Writes the next samples, mono. Allocates on the first call alone.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let (group, offset) = (self.next / GROUP, (self.next % GROUP) as usize);
            if self.group != Some(group) {
                render(self.seed, group, &mut self.samples);
                self.group = Some(group);
            }
            let count = rest.len().min(GROUP as usize - offset);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&self.samples[offset..offset + count]);
            rest = later;
            self.next = self.next.wrapping_add(count as u64);
        }
    }
}

/// How the mouth stands at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mouth {
    /// 0 closed, 1 wide open; follows the loudness of the voice.
    pub open: f32,
    /// 0 rounded lips, 1 drawn wide.
    pub wide: f32,
}

/// The mouth of the voice of `seed` at `at`, for whoever draws the speaker.
pub fn envelope(seed: u64, at: Time) -> Mouth {
    let group_us = GROUP_SECONDS * 1_000_000;
    let second = (at.0 % group_us) as f32 / 1e6;
    let phrase = Phrase::new(seed, at.0 / group_us);
    let Some((syllable, t)) = phrase.at(second) else { return Mouth::default() };
    let vowel = &VOWELS[syllable.vowel];
    Mouth { open: syllable.level(t) * vowel.open, wide: vowel.wide }
}

/// What one breath group says.
struct Phrase {
    syllables: [Syllable; SYLLABLES_MAX],
    count: usize,
    pitch: f32,
}

/// A consonant and a vowel.
#[derive(Clone, Copy, Default)]
struct Syllable {
    /// Seconds from the start of the group.
    start: f32,
    /// Seconds.
    length: f32,
    /// Index into [`VOWELS`].
    vowel: usize,
    /// Share of the syllable that is consonant; 0 for none.
    onset: f32,
    /// The consonant hisses; otherwise it is a closure.
    hiss: bool,
    /// Loudness, about 1.
    stress: f32,
}

impl Phrase {
    fn new(seed: u64, group: u64) -> Self {
        let key = hash3(seed, 0x766f_6963, group as i64);
        let draw = |n: usize, k: u64| unit(hash3(key, n as i64, k as i64));
        let tempo = mix(0.16, 0.21, unit(hash(seed ^ 3)));
        let end = mix(2.5, 3.6, draw(0, 1));
        let mut phrase = Self {
            syllables: [Syllable::default(); SYLLABLES_MAX],
            count: 0,
            pitch: mix(95.0, 205.0, unit(hash(seed ^ 4))),
        };
        let mut start = 0.12 + 0.2 * draw(0, 2);
        for n in 1..=SYLLABLES_MAX {
            let length = tempo * mix(0.75, 1.45, draw(n, 3));
            if start + length > end {
                break;
            }
            phrase.syllables[phrase.count] = Syllable {
                start,
                length,
                vowel: (draw(n, 4) * VOWELS.len() as f32) as usize % VOWELS.len(),
                onset: if draw(n, 5) < 0.8 { mix(0.15, 0.38, draw(n, 6)) } else { 0.0 },
                hiss: draw(n, 7) < 0.45,
                stress: mix(0.6, 1.0, draw(n, 8)),
            };
            phrase.count += 1;
            start += length;
            // Words end now and then, and some with a short rest.
            if draw(n, 9) < 0.16 {
                start += mix(0.05, 0.22, draw(n, 10));
            }
        }
        phrase
    }

    /// The syllable at `second`, and how far into it, 0…1.
    fn at(&self, second: f32) -> Option<(&Syllable, f32)> {
        let syllable = self.syllables[..self.count].iter().rev().find(|s| s.start <= second)?;
        let t = (second - syllable.start) / syllable.length;
        (t < 1.0).then_some((syllable, t))
    }
}

impl Syllable {
    /// Loudness of the voiced part.
    fn level(&self, t: f32) -> f32 {
        self.stress * smooth(self.onset * 0.7, self.onset + 0.22, t) * (1.0 - smooth(0.70, 1.0, t) * 0.92)
    }

    /// Loudness of the noise part.
    fn noise(&self, t: f32) -> f32 {
        if self.onset == 0.0 {
            return 0.0;
        }
        let u = t / self.onset;
        match self.hiss {
            true => smooth(0.0, 0.35, u) * (1.0 - smooth(0.75, 1.15, u)),
            // Silence, then a burst.
            false => smooth(0.72, 0.76, u) * (1.0 - smooth(0.8, 1.1, u)) * 0.8,
        }
    }
}

/// Two poles: `y = g·x + a·y1 + b·y2`, unity gain at 0 Hz.
#[derive(Clone, Copy, Default)]
struct Resonator {
    gain: f64,
    a: f64,
    b: f64,
    y1: f64,
    y2: f64,
}

impl Resonator {
    fn tune(&mut self, hertz: f64, width: f64) {
        let r = decay(std::f64::consts::PI * width / f64::from(RATE));
        self.a = 2.0 * r * cosine(std::f64::consts::TAU * hertz / f64::from(RATE));
        self.b = -r * r;
        self.gain = 1.0 - self.a - self.b;
    }

    fn step(&mut self, x: f64) -> f64 {
        let y = self.gain * x + self.a * self.y1 + self.b * self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

/// Renders one breath group. All filters start at rest, for the group before ends in silence.
fn render(seed: u64, group: u64, out: &mut Vec<i16>) {
    out.clear();
    out.reserve(GROUP as usize);
    let phrase = Phrase::new(seed, group);
    let tract = mix(0.93, 1.13, unit(hash(seed ^ 4)));
    let mut formants = [Resonator::default(); 4];
    let mut hiss = Resonator::default();
    hiss.tune(5200.0, 2200.0);
    let mut target = [500.0f32, 1500.0, 2500.0];
    let (mut turn, mut pitch, mut voiced, mut noisy) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    let (mut throat_last, mut white_last) = (0.0f64, 0.0f64);
    for n in 0..GROUP {
        // Targets move once a millisecond.
        if n % CONTROL == 0 {
            let second = n as f32 / RATE as f32;
            let (mut level, mut rush) = (0.0, 0.0);
            if let Some((syllable, t)) = phrase.at(second) {
                for (now, goal) in target.iter_mut().zip(VOWELS[syllable.vowel].formants) {
                    *now += (goal - *now) * 0.035;
                }
                level = syllable.level(t);
                rush = syllable.noise(t);
            }
            for (k, formant) in formants.iter_mut().enumerate() {
                let hertz = target.get(k).copied().unwrap_or(3500.0) * tract;
                formant.tune(f64::from(hertz), WIDTHS[k]);
            }
            // Pitch falls through the phrase and rises with stress.
            let fall = 1.12 - 0.07 * second + 0.05 * sine(second * 1.7) + 0.012 * sine(second * 5.1);
            pitch = f64::from(phrase.pitch * fall * (0.96 + 0.08 * level)) / f64::from(RATE);
            voiced += (f64::from(level) - voiced) * 0.25;
            noisy += (f64::from(rush) - noisy) * 0.35;
        }
        let white = f64::from(unit(hash3(seed ^ 0x6e6f, group as i64, n as i64)) * 2.0 - 1.0);
        turn += pitch;
        turn -= turn.floor();
        // A glottal pulse: opens slowly, shuts fast; breath rides on the open phase.
        let flow = if turn < 0.6 { turn * turn * (0.6 - turn) * 31.25 } else { 0.0 };
        let source = (flow - 0.35 + white * flow * 0.06) * voiced;
        let throat = formants.iter_mut().fold(source, |x, formant| formant.step(x));
        // Lips radiate the change of pressure, hence the differences.
        let rush = hiss.step(white - white_last) * noisy;
        let mouth = (throat - 0.96 * throat_last) * 8.5 + rush * 0.16;
        (throat_last, white_last) = (throat, white);
        let room = white * 0.0006;
        // Bends before it clips.
        let level = mouth * 1.3 + room;
        out.push((level / (1.0 + level.abs()) * 28_000.0) as i16);
    }
}

/// Samples of one breath group.
const GROUP: u64 = GROUP_SECONDS * RATE as u64;

/// Samples between two settings of the filters.
const CONTROL: u64 = 48;

/// A phrase holds no more.
const SYLLABLES_MAX: usize = 32;

/// Bandwidths of the formants, in hertz.
const WIDTHS: [f64; 4] = [70.0, 95.0, 130.0, 220.0];

struct Vowel {
    /// The first three formants, in hertz.
    formants: [f32; 3],
    open: f32,
    wide: f32,
}

const VOWELS: [Vowel; 7] = [
    Vowel { formants: [730.0, 1090.0, 2440.0], open: 1.0, wide: 0.5 },
    Vowel { formants: [530.0, 1840.0, 2480.0], open: 0.65, wide: 0.8 },
    Vowel { formants: [290.0, 2250.0, 2950.0], open: 0.4, wide: 1.0 },
    Vowel { formants: [570.0, 860.0, 2410.0], open: 0.8, wide: 0.15 },
    Vowel { formants: [320.0, 880.0, 2240.0], open: 0.45, wide: 0.0 },
    Vowel { formants: [660.0, 1720.0, 2410.0], open: 0.9, wide: 0.7 },
    Vowel { formants: [500.0, 1400.0, 2300.0], open: 0.55, wide: 0.45 },
];
