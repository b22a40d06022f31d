//! What happened: kept for status, and told to the log. The one place where events become log lines.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{Event, EventClass, EventKind, EventMaker, Severity, TargetKey, Zone};
use crate::sys::event_queue::EventReceiver;
use crate::sys::log_queue::PROVOKED;

/// The latest events, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventLog {
    events: VecDeque<Arc<Event>>,
}

impl EventLog {
    /// How many are kept.
    pub const CAPACITY: usize = 256;

    /// Adds the latest; the oldest makes room. Each maker has a share that the others can't displace: who has more than
    /// his makes room, the noisiest first.
    pub fn push(&mut self, event: Arc<Event>) {
        self.events.push_back(event);
        if self.events.len() > Self::CAPACITY {
            let made_by =
                |maker| self.events.iter().enumerate().filter(move |(_, event)| event.kind.class().maker == maker);
            let over = EventMaker::NOISIEST_FIRST.into_iter().find(|maker| made_by(*maker).count() > maker.share());
            let oldest = over.and_then(|maker| made_by(maker).next()).map_or(0, |(at, _)| at);
            self.events.remove(oldest);
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter().map(AsRef::as_ref)
    }
}

/// Takes events until the token is cancelled or every sender is gone; what is queued by then is still taken.
pub async fn run(mut rx: EventReceiver, log: watch::Sender<Arc<EventLog>>, token: CancellationToken) {
    const BATCH: usize = 64;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            // Stop taking new ones; the queued ones still come out below.
            () = token.cancelled(), if !rx.queue.is_closed() => rx.queue.close(),
            taken = rx.queue.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    return;
                }
                match rx.take_lost() {
                    0 => {}
                    lost => tracing::warn!(lost, "{lost} events were lost: more came at once than could wait"),
                }
                batch.iter().for_each(tell);
                log.send_modify(|log| {
                    let log = Arc::make_mut(log);
                    batch.drain(..).for_each(|event| log.push(Arc::new(event)));
                });
            }
        }
    }
}

/// What a log line carries beside its sentence.
#[derive(Debug, Default, PartialEq)]
struct Fields<'a> {
    event: &'static str,
    target: Option<&'a TargetKey>,
    endpoint: Option<&'a str>,
    zone: Option<&'a Zone>,
    name: Option<&'a str>,
    check: Option<&'static str>,
    reason: Option<&'static str>,
}

fn fields(kind: &EventKind) -> Fields<'_> {
    let plain = Fields { event: kind.class().label, ..Fields::default() };
    match kind {
        EventKind::EdgeBegan { target, check, failure } | EventKind::TargetDown { target, check, failure } => {
            Fields { target: Some(target), check: Some(check.label()), reason: Some(failure.reason.label()), ..plain }
        }
        EventKind::TargetUp { target, check, .. }
        | EventKind::TargetSlow { target, check, .. }
        | EventKind::TargetSlowOver { target, check } => {
            Fields { target: Some(target), check: Some(check.label()), ..plain }
        }
        EventKind::AnswerChanged { name, reason, .. } | EventKind::ReasonChanged { name, to: reason, .. } => {
            Fields { name: Some(name.as_str()), reason: Some(reason.label()), ..plain }
        }
        EventKind::FormerKept { name } | EventKind::NameWithdrawn { name, .. } | EventKind::Outage { name, .. } => {
            Fields { name: Some(name.as_str()), ..plain }
        }
        EventKind::CloudStatus { endpoint, zone, .. } => {
            Fields { endpoint: Some(endpoint.as_str()), zone: zone.as_ref(), ..plain }
        }
        EventKind::GonePutOff { endpoint }
        | EventKind::SourceStale { endpoint, .. }
        | EventKind::SourceFresh { endpoint, .. }
        | EventKind::EndpointNotFound { endpoint, .. }
        | EventKind::LeftOut { endpoint, .. }
        | EventKind::EndpointGone { endpoint } => Fields { endpoint: Some(endpoint.as_str()), ..plain },
        // About the agent as a whole.
        _ => plain,
    }
}

impl EventMaker {
    const NOISIEST_FIRST: [Self; 3] = [Self::Outsider, Self::Change, Self::Us];

    /// How many of the latest events are kept in any case. The shares make up the whole.
    const fn share(self) -> usize {
        const OF_OTHERS: usize = EventLog::CAPACITY * 3 / 8;
        match self {
            Self::Outsider | Self::Change => OF_OTHERS,
            Self::Us => EventLog::CAPACITY - 2 * OF_OTHERS,
        }
    }
}

/// One log line an event.
fn tell(event: &Event) {
    let Event { at: _, kind } = event;
    let EventClass { label: _, maker, severity } = kind.class();
    let Fields { event, target, endpoint, zone, name, check, reason } = fields(kind);
    let endpoint = endpoint.or(target.map(|t| t.endpoint.as_str()));
    let zone = zone.or(target.map(|t| &t.zone)).map(ToString::to_string);
    let address = target.map(|t| t.address.to_string());
    let (zone, address) = (zone.as_deref(), address.as_deref());
    macro_rules! line {
        ($level:ident) => {
            match maker {
                EventMaker::Outsider | EventMaker::Change => {
                    tracing::$level!(target: PROVOKED, event, endpoint, zone, address, name, check, reason, "{kind}")
                }
                EventMaker::Us => tracing::$level!(event, endpoint, zone, address, name, check, reason, "{kind}"),
            }
        };
    }
    match severity {
        Severity::Info => line!(info),
        Severity::Warning => line!(warn),
        Severity::Error => line!(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::model::LogLevel;
    use crate::model::{
        AnswerReason, Check, Failure, FailureReason, HostName, IdentityPart, Now, Outage, SourceKind, Wall, Withdrawal,
    };
    use crate::sys::event_queue;
    use crate::sys::log_queue::{Lines, LogQueue, Style};

    fn target() -> TargetKey {
        TargetKey {
            endpoint: "orders".parse().unwrap(),
            zone: "cn-hangzhou-h".to_owned().try_into().unwrap(),
            address: "10.0.1.15".parse().unwrap(),
        }
    }

    fn kinds() -> Vec<EventKind> {
        let failure = Failure::new(FailureReason::Refused, "connection refused");
        let (endpoint, source) = (target().endpoint, SourceKind::Fixed);
        let name: HostName = "a.example".parse().unwrap();
        let reason = AnswerReason::Healthy;
        let (error, publisher) = ("disk full".to_owned(), "hosts");
        vec![
            EventKind::Started { version: "0.1.0" },
            EventKind::Stopping,
            EventKind::EdgeBegan { target: target(), check: Check::Path, failure: failure.clone() },
            EventKind::TargetDown { target: target(), check: Check::Path, failure },
            EventKind::TargetUp { target: target(), check: Check::Path, recovered: true },
            EventKind::TargetSlow {
                target: target(),
                check: Check::Path,
                median: Duration::from_millis(1500),
                beside: Duration::from_millis(2),
            },
            EventKind::TargetSlowOver { target: target(), check: Check::Path },
            EventKind::AnswerChanged { name: name.clone(), from: vec![], to: vec![], reason, outage: None },
            EventKind::ReasonChanged { name: name.clone(), from: AnswerReason::Unprobed, to: reason, outage: None },
            EventKind::Outage {
                name: name.clone(),
                addresses: vec![target().address],
                outage: Outage { since: None, says: vec!["x".to_owned()] },
            },
            EventKind::FormerKept { name: name.clone() },
            EventKind::GonePutOff { endpoint: endpoint.clone() },
            EventKind::NameWithdrawn { name, why: Withdrawal::Removed },
            EventKind::SourceStale { endpoint: endpoint.clone(), source, error: error.clone() },
            EventKind::SourceFresh { endpoint, source },
            EventKind::CacheLoaded { names: 1 },
            EventKind::CacheForeign { part: IdentityPart::VpcId },
            EventKind::CacheUnusable { error: error.clone() },
            EventKind::CloudStatus {
                endpoint: target().endpoint,
                zone: Some(target().zone),
                status: "Migrating".to_owned(),
                trouble: Some("the provider moves the zone to another resource"),
            },
            EventKind::EndpointNotFound { endpoint: target().endpoint, source },
            EventKind::LeftOut { endpoint: target().endpoint, source, what: "x".to_owned() },
            EventKind::EndpointGone { endpoint: target().endpoint },
            EventKind::NotLocked { what: "agent.lock: can't be locked: x".to_owned() },
            EventKind::NotWatched { what: "x can't be watched".to_owned() },
            EventKind::StateNotSaved { error: error.clone() },
            EventKind::StateSaved,
            EventKind::Published { publisher, names: 1 },
            EventKind::PublishFailed { publisher, error: error.clone() },
            EventKind::PublishConflict { publisher },
            EventKind::FileMended { publisher, what: "x".to_owned() },
            EventKind::ConfigLoaded { endpoints: 1 },
            EventKind::ConfigRefused { complaints: 1, first: "x".to_owned() },
            EventKind::SecretsRenewed { endpoints: 1 },
            EventKind::SecretRefused { error: error.clone() },
            EventKind::ConfigRecalled { accepted: Wall(0), without: vec!["x".to_owned()] },
            EventKind::ListenerFailed { listener: "status.sock".to_owned(), error },
            EventKind::ListenerBack { listener: "status.sock".to_owned() },
        ]
    }

    #[test]
    fn labels_are_the_serialised_tags() {
        for kind in kinds() {
            assert_eq!(serde_json::to_value(&kind).unwrap()["event"], kind.class().label);
        }
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut log = EventLog::default();
        let event = |names| Arc::new(Event { at: Now::default(), kind: EventKind::CacheLoaded { names } });
        (0..300).for_each(|n| log.push(event(n)));
        assert_eq!(log.iter().count(), EventLog::CAPACITY);
        assert_eq!(log.iter().next().unwrap().kind, EventKind::CacheLoaded { names: 300 - EventLog::CAPACITY });
    }

    #[test]
    fn a_name_of_which_nothing_answers_any_more_is_an_error() {
        let outage = || Some(Outage { since: Some(Wall(0)), says: vec!["10.0.0.1 in h: path check: x".to_owned()] });
        let (name, to) = ("a.example".parse::<HostName>().unwrap(), AnswerReason::AllDownKept);
        let stays = |outage| EventKind::ReasonChanged { name: name.clone(), from: AnswerReason::Healthy, to, outage };
        assert_eq!((stays(None).class().severity, stays(outage()).class().severity), (Severity::Info, Severity::Error));
        assert_eq!(
            stays(outage()).to_string(),
            "a.example: addresses stay, healthy -> all_down_kept; since 1970-01-01T00:00:00Z; \
             10.0.0.1 in h: path check: x"
        );
        let address = "10.0.0.1".parse().unwrap();
        let first = EventKind::AnswerChanged {
            name: name.clone(),
            from: vec![],
            to: vec![address],
            reason: to,
            outage: outage(),
        };
        assert_eq!(first.class().severity, Severity::Error);
        let still = EventKind::Outage { name, addresses: vec![address], outage: outage().unwrap() };
        assert_eq!(still.class().severity, Severity::Error);
        assert_eq!(
            still.to_string(),
            "a.example: nothing answers as it should, stays on 10.0.0.1; since 1970-01-01T00:00:00Z; \
             10.0.0.1 in h: path check: x"
        );
    }

    fn maker(kind: &EventKind) -> EventMaker {
        kind.class().maker
    }

    fn edge() -> EventKind {
        let failure = Failure::new(FailureReason::Refused, "connection refused");
        EventKind::EdgeBegan { target: target(), check: Check::Path, failure }
    }

    fn change() -> EventKind {
        EventKind::TargetUp { target: target(), check: Check::Path, recovered: true }
    }

    #[test]
    fn a_flood_of_one_maker_displaces_no_share_of_another() {
        assert_eq!(EventMaker::NOISIEST_FIRST.map(EventMaker::share).into_iter().sum::<usize>(), EventLog::CAPACITY);
        let kinds = [edge(), change(), EventKind::CacheLoaded { names: 1 }];
        assert_eq!(kinds.each_ref().map(maker), EventMaker::NOISIEST_FIRST);
        for flood in &kinds {
            let mut log = EventLog::default();
            let mut push = |kind: &EventKind, times| {
                (0..times).for_each(|_| log.push(Arc::new(Event { at: Now::default(), kind: kind.clone() })));
            };
            kinds.iter().for_each(|kind| push(kind, maker(kind).share()));
            push(flood, 10_000);
            for kind in &kinds {
                let kept = log.iter().filter(|event| event.kind == *kind).count();
                assert_eq!(kept, maker(kind).share(), "{kind:?} in a flood of {flood:?}");
            }
        }
    }

    #[test]
    fn the_oldest_of_the_flood_goes_first() {
        let mut log = EventLog::default();
        let event = |kind| Arc::new(Event { at: Now::default(), kind });
        let ours = EventLog::CAPACITY / 2;
        (0..ours).for_each(|names| log.push(event(EventKind::CacheLoaded { names })));
        (0..10_000).for_each(|_| log.push(event(edge())));
        let kept: Vec<_> = log.iter().filter(|e| maker(&e.kind) == EventMaker::Us).map(|e| e.kind.clone()).collect();
        assert_eq!(kept, (0..ours).map(|names| EventKind::CacheLoaded { names }).collect::<Vec<_>>());
        assert_eq!(log.iter().count(), EventLog::CAPACITY);
    }

    /// A sink that a test can read.
    #[derive(Clone, Default)]
    struct Buffer(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn queued_events_are_kept_and_told_even_at_the_end() {
        let sink = Buffer::default();
        let (queue, layer) =
            LogQueue::start(LogLevel::Info, Lines { style: Style::Journal, to: sink.clone() }).unwrap();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let (tx, rx) = event_queue::queue();
        let (log, seen) = watch::channel(Arc::default());
        for kind in kinds() {
            tx.tell(Now::default(), kind);
        }
        let token = CancellationToken::new();
        token.cancel();
        run(rx, log, token).await;

        assert_eq!(seen.borrow().iter().map(|e| &e.kind).collect::<Vec<_>>(), kinds().iter().collect::<Vec<_>>());
        assert!(queue.flush(Duration::from_secs(60)));
        let lines = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.lines().count(), kinds().len());
        let down = lines.lines().find(|l| l.contains("event=target_down")).unwrap();
        let fields = "event=target_down endpoint=orders zone=cn-hangzhou-h address=10.0.1.15 check=path reason=refused";
        assert!(down.starts_with("<4>orders/cn-hangzhou-h/10.0.1.15: down") && down.ends_with(fields), "{down}");
    }
}
