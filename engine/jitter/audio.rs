//! Audio packets on their way to the speaker: a delay that follows the network's jitter, and a plan for every gap.
//!
//! The target delay covers nearly all of the lateness seen lately. It rises within a few packets and falls over seconds.
//! The delay follows it both ways. It grows where a packet is missing while less than the target lies ahead: the gap is
//! concealed and the packet may still come. It shrinks by leaving a packet out, at most one a second, where more than
//! the target lies ahead; packets that are missing anyway are left out at once. Nothing ahead means that time passes
//! and no packet is given up, so that after a pause of the sender the first packet is played, and after an outage of the
//! network the delay is what it was. A clock that runs apart is followed by the same means.

use crate::sorted::Sorted;
use crate::time::Time;

/// Packets held at most: two seconds of 20 ms packets.
const CAPACITY: usize = 100;

/// The target covers this share of the lateness seen lately, in percent.
const COVERED: u32 = 97;

/// Lateness is counted in steps of 5 ms, up to 500 ms.
const STEP_US: u64 = 5_000;
const STEPS: usize = 100;

/// Each packet makes the memory of the earlier ones fade by 1/256: half is gone after 180 packets, 3.6 s at 20 ms.
const FADE: u32 = 256;

/// Pulls between two packets left out: a second of 20 ms packets.
const SHORTEN_EVERY: u32 = 50;

/// Packets beyond the target that are let be.
const SLACK: u64 = 2;

/// So much more beyond it is a burst after a stall of the network: it is left out at once.
const BURST_US: u64 = 200_000;

/// Packets whose fastest way tells how fast the network is; the packets before those count too, until there are as many.
const SPAN: u32 = 256;

/// Pulls that are concealed while nothing is here, two seconds of 20 ms packets; then it is quiet, as while the sender is
/// muted.
const DRY: u32 = 100;

/// What to play for the next packet's worth of time.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// This packet.
    Packet(T),
    /// The packet is lost, the one after it is here: its in-band FEC fills the gap. See [`AudioBuffer::peek`].
    Fec,
    /// The packet is not here: conceal.
    Conceal,
    /// Nothing has been played yet, or the delay is being built up: silence.
    Wait,
}

/// Counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Packets inserted.
    pub inserted: u64,
    /// Packets played.
    pub played: u64,
    /// Gaps filled from the FEC of the packet after.
    pub fec: u64,
    /// Gaps concealed.
    pub concealed: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets left out to shorten the delay, missing ones included.
    pub shortened: u64,
    /// Concealments put in to lengthen the delay.
    pub lengthened: u64,
    /// Packets dropped for want of room.
    pub displaced: u64,
}

/// The jitter buffer of one audio stream, by unwrapped sequence number.
pub struct AudioBuffer<T> {
    held: Sorted<T>,
    next: Option<u64>,
    packet_us: u64,
    /// Smallest transit (arrival less media time) of the packets of this span and of the one before: the path without
    /// queueing.
    base: [i64; 2],
    spanned: u32,
    histogram: [u32; STEPS],
    target_us: u64,
    /// Most that lay ahead in the last pulls: what lies ahead falls by the lateness of the newest packet.
    level_us: u64,
    /// Pulls since a packet was left out.
    settled: u32,
    /// Pulls since nothing is here.
    dry: u32,
    dropped: Vec<T>,
    stats: Stats,
}

impl<T> AudioBuffer<T> {
    /// A buffer for packets of `packet_us` microseconds.
    pub fn new(packet_us: u64) -> Self {
        Self {
            held: Sorted::new(CAPACITY + 1),
            next: None,
            packet_us,
            base: [i64::MAX; 2],
            spanned: 0,
            histogram: [0; STEPS],
            target_us: 2 * packet_us,
            level_us: 0,
            settled: 0,
            dry: 0,
            dropped: Vec::with_capacity(CAPACITY),
            stats: Stats::default(),
        }
    }

    /// Takes the packet `sequence` (unwrapped) whose media begin at `media` on the sender's clock. Refused items come
    /// back.
    pub fn insert(&mut self, sequence: u64, media: Time, item: T, now: Time) -> Option<T> {
        self.stats.inserted += 1;
        self.observe(media, now);
        if self.next.is_some_and(|next| sequence < next) {
            self.stats.late += 1;
            return Some(item);
        }
        if self.held.contains(sequence) {
            self.stats.duplicates += 1;
            return Some(item);
        }
        self.held.insert(sequence, item);
        if self.held.len() <= CAPACITY {
            return None;
        }
        self.stats.displaced += 1;
        let (oldest, item) = self.held.pop_first()?;
        self.next = self.next.map(|next| next.max(oldest + 1));
        Some(item)
    }

    /// What to play next; called once per packet duration.
    pub fn pull(&mut self) -> Pull<T> {
        let Some(last) = self.held.last() else {
            // Dry: time passes and no packet is given up.
            self.dry = self.dry.saturating_add(1);
            return if self.next.is_some() && self.dry <= DRY { self.lengthen() } else { Pull::Wait };
        };
        self.dry = 0;
        let Some(next) = self.next.or_else(|| self.begin(last)) else { return Pull::Wait };
        let ahead = (last + 1).saturating_sub(next) * self.packet_us;
        self.level_us = ahead.max(self.level_us.saturating_sub(self.packet_us / 16));
        self.settled = self.settled.saturating_add(1);
        let next = self.shorten(next, last, ahead);
        if let Some(item) = self.held.remove(next) {
            self.next = Some(next + 1);
            self.stats.played += 1;
            return Pull::Packet(item);
        }
        if self.level_us + self.packet_us / 2 < self.target_us {
            return self.lengthen();
        }
        self.next = Some(next + 1);
        if self.held.contains(next + 1) {
            self.stats.fec += 1;
            return Pull::Fec;
        }
        self.stats.concealed += 1;
        Pull::Conceal
    }

    /// Playing begins once the target delay lies in the buffer.
    fn begin(&mut self, last: u64) -> Option<u64> {
        let (first, _) = self.held.first()?;
        if (last - first + 1) * self.packet_us >= self.target_us {
            self.next = Some(first);
        }
        self.next
    }

    /// The delay grows by one packet. Where it has grown for long nothing lies ahead after all.
    fn lengthen(&mut self) -> Pull<T> {
        self.level_us = (self.level_us + self.packet_us).min(self.target_us);
        self.stats.lengthened += 1;
        self.stats.concealed += 1;
        Pull::Conceal
    }

    /// Leaves out what lies too far behind the newest packet; returns the packet to play.
    fn shorten(&mut self, next: u64, last: u64, ahead: u64) -> u64 {
        let most = self.target_us + SLACK * self.packet_us;
        if ahead <= most {
            return next;
        }
        // Missing packets cost nothing: go on where the next one is, or where the delay is right.
        let first = self.held.first().map_or(next, |(first, _)| first.max(next));
        let right = (last + 1).saturating_sub(most / self.packet_us);
        let mut to = first.min(right).max(next);
        if ahead > most + BURST_US {
            while self.held.first().is_some_and(|(at, _)| at < right) {
                self.dropped.extend(self.held.pop_first().map(|(_, item)| item));
            }
            to = right.max(next);
        } else if to == next && self.settled > SHORTEN_EVERY && self.held.contains(next) {
            let skipped = self.held.remove(next);
            self.dropped.extend(skipped);
            self.settled = 0;
            to = next + 1;
        }
        self.stats.shortened += to - next;
        self.level_us = self.level_us.saturating_sub((to - next) * self.packet_us);
        self.next = Some(to);
        to
    }

    /// The packet that the next pull will play: after [`Pull::Fec`] the one with the redundancy.
    pub fn peek(&self) -> Option<&T> {
        self.held.get(self.next?)
    }

    /// A packet that was left out, so that its buffer is used again.
    pub fn dropped(&mut self) -> Option<T> {
        self.dropped.pop()
    }

    /// The delay aimed at, beyond the network's own.
    pub fn target_us(&self) -> u64 {
        self.target_us
    }

    /// Microseconds of sound from the next packet to the newest one.
    pub fn depth_us(&self) -> u64 {
        let (Some(next), Some(last)) = (self.next, self.held.last()) else { return 0 };
        (last + 1).saturating_sub(next) * self.packet_us
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Learns from one packet how late packets come, against the fastest of the lately seen.
    fn observe(&mut self, media: Time, now: Time) {
        // The sender's clock is whatever it says.
        let transit = now.0.min(1 << 60) as i64 - media.0.min(1 << 60) as i64;
        // A path that becomes longer, or a clock that drifts or stood still, is lateness for two spans at most.
        if self.spanned == SPAN {
            (self.base, self.spanned) = ([i64::MAX, self.base[0]], 0);
        }
        self.spanned += 1;
        self.base[0] = self.base[0].min(transit);
        let base = self.base[0].min(self.base[1]);
        let step = ((transit - base) as u64 / STEP_US).min(STEPS as u64 - 1) as usize;
        for count in &mut self.histogram {
            *count -= count.div_ceil(FADE);
        }
        self.histogram[step] += 1 << 16;
        let total: u64 = self.histogram.iter().map(|c| u64::from(*c)).sum();
        let mut seen = 0;
        let covered = self.histogram.iter().position(|count| {
            seen += u64::from(*count);
            seen * 100 >= total * u64::from(COVERED)
        });
        let lateness = (covered.unwrap_or(STEPS - 1) as u64 + 1) * STEP_US;
        self.target_us = (lateness + self.packet_us).clamp(2 * self.packet_us, 400_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms over a path with this jitter and loss; returns the pulls.
    fn play(jitter_ms: u64, lost: impl Fn(u64) -> bool) -> (AudioBuffer<u64>, Vec<Pull<u64>>) {
        let mut random = fastrand::Rng::with_seed(9);
        let mut arrivals: Vec<(u64, u64)> =
            (0..1_000).filter(|i| !lost(*i)).map(|i| (i * 20 + 30 + random.u64(..=jitter_ms), i)).collect();
        arrivals.sort_unstable();
        let (mut buffer, mut pulls, mut arrivals) =
            (AudioBuffer::new(20_000), Vec::new(), arrivals.into_iter().peekable());
        for ms in (0..20_500).step_by(20) {
            while let Some((at, i)) = arrivals.next_if(|(at, _)| *at <= ms) {
                buffer.insert(i, Time::from_ms(i * 20), i, Time::from_ms(at));
            }
            pulls.push(buffer.pull());
        }
        (buffer, pulls)
    }

    #[test]
    fn a_calm_path_plays_every_packet_with_little_delay() {
        let (buffer, _) = play(0, |_| false);
        assert_eq!(buffer.stats().played, 1_000);
        assert!(buffer.target_us() <= 40_000);
    }

    #[test]
    fn the_delay_follows_the_jitter() {
        let (calm, _) = play(5, |_| false);
        let (rough, _) = play(150, |_| false);
        assert!(rough.target_us() > calm.target_us() + 80_000, "{} {}", rough.target_us(), calm.target_us());
        assert!(rough.stats().played > 940, "{:?}", rough.stats());
    }

    #[test]
    fn a_lost_packet_is_filled_from_the_next_and_a_run_is_concealed() {
        // Of a run of three, the last is filled from the packet after it.
        let (buffer, pulls) = play(5, |i| i == 100 || (200..203).contains(&i));
        let last = pulls.iter().rposition(|p| matches!(p, Pull::Packet(_))).expect("plays");
        let concealed = pulls[..last].iter().filter(|p| **p == Pull::Conceal).count();
        // The buffer runs dry in either gap: time passes, and the delay is greater by that.
        assert!((2..=4).contains(&concealed), "{concealed}");
        assert!(buffer.stats().fec >= 1 && buffer.stats().played == 996, "{:?}", buffer.stats());
    }

    #[test]
    fn every_pull_after_the_first_packet_has_something_to_play() {
        let (_, pulls) = play(80, |i| i % 17 == 3);
        let first = pulls.iter().position(|p| matches!(p, Pull::Packet(_))).expect("plays");
        assert!(!pulls[first..].contains(&Pull::Wait));
    }

    /// Plays `seconds` of 20 ms packets through a path of this delay (`None`: lost), the sender's clock fast by `ppm`.
    /// Calls `watch` with the second and the buffer after each pull.
    fn follow(
        seconds: u64,
        ppm: i64,
        delay_us: impl Fn(u64) -> Option<u64>,
        mut watch: impl FnMut(u64, &AudioBuffer<u64>, &Pull<u64>),
    ) -> AudioBuffer<u64> {
        let sent = |i: u64| ((i as i64 * 20_000) - (i as i64 * ppm) / 50) as u64;
        let mut arrivals: Vec<(u64, u64)> =
            (0..seconds * 50).filter_map(|i| Some((sent(i) + delay_us(i)?, i))).collect();
        arrivals.sort_unstable();
        let (mut buffer, mut arrivals) = (AudioBuffer::new(20_000), arrivals.into_iter().peekable());
        for now in (0..seconds * 1_000_000).step_by(20_000) {
            while let Some((at, i)) = arrivals.next_if(|(at, _)| *at <= now) {
                // The sender stamps by its own clock.
                buffer.insert(i, Time(i * 20_000), i, Time(at));
            }
            let pull = buffer.pull();
            watch(now / 1_000_000, &buffer, &pull);
            while buffer.dropped().is_some() {}
        }
        buffer
    }

    /// A number from 0 to `bound`, the same for the same packet.
    fn luck(packet: u64, bound: u64) -> u64 {
        fastrand::Rng::with_seed(packet * 7919 + 5).u64(..=bound)
    }

    #[test]
    fn the_delay_grows_quickly_under_jitter_and_shrinks_slowly_after_it() {
        // Calm for 20 s, rough for 20 s, calm for 60 s.
        let delay = |i: u64| Some(30_000 + if (1_000..2_000).contains(&i) { luck(i, 160_000) } else { luck(i, 4_000) });
        let (mut depths, mut lost) = ([0; 100], [0; 100]);
        follow(100, 0, delay, |second, buffer, pull| {
            depths[second as usize] = depths[second as usize].max(buffer.depth_us());
            lost[second as usize] += u32::from(*pull == Pull::Conceal);
        });
        assert!(depths[10..20].iter().all(|d| *d <= 60_000), "{depths:?}");
        assert!(depths[22] >= 140_000, "within two seconds: {depths:?}");
        assert!(lost[23..40].iter().sum::<u32>() < 30, "{lost:?}");
        assert!(depths[42] >= 100_000 && depths[99] <= 100_000, "{depths:?}");
        assert!(depths[50..].windows(2).all(|w| w[1] <= w[0] + 20_000), "{depths:?}");
    }

    #[test]
    fn bursts_of_loss_are_concealed_and_leave_no_lasting_delay() {
        // Every 4 s a burst of 3 to 12 packets.
        let lost = |i: u64| i % 200 >= 150 && i % 200 < 153 + luck(i / 200, 9);
        let mut depths = Vec::new();
        let buffer = follow(
            120,
            0,
            |i| (!lost(i)).then(|| 30_000 + luck(i, 10_000)),
            |_, buffer, _| {
                depths.push(buffer.depth_us());
            },
        );
        let (stats, gone) = (*buffer.stats(), (0..6_000).filter(|i| lost(*i)).count() as u64);
        assert!(stats.played + 60 >= 6_000 - gone, "{stats:?}");
        assert!(stats.fec >= 20 && stats.concealed <= gone, "{gone} lost, {stats:?}");
        assert!(depths.iter().max() < Some(&400_000) && depths[5_900..].iter().max() < Some(&300_000), "{stats:?}");
    }

    #[test]
    fn clocks_that_run_apart_neither_drain_nor_fill_the_buffer() {
        for ppm in [-200, 200] {
            let (mut least, mut most, mut concealed) = (u64::MAX, 0, 0);
            let buffer = follow(
                600,
                ppm,
                |i| Some(30_000 + luck(i, 8_000)),
                |second, buffer, pull| {
                    if second >= 5 {
                        (least, most) = (least.min(buffer.depth_us()), most.max(buffer.depth_us()));
                        concealed += u32::from(*pull == Pull::Conceal);
                    }
                },
            );
            // 200 ppm are 120 ms, six packets, in ten minutes.
            let stats = buffer.stats();
            assert!(most <= 120_000, "{ppm}: {least} to {most}, {stats:?}");
            assert!(concealed <= 12 && stats.late <= 12, "{ppm}: {stats:?}");
            assert!(stats.played >= 29_950, "{ppm}: {stats:?}");
        }
    }

    #[test]
    fn after_a_pause_of_the_sender_the_first_packet_is_played() {
        let mut buffer = AudioBuffer::new(20_000);
        let mut heard = Vec::new();
        for slot in 0..750u64 {
            // Packet numbers do not run while nothing is sent.
            let packet = match slot {
                0..250 => Some(slot),
                500.. => Some(slot - 250),
                _ => None,
            };
            if let Some(packet) = packet {
                buffer.insert(packet, Time(slot * 20_000), packet, Time(slot * 20_000 + 30_000));
            }
            if let Pull::Packet(packet) = buffer.pull() {
                heard.push(packet);
            }
        }
        assert!(heard.iter().copied().eq(0..heard.len() as u64) && heard.len() >= 495, "{:?}", buffer.stats());
        assert!(buffer.depth_us() <= 60_000);
    }

    #[test]
    fn after_an_outage_of_the_network_the_delay_is_what_it_was() {
        let (mut before, mut after, mut resumed) = (0, 0, None);
        follow(
            30,
            0,
            |i| (!(500..750).contains(&i)).then_some(30_000),
            |second, buffer, pull| {
                match second {
                    ..9 => before = buffer.depth_us(),
                    17.. => after = after.max(buffer.depth_us()),
                    _ => {}
                }
                if second >= 15 && resumed.is_none() && matches!(pull, Pull::Packet(_)) {
                    resumed = Some(second);
                }
            },
        );
        assert_eq!(resumed, Some(15));
        assert!(after <= before + 40_000, "{before} {after}");
    }

    #[test]
    fn after_a_mute_late_packets_are_waited_for_as_before() {
        // Silent for a minute, and then rough. The numbers of packets do not run while nothing is sent.
        let lost = |mute: u64| {
            let mut arrivals: Vec<_> = (0..4_000)
                .map(|i| ((i + if i < 500 { 0 } else { mute }) * 20_000, i))
                .map(|(at, i)| (at + 30_000, at, i))
                .collect();
            for arrival in arrivals.iter_mut().filter(|(.., i)| *i >= 500) {
                arrival.0 += luck(arrival.2, 160_000);
            }
            arrivals.sort_unstable();
            let (mut buffer, mut arrivals, mut quiet) = (AudioBuffer::new(20_000), arrivals.into_iter().peekable(), 0);
            for now in (0..(4_000 + mute) * 20_000).step_by(20_000) {
                while let Some((at, media, i)) = arrivals.next_if(|(at, ..)| *at <= now) {
                    buffer.insert(i, Time(media), i, Time(at));
                }
                quiet += u64::from(buffer.pull() == Pull::Wait);
                while buffer.dropped().is_some() {}
            }
            let stats = *buffer.stats();
            (stats.late, stats.fec, stats.concealed, quiet)
        };
        let (without, with) = (lost(0), lost(3_000));
        assert!(with.0 <= without.0 + 20 && with.1 <= without.1 + 20, "{without:?} {with:?}");
        // A mute is no loss.
        assert!(with.2 <= without.2 + 130 && with.3 >= 2_800, "{without:?} {with:?}");
    }

    #[test]
    fn a_burst_after_a_stall_is_not_played_out_late() {
        // Nothing comes for 1.9 s, and then all of it at once.
        let stalls = |i: u64| Some(if (1_000..1_095).contains(&i) { 1_930_000 - (i - 1_000) * 20_000 } else { 30_000 });
        let mut depths = [0; 60];
        follow(60, 0, stalls, |second, buffer, _| {
            depths[second as usize] = depths[second as usize].max(buffer.depth_us());
        });
        assert!(depths[24] <= 650_000 && depths[59] <= 100_000, "{depths:?}");
    }

    #[test]
    fn a_clock_that_stood_still_is_no_lateness_for_long() {
        let mut buffer = AudioBuffer::new(20_000);
        for i in 0..3_000u64 {
            // The sender sleeps for a minute, of which its clock knows nothing.
            let now = i * 20_000 + if i < 1_000 { 30_000 } else { 60_030_000 };
            buffer.insert(i, Time(i * 20_000), i, Time(now));
            buffer.pull();
            while buffer.dropped().is_some() {}
        }
        assert_eq!(buffer.target_us(), 40_000);
        assert!(buffer.depth_us() <= 80_000, "{}", buffer.depth_us());
        // Nor does one break what it says.
        buffer.insert(3_000, Time(u64::MAX), 3_000, Time(0));
        buffer.insert(3_001, Time(0), 3_001, Time(u64::MAX));
    }

    #[test]
    fn stays_bounded_whatever_comes() {
        let mut buffer = AudioBuffer::new(20_000);
        let mut random = fastrand::Rng::with_seed(2);
        for i in 0..20_000u64 {
            buffer.insert(random.u64(..i + 200), Time(random.u64(..1 << 40)), i, Time(random.u64(..1 << 40)));
            if random.bool() {
                buffer.pull();
            }
            assert!(buffer.held.len() <= CAPACITY);
            while buffer.dropped().is_some() {}
        }
    }
}
