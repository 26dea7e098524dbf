//! A simulated network path: seeded loss, delay, jitter, reorder, duplication, corruption and a rate limit, in
//! virtual time. The same seed and the same input give the same output bytes at the same times. All memory is taken at
//! the start.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::frame::Packet;
use crate::time::Time;

/// Loss in bursts: a two-state chain (Gilbert-Elliott), shares between 0 and 1.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Chance, per packet, that a burst begins.
    pub enter: f32,
    /// Chance, per packet, that it ends.
    pub leave: f32,
    /// Chance of loss inside a burst.
    pub loss: f32,
}

/// What the path does to packets. The default is a perfect path without delay.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Everything random follows from it.
    pub seed: u64,
    /// Random loss, in percent.
    pub loss: f32,
    /// Loss in bursts, beside the random loss.
    pub burst: Option<Burst>,
    /// Delay of every packet.
    pub delay_us: u64,
    /// Up to so much is added to it, uniformly; packets keep their order unless `reorder` picks them.
    pub jitter_us: u64,
    /// Packets that may overtake and be overtaken, in percent.
    pub reorder: f32,
    /// Packets that arrive twice, in percent; the copy is made behind the slow part of the path.
    pub duplicate: f32,
    /// Packets with one flipped bit, in percent.
    pub corrupt: f32,
    /// Bits a second that the path carries.
    pub rate_bps: Option<u64>,
    /// Bytes that wait for a slow path before the next are dropped; 0 stands for 256 KiB.
    pub queue_bytes: usize,
}

/// What became of the packets: `sent + duplicated` is `delivered + lost + overflowed` and those on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Packets put in.
    pub sent: u64,
    /// Bytes put in.
    pub bytes: u64,
    /// Packets taken out.
    pub delivered: u64,
    /// Lost at random.
    pub lost_random: u64,
    /// Lost in a burst.
    pub lost_burst: u64,
    /// Dropped because too much waited.
    pub overflowed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets allowed to leave their order.
    pub reordered: u64,
}

impl Stats {
    /// Packets lost for whatever cause.
    pub fn lost(&self) -> u64 {
        self.lost_random + self.lost_burst + self.overflowed
    }
}

/// Packets on the way at most; one more is an overflow.
const ON_THE_WAY: usize = 8192;

/// Bytes that wait where the configuration names none.
const QUEUE_BYTES: u64 = 256 << 10;

/// See the module.
pub struct Netem {
    config: Config,
    random: fastrand::Rng,
    in_burst: bool,
    /// When the link has sent what waits.
    busy_until: Time,
    /// Latest delivery of a packet that keeps its order.
    last: Time,
    /// Delivery time, order of submission, slot.
    heap: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slots: Vec<Packet>,
    free: Vec<usize>,
    order: u64,
    stats: Stats,
}

impl Netem {
    /// An empty path.
    pub fn new(config: Config) -> Self {
        Self {
            random: fastrand::Rng::with_seed(config.seed),
            config,
            in_burst: false,
            busy_until: Time(0),
            last: Time(0),
            heap: BinaryHeap::with_capacity(ON_THE_WAY),
            slots: Vec::with_capacity(ON_THE_WAY),
            free: Vec::with_capacity(ON_THE_WAY),
            order: 0,
            stats: Stats::default(),
        }
    }

    /// Puts a datagram in at `now`; longer ones than [`crate::frame::MAX_PACKET`] count as overflowed.
    pub fn push(&mut self, datagram: &[u8], now: Time) {
        self.stats.sent += 1;
        self.stats.bytes += datagram.len() as u64;
        // Every packet draws the same numbers, so that one setting does not shift the luck of the next packet.
        let draws: [f32; 7] = std::array::from_fn(|_| self.random.f32() * 100.0);
        let [lost, burst_turn, burst_lost, jitter, reorder, duplicate, corrupt] = draws;
        if lost < self.config.loss {
            self.stats.lost_random += 1;
            return;
        }
        if self.lost_in_burst(burst_turn / 100.0, burst_lost / 100.0) {
            self.stats.lost_burst += 1;
            return;
        }
        let Some(leaves) = self.leaves(datagram.len(), now) else {
            self.stats.overflowed += 1;
            return;
        };
        let mut at = leaves.plus(self.config.delay_us + (self.config.jitter_us as f32 * jitter / 100.0) as u64);
        if reorder < self.config.reorder {
            self.stats.reordered += 1;
            at = at.plus(self.config.jitter_us.max(1_000));
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        let flip =
            (corrupt < self.config.corrupt && !datagram.is_empty()).then(|| self.random.usize(..datagram.len() * 8));
        self.stats.corrupted += u64::from(flip.is_some());
        self.schedule(datagram, flip, at);
        if duplicate < self.config.duplicate {
            self.stats.duplicated += 1;
            self.schedule(datagram, flip, at.plus(self.config.jitter_us / 2));
        }
    }

    /// The next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Time) -> Option<Packet> {
        let Reverse((at, _, slot)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        self.free.push(slot);
        self.stats.delivered += 1;
        Some(self.slots[slot].clone())
    }

    /// When the next packet arrives.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn lost_in_burst(&mut self, turn: f32, lost: f32) -> bool {
        let Some(burst) = self.config.burst else { return false };
        self.in_burst = if self.in_burst { turn >= burst.leave } else { turn < burst.enter };
        self.in_burst && lost < burst.loss
    }

    /// When a packet of `len` bytes has left a link of limited rate; `None` where the queue is full.
    fn leaves(&mut self, len: usize, now: Time) -> Option<Time> {
        let Some(rate) = self.config.rate_bps else { return Some(now) };
        let rate = rate.max(1);
        let queue = match self.config.queue_bytes {
            0 => QUEUE_BYTES,
            bytes => bytes as u64,
        };
        let begins = self.busy_until.max(now);
        if begins.since(now).saturating_mul(rate) / 8_000_000 > queue {
            return None;
        }
        self.busy_until = begins.plus((len as u64 * 8_000_000).div_ceil(rate));
        Some(self.busy_until)
    }

    fn schedule(&mut self, datagram: &[u8], flip: Option<usize>, at: Time) {
        let packet = if self.heap.len() < ON_THE_WAY { Packet::new(datagram) } else { None };
        let Some(mut packet) = packet else {
            self.stats.overflowed += 1;
            return;
        };
        if let Some(bit) = flip {
            packet.spare()[bit / 8] ^= 1 << (bit % 8);
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = packet;
                slot
            }
            None => {
                self.slots.push(packet);
                self.slots.len() - 1
            }
        };
        self.order += 1;
        self.heap.push(Reverse((at, self.order, slot)));
    }
}

/// A reliable way that keeps the order, as TCP is on a path that loses little: messages of any length, each at the
/// rate of the path and behind those before it. What a loss would add is not modelled.
pub struct Pipe {
    delay_us: u64,
    rate_bps: Option<u64>,
    free_at: Time,
    on_the_way: VecDeque<(Time, Arc<[u8]>)>,
    bytes: u64,
}

impl Pipe {
    /// A way of `delay_us` microseconds at `rate_bps` bits a second; without a rate a message takes the delay alone.
    pub fn new(delay_us: u64, rate_bps: Option<u64>) -> Self {
        Self { delay_us, rate_bps, free_at: Time(0), on_the_way: VecDeque::new(), bytes: 0 }
    }

    /// Sends `message`.
    pub fn push(&mut self, message: Arc<[u8]>, now: Time) {
        let bits = message.len() as u64 * 8;
        let takes = self.rate_bps.map_or(0, |rate| bits * 1_000_000 / rate.max(1));
        self.free_at = self.free_at.max(now).plus(takes);
        self.bytes += message.len() as u64;
        self.on_the_way.push_back((self.free_at.plus(self.delay_us), message));
    }

    /// The next message that has arrived by `now`.
    pub fn pop(&mut self, now: Time) -> Option<Arc<[u8]>> {
        let due = self.on_the_way.front().is_some_and(|(at, _)| *at <= now);
        if due { self.on_the_way.pop_front().map(|(_, message)| message) } else { None }
    }

    /// When the next message arrives.
    pub fn next_at(&self) -> Option<Time> {
        self.on_the_way.front().map(|(at, _)| *at)
    }

    /// Bytes sent so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: Config, packets: u32) -> (Vec<(Time, Vec<u8>)>, Stats) {
        let mut path = Netem::new(config);
        let mut out = Vec::new();
        for i in 0..packets {
            let now = Time(u64::from(i) * 1_000);
            path.push(&i.to_be_bytes(), now);
            while let Some(packet) = path.pop(now) {
                out.push((now, packet.as_slice().to_vec()));
            }
        }
        while let Some(at) = path.next_at() {
            out.push((at, path.pop(at).expect("has arrived").as_slice().to_vec()));
        }
        (out, *path.stats())
    }

    fn bad() -> Config {
        let burst = Some(Burst { enter: 0.01, leave: 0.3, loss: 0.8 });
        Config {
            seed: 5,
            loss: 5.0,
            burst,
            delay_us: 20_000,
            jitter_us: 10_000,
            reorder: 3.0,
            duplicate: 2.0,
            corrupt: 1.0,
            ..Config::default()
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
        assert_eq!(run(bad(), 5_000), run(bad(), 5_000));
        assert_ne!(run(bad(), 5_000).0, run(Config { seed: 6, ..bad() }, 5_000).0);
    }

    #[test]
    fn every_packet_is_accounted_for() {
        let (out, stats) = run(bad(), 20_000);
        assert_eq!(stats.sent + stats.duplicated, stats.delivered + stats.lost());
        assert_eq!(out.len() as u64, stats.delivered);
        let share = stats.lost_random as f64 / stats.sent as f64;
        assert!((0.04..0.06).contains(&share), "{share}");
        assert!(stats.lost_burst > 100 && stats.corrupted > 100 && stats.reordered > 300 && stats.duplicated > 200);
    }

    #[test]
    fn a_perfect_path_changes_nothing() {
        let (out, _) = run(Config::default(), 100);
        assert!(
            out.iter()
                .enumerate()
                .all(|(i, (at, bytes))| at.0 == i as u64 * 1_000 && *bytes == (i as u32).to_be_bytes())
        );
    }

    #[test]
    fn jitter_alone_keeps_the_order() {
        let (out, _) = run(Config { jitter_us: 50_000, ..Config::default() }, 2_000);
        assert!(out.windows(2).all(|w| w[0].1 < w[1].1 && w[0].0 <= w[1].0));
    }

    /// The share of `count` in the packets put in.
    fn share(count: u64, stats: &Stats) -> f64 {
        count as f64 / stats.sent as f64
    }

    #[test]
    fn random_loss_has_its_rate_and_no_memory() {
        let (out, stats) = run(Config { seed: 1, loss: 8.0, ..Config::default() }, 100_000);
        assert!((0.077..0.083).contains(&share(stats.lost_random, &stats)), "{stats:?}");
        let arrived: Vec<u32> =
            out.iter().map(|(_, bytes)| u32::from_be_bytes(bytes[..].try_into().unwrap())).collect();
        let gaps: Vec<u32> = arrived.windows(2).map(|w| w[1] - w[0] - 1).filter(|gap| *gap > 0).collect();
        let mean = gaps.iter().sum::<u32>() as f64 / gaps.len() as f64;
        // A run of independent losses is 1 / (1 - p) long.
        assert!((1.06..1.12).contains(&mean), "{mean}");
    }

    #[test]
    fn bursts_have_their_share_and_their_length() {
        let burst = Some(Burst { enter: 0.01, leave: 0.2, loss: 1.0 });
        let (out, stats) = run(Config { seed: 2, burst, ..Config::default() }, 200_000);
        // In the long run the chain is inside a burst for enter / (enter + leave) of the time.
        assert!((0.042..0.054).contains(&share(stats.lost_burst, &stats)), "{stats:?}");
        let arrived: Vec<u32> =
            out.iter().map(|(_, bytes)| u32::from_be_bytes(bytes[..].try_into().unwrap())).collect();
        let gaps: Vec<u32> = arrived.windows(2).map(|w| w[1] - w[0] - 1).filter(|gap| *gap > 0).collect();
        let mean = gaps.iter().sum::<u32>() as f64 / gaps.len() as f64;
        assert!((4.6..5.4).contains(&mean), "a burst lasts 1 / leave packets, not {mean}");
        let half = Some(Burst { enter: 0.01, leave: 0.2, loss: 0.5 });
        let (_, halved) = run(Config { seed: 2, burst: half, ..Config::default() }, 200_000);
        let ratio = halved.lost_burst as f64 / stats.lost_burst as f64;
        assert!((0.46..0.54).contains(&ratio), "{ratio}");
    }

    #[test]
    fn delay_is_exact_and_jitter_fills_its_range() {
        let (out, _) = run(Config { delay_us: 40_000, ..Config::default() }, 1_000);
        assert!(out.iter().enumerate().all(|(i, (at, _))| at.0 == i as u64 * 1_000 + 40_000));
        // Packets a second apart do not hold each other up.
        let mut path = Netem::new(Config { seed: 3, delay_us: 40_000, jitter_us: 20_000, ..Config::default() });
        let mut extra: Vec<u64> = (0..10_000u64)
            .map(|i| {
                path.push(&[1], Time(i * 1_000_000));
                let at = path.next_at().expect("on its way");
                path.pop(at);
                at.since(Time(i * 1_000_000 + 40_000))
            })
            .collect();
        extra.sort_unstable();
        assert!(extra[0] < 50 && extra[9_999] <= 20_000 && extra[9_999] > 19_900);
        assert!(extra[5_000].abs_diff(10_000) < 500, "{}", extra[5_000]);
    }

    #[test]
    fn picked_packets_are_overtaken_and_the_others_are_not() {
        let config = Config { seed: 4, jitter_us: 10_000, reorder: 5.0, ..Config::default() };
        let (out, stats) = run(config, 20_000);
        assert!((0.045..0.055).contains(&share(stats.reordered, &stats)), "{stats:?}");
        let mut highest = None;
        let overtaken = out.iter().filter(|(_, bytes)| {
            let late = Some(bytes) < highest;
            highest = highest.max(Some(bytes));
            late
        });
        let overtaken = overtaken.count() as u64;
        assert!(overtaken > stats.reordered * 8 / 10 && overtaken <= stats.reordered, "{overtaken} {stats:?}");
        assert_eq!(stats.delivered, stats.sent);
    }

    #[test]
    fn copies_and_flipped_bits_have_their_rates() {
        let (out, stats) = run(Config { seed: 5, duplicate: 4.0, corrupt: 3.0, ..Config::default() }, 50_000);
        assert!((0.037..0.043).contains(&share(stats.duplicated, &stats)), "{stats:?}");
        assert!((0.027..0.033).contains(&share(stats.corrupted, &stats)), "{stats:?}");
        // A packet is sent every millisecond and arrives at once: the time says which it was.
        let flipped = |(at, bytes): &(Time, Vec<u8>)| {
            let sent = ((at.0 / 1_000) as u32).to_be_bytes();
            sent.iter().zip(bytes).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        };
        assert!(out.iter().all(|packet| flipped(packet) <= 1), "one bit at most");
        let damaged = out.iter().filter(|packet| flipped(packet) == 1).count() as u64;
        assert!(damaged >= stats.corrupted && damaged < stats.corrupted * 11 / 10, "copies are damaged like the first");
    }

    #[test]
    fn a_slow_path_carries_its_rate_and_its_queue_is_bounded() {
        let config = Config { rate_bps: Some(1_000_000), queue_bytes: 10_000, ..Config::default() };
        let mut path = Netem::new(config);
        let (mut bytes, mut longest) = (0, 0);
        // Twice what the path carries: 250 bytes a millisecond.
        for ms in 0..20_000u64 {
            let mut datagram = [0; 250];
            datagram[..8].copy_from_slice(&ms.to_be_bytes());
            path.push(&datagram, Time::from_ms(ms));
            while let Some(packet) = path.pop(Time::from_ms(ms)) {
                bytes += packet.as_slice().len();
                let sent = packet.as_slice().first_chunk().map(|sent| u64::from_be_bytes(*sent));
                longest = longest.max(ms - sent.expect("has 8 bytes"));
            }
        }
        assert!((bytes as f64 / 2_500_000.0 - 1.0).abs() < 0.01, "{bytes} bytes in 20 s");
        // 10,000 bytes and one packet take 82 ms at this rate.
        assert!((80..=83).contains(&longest), "{longest} ms");
        assert!((0.49..0.51).contains(&share(path.stats().overflowed, path.stats())), "{:?}", path.stats());
    }

    #[test]
    fn a_slow_path_delays_and_then_drops() {
        let (out, stats) = run(Config { rate_bps: Some(16_000), queue_bytes: 100, ..Config::default() }, 2_000);
        assert!(stats.overflowed > 500, "{stats:?}");
        assert!(out.windows(2).all(|w| w[1].0.since(w[0].0) >= 2_000));
    }

    #[test]
    fn a_pipe_keeps_order_and_rate() {
        let mut pipe = Pipe::new(50_000, Some(10_000_000));
        for len in [125_000usize, 1, 12_500] {
            pipe.push(vec![len as u8; len].into(), Time(0));
        }
        // 125,000 bytes take 100 ms at 10 Mbit/s, the byte behind them next to nothing, the last 10 ms.
        assert_eq!(pipe.next_at(), Some(Time(150_000)));
        assert!(pipe.pop(Time(149_999)).is_none());
        let lens: Vec<usize> = std::iter::from_fn(|| pipe.pop(Time(150_010))).map(|message| message.len()).collect();
        assert_eq!(lens, [125_000, 1]);
        assert_eq!((pipe.next_at(), pipe.bytes()), (Some(Time(160_000)), 137_501));
    }
}
