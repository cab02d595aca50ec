#!/bin/sh
# The examples of the primitives, on a tiny model and on JETON_TEST_MODEL where it names a file.
# Usage: examples.sh FORK_AND_COMPARE TREE_EVAL TAP TOKENSELECT
set -u
fail() { echo "$1"; exit 1; }
try() { # model, layers
    one=$("$1" "$4" "The capital of France is" " Paris") || fail "fork_and_compare failed"
    all=$("$1" "$4" "The capital of France is" " Rome" " Paris" " a city") || fail "fork_and_compare failed"
    case $all in *"$one"*) ;; *) fail "a score depends on its company: $one / $all" ;; esac
    [ "$(echo "$all" | wc -l)" = 3 ] || fail "not a score each: $all"

    # A text that repeats itself gives guesses; one that does not is decoded one by one. Both give the same tokens.
    text="one two three four, one two three four, one two three four, one two"
    short=$("$2" "$4" "$text" 12) || fail "tree_eval failed"
    long=$("$2" "$4" "$text" 24) || fail "tree_eval failed"
    case $(echo "$long" | head -n 1) in "$(echo "$short" | head -n 1)"*) ;; *) fail "a longer answer begins otherwise: $short / $long" ;; esac
    echo "$long" | tail -n 1 | grep -q '^24 tokens in [0-9]* evals$' || fail "no count: $long"

    plain=$("$3" "$4" "The capital of France is") || fail "tap failed"
    [ "$(echo "$plain" | grep -c '^before layer')" = "$5" ] || fail "not a line a layer: $plain"
    pushed=$("$3" "$4" "The capital of France is" 1 0) || fail "tap failed"
    # A push of nothing says what the end says.
    [ "$(echo "$pushed" | sed -n 's/^at the end *[0-9]*: *//p')" = "$(echo "$pushed" | sed -n 's/^pushed after *[0-9]*: *//p')" ] ||
        fail "a push of strength 0 changes the answer: $pushed"
    moved=$("$3" "$4" "The capital of France is" 1 3) || fail "tap failed"
    [ "$(echo "$moved" | tail -n 1)" != "$(echo "$pushed" | tail -n 1)" ] || fail "a push changes nothing: $moved"
    "$3" "$4" "x" "$5" 1 2>&1 | grep -q "layer $5: the model has $5" || fail "a wrong layer is not refused"
}
# A selection of all keys says what all keys say; one of few reads few.
selects() { # model
    text="one two three four, one two three four, one two three four, five six seven, one two three four, one two three four, one two"
    all=$("$select" "$1" "$text" 1000 8 2 8) || fail "tokenselect failed"
    [ "$(echo "$all" | sed -n 's/^all keys: *//p')" = "$(echo "$all" | sed -n 's/^selected: *//p')" ] || fail "all keys differ from all keys: $all"
    few=$("$select" "$1" "$text" 4 4 1 8) || fail "tokenselect failed"
    [ "$(echo "$few" | sed -n 's/^all keys: *//p')" = "$(echo "$all" | sed -n 's/^all keys: *//p')" ] || fail "all keys change: $few"
    [ "$(echo "$few" | sed -n 's/^selected: *//p')" != "$(echo "$all" | sed -n 's/^selected: *//p')" ] || fail "a selection changes nothing: $few"
    [ "$(echo "$few" | sed -n 's/^\([0-9]*\)\.[0-9] % of the keys.*/\1/p')" -lt 70 ] || fail "few keys are most: $few"
}
select=$4
try "$1" "$2" "$3" tests/fixtures/hf-tiny/llama 3
selects tests/fixtures/hf-tiny/llama
model=${JETON_TEST_MODEL:-}
[ -n "$model" ] && [ -f "$model" ] || exit 0
layers=$("$3" "$model" "x" | grep -c '^before layer')
try "$1" "$2" "$3" "$model" "$layers"
selects "$model"
"$1" "$model" "The capital of France is" " Paris" " Rome" | sort -rn | head -n 1 | grep -q Paris || fail "Paris is not the likelier one"
evals=$("$2" "$model" "one two three four, one two three four, one two three four, one two" 24 | sed -n 's/.* in \([0-9]*\) evals$/\1/p')
[ "$evals" -lt 20 ] || fail "guesses save nothing: $evals evals for 24 tokens"
