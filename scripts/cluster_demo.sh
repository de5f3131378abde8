#!/usr/bin/env bash
# The whole line of a team on one machine: a cluster of three nodes with a token, an S3 server, the study `quick` as a job,
# a node killed on the way, an expert pulled elsewhere, its signature checked, its score, the run's series in Prometheus.
# Ends what it started and removes its folder. Arguments go to `roamrl submit quick`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

make_venv
if ! is_installed dev; then
    install dev '.[dev]'
fi
if ! command -v prometheus >/dev/null; then
    echo "Prometheus is missing: apt install prometheus" >&2
    exit 2
fi

bin="$PWD/.venv/bin"
place="$(mktemp -d "${TMPDIR:-/tmp}/roamrl-demo.XXXXXX")"
servers=()

finish() {
    status=$?
    trap - EXIT INT TERM
    "$bin/roamrl" cluster stop >"$place/stop.log" 2>&1 || cat "$place/stop.log" >&2
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    rm -rf "$place"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

# wait_for SECONDS WHAT COMMAND..: until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "waited in vain for $what" >&2
            exit 1
        fi
        sleep 1
    done
}

free_port() { "$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# field JSON PYTHON: what an expression of `it` gives.
field() { "$bin/python" -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

export ROAMRL_STATE_DIR="$place/nodes" RAY_AUTH_TOKEN_PATH="$place/token" ROAMRL_TRUSTED_KEYS="$place/trusted.json"
export ROAMRL_SIGNING_KEY="$place/key.pem" ROAMRL_CACHE="$place/cache" ROAMRL_SPOOL="$place/spool"
export OMP_NUM_THREADS=1
(umask 077 && "$bin/python" -c 'import secrets; print(secrets.token_hex(32))' >"$RAY_AUTH_TOKEN_PATH")

say "an S3 server, a key to sign with"
s3_port="$(free_port)"
"$bin/moto_server" -H 127.0.0.1 -p "$s3_port" >"$place/s3.log" 2>&1 &
servers+=($!)
export AWS_ENDPOINT_URL="http://127.0.0.1:$s3_port" AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
wait_for 60 "the S3 server" curl -sf -X PUT "$AWS_ENDPOINT_URL/team"
"$bin/roamrl" store keygen --out "$ROAMRL_SIGNING_KEY"
"$bin/roamrl" store trust add demo "$ROAMRL_SIGNING_KEY.pub"
"$bin/roamrl" store init s3://team/experts

say "a cluster of three nodes with a token"
address="$("$bin/roamrl" cluster start --port 0 --dashboard-port 0 --num-cpus 1 | tail -n 1)"
joined="$("$bin/roamrl" cluster status --json | field 'it[0]["address"]')"
"$bin/roamrl" cluster start --join "$joined" --num-cpus 1 >/dev/null
"$bin/roamrl" cluster start --join "$joined" --num-cpus 1 >/dev/null
"$bin/roamrl" cluster status
echo "a stranger is answered $(curl -s -o /dev/null -w '%{http_code}' "$address/api/jobs/")"

say "Prometheus watches"
prometheus_port="$(free_port)"
"$bin/roamrl" cluster monitoring --out "$place/monitoring" --address "$joined" --scrape-s 2 >/dev/null
prometheus --config.file="$place/monitoring/prometheus.yml" --storage.tsdb.path="$place/prometheus" \
    --web.listen-address="127.0.0.1:$prometheus_port" >"$place/prometheus.log" 2>&1 &
servers+=($!)

say "the study 'quick' as a job"
"$bin/roamrl" submit quick --address "$address" --store s3://team/experts --out "$place/run" "$@" \
    >"$place/job.log" 2>&1 &
job=$!
done_units() { [ -f "$place/run/manifest.jsonl" ] && [ "$(wc -l <"$place/run/manifest.jsonl")" -ge "$1" ]; }
wait_for 400 "the first trained units of the run" done_units 10

say "a worker node is killed"
victim="$("$bin/roamrl" cluster status --json | field '[n["pid"] for n in it if n["role"] == "worker"][-1]')"
pkill -KILL -s "$victim"
echo "killed node $victim, $(wc -l <"$place/run/manifest.jsonl") units of the run were done"
if ! wait "$job"; then
    tail -n 40 "$place/job.log" >&2
    exit 1
fi
tail -n 6 "$place/job.log"

say "an expert, elsewhere"
export ROAMRL_STORE="$place/elsewhere" ROAMRL_SIGNATURES=enforce
expert="$("$bin/roamrl" store ls --store s3://team/experts --strategy joint --json | field 'it[-1]["id"][:12]')"
"$bin/roamrl" store init "$ROAMRL_STORE" >/dev/null
"$bin/roamrl" store pull s3://team/experts "$expert"
"$bin/roamrl" store verify
"$bin/roamrl" evaluate "$expert" --study quick --split different --episodes 30

say "series in Prometheus"
curl -s "http://127.0.0.1:$prometheus_port/api/v1/label/__name__/values" |
    field '"\n".join(name for name in it["data"] if name.startswith("ray_roamrl"))' | tee "$place/series"
[ -s "$place/series" ] && [ -n "$(tr -d '[:space:]' <"$place/series")" ]

say "done"
