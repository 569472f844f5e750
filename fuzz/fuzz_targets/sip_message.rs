//! Any bytes as a datagram on the SIP port: everything a message can be asked is asked, what can be answered is answered, and the answer
//! reads back.

#![no_main]

use callboard_codecs::sip::Datagram;
use callboard_codecs::sip::stun::BindingRequest;
use libfuzzer_sys::fuzz_target;

#[path = "../../codecs/tests/sip_views/mod.rs"]
mod sip_views;

fuzz_target!(|bytes: &[u8]| {
    match Datagram::classify(bytes) {
        Datagram::KeepAlive => {}
        Datagram::Stun => {
            if let Ok(request) = BindingRequest::read(bytes) {
                let mut out = Vec::new();
                request.write_answer(([192, 0, 2, 1], 5_060).into(), &mut out);
                assert!(out.len() % 4 == 0 && out[8..20] == request.transaction);
            }
        }
        Datagram::Sip => sip_views::look_at(bytes),
    }
});
