//! Enums of which each variant has one word, which config, help, metrics, status, files and messages share.

/// Defines such an enum. Variants and words are written once, so that none can be forgotten in a table; the word is
/// also how a value is displayed and serialised.
macro_rules! worded {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every variant, in their order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];
            /// Each word with its variant, in their order.
            pub const WORDS: &[(&str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word for it everywhere.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.label())
            }
        }
    };
}

pub(crate) use worded;

worded! {
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

worded! {
    /// `in_place` of `[hosts]`: whether the file is written in place instead of being replaced by a new one.
    InPlace {
        /// Only where a new file can't take its place: it is a mount point of its own, or has several names.
        Auto = "auto",
        /// Always.
        Always = "true",
        /// Never.
        Never = "false",
    }
}

worded! {
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
