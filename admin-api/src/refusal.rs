//! What the core refuses, as problems. Where each status is decided, once.

use callboard_core::file::{FileError, StorageError};
use callboard_core::fleet::FleetError;
use callboard_core::job::JobError;
use callboard_core::policy::{Fault, TemplateError};
use callboard_core::service::AdminError;
use callboard_core::service::sip::admin::RegistrationError;
use callboard_core::sip::credentials::CredentialError;
use callboard_core::sip::location::LocationError;
use callboard_core::sip::profile::ProfileError;
use callboard_core::site::SiteError;
use callboard_core::snmp::access::AccessError;
use callboard_core::store::{CommitError, SubmitError};

use crate::problem::{FieldError, Kind, Problem};

/// Seconds after which a full queue is worth another try.
const RETRY_QUEUE: u32 = 1;
/// Seconds after which a full disk is worth another try.
const RETRY_SPACE: u32 = 10;
/// Seconds after which a failed or stopped store is worth another try.
const RETRY_RESTART: u32 = 30;

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Fleet(error) => error.into(),
            AdminError::Template(error) => error.into(),
            AdminError::Job(error) => error.into(),
            AdminError::Field(fault) => Self::fields(vec![fault.into()]),
            AdminError::Credential(error) => error.into(),
            AdminError::Registration(error) => error.into(),
            AdminError::Vault(error) => internal(&error),
        }
    }
}

impl From<FleetError> for Problem {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Unknown(id) => Self::not_found(format!("no device {id}")),
            FleetError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            FleetError::Full { .. } | FleetError::Unreadable(_) => {
                Self::new(Kind::Conflict, error.to_string())
            }
            FleetError::Refused(reason) => Self::new(Kind::Conflict, reason),
            FleetError::Submit(error) => error.into(),
            FleetError::Commit(error) => error.into(),
            FleetError::Record(error) => internal(&error),
        }
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Unknown(_) => Self::not_found(error.to_string()),
            ProfileError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            ProfileError::Full { .. } => Self::new(Kind::Conflict, error.to_string()),
            ProfileError::Submit(error) => error.into(),
            ProfileError::Commit(error) => error.into(),
            ProfileError::Record(error) => internal(&error),
        }
    }
}

impl From<TemplateError> for Problem {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Unknown(id) => Self::not_found(format!("no template {id}")),
            TemplateError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            TemplateError::Full { .. } | TemplateError::NameTaken(_) => {
                Self::new(Kind::Conflict, error.to_string())
            }
            TemplateError::Faults(faults) => Self::fields(faults.into_iter().map(Into::into).collect()),
            TemplateError::Submit(error) => error.into(),
            TemplateError::Commit(error) => error.into(),
            TemplateError::Record(error) => internal(&error),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Unknown(id) => Self::not_found(format!("no job {id}")),
            JobError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            JobError::Full { .. } | JobError::State(_) => Self::new(Kind::Conflict, error.to_string()),
            JobError::Submit(error) => error.into(),
            JobError::Commit(error) => error.into(),
            JobError::Record(error) => internal(&error),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unknown(_) | FileError::UnknownProvider(_) => Self::not_found(error.to_string()),
            FileError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            FileError::Full { .. }
            | FileError::TotalFull { .. }
            | FileError::NameTaken(_)
            | FileError::ProviderNameTaken(_)
            | FileError::InUse(_)
            | FileError::ProviderInUse { .. } => Self::new(Kind::Conflict, error.to_string()),
            FileError::Faults(faults) => Self::fields(
                faults
                    .into_iter()
                    .map(|fault| FieldError { field: fault.field.into(), reason: fault.reason })
                    .collect(),
            ),
            FileError::Submit(error) => error.into(),
            FileError::Commit(error) => error.into(),
            FileError::Record(error) => internal(&error),
            FileError::Vault(error) => internal(&error),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let text = error.to_string();
        match error {
            StorageError::File(error) => error.into(),
            StorageError::Busy { .. } => Self::later(Kind::Busy, RETRY_SPACE, text),
            StorageError::TooLarge { .. } => Self::new(Kind::TooLarge, text),
            StorageError::Empty => Self::field("body", text),
            StorageError::Aborted(_) => Self::new(Kind::Malformed, text),
            StorageError::NoSpace { .. } => Self::later(Kind::Store, RETRY_SPACE, text),
            StorageError::Forbidden(_) => Self::field("url", text),
            StorageError::Provider(_) => Self::new(Kind::BadGateway, text),
            StorageError::Folder(_) => internal(&error),
        }
    }
}

impl From<SiteError> for Problem {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Unknown(id) => Self::not_found(format!("no site {id}")),
            SiteError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            SiteError::Full { .. } | SiteError::NameTaken(_) => Self::new(Kind::Conflict, error.to_string()),
            SiteError::Field(fault) => Self::fields(vec![fault.into()]),
            SiteError::Submit(error) => error.into(),
            SiteError::Commit(error) => error.into(),
            SiteError::Record(error) => internal(&error),
        }
    }
}

impl From<CredentialError> for Problem {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::UnknownRealm(_) | CredentialError::Unknown(..) => {
                Self::not_found(error.to_string())
            }
            CredentialError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            CredentialError::Full { .. }
            | CredentialError::DomainTaken { .. }
            | CredentialError::RestTaken(_)
            | CredentialError::RealmInUse { .. } => Self::new(Kind::Conflict, error.to_string()),
            CredentialError::Password => Self::field("password", error.to_string()),
            CredentialError::Submit(error) => error.into(),
            CredentialError::Commit(error) => error.into(),
            CredentialError::Record(error) => internal(&error),
            CredentialError::Vault(error) => internal(&error),
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unknown { .. } => Self::not_found(error.to_string()),
            AccessError::Revision { .. } => Self::new(Kind::PreconditionFailed, error.to_string()),
            AccessError::Full { .. }
            | AccessError::BuiltIn { .. }
            | AccessError::InUse { .. }
            | AccessError::Taken { .. }
            | AccessError::Needed { .. } => Self::new(Kind::Conflict, error.to_string()),
            AccessError::Fields(faults) => Self::fields(faults.into_iter().map(Into::into).collect()),
            AccessError::Submit(error) => error.into(),
            AccessError::Commit(error) => error.into(),
            AccessError::Record(error) => internal(&error),
        }
    }
}

impl From<RegistrationError> for Problem {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Unknown(_) => Self::not_found(error.to_string()),
            RegistrationError::Location(LocationError::Submit(error)) => error.into(),
            RegistrationError::Location(error) => internal(&error),
            RegistrationError::Commit(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::Full { .. } => Self::later(Kind::Store, RETRY_QUEUE, text),
            SubmitError::NoSpace { .. } => Self::later(Kind::Store, RETRY_SPACE, text),
            SubmitError::Failed(_) | SubmitError::Stopped => Self::later(Kind::Store, RETRY_RESTART, text),
            SubmitError::TooLarge { .. } | SubmitError::BadKey(_) => Self::field("body", text),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let seconds = match error {
            CommitError::NoSpace => RETRY_SPACE,
            CommitError::Failed(_) | CommitError::Stopped => RETRY_RESTART,
        };
        Self::later(
            Kind::Store,
            seconds,
            format!("{error}; whether the change survives a restart is unknown"),
        )
    }
}

impl From<Fault> for FieldError {
    fn from(fault: Fault) -> Self {
        Self { field: fault.field, reason: fault.reason }
    }
}

/// A fault of ours: the log gets the reason, the peer does not.
pub(crate) fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "an administration request failed");
    Problem::new(Kind::Internal, "the log of the server has the reason")
}
