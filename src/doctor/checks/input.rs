//! What was typed: URL, subjects, credentials, context; all that can be judged without connecting.

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;

pub(super) const CHECK: Check = Check {
    id: CheckId::Input,
    requires: &[],
    codes: &[],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    for fault in examination.plan.faults.clone() {
        examination.find(fault);
    }
    Looked::At(examination.target.to_string())
}
