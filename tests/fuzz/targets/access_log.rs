//! Lines of the access log: libFuzzer feeds the entry point.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico_dataplane::fuzzing::access_log(data));
