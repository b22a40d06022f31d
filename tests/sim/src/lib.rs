//! Stand-in services on loopback, for privatelinkd's tests and its demo.
//!
//! Each service has a loopback address of its own, as each ENI has, and a mode that can be switched at run time. A
//! switch returns when the new mode is in force, so that a caller can measure from there. Everything runs on the
//! caller's tokio runtime and ends when the service is dropped.
#![deny(unsafe_code)]

pub mod cloud;
mod gate;
mod https;
mod identity;
mod loopback;
mod matrixone;
mod pki;
mod tcp;
mod tdengine;

pub use https::{HttpsMode, HttpsService, SeenRequest};
pub use identity::Identity;
pub use loopback::free_address;
pub use matrixone::{
    ClusterFault, LoginFault, MatrixoneCounts, MatrixoneMode, MatrixoneService, MatrixoneSetup, SeenLogin, SqlError,
};
pub use pki::{Certificate, Leaf, Pki};
pub use tcp::{TcpMode, TcpService};
pub use tdengine::{
    CODES as TDENGINE_CODES, TdengineCounts, TdengineMode, TdengineRefusal, TdengineRequest, TdengineService,
    TdengineSetup,
};
