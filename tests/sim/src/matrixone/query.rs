//! The few statements that clients and probes send, and their results. No SQL engine: anything else is a syntax error.

use super::accounts::MatrixoneSetup;
use super::handshake::{CHARSET, DEPRECATE_EOF, STATUS};
use super::mode::SqlError;
use super::packet::{counted, number};

/// What a statement comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done, nothing to show.
    Done,
    /// Rows.
    Rows { columns: Vec<Column>, rows: Vec<Vec<Option<String>>> },
    /// An error.
    Error(SqlError),
}

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null = 6,
    Integer = 8,
    Text = 253,
}

/// What a session knows of itself.
pub(super) struct About<'a> {
    pub(super) setup: &'a MatrixoneSetup,
    pub(super) user: &'a str,
    pub(super) id: u32,
    pub(super) database: Option<&'a str>,
}

/// Databases that every account has, and the one of [`TABLE`].
const DATABASES: [&str; 7] = ["information_schema", "mo_catalog", "mysql", "probe", "system", "system_metrics", "test"];
/// The one table, of one row: database, table, column, value.
const TABLE: (&str, &str, &str, &str) = ("probe", "alive", "ok", "1");

/// Whether a statement is one that drivers send on their own, to set up a session.
pub(super) fn is_setup(sql: &str) -> bool {
    let sql = sql.trim_start().to_ascii_lowercase();
    sql.starts_with("set ") || (sql.starts_with("select") && sql.contains("@@"))
}

/// Answers a statement.
pub(super) fn answer(sql: &str, about: &About<'_>) -> Answer {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let (verb, rest) = sql.split_once(char::is_whitespace).unwrap_or((sql, ""));
    match verb.to_ascii_lowercase().as_str() {
        "select" => select(rest, about),
        "set" if !rest.is_empty() => Answer::Done,
        "use" if !rest.is_empty() => Answer::Done,
        "begin" | "commit" | "rollback" if rest.is_empty() => Answer::Done,
        "start" if rest.trim().eq_ignore_ascii_case("transaction") => Answer::Done,
        "show" => show(rest),
        _ => syntax_error(sql),
    }
    .or_error(sql)
}

impl Answer {
    /// A statement that nobody understood has no columns.
    fn or_error(self, sql: &str) -> Self {
        match self {
            Self::Rows { columns, .. } if columns.is_empty() => syntax_error(sql),
            other => other,
        }
    }
}

fn syntax_error(sql: &str) -> Answer {
    let near: String = sql.chars().take(40).collect();
    let text = format!(
        "SQL parser error: You have an error in your SQL syntax; check the manual that corresponds to your MatrixOne \
         server version for the right syntax to use. syntax error at line 1 column 1 near \"{near}\";"
    );
    Answer::Error(SqlError::new(1064, "HY000", text))
}

fn show(what: &str) -> Answer {
    let text = |name: &str| Column { name: name.to_owned(), kind: Kind::Text };
    let integer = |name: &str| Column { name: name.to_owned(), kind: Kind::Integer };
    let (columns, rows) = match what.trim().to_ascii_lowercase().as_str() {
        "databases" | "schemas" => {
            (vec![text("Database")], DATABASES.iter().map(|name| vec![Some((*name).to_owned())]).collect())
        }
        "warnings" => (vec![text("Level"), integer("Code"), text("Message")], Vec::new()),
        _ => return NOT_UNDERSTOOD,
    };
    Answer::Rows { columns, rows }
}

fn select(list: &str, about: &About<'_>) -> Answer {
    let list = without_tail(list);
    let (list, table) = split_table(list);
    if let Some(error) = table.and_then(|table| lacks(table, about)) {
        return Answer::Error(error);
    }
    let (mut columns, mut row) = (Vec::new(), Vec::new());
    for item in items(list) {
        let (expression, alias) = named(&item);
        let (_, _, column, cell) = TABLE;
        let found = match expression {
            "*" | "ok" if table.is_some() => Some((Kind::Integer, Some(cell.to_owned()))),
            _ => value(expression, about),
        };
        match found {
            Some((kind, value)) => {
                let name = if expression == "*" { column } else { expression };
                columns.push(Column { name: alias.unwrap_or(name).to_owned(), kind });
                row.push(value);
            }
            None => return wrong(expression).map_or(NOT_UNDERSTOOD, Answer::Error),
        }
    }
    Answer::Rows { columns, rows: vec![row] }
}

/// A statement without columns is one that nobody understood.
const NOT_UNDERSTOOD: Answer = Answer::Rows { columns: Vec::new(), rows: Vec::new() };

/// The table that a `select` reads, if it reads one.
pub(super) fn table(sql: &str) -> Option<&str> {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let (verb, rest) = sql.split_once(char::is_whitespace)?;
    if verb.eq_ignore_ascii_case("select") { split_table(without_tail(rest)).1 } else { None }
}

/// What stands before `from`, and the name behind it.
fn split_table(list: &str) -> (&str, Option<&str>) {
    let at = list.to_ascii_lowercase().rfind(" from ").filter(|at| unquoted(list.get(at + 6..).unwrap_or_default()));
    match at.and_then(|at| Some((list.get(..at)?, list.get(at + 6..)?.trim()))) {
        Some((list, table)) if is_name(table) => (list, Some(table)),
        _ => (list, None),
    }
}

/// Letters, digits, underscores, and a point between two names.
fn is_name(text: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.split('.').count() <= 2 && text.split('.').all(plain)
}

/// The error where a table can't be read; none for the one that is there.
fn lacks(table: &str, about: &About<'_>) -> Option<SqlError> {
    let (database, name) = match table.split_once('.') {
        Some((database, name)) => (Some(database), name),
        None => (about.database, table),
    };
    match database {
        None => Some(SqlError::new(1046, "3D000", "No database selected")),
        Some(database) if (database, name) == (TABLE.0, TABLE.1) => None,
        Some(_) => Some(SqlError::new(1064, "HY000", format!("SQL parser error: table \"{name}\" does not exist"))),
    }
}

/// What is wrong with an expression, where that is not its syntax.
fn wrong(expression: &str) -> Option<SqlError> {
    let error = |code, text: String| Some(SqlError::new(code, "HY000", text));
    if let Some((function, rest)) =
        expression.split_once('(').filter(|(name, rest)| is_name(name) && rest.ends_with(')'))
    {
        let operand = rest.split_whitespace().next().unwrap_or_default();
        return match function.to_ascii_lowercase().as_str() {
            "cast" => error(20203, format!("invalid argument cast to int, bad value {operand}")),
            other => error(20105, format!("not supported: function or operator '{other}'")),
        };
    }
    let column = is_name(expression) && !expression.contains('.');
    if column { error(20301, format!("invalid input: column {expression} does not exist")) } else { None }
}

/// Without `from dual` and `limit N`, which change nothing.
fn without_tail(list: &str) -> &str {
    let lower = list.to_ascii_lowercase();
    let limit = lower.rfind(" limit ").filter(|at| {
        let count = lower.get(at + 7..).unwrap_or_default().trim();
        !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
    });
    let list = limit.and_then(|at| list.get(..at)).unwrap_or(list).trim_end();
    let end = list.len().saturating_sub(" from dual".len());
    match list.get(end..) {
        Some(tail) if tail.eq_ignore_ascii_case(" from dual") => list.get(..end).unwrap_or(list),
        _ => list,
    }
}

/// What stands between commas, those within quotes and parentheses aside.
fn items(list: &str) -> Vec<String> {
    let (mut all, mut item, mut quote, mut depth) = (Vec::new(), String::new(), None, 0_usize);
    for letter in list.chars() {
        match (quote, letter) {
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                all.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(letter);
    }
    all.push(item);
    all
}

/// An expression, and the name that `as` gives it.
fn named(item: &str) -> (&str, Option<&str>) {
    let item = item.trim();
    let at = item.to_ascii_lowercase().rfind(" as ").filter(|at| unquoted(item.get(at + 4..).unwrap_or_default()));
    match at.and_then(|at| Some((item.get(..at)?, item.get(at + 4..)?))) {
        Some((expression, alias)) => (expression.trim(), Some(alias.trim().trim_matches(['`', '"', '\'']))),
        None => (item, None),
    }
}

/// Whether a text can't be the end of a quoted one.
fn unquoted(text: &str) -> bool {
    ['\'', '"', '`'].into_iter().all(|quote| text.matches(quote).count() % 2 == 0)
}

fn value(expression: &str, about: &About<'_>) -> Option<(Kind, Option<String>)> {
    if expression.parse::<i64>().is_ok() {
        return Some((Kind::Integer, Some(expression.to_owned())));
    }
    for quote in ['\'', '"'] {
        let inner = expression.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return Some((Kind::Text, Some(inner.to_owned())));
        }
    }
    let text = |value: &str| Some((Kind::Text, Some(value.to_owned())));
    match expression.to_ascii_lowercase().as_str() {
        "null" => Some((Kind::Null, None)),
        "true" => Some((Kind::Integer, Some("1".to_owned()))),
        "false" => Some((Kind::Integer, Some("0".to_owned()))),
        "version()" => text(&about.setup.version),
        "user()" | "current_user()" | "current_user" => text(&format!("{}@localhost", about.user)),
        "database()" | "schema()" => Some((Kind::Text, about.database.map(str::to_owned))),
        "connection_id()" => Some((Kind::Integer, Some(about.id.to_string()))),
        other => variable(other.strip_prefix("@@")?, about),
    }
}

/// A system variable, without `@@`.
fn variable(name: &str, about: &About<'_>) -> Option<(Kind, Option<String>)> {
    let name = ["session.", "global.", "local."].iter().find_map(|scope| name.strip_prefix(scope)).unwrap_or(name);
    let (kind, value) = match name {
        "version" => (Kind::Text, about.setup.version.as_str()),
        "version_comment" => (Kind::Text, "MatrixOne"),
        "autocommit" => (Kind::Integer, "1"),
        "max_allowed_packet" => (Kind::Integer, "16777216"),
        "wait_timeout" | "interactive_timeout" => (Kind::Integer, "86400"),
        "net_write_timeout" => (Kind::Integer, "60"),
        "auto_increment_increment" | "lower_case_table_names" => (Kind::Integer, "1"),
        "tx_isolation" | "transaction_isolation" => (Kind::Text, "REPEATABLE-READ"),
        "tx_read_only" | "transaction_read_only" => (Kind::Integer, "0"),
        "character_set_client" | "character_set_connection" | "character_set_results" | "character_set_server" => {
            (Kind::Text, "utf8mb4")
        }
        "collation_connection" | "collation_server" => (Kind::Text, "utf8mb4_bin"),
        "sql_mode" => (Kind::Text, "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES"),
        "time_zone" => (Kind::Text, "SYSTEM"),
        "system_time_zone" => (Kind::Text, "UTC"),
        "license" => (Kind::Text, "APACHE"),
        "init_connect" => (Kind::Text, ""),
        "performance_schema" | "query_cache_size" => (Kind::Integer, "0"),
        "socket" => return Some((Kind::Text, None)),
        _ => return None,
    };
    Some((kind, Some(value.to_owned())))
}

/// The payload that says that all went well.
pub(super) fn ok(header: u8) -> Vec<u8> {
    let [low, high] = STATUS.to_le_bytes();
    vec![header, 0, 0, low, high, 0, 0]
}

fn eof() -> Vec<u8> {
    let [low, high] = STATUS.to_le_bytes();
    vec![0xfe, 0, 0, low, high]
}

/// The payloads of an answer, in the form that both sides know.
pub(super) fn payloads(answer: &Answer, capabilities: u32) -> Vec<Vec<u8>> {
    let (columns, rows) = match answer {
        Answer::Done => return vec![ok(0)],
        Answer::Error(error) => return vec![error.payload()],
        Answer::Rows { columns, rows } => (columns, rows),
    };
    let deprecate_eof = capabilities & DEPRECATE_EOF != 0;
    let mut all = vec![number(columns.len())];
    all.extend(columns.iter().map(Column::payload));
    if !deprecate_eof {
        all.push(eof());
    }
    for row in rows {
        all.push(
            row.iter().flat_map(|cell| cell.as_ref().map_or(vec![0xfb], |text| counted(text.as_bytes()))).collect(),
        );
    }
    all.push(if deprecate_eof { ok(0xfe) } else { eof() });
    all
}

impl Column {
    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        for text in ["def", "", "", "", self.name.as_str(), ""] {
            payload.extend(counted(text.as_bytes()));
        }
        let (charset, length, flags): (u16, u32, u16) = match self.kind {
            // Binary, as all that is no text.
            Kind::Integer => (63, 20, 0x0081),
            Kind::Null => (63, 0, 0x0080),
            Kind::Text => (CHARSET.into(), 1024, 0),
        };
        payload.push(0x0c);
        payload.extend(charset.to_le_bytes());
        payload.extend(length.to_le_bytes());
        payload.push(self.kind as u8);
        payload.extend(flags.to_le_bytes());
        payload.extend([0, 0, 0]);
        payload
    }
}

/// The same with no rows.
pub(super) fn emptied(answer: Answer) -> Answer {
    match answer {
        Answer::Rows { columns, .. } => Answer::Rows { columns, rows: Vec::new() },
        other => other,
    }
}

/// The same with -1 in every cell.
pub(super) fn altered(answer: Answer) -> Answer {
    match answer {
        Answer::Rows { columns, rows } => {
            let rows = rows.into_iter().map(|row| row.iter().map(|_| Some("-1".to_owned())).collect()).collect();
            Answer::Rows { columns, rows }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(sql: &str) -> Result<Vec<(String, Option<String>)>, u16> {
        let setup = MatrixoneSetup::default();
        match answer(sql, &About { setup: &setup, user: "a:u:r", id: 1001, database: None }) {
            Answer::Rows { columns, rows } => {
                let names = columns.into_iter().map(|column| column.name);
                Ok(names.zip(rows.into_iter().next().unwrap_or_default()).collect())
            }
            Answer::Done => Ok(Vec::new()),
            Answer::Error(error) => Err(error.code),
        }
    }

    #[test]
    fn answers_what_clients_ask() {
        let one = |name: &str, value: Option<&str>| Ok(vec![(name.to_owned(), value.map(str::to_owned))]);
        for (sql, expected) in [
            ("select 1", one("1", Some("1"))),
            ("SELECT 1;", one("1", Some("1"))),
            ("  Select\t1 ; ", one("1", Some("1"))),
            ("select -7 as n", one("n", Some("-7"))),
            ("select 'a, b as c'", one("'a, b as c'", Some("a, b as c"))),
            ("select 1 AS `one`", one("one", Some("1"))),
            ("select 1 from dual", one("1", Some("1"))),
            ("select @@version_comment limit 1", one("@@version_comment", Some("MatrixOne"))),
            ("select @@SESSION.autocommit", one("@@SESSION.autocommit", Some("1"))),
            ("select null", one("null", None)),
            ("select connection_id()", one("connection_id()", Some("1001"))),
            ("show databases", one("Database", Some("information_schema"))),
            ("set names 'utf8mb4' collate 'utf8mb4_0900_ai_ci'", Ok(Vec::new())),
            ("commit", Ok(Vec::new())),
            ("", Err(1064)),
            ("set", Err(1064)),
            ("select", Err(1064)),
            ("select ", Err(1064)),
            ("select 1 + 1", Err(1064)),
            ("select 1,", Err(1064)),
            ("select 'a", Err(1064)),
            ("select @@nonsense", Err(1064)),
            // As a real cluster says it, with no database chosen.
            ("select * from t", Err(1046)),
            ("select ok from probe.alive", one("ok", Some("1"))),
            ("select * from probe.alive limit 1", one("ok", Some("1"))),
            ("select 1 from probe.alive", one("1", Some("1"))),
            ("select ok from probe.gone", Err(1064)),
            ("select zz from probe.alive", Err(20301)),
            ("select zz", Err(20301)),
            ("select zz()", Err(20105)),
            ("select cast('x' as int)", Err(20203)),
            ("show nonsense", Err(1064)),
            ("drop database mysql", Err(1064)),
        ] {
            assert_eq!(cells(sql), expected, "{sql}");
        }
        assert_eq!(cells("select @@socket,@@max_allowed_packet, @@wait_timeout").unwrap().len(), 3);
        assert!(is_setup("SELECT @@x") && is_setup(" set names x") && !is_setup("select 1") && !is_setup("settle"));
    }

    #[test]
    fn results_end_as_negotiated() {
        let setup = MatrixoneSetup::default();
        let about = About { setup: &setup, user: "a:u:r", id: 1001, database: None };
        let rows = answer("select 1", &about);
        assert_eq!(payloads(&rows, 0).len(), 5);
        assert_eq!(payloads(&rows, 0).last().unwrap(), &[0xfe, 0, 0, 2, 0]);
        assert_eq!(payloads(&rows, DEPRECATE_EOF).len(), 4);
        assert_eq!(payloads(&rows, DEPRECATE_EOF).last().unwrap(), &[0xfe, 0, 0, 2, 0, 0, 0]);
        assert_eq!(payloads(&emptied(rows.clone()), 0).len(), 4);
        assert_eq!(payloads(&altered(rows), 0)[3], b"\x02-1");
    }
}
