//! The type of a scalar: YAML 1.2 core schema (section 10.3.2), cut to what JSON can say.
//!
//! `yes`, `no`, `on`, `off` stay text; whether a field wants a boolean is the schema's to know. Infinities and NaN have
//! no JSON form and stay text as well.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};

use super::Value;

/// The value that a scalar stands for.
pub(super) fn resolve<'t>(text: Cow<'t, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value<'t> {
    let plain = match tag {
        None => style == ScalarStyle::Plain,
        Some(tag) => tag.is_yaml_core_schema() && tag.suffix != "str" && tag.suffix != "binary",
    };
    if !plain {
        return Value::Text { text, plain };
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        _ => number(&text).unwrap_or(Value::Text { text, plain }),
    }
}

fn number(text: &str) -> Option<Value<'static>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Value::Integer).ok().or_else(|| float(text));
    }
    float(text)
}

fn radix(digits: &str, radix: u32) -> Option<Value<'static>> {
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(Value::Integer)
}

fn float(text: &str) -> Option<Value<'static>> {
    let shaped = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let value = if shaped { text.parse::<f64>().ok()? } else { return None };
    value.is_finite().then_some(Value::Float(value))
}
