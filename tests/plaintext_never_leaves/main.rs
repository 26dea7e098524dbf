//! Nothing that was captured, written or encoded leaves a device in the clear: between the packetizer and the socket
//! of everybody stands a tap that takes every datagram and every message to the relay, from the first one on, and
//! searches them for what went in.
//!
//! What stands outside by design, and is therefore not searched for there: the dependency descriptor with its template
//! structure in the RTP extension of a key frame's first packet, by which a relay forwards; and in the key package of
//! whoever knocks its display name and public keys, which those inside have to see before they let it in. The founder's
//! name is in no message at all.

#[path = "../support/av1.rs"]
mod av1;
#[path = "../support/epochs.rs"]
mod epochs;

mod control;
mod downgrades;
mod faults;
mod life;
mod media;
mod show;
mod tap;
