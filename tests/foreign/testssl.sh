# testssl: protocols, ciphers and known holes of the HTTPS port.

testssl() {
    need testssl testssl.sh bsdmainutils dnsutils
    serve --hsts
    # It ends with the number of its findings; what counts is read from the file.
    command testssl --quiet --color 0 --warnings off --add-ca "$authority" --severity MEDIUM --jsonfile "$work/testssl.json" \
        --ip 127.0.0.1 "https://localhost:$https/" >"$work/testssl" 2>&1 </dev/null || true
    [ -s "$work/testssl.json" ] || { cat "$work/testssl"; exit 1; }
    local findings
    findings=$(grep -c '"severity" *: *"\(MEDIUM\|HIGH\|CRITICAL\)"' "$work/testssl.json" || true)
    [ "$findings" -eq 0 ] || cat "$work/testssl.json"
    grep -q 'TLS 1.3.*offered' "$work/testssl" || { cat "$work/testssl"; exit 1; }
    count "testssl findings" 1 "$findings"
}
