# What every suite meets: nginx with a page and a big file behind Portico, a certificate for localhost from an authority
# of its own. Sets http, https (ports) and authority (file); `serve ARGUMENTS` starts Portico anew.

need nginx nginx-light
need openssl openssl
need curl curl

authority=$work/authority.pem
page=18310 http=18311 https=18312 status=18313 admin=18314 echoes=18315

certificates() {
    local ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${ec[@]}" -days 90 -subj "/CN=Portico test authority" -keyout "$work/ca.key" -out "$authority"
    openssl req "${ec[@]}" -subj /CN=localhost -keyout "$work/tls.key" -out "$work/tls.csr"
    openssl x509 -req -in "$work/tls.csr" -CA "$authority" -CAkey "$work/ca.key" -CAcreateserial -days 80 \
        -extfile <(printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\ncrlDistributionPoints=URI:http://localhost/crl\n') -out "$work/tls.crt"
} 2>/dev/null

site() {
    sed "s#@PAGE@#$page#; s#@ECHOES@#$echoes#" tests/foreign/site.yaml
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: { name: site }\ntype: kubernetes.io/tls\ndata:\n'
    printf '  tls.crt: %s\n  tls.key: %s\n' "$(base64 -w0 "$work/tls.crt")" "$(base64 -w0 "$work/tls.key")"
}

page() {
    mkdir -p "$work/pages"
    echo "a page" >"$work/pages/index.html"
    head -c 8388608 /dev/zero >"$work/pages/big"
    cat >"$work/nginx.conf" <<CONF
user root; daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http {
    access_log off; client_body_temp_path $work/bodies; proxy_temp_path $work/proxied; fastcgi_temp_path $work/f;
    uwsgi_temp_path $work/u; scgi_temp_path $work/s; client_max_body_size 0;
    add_header X-Frame-Options DENY;
    server { listen 127.0.0.1:$page; root $work/pages; error_page 405 =200 /index.html; }
}
CONF
    nginx -c "$work/nginx.conf" -p "$work" &
    pids+=($!)
}

# Waits until a URL answers, 20 s at most.
answers() {
    local end=$((SECONDS + 20))
    until curl -ksS --max-time 5 -o "$work/answer" "$1" 2>"$work/curl.log"; do
        [ $SECONDS -lt $end ] || { cat "$work"/*.log >&2; exit 1; }
        read -rt 0.1 <> <(:) || true
    done
}

own=
serve() {
    [ -z "$own" ] || { kill -INT "$own"; kill -INT "$own"; wait "$own" || true; } 2>/dev/null
    "$portico" serve --manifests "$work/site.yaml" --access-log off --log-level warn --http 127.0.0.1:$http \
        --https 127.0.0.1:$https --status 127.0.0.1:$status --admin 127.0.0.1:$admin "$@" 2>"$work/portico.log" &
    own=$!
    pids+=($own)
    answers "http://localhost:$http/"
    answers "https://localhost:$https/"
}

certificates
site >"$work/site.yaml"
page
