//! From an error to a response: status, reason, format.

use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SERVER};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;

use super::body::ResponseBody;
use super::error::ProxyError;
use super::forwarded::X_REQUEST_ID;
use crate::observe::metrics::Limit;

/// How the client wants to be told of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
    /// A 200 with `grpc-status` and no body (gRPC over HTTP/2, Trailers-Only).
    Grpc,
}

impl Form {
    /// The form that the request asks for.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let field = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        if request.version() == Version::HTTP_2 && field(CONTENT_TYPE).starts_with("application/grpc") {
            Self::Grpc
        } else if field(ACCEPT).contains("json") {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// The status of an error (section "Limits" of the README lists them).
pub(crate) fn status(error: ProxyError) -> StatusCode {
    match error {
        ProxyError::Malformed(_) | ProxyError::TooLarge(Limit::Method) | ProxyError::BodyBroken => {
            StatusCode::BAD_REQUEST
        }
        ProxyError::TooLarge(Limit::Target) => StatusCode::URI_TOO_LONG,
        ProxyError::TooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ProxyError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProxyError::BodyTimeout(_) | ProxyError::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
        ProxyError::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        ProxyError::Coding => StatusCode::NOT_IMPLEMENTED,
        ProxyError::Expectation => StatusCode::EXPECTATION_FAILED,
        ProxyError::Method => StatusCode::METHOD_NOT_ALLOWED,
        ProxyError::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        ProxyError::Loop => StatusCode::LOOP_DETECTED,
        ProxyError::NoRoute => StatusCode::NOT_FOUND,
        ProxyError::Unavailable | ProxyError::NoEndpoint | ProxyError::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
        ProxyError::Connect
        | ProxyError::ConnectTimeout
        | ProxyError::ConnectTls
        | ProxyError::Reset
        | ProxyError::Protocol => StatusCode::BAD_GATEWAY,
        ProxyError::Timeout | ProxyError::Silent => StatusCode::GATEWAY_TIMEOUT,
        ProxyError::Panic => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The `grpc-status` that stands for a status (gRPC's HTTP mapping; a timeout is DEADLINE_EXCEEDED).
fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "12",
        408 | 504 => "4",
        413 | 414 | 431 => "8",
        421 | 429 | 502 | 503 => "14",
        400..=500 => "13",
        _ => "2",
    }
}

/// What the client is told; never names of the cluster's objects.
fn reason(error: ProxyError) -> &'static str {
    match error {
        ProxyError::Malformed(reason) => reason,
        ProxyError::TooLarge(Limit::Target) => "the request target is too long",
        ProxyError::TooLarge(Limit::Method) => "the method is too long",
        ProxyError::TooLarge(_) => "the request head is too large",
        ProxyError::HeadTimeout => "the request head did not come in time",
        ProxyError::Version => "this version of HTTP is not spoken here",
        ProxyError::Coding => "the only transfer coding known is chunked",
        ProxyError::BodyTooLarge => "the request body is too large",
        ProxyError::BodyTimeout(_) => "the request body did not come in time",
        ProxyError::BodyBroken => "the request body is broken",
        ProxyError::Expectation => "only the expectation 100-continue is known",
        ProxyError::Method => "this method is not forwarded",
        ProxyError::Misdirected => "this host is not served on this connection",
        ProxyError::Loop => "the request went round in a loop",
        ProxyError::NoRoute => "no route for this host and path",
        ProxyError::Unavailable => "the route cannot be served as it is configured",
        ProxyError::Overloaded(_) => "there is too much to do at the moment",
        ProxyError::NoEndpoint => "the service has no ready endpoint",
        ProxyError::Connect | ProxyError::ConnectTimeout => "the service does not take connections",
        ProxyError::ConnectTls => "the service's TLS cannot be verified",
        ProxyError::Reset => "the service closed the connection before it answered",
        ProxyError::Protocol => "the service's answer is not valid HTTP",
        ProxyError::Timeout | ProxyError::Silent => "the service did not answer in time",
        ProxyError::Panic => "an internal error",
    }
}

/// The response to an error.
pub(crate) fn respond(error: ProxyError, form: Form, request_id: Option<&HeaderValue>) -> Response<ResponseBody> {
    let status = status(error);
    let id = request_id.and_then(|id| id.to_str().ok()).unwrap_or("-");
    let (media, body) = match form {
        Form::Grpc => ("application/grpc", String::new()),
        Form::Text => {
            let title = status.canonical_reason().unwrap_or_default();
            ("text/plain; charset=utf-8", format!("{} {title}: {}\nrequest id: {id}\n", status.as_u16(), reason(error)))
        }
        Form::Json => {
            let object = serde_json::json!({
                "status": status.as_u16(), "error": error.label(), "message": reason(error), "request_id": id,
            });
            ("application/json", format!("{object}\n"))
        }
    };
    let mut response = Response::new(ResponseBody::full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(SERVER, HeaderValue::from_static("portico"));
    if let Some(id) = request_id {
        headers.insert(X_REQUEST_ID, id.clone());
    }
    if error == ProxyError::Method {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if form == Form::Grpc {
        headers.insert("grpc-status", HeaderValue::from_static(grpc_status(status)));
        headers.insert("grpc-message", HeaderValue::from_static(reason(error)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        return response;
    }
    *response.status_mut() = status;
    response
}

/// The answer to HEAD: the length that the body would have, and no body (RFC 9110 section 9.3.2). hyper sees to it on
/// HTTP/1 alone.
pub(crate) fn without_body(response: &mut Response<ResponseBody>) {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = ResponseBody::full("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_callers_get_a_status_they_know() {
        for (error, expected) in [
            (ProxyError::NoRoute, "12"),
            (ProxyError::NoEndpoint, "14"),
            (ProxyError::Connect, "14"),
            (ProxyError::Timeout, "4"),
            (ProxyError::BodyTooLarge, "8"),
        ] {
            let response = respond(error, Form::Grpc, None);
            assert_eq!(response.status(), StatusCode::OK, "{error:?}");
            assert_eq!(response.headers()["grpc-status"], expected, "{error:?}");
        }
    }

    #[test]
    fn form_follows_the_request() {
        for (version, name, value, expected) in [
            (Version::HTTP_11, ACCEPT, "application/json", Form::Json),
            (Version::HTTP_2, ACCEPT, "application/problem+json", Form::Json),
            (Version::HTTP_11, ACCEPT, "text/html", Form::Text),
            (Version::HTTP_2, CONTENT_TYPE, "application/grpc+proto", Form::Grpc),
            (Version::HTTP_11, CONTENT_TYPE, "application/grpc", Form::Text),
            (Version::HTTP_2, CONTENT_TYPE, "application/json", Form::Text),
        ] {
            let request = Request::builder().version(version).header(&name, value).body(()).unwrap();
            assert_eq!(Form::of(&request), expected, "{name}: {value}");
        }
    }
}
