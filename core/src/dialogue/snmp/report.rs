//! Why an engine does not take a message, in the words that engines have for it (RFC 3412, section 5; RFC 3413, section 4.1; RFC 3414,
//! section 5).

/// Why a message was refused: each reason is counted, and a report tells the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// The user has no keys for what protects the message.
    UnsupportedSecLevels,
    /// The message's time is not ours.
    NotInTimeWindows,
    /// There is no such user.
    UnknownUserNames,
    /// The message is for another engine, or its sender does not know the id of ours yet.
    UnknownEngineIds,
    /// The authentication code is wrong.
    WrongDigests,
    /// It cannot be decrypted.
    DecryptionErrors,
    /// Its security model is not known.
    UnknownSecurityModels,
    /// There is nobody for such a PDU.
    UnknownPduHandlers,
    /// There is no such context.
    UnknownContexts,
}

impl Report {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UnsupportedSecLevels,
        Self::NotInTimeWindows,
        Self::UnknownUserNames,
        Self::UnknownEngineIds,
        Self::WrongDigests,
        Self::DecryptionErrors,
        Self::UnknownSecurityModels,
        Self::UnknownPduHandlers,
        Self::UnknownContexts,
    ];

    /// The counter that the report shows.
    pub const fn object(self) -> &'static [u32] {
        match self {
            Self::UnsupportedSecLevels => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 1, 0],
            Self::NotInTimeWindows => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0],
            Self::UnknownUserNames => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 3, 0],
            Self::UnknownEngineIds => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0],
            Self::WrongDigests => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 5, 0],
            Self::DecryptionErrors => &[1, 3, 6, 1, 6, 3, 15, 1, 1, 6, 0],
            Self::UnknownSecurityModels => &[1, 3, 6, 1, 6, 3, 11, 2, 1, 1, 0],
            Self::UnknownPduHandlers => &[1, 3, 6, 1, 6, 3, 11, 2, 1, 3, 0],
            Self::UnknownContexts => &[1, 3, 6, 1, 6, 3, 12, 1, 5, 0],
        }
    }

    /// The word used in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnsupportedSecLevels => "unsupported-security-level",
            Self::NotInTimeWindows => "not-in-time-window",
            Self::UnknownUserNames => "unknown-user",
            Self::UnknownEngineIds => "unknown-engine",
            Self::WrongDigests => "wrong-digest",
            Self::DecryptionErrors => "decryption-error",
            Self::UnknownSecurityModels => "unknown-security-model",
            Self::UnknownPduHandlers => "unknown-pdu-handler",
            Self::UnknownContexts => "unknown-context",
        }
    }
}
