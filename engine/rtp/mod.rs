//! Packets: RTP with its extensions, sealed frames cut up and joined again, and RTCP.
//!
//! The packetizer takes sealed frames only. Clear AV1 of other clients is read ([`av1`]), never written.

pub mod av1;
pub mod bits;
pub mod chain;
pub mod depacketize;
pub mod descriptor;
pub mod extensions;
pub mod header;
pub mod packetize;
pub mod rtcp;

/// Extension id under which the dependency descriptor travels, as both ends have agreed.
pub const DESCRIPTOR_ID: u8 = 4;

/// First byte of a sealed payload (draft-ietf-avtcore-rtp-sframe): this packet begins a frame.
pub const START: u8 = 0x80;

/// First byte of a sealed payload: this packet ends a frame.
pub const END: u8 = 0x40;
