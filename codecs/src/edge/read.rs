//! Bytes to frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nom::bytes::complete::take;
use nom::combinator::{map_opt, rest, verify};
use nom::multi::length_data;
use nom::number::complete::{be_u16, be_u32, be_u64, be_u128, u8 as byte};
use nom::{IResult, Parser as _};

use super::frame::kind;
use super::ids::split;
use super::{
    CallOutcome, Frame, Ids, LENGTH_BYTES, MAX_FRAME_BYTES, MAX_TEXT_BYTES, RefusalCause, Report, Target,
};

/// Why bytes are no frame. The connection they came on is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Its length is 0, or beyond [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes, 1 to {MAX_FRAME_BYTES} are allowed")]
    Length(u32),
    /// Its kind is not known in this version of the protocol.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// Its content does not fit its kind.
    #[error("a malformed frame of kind {0}")]
    Malformed(u8),
    /// The first byte of a relayed connection is of another version, or its door or address is unknown.
    #[error("a malformed header of a relayed connection")]
    Header,
}

/// The first frame in `input`, with the number of bytes that it takes; `None` if it is not complete yet. It borrows from
/// `input`, nothing is allocated.
///
/// # Errors
/// [`FrameError`] as soon as the bytes cannot become a frame.
pub fn read_frame(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((length, after)) = input.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes == 0 || bytes > MAX_FRAME_BYTES {
        return Err(FrameError::Length(length));
    }
    let Some(frame) = after.get(..bytes) else { return Ok(None) };
    let (kind, body) = (frame.first().copied().unwrap_or_default(), frame.get(1..).unwrap_or_default());
    let frame = content(kind, body)?;
    Ok(Some((frame, LENGTH_BYTES + bytes)))
}

fn content(kind: u8, body: &[u8]) -> Result<Frame<'_>, FrameError> {
    let parsed = match kind {
        kind::HELLO => hello(body),
        kind::ENROL => enrol(body),
        kind::RENEW => rest.map(|request| Frame::Renew { request }).parse(body),
        kind::CERTIFICATE => rest.map(|certificate| Frame::Certificate { certificate }).parse(body),
        kind::REFUSED => refused(body),
        kind::FULL => full(body),
        kind::DELTA => delta(body),
        kind::HOLDS => (be_u64, be_u64).map(|(epoch, version)| Frame::Holds { epoch, version }).parse(body),
        kind::CALL => call(body),
        kind::CALLED => called(body),
        kind::REPORT => report(body),
        unknown => return Err(FrameError::Kind(unknown)),
    };
    match parsed {
        Ok(([], frame)) => Ok(frame),
        _ => Err(FrameError::Malformed(kind)),
    }
}

fn hello(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    (be_u64, be_u64, text)
        .map(|(epoch, version, software)| Frame::Hello { epoch, version, software })
        .parse(body)
}

fn enrol(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    (text, rest).map(|(token, request)| Frame::Enrol { token, request }).parse(body)
}

fn refused(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    let cause = map_opt(byte, |code| RefusalCause::ALL.get(usize::from(code)).copied());
    (cause, text).map(|(cause, text)| Frame::Refused { cause, text }).parse(body)
}

fn full(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    let flags = verify(byte, |flags: &u8| *flags < 4);
    (be_u64, be_u64, flags, ids)
        .map(|(epoch, version, flags, ids)| Frame::Full {
            epoch,
            version,
            first: flags & 1 != 0,
            last: flags & 2 != 0,
            ids,
        })
        .parse(body)
}

fn delta(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    (be_u64, be_u64, ids, ids)
        .map(|(from, to, added, removed)| Frame::Delta { from, to, added, removed })
        .parse(body)
}

fn call(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    let (body, (call, address, path, dls)) = (be_u64, address, text, byte).parse(body)?;
    let (body, dls) = match dls {
        0 => (body, None),
        1 => (text, be_u16).map(Some).parse(body)?,
        _ => return Err(malformed(body)),
    };
    Ok((body, Frame::Call { call, target: Target { address, path, dls } }))
}

fn called(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    let outcome = map_opt(byte, |code| CallOutcome::ALL.get(usize::from(code)).copied());
    (be_u64, outcome, be_u16)
        .map(|(call, outcome, status)| Frame::Called { call, outcome, status })
        .parse(body)
}

fn report(body: &[u8]) -> IResult<&[u8], Frame<'_>> {
    let mut figures = [0; 8];
    let mut left = body;
    for figure in &mut figures {
        (left, *figure) = be_u64(left)?;
    }
    Ok((left, Frame::Report(Report::of(figures))))
}

/// Length (two bytes), then UTF-8.
fn text(input: &[u8]) -> IResult<&[u8], &str> {
    let bytes = verify(length_data(be_u16), |bytes: &[u8]| bytes.len() <= MAX_TEXT_BYTES);
    map_opt(bytes, |bytes| std::str::from_utf8(bytes).ok()).parse(input)
}

/// Count (two bytes) and size (four bytes), then that many ids.
fn ids(input: &[u8]) -> IResult<&[u8], Ids<'_>> {
    let (left, (count, size)) = (be_u16, be_u32).parse(input)?;
    let (left, bytes) = take(size).parse(left)?;
    let mut rest = bytes;
    for _ in 0..count {
        let Some((_, after)) = split(rest) else { return Err(malformed(input)) };
        rest = after;
    }
    if rest.is_empty() { Ok((left, Ids { count, bytes })) } else { Err(malformed(input)) }
}

/// Family (4 or 6), address, port.
pub(super) fn address(input: &[u8]) -> IResult<&[u8], SocketAddr> {
    let (input, family) = byte(input)?;
    let (input, ip) = match family {
        4 => be_u32.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).parse(input)?,
        6 => be_u128.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).parse(input)?,
        _ => return Err(malformed(input)),
    };
    be_u16.map(|port| SocketAddr::new(ip, port)).parse(input)
}

fn malformed(input: &[u8]) -> nom::Err<nom::error::Error<&[u8]>> {
    nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Verify))
}
