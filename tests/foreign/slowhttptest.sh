# slowhttptest: 200 clients that take their time. The product's own times are shortened to 5 s, in the proportion of its
# defaults, so that each attack is over soon.

slowhttptest() {
    need slowhttptest slowhttptest
    need ss iproute2
    serve --request-head-timeout 5s --first-byte-timeout 5s --request-body-grace 5s --request-body-timeout 10s --write-timeout 5s
    attack "slow heads" -H -i 1 -x 10 -t GET
    attack "slow bodies" -B -i 2 -s 8192 -x 10 -t POST
    attack "slow bodies, chunked" -B -i 2 -s 8192 -x 10 -t POST -f "application/octet-stream"
    attack "ranges" -R -t HEAD
    attack "slow reading" -X -w 256 -y 512 -n 10 -z 8 -k 1 -t GET
}

# Connections that Portico has accepted, on all ports.
accepted() { curl -sS "http://localhost:$status/metrics" | awk '/^portico_connections_total/ { sum += $NF } END { print sum + 0 }'; }

# Clients of a port that Portico still serves.
clients() { ss -Htn state established "sport = :$1" | wc -l; }

# 200 connections come (those of the ranges are not counted), all of them are ended by Portico before 15 s are
# over, and others are answered meanwhile.
attack() { # name arguments...
    local name=$1 port target begin before
    shift
    for port in "$http" "$https"; do
        [ "$port" = "$http" ] && target=http://localhost:$port/big || target=https://localhost:$port/big
        begin=$SECONDS before=$(accepted)
        command slowhttptest -c 200 -r 400 -l 25 -p 3 -u "$target" "$@" >"$work/slow" 2>&1 </dev/null &
        local attacker=$!
        if [ "$name" != ranges ]; then
            until [ $(($(accepted) - before)) -ge 150 ] || [ $((SECONDS - begin)) -gt 5 ]; do answers "http://localhost:$status/healthz"; done
            holds "$name over ${target%%:*}: 200 clients" [ $((SECONDS - begin)) -le 5 ]
        fi
        holds "$name over ${target%%:*}: served" curl -ksS --max-time 5 -r 0-99 -o "$work/answer" "$target"
        until [ "$(clients "$port")" -le 2 ] || [ $((SECONDS - begin)) -gt 15 ]; do answers "http://localhost:$status/healthz"; done
        holds "$name over ${target%%:*}: ended in $((SECONDS - begin)) s" [ $((SECONDS - begin)) -le 15 ]
        kill $attacker 2>/dev/null || true
        wait $attacker 2>/dev/null || true
    done
}
