//! Frames to bytes.

use super::frame::kind;
use super::relay::write_address;
use super::{CallOutcome, Frame, Ids, LENGTH_BYTES, MAX_FRAME_BYTES, MAX_TEXT_BYTES, RefusalCause, Target};

/// A frame that is longer than one may be, or holds a text that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame or a text in it is too long: at most {MAX_FRAME_BYTES} and {MAX_TEXT_BYTES} bytes")]
pub struct FrameTooLong;

/// Appends a frame with its length.
///
/// # Errors
/// [`FrameTooLong`]; `out` is as it was then.
pub fn write_frame(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let written = content(frame, out);
    let length = out.len() - start - LENGTH_BYTES;
    let checked = u32::try_from(length).ok().filter(|_| written.is_ok() && length <= MAX_FRAME_BYTES);
    if let (Some(length), Some(place)) = (checked, out.get_mut(start..start + LENGTH_BYTES)) {
        place.copy_from_slice(&length.to_be_bytes());
        return Ok(());
    }
    out.truncate(start);
    Err(FrameTooLong)
}

fn content(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    match frame {
        Frame::Hello { epoch, version, software } => {
            numbers(kind::HELLO, &[*epoch, *version], out);
            text(software, out)?;
        }
        Frame::Enrol { token, request } => {
            out.push(kind::ENROL);
            text(token, out)?;
            out.extend_from_slice(request);
        }
        Frame::Renew { request } => bytes(kind::RENEW, request, out),
        Frame::Certificate { certificate } => bytes(kind::CERTIFICATE, certificate, out),
        Frame::Refused { cause, text: words } => {
            out.push(kind::REFUSED);
            out.push(code(&RefusalCause::ALL, cause));
            text(words, out)?;
        }
        Frame::Full { epoch, version, first, last, ids: list } => {
            numbers(kind::FULL, &[*epoch, *version], out);
            out.push(u8::from(*first) | u8::from(*last) << 1);
            ids(list, out);
        }
        Frame::Delta { from, to, added, removed } => {
            numbers(kind::DELTA, &[*from, *to], out);
            ids(added, out);
            ids(removed, out);
        }
        Frame::Holds { epoch, version } => numbers(kind::HOLDS, &[*epoch, *version], out),
        Frame::Call { call, target } => {
            numbers(kind::CALL, &[*call], out);
            call_target(target, out)?;
        }
        Frame::Called { call, outcome, status } => {
            numbers(kind::CALLED, &[*call], out);
            out.push(code(&CallOutcome::ALL, outcome));
            out.extend_from_slice(&status.to_be_bytes());
        }
        Frame::Report(report) => numbers(kind::REPORT, &report.figures(), out),
    }
    Ok(())
}

fn call_target(target: &Target<'_>, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    write_address(target.address, out);
    text(target.path, out)?;
    match target.dls {
        None => out.push(0),
        Some((host, port)) => {
            out.push(1);
            text(host, out)?;
            out.extend_from_slice(&port.to_be_bytes());
        }
    }
    Ok(())
}

fn numbers(kind: u8, numbers: &[u64], out: &mut Vec<u8>) {
    out.push(kind);
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn bytes(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let length = u16::try_from(text.len()).ok().filter(|_| text.len() <= MAX_TEXT_BYTES);
    out.extend_from_slice(&length.ok_or(FrameTooLong)?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn ids(ids: &Ids<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&ids.count.to_be_bytes());
    // A list is far below the bound of a frame.
    out.extend_from_slice(&u32::try_from(ids.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(ids.bytes);
}

fn code<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|known| known == one).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}
