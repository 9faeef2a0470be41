//! Targets: the one that is sent on, and the one that a client on plain HTTP is sent to.

use http::header::{LOCATION, SERVER};
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode, Uri};
use portico_shared::ir::policy::HttpsRedirect;

use super::body::ResponseBody;
use super::error::ProxyError;
use super::head::Head;

/// The target that the upstream gets: the path that was matched and the query as it came.
pub(crate) fn target(path: &str, uri: &Uri) -> PathAndQuery {
    let unchanged = uri.path_and_query().filter(|_| uri.path() == path).cloned();
    unchanged.unwrap_or_else(|| {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        PathAndQuery::try_from(format!("{path}{query}")).unwrap_or_else(|_| PathAndQuery::from_static("/"))
    })
}

/// A 308 to the same host and path over HTTPS. The host is the normalised one that was matched, so that nothing that a
/// client made up is sent back.
pub(crate) fn to_https(
    head: &Head<'_>,
    query: Option<&str>,
    to: HttpsRedirect,
) -> Result<Response<ResponseBody>, ProxyError> {
    let host = head.host.as_deref().ok_or(ProxyError::Malformed("no Host is given"))?;
    let port = if to.port == 443 { String::new() } else { format!(":{}", to.port) };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("https://{host}{port}{}{query}", head.path))
        .map_err(|_| ProxyError::Malformed("the query is not text"))?;
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(SERVER, HeaderValue::from_static("portico"));
    Ok(response)
}
