//! Everything that is measured while the meeting goes on.

use std::collections::BTreeMap;

use conclave::codecs::AudioInput;
use conclave::data::Peer;
use conclave::e2ee::IdentityKey;
use conclave::e2ee::group::Event as Group;
use conclave::gathering::alarm::Alarm;
use conclave::gathering::{Audience, Word};
use conclave::party::Event;
use conclave::time::Time;

use super::media::{PACKET_US, Place};
use super::seat::Seat;
use super::sim::SPEAKERS;

/// What is known of one seat.
#[derive(Default)]
pub struct Track {
    /// When it was let in, by its own first epoch.
    pub welcomed: Option<Time>,
    pub first_picture: Option<Time>,
    pub left: Option<Time>,
    pub alarms: Vec<(Time, Alarm)>,
    /// The last packet heard of each.
    heard: BTreeMap<Peer, u64>,
    epoch: Option<u64>,
    ticks: u64,
}

/// Somebody who goes.
pub struct Leaver {
    pub identity: IdentityKey,
    /// Put out by the host.
    pub kick: bool,
    pub asked: Time,
    /// The first epoch without it.
    pub gone_in: Option<u64>,
    /// When the last frame was sealed that it could open.
    pub last: Time,
}

/// See the module.
#[derive(Default)]
pub struct Watch {
    pub tracks: Vec<Track>,
    pub leavers: Vec<Leaver>,
    /// Epochs that the host saw begin.
    pub epochs: u64,
    pub control_messages: u64,
    pub media_bytes: u64,
    pub datagrams: u64,
    pub heard: u64,
    pub pictures: u64,
    /// Longest stretch of sound that somebody missed, in microseconds.
    pub gap_us: u64,
    /// What the security code of each epoch is taken over, and the epochs in which not all saw the same.
    views: BTreeMap<u64, Vec<u8>>,
    /// How often one was compared with them.
    looks: u64,
    pub parted: Vec<u64>,
}

impl Watch {
    /// The track of a seat.
    pub fn track(&mut self, seat: usize) -> &mut Track {
        if self.tracks.len() <= seat {
            self.tracks.resize_with(seat + 1, Track::default);
        }
        &mut self.tracks[seat]
    }

    /// Somebody sealed a frame under `epoch`.
    pub fn sealed(&mut self, epoch: u64, now: Time) {
        for leaver in self.leavers.iter_mut().filter(|leaver| leaver.gone_in.is_none_or(|gone| epoch < gone)) {
            leaver.last = now;
        }
    }

    /// Alarms of all, by kind, with how often.
    pub fn alarms(&self) -> BTreeMap<Alarm, u64> {
        let mut all = BTreeMap::new();
        for (_, alarm) in self.tracks.iter().flat_map(|track| &track.alarms) {
            *all.entry(*alarm).or_default() += 1;
        }
        all
    }

    /// What the code of each epoch was taken over, and how many looks were compared.
    #[cfg(test)]
    pub fn codes(&self) -> (Vec<&Vec<u8>>, u64) {
        (self.views.values().collect(), self.looks)
    }

    fn event(&mut self, seat: usize, one: &mut Seat, event: &Event, now: Time) {
        let alarm = Alarm::of(event);
        self.track(seat).alarms.extend(alarm.map(|alarm| (now, alarm)));
        match event {
            // Seat 0 is the host, and lets in whoever knocks.
            Event::Group(Group::Knock { key_package, .. }) if seat == 0 => one.admit(key_package, now),
            Event::Group(Group::Changed { epoch, gone, .. }) if seat == 0 => {
                self.epochs += 1;
                for (member, _) in gone {
                    let leavers = self.leavers.iter_mut().filter(|leaver| leaver.gone_in.is_none());
                    let going = leavers.filter(|leaver| leaver.identity == member.identity);
                    going.for_each(|leaver| leaver.gone_in = Some(*epoch));
                }
            }
            Event::Epoch { .. } => drop(self.track(seat).welcomed.get_or_insert(now)),
            Event::Group(Group::Left(_)) => self.track(seat).left = Some(now),
            _ => {}
        }
    }

    /// All who are in one epoch see one meeting.
    fn compare(&mut self, seat: usize, one: &mut Seat) {
        let epoch = one.epoch();
        if std::mem::replace(&mut self.track(seat).epoch, epoch) == epoch {
            return;
        }
        let (Some(epoch), Some(view)) = (epoch, one.view()) else { return };
        self.looks += 1;
        if *self.views.entry(epoch).or_insert_with(|| view.clone()) != view {
            self.parted.push(epoch);
        }
    }

    fn hear(&mut self, seat: usize, one: &mut Seat, now: Time) {
        self.track(seat).ticks += 1;
        // One packet of 20 ms at every second tick.
        let plays = self.tracks[seat].ticks.is_multiple_of(2);
        let (mut gap, mut packets, mut pictures) = (0, 0, 0);
        let track = &mut self.tracks[seat];
        // Nobody else speaks or shows itself.
        for (peer, receiver) in one.heard().filter(|(peer, _)| usize::from(peer.leaf) < SPEAKERS) {
            while let Some((_, opened)) = receiver.video(now) {
                track.first_picture.get_or_insert(now);
                pictures += 1;
                receiver.recycle(opened);
            }
            if !plays {
                continue;
            }
            let mut take = |input: AudioInput<'_>| {
                if let AudioInput::Packet(bytes) = input
                    && let Some(place) = Place::read(bytes)
                {
                    packets += 1;
                    let last = track.heard.insert(peer, place.slot).filter(|last| *last >= place.since);
                    gap = gap.max(last.map_or(0, |last| place.slot.saturating_sub(last + 1)));
                }
                Ok(960)
            };
            // What cannot be played is a gap.
            let _ = receiver.audio(now, &mut take);
        }
        self.gap_us = self.gap_us.max(gap * PACKET_US);
        (self.heard, self.pictures) = (self.heard + packets, self.pictures + pictures);
    }
}

impl Audience<Seat> for Watch {
    fn sent(&mut self, _: usize, word: Word<'_>, _: Time) {
        match word {
            Word::Control(_) => self.control_messages += 1,
            Word::Datagram(bytes) => {
                self.datagrams += 1;
                self.media_bytes += bytes.len() as u64;
            }
        }
    }

    fn ticked(&mut self, seat: usize, one: &mut Seat, now: Time) {
        while let Some(event) = one.event() {
            self.event(seat, one, &event, now);
        }
        let refused = one.refused();
        self.track(seat).alarms.extend(refused.into_iter().map(|alarm| (now, alarm)));
        self.compare(seat, one);
        self.hear(seat, one, now);
    }
}
