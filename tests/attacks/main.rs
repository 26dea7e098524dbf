//! One test for each attack, named after it.

#[path = "../support/group.rs"]
#[allow(dead_code)]
mod table;

mod a_commit_it_may_not_make;
