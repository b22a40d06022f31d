//! The few statements that clients and probes send, and their results. No SQL engine: anything else is a syntax error.

use serde_json::{Value, json};

use super::setup::TdengineSetup;

/// A result, or the code and text of an error.
pub(super) type Answer = Result<Table, (u32, String)>;

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Name, type, width.
    columns: Vec<(String, &'static str, u32)>,
    pub(super) rows: Vec<Vec<Value>>,
}

/// Databases that are always there.
const DATABASES: [&str; 2] = ["information_schema", "performance_schema"];

/// Answers a statement.
pub(super) fn answer(sql: &str, setup: &TdengineSetup) -> Answer {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let words: Vec<String> = sql.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let databases = || DATABASES.into_iter().chain(setup.databases.iter().map(String::as_str));
    match words.as_slice() {
        ["show", "databases"] => Ok(Table {
            columns: vec![("name".to_owned(), "VARCHAR", 64)],
            rows: databases().map(|name| vec![json!(name)]).collect(),
        }),
        ["select", expression] => {
            let (kind, width, value) = value(expression, sql, setup).ok_or_else(|| syntax_error(sql))?;
            Ok(Table { columns: vec![((*expression).to_owned(), kind, width)], rows: vec![vec![value]] })
        }
        ["select", .., "from", _] => Err((9731, "Table does not exist".to_owned())),
        ["use", name] if databases().any(|known| known == *name) => Ok(affected()),
        ["use", _] => Err((904, "Database not exist".to_owned())),
        ["create" | "insert" | "alter" | "drop", _, ..] => Ok(affected()),
        _ => Err(syntax_error(sql)),
    }
}

fn affected() -> Table {
    Table { columns: vec![("affected_rows".to_owned(), "INT", 4)], rows: vec![vec![json!(0)]] }
}

fn syntax_error(sql: &str) -> (u32, String) {
    let near: String = sql.chars().take(40).collect();
    (9728, format!("syntax error near \"{near}\""))
}

/// The value of an expression in lower case; `sql` has it as it was written.
fn value(expression: &str, sql: &str, setup: &TdengineSetup) -> Option<(&'static str, u32, Value)> {
    if let Ok(number) = expression.parse::<i64>() {
        return Some(("BIGINT", 8, json!(number)));
    }
    let written = sql.split_whitespace().next_back().unwrap_or_default();
    let quoted = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    if let Some(text) = quoted.filter(|text| !text.contains('\'')) {
        return Some(("VARCHAR", u32::try_from(text.len()).unwrap_or(u32::MAX), json!(text)));
    }
    Some(match expression {
        "server_status()" => ("INT", 4, json!(1)),
        "server_version()" | "client_version()" => ("VARCHAR", 10, json!(setup.version)),
        "database()" => ("VARCHAR", 64, Value::Null),
        "current_user()" | "user()" => ("VARCHAR", 24, json!("root")),
        "null" => ("NULL", 1, Value::Null),
        "true" => ("BOOL", 1, json!(true)),
        "false" => ("BOOL", 1, json!(false)),
        _ => return None,
    })
}

impl Table {
    /// The reply of a success; `with_names` makes an object of each row.
    pub(super) fn reply(&self, with_names: bool) -> Value {
        let meta: Vec<Value> = self.columns.iter().map(|(name, kind, width)| json!([name, kind, width])).collect();
        let row = |row: &Vec<Value>| match with_names {
            false => json!(row),
            true => self.columns.iter().map(|(name, ..)| name.clone()).zip(row.iter().cloned()).collect(),
        };
        let data: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "code": 0, "column_meta": meta, "data": data, "rows": data.len() })
    }

    /// The same with another value in every cell, of the same kind where there is another.
    pub(super) fn altered(mut self) -> Self {
        for cell in self.rows.iter_mut().flatten() {
            *cell = match cell {
                Value::String(_) => json!("another value"),
                _ => json!(-1),
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_clients_ask() {
        let setup = TdengineSetup { databases: ["power".to_owned()].into(), ..TdengineSetup::default() };
        let data = |sql: &str| match answer(sql, &setup) {
            Ok(table) => table.reply(false)["data"].clone(),
            Err((code, _)) => json!(code),
        };
        for (sql, expected) in [
            ("select server_status()", json!([[1]])),
            ("SELECT  SERVER_STATUS() ;", json!([[1]])),
            ("select server_version()", json!([["3.3.6.0"]])),
            ("show databases;", json!([["information_schema"], ["performance_schema"], ["power"]])),
            ("select 1", json!([[1]])),
            ("select 'Word'", json!([["Word"]])),
            ("select null", json!([[null]])),
            ("use power", json!([[0]])),
            ("use nonsense", json!(904)),
            ("insert into t values (now, 1)", json!([[0]])),
            ("select * from t", json!(9731)),
            ("select", json!(9728)),
            ("select '", json!(9728)),
            ("", json!(9728)),
            ("nonsense", json!(9728)),
        ] {
            assert_eq!(data(sql), expected, "{sql}");
        }
        let table = answer("select 1", &setup).unwrap();
        let text = table.reply(false).to_string();
        assert_eq!(text, r#"{"code":0,"column_meta":[["1","BIGINT",8]],"data":[[1]],"rows":1}"#);
        assert_eq!(table.reply(true)["data"], json!([{ "1": 1 }]));
        assert_eq!(table.altered().reply(false)["data"], json!([[-1]]));
    }
}
