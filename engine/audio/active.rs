//! Who speaks: from the levels of opened sound, or those that came authenticated with it. Pure.
//!
//! Each person has a score, the level smoothed over words. The active one stays until another leads for a while, so that
//! a cough, a door or a short "yes" switches nothing, and stays while everybody is silent.

use super::level::SILENCE_DBFS;
use crate::time::Time;

/// Follows who speaks among up to [`Active::MOST`] people.
#[derive(Clone, Debug)]
pub struct Active<K> {
    people: Vec<Person<K>>,
    active: Option<K>,
    /// Who leads, and since when.
    leader: Option<(K, Time)>,
    switched: Time,
}

#[derive(Clone, Copy, Debug)]
struct Person<K> {
    who: K,
    score: f32,
    heard: Time,
}

/// Time constants of a score, in seconds: a cough ends before it counts, and a pause between words costs little.
const RISE_S: f32 = 0.35;
const FALL_S: f32 = 0.9;
/// The level at which a score begins, and the one at which it is full.
const QUIET_DBFS: f32 = -55.0;
const FULL_DBFS: f32 = -20.0;
/// Somebody speaks from this score on.
const SPEAKS: f32 = 0.25;
/// Another has to lead by so much, for so long, and not so soon after the last switch.
const LEAD: f32 = 0.12;
const LEADS_US: u64 = 400_000;
const STAYS_US: u64 = 1_000_000;
/// Whoever was not heard of for so long is forgotten.
const FORGOTTEN_US: u64 = 5_000_000;

impl<K: Copy + PartialEq> Active<K> {
    /// People who are followed at once; those beyond are not looked at.
    pub const MOST: usize = 64;

    /// Nobody speaks.
    pub fn new() -> Self {
        Self { people: Vec::with_capacity(Self::MOST), active: None, leader: None, switched: Time(0) }
    }

    /// `who` was of this level for the `frames_us` microseconds up to `now`.
    pub fn hear(&mut self, who: K, dbfs: f32, frames_us: u64, now: Time) {
        let place = self.people.iter().position(|person| person.who == who);
        let place = place.or_else(|| {
            (self.people.len() < Self::MOST).then(|| {
                self.people.push(Person { who, score: 0.0, heard: now });
                self.people.len() - 1
            })
        });
        let Some(person) = place.map(|place| &mut self.people[place]) else { return };
        let level = ((dbfs.max(SILENCE_DBFS) - QUIET_DBFS) / (FULL_DBFS - QUIET_DBFS)).clamp(0.0, 1.0);
        let constant = if level > person.score { RISE_S } else { FALL_S };
        person.score += (level - person.score) * (1.0 - (-(frames_us as f32) / 1e6 / constant).exp());
        person.heard = now;
    }

    /// `who` has left.
    pub fn leave(&mut self, who: K) {
        self.people.retain(|person| person.who != who);
        self.active = self.active.filter(|active| *active != who);
        self.leader = self.leader.filter(|(leader, _)| *leader != who);
    }

    /// Looks who speaks at `now`; the new one where that changed.
    pub fn look(&mut self, now: Time) -> Option<K> {
        self.people.retain(|person| now.since(person.heard) < FORGOTTEN_US);
        let score = |who: K| self.people.iter().find(|person| person.who == who).map_or(0.0, |person| person.score);
        let best = self.people.iter().filter(|person| person.score >= SPEAKS);
        let best = best.max_by(|a, b| a.score.total_cmp(&b.score)).map(|person| person.who);
        let ahead = best.filter(|best| match self.active {
            Some(active) => active != *best && score(*best) > score(active) + LEAD,
            None => true,
        });
        let Some(ahead) = ahead else {
            self.leader = None;
            return None;
        };
        let since = self.leader.filter(|(leader, _)| *leader == ahead).map_or(now, |(_, since)| since);
        self.leader = Some((ahead, since));
        let first = self.active.is_none();
        if !first && (now.since(since) < LEADS_US || now.since(self.switched) < STAYS_US) {
            return None;
        }
        (self.active, self.leader, self.switched) = (Some(ahead), None, now);
        self.active
    }

    /// Who speaks, or spoke last.
    pub fn active(&self) -> Option<K> {
        self.active
    }
}

impl<K: Copy + PartialEq> Default for Active<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays 20 ms steps of these levels for `ms`; returns the switches with their times in ms.
    fn play(active: &mut Active<u8>, from_ms: u64, ms: u64, levels: &[(u8, f32)]) -> Vec<(u64, u8)> {
        let mut switches = Vec::new();
        for at in (from_ms..from_ms + ms).step_by(20) {
            for (who, dbfs) in levels {
                active.hear(*who, *dbfs, 20_000, Time::from_ms(at));
            }
            switches.extend(active.look(Time::from_ms(at)).map(|who| (at, who)));
        }
        switches
    }

    #[test]
    fn the_first_to_speak_is_active_soon_and_stays_in_silence() {
        let mut active = Active::new();
        assert_eq!(play(&mut active, 0, 1_000, &[(1, -80.0), (2, -70.0)]), []);
        let switches = play(&mut active, 1_000, 1_000, &[(1, -25.0), (2, -70.0)]);
        assert!(matches!(switches[..], [(at, 1)] if at < 1_300), "{switches:?}");
        assert_eq!(play(&mut active, 2_000, 10_000, &[(1, -80.0), (2, -75.0)]), []);
        assert_eq!(active.active(), Some(1));
    }

    #[test]
    fn a_cough_switches_nothing_and_a_new_speaker_does() {
        let mut active = Active::new();
        play(&mut active, 0, 3_000, &[(1, -28.0), (2, -80.0)]);
        assert_eq!(play(&mut active, 3_000, 250, &[(1, -28.0), (2, -10.0)]), [], "a cough over speech");
        assert_eq!(play(&mut active, 3_250, 2_000, &[(1, -28.0), (2, -80.0)]), []);
        assert_eq!(play(&mut active, 5_250, 300, &[(1, -80.0), (2, -10.0)]), [], "a cough in a pause");
        assert_eq!(play(&mut active, 5_550, 2_000, &[(1, -28.0), (2, -80.0)]), []);
        let switches = play(&mut active, 8_000, 3_000, &[(1, -80.0), (2, -25.0)]);
        assert!(matches!(switches[..], [(at, 2)] if at < 9_500), "{switches:?}");
    }

    #[test]
    fn two_who_speak_at_once_do_not_flicker() {
        let mut active = Active::new();
        let mut random = fastrand::Rng::with_seed(4);
        let mut switches = 0;
        for ms in (0..60_000u64).step_by(20) {
            for who in [1, 2] {
                active.hear(who, -38.0 + 24.0 * random.f32(), 20_000, Time::from_ms(ms));
            }
            switches += usize::from(active.look(Time::from_ms(ms)).is_some());
        }
        assert!(switches <= 2, "{switches}");
    }

    #[test]
    fn whoever_leaves_is_not_active_and_the_room_is_bounded() {
        let mut active = Active::new();
        play(&mut active, 0, 1_000, &[(1, -20.0)]);
        active.leave(1);
        assert_eq!(active.active(), None);
        for who in 0..=255u8 {
            active.hear(who, -20.0, 20_000, Time::from_ms(2_000));
        }
        assert_eq!(active.people.len(), Active::<u8>::MOST);
        active.look(Time::from_ms(60_000));
        assert!(active.people.is_empty());
    }
}
