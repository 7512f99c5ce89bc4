//! INFO: every field is what the JSON says, and nothing that the server says is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use natsbench::protocol::{ProtocolError, ServerInfo};
use serde_json::{Value, json};

fuzz_target!(|json: &[u8]| {
    let value = serde_json::from_slice::<Value>(json);
    let info = match ServerInfo::parse(json) {
        Ok(info) => info,
        Err(ProtocolError::BadInfo { reason }) => {
            assert!(!reason.is_empty());
            return;
        }
        Err(error) => panic!("no other fault is in INFO: {error:?}"),
    };
    let Ok(Value::Object(mut said)) = value else {
        panic!("what is no JSON object is no INFO");
    };
    for (field, read, missing) in fields(&info) {
        let said = said.remove(field).unwrap_or(missing);
        assert_eq!(read, said, "`{field}`");
    }
    assert_eq!(info.extra, said);
});

/// The fields that have a place of their own: name, what was read, and what stands for one that is missing.
fn fields(info: &ServerInfo) -> [(&'static str, Value, Value); 26] {
    [
        ("server_id", json!(info.server_id), json!("")),
        ("server_name", json!(info.server_name), json!("")),
        ("version", json!(info.version), json!("")),
        ("proto", json!(info.proto), json!(0)),
        ("git_commit", json!(info.git_commit), Value::Null),
        ("go", json!(info.go), Value::Null),
        ("host", json!(info.host), json!("")),
        ("port", json!(info.port), json!(0)),
        ("headers", json!(info.headers), json!(false)),
        ("max_payload", json!(info.max_payload), json!(0)),
        ("jetstream", json!(info.jetstream), json!(false)),
        ("auth_required", json!(info.auth_required), json!(false)),
        ("tls_required", json!(info.tls_required), json!(false)),
        ("tls_verify", json!(info.tls_verify), json!(false)),
        ("tls_available", json!(info.tls_available), json!(false)),
        ("nonce", json!(info.nonce), Value::Null),
        ("client_id", json!(info.client_id), json!(0)),
        ("client_ip", json!(info.client_ip), json!("")),
        ("cluster", json!(info.cluster), Value::Null),
        ("domain", json!(info.domain), Value::Null),
        ("connect_urls", json!(info.connect_urls), json!([])),
        ("ws_connect_urls", json!(info.ws_connect_urls), json!([])),
        ("ldm", json!(info.ldm), json!(false)),
        ("connect_info", json!(info.connect_info), json!(false)),
        ("remote_account", json!(info.remote_account), Value::Null),
        ("api_lvl", json!(info.api_lvl), Value::Null),
    ]
}
