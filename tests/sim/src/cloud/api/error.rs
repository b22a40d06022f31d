//! The API's errors, with the statuses, codes and messages of the documents and of answers seen in the wild.

use serde_json::{Value, json};
use thiserror::Error;

use super::reply::Reply;
use crate::cloud::world::Service;

/// An error as the API answers it.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{status} {code}: {message}")]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// `AccessDeniedDetail`.
    detail: Option<Value>,
    /// The header `x-acs-retry-after`.
    retry_after_ms: Option<u64>,
    /// Whether it is written as XML.
    xml: bool,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code: code.to_owned(), message, detail: None, retry_after_ms: None, xml: false }
    }

    pub(crate) fn in_xml(mut self, xml: bool) -> Self {
        self.xml = xml;
        self
    }

    pub(crate) fn throttled(code: &str, retry_after_ms: Option<u64>) -> Self {
        let error = Self::new(400, code, "Request was denied due to user flow control.");
        Self { retry_after_ms, ..error }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        let message = format!(
            "The input parameter \"{parameter}\" that is mandatory for processing this request is not supplied."
        );
        Self::new(400, "MissingParameter", message)
    }

    pub(crate) fn invalid(parameter: &str) -> Self {
        let message = format!("The specified parameter \"{parameter}\" is not valid.");
        Self::new(400, &format!("InvalidParameter.{parameter}"), message)
    }

    pub(crate) fn incomplete(what: &str) -> Self {
        Self::new(400, "IncompleteSignature", format!("The request signature does not conform to standards: {what}."))
    }

    pub(crate) fn no_such_key() -> Self {
        Self::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    }

    /// With the server's string to sign after a colon, as real answers have it.
    pub(crate) fn wrong_signature(string_to_sign: &str) -> Self {
        let message = format!(
            "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
        );
        Self::new(400, "SignatureDoesNotMatch", message)
    }

    pub(crate) fn token(kind: &str, message: &str) -> Self {
        Self::new(400, &format!("InvalidSecurityToken.{kind}"), message)
    }

    pub(crate) fn no_such_action() -> Self {
        let message = "Specified api is not found, please check your url and method.";
        Self::new(404, "InvalidAction.NotFound", message)
    }

    pub(crate) fn no_such_endpoint() -> Self {
        Self::new(400, "EndpointNotFound", "The specified endpoint does not exist.")
    }

    /// What RAM says to who may not.
    pub(crate) fn denied(action: &str, principal: (&str, &str), explicit: bool) -> Self {
        let message = "User not authorized to operate on the specified resource, or this API doesn't support RAM.";
        let (kind, name) = principal;
        let detail = json!({
            "AuthAction": action,
            "AuthPrincipalType": kind,
            "AuthPrincipalDisplayName": name,
            "PolicyType": "AccountLevelIdentityBasedPolicy",
            "NoPermissionType": if explicit { "ExplicitDeny" } else { "ImplicitDeny" },
            "EncodedDiagnosticMessage": "AQAAAABstandin",
        });
        Self { detail: Some(detail), ..Self::new(403, "Forbidden.RAM", message) }
    }

    /// The reply. Where the host isn't known it says the public one.
    pub(super) fn reply(&self, request_id: &str, service: Service, host: Option<&str>) -> Reply {
        let product = if service == Service::Sts { "Sts" } else { "Privatelink" };
        let host = host.unwrap_or("privatelink.aliyuncs.com");
        let recommend =
            format!("https://api.aliyun.com/troubleshoot?q={}&product={product}&requestId={request_id}", self.code);
        let fields = [
            ("RequestId", request_id),
            ("HostId", host),
            ("Code", &self.code),
            ("Message", &self.message),
            ("Recommend", &recommend),
        ];
        let mut reply = if self.xml {
            let inner: String =
                fields.iter().map(|(name, text)| format!("<{name}>{}</{name}>", escaped(text))).collect();
            let body = format!("<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>");
            // Spelled exactly so: the official SDK reads XML only under this very content type.
            Reply::of("text/xml;charset=utf-8", self.status, body)
        } else {
            let mut body: serde_json::Map<String, Value> =
                fields.iter().map(|&(name, text)| (name.to_owned(), text.into())).collect();
            if let Some(detail) = &self.detail {
                body.insert("AccessDeniedDetail".to_owned(), detail.clone());
            }
            Reply::json(self.status, &Value::Object(body))
        };
        if let Some(ms) = self.retry_after_ms {
            reply.headers.push(("x-acs-retry-after".to_owned(), ms.to_string()));
        }
        reply
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
