//! The log: `tracing` events to standard error, as text or JSON lines.

use std::io;

use callboard_core::event::deceives;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.filter` is no filter.
    #[error("log.filter is not a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("the log is set up already")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends all events of the process to standard error, filtered and formed as `log` says.
///
/// Times are UTC (RFC 3339). Colours are never written: the reader is a journal or a collector.
pub fn install(log: &Log) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(subscriber(log, io::stderr)?)?;
    Ok(())
}

fn subscriber<W>(log: &Log, writer: W) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&log.filter)?;
    let plain =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Cleaning(writer));
    Ok(match log.format {
        LogFormat::Text => Box::new(plain.finish()),
        LogFormat::Json => Box::new(plain.json().flatten_event(true).with_current_span(true).finish()),
    })
}

/// Makes writers that spell out what could deceive the reader of the log, or a program that reads its lines. Much of what
/// is logged came from peers.
struct Cleaning<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Cleaning<W> {
    type Writer = Clean<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Clean(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Clean(self.0.make_writer_for(meta))
    }
}

struct Clean<W>(W);

impl<W: io::Write> io::Write for Clean<W> {
    /// `line` is a whole one: the subscriber writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if body.chars().any(deceives) {
            let mut clean = Vec::with_capacity(line.len() + 64);
            let mut units = [0; 2];
            for c in text.char_indices().map(|(at, c)| (c, at < body.len() && deceives(c))) {
                match c {
                    // The form that JSON knows: a line stays a JSON object.
                    (c, true) => {
                        for unit in c.encode_utf16(&mut units) {
                            write!(clean, "\\u{unit:04x}")?;
                        }
                    }
                    (c, false) => write!(clean, "{c}")?,
                }
            }
            self.0.write_all(&clean)?;
        } else {
            self.0.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::sink::Sink;

    fn logged(filter: &str, format: LogFormat) -> String {
        let sink = Sink::default();
        let log = Log { filter: filter.to_owned(), format };
        let subscriber = subscriber(&log, sink.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("flow", flow = 7);
            let _inside = span.enter();
            tracing::info!(device = "00:1a:e8:0a:0b:0c", "registered");
            tracing::debug!(error = %"two\nlines \u{202e}\u{9b}\u{2028}\u{1fffe}", "not by default\u{1b}[31m");
        });
        sink.text()
    }

    #[test]
    fn text_lines_hold_the_fields_of_event_and_span() {
        let text = logged("info", LogFormat::Text);
        assert!(text.contains("registered"), "{text}");
        assert!(text.contains("flow=7") && text.contains("device=\"00:1a:e8:0a:0b:0c\""), "{text}");
        assert_eq!(text.lines().count(), 1, "the filter must hold back debug: {text}");
    }

    #[test]
    fn json_lines_are_objects_with_fields_on_top() {
        let text = logged("info", LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "registered");
        assert_eq!(line["device"], "00:1a:e8:0a:0b:0c");
        assert_eq!(line["span"]["flow"], 7);
    }

    #[test]
    fn escapes_from_outside_do_not_reach_the_terminal() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged("debug", format);
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(!text.lines().any(|line| line.chars().any(deceives)), "{text:?}");
            assert!(text.contains(r"\u202e") && text.contains(r"\u2028\ud83f\udffe"), "{text}");
        }
        let json = logged("debug", LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
        assert_eq!(line["error"], "two\nlines \u{202e}\u{9b}\u{2028}\u{1fffe}");
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        let log = Log { filter: "info,=".to_owned(), format: LogFormat::Text };
        assert!(matches!(subscriber(&log, io::sink), Err(LogError::Filter(_))));
    }
}
