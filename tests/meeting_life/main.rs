//! The life of a meeting as its apps see it: the door, who rules, what hosts say, how it ends.

mod door;
mod ending;
mod rule;
mod words;

#[path = "../support/meetings.rs"]
mod meetings;
#[path = "../support/people.rs"]
#[allow(dead_code)]
mod people;
