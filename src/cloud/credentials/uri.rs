//! Whatever a URI answers; a helper on this host, as a rule.

use super::recipe::WhyNot;
use super::{FetchContext, Got, reply};
use crate::cloud::http::{Request, Verb};

/// The keys.
pub(super) async fn fetch(uri: &str, means: &FetchContext) -> Result<Got, WhyNot> {
    let failed = |why: String| WhyNot::Failed(format!("credentials URI: {why}"));
    let request = Request { verb: Verb::Get, url: uri.to_owned(), headers: &[], body: b"" };
    let reply = means.http.send(&request).await.map_err(|e| failed(e.to_string()))?;
    if reply.status != 200 {
        return Err(failed(format!("expected status 200, found {}", reply.status)));
    }
    let found = reply::plain(&reply.body).map_err(|e| failed(e.to_string()))?;
    Ok(Got { keys: found.keys, expires: Some(found.expires), rotated: false })
}
