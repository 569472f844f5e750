//! Dialogue files as text: directives at the left margin, what belongs to them indented below.

use std::fmt;
use std::path::Path;

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(pub(crate) usize);

/// What is wrong, and on which line.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(at: At, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }

    pub(crate) fn in_file(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}:{}: {}", self.at.0, self.text)
    }
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// A line of a block.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: At,
    pub(crate) text: String,
}

/// A directive with its block.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: At,
    pub(crate) words: Vec<String>,
    pub(crate) block: Vec<Line>,
}

impl Step {
    /// The words behind the directive's own.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.words[1..]
    }

    pub(crate) fn argument(&self, place: usize) -> Result<&str> {
        let word = self.arguments().get(place);
        word.map(String::as_str).ok_or_else(|| Fault::new(self.at, "a word is missing"))
    }

    /// The value of `name=value`, if it stands here.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.arguments().iter().any(|own| own == word)
    }

    pub(crate) fn fault(&self, text: impl Into<String>) -> Fault {
        Fault::new(self.at, text)
    }
}

/// Read a file's text.
pub(crate) fn read(text: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = At(number + 1);
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if line.starts_with(' ') {
            let step = steps.last_mut().ok_or_else(|| Fault::new(at, "belongs to no directive"))?;
            step.block.push(Line { at, text: content.to_owned() });
        } else {
            steps.push(Step { at, words: words(at, content)?, block: Vec::new() });
        }
    }
    Ok(steps)
}

/// Cut at blanks; quotes hold words together and are not part of them.
fn words(at: At, text: &str) -> Result<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match (c, words.last_mut()) {
            ('"', _) => quoted = !quoted,
            (' ', Some(word)) if !quoted => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    if quoted {
        return Err(Fault::new(at, "a quote is not closed"));
    }
    Ok(words)
}

/// `name[index] = value (status)`, or `name = long * 3000` for a word repeated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemLine {
    pub(crate) name: String,
    pub(crate) index: Option<u32>,
    pub(crate) value: String,
    pub(crate) status: Option<String>,
}

impl ItemLine {
    pub(crate) fn parse(line: &Line) -> Result<Self> {
        let (key, rest) = line.text.split_once('=').unwrap_or((&line.text, ""));
        let (name, index) = key_of(line.at, key)?;
        let mut value = rest.trim().to_owned();
        let mut status = None;
        if let Some(open) = value.rfind('(').filter(|_| value.ends_with(')')) {
            status = Some(value[open + 1..value.len() - 1].to_owned());
            value.truncate(open);
        }
        let mut value = value.trim().to_owned();
        if let Some((text, times)) = value.rsplit_once(" * ")
            && let Ok(times) = times.parse()
        {
            value = text.repeat(times);
        }
        Ok(Self { name, index, value, status })
    }
}

impl fmt::Debug for ItemLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        write!(f, " = {}", self.value.chars().take(60).collect::<String>())?;
        self.status.as_ref().map_or(Ok(()), |status| write!(f, " ({status})"))
    }
}

/// `name` or `name[index]`.
pub(crate) fn key_of(at: At, text: &str) -> Result<(String, Option<u32>)> {
    let text = text.trim();
    let Some((name, index)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return Ok((text.to_owned(), None));
    };
    let index = index.parse().map_err(|_| Fault::new(at, format!("{index:?} is no index")))?;
    Ok((name.to_owned(), Some(index)))
}

#[test]
fn lines_are_read_as_they_are_meant() {
    let steps = read("# title\nphone start-up door=\"a b\"\n  x[3] = ab * 2 (read only)\n  y\n").unwrap();
    assert_eq!(steps[0].words, ["phone", "start-up", "door=a b"]);
    assert_eq!(steps[0].option("door"), Some("a b"));
    let items: Vec<_> = steps[0].block.iter().map(|line| ItemLine::parse(line).unwrap()).collect();
    assert_eq!(format!("{items:?}"), "[x[3] = abab (read only), y = ]");
    assert_eq!(read("  x = 1").unwrap_err().at, At(1));
    assert_eq!(read("phone \"a").unwrap_err().text, "a quote is not closed");
}
