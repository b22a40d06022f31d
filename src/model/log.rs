//! How loud the log is, where it goes, and how a line looks.

use super::worded;

worded! {
    /// `[log].level`
    LogLevel {
        /// `error`
        Error = "error",
        /// `warn`
        Warn = "warn",
        /// `info`
        Info = "info",
        /// `debug`
        Debug = "debug",
        /// `trace`
        Trace = "trace",
    }
}

worded! {
    /// `[log].format`
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

worded! {
    /// `[log].target`
    LogTarget {
        /// The journal where stderr leads to it, else stderr.
        Auto = "auto",
        /// The journal's own socket.
        Journald = "journald",
        /// Standard error.
        Stderr = "stderr",
    }
}
