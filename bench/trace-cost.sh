#!/bin/sh
# trace-cost.sh JETON MODEL: what a trace costs. The same answer with and without one, in turn, and the median of the
# ratios of tokens a second. Pipeline and length are those of docs/traces.md.
set -eu
jeton=$1 model=$2 pipeline=${3:-"temp:0.8 | top-k:40 | top-p:0.95 | min-p:0.05"}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
run() { # file, more options
    name=$1
    shift
    "$jeton" run "$model" -p "Tell a story of a river." -n 128 --ignore-end --seed 3 --decode "$pipeline" --json "$@" >"$out/$name" 2>/dev/null
}
run warm
for i in 1 2 3 4 5 6 7; do
    run "off$i"
    run "on$i" --trace "$out/trace.jsonl"
done
ls -l "$out/trace.jsonl" | awk '{ printf "trace: %d bytes a token\n", $5 / 128 }'
python3 - "$out" <<'END'
import json, sys
def speed(name):
    return json.load(open(f"{sys.argv[1]}/{name}"))["timings"]["answer_tokens_per_second"]
rows = [(speed(f"off{i}"), speed(f"on{i}")) for i in range(1, 8)]
ratio = sorted(a / b for a, b in rows)
print("off " + ", ".join(f"{a:.1f}" for a, _ in rows) + " tokens a second")
print("on  " + ", ".join(f"{b:.1f}" for _, b in rows) + " tokens a second")
print(f"time with a trace: {100 * (ratio[3] - 1):+.1f} % (median; {100 * (ratio[0] - 1):+.1f} to {100 * (ratio[-1] - 1):+.1f})")
END
