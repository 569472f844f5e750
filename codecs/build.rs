//! Turns `data/wpi-items.csv` into the static tables of `wpi::catalogue`.

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const SOURCE: &str = "data/wpi-items.csv";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let mut entries = String::new();
    let mut ids = phf_codegen::Map::new();
    let mut seen = HashSet::new();
    let mut count: u16 = 0;
    for row in csv::Reader::from_path(SOURCE)?.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        if !seen.insert(row[0].to_owned()) {
            return Err(format!("{SOURCE}:{line}: {} stands there twice", &row[0]).into());
        }
        let entry = entry(&row).map_err(|fault| format!("{SOURCE}:{line}: {fault}"))?;
        writeln!(entries, "    {entry},")?;
        ids.entry(row[0].to_owned(), count.to_string());
        count = count.checked_add(1).ok_or("more names than a u16 can count")?;
    }
    let code = format!(
        "pub(super) static ENTRIES: [Entry; {count}] = [\n{entries}];\n\npub(super) static IDS: phf::Map<&'static str, u16> = {};\n",
        ids.build()
    );
    fs::write(Path::new(&env::var("OUT_DIR")?).join("wpi_catalogue.rs"), code)?;
    Ok(())
}

/// One row as a struct literal. A word outside the known sets stops the build.
fn entry(row: &csv::StringRecord) -> Result<String, String> {
    if row.len() != 9 {
        return Err(format!("{} columns where 9 are wanted", row.len()));
    }
    let pick = |column: usize, known: &[(&str, &'static str)]| {
        known
            .iter()
            .find(|(word, _)| *word == &row[column])
            .map(|(_, variant)| *variant)
            .ok_or_else(|| format!("{:?} is unknown in column {}", &row[column], column + 1))
    };
    let indexed = pick(1, &[("no", "No"), ("yes", "Yes"), ("maybe", "Maybe")])?;
    let kind = pick(
        2,
        &[
            ("text", "Text"),
            ("integer", "Integer"),
            ("bool", "Bool"),
            ("enum", "Enum"),
            ("address", "Address"),
            ("ipv4", "Ipv4"),
            ("port", "Port"),
            ("url", "Url"),
            ("base64", "Base64"),
            ("pem", "Pem"),
        ],
    )?;
    let access =
        pick(4, &[("ro", "ReadOnly"), ("rw", "ReadWrite"), ("wo", "WriteOnly"), ("message", "Message")])?;
    let confidence = pick(7, &[("doc", "Documented"), ("impl", "Implemented"), ("guess", "Guessed")])?;
    let secret = pick(8, &[("yes", "true"), ("no", "false")])?;
    Ok(format!(
        "Entry {{ name: {:?}, indexed: Indexed::{indexed}, kind: Kind::{kind}, values: {:?}, \
         access: Access::{access}, description: {:?}, group: {:?}, confidence: Confidence::{confidence}, \
         secret: {secret} }}",
        &row[0], &row[3], &row[5], &row[6]
    ))
}
