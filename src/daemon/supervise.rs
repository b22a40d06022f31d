//! One token, one set of tasks: what ends without being told to is a fault.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A stage that ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {error}")]
pub struct Fault {
    /// Which.
    pub stage: &'static str,
    /// How.
    pub error: String,
}

/// Holds the stages.
pub(crate) struct Supervisor {
    token: CancellationToken,
    stages: JoinSet<Result<(), Fault>>,
}

impl Supervisor {
    /// None yet.
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self { token, stages: JoinSet::new() }
    }

    /// The one token of all.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a stage that can only be cancelled.
    pub(crate) fn add(&mut self, stage: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.add_fallible(stage, async move {
            work.await;
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// Starts a stage that can find itself at fault.
    pub(crate) fn add_fallible<E: std::fmt::Display>(
        &mut self,
        stage: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let token = self.token.clone();
        self.stages.spawn(async move {
            match work.await {
                Err(e) => Err(Fault { stage, error: e.to_string() }),
                Ok(()) if token.is_cancelled() => Ok(()),
                Ok(()) => Err(Fault { stage, error: "ended without being told to".to_owned() }),
            }
        });
    }

    /// Waits for the stop, or for a fault; then for all stages, `drain` at most. What is left is dropped.
    pub(crate) async fn run(mut self, drain: Duration) -> Result<(), Fault> {
        let mut result = Ok(());
        while !self.token.is_cancelled() {
            tokio::select! {
                () = self.token.cancelled() => {}
                ended = self.stages.join_next() => result = ended.map_or(Ok(()), flatten),
            }
            if result.is_err() {
                self.token.cancel();
            }
        }
        let rest = async {
            while let Some(ended) = self.stages.join_next().await {
                result = std::mem::replace(&mut result, Ok(())).and(flatten(ended));
            }
        };
        // What did not end in time ends with the process; the hosts file is whole at every instant (B9).
        let _ = tokio::time::timeout(drain, rest).await;
        result
    }
}

fn flatten(ended: Result<Result<(), Fault>, tokio::task::JoinError>) -> Result<(), Fault> {
    ended.unwrap_or_else(|e| Err(Fault { stage: "a stage", error: e.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_ends_by_itself_stops_all_and_is_named() {
        let mut s = Supervisor::new(CancellationToken::new());
        let token = s.token();
        let other = token.clone();
        s.add("good", async move { other.cancelled().await });
        s.add("bad", async {});
        let fault = s.run(DRAIN).await.unwrap_err();
        assert_eq!(fault.to_string(), "bad: ended without being told to");
        assert!(token.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_does_not_end_is_left_behind() {
        let mut s = Supervisor::new(CancellationToken::new());
        s.add("stubborn", std::future::pending());
        s.token().cancel();
        assert!(s.run(DRAIN).await.is_ok());
    }

    const DRAIN: Duration = Duration::from_secs(2);
}
