//! Messages: what stands in the first line, the header fields, the body.

use super::address::{self, Contact, NameAddr};
use super::auth::{Challenge, Credentials};
use super::fault::{Fault, Malformed, Part};
use super::index::{Entry, Index};
use super::uri::Uri;
use super::values::{self, CSeq, Event, MediaType, SubscriptionState};
use super::via::Via;
use super::{HeaderName, Method, lex};

/// A request or a response.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// A request.
    Request(Request<'a>),
    /// A response.
    Response(Response<'a>),
}

/// A request as it was read. Whether it can be acted upon is for [`Request::check`] to say.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The Request-URI as it stands there.
    pub raw_uri: &'a [u8],
    /// The header fields.
    pub headers: Headers<'a>,
    /// The body.
    pub body: &'a [u8],
    /// The first thing that is wrong with its form.
    pub(super) fault: Option<Fault>,
}

/// A response as it was read. Whether it can be used is for [`Response::check`] to say.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase: any bytes, none perhaps.
    pub reason: &'a [u8],
    /// The header fields.
    pub headers: Headers<'a>,
    /// The body.
    pub body: &'a [u8],
    /// The first thing that is wrong with its form.
    pub(super) fault: Option<Fault>,
}

/// The header fields of a message, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) index: &'a Index,
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, if it is known.
    pub name: HeaderName,
    /// The name as it stands there.
    pub raw_name: &'a [u8],
    /// The value without white space around it. Folds are still in it; the views read them as white space, and
    /// [`write_unfolded`](super::write_unfolded) as one space each.
    pub value: &'a [u8],
}

impl<'a> Headers<'a> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let Self { bytes, index } = *self;
        index.entries.iter().map(move |entry| Self { bytes, index }.header(entry))
    }

    /// Whether there is one of that name.
    #[must_use]
    pub const fn has(&self, name: HeaderName) -> bool {
        self.index.seen & name.bit() != 0
    }

    /// The value of the first of that name.
    #[must_use]
    pub fn first(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.index.first(name).map(|entry| self.header(entry).value)
    }

    /// The values of all of that name, each header field as a whole.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let present = self.has(name);
        self.iter().filter(move |header| present && header.name == name).map(|header| header.value)
    }

    /// The values of all of that name, cut at commas. Only for header fields whose grammar has lists (RFC 3261, section 7.3.1);
    /// an empty header field has one empty value.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all(name).flat_map(values::split)
    }

    /// Tokens of all header fields of that name, such as option tags, methods or event packages. Empty ones are left out.
    pub fn tokens(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values(name).filter(|token| !token.is_empty())
    }

    /// The value of the first that has this name, in any case, and is no [`HeaderName`].
    #[must_use]
    pub fn other(&self, name: &str) -> Option<&'a [u8]> {
        let is_this = |header: &Header<'_>| {
            header.name == HeaderName::Other && header.raw_name.eq_ignore_ascii_case(name.as_bytes())
        };
        self.iter().find(is_this).map(|header| header.value)
    }

    fn header(&self, entry: &Entry) -> Header<'a> {
        let bytes = |from: usize, to: usize| self.bytes.get(from..to).unwrap_or_default();
        Header {
            name: entry.name,
            raw_name: bytes(entry.start, entry.name_end),
            value: bytes(entry.value, entry.value_end),
        }
    }

    /// All Vias from the topmost on.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Malformed>> + use<'a> {
        let read = |value| values::each(Part::Via, value, Via::parse);
        limited(self.all(HeaderName::Via).flat_map(read), self.index.vias)
    }

    /// All Contacts.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, Malformed>> + use<'a> {
        let read = |value| values::each(Part::Contact, value, Contact::parse);
        limited(self.all(HeaderName::Contact).flat_map(read), self.index.contacts)
    }

    /// All addresses of a Route, Record-Route, Path or Service-Route, in their order.
    pub fn routes(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<NameAddr<'a>, Malformed>> + use<'a> {
        let rule = |value| NameAddr::parse(value, |_| true);
        let read = move |value| values::each(Part::Address, value, rule);
        limited(self.all(name).flat_map(read), self.index.vias)
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> Option<Result<NameAddr<'a>, Malformed>> {
        self.first(HeaderName::From).map(NameAddr::read)
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> Option<Result<NameAddr<'a>, Malformed>> {
        self.first(HeaderName::To).map(NameAddr::read)
    }

    /// `CSeq`.
    #[must_use]
    pub fn cseq(&self) -> Option<Result<CSeq<'a>, Malformed>> {
        self.first(HeaderName::CSeq).map(CSeq::read)
    }

    /// Expires in seconds. One that is no number is 3600, one that is too big the biggest (RFC 3261, section 20.10).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.first(HeaderName::Expires).map(address::seconds)
    }

    /// Min-Expires in seconds.
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        self.first(HeaderName::MinExpires).and_then(lex::number)
    }

    /// Retry-After in seconds, without its comment and parameters (section 20.33).
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.first(HeaderName::RetryAfter)?;
        let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
        value.get(..end).and_then(lex::number)
    }

    /// Max-Forwards: 0 to 255.
    #[must_use]
    pub fn max_forwards(&self) -> Option<Result<u8, Malformed>> {
        let read = |value| lex::number(value).ok_or(Malformed::new(Part::Number, 0));
        self.first(HeaderName::MaxForwards).map(read)
    }

    /// Event.
    #[must_use]
    pub fn event(&self) -> Option<Result<Event<'a>, Malformed>> {
        self.first(HeaderName::Event).map(Event::read)
    }

    /// Subscription-State.
    #[must_use]
    pub fn subscription_state(&self) -> Option<Result<SubscriptionState<'a>, Malformed>> {
        self.first(HeaderName::SubscriptionState).map(SubscriptionState::read)
    }

    /// Content-Type.
    #[must_use]
    pub fn content_type(&self) -> Option<Result<MediaType<'a>, Malformed>> {
        self.first(HeaderName::ContentType).map(MediaType::read)
    }

    /// The ranges of all Accepts.
    pub fn accepts(&self) -> impl Iterator<Item = Result<MediaType<'a>, Malformed>> + use<'a> {
        self.tokens(HeaderName::Accept).map(MediaType::read)
    }

    /// Credentials of all header fields of that name: Authorization or Proxy-Authorization.
    pub fn credentials(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<Credentials<'a>, Malformed>> + use<'a> {
        self.all(name).map(Credentials::read)
    }

    /// Challenges of all header fields of that name: WWW-Authenticate or Proxy-Authenticate.
    pub fn challenges(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<Challenge<'a>, Malformed>> + use<'a> {
        self.all(name).map(Challenge::read)
    }

    /// Whether an option tag stands in a Supported, Require or Proxy-Require, in any case.
    #[must_use]
    pub fn has_option(&self, name: HeaderName, option: &str) -> bool {
        self.tokens(name).any(|token| token.eq_ignore_ascii_case(option.as_bytes()))
    }
}

/// Values up to a limit; instead of the one above it, that there are too many.
fn limited<T>(
    values: impl Iterator<Item = Result<T, Malformed>>,
    limit: usize,
) -> impl Iterator<Item = Result<T, Malformed>> {
    let judge = move |(at, value)| if at < limit { value } else { Err(Malformed::new(Part::TooMany, 0)) };
    values.enumerate().take(limit.saturating_add(1)).map(judge)
}

impl<'a> Request<'a> {
    /// The Request-URI.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::read(self.raw_uri)
    }
}
