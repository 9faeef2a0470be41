//! The first octets of TLS: libFuzzer feeds the entry point.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico_dataplane::fuzzing::client_hello(data));
