//! What came back.

use callboard_codecs::sip::{Contact, Index, Limits, Message, Method, Response, parse};

use super::fault::Fault;
use super::register::read_branch;

/// An answer to a request of ours.
pub(super) struct Answer<'a> {
    pub(super) number: u32,
    pub(super) cseq: u32,
    pub(super) response: Response<'a>,
}

impl<'a> Answer<'a> {
    /// Read it; `None` if it is a request.
    pub(super) fn read(bytes: &'a [u8], index: &'a mut Index) -> Result<Option<Self>, Fault> {
        let response = match parse(bytes, index, &Limits::default()) {
            Ok(Message::Response(response)) => response,
            Ok(Message::Request(_)) => return Ok(None),
            Err(bad) => return Err(Fault::Unreadable(bad.to_string())),
        };
        let essentials = response.check().map_err(|fault| Fault::Unreadable(fault.to_string()))?;
        let foreign = |what: &str| Fault::Foreign(what.to_owned());
        if !essentials.one_via {
            return Err(foreign("several Vias"));
        }
        let branch = essentials.via.branch.and_then(read_branch);
        let (number, cseq) = branch.ok_or_else(|| foreign("the branch"))?;
        if essentials.cseq.number != cseq || essentials.cseq.method != Method::Register {
            return Err(foreign("the CSeq"));
        }
        if essentials.to.tag().is_none() && response.status > 100 {
            return Err(foreign("a To without tag"));
        }
        Ok(Some(Self { number, cseq, response }))
    }

    /// Seconds that a 200 grants. It names this contact and no other (RFC 3261, section 10.3, step 8).
    pub(super) fn granted(&self, contact: &str, asked: u32) -> Result<u32, Fault> {
        let wrong = |what: String| Err(Fault::Contact(what));
        let mut contacts = self.response.headers.contacts();
        let only = match contacts.next() {
            Some(Ok(Contact::Address(only))) => only,
            Some(Ok(Contact::Star)) => return wrong("*".into()),
            Some(Err(bad)) => return wrong(bad.to_string()),
            None => return wrong("there is none".into()),
        };
        let others = contacts.count();
        if others > 0 {
            return wrong(format!("{others} more than one"));
        }
        if only.address.raw_uri != contact.as_bytes() {
            return wrong(format!("{} in place of {contact}", String::from_utf8_lossy(only.address.raw_uri)));
        }
        match only.expires {
            Some(seconds) if (1..=asked).contains(&seconds) => Ok(seconds),
            other => wrong(format!("expires {other:?}, asked for {asked}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(contacts: &str) -> Vec<u8> {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.1.0.1:4;branch=z9hG4bKl0000002a00000003\r\n\
             From: <sip:a@load.test>;tag=1\r\nTo: <sip:a@load.test>;tag=2\r\nCall-ID: 1\r\nCSeq: 3 REGISTER\r\n\
             {contacts}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn granted(contacts: &str) -> Result<u32, Fault> {
        let bytes = answer(contacts);
        let mut index = Index::new();
        let answer = Answer::read(&bytes, &mut index).unwrap().unwrap();
        assert_eq!((answer.number, answer.cseq, answer.response.status), (42, 3, 200));
        answer.granted("sip:a@127.1.0.1:4", 600)
    }

    #[test]
    fn a_200_must_name_the_contact_and_no_other() {
        assert_eq!(granted("Contact: <sip:a@127.1.0.1:4>;expires=599\r\n"), Ok(599));
        for wrong in [
            "",
            "Contact: <sip:a@127.1.0.1:5>;expires=599\r\n",
            "Contact: <sip:a@127.1.0.1:4>\r\n",
            "Contact: <sip:a@127.1.0.1:4>;expires=601\r\n",
            "Contact: <sip:a@127.1.0.1:4>;expires=0\r\n",
            "Contact: <sip:a@127.1.0.1:4>;expires=9, <sip:a@127.1.0.2>;expires=9\r\n",
        ] {
            assert!(matches!(granted(wrong), Err(Fault::Contact(_))), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_answer_of_ours_is_told_apart() {
        let good = String::from_utf8(answer("")).unwrap();
        for (from, to) in [("CSeq: 3", "CSeq: 4"), ("z9hG4bKl", "z9hG4bKx"), (";tag=2", "")] {
            let bad = good.replace(from, to);
            let mut index = Index::new();
            let read = Answer::read(bad.as_bytes(), &mut index);
            assert!(matches!(read, Err(Fault::Foreign(_))), "{to}");
        }
        let mut index = Index::new();
        assert!(matches!(Answer::read(b"SIP/2.0 200 OK\r\n\r\n", &mut index), Err(Fault::Unreadable(_))));
    }
}
