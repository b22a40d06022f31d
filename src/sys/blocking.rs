//! Work that blocks, beside tasks that must not.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// Does it on a thread for such work, and gives what came of it. A panic in it goes on in the task that waits.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // Only a runtime that ends drops such work, and the task that waits along with it.
        Err(Err(_dropped)) => std::future::pending().await,
    }
}
