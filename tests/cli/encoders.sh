#!/bin/sh
# Encoders: embed, classify and rerank on tiny models, and what decoder commands say of them.
# Usage: encoders.sh PROGRAM. Prints its counts as the other test programs do.
set -u
fixtures=$(realpath "$(dirname "$0")/../fixtures")
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
bert=$fixtures/encoders/bert rank=$fixtures/encoders/bert-rank classes=$fixtures/encoders/bert-classes
printf 'one text\nanother, one\n\n' >texts

try "$jeton" embed "$bert" "one text" "another, one" ""
expect "vectors of arguments" 0
cp out args
[ "$(wc -l <args)" -eq 3 ] && [ "$(head -n 1 args | wc -w)" -eq 32 ] && verdict "three rows of 32" "" || verdict "three rows of 32" "not so"
"$jeton" embed "$bert" -f texts --threads 2 --ubatch 16 >lines 2>err
same "the same of lines of a file" args lines
"$jeton" embed "$bert" "another, one" >alone 2>err
sed -n 2p args >second
same "a text does not depend on the others" alone second
"$jeton" embed "$bert" -f texts --format npy >npy 2>err
[ "$(wc -c <npy)" -eq $((128 + 3 * 32 * 4)) ] && verdict "an array" "" || verdict "an array" "$(wc -c <npy) bytes"
try "$jeton" embed "$bert" "a b" --format json --pooling cls --no-normalize
expect "JSON" 0 '"index": 0, "tokens": 4, "embedding": ['
try "$jeton" embed "$bert" "a b" --pooling pooler
expect "the pooler" 0
try "$jeton" embed "$fixtures/encoders/bert-rank" "$(printf 'a %.0s' $(seq 60))"
expect "a text that is too long" 3 "62 tokens" "--truncate"
try "$jeton" embed "$rank" "$(printf 'a %.0s' $(seq 60))" --truncate
expect "cut" 0
try "$jeton" embed "$bert" x -f texts
expect "texts given twice" 2 "choose one"
try "$jeton" embed "$fixtures/encoders/modern" x
expect "no tokenizer" 3 "no tokenizer"
try "$jeton" classify "$classes" "so it is" "$(printf 'a pair\tof texts')" --json
expect "labels" 0 '"index": 1, "label": "' '"logits": ['
try "$jeton" classify "$bert" x
expect "no head" 3 "no head" "jeton embed"
try "$jeton" rerank "$rank" "what is it" "a thing" "another" "it is"
expect "ranked" 0 "a thing" "another"
try "$jeton" rerank "$rank" "what is it" -f texts -n 1 --json
expect "the best" 0 '"score": '
try "$jeton" rerank "$classes" q x
expect "three labels rank nothing" 3 "jeton classify"
try "$jeton" run "$bert" -p x
expect "run needs a decoder" 3 "is an encoder" "jeton embed"
try "$jeton" bench "$bert"
expect "so does bench" 3 "is an encoder"
try "$jeton" convert "$bert" bert.gguf -t f32
expect "to GGUF" 0 "tensors"
"$jeton" embed "$bert" -f texts --normalize >lines 2>err
"$jeton" embed bert.gguf -f texts --pooling mean --kv-type f16 >gguf 2>err
same "the file gives what the folder gives" lines gguf
try "$jeton" info bert.gguf
expect "info" 0 "this build runs it"
try sh -c 'echo "a, b" | "$0" tokenize bert.gguf --ids' "$jeton"
expect "its tokens" 0 "2 5 58 6 3"

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
