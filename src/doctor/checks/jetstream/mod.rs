//! Jetstream.

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;

pub(super) const CHECK: Check = Check {
    id: CheckId::Jetstream,
    requires: &[CheckId::Connect],
    codes: &[],
    run: |examination| Box::pin(run(examination)),
};

async fn run(_examination: &mut Examination<'_>) -> Looked {
    Looked::NotNeeded("not asked for".to_owned())
}
