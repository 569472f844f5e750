//! Reads as much of a MIB module as a comparison with the code needs.

use std::collections::BTreeMap;

/// What stands at a name.
#[derive(Debug, Default)]
pub(super) struct Definition {
    /// Its macro, such as `OBJECT-TYPE`.
    pub(super) macro_name: String,
    /// Its identifier.
    pub(super) oid: Vec<u32>,
    /// All that stands between the macro and the identifier, descriptions left out.
    words: Vec<String>,
}

impl Definition {
    /// What stands behind a clause.
    pub(super) fn clause(&self, name: &str) -> &str {
        let at = self.words.iter().position(|word| word == name);
        at.and_then(|at| self.words.get(at + 1)).map_or("", String::as_str)
    }

    /// The names in braces behind a clause.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let behind = self.words.iter().skip_while(|word| *word != name).skip(1);
        let inner = behind.skip_while(|word| *word != "{").skip(1).take_while(|word| *word != "}");
        inner.filter(|word| *word != ",").map(String::as_str).collect()
    }

    /// The number of a label in the enumeration that is its syntax.
    pub(super) fn label(&self, label: &str) -> Option<i32> {
        let at = self.words.iter().position(|word| word == label)?;
        self.words.get(at + 2).and_then(|number| number.parse().ok())
    }
}

/// All definitions with an identifier, by name.
pub(super) fn definitions(module: &str) -> BTreeMap<String, Definition> {
    let words = words(module);
    let mut found: BTreeMap<String, Definition> = BTreeMap::new();
    let mut at = 0;
    while at + 1 < words.len() {
        let (name, second) = (&words[at], &words[at + 1]);
        at += 1;
        let is_macro = name.starts_with(|c: char| c.is_ascii_lowercase())
            && (second == "OBJECT"
                || second.contains('-') && second.chars().all(|c| c == '-' || c.is_ascii_uppercase()));
        if !is_macro {
            continue;
        }
        let Some(end) = words[at..].iter().position(|word| word == "::=").map(|end| at + end) else { break };
        let place: Vec<&String> = words[end + 1..].iter().skip(1).take_while(|word| *word != "}").collect();
        let mut oid = match place[0].as_str() {
            "enterprises" => vec![1, 3, 6, 1, 4, 1],
            parent => found.get(parent).unwrap_or_else(|| panic!("{name} below {parent}")).oid.clone(),
        };
        oid.extend(place[1..].iter().map(|arc| arc.parse::<u32>().unwrap()));
        let definition = Definition { macro_name: second.clone(), oid, words: words[at + 1..end].to_vec() };
        assert!(found.insert(name.clone(), definition).is_none(), "{name} is there twice");
        at = end;
    }
    found
}

/// Words and marks, without comments and quoted texts.
fn words(module: &str) -> Vec<String> {
    let code =
        module.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    // Every second part is quoted.
    let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    for c in code.chars() {
        if "{}(),".contains(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out.split_whitespace().map(str::to_owned).collect()
}
