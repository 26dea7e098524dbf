//! A member that keeps every key it ever had, never moves one on, and afterwards tries all of them on the whole wire.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use conclave::e2ee::group::{Device, Group, Joining, Output};
use conclave::e2ee::record::metadata;
use conclave::e2ee::{KeyId, OpenKey, OpenKeys, Suite, sframe};
use conclave::frame::{Arrived, Buffer, Kind};
use conclave::rtp::depacketize::Assembler;
use conclave::rtp::header::{Rtp, is_rtcp};
use conclave::time::{Stopwatch, Time};

use crate::people::Meeting;

/// Where the spy is connected to the relay: no seat of the gathering.
const CONNECTION: u64 = 1_000_000;

/// From the spy to the relay, in microseconds, as for everybody else.
const DELAY_US: u64 = 25_000;

pub struct Spy {
    joining: Option<Joining>,
    group: Option<Group>,
    inbox: Rc<RefCell<Vec<Vec<u8>>>>,
    outbox: Vec<(Time, Vec<u8>)>,
    keys: Vec<OpenKeys>,
    joined: Option<(Time, u64)>,
}

impl Spy {
    pub fn knock(meeting: &mut Meeting) -> Self {
        let device = Device::generate("spy").unwrap();
        let (joining, knock) = Joining::new(&device, meeting.settings.group.clone()).unwrap();
        let inbox: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let taken = inbox.clone();
        meeting.gathering.relay().connect(CONNECTION);
        meeting.gathering.relay_filter(Box::new(move |to, message, _| {
            if to as u64 == CONNECTION {
                taken.borrow_mut().push(message.to_vec());
            }
            true
        }));
        let outbox = vec![(meeting.now().plus(DELAY_US), knock)];
        Self { joining: Some(joining), group: None, inbox, outbox, keys: Vec::new(), joined: None }
    }

    pub fn is_in(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.left().is_none())
    }

    pub fn leaf(&self) -> u16 {
        self.group.as_ref().unwrap().own_leaf()
    }

    pub fn joined(&self) -> Time {
        self.joined.unwrap().0
    }

    pub fn first_epoch(&self) -> u64 {
        self.joined.unwrap().1
    }

    pub fn leave(&mut self, meeting: &Meeting) {
        self.group.as_mut().unwrap().leave(meeting.now());
    }

    /// Takes what came, says what is to be said. It goes on for ever: nobody makes a spy forget.
    pub fn step(&mut self, meeting: &mut Meeting) {
        let now = meeting.now();
        for message in self.inbox.take() {
            if let Some(mut joining) = self.joining.take() {
                match joining.handle(&message, now).unwrap() {
                    Some(group) => {
                        self.joined = Some((now, group.epoch()));
                        self.group = Some(group);
                    }
                    None => self.joining = Some(joining),
                }
            } else if let Some(group) = &mut self.group {
                let _ = group.handle(&message, now);
            }
        }
        if let Some(group) = &mut self.group {
            group.tick(now);
            while let Some(output) = group.poll() {
                match output {
                    Output::Send(message) => self.outbox.push((now.plus(DELAY_US), message)),
                    Output::Epoch(input, _) => {
                        let (_, mut keys) = input.derive().unwrap();
                        keys.set_began(Time(0));
                        self.keys.push(keys);
                    }
                    Output::Event(_) => {}
                }
            }
        }
        let (due, later) = std::mem::take(&mut self.outbox).into_iter().partition(|(at, _)| *at <= now);
        self.outbox = later;
        for (_, message) in due {
            let deliveries = meeting.gathering.relay().message(CONNECTION, &message).unwrap();
            meeting.gathering.announce(deliveries);
        }
    }

    /// When the frames were sealed that open, and how many there were.
    pub fn read(&mut self, wire: &[(Time, usize, Vec<u8>)]) -> (Vec<Time>, usize) {
        let frames = frames(wire);
        let tried = frames.len();
        let opened = frames.into_iter().filter_map(|(at, frame)| self.open(frame).then_some(at)).collect();
        (opened, tried)
    }

    /// Low bytes of the epochs of the frames sealed from `since` on that open.
    pub fn epochs_of(&mut self, wire: &[(Time, usize, Vec<u8>)], since: Time) -> Vec<u8> {
        let late = frames(wire).into_iter().filter(|(at, _)| *at >= since);
        let ids = late.filter_map(|(_, frame)| {
            let (header, _) = conclave::e2ee::header::Header::read(frame.payload.as_slice())?;
            let id = KeyId::unpack(header.key_id);
            self.open(frame).then_some(id.epoch)
        });
        let mut epochs: Vec<u8> = ids.collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }

    /// Tries the key of every epoch that could be meant, at whatever step the frame names.
    fn open(&mut self, frame: Arrived) -> bool {
        let Some((header, _)) = conclave::e2ee::header::Header::read(frame.payload.as_slice()) else { return false };
        let id = KeyId::unpack(header.key_id);
        // Its clock says whatever the frame wants.
        let then = Time(id.step * 4_000_000);
        self.keys.iter_mut().any(|keys| {
            keys.advance(then);
            let Some(base) = keys.key(id, then) else { return false };
            let key = OpenKey::derive(Suite::Aes256GcmSha512, header.key_id, &base).unwrap();
            let mut copy = Buffer::with_capacity(frame.payload.len());
            copy.tail().extend_from_slice(frame.payload.as_slice());
            let mut opener: sframe::Opener = sframe::Opener::new(key);
            opener.open(&metadata(&frame.header), &mut copy).is_ok()
        })
    }
}

/// Every sealed frame on the wire, and when its last packet was sent first.
pub fn frames(wire: &[(Time, usize, Vec<u8>)]) -> Vec<(Time, Arrived)> {
    let kinds = [Kind::Microphone, Kind::Camera, Kind::Camera, Kind::Camera, Kind::Screen, Kind::Screen];
    let kinds = [&kinds[..], &[Kind::ScreenAudio, Kind::Data]].concat();
    let mut streams: BTreeMap<u32, Assembler> = BTreeMap::new();
    let mut frames = Vec::new();
    for (at, _, datagram) in wire {
        let Ok(rtp) = Rtp::parse(datagram) else { continue };
        if is_rtcp(datagram) {
            continue;
        }
        let kind = kinds[(rtp.ssrc & 7) as usize];
        let new = || Assembler::new(rtp.ssrc, kind, Stopwatch::still());
        let assembler = streams.entry(rtp.ssrc).or_insert_with(new);
        let mut frame = assembler.push(datagram, *at).1;
        while let Some(whole) = frame {
            frames.push((*at, whole));
            frame = assembler.released();
        }
    }
    frames
}
