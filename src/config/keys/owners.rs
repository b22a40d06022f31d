//! Keys that not every provider, or not every kind of probe, has.

/// The providers of `[cloud.credentials]`, each with the keys that are its own.
pub const PROVIDERS: &[(&str, &[&str])] = &[
    ("auto", &[]),
    ("environment", &[]),
    (
        "oidc_role",
        &[
            "role_arn",
            "oidc_provider_arn",
            "oidc_token_file",
            "role_session_name",
            "duration",
            "policy",
            "sts_endpoint",
        ],
    ),
    ("cli_config", &["file", "profile"]),
    ("credentials_file", &["file", "profile"]),
    ("ecs_role", &["role_name"]),
    ("uri", &["url"]),
    ("access_key", &["access_key_id", "access_key_secret_file", "security_token_file"]),
    (
        "ram_role_arn",
        &[
            "access_key_id",
            "access_key_secret_file",
            "security_token_file",
            "role_name",
            "role_arn",
            "role_session_name",
            "duration",
            "policy",
            "external_id",
            "sts_endpoint",
        ],
    ),
];

/// The kinds of `[endpoint.probe]`, each with the keys that not every kind has.
pub const PROBE_KINDS: &[(&str, &[&str])] = &[
    ("matrixone", MYSQL_KEYS),
    ("mysql", MYSQL_KEYS),
    (
        "tdengine",
        &[
            "server_name",
            "path",
            "ca_file",
            "expiry_warning",
            "depth",
            "deep_interval",
            "deep_timeout",
            "user",
            "password_file",
            "token_file",
            "sql",
            "expect",
        ],
    ),
    (
        "https",
        &[
            "server_name",
            "method",
            "path",
            "headers",
            "body",
            "expect_status",
            "expect_body",
            "ca_file",
            "expiry_warning",
        ],
    ),
    ("tcp", &[]),
];

const MYSQL_KEYS: &[&str] = &[
    "server_name",
    "ca_file",
    "expiry_warning",
    "depth",
    "deep_interval",
    "deep_timeout",
    "user",
    "password_file",
    "tls",
    "query",
    "expect",
];
