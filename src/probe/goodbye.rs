//! Ends a connection as both sides should.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dial::Stream;

/// How long a goodbye may hold a verdict up: a peer that answers it is a few milliseconds away.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// Says goodbye, and hears the peer's. A socket that is closed over what the peer says last (tickets of TLS, its own
/// goodbye) answers it with a reset, which is an error in the peer's log. Waits as long as the peer does: bound it by
/// [`GRACE`].
pub(super) async fn leave(stream: &mut impl Stream) -> io::Result<()> {
    stream.shutdown().await?;
    // Whatever comes is not for us any more.
    let mut last = [0; 512];
    while stream.read(&mut last).await? > 0 {}
    Ok(())
}
