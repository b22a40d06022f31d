//! The secrets of a probe, and the probe without them.

use super::{FileSecret, ProbeKind, ProbeSpec, TdengineLogin};

impl ProbeSpec {
    /// The same with the secrets of another one, where that has them in the same places.
    #[must_use]
    pub fn with_secrets_of(&self, other: &Self) -> Self {
        let mut renewed = self.clone();
        match (&mut renewed.kind, &other.kind) {
            (ProbeKind::Https(https), ProbeKind::Https(other)) => {
                for (name, value) in https.headers.iter_mut().filter(|(_, value)| value.is_secret()) {
                    let new = other.headers.iter().find(|(of, value)| of == name && value.is_secret());
                    if let Some((_, new)) = new {
                        *value = new.clone();
                    }
                }
            }
            (ours, theirs) => {
                if let (Some(secret), Some(new)) = (ours.secret_mut(), theirs.secret()) {
                    *secret = new.clone();
                }
            }
        }
        renewed
    }

    /// What of it sends no secret: all of it if it has none, else the path check alone, and nothing where that sends
    /// one.
    #[must_use]
    pub fn without_secrets(&self) -> Option<Self> {
        let mut bare = self.clone();
        match &mut bare.kind {
            ProbeKind::Https(https) if https.headers.iter().any(|(_, value)| value.is_secret()) => return None,
            kind if kind.secret().is_none() => return Some(bare),
            // Without a login MySQL's path check goes by the greeting.
            ProbeKind::Matrixone(spec) | ProbeKind::Mysql(spec) => spec.login = None,
            ProbeKind::Tdengine(spec) => spec.login = None,
            ProbeKind::Tcp | ProbeKind::Https(_) => {}
        }
        bare.deep = None;
        Some(bare)
    }
}

impl ProbeKind {
    fn secret_mut(&mut self) -> Option<&mut FileSecret> {
        match self {
            Self::Tcp | Self::Https(_) => None,
            Self::Matrixone(spec) | Self::Mysql(spec) => spec.login.as_mut()?.password.as_mut(),
            Self::Tdengine(spec) => match spec.login.as_mut()? {
                TdengineLogin::Token(secret) | TdengineLogin::Basic { password: secret, .. } => Some(secret),
            },
        }
    }

    /// What it logs in with, if it does.
    #[must_use]
    pub fn secret(&self) -> Option<&FileSecret> {
        match self {
            Self::Tcp | Self::Https(_) => None,
            Self::Matrixone(spec) | Self::Mysql(spec) => spec.login.as_ref()?.password.as_ref(),
            Self::Tdengine(spec) => match spec.login.as_ref()? {
                TdengineLogin::Token(secret) | TdengineLogin::Basic { password: secret, .. } => Some(secret),
            },
        }
    }
}
