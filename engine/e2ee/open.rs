//! From an arrived frame to an authenticated one, in the order of E2EE.md §4: strict header → key by table → replay
//! screen → open in place → on failure wipe and count → record → hand out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::aead::{Aead, AwsLc, TAG};
use super::epoch::Epoch;
use super::header;
use super::hold::{Held, Hold};
use super::keys::{Context, KeyId, OpenKey, Suite};
use super::proof::body::MAGIC;
use super::proof::{self, Digest, Mark, Policy, Proof, ProofError, Refusal, Verdict, Verifier};
use super::record::{Inner, metadata};
use super::replay::{Seen, Window};
use super::roster::Role;
use super::sframe::{self, wipe};
use super::source::{DynKeys, KeySource};
use crate::frame::{Arrived, Buffer, Kind, Opened};
use crate::time::Time;

/// Opens the frames of all senders of a group.
pub struct Opener<S = DynKeys, A = AwsLc> {
    source: S,
    slots: BTreeMap<u32, Slot<A>>,
    hold: Hold,
    proofs: Option<Proofs>,
    /// The frame as it came, for its digest: that is taken only of what opens, and opening overwrites it.
    sealed: Vec<u8>,
    events: Events,
    stats: OpenStats,
}

/// A frame could not be opened. Why is not said: an attacker would learn from it. [`OpenStats`] counts the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame could not be opened")]
pub struct OpenError;

/// A frame that was not handed out.
pub struct Rejected {
    /// All that is said about it.
    pub error: OpenError,
    /// Its buffer, content overwritten with zeros, for the next frame.
    pub payload: Buffer,
    /// A copy waits for its key and may still come out of [`Opener::released`].
    pub held: bool,
    /// It may have been whole when it was sent, so that asking again may help: not for replays. Inside only.
    pub(crate) damaged: bool,
}

impl std::fmt::Debug for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rejected").field("error", &self.error).field("held", &self.held).finish_non_exhaustive()
    }
}

/// What became of the frames. `arrived` is the sum of `opened`, `malformed`, `missing_key`, `replayed`, `too_old`,
/// `tampered`, `waiting`, `proofs`, `forged`, `awaited` and `receive_only`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OpenStats {
    /// Frames given to [`Opener::open`].
    pub arrived: u64,
    /// Frames handed out.
    pub opened: u64,
    /// Header not strict, too short, media kind and key context apart, or an authenticated inner header that lies.
    pub malformed: u64,
    /// No key for the key id, and not or no longer held.
    pub missing_key: u64,
    /// Counter seen before.
    pub replayed: u64,
    /// Counter behind the window.
    pub too_old: u64,
    /// Not authentic.
    pub tampered: u64,
    /// Frames that wait for their key now.
    pub waiting: u64,
    /// Frames that carried a proof.
    pub proofs: u64,
    /// Frames that another member made, or that had to wait for a proof and found no room.
    pub forged: u64,
    /// Frames that had to wait for their proof, handed out since or not.
    pub awaited: u64,
    /// Media of a member that only receives.
    pub receive_only: u64,
    /// Of `missing_key`: sender not in the group.
    pub unknown_leaf: u64,
    /// Of `missing_key`: of an epoch that is over, or of a ratchet step that is not now.
    pub out_of_time: u64,
    /// Of `missing_key`: no room to hold it.
    pub hold_full: u64,
    /// Of `missing_key`: held until its time was over.
    pub hold_expired: u64,
    /// Of all frames: were held for a time.
    pub held: u64,
    /// Events not told, as one of the kind was told within the second or too many waited.
    pub events_dropped: u64,
}

/// Something the receiver should tell its user or act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The stream, as the unauthenticated frame named it.
    pub stream: u32,
    /// The sender that the key id names.
    pub leaf: u16,
    /// The key id.
    pub key_id: u64,
    /// Why.
    pub reason: Reason,
}

/// Why there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A member's frames were dropped as their key did not come in time: ask for a key frame once it has.
    MissingKey,
    /// Frames under a member's key were forged or damaged.
    Tampered,
    /// A member sent media, and its role is to receive only.
    ReceiveOnly,
    /// Frames of a member name a key that is over or not yet in force: a clock that is wrong, a long way, or a replay.
    OutOfTime,
}

impl<S: KeySource> Opener<S> {
    /// An opener over the keys of `source`.
    pub fn new(source: S) -> Self {
        Self::on_arm(source)
    }
}

impl<S: KeySource, A: Aead> Opener<S, A> {
    /// Like [`Opener::new`], on the cipher `A`.
    pub fn on_arm(source: S) -> Self {
        Self {
            source,
            slots: BTreeMap::new(),
            hold: Hold::default(),
            proofs: None,
            sealed: Vec::new(),
            events: Events::new(),
            stats: OpenStats::default(),
        }
    }

    /// Every sender of whom the source knows an [`Epoch`](super::Epoch) must prove what it sends. Proofs come as frames of
    /// context 7, which are taken in and not handed out.
    #[must_use]
    pub fn with_proofs(mut self, policy: Policy) -> Self {
        self.proofs = Some(Proofs { policy, verifiers: BTreeMap::new() });
        self
    }

    /// Takes in a proof of `leaf` that came another way than as a frame.
    ///
    /// # Errors
    /// See [`Verifier::proof`]; [`ProofError::Foreign`] also where no proofs are asked for.
    pub fn proof(&mut self, leaf: u16, bytes: &[u8], now: Time) -> Result<(), ProofError> {
        self.turn(now);
        let Some(proofs) = &mut self.proofs else { return Err(ProofError::Foreign) };
        let head = Proof::read(bytes).ok_or(ProofError::Malformed)?.head;
        let id = KeyId { step: 0, context: Context::of(Kind::Data), leaf, epoch: head.epoch as u8 };
        let epoch = self.source.epoch(id).filter(|epoch| epoch.number == head.epoch);
        proofs.verifier(epoch.ok_or(ProofError::Foreign)?, leaf).ok_or(ProofError::Foreign)?.proof(bytes, now)
    }

    /// The next event about who sent what.
    pub fn proof_event(&mut self) -> Option<proof::Event> {
        self.proofs.as_mut()?.verifiers.values_mut().find_map(Verifier::event)
    }

    /// The verifiers of all senders, by leaf and the epoch in which they came to it.
    pub fn verifiers(&self) -> impl Iterator<Item = (&(u16, u64), &Verifier<Opened>)> {
        self.proofs.iter().flat_map(|proofs| &proofs.verifiers)
    }

    /// Opens a frame in its own buffer. Allocates only at the first frame of a key and where a frame must wait.
    ///
    /// # Errors
    /// [`Rejected`] gives the wiped buffer back; a failure changes no key and no window.
    pub fn open(&mut self, frame: Arrived, now: Time) -> Result<Opened, Rejected> {
        self.stats.arrived += 1;
        self.turn(now);
        self.expire(now);
        self.attempt(frame, now, true)
    }

    /// The source has other keys than before: frames whose key has come are ready for [`Opener::released`], and keys
    /// that the source withdrew are erased. A source that says so by [`KeySource::turn`] needs no such call.
    ///
    /// A window goes with the last of its keys: what could be replayed then is under keys that open nothing.
    pub fn keys_changed(&mut self, now: Time) {
        let source = &self.source;
        self.slots.retain(|_, slot| {
            slot.keys.retain(|key| source.opens(KeyId::unpack(key.key_id()), now));
            !slot.keys.is_empty()
        });
        self.hold.sort(|key_id| source.opens(KeyId::unpack(key_id), now));
        if let Some(proofs) = &mut self.proofs {
            // What is known of a member that is there stays, however long it is silent.
            let newest: BTreeMap<u16, u64> = proofs.verifiers.keys().copied().collect();
            proofs.verifiers.retain(|(leaf, joined), verifier| {
                let id = |epoch| KeyId { step: 0, context: Context::of(Kind::Data), leaf: *leaf, epoch };
                let keeps = |number| source.epoch(id(number as u8)).is_some_and(|epoch| epoch.number == number);
                !verifier.retain(keeps) || source.knows(*leaf) && newest.get(leaf) == Some(joined)
            });
        }
    }

    /// Lets the source take in what has come and move its keys on.
    fn turn(&mut self, now: Time) {
        if self.source.turn(now) {
            self.keys_changed(now);
        }
    }

    /// The next held frame whose key has come since, opened; to be called until `None` at every tick and after
    /// [`Opener::keys_changed`]. Also moves the keys on and lets go of frames that have waited too long, whether frames
    /// come or not.
    pub fn released(&mut self, now: Time) -> Option<Opened> {
        self.turn(now);
        self.expire(now);
        while let Some(held) = self.hold.ready() {
            self.stats.waiting -= 1;
            if let Ok(opened) = self.attempt(held.into_frame(), now, false) {
                return Some(opened);
            }
        }
        self.proofs.as_mut()?.verifiers.values_mut().find_map(|verifier| {
            verifier.tick(now);
            verifier.released()
        })
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.events.waiting.pop_front()
    }

    /// What became of the frames so far.
    pub fn stats(&self) -> &OpenStats {
        &self.stats
    }

    /// Where the keys come from, to be changed; [`Opener::keys_changed`] is called afterwards.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    fn attempt(&mut self, mut frame: Arrived, now: Time, may_hold: bool) -> Result<Opened, Rejected> {
        let (mut held, mut damaged) = (false, false);
        match self.authenticate(&mut frame, now) {
            Ok((header, inner, mark)) => {
                let Arrived { mut payload, header: outer, packets, ledger } = frame;
                payload.truncate(inner.payload.end);
                payload.consume(inner.payload.start);
                let opened = Opened {
                    payload,
                    header: outer,
                    captured: inner.captured,
                    structure: inner.structure,
                    counter: header.counter,
                    key_id: header.key_id,
                    packets,
                    ledger,
                };
                match self.believe(opened, mark, now) {
                    Ok(opened) => {
                        self.stats.opened += 1;
                        return Ok(opened);
                    }
                    Err((payload, waits)) => {
                        (frame, held) = (Arrived { payload, header: outer, packets, ledger }, waits)
                    }
                }
            }
            Err(Cause::Malformed) => {
                self.stats.malformed += 1;
                damaged = true;
            }
            Err(Cause::Replayed) => self.stats.replayed += 1,
            Err(Cause::TooOld) => self.stats.too_old += 1,
            Err(Cause::Tampered(key_id)) => {
                self.stats.tampered += 1;
                damaged = true;
                self.tell(frame.header.stream, key_id, Reason::Tampered, now);
            }
            Err(Cause::ReceiveOnly(key_id)) => {
                self.stats.receive_only += 1;
                self.tell(frame.header.stream, key_id, Reason::ReceiveOnly, now);
            }
            Err(Cause::MissingKey(key_id)) => {
                // One flipped bit of a key id names nobody, or a time that is not now.
                damaged = !self.source.expects(KeyId::unpack(key_id), now);
                held = self.without_key(key_id, &frame, now, may_hold);
            }
        }
        wipe(&mut frame.payload);
        Err(Rejected { error: OpenError, payload: frame.payload, held, damaged })
    }

    /// Everything up to the point where the plaintext may be believed.
    fn authenticate(&mut self, frame: &mut Arrived, now: Time) -> Result<(header::Header, Inner, Option<Mark>), Cause> {
        let bytes = frame.payload.as_slice();
        let (header, header_len) = header::Header::read(bytes).ok_or(Cause::Malformed)?;
        let id = KeyId::unpack(header.key_id);
        if bytes.len() < header_len + TAG || !id.context.carries(frame.header.kind) {
            return Err(Cause::Malformed);
        }
        self.slot(id, now).ok_or(Cause::MissingKey(header.key_id))?;
        let proving = self.proofs.as_ref().and_then(|_| self.source.epoch(id)).map(|epoch| epoch.number);
        if let (Some(proofs), Some(epoch)) = (&self.proofs, proving) {
            if proofs.is_past(&self.source, epoch, header) {
                return Err(Cause::TooOld);
            }
            // Copying costs a tenth of hashing, which forgeries would have for nothing.
            self.sealed.clear();
            self.sealed.extend_from_slice(frame.payload.as_slice());
        }
        let metadata = metadata(&frame.header);
        let (window, key) = self.slot(id, now).ok_or(Cause::MissingKey(header.key_id))?;
        // Of senders that prove what they send, what is proven says what was seen before: a forged counter moves nothing.
        match window.check(header.counter) {
            _ if proving.is_some() => {}
            Seen::Fresh => {}
            Seen::Replayed => return Err(Cause::Replayed),
            Seen::TooOld => return Err(Cause::TooOld),
        }
        if !sframe::open(key, header, header_len, &metadata, &mut frame.payload) {
            return Err(Cause::Tampered(header.key_id));
        }
        if proving.is_none() {
            window.record(header.counter);
        }
        // Said of what is authentic alone: a header names whom it likes.
        if self.receives_only(id) {
            return Err(Cause::ReceiveOnly(header.key_id));
        }
        let inner = Inner::read(frame.payload.as_slice()).ok_or(Cause::Malformed)?;
        let header::Header { key_id, counter } = header;
        let mark = proving.map(|epoch| {
            let digest = Digest::of(key_id, counter, &metadata, &self.sealed);
            Mark { epoch, key_id, counter, digest, stream: frame.header.stream, captured: inner.captured }
        });
        Ok((header, inner, mark))
    }

    /// Whether this is media of a recorder.
    fn receives_only(&self, id: KeyId) -> bool {
        let member = self.source.epoch(id).and_then(|epoch| epoch.roster.get(id.leaf));
        !id.context.carries(Kind::Data) && member.is_some_and(|member| member.role == Role::Recorder)
    }

    /// Whether an opened frame is its sender's, as far as is known. Otherwise its buffer, and whether it waits.
    fn believe(&mut self, opened: Opened, mark: Option<Mark>, now: Time) -> Result<Opened, (Buffer, bool)> {
        let Some(mark) = mark else { return Ok(opened) };
        let id = KeyId::unpack(mark.key_id);
        if id.context.carries(Kind::Data) && opened.payload.as_slice().starts_with(MAGIC) {
            self.stats.proofs += 1;
            // The verifier counts what does not hold and tells of what contradicts.
            let _ = self.proof(id.leaf, opened.payload.as_slice(), now);
            return Err((opened.payload, false));
        }
        let verifier = match (&mut self.proofs, self.source.epoch(id)) {
            (Some(proofs), Some(epoch)) => proofs.verifier(epoch, id.leaf),
            _ => None,
        };
        let Some(verifier) = verifier else { return Err((opened.payload, false)) };
        let bytes = opened.payload.len();
        match verifier.admit(mark, opened, bytes, now) {
            Verdict::Show(opened) => Ok(opened),
            Verdict::Waits => {
                self.stats.awaited += 1;
                if let Some(proofs) = &mut self.proofs {
                    proofs.bound();
                }
                Err((Buffer::default(), true))
            }
            Verdict::Refused(opened, refusal) => {
                match refusal {
                    Refusal::Replayed => self.stats.replayed += 1,
                    Refusal::TooOld => self.stats.too_old += 1,
                    Refusal::Forged | Refusal::Crowded | Refusal::Unknown => self.stats.forged += 1,
                }
                Err((opened.payload, false))
            }
        }
    }

    /// The window and the one key of `id`, derived at its first frame if the source has it. A forged id makes nothing
    /// that a genuine one of the group would not.
    fn slot(&mut self, id: KeyId, now: Time) -> Option<(&mut Window, &OpenKey<A>)> {
        let packed = id.pack()?;
        // Counters run on across ratchet steps, so the window belongs to everything but the step.
        let place = (packed & 0x1f_ffff) as u32;
        let known = self.slots.get(&place).and_then(|slot| slot.keys.iter().position(|key| key.key_id() == packed));
        let index = match known {
            Some(index) => index,
            None => {
                let base = self.source.receiving(id, now)?;
                let key = OpenKey::derive(Suite::Aes256GcmSha512, packed, &base).ok()?;
                let slot = self.slots.entry(place).or_default();
                if slot.keys.len() == MAX_STEPS {
                    slot.keys.retain(|key| self.source.opens(KeyId::unpack(key.key_id()), now));
                }
                if slot.keys.len() == MAX_STEPS {
                    return None;
                }
                slot.keys.push(key);
                slot.keys.len() - 1
            }
        };
        let slot = self.slots.get_mut(&place)?;
        Some((&mut slot.window, &slot.keys[index]))
    }

    /// Holds a frame whose key may come, or counts it as lost. `true`: held.
    fn without_key(&mut self, key_id: u64, frame: &Arrived, now: Time, may_hold: bool) -> bool {
        let id = KeyId::unpack(key_id);
        if !self.source.knows(id.leaf) {
            self.stats.missing_key += 1;
            self.stats.unknown_leaf += 1;
            return false;
        }
        if !self.source.expects(id, now) {
            self.stats.missing_key += 1;
            self.stats.out_of_time += 1;
            self.tell(frame.header.stream, key_id, Reason::OutOfTime, now);
            return false;
        }
        if may_hold && self.hold.put(key_id, frame, now) {
            self.stats.held += 1;
            self.stats.waiting += 1;
            return true;
        }
        self.stats.missing_key += 1;
        self.stats.hold_full += u64::from(may_hold);
        self.tell(frame.header.stream, key_id, Reason::MissingKey, now);
        false
    }

    /// Lets go of frames that have waited too long.
    fn expire(&mut self, now: Time) {
        while let Some(Held { key_id, header, .. }) = self.hold.expire(now) {
            self.stats.waiting -= 1;
            self.stats.missing_key += 1;
            self.stats.hold_expired += 1;
            self.tell(header.stream, key_id, Reason::MissingKey, now);
        }
    }

    fn tell(&mut self, stream: u32, key_id: u64, reason: Reason, now: Time) {
        let event = Event { stream, leaf: KeyId::unpack(key_id).leaf, key_id, reason };
        if !self.events.put(event, now) {
            self.stats.events_dropped += 1;
        }
    }
}

/// The verifiers of all senders, by leaf and the epoch in which they came to it.
struct Proofs {
    policy: Policy,
    verifiers: BTreeMap<(u16, u64), Verifier<Opened>>,
}

impl Proofs {
    /// The verifier of the member that is on `leaf` in `epoch`.
    fn verifier(&mut self, epoch: &Arc<Epoch>, leaf: u16) -> Option<&mut Verifier<Opened>> {
        let joined = epoch.roster.get(leaf)?.joined;
        let verifiers = &mut self.verifiers;
        let verifier = verifiers.entry((leaf, joined)).or_insert_with(|| Verifier::new(leaf, joined, self.policy));
        verifier.enter(epoch).then_some(verifier)
    }

    /// Where all senders' frames together take too much, the one with most gives way.
    fn bound(&mut self) {
        while self.verifiers.values().map(Verifier::waiting).sum::<usize>() > MAX_WAITING_BYTES {
            let most = self.verifiers.values_mut().max_by_key(|verifier| verifier.waiting());
            if !most.is_some_and(Verifier::crowd_out) {
                return;
            }
        }
    }

    /// Whether a frame is so far behind that it needs no opening. Makes nothing: the frame may be anybody's.
    fn is_past(&self, source: &impl KeySource, epoch: u64, header: header::Header) -> bool {
        let id = KeyId::unpack(header.key_id);
        let joined = source.epoch(id).and_then(|epoch| epoch.roster.get(id.leaf)).map(|member| member.joined);
        let verifier = joined.and_then(|joined| self.verifiers.get(&(id.leaf, joined)));
        verifier.is_some_and(|verifier| verifier.is_past(epoch, header.key_id, header.counter))
    }
}

/// Bytes of opened frames of all senders that wait for their proofs at most.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// Why a frame fails, inside.
enum Cause {
    Malformed,
    MissingKey(u64),
    Replayed,
    TooOld,
    Tampered(u64),
    ReceiveOnly(u64),
}

/// What is kept of one sender's context in one epoch.
struct Slot<A> {
    window: Window,
    keys: Vec<OpenKey<A>>,
}

impl<A> Default for Slot<A> {
    fn default() -> Self {
        Self { window: Window::default(), keys: Vec::new() }
    }
}

/// Ratchet steps of one context held at a time; receivers accept -6 to +2 s in steps of 4 s, which are three.
const MAX_STEPS: usize = 4;

/// Events not yet taken, at most one per stream, sender, reason and second.
struct Events {
    waiting: VecDeque<Event>,
    told: VecDeque<(Event, Time)>,
}

impl Events {
    fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(MAX_EVENTS), told: VecDeque::with_capacity(MAX_EVENTS) }
    }

    fn put(&mut self, event: Event, now: Time) -> bool {
        while self.told.front().is_some_and(|(_, at)| now.since(*at) >= SECOND) {
            self.told.pop_front();
        }
        let same = |told: &Event| (told.stream, told.leaf, told.reason) == (event.stream, event.leaf, event.reason);
        // Each reason has its half, so that forgeries do not silence what is said of keys.
        let alike = self.told.iter().filter(|(told, _)| told.reason == event.reason).count();
        if alike == MAX_EVENTS / 2 || self.told.iter().any(|(told, _)| same(told)) {
            return false;
        }
        if self.waiting.len() == MAX_EVENTS {
            self.waiting.pop_front();
        }
        self.told.push_back((event, now));
        self.waiting.push_back(event);
        true
    }
}

const MAX_EVENTS: usize = 64;
const SECOND: u64 = 1_000_000;
