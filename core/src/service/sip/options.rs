//! OPTIONS: phones and proxies that ask whether this server is there, and what it can (RFC 3261, section 11.2).

use callboard_codecs::sip::{Essentials, HeaderName};

use super::Reaction;
use super::answer::{Asked, To};
use super::receive::{ALLOW, SUPPORTED};
use crate::service::Service;

impl Service {
    pub(super) fn options(
        &self,
        asked: &Asked<'_>,
        _essentials: &Essentials<'_>,
        out: &mut Vec<u8>,
    ) -> Reaction {
        if self.sip.is_busy() {
            return self.sip.answer_later(asked, out);
        }
        self.sip.answer_with(asked, (200, "OK"), To::Anybody, out, |writer| {
            writer
                .list(HeaderName::Allow, ALLOW)
                .list(HeaderName::Accept, ["*/*"])
                .list(HeaderName::Supported, SUPPORTED)
                .list(HeaderName::AllowEvents, self.sip.events())
                .header(HeaderName::Server, self.sip.settings.server.as_bytes())
        })
    }
}
