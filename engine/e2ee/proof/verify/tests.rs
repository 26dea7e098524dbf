use super::super::tests::{digest, epoch, epoch_of, frame};
use super::super::{MediaSigner, Prover};
use super::*;

const VICTIM: u16 = 1;

fn ms(ms: u64) -> Time {
    Time::from_ms(ms)
}

fn prover() -> Prover {
    Prover::new(MediaSigner::from_seed(&[VICTIM as u8; 32]).unwrap(), Policy::RenderThenProve)
}

fn verifier(policy: Policy) -> Verifier<u64> {
    let mut verifier = Verifier::new(VICTIM, 0, policy);
    assert!(verifier.enter(&epoch(1, 0)));
    verifier
}

/// A frame of the victim's microphone: its own, or with `forger` somebody else's.
fn mark(counter: u64, forger: Option<u64>) -> Mark {
    let context = Context::new(0).unwrap();
    let key_id = KeyId { step: 0, context, leaf: VICTIM, epoch: 1 }.pack().unwrap();
    let digest = forger.map_or(digest(0, counter), |n| Digest::of(n, counter, b"", b"forged"));
    Mark { epoch: 1, key_id, counter, digest, stream: 5, captured: Time(0) }
}

fn shows(verifier: &mut Verifier<u64>, mark: Mark, now: Time) -> bool {
    matches!(verifier.admit(mark, mark.counter, 100, now), Verdict::Show(_))
}

fn whys(verifier: &mut Verifier<u64>) -> Vec<Why> {
    std::iter::from_fn(|| verifier.event()).map(|event| event.why).collect()
}

/// Proves `counters` now.
fn prove(prover: &mut Prover, counters: std::ops::Range<u64>, now: Time) -> Vec<u8> {
    let epoch = epoch(1, VICTIM);
    counters.for_each(|counter| prover.sealed(&epoch, frame(0, counter), now));
    prover.flush(now).unwrap().to_vec()
}

#[test]
fn honest_frames_are_shown_at_once_and_once() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    for n in 0..500u64 {
        let now = ms(n * 20);
        assert!(shows(&mut verifier, mark(n, None), now));
        assert!(!shows(&mut verifier, mark(n, None), now));
        if n % 10 == 9 {
            let proof = prove(&mut prover, n - 9..n + 1, now);
            assert_eq!(verifier.proof(&proof, now), Ok(()));
            assert_eq!(verifier.proof(&proof, now), Ok(()), "again changes nothing");
        }
        verifier.tick(now);
        assert!(!shows(&mut verifier, mark(n, None), now));
    }
    assert_eq!(whys(&mut verifier), []);
    let stats = verifier.stats();
    assert_eq!((stats.shown, stats.proven, stats.replayed, stats.repeated), (500, 500, 1000, 50));
}

#[test]
fn a_genuine_frame_is_shown_though_a_forged_one_came_first() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    assert!(shows(&mut verifier, mark(0, None), ms(0)));
    assert!(shows(&mut verifier, mark(1, Some(1)), ms(10)), "nobody knows yet");
    assert!(!shows(&mut verifier, mark(1, None), ms(20)));
    assert_eq!(whys(&mut verifier), [Why::Contested], "that two differ is seen at once");
    verifier.proof(&prove(&mut prover, 0..2, ms(200)), ms(200)).unwrap();
    assert_eq!(whys(&mut verifier), [Why::Swapped]);
    assert_eq!(verifier.released(), Some(1));
    assert_eq!(verifier.released(), None);
    assert!(!shows(&mut verifier, mark(1, None), ms(210)) && !shows(&mut verifier, mark(1, Some(1)), ms(210)));
    assert!(verifier.is_wary(Context::new(0).unwrap()) && !verifier.is_wary(Context::new(1).unwrap()));
    assert!(!shows(&mut verifier, mark(2, None), ms(220)), "from now on proof comes first");
    verifier.proof(&prove(&mut prover, 2..3, ms(400)), ms(400)).unwrap();
    assert_eq!(verifier.released(), Some(2));
}

#[test]
fn a_counter_far_ahead_silences_nobody_and_is_found_out() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    let (mut shown, mut alarm) = (0, None);
    for n in 0..150u64 {
        let now = ms(n * 20);
        shown += u64::from(shows(&mut verifier, mark(n, None), now));
        if n == 50 {
            assert!(shows(&mut verifier, mark(1 << 40, Some(1)), now));
        }
        if n % 10 == 9 {
            verifier.proof(&prove(&mut prover, n - 9..n + 1, now), now).unwrap();
        }
        shown += std::iter::from_fn(|| verifier.released()).count() as u64;
        verifier.tick(now);
        for why in whys(&mut verifier) {
            assert_eq!(why, Why::Invented);
            alarm.get_or_insert(n);
        }
    }
    assert_eq!(shown, 150);
    assert!(alarm.is_some_and(|n| n <= 50 + 60), "{alarm:?}");
}

#[test]
fn a_frame_taken_for_invented_is_not_shown_again_when_its_proof_comes_late() {
    const LATE: u64 = 1 << 40;
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    for n in 0..150u64 {
        let now = ms(n * 20);
        shows(&mut verifier, mark(n, None), now);
        if n == 50 {
            assert!(shows(&mut verifier, mark(LATE, None), now));
        }
        if n % 10 == 9 {
            verifier.proof(&prove(&mut prover, n - 9..n + 1, now), now).unwrap();
        }
        while verifier.released().is_some() {}
        verifier.tick(now);
    }
    assert_eq!(whys(&mut verifier), [Why::Invented]);
    assert!(!shows(&mut verifier, mark(LATE, None), ms(3000)));
    verifier.proof(&prove(&mut prover, LATE..LATE + 1, ms(3010)), ms(3010)).unwrap();
    assert_eq!(verifier.released(), None, "it was shown before");
    assert!(!shows(&mut verifier, mark(LATE, None), ms(3020)));
}

#[test]
fn a_counter_that_the_sender_skipped_is_found_out_by_the_next_proof() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    verifier.proof(&prove(&mut prover, 0..5, ms(0)), ms(0)).unwrap();
    assert!(shows(&mut verifier, mark(5, Some(1)), ms(10)));
    let late = prove(&mut prover, 6..7, ms(200));
    let later = prove(&mut prover, 7..9, ms(400));
    verifier.proof(&later, ms(400)).unwrap();
    assert_eq!(whys(&mut verifier), [], "the proof between may cover it");
    verifier.proof(&late, ms(450)).unwrap();
    assert_eq!(whys(&mut verifier), [Why::Skipped]);
    assert!(!shows(&mut verifier, mark(5, Some(2)), ms(460)));
}

#[test]
fn what_is_never_proven_is_flagged_after_a_second_and_recovers_with_proofs() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    verifier.proof(&prove(&mut prover, 0..1, ms(0)), ms(0)).unwrap();
    let lost = prove(&mut prover, 1..2, ms(200));
    assert!(shows(&mut verifier, mark(1, None), ms(200)));
    verifier.tick(ms(1199));
    assert_eq!(whys(&mut verifier), []);
    verifier.tick(ms(1200));
    assert_eq!(whys(&mut verifier), [Why::Unproven]);
    assert!(!shows(&mut verifier, mark(2, None), ms(1210)));
    verifier.proof(&prove(&mut prover, 2..3, ms(1300)), ms(1300)).unwrap();
    assert_eq!((verifier.released(), whys(&mut verifier)), (Some(2), vec![Why::Proven]), "proven frames are shown");
    assert!(shows(&mut verifier, mark(3, None), ms(1400)));
    verifier.proof(&lost, ms(1500)).unwrap();
    assert!(!shows(&mut verifier, mark(1, None), ms(1500)), "what was shown is not shown by a late proof again");
}

#[test]
fn a_flood_of_forged_frames_is_bounded_and_lets_the_genuine_ones_through() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    let mut rng = fastrand::Rng::with_seed(7);
    let mut shown = 0;
    for n in 0..200u64 {
        let now = ms(n * 20);
        for forged in 0..200 {
            // Below, above and far above, never just between the genuine one and its proof.
            let counter = if forged % 2 == 0 { n + 1 + rng.u64(1..500) } else { rng.u64(..) };
            verifier.admit(mark(counter, Some(n << 20 | forged)), u64::MAX, 1000, now);
        }
        shown += u64::from(shows(&mut verifier, mark(n, None), now));
        verifier.proof(&prove(&mut prover, n..n + 1, now), now).unwrap();
        while let Some(frame) = verifier.released() {
            assert_eq!(frame, n, "nothing forged is ever released");
            shown += 1;
        }
        verifier.tick(now);
        let (frames, bytes) = verifier.kept();
        assert!(frames <= 128 + 256 + 512 && bytes <= 4 << 20);
    }
    assert_eq!(shown, 200);
    assert!(verifier.stats().forged > 1000 && whys(&mut verifier).len() <= 64);
}

#[test]
fn contradictions_of_the_sender_itself_are_told() {
    let equivocal = || {
        let (mut one, mut two) = (prover(), prover());
        (prove(&mut one, 0..1, ms(0)), prove(&mut two, 0..2, ms(0)), prove(&mut two, 2..3, ms(0)))
    };
    let (one, two, torn) = equivocal();
    let mut verifier = verifier(Policy::RenderThenProve);
    verifier.proof(&one, ms(0)).unwrap();
    assert_eq!(verifier.proof(&two, ms(0)), Err(ProofError::Contradiction));
    assert_eq!(verifier.proof(&torn, ms(0)), Err(ProofError::Contradiction));
    assert_eq!(whys(&mut verifier), [Why::Equivocation, Why::TornChain]);

    let mut other = prover();
    other.sealed(&epoch_of(1, VICTIM, 99), frame(0, 0), ms(0));
    let mut verifier = self::verifier(Policy::RenderThenProve);
    assert_eq!(verifier.proof(other.flush(ms(0)).unwrap(), ms(0)), Err(ProofError::Contradiction));
    assert_eq!(whys(&mut verifier), [Why::OtherKeys]);
}

#[test]
fn proofs_by_others_prove_nothing_and_are_looked_at_in_bounds() {
    let mut verifier = verifier(Policy::RenderThenProve);
    let mut forger = Prover::new(MediaSigner::from_seed(&[2; 32]).unwrap(), Policy::RenderThenProve);
    for n in 0..2000 {
        let forged = prove(&mut forger, n..n + 1, ms(n));
        let expected = if n % 1000 < MAX_UNSIGNED.into() { ProofError::Unsigned } else { ProofError::Ignored };
        assert_eq!(verifier.proof(&forged, ms(n)), Err(expected), "{n}");
    }
    let mut foreign = Prover::new(MediaSigner::from_seed(&[1; 32]).unwrap(), Policy::RenderThenProve);
    foreign.sealed(&epoch(1, 2), frame(0, 0), ms(0));
    assert_eq!(verifier.proof(foreign.flush(ms(0)).unwrap(), ms(3000)), Err(ProofError::Foreign));
    foreign.sealed(&epoch(9, 1), frame(0, 0), ms(0));
    assert_eq!(verifier.proof(foreign.flush(ms(0)).unwrap(), ms(3000)), Err(ProofError::Foreign));
    assert_eq!(verifier.proof(b"CMP1", ms(3000)), Err(ProofError::Malformed));
    assert_eq!(whys(&mut verifier), []);
    verifier.proof(&prove(&mut prover(), 0..1, ms(3000)), ms(3000)).unwrap();
}

#[test]
fn proven_first_shows_nothing_before_its_proof() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::ProveThenRender));
    for n in 0..100 {
        let proof = prove(&mut prover, n..n + 1, ms(n * 20));
        if n % 3 == 0 {
            verifier.proof(&proof, ms(n * 20)).unwrap();
            assert!(shows(&mut verifier, mark(n, None), ms(n * 20)), "the proof came before its frame");
        } else {
            assert!(!shows(&mut verifier, mark(n, None), ms(n * 20)));
            verifier.proof(&proof, ms(n * 20 + 5)).unwrap();
            assert_eq!(verifier.released(), Some(n));
        }
    }
    assert_eq!((verifier.stats().shown, verifier.stats().shown_proven), (0, 100));
}

/// Longest time that an honest stream was flagged, and frames never shown, at `loss` percent of proofs lost, each sent
/// again 150 ms later until it comes.
fn meeting(loss: u8, seed: u64) -> (u64, u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    let sender = epoch(1, VICTIM);
    let mut proofs: Vec<(u64, Vec<u8>)> = Vec::new();
    let (mut frames, mut shown) = (Vec::new(), 0u64);
    let (mut since, mut longest) = (None, 0);
    let mut sent = 0;
    for t in (0..60_000u64).step_by(10) {
        if t % 20 == 0 && t < 58_000 {
            prover.sealed(&sender, frame(0, sent), ms(t));
            frames.push((t + 30 + rng.u64(..40), sent));
            sent += 1;
        }
        while let Some(proof) = prover.due(ms(t)) {
            let tries = std::iter::repeat_with(|| rng.u8(..100)).take_while(|roll| *roll < loss).count() as u64;
            proofs.push((t + 30 + rng.u64(..40) + tries * 150, proof.to_vec()));
        }
        for (_, counter) in frames.extract_if(.., |(at, _)| *at <= t) {
            shown += u64::from(shows(&mut verifier, mark(counter, None), ms(t)));
        }
        proofs.extract_if(.., |(at, _)| *at <= t).for_each(|(_, proof)| verifier.proof(&proof, ms(t)).unwrap());
        verifier.tick(ms(t));
        shown += std::iter::from_fn(|| verifier.released()).count() as u64;
        match (verifier.is_unproven(Context::new(0).unwrap()), since) {
            (true, None) => since = Some(t),
            (false, Some(start)) => (longest, since) = (longest.max(t - start), None),
            _ => {}
        }
        assert!(whys(&mut verifier).iter().all(|why| !why.is_alarm()), "nobody honest is accused");
    }
    assert_eq!(since, None);
    (longest, sent - shown)
}

#[test]
fn nobody_honest_is_flagged_for_long_at_a_fifth_of_proofs_lost_and_never_at_none() {
    for seed in 0..20 {
        assert_eq!(meeting(0, seed), (0, 0));
        let (longest, missing) = meeting(20, seed);
        assert!(longest <= 2000, "{longest} ms");
        assert_eq!(missing, 0);
    }
    let (longest, missing) = meeting(60, 1);
    assert!(longest > 0 && longest <= 2000 && missing == 0, "{longest} ms");
}

#[test]
fn what_waits_in_all_streams_of_a_sender_is_bounded() {
    let mut verifier = verifier(Policy::ProveThenRender);
    for n in 0..100u64 {
        let context = Context::new((n % 8) as u8).unwrap();
        let key_id = KeyId { step: 0, context, leaf: VICTIM, epoch: 1 }.pack().unwrap();
        let mark = Mark { key_id, ..mark(n / 8, None) };
        verifier.admit(mark, n, 1 << 20, ms(n));
        assert!(verifier.waiting() <= MAX_WAITING);
        assert_eq!(verifier.waiting(), verifier.kept().1);
    }
    assert_eq!((verifier.waiting(), verifier.stats().crowded > 0), (MAX_WAITING, true));
    // Everything together gives way to none, the furthest first, and the book is balanced.
    while verifier.crowd_out() {}
    assert_eq!((verifier.waiting(), verifier.kept()), (0, (0, 0)));
    verifier.admit(mark(0, None), 0, 1 << 20, ms(200));
    verifier.tick(ms(10_000));
    assert_eq!(verifier.waiting(), 0);
}

/// A frame of the victim in another context and epoch.
fn mark_in(context: u8, epoch: u64, counter: u64) -> Mark {
    let context = Context::new(context).unwrap();
    let key_id = KeyId { step: 0, context, leaf: VICTIM, epoch: epoch as u8 }.pack().unwrap();
    Mark { epoch, key_id, digest: digest(context.number(), counter), ..mark(counter, None) }
}

#[test]
fn nothing_of_a_message_is_believed_before_its_proof() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    assert!(shows(&mut verifier, mark(0, None), ms(0)), "sound is");
    let forged = Mark { digest: Digest::of(1, 0, b"", b"forged"), ..mark_in(7, 1, 0) };
    assert!(!shows(&mut verifier, forged, ms(10)) && !shows(&mut verifier, mark_in(7, 1, 0), ms(20)));
    prover.sealed(&epoch(1, VICTIM), frame(7, 0), ms(20));
    verifier.proof(&prover.flush(ms(60)).unwrap().to_vec(), ms(60)).unwrap();
    assert_eq!((verifier.released(), verifier.released()), (Some(0), None));
    assert_eq!(verifier.stats().shown_proven, 1);
}

#[test]
fn a_stream_whose_proofs_are_missing_is_not_believed_again_for_a_new_epoch() {
    let mut verifier = verifier(Policy::RenderThenProve);
    assert!(shows(&mut verifier, mark(0, None), ms(0)));
    verifier.tick(ms(1_100));
    assert_eq!(whys(&mut verifier), [Why::Unproven]);
    assert!(verifier.enter(&epoch(2, 0)));
    assert!(!shows(&mut verifier, mark_in(0, 2, 0), ms(1_200)), "nor in the next");
    // The next proof ends it.
    let mut prover = prover();
    prover.sealed(&epoch(2, VICTIM), frame(0, 0), ms(1_300));
    verifier.proof(&prover.flush(ms(1_300)).unwrap().to_vec(), ms(1_300)).unwrap();
    assert_eq!(verifier.released(), Some(0));
    assert!(shows(&mut verifier, mark_in(0, 2, 1), ms(1_310)));
}

#[test]
fn who_forges_in_one_context_of_a_camera_is_not_believed_in_another() {
    let (mut prover, mut verifier) = (prover(), verifier(Policy::RenderThenProve));
    let forged = Mark { digest: Digest::of(1, 0, b"", b"forged"), ..mark_in(1, 1, 0) };
    assert!(shows(&mut verifier, forged, ms(0)));
    prover.sealed(&epoch(1, VICTIM), frame(1, 0), ms(10));
    verifier.proof(&prover.flush(ms(10)).unwrap().to_vec(), ms(10)).unwrap();
    assert_eq!(whys(&mut verifier), [Why::Swapped]);
    assert!(!shows(&mut verifier, mark_in(2, 1, 0), ms(20)) && !shows(&mut verifier, mark_in(3, 1, 0), ms(20)));
    assert!(shows(&mut verifier, mark_in(4, 1, 0), ms(20)), "the screen is another matter");
}
