# Autobahn's fuzzing client for WebSocket: each case has to behave through Portico as it does without. AUTOBAHN_CASES, such
# as '"1.*", "9.8.*"', takes some of them; the compressed ones (12, 13) take most of the time.

# Where pyenv stands before Python, it has to be told.
export PYENV_VERSION=${PYENV_VERSION:-2.7.18}

autobahn() {
    [ -e "$cache/autobahn/autobahntestsuite" ] || {
        command -v python2.7 >/dev/null || { echo "tests/foreign/run: Python 2.7 is missing, which Autobahn is written for: pyenv install 2.7.18" >&2; exit 2; }
        python2.7 -m pip install -q --target "$cache/autobahn" autobahntestsuite 2>"$work/pip.log" || { cat "$work/pip.log" >&2; exit 2; }
        touch "$cache/autobahn/zope/__init__.py"
    }
    old_python $here/echo.py $echoes &
    pids+=($!)
    serve
    answers "http://127.0.0.1:$echoes/"
    cat >"$work/cases.json" <<JSON
{ "outdir": "$work/reports", "cases": [${AUTOBAHN_CASES:-\"*\"}], "exclude-cases": [], "exclude-agent-cases": {},
  "servers": [ { "agent": "direct", "url": "ws://127.0.0.1:$echoes" }, { "agent": "clear", "url": "ws://localhost:$http/echo" },
               { "agent": "tls", "url": "wss://localhost:$https/echo" } ] }
JSON
    old_python -c 'from autobahntestsuite.wstest import run; run()' -m fuzzingclient -s "$work/cases.json"
    PYENV_VERSION=system python3 $here/differences.py "$work/reports/index.json" >"$work/verdict"
    sed '$d' "$work/verdict"
    # shellcheck disable=SC2046
    count "autobahn" $(tail -n 1 "$work/verdict")
}

old_python() {
    PYTHONPATH=$cache/autobahn PYTHONWARNINGS=ignore python2.7 "$@" >>"$work/autobahn.log" 2>&1
}
