//! Annotation values: libFuzzer feeds the entry point.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico_compile::fuzzing::annotation(data));
