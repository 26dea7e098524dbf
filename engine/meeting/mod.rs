//! What people see of a group and what an administrator decides: the policy, the roles, the lock, the waiting room, the
//! security code, who was verified, and the shield. `E2EE.md` §6 to §8 has the design.

pub mod code;
pub mod identity;
pub mod policy;
pub mod shield;
pub mod verified;
