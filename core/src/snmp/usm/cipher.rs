//! Encryption of messages (RFC 3414, section 8; RFC 3826, section 3).

use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, InnerIvInit as _, KeyInit as _,
};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use des::Des;
use zeroize::Zeroizing;

use super::key::Key;
use crate::snmp::protocol::PrivProtocol;

/// Bytes of a salt, which is what `msgPrivacyParameters` hold.
pub(super) const SALT_BYTES: usize = 8;

/// Bytes of a block of DES.
const DES_BLOCK_BYTES: usize = 8;

/// Why a message cannot be decrypted: `usmStatsDecryptionErrors` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptionError {
    /// The user has no key for it.
    #[error("the user has no key for privacy")]
    NoKey,
    /// The privacy parameters have another length.
    #[error("the privacy parameters have {0} bytes, and must have {SALT_BYTES}")]
    Salt(usize),
    /// What is encrypted by DES has to be whole blocks.
    #[error("{0} bytes are encrypted, which are no whole blocks of {DES_BLOCK_BYTES}")]
    Length(usize),
}

/// What tells the messages of one key apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// `msgAuthoritativeEngineBoots`.
    pub(super) boots: u32,
    /// `msgAuthoritativeEngineTime`, in seconds.
    pub(super) time: u32,
    /// `msgPrivacyParameters`.
    pub(super) salt: [u8; SALT_BYTES],
}

impl Moment {
    /// RFC 3826, section 3.1.2.1.
    fn aes_iv(self) -> [u8; 16] {
        let (boots, time, salt) = (self.boots.to_be_bytes(), self.time.to_be_bytes(), self.salt);
        let mut iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(boots.into_iter().chain(time).chain(salt)) {
            *to = from;
        }
        iv
    }

    /// RFC 3414, section 8.1.1.1.
    fn des_iv(self, pre_iv: [u8; DES_BLOCK_BYTES]) -> [u8; DES_BLOCK_BYTES] {
        let mut iv = pre_iv;
        for (to, salt) in iv.iter_mut().zip(self.salt) {
            *to ^= salt;
        }
        iv
    }
}

/// A cipher with its key, which is scheduled already.
pub(super) enum Cipher {
    Des { des: Des, pre_iv: Zeroizing<[u8; DES_BLOCK_BYTES]> },
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl Cipher {
    /// Of a key that is long enough for the protocol.
    pub(super) fn new(protocol: PrivProtocol, key: &Key) -> Self {
        match protocol {
            PrivProtocol::Des => {
                Self::Des { des: Des::new((&*key.part::<8>(0)).into()), pre_iv: key.part(DES_BLOCK_BYTES) }
            }
            PrivProtocol::Aes128 => Self::Aes128(Aes128Enc::new((&*key.part::<16>(0)).into())),
            PrivProtocol::Aes192 | PrivProtocol::Aes192Reeder => {
                Self::Aes192(Aes192Enc::new((&*key.part::<24>(0)).into()))
            }
            PrivProtocol::Aes256 | PrivProtocol::Aes256Reeder => {
                Self::Aes256(Aes256Enc::new((&*key.part::<32>(0)).into()))
            }
        }
    }

    /// The salt of a message: what was never used before with this key, as long as the counter does not come again.
    pub(super) fn salt(&self, boots: u32, counter: u64) -> [u8; SALT_BYTES] {
        match self {
            // Of the counter the low half is meant: RFC 3414, section 8.1.1.1.
            Self::Des { .. } => (u64::from(boots) << 32 | counter & u64::from(u32::MAX)).to_be_bytes(),
            Self::Aes128(_) | Self::Aes192(_) | Self::Aes256(_) => counter.to_be_bytes(),
        }
    }

    /// Decrypt in place. What pads the text stays behind it.
    pub(super) fn decrypt(&self, moment: Moment, data: &mut [u8]) -> Result<(), DecryptionError> {
        match self {
            Self::Des { des, pre_iv } => {
                let bytes = data.len();
                let (blocks, []) = Array::slice_as_chunks_mut(data) else {
                    return Err(DecryptionError::Length(bytes));
                };
                let iv = moment.des_iv(**pre_iv);
                cbc::Decryptor::inner_iv_init(des, (&iv).into()).decrypt_blocks(blocks);
            }
            Self::Aes128(aes) => cfb_decrypt(aes, moment, data),
            Self::Aes192(aes) => cfb_decrypt(aes, moment, data),
            Self::Aes256(aes) => cfb_decrypt(aes, moment, data),
        }
        Ok(())
    }

    /// Encrypt in place, padded to whole blocks if the cipher wants them.
    pub(super) fn encrypt(&self, moment: Moment, data: &mut Vec<u8>) {
        match self {
            Self::Des { des, pre_iv } => {
                pad(data);
                let (blocks, _) = Array::slice_as_chunks_mut(data);
                let iv = moment.des_iv(**pre_iv);
                cbc::Encryptor::inner_iv_init(des, (&iv).into()).encrypt_blocks(blocks);
            }
            Self::Aes128(aes) => cfb_encrypt(aes, moment, data),
            Self::Aes192(aes) => cfb_encrypt(aes, moment, data),
            Self::Aes256(aes) => cfb_encrypt(aes, moment, data),
        }
    }
}

/// What pads has no meaning; as net-snmp does, each byte says how many they are.
fn pad(data: &mut Vec<u8>) {
    let whole = data.len().next_multiple_of(DES_BLOCK_BYTES);
    let missing = whole - data.len();
    data.resize(whole, u8::try_from(missing).unwrap_or_default());
}

fn cfb_decrypt<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, moment: Moment, data: &mut [u8]) {
    cfb_mode::Decryptor::inner_iv_init(cipher, (&moment.aes_iv()).into()).decrypt(data);
}

fn cfb_encrypt<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, moment: Moment, data: &mut [u8]) {
    cfb_mode::Encryptor::inner_iv_init(cipher, (&moment.aes_iv()).into()).encrypt(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 20] = [
        0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a, 0xae,
        0x2d, 0x8a, 0x57,
    ];

    /// NIST SP 800-38A, appendix F.3.13 to F.3.18, of which the last block is cut.
    #[test]
    fn aes_is_that_of_the_vectors() {
        let moment = Moment { boots: 0x0001_0203, time: 0x0405_0607, salt: [8, 9, 10, 11, 12, 13, 14, 15] };
        for (protocol, key, encrypted) in [
            (
                PrivProtocol::Aes128,
                0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes().to_vec(),
                (0x3b3f_d92e_b72d_ad20_3334_49f8_e83c_fb4a_u128, 0xc8a6_4537_u32),
            ),
            (
                PrivProtocol::Aes192,
                [0x8e73_b0f7_da0e_6452_u64, 0xc810_f32b_8090_79e5, 0x62f8_ead2_522c_6b7b]
                    .map(u64::to_be_bytes)
                    .concat(),
                (0xcdc8_0d6f_ddf1_8cab_34c2_5909_c99a_4174, 0x67ce_7f7f),
            ),
            (
                PrivProtocol::Aes256,
                [0x603d_eb10_15ca_71be_2b73_aef0_857d_7781, 0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4_u128]
                    .map(u128::to_be_bytes)
                    .concat(),
                (0xdc7e_84bf_da79_164b_7ecd_8486_985d_3860, 0x39ff_ed14),
            ),
        ] {
            let cipher = Cipher::new(protocol, &Key::of(&key));
            let mut data = PLAIN.to_vec();
            cipher.encrypt(moment, &mut data);
            let expected = [&encrypted.0.to_be_bytes()[..], &encrypted.1.to_be_bytes()].concat();
            assert_eq!(data, expected, "{protocol:?}");
            cipher.decrypt(moment, &mut data).unwrap();
            assert_eq!(data, PLAIN, "{protocol:?}");
        }
    }

    #[test]
    fn des_is_padded_by_the_number_that_is_missing() {
        for (bytes, padding) in [(0, &[][..]), (8, &[]), (9, &[7; 7]), (15, &[1])] {
            let mut data = vec![0xff; bytes];
            pad(&mut data);
            assert_eq!(data.get(bytes..), Some(padding));
        }
    }
}
