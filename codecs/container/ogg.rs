//! Opus in Ogg (RFC 7845): the first Opus stream of the file, packet by packet.

use std::io::{self, Read, Seek, SeekFrom};

use super::error::{ContainerError, Result};
use super::input::Input;
use super::opus_head::{OpusHead, packet_samples};

/// Reads the packets of the first Opus stream.
pub(super) struct Reader {
    pages: ogg::PacketReader<Bounded>,
    serial: u32,
    head: OpusHead,
    /// Samples at 48 kHz up to the packet to come.
    at: u64,
    /// Granule position of the stream's last page, once it has come.
    end: Option<u64>,
}

impl Reader {
    /// Reads the identification header and passes over the comments.
    pub(super) fn open(mut input: Input) -> Result<Self> {
        input.set_format("Ogg");
        let mut pages = ogg::PacketReader::new(Bounded { input, left: MAX_PACKET });
        let first = packet(&mut pages)?.ok_or_else(|| pages.get_ref().input.damaged("it holds no packet"))?;
        let input = &pages.get_ref().input;
        if !first.data.starts_with(b"OpusHead") {
            return Err(input.unsupported("Ogg without Opus", "only Opus is read without ffmpeg"));
        }
        let head = OpusHead::parse(&first.data)
            .ok_or_else(|| input.unsupported("Opus with more than two channels", "mix it down first"))?;
        let serial = first.stream_serial();
        let mut reader = Self { pages, serial, head, at: 0, end: None };
        match reader.packet()? {
            Some(tags) if tags.starts_with(b"OpusTags") => Ok(reader),
            _ => Err(reader.pages.get_ref().input.damaged("no OpusTags after OpusHead")),
        }
    }

    pub(super) fn head(&self) -> OpusHead {
        self.head
    }

    /// Where the stream ends, in samples at 48 kHz with the pre-skip counted; known once the last packet came.
    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Appends the next packet and returns its time in microseconds, the pre-skip counted.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let Some(packet) = self.packet()? else { return Ok(None) };
        out.extend_from_slice(&packet);
        let time = self.at * 1_000_000 / 48_000;
        self.at += u64::from(packet_samples(&packet));
        Ok(Some(time))
    }

    fn packet(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(packet) = packet(&mut self.pages)? {
            if packet.stream_serial() == self.serial {
                if packet.last_in_stream() {
                    self.end = Some(packet.absgp_page());
                }
                return Ok(Some(packet.data));
            }
        }
        Ok(None)
    }
}

fn packet(pages: &mut ogg::PacketReader<Bounded>) -> Result<Option<ogg::Packet>> {
    pages.get_mut().left = MAX_PACKET;
    pages.read_packet().map_err(|error| match error {
        ogg::OggReadError::ReadError(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            let path = pages.get_ref().input.name().to_owned();
            ContainerError::Read { path, source }
        }
        ogg::OggReadError::ReadError(_) => pages.get_ref().input.damaged("a page is cut off"),
        error => pages.get_ref().input.damaged(error.to_string()),
    })
}

/// Bytes that may be read in search of one packet, so that a packet without an end is refused.
const MAX_PACKET: usize = 16 << 20;

/// Stops reading where one packet takes too much.
struct Bounded {
    input: Input,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("a packet of more than 16 MiB"));
        }
        let want = buf.len().min(self.left);
        let got = self.input.read(&mut buf[..want])?;
        self.left -= got;
        Ok(got)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.input.seek(to)
    }
}
