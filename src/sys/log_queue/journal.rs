//! Records into the journal, by its own protocol.
//!
//! tracing-journald writes tracing events, from the thread that made them, and blocks while the journal is slow. So the
//! log thread makes each record an event again, at a call site of its own a level, for a subscriber that no other
//! thread knows of. A call site's fields are fixed: the closed set below becomes fields of the journal
//! (`journalctl PRIVATELINKD_ENDPOINT=orders`), whatever else a record carries stays readable in its message.

use std::io;

use tracing::{Dispatch, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::record::{Record, Value};
use super::sink::Sink;
use super::style::Plain;

/// The journal shows these fields as `PRIVATELINKD_…`, in capitals.
const PREFIX: &str = "PRIVATELINKD";
/// The target of the call sites below, and of nothing else.
const RELAY: &str = "privatelinkd::relay";
/// Fields that the call sites below have.
const FIELDS: [&str; 9] = ["event", "endpoint", "zone", "address", "name", "check", "reason", "error", "module"];

/// The journal.
#[derive(Debug)]
pub(super) struct Journal {
    dispatch: Dispatch,
}

impl Journal {
    /// Opens the socket. `identifier` is the `SYSLOG_IDENTIFIER` of every entry.
    pub(super) fn connect(identifier: &str) -> io::Result<Self> {
        let layer = tracing_journald::layer()?
            .with_field_prefix(Some(PREFIX.to_owned()))
            .with_syslog_identifier(identifier.to_owned())
            // As `Style::Journal` numbers them.
            .with_priority_mappings(PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            });
        Ok(Self { dispatch: Dispatch::new(tracing_subscriber::registry().with(OnlyRelayed).with(layer)) })
    }
}

impl Sink for Journal {
    fn put(&mut self, record: &Record) -> io::Result<()> {
        tracing::dispatcher::with_default(&self.dispatch, || relay(record));
        // The layer keeps its errors to itself.
        Ok(())
    }
}

/// Lets nothing but the call sites below through, and raises no global level: what is logged at all, the queue says.
struct OnlyRelayed;

impl<S: Subscriber> Layer<S> for OnlyRelayed {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == RELAY
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }
}

fn relay(record: &Record) {
    let text = |name: &str| {
        let found = record.fields.iter().find(|(field, _)| *field == name);
        found.and_then(|(_, value)| if let Value::Text(text) = value { Some(text.as_str()) } else { None })
    };
    let [event, endpoint, zone, address, name, check, reason, error, _] = FIELDS.map(text);
    let module = record.target;
    let message = message(record);
    macro_rules! entry {
        ($level:ident) => {
            tracing::event!(
                target: RELAY, Level::$level, event, endpoint, zone, address, name, check, reason, error, module,
                "{message}"
            )
        };
    }
    match record.level {
        Level::ERROR => entry!(ERROR),
        Level::WARN => entry!(WARN),
        Level::INFO => entry!(INFO),
        Level::DEBUG => entry!(DEBUG),
        Level::TRACE => entry!(TRACE),
    }
}

/// The sentence, and behind it the fields that have no place of their own. An error belongs to its sentence, too:
/// people read messages.
fn message(record: &Record) -> String {
    let stays = |(name, value): &&(&'static str, Value)| {
        *name == "error" || !FIELDS.contains(name) || !matches!(value, Value::Text(_))
    };
    let fields = record.fields.iter().filter(stays).cloned().collect();
    Plain(&Record { fields, ..record.clone() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;

    fn record(fields: Vec<(&'static str, Value)>) -> Record {
        Record { at: Wall(0), level: Level::WARN, target: "privatelinkd::x", message: "a\nb".to_owned(), fields }
    }

    #[test]
    fn what_has_no_field_stays_in_the_message() {
        let text = |t: &str| Value::Text(t.to_owned());
        let all = record(vec![
            ("endpoint", text("orders")),
            ("error", text("disk full")),
            ("count", Value::Integer(7)),
            ("name", Value::Bool(true)),
        ]);
        assert_eq!(message(&all), "a\\nb error=\"disk full\" count=7 name=true");
    }

    /// The journal's side is proven in a booted system; here only that the relay's call sites get through to a
    /// subscriber of their own while another one is the thread's, and nothing else does.
    #[test]
    fn only_the_relay_gets_through() {
        type Entry = (Level, Vec<&'static str>);
        #[derive(Clone, Default)]
        struct Seen(std::sync::Arc<std::sync::Mutex<Vec<Entry>>>);
        impl<S: Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
                struct Names(Vec<&'static str>);
                impl tracing::field::Visit for Names {
                    fn record_debug(&mut self, field: &tracing::field::Field, _: &dyn std::fmt::Debug) {
                        self.0.push(field.name());
                    }
                }
                let mut names = Names(Vec::new());
                event.record(&mut names);
                self.0.lock().unwrap().push((*event.metadata().level(), names.0));
            }
        }
        // A global level must be open for the levels that are relayed: in the process the queue's is.
        let outer = tracing_subscriber::registry().with(LevelFilter::INFO);
        let seen = Seen::default();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(OnlyRelayed).with(seen.clone()));
        tracing::subscriber::with_default(outer, || {
            let mut journal = Journal { dispatch: dispatch.clone() };
            journal.put(&record(vec![("reason", Value::Text("refused".to_owned()))])).unwrap();
            tracing::dispatcher::with_default(&dispatch, || tracing::error!("not the relay's"));
        });
        assert_eq!(*seen.0.lock().unwrap(), [(Level::WARN, vec!["message", "reason", "module"])]);
    }
}
