#!/bin/sh
# Batches with a real model: results, bad lines, order, memory, a kill in the middle, branches of a chat.
# Usage: JETON_TEST_MODEL=FILE batch.sh PROGRAM; without a model it is skipped (77).
set -u
[ -n "${JETON_TEST_MODEL:-}" ] && [ -f "$JETON_TEST_MODEL" ] || { echo "[  SKIPPED ] 1 test: JETON_TEST_MODEL names no file"; exit 77; }
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
results() { sed 's/, "timings".*//' "$1" | sort; } # without what differs from run to run
lines() { # FILE COUNT NAME
    [ "$(wc -l <"$1")" = "$2" ] && verdict "$3" "" || verdict "$3" "$(wc -l <"$1") lines, not $2"
}

# ---- results ----
cat >in.jsonl <<'EOF'
{"id": "a", "prompt": "Name a colour.", "max_tokens": 6}
{"id": 2, "messages": [{"role": "user", "content": "Name a river."}], "decode": "temp:0.9 | top-p:0.9", "seed": 3, "logprobs": 2}

{"id": "bad", "promt": "x"}
{"id": "raw", "prompt": "1, 2, 3, 4, 5, 6,", "raw": true, "stop": " 9", "max_tokens": 12}
{"id": "several", "prompt": "Say hi.", "decode": "parallel:n=2 > sample | temp:0.9", "max_tokens": 4}
not JSON
{"prompt": "Name a fruit.", "decode": "r2r:theta=1"}
EOF
try "$jeton" batch in.jsonl result.jsonl "$model" -n 4
expect "a batch with bad lines" 1 "7 of 7 lines have results" "3 of the results are errors"
lines result.jsonl 7 "a line of results for each line"
cp result.jsonl out
expect "what it says" 1 '"id": "bad"' 'line 4: a line of a batch has no key \"promt\"; did you mean \"prompt\"?' '"stop_reason": "stop"' \
    '"text": " 7, 8,"' '"answers": [{' '"id": 2' '"top": [[' 'line 7: ' 'role \"large\"' '"timings"' '"index": 6, "id": null'
if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import json, sys; [json.loads(l) for l in open(sys.argv[1])]' result.jsonl 2>err && verdict "every line is JSON" "" ||
        verdict "every line is JSON" "one is not"
fi
results result.jsonl >first
"$jeton" run "$model" -p "Name a river." -n 4 --decode "temp:0.9 | top-p:0.9" --seed 3 --json 2>err | sed 's/.*"ids": \(\[[^]]*\]\).*/\1/' >alone
grep '"id": 2' result.jsonl | sed 's/.*"ids": \(\[[^]]*\]\), "logprobs.*/\1/' >beside
same "a line says what 'jeton run' says alone" alone beside
try "$jeton" batch in.jsonl result.jsonl "$model" -n 4
expect "the same again does nothing" 1 "now 0, 0 tokens"
lines result.jsonl 7 "and adds nothing"
try "$jeton" batch in.jsonl ordered.jsonl "$model" -n 4 --ordered --jobs 2 --cache-memory 8
expect "two at a time, in order, little memory" 1 "7 of 7"
sed 's/{"index": \([0-9]*\).*/\1/' ordered.jsonl >order
printf '0\n1\n2\n3\n4\n5\n6\n' >want
same "the order" order want
results ordered.jsonl >second
same "the same results" first second
try "$jeton" batch in.jsonl small.jsonl "$model" -n 4 --cache-memory 2 --stop 9
expect "less memory than a line could need" 1
grep -q "the limit is 2.0 MiB" small.jsonl && verdict "it says so" "" || verdict "it says so" "it does not"
try "$jeton" batch in.jsonl result.jsonl "$model" -n 4 --model2 "large=$model"
expect "results of other settings" 2 "result.jsonl:1:" "--restart"
try "$jeton" batch in.jsonl result.jsonl "$model" -n 4 --model2 "large=$model" --restart
expect "beginning anew, with a second model" 1 "2 of the results are errors"
grep -q '"index": 6.*"text"' result.jsonl && verdict "the second model is there" "" || verdict "the second model is there" "it is not"
try "$jeton" batch in.jsonl result.jsonl "$model" -n 4 --model2 "large=$model" --retry-errors
expect "errors are tried again" 1 "now 2"
lines result.jsonl 9 "and written again"
try "$jeton" run "$model" -p Hi -n 2 --model2 "large=$model" --decode "r2r:theta=0.5"
expect "a second model for run" 0
try "$jeton" run "$model" -p Hi -n 2 --model2 large
expect "a second model without a role" 2 "ROLE=MODEL"

# ---- failures ----
try "$jeton" batch in.jsonl in.jsonl "$model"
expect "a file that holds no results" 2 "in.jsonl:1: no result of a batch"
try "$jeton" batch nothing.jsonl result.jsonl "$model"
expect "no input" 3 "nothing.jsonl"
try "$jeton" batch in.jsonl
expect "no output" 2 "OUT"
try "$jeton" batch in.jsonl nowhere/result.jsonl "$model"
expect "an output that cannot be made" 4 "nowhere/result.jsonl"
if [ -e /dev/full ]; then
    try "$jeton" batch in.jsonl /dev/full "$model" -n 2
    expect "a full disk" 4 "No space left"
fi
: >empty
try "$jeton" batch empty - "$model"
expect "nothing to do" 0 "0 of 0"

# ---- a kill in the middle ----
i=0
while [ $i -lt 24 ]; do
    echo "{\"id\": $i, \"prompt\": \"Count from $i.\", \"decode\": \"temp:1.2\", \"seed\": $i, \"max_tokens\": $((i % 5 + 3))}"
    i=$((i + 1))
done >many.jsonl
try "$jeton" batch many.jsonl whole.jsonl "$model"
expect "without a kill" 0 "24 of 24"
results whole.jsonl >want
for signal in KILL INT; do
    rm -f killed.jsonl
    "$jeton" batch many.jsonl killed.jsonl "$model" --jobs 2 >out 2>err </dev/null &
    pid=$!
    tries=0
    while [ "$(cat killed.jsonl 2>/dev/null | wc -l)" -lt 5 ] && [ $tries -lt 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -$signal $pid
    wait $pid 2>/dev/null
    code=$?
    [ $signal = KILL ] || expect "an interrupted batch" 130 "the same command goes on"
    had=$(wc -l <killed.jsonl)
    [ "$had" -ge 5 ] && [ "$had" -lt 24 ] && verdict "$signal: some results are there" "" || verdict "$signal: some results are there" "$had"
    [ $signal = INT ] || printf '{"index": 23, "id": 23, "req' >>killed.jsonl
    try "$jeton" batch many.jsonl killed.jsonl "$model"
    expect "$signal: going on" 0 "24 of 24 lines have results (some from before); now $((24 - had)),"
    results killed.jsonl >have
    same "$signal: the same results as without it" have want
done

# ---- branches of a chat ----
printf 'Say hello.\n/fork\nAnd bye.\n/switch 1\nThanks.\n/switch 3\n/save talk.json\n/clear\n/load talk.json\n/branches\n/switch 2\nEnd.\n/save again.json\n' |
    "$jeton" chat "$model" -n 4 >out 2>err
code=$?
expect "branches" 1 "branch 2 of 2" "1 to 2" "2 branches; this is 1" "* 1: 2 exchanges" "  2: 2 exchanges" "And bye."
grep -q '"jeton_chat": 2' again.json && grep -q '"user": "Thanks."' again.json && grep -q '"user": "End."' again.json &&
    verdict "all are saved" "" || verdict "all are saved" "they are not"

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
