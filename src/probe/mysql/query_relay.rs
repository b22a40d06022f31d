//! The second half of the login relay: one statement on its way to a server, and the one result that it may have.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::errors::{ServerError, Stage};
use super::greeting::LARGEST;
use super::login_fault::{FAREWELL, FaultKind, LoginFault, OK};
use super::packet::Packets;
use crate::model::Secret;
use crate::probe::dial::Stream;
use crate::probe::faults::{local, misconfigured, protocol};
use crate::probe::secret_guard::LoginResult;

/// The longest packet of an answer. mysql_async takes no longer one either.
const MOST_ANSWER: usize = LARGEST as usize - 1;
/// The most bytes of an answer, and the most columns: mysql_async keeps the columns and the first row, and asks for
/// memory as the number of columns says.
const MOST_BYTES: usize = 1 << 20;
const MOST_COLUMNS: usize = 1024;

const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];

/// Relays one statement and the one result that it may have; no message repeats the secret or a literal. Returns how
/// long the server took.
pub(super) async fn relay(
    server: &mut Packets<impl Stream>,
    to_driver: &mut Packets<UnixStream>,
    sql: &str,
    secret: Option<&Secret>,
    stage: Stage,
) -> Result<Duration, LoginFault> {
    let command = to_driver.read(MOST_ANSWER).await?.payload_at(0)?;
    if command.strip_prefix(&[3]) != Some(sql.as_bytes()) {
        return Err(local("mysql_async asks something else than it was told to").into());
    }
    let started = Instant::now();
    server.write(0, &command).await?;
    let mut answer = QueryReply { server, sql, secret, stage, number: 0, bytes_left: MOST_BYTES };
    let first = answer.next_packet().await?;
    match &*first {
        [0x00, ..] => to_driver.write(answer.number, &OK).await?,
        [0xfb, ..] => {
            // The empty packet is how a client declines.
            let number = answer.number.wrapping_add(1);
            if answer.server.write(number, &[]).await.is_ok() {
                let _ = timeout(FAREWELL, answer.server.read(MOST_ANSWER)).await;
            }
            return Err(protocol("the server asked for a file of this host (LOCAL INFILE) and got none").into());
        }
        _ => {
            let columns = column_count(&first).ok_or_else(|| protocol("expected a number of columns"))?;
            to_driver.write(answer.number, &first).await?;
            for _ in 0..columns {
                let column = answer.next_packet().await?;
                if !column.starts_with(b"\x03def") {
                    return Err(protocol("expected the description of a column").into());
                }
                to_driver.write(answer.number, &column).await?;
            }
            let end = answer.next_packet().await?;
            if !is_eof(&end) {
                return Err(protocol("expected the end of the columns").into());
            }
            to_driver.write(answer.number, &EOF).await?;
            let mut row = answer.next_packet().await?;
            while !is_eof(&row) {
                to_driver.write(answer.number, &row).await?;
                row = answer.next_packet().await?;
            }
            // Said anew: no further result follows, whatever the server's flags say.
            to_driver.write(answer.number, &EOF).await?;
        }
    }
    let took = started.elapsed();
    // Nothing more comes: should mysql_async wait for it, it sees the end.
    let _ = to_driver.stream_mut().shutdown().await;
    Ok(took)
}

/// The packets of an answer, in order and bounded.
struct QueryReply<'a, S> {
    server: &'a mut Packets<S>,
    sql: &'a str,
    secret: Option<&'a Secret>,
    stage: Stage,
    number: u8,
    bytes_left: usize,
}

impl<S: Stream> QueryReply<'_, S> {
    async fn next_packet(&mut self) -> Result<Bytes, LoginFault> {
        let packet = self.server.read(MOST_ANSWER).await?;
        if packet.is_error() {
            let error = ServerError::parse(&packet.payload).ok_or_else(|| protocol("an error without a number"))?;
            // Only that its time is over: a statement may be denied something for other reasons than the password.
            let kind = match error.verdict_on_secret() {
                Some(word @ LoginResult::Closed) => FaultKind::SecretRefused(word),
                _ => FaultKind::MayPass,
            };
            let error = error.without_secret(self.secret).without_literals(self.sql);
            return Err(LoginFault { failure: error.failure(self.stage), kind });
        }
        self.number = self.number.wrapping_add(1);
        let payload = packet.payload_at(self.number)?;
        let Some(bytes_left) = self.bytes_left.checked_sub(payload.len() + 4).filter(|_| !payload.is_empty()) else {
            let most = MOST_BYTES >> 20;
            let detail =
                format_args!("the statement's result is larger than {most} MiB: a probe should ask for one row");
            return Err(misconfigured(detail).into());
        };
        self.bytes_left = bytes_left;
        Ok(payload)
    }
}

fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&0xfe) && payload.len() < 9
}

/// The number of columns, where that is all a packet says.
fn column_count(payload: &[u8]) -> Option<usize> {
    let count = match *payload {
        [count @ 1..=250] => usize::from(count),
        [0xfc, low, high] => usize::from(u16::from_le_bytes([low, high])),
        _ => return None,
    };
    (1..=MOST_COLUMNS).contains(&count).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_of_columns_is_one() {
        assert_eq!(column_count(&[1]), Some(1));
        assert_eq!(column_count(&[0xfc, 0, 4]), Some(1024));
        let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for bad in [&[][..], &[0], &[251], &[1, 2], &[0xfc, 0, 0], &[0xfc, 1, 4], &[0xfc, 1], &[0xfd, 1, 0, 0], &huge] {
            assert_eq!(column_count(bad), None, "{bad:?}");
        }
    }
}
