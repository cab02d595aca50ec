#!/bin/sh
# Tasks and recipes with a real model: measures, a kill in the middle, other settings, pairs, what is wrong in a file.
# Usage: JETON_TEST_MODEL=FILE eval.sh PROGRAM; without a model it is skipped (77).
set -u
[ -n "${JETON_TEST_MODEL:-}" ] && [ -f "$JETON_TEST_MODEL" ] || { echo "[  SKIPPED ] 1 test: JETON_TEST_MODEL names no file"; exit 77; }
recipes=$(realpath "$(dirname "$0")/../../recipes")
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
task=$recipes/data/elementary.yaml

# ---- multiple choice ----
try "$jeton" eval "$task" --model "$model" --limit 12 -o whole.jsonl
expect "a task" 0 "elementary: 12 of 12 items" "acc_norm" "(Wilson)" "gold_logprob" "(normal)"
try "$jeton" eval task "$task" --model "$model" --limit 12 -o whole.jsonl --json
expect "again it is there" 0 '"answered": 12' '"acc": {"value": ' "12 of the results were there before"
"$jeton" eval "$task" --model "$model" --limit 12 --jobs 1 -o alone.jsonl >out 2>err
sort whole.jsonl >a && sort alone.jsonl >b
same "items alone and together are the same" a b
try "$jeton" eval "$task" --model "$model" --limit 12 -o whole.jsonl -d temp:2
expect "other settings are refused" 2 "the result of another request, model or setting"
try "$jeton" eval "$task" --model "$model" --limit 12 -o warm.jsonl -d temp:2
try "$jeton" eval compare whole.jsonl warm.jsonl
expect "a paired comparison" 0 "12 items of both" "acc_norm" "only in A"
try "$jeton" eval "$task" --model "$model" -d "best-of-n:n=2 > sample"
expect "a strategy for likelihoods is refused" 1 "strategies stand before"

# ---- generation, killed and gone on with ----
story=$recipes/data/stories.yaml
try "$jeton" eval "$story" --model "$model" --limit 6 -d "temp:0.8" --seed 3 -o full.jsonl
expect "generation" 0 "tokens" "repetition" "logprob"
: >cut.jsonl
"$jeton" eval "$story" --model "$model" --limit 6 -d "temp:0.8" --seed 3 --jobs 1 -o cut.jsonl >out 2>err &
pid=$!
n=0
while [ "$n" -lt 300 ] && [ "$(wc -l <cut.jsonl)" -lt 2 ]; do
    n=$((n + 1))
    sleep 0.1
done
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
printf '{"index": 5, "id": nu' >>cut.jsonl # what a write that was cut leaves
try "$jeton" eval "$story" --model "$model" --limit 6 -d "temp:0.8" --seed 3 -o cut.jsonl
expect "after a kill it goes on" 0 "6 of 6 items" "of the results were there before"
sort full.jsonl >a && sort cut.jsonl >b
same "and says the same" a b

# ---- whole texts ----
printf 'task: w\noutput_type: loglikelihood_rolling\ndata: w.jsonl\ndoc_to_text: text\n' >w.yaml
printf '{"text": "The sun is a star."}\n{"text": "Water is wet, and ice is cold."}\n' >w.jsonl
try "$jeton" eval w.yaml --model "$model"
expect "perplexity of texts" 0 "word_perplexity" "byte_perplexity" "bits_per_byte"

# ---- recipes ----
cat >r.yaml <<END
recipe: r
method: temp
claim: Cold text is likelier
source: none
model: $model
task: $story
limit: 3
seeds: [1, 2]
effects:
  - {what: mean logprob, measure: logprob, direction: higher, at_least: 0.2, with: "temp:0.3", without: "temp:1.5"}
  - {what: and the other way, measure: logprob, direction: lower, at_least: 0.2, with: "temp:0.3", without: "temp:1.5"}
neutral: {with: "temp:1 | top-p:1", without: "temp:1"}
END
try "$jeton" reproduce r.yaml --keep runs
expect "a recipe" 0 "at least 0.2: agrees" "at least 0.2: does not agree" "6 of 6 equal: no effect"
sed 's/neutral: .*/neutral: {with: "temp:0.3", without: "temp:1.5"}/' r.yaml >v.yaml
try "$jeton" reproduce v.yaml --json
expect "a control with an effect makes it void" 1 '"verdict": "void"' '"control_holds": false'
mkdir all && cp r.yaml all && sed 's/^recipe: r/recipe: q/; s/^model: .*/model: nowhere/' r.yaml >all/q.yaml
try "$jeton" reproduce --all --folder all -o page.md --keep runs
expect "all recipes; one without its model" 3 "q needs the model nowhere"
cp page.md out
expect "the page" 3 "Not run: a model of it was not there (nowhere)" "| agrees |" "does not agree |"

# ---- what is wrong ----
try "$jeton" eval nowhere.yaml
expect "no such task" 3 "nowhere.yaml"
printf 'task: t\noutput_typ: x\n' >bad.yaml
try "$jeton" eval bad.yaml
expect "an unknown key" 2 "bad.yaml:2: " 'did you mean "output_type"?'
try "$jeton" eval w.yaml --model "$model" --data /dev/null
expect "no data" 3 "no data in it"
try "$jeton" reproduce
expect "a recipe is wanted" 2 "give the name of a recipe, or --all"
try "$jeton" reproduce none
expect "no such recipe" 3 "recipes/none.yaml"

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || { echo "[  FAILED  ] $failed tests."; exit 1; }
