//! What the door keeps over a restart: an edge that still speaks to the process before is told at once that it is gone
//! (stateless reset, RFC 9000, section 10.3). Else it would learn of it by the silence.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use callboard_core::secret::Vault;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

use crate::edge::quic::take_large_packets;

/// Bytes of a connection id.
const ID_BYTES: usize = 8;

/// The endpoint's settings, which are the same for every process with the same key file.
pub(super) fn config(vault: &Vault) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(reset_key(vault)));
    config.cid_generator(|| Box::new(RandomIds));
    take_large_packets(&mut config);
    config
}

/// Nobody without the key file can end the connections of edges by it.
fn reset_key(vault: &Vault) -> hmac::Key {
    let mut key = [0; 32];
    for (part, bytes) in key.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(
            &vault.digest(&format!("stateless reset of the door edge, {part}")).to_le_bytes(),
        );
    }
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

/// Ids without a mark of the process that gave them: one with a mark drops the packets of its predecessor's connections.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use callboard_core::secret::KEY_LEN;

    use super::*;

    #[test]
    fn the_key_is_that_of_the_key_file() {
        let tag = |key: u8| {
            let vault = Vault::new(&[key; KEY_LEN]).unwrap();
            hmac::sign(&reset_key(&vault), b"an id").as_ref().to_vec()
        };
        assert_eq!(tag(1), tag(1));
        assert_ne!(tag(1), tag(2));
    }

    #[test]
    fn ids_are_long_enough_and_differ() {
        let (one, two) = (RandomIds.generate_cid(), RandomIds.generate_cid());
        assert_eq!((one.len(), two.len()), (RandomIds.cid_len(), RandomIds.cid_len()));
        assert_ne!(one, two);
    }
}
