#!/bin/sh
# The examples on a real model. Usage: JETON_TEST_MODEL=FILE examples.sh GENERATE CUSTOM_STAGE OWN_STRATEGY HOOKS; skipped (77) without a model.
set -u
model=${JETON_TEST_MODEL:-}
[ -n "$model" ] && [ -f "$model" ] || { echo "JETON_TEST_MODEL names no file: skipped"; exit 77; }
fail() { echo "$1"; exit 1; }
a="What is the capital of France?" b="Name three colours."
both=$("$1" "$model" "temp:0.8 | top-p:0.9" "$a" "$b" | sort) || fail "generate failed"
turned=$("$1" "$model" "temp:0.8 | top-p:0.9" "$b" "$a" | sed 's/^1 (/x (/; s/^2 (/1 (/; s/^x (/2 (/' | sort)
one=$("$1" "$model" "temp:0.8 | top-p:0.9" "$a")
[ "$both" = "$turned" ] || fail "answers depend on their order: $both / $turned"
case $both in *"$one"*) ;; *) fail "an answer depends on its company: $both / $one" ;; esac
"$1" "$model" "topp:1" "$a" 2>&1 | grep -q 'the nearest is "top-p"' || fail "a bad pipeline is not refused"
out=$("$2" "$model" "Tell me a story." "lipogram:e | temp:0.8") || fail "custom_stage failed"
echo "$out" | head -n 1 | grep -q 'lipogram:letter=e,penalty=100' || fail "the stage is not in the canonical text"
echo "$out" | sed '1d;$d' | grep -qi e && fail "there is an e: $out"
echo "$out" | grep -q 'over [1-9][0-9]* tokens' || fail "nothing was written"
out=$("$3" "$model" "Repeat three times: the quick brown fox jumps over the lazy dog." "temp:0.2") || fail "own_strategy failed: $out"
echo "$out" | grep -q 'the text is the same' || fail "lookup changes the text: $out"
out=$("$4" "$model" "$model" "Name a colour.") || fail "hooks failed"
[ "$(echo "$out" | grep '^[123]: ' | cut -c3- | sort -u | wc -l)" -eq 3 ] || fail "branches that keep apart are not three: $out"
echo "$out" | grep -q 'over [1-9][0-9]* tokens' || fail "no hidden vectors: $out"
