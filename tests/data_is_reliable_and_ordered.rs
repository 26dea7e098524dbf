//! Application data through the whole path, over bad networks: every message comes once and in order to every member,
//! also where keys change in the middle, and what waits stays within its bounds.

#[path = "support/epochs.rs"]
mod epochs;

use conclave::data::{Channel, Event, Peer, Topic};
use conclave::e2ee::keys::KeyId;
use conclave::e2ee::{EpochInput, Keeper, Member, Roster, keyring};
use conclave::frame::{Buffer, Kind};
use conclave::netem::{self, Netem};
use conclave::pool::Pool;
use conclave::receive::{self, Receiver};
use conclave::rtp::header::is_rtcp;
use conclave::send::{self, Sender};
use conclave::time::{TICK_US, Time};

/// One member: its end of the data, its sender, and a receiver for each other one.
struct Party {
    own: Peer,
    channel: Channel,
    sender: Sender,
    /// By the number of the other; none for itself.
    receivers: Vec<Option<Receiver>>,
    keepers: Vec<Keeper>,
    heard: Vec<Vec<u64>>,
    gaps: usize,
}

/// All members, and a path from each to each.
struct Meeting {
    parties: Vec<Party>,
    paths: Vec<Vec<Netem>>,
    buffers: Pool<Buffer>,
    now: Time,
}

fn ssrc(number: usize) -> u32 {
    100 + number as u32
}

/// The keys of `epoch` for the member `own`, one set for its sender and one for each receiver.
fn give_keys(party: &Party, members: &[Peer], epoch: u64, now: Time) {
    for keeper in &party.keepers {
        let member = |peer: &Peer| Member { joined: peer.joined, ..epochs::member(peer.leaf) };
        let roster = Roster::new(members.iter().map(member).collect());
        let input = EpochInput { roster, ..epochs::input(epoch, party.own.leaf, 0, now) };
        let (send, open) = input.derive().unwrap();
        keeper.send(send, now);
        keeper.open(open);
    }
}

impl Meeting {
    fn new(count: usize, network: &netem::Config) -> Self {
        let path = |from: usize, to: usize| {
            Netem::new(netem::Config { seed: network.seed * 1000 + (from * 10 + to) as u64, ..network.clone() })
        };
        let party = |number: usize| {
            let own = Peer { leaf: number as u16 * 3, joined: 1 };
            let streams = vec![send::Stream { id: ssrc(number), kind: Kind::Data, payload_type: 100 }];
            let (keeper, ring) = keyring();
            let sender = Sender::new(send::Config { streams, ..Default::default() }, Box::new(ring)).unwrap();
            let mut keepers = vec![keeper];
            let receivers = (0..count).map(|other| {
                let (keeper, ring) = keyring();
                let id = 1000 + (number * 10 + other) as u32;
                let config = receive::Config { id, data: Some(ssrc(other)), proofs: None, ..Default::default() };
                (other != number).then(|| {
                    keepers.push(keeper);
                    Receiver::new(config, Box::new(ring))
                })
            });
            let receivers = receivers.collect();
            let heard = vec![Vec::new(); count];
            let channel = Channel::new(ssrc(number), own);
            Party { own, channel, sender, receivers, keepers, heard, gaps: 0 }
        };
        Self {
            parties: (0..count).map(party).collect(),
            paths: (0..count).map(|from| (0..count).map(|to| path(from, to)).collect()).collect(),
            buffers: Pool::new(8, || Buffer::with_capacity(2000)),
            now: Time(0),
        }
    }

    fn members(&self) -> Vec<Peer> {
        self.parties.iter().map(|party| party.own).collect()
    }

    /// `epoch` begins for the member `number`, with `members`.
    fn epoch(&mut self, number: usize, members: &[Peer], epoch: u64) {
        give_keys(&self.parties[number], members, epoch, self.now);
        self.parties[number].channel.members(members.iter().copied(), self.now);
    }

    /// One tick of everything.
    fn tick(&mut self) {
        let now = self.now;
        for number in 0..self.parties.len() {
            // What goes to everybody, and what to one.
            let (mut all, mut single) = (Vec::new(), Vec::new());
            let party = &mut self.parties[number];
            for other in 0..self.paths.len() {
                while let Some(packet) = self.paths[other][number].pop(now) {
                    if let Some(receiver) = &mut party.receivers[other] {
                        receiver.datagram(packet.as_slice(), now);
                    }
                    if is_rtcp(packet.as_slice()) {
                        party.sender.feedback(packet.as_slice(), now, &mut |packet| all.push(packet.clone()));
                    }
                }
            }
            for (other, receiver) in party.receivers.iter_mut().enumerate() {
                let Some(receiver) = receiver else { continue };
                receiver.tick(now, &mut |packet| single.push((other, packet.clone())));
                while let Some(opened) = receiver.data(now) {
                    let id = KeyId::unpack(opened.key_id);
                    // Who it is from: the holder of the key, by the roster of its epoch.
                    let from = receiver.keys().epoch(id).and_then(|epoch| epoch.roster.get(id.leaf)).map(Peer::from);
                    let from = from.expect("its epoch is not over yet");
                    party.channel.frame(from, opened.payload.as_slice()).expect("is well formed");
                    receiver.recycle(opened);
                }
            }
            while let Some(event) = party.channel.event() {
                match event {
                    Event::Message(message) => {
                        let words = message.bytes.chunks_exact(8);
                        let number = u64::from_be_bytes(words.clone().next().expect("eight bytes").try_into().unwrap());
                        assert!(words.skip(1).all(|word| word == number.to_be_bytes()), "whole and unmixed");
                        party.heard[usize::from(message.from.leaf / 3)].push(number);
                    }
                    Event::Gap { .. } => party.gaps += 1,
                    Event::GaveUp { member, .. } => panic!("{member:?} was given up"),
                }
            }
            let (channel, sender, buffers) = (&mut party.channel, &mut party.sender, &self.buffers);
            channel.poll(now, buffers, &mut |frame| {
                let sealed = sender.frame(frame, now, &mut |packet| all.push(packet.clone())).expect("goes out");
                buffers.give(sealed.recycle());
            });
            sender.tick(now, &mut |packet| all.push(packet.clone()));
            for (other, path) in self.paths[number].iter_mut().enumerate().filter(|(other, _)| *other != number) {
                all.iter().for_each(|packet| path.push(packet.as_slice(), now));
                let own = single.iter().filter(|(to, _)| *to == other);
                own.for_each(|(_, packet)| path.push(packet.as_slice(), now));
            }
        }
        self.now = now.plus(TICK_US);
    }

    /// The member `number` says its message `word`, mostly short and now and then long.
    fn say(&mut self, number: usize, word: u64) {
        let words = if word % 25 == 7 { 2048 } else { 1 + word as usize % 40 };
        let channel = &mut self.parties[number].channel;
        channel.send(Topic::App(1), &word.to_be_bytes().repeat(words)).expect("there is room");
    }
}

/// Messages that each member says.
const WORDS: u64 = 100;

fn network(seed: u64, loss: f32) -> netem::Config {
    let (delay_us, jitter_us) = (30_000, 20_000);
    netem::Config { seed, loss, delay_us, jitter_us, reorder: 5.0, duplicate: 3.0, ..Default::default() }
}

/// Everybody speaks for ten seconds, the keys change every `epoch_ms` if at all; then until nobody waits any more.
fn play(count: usize, network: &netem::Config, epoch_ms: Option<u64>) -> Meeting {
    let mut meeting = Meeting::new(count, network);
    let members = meeting.members();
    (0..count).for_each(|number| meeting.epoch(number, &members, 1));
    let mut words = vec![0; count];
    for turn in 0..6_000u64 {
        for (number, words) in words.iter_mut().enumerate() {
            // Members learn of an epoch one after the other.
            let since = (meeting.now.0 / 1000).saturating_sub(50 * number as u64);
            if let Some(ms) = epoch_ms.filter(|ms| since > 0 && turn < 1000 && since.is_multiple_of(*ms)) {
                meeting.epoch(number, &members, 1 + since / ms);
            }
            if turn % 10 == number as u64 && *words < WORDS {
                meeting.say(number, *words);
                *words += 1;
            }
        }
        meeting.tick();
        let all = meeting.parties.iter().map(|party| party.heard.iter().map(Vec::len).sum::<usize>()).sum::<usize>();
        if all == count * (count - 1) * WORDS as usize && meeting.parties.iter().all(|p| p.channel.waiting().0 == 0) {
            break;
        }
    }
    meeting
}

/// Every message came once and in order to every member, and nothing waits.
fn check(meeting: &Meeting, what: &str) {
    for (number, party) in meeting.parties.iter().enumerate() {
        for (other, heard) in party.heard.iter().enumerate() {
            let words = if other == number { 0 } else { WORDS };
            assert!(heard.iter().copied().eq(0..words), "{what}: {number} heard {} of {other}", heard.len());
        }
        assert_eq!((party.channel.waiting(), party.channel.held(), party.gaps), ((0, 0), 0, 0), "{what}");
        for receiver in party.receivers.iter().flatten() {
            let seen = receiver.snapshot();
            assert_eq!((seen.data_packets.malformed, seen.open.tampered), (0, 0), "{what}");
        }
    }
    let stats = meeting.parties[0].channel.stats();
    let (sent, path) = (*meeting.parties[0].sender.stats(), *meeting.paths[0][1].stats());
    let seconds = meeting.now.0 as f64 / 1e6;
    println!("{what}: {seconds:.1} s, given again {}, {sent:?}, lost {}", stats.1.again, path.lost());
}

#[test]
fn two_members_hear_each_other_at_any_loss() {
    for loss in [0.0, 5.0, 20.0, 40.0] {
        for seed in 0..3 {
            check(&play(2, &network(seed, loss), None), &format!("two, {loss} %, seed {seed}"));
        }
    }
}

#[test]
fn five_members_hear_each_other_at_any_loss() {
    for loss in [0.0, 5.0, 20.0, 40.0] {
        check(&play(5, &network(9, loss), None), &format!("five, {loss} %"));
    }
}

#[test]
fn keys_that_change_in_the_middle_lose_nothing() {
    for (count, loss) in [(2, 0.0), (2, 40.0), (5, 5.0), (5, 20.0)] {
        let meeting = play(count, &network(3, loss), Some(1_500));
        check(&meeting, &format!("{count}, {loss} %, keys change"));
        assert!(meeting.parties.iter().all(|party| party.sender.stats().rekeys >= 6));
    }
}

#[test]
fn a_clean_path_gives_nothing_out_again_and_sends_each_packet_twice() {
    let clean = netem::Config { seed: 1, delay_us: 30_000, ..Default::default() };
    let meeting = play(2, &clean, None);
    check(&meeting, "clean");
    for party in &meeting.parties {
        let (sent, channel) = (party.sender.stats(), party.channel.stats());
        assert_eq!((channel.1.again, channel.0.again, sent.resent), (0, 0, 0));
        // The last packets had no time for it.
        assert!(sent.repeated <= sent.packets && sent.repeated + 30 > sent.packets, "{sent:?}");
    }
}

#[test]
fn whoever_joins_hears_all_that_is_said_after_and_nothing_before() {
    let mut meeting = Meeting::new(3, &network(5, 20.0));
    let everyone = meeting.members();
    let late = Peer { leaf: everyone[2].leaf, joined: 2 };
    meeting.parties[2].own = late;
    meeting.parties[2].channel = Channel::new(ssrc(2), late);
    (0..2).for_each(|number| meeting.epoch(number, &everyone[..2], 1));
    let members = [everyone[0], everyone[1], late];
    for turn in 0..3_000u64 {
        if turn == 300 {
            (0..3).for_each(|number| meeting.epoch(number, &members, 2));
        }
        if turn % 10 == 0 && turn < 600 {
            meeting.say(0, turn / 10);
            meeting.say(1, turn / 10);
            if turn >= 300 {
                meeting.say(2, turn / 10);
            }
        }
        meeting.tick();
    }
    for (number, other) in [(0, 1), (1, 0)] {
        assert!(meeting.parties[number].heard[other].iter().copied().eq(0..60));
        assert!(meeting.parties[number].heard[2].iter().copied().eq(30..60));
        assert!(meeting.parties[2].heard[other].iter().copied().eq(30..60), "{:?}", meeting.parties[2].heard);
    }
    assert!(meeting.parties.iter().all(|party| party.channel.waiting().0 == 0 && party.gaps == 0));
}
