//! Request heads once they are read: host and path are found, and found the same when the head names their normal forms.

use http::{HeaderName, HeaderValue, Method, Request, Version};
use portico_shared::normalise::{authority, path};

use crate::config::Limits;
use crate::request::head::check;

/// A version and whether there is TLS, then lines: method, target, fields.
pub fn request_head(octets: &[u8]) {
    let Some((&flags, rest)) = octets.split_first() else { return };
    let mut lines = rest.split(|octet| *octet == b'\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let version = [Version::HTTP_11, Version::HTTP_10, Version::HTTP_2][usize::from(flags) % 3];
    let tls = flags & 0x80 != 0;
    let fields: Vec<_> = lines.filter_map(field).take(128).collect();
    let (Ok(method), Ok(target)) = (Method::from_bytes(method), http::Uri::try_from(target)) else { return };
    let request = |target: http::Uri, fields: &[(HeaderName, HeaderValue)]| {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.version_mut() = version;
        *request.uri_mut() = target;
        request.headers_mut().extend(fields.iter().cloned());
        request
    };
    let limits = Limits::default();
    let first = request(target.clone(), &fields);
    let Ok(head) = check(&first, &limits, tls) else { return };
    if let Some(host) = &head.host {
        assert!(authority::parse(host.as_bytes()).is_ok_and(|again| again.host == *host && again.port.is_none()));
    } else {
        assert_eq!(version, Version::HTTP_10);
    }
    if head.path != "*" {
        assert_eq!(path::normalise(&head.path).as_deref(), Ok(&*head.path));
    }
    assert!(!matches!(first.method().as_str(), "CONNECT" | "TRACE" | "TRACK" | "PRI"));
    let lengths = fields.iter().filter(|(name, _)| matches!(name.as_str(), "content-length" | "transfer-encoding"));
    assert!(lengths.count() <= 1, "two fields frame one message");
    // The same by the normal forms: no spelling leads elsewhere.
    let mut normal: Vec<_> = fields.iter().filter(|(name, _)| *name != http::header::HOST).cloned().collect();
    if let Some(host) = &head.host {
        normal.push((http::header::HOST, HeaderValue::from_str(host).expect("a host is a field value")));
    }
    let target: http::Uri = head.path.parse().unwrap_or_else(|error| panic!("{}: {error}", head.path));
    let second = request(target, &normal);
    // The Host may be one field more than there were.
    let limits = Limits { fields: limits.fields + 1, ..limits };
    let again = check(&second, &limits, tls).unwrap_or_else(|error| panic!("{second:?}: {error:?}"));
    assert_eq!((&again.host, &again.path), (&head.host, &head.path));
}

/// `name: value`, if it is a field that can be.
pub(super) fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}
