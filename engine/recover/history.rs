//! The packets a sender keeps for retransmission: the last so many, by sequence number.

use crate::frame::Packet;
use crate::time::Time;

/// A packet of data goes out again after this time, unasked: data is little, and a proof that comes after a round trip
/// may come too late. The time lets a burst of loss pass. In microseconds.
pub const REPEAT_US: u64 = 30_000;

/// A packet older than this is not sent again: the receiver has given it up.
const MAX_AGE_US: u64 = 1_000_000;

/// A packet is sent again at most so often,
const MAX_RESENDS: u8 = 8;

/// and never twice within this time, which no shorter round trip undercuts by much.
const MIN_GAP_US: u64 = 15_000;

struct Kept {
    packet: Packet,
    sequence: u16,
    /// `None` until the first packet lies here.
    sent: Option<Time>,
    last: Time,
    resends: u8,
}

/// A ring of packets. All memory is taken at the start.
pub struct History {
    ring: Vec<Kept>,
}

impl History {
    /// Keeps the last `capacity` packets (a power of two, so that sequence numbers wrap evenly).
    pub fn new(capacity: usize) -> Self {
        let empty = |_| Kept { packet: Packet::empty(), sequence: 0, sent: None, last: Time::default(), resends: 0 };
        Self { ring: (0..capacity.next_power_of_two()).map(empty).collect() }
    }

    /// The place of the RTP packet `sequence`, sent at `now`, for the caller to write: packets are copied once, from the
    /// sealed frame into this ring. The packet `capacity` before it is forgotten.
    pub fn place(&mut self, sequence: u16, now: Time) -> &mut Packet {
        let slot = usize::from(sequence) % self.ring.len();
        let kept = &mut self.ring[slot];
        (kept.sequence, kept.sent, kept.last, kept.resends) = (sequence, Some(now), now, 0);
        &mut kept.packet
    }

    /// The packet to be sent again; `None` where it is gone, too old, or was sent again just now or too often.
    pub fn resend(&mut self, sequence: u16, now: Time) -> Option<&Packet> {
        let slot = usize::from(sequence) % self.ring.len();
        let kept = &mut self.ring[slot];
        let sent = kept.sent.filter(|_| kept.sequence == sequence)?;
        if now.since(sent) > MAX_AGE_US || kept.resends >= MAX_RESENDS || now.since(kept.last) < MIN_GAP_US {
            return None;
        }
        kept.resends += 1;
        kept.last = now;
        Some(&kept.packet)
    }

    /// The packet to be sent again though nobody asked; `None` where it is gone or went out within [`REPEAT_US`]. It does
    /// not count among the resends.
    pub fn repeat(&mut self, sequence: u16, now: Time) -> Option<&Packet> {
        let slot = usize::from(sequence) % self.ring.len();
        let kept = &mut self.ring[slot];
        kept.sent.filter(|_| kept.sequence == sequence && now.since(kept.last) >= REPEAT_US)?;
        kept.last = now;
        Some(&kept.packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16) -> Packet {
        let [high, low] = sequence.to_be_bytes();
        Packet::new(&[0x80, 96, high, low, 1]).expect("short")
    }

    #[test]
    fn keeps_the_newest_and_forgets_the_oldest() {
        let mut history = History::new(16);
        (65_530..65_536).chain(0..20).for_each(|s| *history.place(s as u16, Time(0)) = packet(s as u16));
        let later = Time::from_ms(50);
        assert!(history.resend(3, later).is_none());
        assert_eq!(history.resend(19, later).map(|p| p.as_slice()[3]), Some(19));
        assert!(history.resend(65_535, later).is_none());
    }

    #[test]
    fn resends_neither_too_often_nor_too_late() {
        let mut history = History::new(16);
        *history.place(1, Time(0)) = packet(1);
        assert!(history.resend(1, Time::from_ms(5)).is_none());
        let sent = (1..100).filter(|i| history.resend(1, Time::from_ms(20 * i)).is_some()).count();
        assert_eq!(sent, MAX_RESENDS as usize);
        *history.place(2, Time(0)) = packet(2);
        assert!(history.resend(2, Time::from_ms(1_100)).is_none());
    }

    #[test]
    fn repeats_what_has_not_gone_out_for_a_while() {
        let mut history = History::new(16);
        (1..4).for_each(|s| *history.place(s, Time(0)) = packet(s));
        assert!(history.resend(2, Time::from_ms(20)).is_some());
        let repeated: Vec<u16> = (0..5).filter(|s| history.repeat(*s, Time::from_ms(30)).is_some()).collect();
        assert_eq!(repeated, [1, 3]);
        assert!(history.repeat(1, Time::from_ms(59)).is_none());
        assert!(history.repeat(3, Time::from_ms(60)).is_some());
        assert!(history.resend(1, Time::from_ms(60)).is_some());
    }
}
