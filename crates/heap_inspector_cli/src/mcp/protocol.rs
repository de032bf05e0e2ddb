//! JSON-RPC 2.0 as the Model Context Protocol has it: a line comes in, a request or what is wrong with it goes out, and answers are made.

use heap_inspector::view;
use heap_inspector::{Error, ErrorKind};
use serde_json::{Value, json};

/// The revisions of the protocol that are spoken, the newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// What a client sent.
#[derive(Debug)]
pub(super) enum Incoming {
    Request(Call),
    /// The request of this key is not wanted any more.
    Cancelled(String),
    /// It wants no answer.
    Notification,
}

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    id: Value,
    pub(super) method: String,
    pub(super) params: Value,
    /// By which it wants to hear how far the work came.
    pub(super) progress: Option<Value>,
}

/// Why there is no result: a code of the protocol and a sentence.
#[derive(Debug)]
pub(super) struct Failure {
    code: i32,
    message: String,
}

impl Failure {
    /// The words of the request are to blame.
    pub(super) fn invalid(message: impl Into<String>) -> Failure {
        Failure { code: -32602, message: message.into() }
    }

    /// There is no such resource.
    pub(super) fn no_resource(uri: &str) -> Failure {
        Failure { code: -32002, message: format!("there is no resource {uri:?}") }
    }

    pub(super) fn no_method(method: &str) -> Failure {
        Failure { code: -32601, message: format!("there is no method {method:?}") }
    }

    pub(super) fn bug() -> Failure {
        Failure { code: -32603, message: "this is a bug; please report what stands on standard error".into() }
    }

    /// An error of the library.
    pub(super) fn of(error: &Error) -> Failure {
        let code = if error.kind() == ErrorKind::Usage { -32602 } else { -32603 };
        Failure { code, message: error.to_string() }
    }
}

impl Incoming {
    /// Reads a line; what is none gets the answer that says so.
    pub(super) fn read(line: &[u8]) -> Result<Incoming, Value> {
        let refuse = |id: Value, code: i32, message: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
        let message: Value = serde_json::from_slice(line)
            .map_err(|_| refuse(Value::Null, -32700, "this is not JSON, or longer than a request may be"))?;
        let id = message.get("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64()).cloned();
        let method = message.get("method").and_then(Value::as_str).filter(|_| message["jsonrpc"] == "2.0");
        let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
        match (id, method) {
            // An answer to a request that we never made.
            (Some(_), None) if message.get("result").or(message.get("error")).is_some() => Ok(Incoming::Notification),
            (id, None) => Err(refuse(id.unwrap_or_default(), -32600, "this is not a request of JSON-RPC 2.0")),
            (None, Some(_)) if message.get("id").is_some() => {
                Err(refuse(Value::Null, -32600, "the id of a request is a string or an integer"))
            }
            (None, Some("notifications/cancelled")) => Ok(Incoming::Cancelled(params["requestId"].to_string())),
            (None, Some(_)) => Ok(Incoming::Notification),
            (Some(id), Some(method)) => {
                let token = &params["_meta"]["progressToken"];
                let progress = (token.is_string() || token.is_number()).then(|| token.clone());
                Ok(Incoming::Request(Call { id, method: method.to_owned(), params, progress }))
            }
        }
    }
}

impl Call {
    /// Its id as a key.
    pub(super) fn key(&self) -> String {
        self.id.to_string()
    }

    /// A text of its parameters, empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
    }

    /// The message that answers it.
    pub(super) fn answer(&self, result: Result<Value, Failure>) -> Value {
        match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": self.id, "result": result}),
            Err(Failure { code, message }) => {
                let message = view::escape::terminal(&message);
                json!({"jsonrpc": "2.0", "id": self.id, "error": {"code": code, "message": message}})
            }
        }
    }
}

/// The revision to speak: the client's, where it is known, else our newest.
pub(super) fn version(asked: &str) -> &'static str {
    VERSIONS.iter().find(|known| **known == asked).unwrap_or(&VERSIONS[0])
}

/// How far the reading of a dump came, in bytes.
pub(super) fn progress(token: &Value, read: u64, all: Option<u64>) -> Value {
    let mut params = json!({"progressToken": token, "progress": read});
    if let Some(all) = all {
        params["total"] = all.into();
    }
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> Value {
        Incoming::read(line.as_bytes()).map_or_else(|refusal| refusal["error"]["code"].clone(), |_| Value::Null)
    }

    #[test]
    fn what_is_no_request_is_refused_by_the_codes_of_json_rpc() {
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":1,\"meth"), -32700);
        assert_eq!(code(&"[".repeat(10_000)), -32700);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("{\"id\":1,\"method\":\"ping\"}"), -32600);
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}"), -32600);
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}"), -32600);
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}"), Value::Null);
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}"), Value::Null);
    }

    #[test]
    fn a_cancelled_request_is_known_by_its_id() {
        let line = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"1\"}}";
        let cancelled = Incoming::read(line.as_bytes());
        assert!(matches!(&cancelled, Ok(Incoming::Cancelled(id)) if id == "\"1\""), "{cancelled:?}");
    }

    #[test]
    fn speaks_the_revision_of_the_client_where_it_knows_it() {
        assert_eq!(version("2025-06-18"), "2025-06-18");
        assert_eq!(version("2099-01-01"), VERSIONS[0]);
    }
}
