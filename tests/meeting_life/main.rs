//! The life of a meeting as its apps see it: the door, who rules, what hosts say, what can be
//! verified, how it ends.

mod door;
mod ending;
mod rule;
mod service;
mod trust;
mod words;

#[path = "../support/meetings.rs"]
mod meetings;
#[path = "../support/people.rs"]
#[allow(dead_code)]
mod people;
