//! The gate for responses: libFuzzer feeds the entry point.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico_dataplane::fuzzing::response_gate(data));
