//! A member by itself beside the parties of a meeting, which keeps every key that it ever had, and what it makes of a
//! recording of the wire.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use conclave::e2ee::group::{Device, Event, Group, Joining, Output};
use conclave::e2ee::schedule::Chain;
use conclave::e2ee::{BaseKey, Context, EpochInput, KeyError, KeyId, KeySource, OpenKeys, Opener};
use conclave::frame::{Arrived, Kind, Packet};
use conclave::gathering::{Config, Filter};
use conclave::party::{Out, Party};
use conclave::rtp::depacketize::Assembler;
use conclave::rtp::header::{Rtp, is_rtcp};
use conclave::time::{Stopwatch, Time};

use crate::people::{CANARY, Meeting};

/// Every key of every epoch that came, none of them ended.
#[derive(Default)]
pub struct Hoard(Vec<OpenKeys>);

impl Hoard {
    pub fn of(inputs: impl IntoIterator<Item = EpochInput>) -> Self {
        Self(inputs.into_iter().map(|input| input.derive().unwrap().1).collect())
    }

    fn find(&self, id: KeyId) -> Option<&OpenKeys> {
        self.0.iter().rev().find(|keys| keys.epoch().number as u8 == id.epoch)
    }
}

impl KeySource for Hoard {
    /// A recording is played from its beginning, in its own time, so that the key of every frame is made before it is
    /// moved past.
    fn turn(&mut self, now: Time) -> bool {
        for keys in &mut self.0 {
            keys.advance(now);
        }
        false
    }

    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        Err(KeyError::None(context.number()))
    }

    fn receiving(&self, id: KeyId, now: Time) -> Option<BaseKey> {
        self.find(id)?.key(id, now)
    }

    fn opens(&self, id: KeyId, now: Time) -> bool {
        self.find(id).is_some_and(|keys| keys.opens(id, now))
    }

    fn knows(&self, leaf: u16) -> bool {
        self.0.iter().any(|keys| keys.knows(leaf))
    }

    fn expects(&self, _id: KeyId, _now: Time) -> bool {
        false
    }
}

/// The sound of a recording that opens with `hoard`: when each frame was sealed, and when each other one was.
pub fn play(wire: &[(Time, usize, Vec<u8>)], hoard: Hoard) -> (Vec<Time>, Vec<Time>) {
    let mut opener: Opener<Hoard> = Opener::new(hoard);
    let mut streams = BTreeMap::<u32, Assembler>::new();
    let (mut opened, mut closed) = (vec![], vec![]);
    for (at, frame) in frames(wire, &mut streams) {
        match opener.open(frame, at) {
            Ok(frame) => {
                assert!(frame.payload.as_slice().windows(CANARY.len()).any(|bytes| bytes == CANARY));
                opened.push(at);
            }
            Err(_) => closed.push(at),
        }
    }
    (opened, closed)
}

fn frames<'a>(
    wire: &'a [(Time, usize, Vec<u8>)],
    streams: &'a mut BTreeMap<u32, Assembler>,
) -> impl Iterator<Item = (Time, Arrived)> + 'a {
    let sound = u32::from(Context::of(Kind::Microphone).number());
    wire.iter().filter_map(move |(at, _, bytes)| {
        let rtp = Rtp::parse(bytes).ok().filter(|rtp| !is_rtcp(bytes) && rtp.payload_type == 111)?;
        assert_eq!(rtp.ssrc & 7, sound);
        let kind = Kind::Microphone;
        let stream = streams.entry(rtp.ssrc).or_insert_with(|| Assembler::new(rtp.ssrc, kind, Stopwatch::still()));
        Some((*at, stream.push(bytes, *at).1?))
    })
}

/// What the relay delivers.
pub type Post = Rc<RefCell<VecDeque<(usize, Time, Vec<u8>)>>>;

/// A filter that lets everything through and keeps a copy of what goes to `seat`.
pub fn tap(seat: usize, post: &Post) -> Filter {
    let post = post.clone();
    Box::new(move |to, message, at| {
        if to == seat {
            post.borrow_mut().push_back((to, at, message.to_vec()));
        }
        true
    })
}

/// The member: its group is run here, on a seat whose party is never let in.
pub struct Spy {
    pub seat: usize,
    pub group: Option<Group>,
    pub inputs: Vec<EpochInput>,
    pub events: Vec<Event>,
    /// Messages that it was told it has no part in any more.
    pub shut_out: usize,
    joining: Joining,
    post: Post,
    up: VecDeque<(Time, Vec<u8>)>,
}

struct Nowhere;

impl Out for Nowhere {
    fn control(&mut self, _: Vec<u8>) {}
    fn datagram(&mut self, _: &Packet) {}
}

impl Spy {
    pub fn knock(meeting: &mut Meeting) -> Self {
        let device = Device::generate("spy").unwrap();
        let (joining, knock) = Joining::new(&device, meeting.settings.group.clone()).unwrap();
        let settings = meeting.settings.clone();
        let begin = |_, out: &mut dyn Out| {
            out.control(knock);
            Party::knock(&device, settings, &mut Nowhere)
        };
        let seat = meeting.gathering.sit(&mut meeting.people, begin).unwrap();
        let post = Post::default();
        meeting.gathering.relay_filter(tap(seat, &post));
        let (inputs, events, up) = (vec![], vec![], VecDeque::new());
        Self { seat, group: None, inputs, events, shut_out: 0, joining, post, up }
    }

    /// Everything that waits: what came is taken, what is to be said is on its way up for as long as everybody's is.
    pub fn turn(&mut self, meeting: &mut Meeting) {
        let now = meeting.now();
        let post: Vec<_> = self.post.borrow_mut().drain(..).collect();
        for (_, _, message) in post {
            match &mut self.group {
                Some(group) => self.shut_out += usize::from(group.handle(&message, now).is_err()),
                None => self.group = self.joining.handle(&message, now).unwrap(),
            }
        }
        let Some(group) = &mut self.group else { return };
        group.tick(now);
        while let Some(output) = group.poll() {
            match output {
                Output::Send(message) => self.up.push_back((now.plus(Config::default().delay_us), message)),
                Output::Epoch(input, _) => self.inputs.push(*input),
                Output::Event(event) => self.events.push(event),
            }
        }
        while self.up.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, message)) = self.up.pop_front() else { return };
            let deliveries = meeting.gathering.relay().message(self.seat as u64, &message).unwrap();
            meeting.gathering.announce(deliveries);
        }
    }

    /// Plays `ms` milliseconds in which `speakers` speak.
    pub fn talk(&mut self, meeting: &mut Meeting, ms: u64, speakers: &[usize]) {
        for _ in 0..ms / 20 {
            meeting.talk(20, speakers, None);
            self.turn(meeting);
        }
    }
}
