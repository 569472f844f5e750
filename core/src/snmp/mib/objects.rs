//! Scalars and columns by their numbers: what the MIB calls `callboardListenerPort` is `ListenerColumn::Port` here.

macro_rules! objects {
    ($(#[$doc:meta])* $name:ident at $arcs:expr; $($(#[$own:meta])* $variant:ident $number:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name { $($(#[$own])* $variant = $number,)* }

        impl $name {
            /// All that can be read, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The identifier in front of the numbers.
            pub const BASE: &'static [u32] = $arcs;

            /// The last arc of its identifier; those of the instance come behind.
            pub const fn number(self) -> u32 {
                self as u32
            }
        }
    };
}

objects! {
    /// Scalars about the node: the instance of each is 0.
    NodeObject at below![1, 1];
    /// What the node is called.
    Name 1,
    /// The version of Callboard that runs.
    Version 2,
    /// When the node started.
    StartTime 3,
    /// Whether the node may be given work.
    Ready 4,
    /// Devices that are known.
    Devices 5,
    /// Devices beyond which no new one is taken.
    DeviceLimit 6,
    /// Devices of which all items are known.
    DevicesRegistered 7,
    /// Devices in secure mode.
    DevicesSecure 8,
    /// Devices that are told at their next poll that work waits for them.
    DevicesWaiting 9,
    /// Dialogues with devices that are open.
    Flows 10,
    /// Dialogues beyond which devices are told to come later.
    FlowLimit 11,
    /// Tasks that wait for their devices, or for their time.
    TasksWaiting 12,
    /// Tasks that were handed to their devices and are not over.
    TasksRunning 13,
    /// Jobs, those that have ended included.
    Jobs 14,
    /// SIP addresses-of-record with at least one registration.
    Aors 15,
    /// SIP registrations.
    Registrations 16,
    /// SIP registrations whose endpoint does not answer any more, or whose connection is gone.
    RegistrationsLost 17,
    /// Sites whose edge is connected.
    SitesConnected 18,
    /// Events that were recorded since the node started.
    Events 19,
}

objects! {
    /// Columns of `callboardListenerTable`. Rows are known by the bytes of the listener's name, without their number.
    ListenerColumn at below![1, 2, 1];
    /// What it listens to.
    Transport 2,
    /// The type of the address.
    AddressType 3,
    /// The address on which it listens.
    Address 4,
    /// The port on which it listens.
    Port 5,
    /// Open connections that are served.
    Connections 6,
    /// Open connections that are told to come later.
    ShedConnections 7,
    /// Connections beyond which further ones are told to come later.
    ConnectionLimit 8,
}

objects! {
    /// Columns of `callboardSubsystemTable`. Rows are known by the bytes of the subsystem's name, without their number.
    SubsystemColumn at below![1, 3, 1];
    /// Whether it does its work.
    State 2,
    /// What is the matter with it.
    Words 3,
}

objects! {
    /// Columns of `callboardJobTable`. Rows are known by the twelve bytes of the job's id.
    JobColumn at below![1, 4, 1];
    /// What its administrator calls it.
    Name 2,
    /// What is to be done: one of the words of the administration API, such as restart.
    Type 3,
    /// How far the job is.
    State 4,
    /// Who asked for it.
    Initiator 5,
    /// When it was accepted.
    CreationTime 6,
    /// When it begins, or began.
    BeginTime 7,
    /// When it ended.
    EndTime 8,
    /// Devices that it was meant for when it was accepted.
    Devices 9,
    /// Tasks of it that wait for their devices, or for their time.
    Waiting 10,
    /// Tasks of it that were handed to their devices and are not over.
    Running 11,
    /// Tasks of it that are done.
    Successful 12,
    /// Tasks of it that were refused or not possible.
    Failed 13,
    /// Tasks of it that were not done in time.
    Timeout 14,
    /// Tasks of it that were taken back.
    Cancelled 15,
    /// Devices that were deleted before it was done there.
    Gone 16,
}

objects! {
    /// Columns of `callboardSiteTable`. Rows are known by the twelve bytes of the site's id.
    SiteColumn at below![1, 5, 1];
    /// What people call it.
    Name 2,
    /// Where its edge is.
    State 3,
    /// When the edge connected, or left.
    Since 4,
    /// The type of the address.
    AddressType 5,
    /// The address from which its edge is connected, or was.
    Address 6,
    /// What its edge runs.
    Software 7,
    /// When the certificate of its edge ends.
    CertificateEnd 8,
    /// Devices whose latest contact came through its edge.
    Devices 9,
    /// Of these, devices with work waiting that have not come for it.
    Waiting 10,
    /// Connections of devices that its edge relays now.
    Relays 11,
    /// Connections of devices that its edge has relayed since it started, as it told last.
    Relayed 12,
    /// Connections of devices that its edge has closed because they could not be relayed.
    Unrelayed 13,
    /// Octets from devices that its edge has relayed.
    OctetsUp 14,
    /// Octets to devices that its edge has relayed.
    OctetsDown 15,
    /// Polls that its edge has answered.
    Polls 16,
    /// Calls to devices that its edge has made.
    Calls 17,
}

objects! {
    /// Columns of `callboardEndpointTable`. Rows are known by the bytes of the device's id, without their number.
    EndpointColumn at below![1, 6, 1];
    /// How far the node knows the device.
    State 2,
    /// The model, as the device says it.
    Type 3,
    /// The kind of its firmware.
    SoftwareType 4,
    /// The version of its firmware.
    SoftwareVersion 5,
    /// The part number of its hardware.
    PartNumber 6,
    /// The number of the user who is now on the device.
    E164 7,
    /// The number of the device itself.
    BasicE164 8,
    /// When it called for the first time.
    FirstContact 9,
    /// When it called last.
    LastContact 10,
    /// When it told last that it had started.
    LastStart 11,
    /// When all its items were read last.
    LastRead 12,
    /// The type of the address.
    AddressType 13,
    /// The address from which it called last, as the node, or the edge of its site, saw it.
    Address 14,
    /// The id of the site through whose edge it called last, as in callboardSiteTable.
    Site 15,
    /// Where the device stands between default mode and secure mode.
    SecureMode 16,
    /// When the client certificate that it took ends.
    CertificateEnd 17,
    /// Whether it is told to ask for work in intervals.
    Polls 18,
    /// Tasks for it that are not over.
    OpenTasks 19,
    /// Items that it refused.
    RefusedItems 20,
    /// Items of templates that cannot be applied to it.
    TemplateFaults 21,
    /// SIP registrations of the device.
    Registrations 22,
    /// Whether it is registered by SIP.
    Registration 23,
    /// Its SIP address-of-record, without scheme.
    Aor 24,
    /// The URI at which it is reached by SIP.
    Contact 25,
    /// How it is reached by SIP; none if it is not registered.
    Transport 26,
    /// What it says by SIP that it is.
    UserAgent 27,
    /// When its registration ends, if it does not refresh it.
    RegistrationEnd 28,
}

objects! {
    /// What a notification says, in the order in which it does: the instance of each is 0.
    EventObject at below![1, 7];
    /// The number of the event, in decimal digits: that of the administration API.
    Number 1,
    /// When it happened.
    Time 2,
    /// What kind of thing happened: a word such as node-started, the same as in the administration API.
    Kind 3,
    /// How much it matters.
    Severity 4,
    /// The id of the device that it is about, as in callboardEndpointTable.
    Device 5,
    /// The number of the task of that device that it is about, in decimal digits.
    Task 6,
    /// What exactly, for people.
    Text 7,
}
