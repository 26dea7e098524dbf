//! RTCP (RFC 3550 §6, RFC 4585): sender and receiver reports, generic NACK, picture loss indication.

/// Packet types.
const SR: u8 = 200;
const RR: u8 = 201;
const RTPFB: u8 = 205;
const PSFB: u8 = 206;

/// Why a datagram is no RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an RTCP packet ends inside its {0}")]
pub struct RtcpError(&'static str);

/// One message of a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Sender report; its report blocks are skipped.
    SenderReport(SenderReport),
    /// Receiver report, first block.
    ReceiverReport(ReceiverReport),
    /// Packets asked for again.
    Nack(Nack<'a>),
    /// A key frame asked for.
    Pli(Pli),
    /// A type that is not used here.
    Other(u8),
}

/// RFC 3550 §6.4.1, without report blocks: 28 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The stream.
    pub ssrc: u32,
    /// 32.32 seconds.
    pub ntp: u64,
    /// The same moment on the stream's RTP clock.
    pub rtp_time: u32,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

/// RFC 3550 §6.4.2 with one block: 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverReport {
    /// Who reports.
    pub ssrc: u32,
    /// The stream reported on.
    pub source: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far, 24 bits signed.
    pub lost: i32,
    /// Highest sequence number, with the wraps in the upper half.
    pub highest: u32,
    /// Interarrival jitter in RTP ticks.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time.
    pub last_report: u32,
    /// Time since then in 1/65536 s.
    pub delay: u32,
}

/// RFC 4585 §6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who asks.
    pub ssrc: u32,
    /// The stream asked about.
    pub media_ssrc: u32,
    items: &'a [u8],
}

impl<'a> Nack<'a> {
    /// The sequence numbers asked for.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'a {
        self.items.chunks_exact(4).flat_map(|item| {
            let [base, mask] = [0, 2].map(|i| u16::from_be_bytes([item[i], item[i + 1]]));
            let more = (0..16).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| base.wrapping_add(bit + 1));
            std::iter::once(base).chain(more)
        })
    }
}

/// RFC 4585 §6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub ssrc: u32,
    /// The stream asked about.
    pub media_ssrc: u32,
}

/// The messages of a compound packet, in order; after an error nothing follows.
pub fn parse(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, RtcpError>> {
    let mut rest = Some(datagram).filter(|d| !d.is_empty());
    std::iter::from_fn(move || {
        let (message, after) = match split(rest.take()?) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        rest = Some(after).filter(|a| message.is_ok() && !a.is_empty());
        Some(message)
    })
}

fn split(bytes: &[u8]) -> Result<(Result<Message<'_>, RtcpError>, &[u8]), RtcpError> {
    let head = bytes.first_chunk::<4>().ok_or(RtcpError("header"))?;
    if head[0] >> 6 != 2 {
        return Err(RtcpError("version field"));
    }
    let len = 4 + usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let (packet, after) = bytes.split_at_checked(len).ok_or(RtcpError("length"))?;
    let mut body = &packet[4..];
    if head[0] & 0x20 != 0 {
        // The last byte counts the padding, itself included (RFC 3550 §6.4.1).
        let padding = body.last().map_or(0, |count| usize::from(*count));
        let keep = body.len().checked_sub(padding).filter(|_| padding > 0 && padding % 4 == 0);
        body = &body[..keep.ok_or(RtcpError("padding"))?];
    }
    Ok((message(head, body), after))
}

fn message<'a>(head: &[u8; 4], body: &'a [u8]) -> Result<Message<'a>, RtcpError> {
    let word = |i: usize| -> Result<u32, RtcpError> {
        let bytes = body.get(i * 4..).and_then(|b| b.first_chunk::<4>()).ok_or(RtcpError("body"))?;
        Ok(u32::from_be_bytes(*bytes))
    };
    Ok(match (head[1], head[0] & 0x1f) {
        (SR, _) => Message::SenderReport(SenderReport {
            ssrc: word(0)?,
            ntp: u64::from(word(1)?) << 32 | u64::from(word(2)?),
            rtp_time: word(3)?,
            packets: word(4)?,
            octets: word(5)?,
        }),
        (RR, 1..) => Message::ReceiverReport(ReceiverReport {
            ssrc: word(0)?,
            source: word(1)?,
            fraction_lost: (word(2)? >> 24) as u8,
            lost: (word(2)? << 8) as i32 >> 8,
            highest: word(3)?,
            jitter: word(4)?,
            last_report: word(5)?,
            delay: word(6)?,
        }),
        (RTPFB, 1) => Message::Nack(Nack { ssrc: word(0)?, media_ssrc: word(1)?, items: &body[8..] }),
        (PSFB, 1) => Message::Pli(Pli { ssrc: word(0)?, media_ssrc: word(1)? }),
        (other, _) => Message::Other(other),
    })
}

impl SenderReport {
    /// Writes it to the front of `out`; `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let words = [self.ssrc, (self.ntp >> 32) as u32, self.ntp as u32, self.rtp_time, self.packets, self.octets];
        write(0, SR, &words, out)
    }
}

impl ReceiverReport {
    /// Writes it to the front of `out`; `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let lost = u32::from(self.fraction_lost) << 24 | self.lost.clamp(-(1 << 23), (1 << 23) - 1) as u32 & 0xff_ffff;
        let words = [self.ssrc, self.source, lost, self.highest, self.jitter, self.last_report, self.delay];
        write(1, RR, &words, out)
    }
}

impl Pli {
    /// Writes it to the front of `out`; `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        write(1, PSFB, &[self.ssrc, self.media_ssrc], out)
    }
}

/// Collects sequence numbers, ascending, into one NACK.
pub struct NackWriter {
    words: [u32; 66],
    len: usize,
}

impl NackWriter {
    /// An empty one.
    pub fn new(ssrc: u32, media_ssrc: u32) -> Self {
        let mut words = [0; 66];
        words[..2].copy_from_slice(&[ssrc, media_ssrc]);
        Self { words, len: 2 }
    }

    /// Adds a number; `false` where the message is full.
    pub fn add(&mut self, sequence: u16) -> bool {
        if self.len > 2 {
            let base = (self.words[self.len - 1] >> 16) as u16;
            if let back @ 1..=16 = sequence.wrapping_sub(base) {
                self.words[self.len - 1] |= 1 << (back - 1);
                return true;
            }
        }
        let Some(word) = self.words.get_mut(self.len) else { return false };
        *word = u32::from(sequence) << 16;
        self.len += 1;
        true
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len == 2
    }

    /// Writes it to the front of `out`; `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        write(1, RTPFB, &self.words[..self.len], out)
    }
}

fn write(count: u8, kind: u8, words: &[u32], out: &mut [u8]) -> Option<usize> {
    let area = out.get_mut(..4 + words.len() * 4)?;
    let len = (words.len() as u16).to_be_bytes();
    area[..4].copy_from_slice(&[0x80 | count, kind, len[0], len[1]]);
    for (bytes, word) in area[4..].chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Some(area.len())
}

/// What a receiver counts for its reports (RFC 3550 appendix A.3 and A.8).
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    base: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: Option<i64>,
    jitter_16: i64,
}

impl Reception {
    /// A packet arrived: unwrapped sequence number, RTP time, and the arrival in ticks of the same clock.
    pub fn arrived(&mut self, sequence: u64, rtp_time: u32, arrival: u64) {
        self.base.get_or_insert(sequence);
        self.highest = self.highest.max(sequence);
        self.received += 1;
        let transit = i64::from((arrival as u32).wrapping_sub(rtp_time) as i32);
        if let Some(before) = self.transit.replace(transit) {
            let differ = i64::from((transit as i32).wrapping_sub(before as i32)).abs();
            self.jitter_16 += differ - ((self.jitter_16 + 8) >> 4);
        }
    }

    /// The block for the next report on `source`.
    pub fn report(&mut self, ssrc: u32, source: u32) -> ReceiverReport {
        let expected = self.base.map_or(0, |base| self.highest + 1 - base.min(self.highest));
        let (span, got) = (expected - self.expected_before.min(expected), self.received - self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        ReceiverReport {
            ssrc,
            source,
            fraction_lost: (span.saturating_sub(got) * 256).checked_div(span).unwrap_or(0).min(255) as u8,
            lost: (expected as i64 - self.received as i64).clamp(-(1 << 23), (1 << 23) - 1) as i32,
            // Wraps count from the first packet on (RFC 3550 §6.4.1).
            highest: (self.highest - (self.base.unwrap_or(0) & !0xffff)) as u32,
            jitter: (self.jitter_16 >> 4).clamp(0, u32::MAX.into()) as u32,
            ..ReceiverReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compound_packet_reads_as_it_was_written() {
        let sr = SenderReport { ssrc: 1, ntp: 0x0123_4567_89ab_cdef, rtp_time: 9, packets: 3, octets: 400 };
        let rr = ReceiverReport {
            ssrc: 2,
            source: 1,
            fraction_lost: 25,
            lost: -3,
            highest: 70_000,
            jitter: 8,
            last_report: 4,
            delay: 6,
        };
        let pli = Pli { ssrc: 2, media_ssrc: 1 };
        let mut out = [0; 200];
        let mut len = sr.write(&mut out).unwrap();
        len += rr.write(&mut out[len..]).unwrap();
        len += pli.write(&mut out[len..]).unwrap();
        let messages: Vec<_> = parse(&out[..len]).map(|m| m.unwrap()).collect();
        assert_eq!(messages, [Message::SenderReport(sr), Message::ReceiverReport(rr), Message::Pli(pli)]);
        assert!(parse(&out[..len - 1]).last().unwrap().is_err());
    }

    #[test]
    fn a_nack_packs_neighbours_and_wraps() {
        let asked = [5, 6, 21, 22, 65_530, 65_535, 3];
        let mut nack = NackWriter::new(1, 2);
        assert!(asked.iter().all(|s| nack.add(*s)));
        let mut out = [0; 100];
        let len = nack.write(&mut out).unwrap();
        assert_eq!(len, 12 + 3 * 4);
        let Some(Ok(Message::Nack(read))) = parse(&out[..len]).next() else { panic!("no NACK") };
        assert_eq!(read.sequences().collect::<Vec<_>>(), asked);
    }

    #[test]
    fn padding_is_cut_off() {
        let mut nack = NackWriter::new(1, 2);
        assert!(nack.add(5));
        let mut out = [0; 24];
        assert_eq!(nack.write(&mut out), Some(16));
        (out[0], out[3], out[23]) = (out[0] | 0x20, 5, 8);
        let Some(Ok(Message::Nack(read))) = parse(&out).next() else { panic!("no NACK") };
        assert_eq!(read.sequences().collect::<Vec<_>>(), [5]);
        for wrong in [0, 3, 24] {
            out[23] = wrong;
            assert_eq!(parse(&out).collect::<Vec<_>>(), [Err(RtcpError("padding"))]);
        }
    }

    #[test]
    fn after_an_error_nothing_follows() {
        let mut out = [0; 24];
        // A report that ends inside its block, and a PLI behind it.
        out[..8].copy_from_slice(&[0x81, RR, 0, 1, 0, 0, 0, 9]);
        assert_eq!(Pli { ssrc: 1, media_ssrc: 2 }.write(&mut out[8..]), Some(12));
        assert_eq!(parse(&out[..20]).collect::<Vec<_>>(), [Err(RtcpError("body"))]);
    }

    #[test]
    fn loss_and_jitter_are_counted_as_the_standard_says() {
        let mut reception = Reception::default();
        (0..100u64).filter(|s| s % 4 != 3).for_each(|s| reception.arrived(100 + s, 960 * s as u32, 960 * s + 5));
        let report = reception.report(1, 2);
        assert_eq!((report.lost, report.jitter), (24, 0));
        assert!((60..=64).contains(&report.fraction_lost), "{}", report.fraction_lost);
        assert_eq!(reception.report(1, 2).fraction_lost, 0);
    }

    #[test]
    fn the_highest_number_says_how_often_it_wrapped_since_the_first_packet() {
        let (mut reception, mut sequences) = (Reception::default(), crate::rtp::header::Unwrapper::<16>::default());
        assert_eq!(reception.report(1, 2).highest, 0);
        for (sequence, highest) in [(65_534, 65_534), (65_535, 65_535), (3, 0x1_0003), (0, 0x1_0003)] {
            reception.arrived(sequences.unwrap(sequence), 0, 0);
            assert_eq!(reception.report(1, 2).highest, highest);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..100_000 {
            let mut bytes = [0; 60];
            random.fill(&mut bytes);
            bytes[0] = bytes[0] & 0x3f | 0x80;
            bytes[1] = 200 + bytes[1] % 8;
            bytes[2] = 0;
            bytes[3] %= 16;
            for message in parse(&bytes[..random.usize(..60)]) {
                if let Ok(Message::Nack(nack)) = message {
                    assert!(nack.sequences().count() <= 17 * 15);
                }
            }
        }
    }
}
