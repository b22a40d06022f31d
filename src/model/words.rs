//! Enums of which each variant has one word, which config, help, status and messages share.

/// Defines such an enum. Variants and words are written once, so that none can be forgotten in the table.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Each word with its variant, in the order of the documents.
            pub const WORDS: &[(&str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// `kind` of `[endpoint.probe]`: the name of a [`ProbeKind`](super::ProbeKind).
    ProbeKindName {
        /// MatrixOne.
        Matrixone = "matrixone",
        /// MySQL and MariaDB.
        Mysql = "mysql",
        /// TDengine's REST gateway.
        Tdengine = "tdengine",
        /// An HTTPS server.
        Https = "https",
        /// Any server that a TCP connection says enough of.
        Tcp = "tcp",
    }
}

words! {
    /// `provider` of `[cloud.credentials]`.
    ProviderName {
        /// The default chain of the official SDKs.
        Auto = "auto",
        /// Keys in variables.
        Environment = "environment",
        /// A role taken on with a service account's token.
        OidcRole = "oidc_role",
        /// A profile of the official command line tool.
        CliConfig = "cli_config",
        /// A profile of the shared credentials file.
        CredentialsFile = "credentials_file",
        /// The role of the instance.
        EcsRole = "ecs_role",
        /// What a URI answers.
        Uri = "uri",
        /// Keys whose files the config names.
        AccessKey = "access_key",
        /// A role taken on with other keys.
        RamRoleArn = "ram_role_arn",
    }
}
