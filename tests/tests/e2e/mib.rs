//! The MIB module is what others take for one: libsmi finds nothing wrong with it, and net-snmp reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the modules are that ours imports from, in outlines.
fn outlines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mibs")
}

fn mibs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mibs")
}

/// What `smilint -l 4` has to say of a module.
fn smilint(module: &Path) -> String {
    let mut command = Command::new("smilint");
    command.args(["-c", "/dev/null", "-l", "4"]).arg(module).env("SMIPATH", outlines());
    let Output { status, stdout, stderr } =
        command.output().expect("smilint (Debian package smitools) is needed");
    assert!(status.success());
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

#[test]
fn smilint_finds_nothing_wrong() {
    let module = mibs().join("CALLBOARD-MIB.txt");
    assert_eq!(smilint(&module), "");
    // It would have said something.
    let text = std::fs::read_to_string(module).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (right, wrong) in [
        ("::= { callboardNotifications 2 }", "::= { callboardNotifications 1 }"),
        ("callboardEventText\n    }", "callboardEventWords\n    }"),
        ("InetAddressType, InetAddress, InetPortNumber", "InetAddressType, InetAddress"),
    ] {
        assert!(text.contains(right), "{right}");
        let path = folder.path().join("CALLBOARD-MIB.txt");
        std::fs::write(&path, text.replace(right, wrong)).unwrap();
        assert_ne!(smilint(&path), "", "{wrong}");
    }
}

/// `snmptranslate` with our module, and nothing of this machine's configuration.
fn snmptranslate(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    // Else it tells that it made one.
    std::fs::create_dir(folder.path().join("cert_indexes")).unwrap();
    let mut command = Command::new("snmptranslate");
    command.arg("-M").arg(format!("{}:{}", outlines().display(), mibs().display()));
    command.args(["-m", "CALLBOARD-MIB"]).args(args);
    command.env("SNMPCONFPATH", folder.path()).env("SNMP_PERSISTENT_DIR", folder.path());
    let Output { status, stdout, stderr } =
        command.output().expect("snmptranslate (Debian package snmp) is needed");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success() && said.is_empty(), "{args:?}: {said}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn net_snmp_reads_it() {
    let listed = snmptranslate(&["-Tz"]);
    let names: BTreeMap<&str, &str> = listed
        .lines()
        .filter_map(|line| {
            let mut quoted = line.split('"');
            Some((quoted.nth(1)?, quoted.nth(1)?))
        })
        .collect();
    let text = std::fs::read_to_string(mibs().join("CALLBOARD-MIB.txt")).unwrap();
    let mut defined = 0;
    for name in text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, rest)| ["OBJECT-TYPE", "NOTIFICATION-TYPE"].contains(&rest).then_some(name))
    {
        let place = names.get(name).unwrap_or_else(|| panic!("net-snmp does not know {name}"));
        assert!(place.starts_with("1.3.6.1.4.1.32473.1."), "{name}: {place}");
        defined += 1;
    }
    assert!(defined > 100, "{defined}");
    assert_eq!(names["callboardNodeStarted"], "1.3.6.1.4.1.32473.1.0.1");
    let row = "CALLBOARD-MIB::callboardEndpointState.'phone'";
    assert_eq!(snmptranslate(&["-On", row]).trim(), ".1.3.6.1.4.1.32473.1.1.6.1.2.112.104.111.110.101");
}
