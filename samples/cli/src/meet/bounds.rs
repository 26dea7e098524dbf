//! The bounds of the design, and which of them did not hold.

use conclave::gathering::relays::Model;
use conclave::time::Time;

use super::outcome::Outcome;
use super::sim::Sim;

/// Milliseconds for which a leaver may still open what is sealed.
pub const LEAVE_MS: u64 = 2_000;
/// The same for somebody who was put out, at 100 ms from one to another and back.
pub const KICK_MS: u64 = 500;
/// Milliseconds from the welcome to the first picture.
pub const PICTURE_MS: u64 = 500;
/// Milliseconds of sound that nobody may miss at a stretch.
pub const GAP_MS: u64 = 100;
/// Microseconds within which whoever knocks is in, and whoever goes is out.
const SETTLED_US: u64 = 5_000_000;

/// What did not hold, in sentences.
pub fn broken(outcome: &Outcome, sim: &Sim, model: Model) -> Vec<String> {
    let mut broken = Vec::new();
    let mut holds = |holds: bool, sentence: String| {
        if !holds {
            broken.push(sentence);
        }
    };
    holds(sim.watch.parted.is_empty(), format!("not all saw one meeting in epochs {:?}", sim.watch.parted));
    if let Some(attack) = &outcome.attack {
        holds(attack.victims > 0, format!("the attack {} never took hold", attack.name));
        let text = format!("{} of {} were told in time: {}", attack.told, attack.victims, attack.stated);
        holds(attack.told == attack.victims, text);
    }
    if !matches!(model, Model::Honest | Model::Slow) {
        // A relay that keeps messages back leaves its victims to the bounds of the heartbeat.
        return broken;
    }
    let at_most = [
        (outcome.leave_window_ms.max, LEAVE_MS, "after a leave a frame was sealed that the leaver could open"),
        (outcome.kick_window_ms.max, KICK_MS, "after a kick a frame was sealed that the one put out could open"),
        (outcome.first_picture_ms.max, PICTURE_MS, "from its welcome somebody waited for the first picture"),
        (outcome.longest_gap_ms, GAP_MS, "somebody missed sound at a stretch"),
    ];
    for (ms, bound, what) in at_most {
        holds(ms <= bound, format!("{what}: {ms} ms, and {bound} is the bound"));
    }
    for (alarm, count) in &outcome.alarms {
        holds(false, format!("{count} times in an honest meeting: {}", alarm.says()));
    }
    let end = sim.gathering.now();
    let long = |since: Time| end.since(since) > SETTLED_US;
    let stay = sim.watch.leavers.iter().filter(|leaver| leaver.gone_in.is_none() && long(leaver.asked)).count();
    holds(stay == 0, format!("{stay} of those who went were still in five seconds later"));
    let blind = |seat: &&usize| {
        let track = sim.watch.tracks.get(**seat);
        track.is_none_or(|track| track.left.is_none() && track.first_picture.is_none())
    };
    let blind = sim.late.iter().filter(blind).count();
    holds(blind == 0, format!("{blind} of those who came saw nothing"));
    broken
}
