# h2spec: strict cases of HTTP/2 and HPACK.

h2spec() {
    [ -x "$cache/bin/h2spec" ] || GOFLAGS=-mod=mod GOBIN=$cache/bin CGO_ENABLED=0 \
        go install github.com/summerwind/h2spec/cmd/h2spec@v0.0.0-20200804131034-70ac22940108
    serve --h2c
    spec tls -t -k -p "$https"
    spec clear -p "$http"
}

spec() { # name arguments...
    local name=$1 sum
    shift
    "$cache/bin/h2spec" -S -h localhost -o 5 "$@" >"$work/h2spec" 2>&1 || true
    sum=$(grep -o '[0-9]* tests, [0-9]* passed, [0-9]* skipped, [0-9]* failed' "$work/h2spec") || { cat "$work/h2spec"; exit 1; }
    read -r all _ good _ <<<"$sum"
    [ "$all" -eq "$good" ] || sed -n '/^Failures:/,$p' "$work/h2spec"
    count "h2spec $name" "$good" $((all - good))
}
