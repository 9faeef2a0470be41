//! Annotation values: durations and sizes are what reckoning without bounds finds, names hold to their rules, and nothing
//! that is refused is quoted at any length.

use std::time::Duration;

use crate::annotation::value::{dns_name, duration, object_name, size, switch};

/// A value as it stands in an annotation.
pub fn annotation(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let read = duration(text);
    let most = 30 * 24 * 60 * 60 * 1000;
    let expected = milliseconds(text).filter(|sum| (1..=most).contains(sum));
    assert_eq!(read.as_ref().ok().map(Duration::as_millis), expected, "{text:?}");
    let octets = size(text);
    assert_eq!(octets.as_ref().ok().map(|size| u128::from(*size)), bytes(text).filter(|size| *size <= u64::MAX.into()));
    assert_eq!(switch(text).ok(), text.parse().ok(), "{text:?}");
    let (dns, object) = (dns_name(text), object_name(text));
    if let Ok(name) = &dns {
        assert!(name.len() <= 253 && !name.contains(|c: char| c.is_ascii_uppercase() || c.is_ascii_control()));
        assert_eq!(dns_name(name).as_ref(), Ok(name));
    }
    if let Ok(name) = &object {
        assert_eq!(name, text);
        assert!(dns_name(name).is_ok() || name.split('.').any(|label| label.len() > 63), "{name:?}");
    }
    let refusals = [read.err(), octets.err(), switch(text).err(), dns.err(), object.err()];
    for refusal in refusals.into_iter().flatten() {
        assert!(refusal.len() < 900, "a value is quoted whole: {refusal}");
        assert!(!refusal.chars().any(char::is_control), "{refusal:?}");
    }
}

/// A number and what is behind it, without bounds.
fn number(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let digits = text[..end].trim_start_matches('0');
    // More digits than any bound has count as very much.
    let number = if digits.len() > 20 { 1 << 80 } else { format!("0{digits}").parse().ok()? };
    (end > 0).then_some((number, &text[end..]))
}

fn milliseconds(text: &str) -> Option<u128> {
    let (mut sum, mut rest) = (0, text);
    if let Some((seconds, "")) = number(text) {
        return Some(seconds * 1000);
    }
    while !rest.is_empty() {
        let (count, after) = number(rest)?;
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let (factor, after) = units.iter().find_map(|(unit, factor)| {
            let after = after.strip_prefix(unit)?;
            (after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit())).then_some((factor, after))
        })?;
        sum += count * factor;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

fn bytes(text: &str) -> Option<u128> {
    let (count, unit) = number(text)?;
    let lower = unit.to_ascii_lowercase();
    let power = ["k", "m", "g"].iter().position(|letter| lower.starts_with(letter)).map_or(0, |at| at as u32 + 1);
    match (unit.len(), unit.as_bytes().get(1)) {
        (0, _) => Some(count),
        (1, _) if power > 0 => Some(count * 1000_u128.pow(power)),
        (2, Some(b'i')) if power > 0 => Some(count << (10 * power)),
        _ => None,
    }
}
