//! The databases behind the ENIs.

use serde::{Deserialize, Serialize};

use crate::{MatrixoneSetup, TdengineSetup};

/// What the databases are and whom they know: one of each kind, whichever ENIs lead to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Databases {
    /// Where an ENI serves [`Serve::Matrixone`](super::Serve::Matrixone).
    pub matrixone: MatrixoneSetup,
    /// Where an ENI serves [`Serve::Tdengine`](super::Serve::Tdengine).
    pub tdengine: TdengineSetup,
}
