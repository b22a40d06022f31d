//! What became of a plan: follows `receipt.json` and reads sense into it.

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::handover;
use super::life_file::LifeFile;
use super::publisher::HostsPublisher;
use crate::model::{EventKind, Notice, Receipt, Receipts, Verdict};
use crate::publish::Publisher as _;
use crate::publish::file_watcher::FileWatcher;
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::tell_once::TellOnce;

/// Follows the hosts writer's receipts.
#[derive(Debug)]
pub struct ReceiptFollower {
    run_dir: PathBuf,
    clock: Clock,
    known: Option<Receipt>,
    /// What the writer left last.
    sign: Option<LifeFile>,
}

impl ReceiptFollower {
    /// Reads the receipt that is there already: what it tells happened before us and is no event. So in one process
    /// with the writer, make it before the writer starts. `run_dir` is the writer's and may come later.
    pub async fn new(run_dir: PathBuf, clock: Clock) -> Self {
        let mut this = Self { run_dir, clock, known: None, sign: None };
        this.known = this.look().await.1.ok().flatten();
        this
    }

    /// Puts every new receipt and every sign of life into `receipts`, and what receipts tell into `events`, until
    /// cancelled. A receipt that can't be read leaves the last one in force, and is told once.
    pub async fn run(mut self, receipts: watch::Sender<Receipts>, events: EventSender, token: CancellationToken) {
        let mut watcher = FileWatcher::new(vec![handover::receipt_path(&self.run_dir)]).await;
        let (mut told, mut unwatched) = (TellOnce::default(), TellOnce::default());
        // The one that is there already may be a dead writer's: it has as long as any to show life.
        receipts.send_modify(|receipts| {
            let hosts = receipts.state_mut(HostsPublisher::NAME);
            hosts.receipt.clone_from(&self.known);
            hosts.alive = Some(self.clock.now().boottime);
        });
        loop {
            let (sign, read) = self.look().await;
            self.heed(sign, &receipts);
            let (kinds, error) = match read {
                Ok(new) => (self.accept(new, &receipts), None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let failed = told.new_fault(error);
            let failed = failed.map(|error| EventKind::PublishFailed { publisher: HostsPublisher::NAME, error });
            let unwatched = unwatched.new_fault(watcher.fault());
            let unwatched = unwatched.map(|why| EventKind::NotWatched {
                what: format!("the folder of the hosts writer's receipt can't be watched: {why}"),
            });
            kinds.into_iter().chain(failed).chain(unwatched).for_each(|kind| events.tell(self.clock.now(), kind));
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                _ = watcher.changed() => {}
            }
        }
    }

    fn accept(&mut self, new: Option<Receipt>, receipts: &watch::Sender<Receipts>) -> Vec<EventKind> {
        // A missing receipt is no news.
        let Some(new) = new.filter(|new| self.known.as_ref() != Some(new)) else { return Vec::new() };
        let kinds = receipt_events(self.known.as_ref(), &new);
        receipts.send_modify(|receipts| receipts.state_mut(HostsPublisher::NAME).receipt = Some(new.clone()));
        self.known = Some(new);
        kinds
    }

    /// Whatever changed of the file, the writer did it: no other user may write in its folder.
    fn heed(&mut self, sign: Option<LifeFile>, receipts: &watch::Sender<Receipts>) {
        if let Some(sign) = sign.filter(|sign| self.sign != Some(*sign)) {
            self.sign = Some(sign);
            let now = self.clock.now().boottime;
            receipts.send_modify(|receipts| receipts.state_mut(HostsPublisher::NAME).alive = Some(now));
        }
    }

    async fn look(&self) -> (Option<LifeFile>, Result<Option<Receipt>, String>) {
        let dir = self.run_dir.clone();
        let look = move || {
            let sign = LifeFile::read(&handover::receipt_path(&dir));
            (sign, handover::read_receipt(&dir).map_err(|e| e.to_string()))
        };
        spawn_blocking(look).await.unwrap_or_else(|e| (None, Err(e.to_string())))
    }
}

/// What happened between two receipts of the hosts writer.
#[must_use]
pub fn receipt_events(old: Option<&Receipt>, new: &Receipt) -> Vec<EventKind> {
    let publisher = HostsPublisher::NAME;
    // Fewer than before: the writer has started anew since.
    let before = old.map(|o| o.writes).filter(|before| *before <= new.writes).unwrap_or(0);
    let mut events = Vec::new();
    if new.writes > before && new.removed.is_none() {
        let in_force = |v: &&Verdict| !matches!(v, Verdict::Pending | Verdict::Refused | Verdict::UnsupportedMetadata);
        events.push(EventKind::Published { publisher, names: new.names.values().filter(in_force).count() });
    }
    let said = |r: &Receipt| (r.error, r.error_detail.clone());
    if let (Some(kind), detail) = said(new)
        && old.map(said) != Some(said(new))
    {
        let error = detail.unwrap_or_else(|| format!("{kind:?}"));
        events.push(EventKind::PublishFailed { publisher, error });
    }
    if new.in_conflict && !old.is_some_and(|o| o.in_conflict) {
        events.push(EventKind::PublishConflict { publisher });
    }
    let known = |notice: &&Notice| !old.is_some_and(|o| o.notices.contains(notice));
    let news = new.notices.iter().filter(known);
    events.extend(news.map(|notice| EventKind::FileMended { publisher, what: notice.what.clone() }));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PublishErrorKind, Wall};

    fn receipt() -> Receipt {
        let names = [("a.x".parse().unwrap(), Verdict::Published)].into();
        Receipt { names, changed: true, writes: 1, ..Receipt::default() }
    }

    #[test]
    fn what_happened_is_told_once() {
        let publisher = "hosts";
        let first = receipt();
        assert_eq!(receipt_events(None, &first), [EventKind::Published { publisher, names: 1 }]);
        assert_eq!(receipt_events(Some(&first), &first), []);
        let failing = Receipt {
            error: Some(PublishErrorKind::Io),
            error_detail: Some("disk".into()),
            failed_writes: 1,
            ..first.clone()
        };
        let again = Receipt { failed_writes: 2, ..failing.clone() };
        let failed = EventKind::PublishFailed { publisher, error: "disk".into() };
        assert_eq!(receipt_events(Some(&first), &failing), [failed]);
        assert_eq!(receipt_events(Some(&failing), &again), []);
        let notice = |at| Notice { at: Wall(at), what: "mended".to_owned() };
        let mended = Receipt { notices: vec![notice(1)], ..first.clone() };
        let again = Receipt { notices: vec![notice(1), notice(2)], ..first.clone() };
        let told = EventKind::FileMended { publisher, what: "mended".to_owned() };
        assert_eq!(receipt_events(Some(&first), &mended), std::slice::from_ref(&told));
        assert_eq!(receipt_events(Some(&mended), &mended), []);
        assert_eq!(receipt_events(Some(&mended), &again), [told]);
        let conflict = Receipt { in_conflict: true, writes: 2, ..first.clone() };
        let told = receipt_events(Some(&first), &conflict);
        assert!(told.contains(&EventKind::PublishConflict { publisher }) && told.len() == 2);
        assert_eq!(
            receipt_events(Some(&Receipt { writes: 9, ..first.clone() }), &first).len(),
            1,
            "the writer restarted"
        );
    }
}
