//! Where tests make a call of the key path fail: one line in each call that can fail only where a library or the
//! system does. Outside of tests it is nothing.

/// A call that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A step of the key schedule.
    Derive,
    /// A key of the cipher is expanded.
    Expand,
    /// A frame is sealed.
    Seal,
    /// A frame is opened.
    Open,
    /// The identity key signs.
    Sign,
    /// The media key signs.
    Prove,
    /// Random bytes.
    Random,
    /// The store of the group reads or writes.
    Store,
    /// The secret of an epoch is exported.
    Export,
}

/// Whether `call` is to fail this time.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn fails(_call: Call) -> bool {
    false
}

#[cfg(test)]
pub(crate) use tests::fails;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::Call;
    use crate::codecs::{EncodedInfo, Size};
    use crate::data::Topic;
    use crate::e2ee::group::{self, Device, Event, Request};
    use crate::encode::Framing;
    use crate::frame::{Buffer, Kind};
    use crate::gathering::{Audience, Config, Gathering, Word};
    use crate::party::{self, Party, PartyError};
    use crate::relay::Relay;
    use crate::tap;
    use crate::time::Time;

    const CALLS: [Call; 9] = [
        Call::Derive,
        Call::Expand,
        Call::Seal,
        Call::Open,
        Call::Sign,
        Call::Prove,
        Call::Random,
        Call::Store,
        Call::Export,
    ];

    /// Which calls fail on this thread: from one on, so many.
    #[derive(Clone, Copy, Debug)]
    struct Plan {
        call: Call,
        from: u64,
        many: u64,
    }

    thread_local! {
        static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
        static COUNTS: Cell<[u64; CALLS.len()]> = const { Cell::new([0; CALLS.len()]) };
        static FAILED: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn fails(call: Call) -> bool {
        let mut counts = COUNTS.get();
        let count = &mut counts[call as usize];
        let place = *count;
        *count += 1;
        COUNTS.set(counts);
        let fails = PLAN
            .get()
            .is_some_and(|plan| plan.call == call && (plan.from..plan.from.saturating_add(plan.many)).contains(&place));
        FAILED.set(FAILED.get() + u64::from(fails));
        fails
    }

    #[derive(Default)]
    struct Room {
        tap: tap::Tap,
        heard: usize,
    }

    impl Audience for Room {
        fn sent(&mut self, seat: usize, word: Word<'_>, now: Time) {
            self.tap.sent(seat, word, now);
        }

        fn ticked(&mut self, seat: usize, party: &mut Party, now: Time) {
            while let Some(event) = party.event() {
                if let (0, party::Event::Group(Event::Knock { key_package, .. })) = (seat, event) {
                    let _ = party.group().map(|group| group.admit(&key_package, now));
                }
            }
            for (_, receiver) in party.heard() {
                while let Some((_, opened)) = receiver.video(now) {
                    self.heard += 1;
                    receiver.recycle(opened);
                }
            }
        }
    }

    struct Meeting {
        gathering: Gathering,
        room: Room,
        pictures: u64,
        sent: usize,
    }

    impl Meeting {
        fn sit(&mut self, begin: impl FnOnce(Time, &mut dyn party::Out) -> Result<Party, PartyError>) {
            let _ = self.gathering.sit(&mut self.room, begin);
        }

        /// Everybody who can shows a picture every 40 ms, for so long.
        fn play(&mut self, ms: u64) {
            for _ in 0..ms / 40 {
                let now = self.gathering.now();
                for seat in 0..3 {
                    let text = format!("picture {} of seat {seat}: what nobody else is to see. ", self.pictures);
                    self.pictures += 1;
                    self.room.tap.conceal(text.as_bytes());
                    let mut payload = Buffer::with_capacity(600);
                    (0..10).for_each(|_| payload.tail().extend_from_slice(text.as_bytes()));
                    let info = EncodedInfo { keyframe: true, ..EncodedInfo::default() };
                    let frame = Framing::video(0, Kind::Camera, Size::new(640, 360)).frame(payload, info, now);
                    self.room.tap.conceal_structure(frame.structure.as_slice());
                    self.sent += usize::from(self.gathering.frame(seat, frame, &mut self.room).is_ok());
                }
                self.gathering.run(now.plus(40_000), &mut self.room);
            }
        }

        fn with(&mut self, seat: usize, act: impl FnOnce(&mut Party, Time)) {
            let now = self.gathering.now();
            if let Some(party) = self.gathering.party(seat) {
                act(party, now);
            }
        }
    }

    /// Founds, joins, writes, rekeys, leaves and kicks, under `plan`.
    fn life(plan: Option<Plan>) -> Meeting {
        let gathering = Gathering::new(Config::default(), Relay::new());
        let mut meeting = Meeting { gathering, room: Room::default(), pictures: 0, sent: 0 };
        let devices = ["host", "guest", "other guest"].map(|name| Device::generate(name).unwrap());
        (COUNTS.set([0; CALLS.len()]), FAILED.set(0), PLAN.set(plan));
        let mut settings = party::Config::new(group::Config::new(b"faults").classical());
        settings.sends = vec![Kind::Camera];
        settings.hears = settings.sends.clone();
        let [host, guest, other] = devices;
        meeting.sit(|now, out| Party::found(&host, settings.clone(), now, out));
        meeting.play(80);
        meeting.sit(|_, out| Party::knock(&guest, settings.clone(), out));
        meeting.sit(|_, out| Party::knock(&other, settings.clone(), out));
        meeting.play(600);
        for seat in 0..3 {
            let line = format!("seat {seat} writes a line that nobody else is to read");
            meeting.room.tap.conceal(line.as_bytes());
            meeting.with(seat, |party, _| drop(party.say(Topic::Chat, line.as_bytes())));
        }
        meeting.play(200);
        meeting.with(0, |party, now| drop(party.group().map(|group| group.ask(Request::Renew, now))));
        meeting.play(600);
        meeting.with(2, Party::leave);
        meeting.play(800);
        let leaf = meeting.gathering.party(1).and_then(|party| party.own()).map(|own| own.leaf);
        meeting.with(0, |party, now| drop(leaf.map(|leaf| party.group().map(|group| group.remove(leaf, true, now)))));
        meeting.play(800);
        PLAN.set(None);
        meeting
    }

    #[test]
    fn a_failure_of_any_call_of_the_key_path_lets_nothing_out_in_the_clear() {
        let whole = life(None);
        whole.room.tap.assert_silent("without a fault");
        assert!(whole.sent > 100 && whole.room.heard > 50, "{} {}", whole.sent, whole.room.heard);
        let (counts, mut failed, mut quiet) = (COUNTS.get(), 0, 0);
        for call in CALLS {
            let count = counts[call as usize];
            assert!(count > 2, "{call:?} is on the way");
            let step = (count / SAMPLES).max(1);
            for (n, from) in (0..count).step_by(step as usize).enumerate() {
                // Once, a few times and for good in turn.
                let plan = Plan { call, from, many: [1, 3, u64::MAX][n % 3] };
                let mut meeting = life(Some(plan));
                failed += u64::from(FAILED.get() > 0);
                if meeting.room.tap.left.is_empty() {
                    assert_eq!(meeting.sent, 0);
                    quiet += 1;
                    continue;
                }
                assert_eq!(meeting.room.tap.search(), tap::Found::default(), "{plan:?}");
                let noise = meeting.room.tap.noise();
                assert!(noise.all < tap::WORST, "{plan:?}: {noise:?}");
                for seat in 0..3 {
                    let Some(party) = meeting.gathering.party(seat) else { continue };
                    let sealing = party.sealing();
                    assert!(
                        sealing.is_none() || sealing == party.epoch(),
                        "{plan:?}: seat {seat} seals in an epoch that is over"
                    );
                }
            }
        }
        println!("{counts:?}: {failed} lives with a fault, {quiet} of them silent");
        assert!(failed > 100);
    }

    /// Lives for each call.
    const SAMPLES: u64 = 24;
}
