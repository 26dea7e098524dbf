//! Enhanced meetings: the service's keys, the same frames, and members who judge what they can.

#[path = "../support/people.rs"]
mod people;
#[path = "../support/spy.rs"]
mod spy;

mod hostile;
mod lies;
mod life;
mod reading;
mod table;
mod types;
