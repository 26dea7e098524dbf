//! A whole meeting on the hybrid suite: founded and joined, keys that move on and are renewed, frames and chat sealed and
//! opened through keyrings, somebody leaving, the end.
//!
//! The keys are the group's own, so the child takes them down as they come: what lies in the pages for secrets, what the
//! cipher is given, what the group's storage holds. Not seen are what MLS derives and drops within one call (path secrets,
//! the joiner's secret, roots of senders).
//!
//! What is left without an allocator that wipes lies in memory that libraries freed; [`LIBRARIES`] says whose. With
//! [`conclave::e2ee::Wiping`] as the program's allocator nothing is left of it on the heap.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use conclave::codecs::EncodedInfo;
use conclave::data::{Channel, Event, Peer, Topic};
use conclave::e2ee::aead::{NONCE, Refused, TAG};
use conclave::e2ee::group::{Config, Event as GroupEvent, Store, StoreKey};
use conclave::e2ee::{Aead, AwsLc, Context, Keeper, Keyring, Opener, Role, Sealer, Suite, keyring, secret};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::pool::Pool;
use conclave::time::Time;
use zeroize::Zeroizing;

use crate::search::{CANARY, CHILD, MASK, Needle, WIPES, child_of, forms, search};
use crate::table::{Seat, Table};

/// What is left on the heap by whom, where the program's allocator does not wipe. By the name of the kind of key.
const LIBRARIES: [(&str, &str); 1] =
    [("a word to the group", "openmls, which writes the plaintext of an application message into plain vectors")];

/// What is said in frames, in chat and to the group, masked.
fn said(what: u8) -> Vec<u8> {
    CANARY.iter().map(|byte| byte ^ what).collect()
}

const FRAME: u8 = 0;
const CHAT: u8 = 0x1f;
const WORD: u8 = 0x33;

fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ MASK).collect()
}

/// Keys that ciphers were made with, and how many of those are still there.
static CIPHERS: Mutex<BTreeMap<Vec<u8>, usize>> = Mutex::new(BTreeMap::new());

/// The cipher of the product, which takes down its keys.
struct Witness(AwsLc, Vec<u8>);

impl Aead for Witness {
    const NAME: &'static str = "witness";

    fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        let name = masked(key);
        *CIPHERS.lock().unwrap().entry(name.clone()).or_default() += 1;
        Some(Self(AwsLc::new(suite, key)?, name))
    }

    fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        self.0.seal(nonce, aad, data)
    }

    fn open(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Refused> {
        self.0.open(nonce, aad, data, tag)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(count) = CIPHERS.lock().unwrap().get_mut(&self.1) {
            *count -= 1;
        }
    }
}

/// Every secret in the pages for secrets now: those that are private, writable and kept out of dumps.
fn in_pages() -> BTreeSet<Vec<u8>> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let (mut range, mut all) = (None, BTreeSet::new());
    for line in smaps.lines() {
        let mut parts = line.split_whitespace();
        let (first, rights) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        if let Some((from, to)) = first.split_once('-').filter(|_| rights.len() == 4) {
            let number = |hex| u64::from_str_radix(hex, 16).unwrap();
            range = (rights == "rw-p").then(|| (number(from), number(to)));
        }
        let Some((from, to)) = range.filter(|_| line.starts_with("VmFlags:") && line.contains(" dd")) else { continue };
        let mut bytes = Zeroizing::new(vec![0; (to - from) as usize]);
        memory.read_exact_at(&mut bytes, from).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= MASK);
        all.extend(bytes.chunks(secret::SLOT).filter_map(|slot| {
            let len = slot.iter().rposition(|byte| *byte != MASK)? + 1;
            Some(slot[..len.max(12)].to_vec())
        }));
    }
    all
}

/// What the storage of a group holds under the kinds of values that have secrets, and under no other.
fn in_storage(store: &Store) -> BTreeMap<Vec<u8>, String> {
    const KEY: [u8; 32] = [7; 32];
    let mut bytes = Zeroizing::new(store.seal(&StoreKey::new(&KEY).unwrap()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&bytes[10..22]).unwrap();
    let header = bytes[..10].to_vec();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap());
    let mut rest: &[u8] = key.open_in_place(nonce, Aad::from(header), &mut bytes[22..]).unwrap();
    let mut part = || -> Option<&[u8]> {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        rest = tail;
        Some(part)
    };
    let (mut secrets, mut open) = (BTreeMap::new(), BTreeSet::new());
    while let (Some(name), Some(value)) = (part(), part()) {
        // A name is a list in CBOR: kind, version, key.
        let Some(&number) = name.get(1) else { continue };
        let kind = match number {
            9 => "state",
            10 => "message secrets",
            11 => "resumption secrets",
            13 => "epoch secrets",
            14 => "tree of exported secrets",
            16 => "private key of a leaf",
            17 => "private keys of the path",
            18 => "key package",
            2..=8 => "",
            _ => continue,
        };
        let mut runs = Vec::new();
        read_cbor(value, &mut runs);
        if kind.is_empty() || number == 16 {
            // What is public stands in the names of private keys, and in the tree.
            let mut public = Vec::new();
            read_cbor(if kind.is_empty() { value } else { name }, &mut public);
            open.extend(public);
        }
        if !kind.is_empty() {
            // A key package is public but for the two private keys at its end.
            let public = if number == 18 { runs.len().saturating_sub(2) } else { 0 };
            secrets.extend(runs.into_iter().skip(public).enumerate().map(|(n, run)| {
                let name = format!("MLS {kind}, item {n} of {} bytes", run.len());
                (run, name)
            }));
        }
    }
    secrets.retain(|run, _| !open.contains(run));
    secrets
}

/// Every string of bytes and every list of small numbers in CBOR that may be a key, masked.
fn read_cbor<'a>(mut at: &'a [u8], runs: &mut Vec<Vec<u8>>) -> &'a [u8] {
    fn head<'a>(at: &mut &'a [u8]) -> Option<(u8, u64)> {
        let (first, rest) = at.split_first()?;
        let len = match first & 31 {
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => 0,
        };
        let (bytes, rest) = rest.split_at_checked(len)?;
        *at = rest;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Some((first >> 5, if len == 0 { u64::from(first & 31) } else { value }))
    }
    let mut keep = |run: Vec<u8>| {
        // Nothing that is the same in every group.
        if (16..=96).contains(&run.len()) && run.iter().collect::<BTreeSet<_>>().len() > 8 {
            runs.push(run);
        }
    };
    let Some((major, value)) = head(&mut at) else { return &[] };
    match major {
        2 | 3 => {
            let Some((bytes, rest)) = at.split_at_checked(value as usize) else { return &[] };
            if major == 2 {
                keep(masked(bytes));
            }
            rest
        }
        4 => {
            let mut numbers = Vec::new();
            for _ in 0..value {
                let mut peek = at;
                match head(&mut peek) {
                    Some((0, number)) if number < 256 => {
                        numbers.push(number as u8 ^ MASK);
                        at = peek;
                    }
                    _ => at = read_cbor(at, runs),
                }
            }
            if (16..=96).contains(&numbers.len()) && numbers.iter().collect::<BTreeSet<_>>().len() > 8 {
                runs.push(numbers);
            }
            at
        }
        5 => (0..2 * value).fold(at, |at, _| read_cbor(at, runs)),
        6 => read_cbor(at, runs),
        _ => at,
    }
}

/// What was ever taken down: masked bytes and their name.
#[derive(Default)]
struct Record(HashMap<Vec<u8>, String>);

impl Record {
    fn take_down(&mut self, table: &Table) {
        let mut put = |key: Vec<u8>, name: &str| {
            let number = self.0.len();
            self.0.entry(key).or_insert_with(|| format!("{name} #{number}"));
        };
        in_pages().into_iter().for_each(|key| put(key, "secret of the engine"));
        CIPHERS.lock().unwrap().keys().for_each(|key| put(key.clone(), "key of a cipher"));
        stores(table).flat_map(in_storage).for_each(|(key, name)| put(key, &name));
    }

    /// Everything that is not in use any more.
    fn over(&self, table: Option<&Table>) -> Vec<Needle> {
        let mut used = in_pages();
        used.extend(CIPHERS.lock().unwrap().iter().filter(|(_, count)| **count > 0).map(|(key, _)| key.clone()));
        used.extend(table.into_iter().flat_map(stores).flat_map(|store| in_storage(store).into_keys()));
        let over = self.0.iter().filter(|(key, _)| !used.contains(*key));
        let words = [(FRAME, "a frame #0"), (CHAT, "a line of chat #0"), (WORD, "a word to the group #0")];
        let words = words.iter().flat_map(|(what, name)| forms(name, &said(*what)));
        over.flat_map(|(key, name)| forms(name, key)).chain(words).collect()
    }
}

fn stores(table: &Table) -> impl Iterator<Item = &Store> {
    table.people.values().filter_map(|person| {
        Some(match person.seat.as_ref()? {
            Seat::In(group) => group.store(),
            Seat::Joining(joining) => joining.store(),
        })
    })
}

/// The media of one member.
struct Media {
    own: Peer,
    /// As this member knows them: when somebody came is its own affair.
    peers: Vec<Peer>,
    sending: (Keeper, Keyring),
    sealers: Vec<Sealer<Witness>>,
    opening: Keeper,
    opener: Opener<Keyring, Witness>,
    channel: Channel,
}

impl Media {
    fn new(own: Peer) -> Self {
        let ((opening, ring), channel) = (keyring(), Channel::new(7, own));
        Self { own, peers: vec![], sending: keyring(), sealers: vec![], opening, opener: Opener::on_arm(ring), channel }
    }

    fn turn(&mut self, now: Time) {
        use conclave::e2ee::KeySource;
        let ring = &mut self.sending.1;
        ring.turn(now);
        for kind in [Kind::Camera, Kind::Data] {
            let context = Context::of(kind);
            match self.sealers.iter_mut().find(|sealer| sealer.context() == context) {
                Some(sealer) => drop(sealer.renew(ring)),
                None => self.sealers.extend(Sealer::on_arm(ring, context).ok()),
            }
        }
        while self.opener.released(now).is_some() {}
    }
}

struct Meeting {
    table: Table,
    media: BTreeMap<u64, Media>,
    buffers: Pool<Buffer>,
    record: Record,
    came: BTreeMap<&'static str, usize>,
}

impl Meeting {
    /// Runs for `ms`, with a frame of everybody to everybody, and a line of chat, every `each` ms.
    fn run(&mut self, ms: u64, each: u64, chat: bool) {
        for _ in 0..ms / each {
            self.table.run(each);
            self.feed();
            self.talk(chat);
        }
        self.record.take_down(&self.table);
    }

    /// New epochs to the keyrings.
    fn feed(&mut self) {
        let now = self.table.now;
        if self.table.people.values().any(|person| !person.epochs.is_empty()) {
            self.record.take_down(&self.table);
        }
        for (id, person) in &mut self.table.people {
            for input in person.epochs.drain(..) {
                let own = input.roster.get(input.own).map(Peer::from).unwrap();
                let peers: Vec<Peer> = input.roster.iter().map(Peer::from).collect();
                let media = self.media.entry(*id).or_insert_with(|| Media::new(own));
                media.channel.members(peers.iter().copied(), now);
                media.peers = peers;
                let (send, open) = input.derive().unwrap();
                media.sending.0.send(send, now);
                media.opening.open(open);
            }
            for event in person.events.drain(..) {
                if let GroupEvent::Told { body, .. } = event {
                    assert_eq!(masked(&body), said(WORD));
                    *self.came.entry("words").or_default() += 1;
                }
            }
        }
        self.media.values_mut().for_each(|media| media.turn(now));
    }

    fn talk(&mut self, chat: bool) {
        let now = self.table.now;
        let header = Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        let mut on_the_way = Vec::new();
        for media in self.media.values_mut() {
            let mut payload = self.buffers.take();
            payload.tail().extend(said(FRAME).iter().map(|byte| byte ^ MASK));
            let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
            let mut frames = vec![Encoded { payload, info, header, captured: now, structure, ledger }];
            if chat {
                let line = Zeroizing::new(masked(&said(CHAT)));
                media.channel.send(Topic::Chat, &line).unwrap();
            }
            media.channel.poll(now, &self.buffers, &mut |frame| frames.push(frame));
            for frame in frames {
                let context = Context::of(frame.header.kind);
                let sealer = media.sealers.iter_mut().find(|sealer| sealer.context() == context);
                on_the_way.extend(sealer.map(|sealer| (media.own, sealer.seal(frame, now).unwrap())));
            }
        }
        for (from, sealed) in on_the_way {
            for other in self.media.values_mut().filter(|other| other.own.leaf != from.leaf) {
                let mut payload = self.buffers.take();
                payload.tail().extend_from_slice(sealed.as_slice());
                let (header, ledger) = (*sealed.header(), Ledger::default());
                let arrived = Arrived { payload, header, packets: Default::default(), ledger };
                let Ok(opened) = other.opener.open(arrived, now) else { continue };
                if opened.header.kind == Kind::Data {
                    let peer = other.peers.iter().find(|peer| peer.leaf == from.leaf);
                    let _ = peer.map(|peer| other.channel.frame(*peer, opened.payload.as_slice()));
                } else {
                    assert_eq!(masked(opened.payload.as_slice()), said(FRAME));
                    *self.came.entry("frames").or_default() += 1;
                }
                while let Some(event) = other.channel.event() {
                    *self.came.entry("chat").or_default() += usize::from(matches!(event, Event::Message(_)));
                }
            }
            self.buffers.give(sealed.recycle());
        }
    }

    fn word(&mut self, from: u64) {
        let word = Zeroizing::new(masked(&said(WORD)));
        self.table.group(from).tell(&word).unwrap();
    }
}

/// What is found, how often for each kind of key, form and place.
fn report(when: &str, needles: &[Needle]) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for hit in search(needles) {
        let (name, rest) = hit.split_once('#').unwrap();
        let place = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        *kinds.entry(format!("{name}{place}")).or_default() += 1;
    }
    println!("{when}: {} of {} are in memory", kinds.values().sum::<usize>(), needles.len() / 4);
    kinds.iter().for_each(|(kind, count)| println!("HIT {when}: {count} times {kind}"));
}

fn parent(wipes: bool) -> String {
    let output = child_of("meeting::child", wipes).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success());
    assert!(said.contains("sanity: keys in use are found"), "the search does not find what is there");
    said
}

#[test]
fn a_meeting_leaves_nothing_in_a_program_that_wipes_what_it_frees() {
    let said = parent(true);
    assert_eq!(said.lines().filter(|line| line.contains("HIT")).count(), 0);
}

#[test]
fn a_meeting_leaves_nothing_of_the_engines_in_any_program() {
    let said = parent(false);
    let of_libraries = |line: &&str| LIBRARIES.iter().any(|(what, _)| line.contains(what));
    let (theirs, ours): (Vec<&str>, Vec<&str>) =
        said.lines().filter(|line| line.contains("HIT")).partition(of_libraries);
    for (what, whose) in LIBRARIES {
        let count = theirs.iter().filter(|line| line.contains(what)).count();
        println!("{what}: in {count} kinds of places, left by {whose}; removed by the allocator `e2ee::Wiping`");
    }
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    crate::WIPES.store(std::env::var_os(WIPES).is_some(), Ordering::Relaxed);
    let mut table = Table::new(Config::new(b"memory"));
    table.create(0);
    (1..3).for_each(|id| table.knock(id));
    let buffers = Pool::new(16, || Buffer::with_capacity(200));
    let mut meeting =
        Meeting { table, media: BTreeMap::new(), buffers, record: Record::default(), came: BTreeMap::new() };
    meeting.run(3000, 20, true);
    assert_eq!(meeting.table.group(2).roster().len(), 3);
    // Two steps, a new epoch by a commit, and after five minutes one that renews everybody.
    meeting.run(9000, 50, true);
    let (now, one) = (meeting.table.now, Table::device(1).identity());
    meeting.table.group(0).set_role(one, Role::CoHost, now).unwrap();
    meeting.word(0);
    meeting.run(9000, 50, true);
    let before = meeting.table.group(0).epoch();
    meeting.run(310_000, 500, false);
    assert_eq!(meeting.table.group(1).epoch(), before + 1);
    meeting.word(1);
    meeting.run(9000, 50, false);
    let used: Vec<Needle> = in_pages().iter().flat_map(|key| forms("in use #0", key)).collect();
    if search(&used).iter().any(|hit| hit.contains("raw")) {
        println!("sanity: keys in use are found");
    }
    // So are those of the library: without them the search would say nothing of it.
    let theirs = stores(&meeting.table).flat_map(in_storage);
    let theirs: Vec<Needle> = theirs.flat_map(|(key, name)| forms(&format!("{name} #0"), &key)).collect();
    assert!(search(&theirs).iter().any(|hit| hit.contains("private keys of the path")), "no key of MLS is found");
    report("after rotation", &meeting.record.over(Some(&meeting.table)));

    let now = meeting.table.now;
    meeting.table.group(2).leave(now);
    meeting.run(1000, 50, false);
    assert_eq!(meeting.table.group(0).roster().len(), 2);
    drop((meeting.media.remove(&2), meeting.table.stand_up(2)));
    // An epoch opens for four more seconds, and acknowledgements have come by then.
    meeting.run(6000, 50, false);
    report("after leaving", &meeting.record.over(Some(&meeting.table)));

    let Meeting { table, media, buffers, record, came } = meeting;
    drop((table, media, buffers));
    println!("came: {came:?}; taken down: {} keys", record.0.len());
    assert!(["frames", "chat", "words"].iter().all(|what| came.get(what).is_some_and(|count| *count > 0)));
    assert!(in_pages().is_empty(), "a secret is still there");
    assert!(CIPHERS.lock().unwrap().values().all(|count| *count == 0), "a cipher is still there");
    report("after teardown", &record.over(None));
}
