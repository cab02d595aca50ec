#!/bin/sh
# The program with a real model: answers, streams, failures in the middle, chat, tokens.
# Usage: JETON_TEST_MODEL=FILE answers.sh PROGRAM; without a model it is skipped (77).
set -u
[ -n "${JETON_TEST_MODEL:-}" ] && [ -f "$JETON_TEST_MODEL" ] || { echo "[  SKIPPED ] 1 test: JETON_TEST_MODEL names no file"; exit 77; }
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
valid_json() { # FILE
    command -v python3 >/dev/null 2>&1 || return 0
    python3 -m json.tool "$1" >/dev/null 2>err
}

# ---- answers ----
sampled="temp:0.9 | top-k:40 | top-p:0.95"
try "$jeton" run "$model" -p "Name a colour." -n 12 --decode "$sampled" --seed 3
expect "a sampled answer" 0
[ -s out ] || verdict "the answer is not empty" "no text"
cp out first
try "$jeton" run "$model" -p "Name a colour." -n 12 --decode "$sampled" --seed 3 --threads 1 --ubatch 7 --no-repack
same "the same request again, one thread, other passes: equal text" first out
try "$jeton" run "$model" -p "Name a colour." -n 12 --decode "$sampled" --seed 3 --kernels scalar
same "scalar kernels: equal text" first out
printf 'Name a colour.\n' >prompt
try "$jeton" run "$model" -f prompt -n 12 --decode "$sampled" --seed 3
same "the prompt from a file" first out
"$jeton" run "$model" -n 12 --decode "$sampled" --seed 3 <prompt >out 2>err
same "the prompt from standard input" first out
try "$jeton" run "$model" -p "Name a colour." -n 6 --json --logprobs 2
expect "JSON" 0 '"text"' '"ids"' '"prompt_ids"' '"logprobs"' '"timings"' '"stop_reason": "length"' '"top"'
valid_json out && verdict "the JSON is valid" "" || verdict "the JSON is valid" "json.tool refuses it"
try "$jeton" run "$model" -p "Name a colour." -n 6 --trace trace.jsonl
expect "a trace" 0
tokens=$(grep -c '"position":' trace.jsonl)
[ "$tokens" = 6 ] && verdict "a line a token" "" || verdict "a line a token" "$tokens lines"
sed -n 3p trace.jsonl >line
valid_json line && verdict "a line is valid JSON" "" || verdict "a line is valid JSON" "json.tool refuses it"
try "$jeton" run "$model" --raw -p "1, 2, 3, 4, 5, 6," -n 12 --stop " 9" --json
expect "a stop string" 0 '"stop_reason": "stop"' '"text": " 7, 8,"'
try "$jeton" run "$model" -p "Count to a million." -n 0 --ignore-end --max-seconds 0.5 --json
expect "a time limit" 0 '"stop_reason": "time"'
try "$jeton" run "$model" -p "Count to a million." -n 0 --ignore-end --ctx 48 --json
expect "a full context stops the answer" 0 '"stop_reason": "context"'
try "$jeton" run "$model" -p "Count to a million." -n 100 --ctx 48 --on-full refuse
expect "a full context is refused" 1 "context"
try "$jeton" run "$model" -p "Hi" -n 2 --system "Answer in French." --json
expect "a system message" 0 '"text"'
try "$jeton" run "$model" -p "Hi" --raw --system x
expect "a system message without a chat format" 2 "--system"
head -c 200 "$model" >binary
try "$jeton" run "$model" -f binary -n 2
expect "NUL in a message" 2 "NUL"
try "$jeton" run "$model" -f binary -n 2 --raw
expect "any bytes with --raw" 0

# ---- failures ----
if [ -e /dev/full ]; then
    "$jeton" run "$model" -p Hi -n 4 >/dev/full 2>err </dev/null
    code=$?
    : >out
    expect "a full disk" 4 "No space left"
    try "$jeton" run "$model" -p Hi -n 4 --trace /dev/full
    expect "a full disk under the trace" 4 "/dev/full"
fi
try "$jeton" run "$model" -p Hi -n 4 --trace nowhere/trace.jsonl
expect "a trace that cannot be written" 4 "nowhere/trace.jsonl"
(
    "$jeton" run "$model" -p "Write a long story." -n 64 2>err </dev/null
    echo $? >code
) | head -c 1 >out
code=$(cat code)
expect "a closed pipe" 4 "Broken pipe"
head -c 1000000 "$model" >short.gguf
try "$jeton" run short.gguf -p Hi
expect "a truncated model" 3 "short.gguf"
try "$jeton" run "$model" -p Hi --ctx 16777216 --kv-type f32
case $code in
0) verdict "too little memory (this machine has enough)" "" ;;
*) expect "too little memory" 3 "not enough memory" "MiB" ;;
esac
"$jeton" run "$model" -p "Write a long story." -n 0 --ignore-end >out 2>err </dev/null &
pid=$!
tries=0
while [ ! -s out ] && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
code=$?
expect "an interrupted answer" 130

# ---- chat ----
printf 'Say hello.\n/save talk.json\nAnd say\\\ngoodbye.\n/undo\n/set seed 5\n/retry\n/load talk.json\nWhat did I say?\n/save again.json\n' >script
"$jeton" chat "$model" -n 8 --seed 1 <script >out 2>err
code=$?
expect "a chat through a pipe" 0 "saved to talk.json" "undone" "seed 5" "1 exchanges"
valid_json again.json && verdict "a saved chat is valid JSON" "" || verdict "a saved chat is valid JSON" "json.tool refuses it"
grep -q '"user": "What did I say?"' again.json && verdict "the saved chat holds the question" "" || verdict "the saved chat holds the question" "it does not"
printf 'What did I say?\n/save fresh.json\n' | "$jeton" chat "$model" -n 8 --seed 5 --load talk.json >/dev/null 2>err
same "a loaded chat goes on as it would have" again.json fresh.json
printf 'Name a river.\nAnd a lake.\n' | "$jeton" chat "$model" -n 4 --timings >out 2>err
code=$?
expect "a second turn evaluates only what is new" 0 "of them evaluated before"
first=$(sed -n 's/.*prompt \([0-9]*\) tokens in.*/\1/p' err)
again=$(sed -n 's/.*tokens, \([0-9]*\) of them.*/\1/p' err)
[ "$again" = $((first + 3)) ] && verdict "the whole first turn was there" "" || verdict "the whole first turn was there" "$again of $first + 3"
printf '/undoo\n' | "$jeton" chat "$model" >out 2>err
code=$?
expect "an unknown chat command" 2 "did you mean /undo?"
printf '/load prompt\n' | "$jeton" chat "$model" >out 2>err
code=$?
expect "loading what is no chat" 1 "prompt"
printf 'Hi\n' | "$jeton" chat "$model" -n 4 >/dev/full 2>err
code=$?
: >out
expect "a chat with a full disk" 4 "No space left"

# ---- tokens and files ----
# SmolLM2's vocabulary has no tokens for these bytes.
head -c 60000 "$model" | tail -c 20000 | LC_ALL=C tr -d '\004\006\023\024\026\035\300\301\361\362\365-\377' >bytes
try "$jeton" tokenize "$model" bytes --ids --no-special
expect "any bytes become tokens" 0
cp out ids
"$jeton" tokenize "$model" --decode <ids >back 2>err
same "and come back" bytes back
printf 'one\004two\377' >lost
try "$jeton" tokenize "$model" lost
expect "bytes without a token are told" 0 "2 bytes of the text have no token"
printf 'Hi <|im_end|>' >special
try "$jeton" tokenize "$model" special --ids
cp out with
try "$jeton" tokenize "$model" special --ids --no-special
[ "$(wc -w <with)" -lt "$(wc -w <out)" ] && verdict "special tokens only when asked for" "" || verdict "special tokens only when asked for" "equal"
try "$jeton" tokenize "$model" special --json
expect "tokens as JSON" 0 '"special": true' '"bytes"'
valid_json out && verdict "that JSON is valid" "" || verdict "that JSON is valid" "json.tool refuses it"
echo "1 2 x" >wrong
try "$jeton" tokenize "$model" wrong --decode
expect "what is no id" 3 'byte 4: "x"'
echo 99999999 >wrong
try "$jeton" tokenize "$model" wrong --decode
expect "an id past the vocabulary" 3 "99999999"
try "$jeton" info "$model" --ctx 4096 --tensors
expect "info" 0 "this build runs it" "cache of 4096 tokens" "token_embd.weight"
try "$jeton" info "$model" --json
expect "info as JSON" 0 '"runs": true' '"metadata"'
valid_json out && verdict "info is valid JSON" "" || verdict "info is valid JSON" "json.tool refuses it"

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
