//! Which relays a client may speak to: networks and ports, asked before a socket opens.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The relays that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowlist {
    pub(super) relays: BTreeSet<Network>,
    pub(super) ports: BTreeSet<u16>,
}

/// That a relay is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay {address} port {port} is not on the policy's list: {list}")]
pub struct Outside {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The list, in words.
    pub list: String,
}

impl Allowlist {
    /// A list of `relays` at `ports`.
    pub fn new(relays: impl IntoIterator<Item = Network>, ports: impl IntoIterator<Item = u16>) -> Self {
        Self { relays: relays.into_iter().collect(), ports: ports.into_iter().collect() }
    }

    /// The list of the seed document: 3.138.115.0/27 and 44.242.143.128/27, port 443.
    pub fn standard() -> Self {
        let relay = |a, b, c, d| Network { first: Ipv4Addr::new(a, b, c, d).into(), bits: 27 };
        Self::new([relay(3, 138, 115, 0), relay(44, 242, 143, 128)], [443])
    }

    /// Its networks.
    pub fn relays(&self) -> impl Iterator<Item = &Network> {
        self.relays.iter()
    }

    /// Its ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }

    /// Whether `relay` is allowed.
    ///
    /// # Errors
    /// [`Outside`], which names the list.
    pub fn permits(&self, relay: SocketAddr) -> Result<(), Outside> {
        // An IPv4 address in IPv6's clothes leads to the same machine.
        let address = relay.ip().to_canonical();
        if self.ports.contains(&relay.port()) && self.relays.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        Err(Outside { address, port: relay.port(), list: self.to_string() })
    }
}

impl fmt::Display for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relays: Vec<_> = self.relays.iter().map(Network::to_string).collect();
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let (relays, ports) = (relays.join(", "), ports.join(", "));
        if relays.is_empty() || ports.is_empty() {
            return f.write_str("nothing at all");
        }
        write!(f, "{relays}, port {ports}")
    }
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `first` and its first `bits`; `None` where `first` has more bits set, or `bits` are too many.
    pub fn new(first: IpAddr, bits: u8) -> Option<Self> {
        let network = Self { first, bits };
        let mapped = first.to_canonical() != first;
        (bits <= network.width() && network.cut(first)? == first && !mapped).then_some(network)
    }

    /// Reads `3.138.115.0/27` or `2001:db8::/32`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn read(text: &str) -> Result<Self, String> {
        let expected = || "an address and a prefix such as \"3.138.115.0/27\" or \"2001:db8::/32\"".to_owned();
        let (first, bits) = text.split_once('/').ok_or_else(expected)?;
        let first: IpAddr = first.parse().map_err(|_| expected())?;
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
        let bits: u8 = bits.parse().ok().filter(|_| digits).ok_or_else(expected)?;
        if first.to_canonical() != first {
            return Err(format!("the IPv4 address {} as such", first.to_canonical()));
        }
        let network = Self { first, bits };
        if bits > network.width() {
            return Err(format!("a prefix of at most {} bits", network.width()));
        }
        match network.cut(first) {
            Some(cut) if cut != first => Err(format!("\"{cut}/{bits}\": the address has bits beyond its prefix")),
            _ => Ok(network),
        }
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.cut(address) == Some(self.first)
    }

    pub(super) const fn parts(&self) -> (IpAddr, u8) {
        (self.first, self.bits)
    }

    fn width(&self) -> u8 {
        if self.first.is_ipv4() { 32 } else { 128 }
    }

    /// `address` without what stands behind the prefix.
    fn cut(&self, address: IpAddr) -> Option<IpAddr> {
        let behind = u32::from(self.width().checked_sub(self.bits)?);
        // A shift by the whole width leaves nothing.
        Some(match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_with_its_bits() {
        let cases = [
            ("3.138.115.0/27", "3.138.115.0", true),
            ("3.138.115.0/27", "3.138.115.31", true),
            ("3.138.115.0/27", "3.138.115.32", false),
            ("44.242.143.128/27", "44.242.143.127", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "10.0.0.1", false),
            ("::/0", "ffff::", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("::1/128", "::1", true),
            ("::1/128", "::", false),
        ];
        for (network, address, inside) in cases {
            let network = Network::read(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_says_what_was_expected() {
        let expected = |text| Network::read(text).unwrap_err();
        assert_eq!(expected("3.138.115.5/27"), "\"3.138.115.0/27\": the address has bits beyond its prefix");
        assert_eq!(expected("3.138.115.0/33"), "a prefix of at most 32 bits");
        assert_eq!(expected("2001:db8::/129"), "a prefix of at most 128 bits");
        assert_eq!(expected("::ffff:10.0.0.0/104"), "the IPv4 address 10.0.0.0 as such");
        for text in
            ["", "/", "10.0.0.0", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/256", "relay/8"]
        {
            assert!(expected(text).starts_with("an address and a prefix"), "{text}");
        }
    }
}
