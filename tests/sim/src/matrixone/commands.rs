//! What a client says once it is logged in.

use std::io;

use super::cluster::{Release, Spoiled};
use super::handshake::SeenLogin;
use super::mode::{LoginFault, MatrixoneMode, SqlError};
use super::packet::Gone;
use super::query::{About, Answer, altered, answer, emptied, is_setup, ok, payloads};
use super::session::{Line, Session, drain};

const QUIT: u8 = 0x01;
const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;
const RESET_CONNECTION: u8 = 0x1f;

/// Much longer than any command of a client's of ours.
const LONGEST: usize = 1 << 20;
/// What [`MatrixoneMode::LocalInfile`] asks for.
const WANTED_FILE: &str = "/etc/hostname";

/// Answers commands until the client leaves.
pub(super) async fn serve(session: &Session, line: &mut Line, login: SeenLogin) -> io::Result<()> {
    // What both sides know; some clients take what they asked for as given.
    let capabilities = login.capabilities & super::handshake::CAPABILITIES;
    let mut database = login.database.clone();
    loop {
        let command = match line.read(LONGEST).await {
            Ok(command) => command,
            Err(Gone::TooLong) => {
                let peer = std::net::Ipv4Addr::LOCALHOST.into();
                return line.write(&[LoginFault::PacketTooBig.error("", peer).payload()]).await;
            }
            Err(Gone::Closed | Gone::Broken | Gone::Late) => return Ok(()),
        };
        let (code, argument) = command.split_first().map_or((0, &[][..]), |(code, rest)| (*code, rest));
        let argument = String::from_utf8_lossy(argument);
        match (code, &*session.mode) {
            (QUIT, _) => {
                session.shared.count(|counts| counts.quits += 1);
                if session.setup.release() == Release::V2 {
                    // It leaves the end to the client.
                    drain(&mut line.stream).await;
                }
                return Ok(());
            }
            (PING | QUERY, MatrixoneMode::StallQuery) => {
                count(session, code, &argument);
                drain(&mut line.stream).await;
                return Ok(());
            }
            (PING | QUERY, MatrixoneMode::HangUpOnQuery) => {
                count(session, code, &argument);
                return Ok(());
            }
            _ => {}
        }
        count(session, code, &argument);
        match code {
            PING | RESET_CONNECTION => line.write(&[ok(0)]).await?,
            INIT_DB => {
                database = Some(argument.into_owned());
                line.write(&[ok(0)]).await?;
            }
            QUERY => {
                let about =
                    About { setup: &session.setup, user: &login.user, id: session.id, database: database.as_deref() };
                query(session, line, &argument, &about, capabilities).await?;
            }
            _ => line.write(&[SqlError::new(1047, "08S01", "Unknown command").payload()]).await?,
        }
    }
}

fn count(session: &Session, code: u8, argument: &str) {
    match code {
        PING => session.shared.count(|counts| counts.pings += 1),
        QUERY => session.shared.saw_statement(argument),
        _ => {}
    }
}

async fn query(session: &Session, line: &mut Line, sql: &str, about: &About<'_>, capabilities: u32) -> io::Result<()> {
    let spoiled = match &*session.mode {
        MatrixoneMode::Cluster(fault) => fault.statement(sql),
        _ => None,
    };
    let result = match spoiled {
        None => answer(sql, about),
        Some(Spoiled::Error(error)) => return line.write(&[error.payload()]).await,
        Some(Spoiled::Unanswered) => {
            drain(&mut line.stream).await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    };
    let result = match &*session.mode {
        _ if is_setup(sql) => result,
        MatrixoneMode::QueryError(error) => Answer::Error(error.clone()),
        MatrixoneMode::EmptyResult => emptied(result),
        MatrixoneMode::OtherValue => altered(result),
        MatrixoneMode::LocalInfile => return ask_for_file(session, line).await,
        _ => result,
    };
    line.write(&payloads(&result, capabilities)).await
}

/// Asks for a file, which comes in packets up to an empty one.
async fn ask_for_file(session: &Session, line: &mut Line) -> io::Result<()> {
    let mut request = vec![0xfb];
    request.extend(WANTED_FILE.as_bytes());
    line.write(&[request]).await?;
    loop {
        match line.read(LONGEST).await {
            Ok(piece) if piece.is_empty() => return line.write(&[ok(0)]).await,
            // A next command instead of a file: the client doesn't do this at all.
            Ok(piece) if matches!(piece.as_slice(), [QUIT | PING]) => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Ok(_) => session.shared.count(|counts| counts.file_pieces += 1),
            Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
