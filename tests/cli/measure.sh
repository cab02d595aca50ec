#!/bin/sh
# The program measuring: eval and bench on tiny models, and on a real one when JETON_TEST_MODEL names its file.
# Usage: measure.sh PROGRAM. Prints its counts as the other test programs do.
set -u
tiny=$(realpath tests/fixtures/hf-tiny/llama)
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
valid_json() { # NAME FILE
    command -v python3 >/dev/null 2>&1 || return 0
    python3 -m json.tool "$2" >/dev/null 2>err && verdict "$1" "" || verdict "$1" "no JSON"
}

# ---- logits ----
ids=$tiny/expected.safetensors
try "$jeton" eval logits "$tiny" --ids "$ids" -o a.safetensors --activations float --hidden --threads 1
expect "logits of a tensor of ids" 0
try "$jeton" eval logits "$tiny" --ids "$ids" -o b.safetensors --activations float --hidden --threads 2 --ubatch 5 --no-repack
expect "logits in smaller batches" 0
same "the same file on other threads, in other batches, not repacked" a.safetensors b.safetensors
lora=$tiny/../../lora/wide
try "$jeton" eval logits "$tiny" --ids "$ids" -o l.safetensors --activations float --hidden --lora "$lora" --threads 1
expect "logits with an adapter" 0
cmp l.safetensors a.safetensors >/dev/null && verdict "an adapter changes them" "nothing changed" || verdict "an adapter changes them" ""
try "$jeton" eval logits "$tiny" --ids "$ids" -o k.safetensors --activations float --hidden --lora "$lora.gguf:1" --threads 2 --ubatch 5
same "the same adapter from a GGUF file" l.safetensors k.safetensors
try "$jeton" eval logits "$tiny" --ids "$ids" -o k.safetensors --activations float --hidden --lora "$lora:0"
same "an adapter without strength" a.safetensors k.safetensors
try "$jeton" eval logits "$tiny" --ids "$ids" -o k.safetensors --lora "$lora:x"
expect "an adapter that is not there" 3 "wide:x"
try "$jeton" eval logits "$tiny" --ids "$ids" -o k.safetensors --lora "$lora:inf"
expect "a strength that is not finite" 2 "scale=inf"
try "$jeton" eval logits "$tiny" --ids "$ids" -o k.safetensors --lora "wide=$lora"
expect "a name where none is asked" 2 "eval logits takes an adapter without a name"

# ---- adapters by name ----
line() { printf '{"id": "%s", "prompt": [5, 6, 7, 8, 9, 10]%s}\n' "$1" "$2"; }
text_of() { sed -n "s/^.*\"id\": \"$1\".*\"ids\": \(\[[^]]*\]\).*$/\1/p" "$2"; }
{ line wide ', "adapter": "wide"'; line half ', "adapter": "half"'; line none ', "adapter": ""'; line other ', "adapter": "narrow"'; } >in.jsonl
try "$jeton" batch in.jsonl many.jsonl "$tiny" --lora "wide=$lora" --lora "half=$lora.gguf:0.5" --lora "narrow=$tiny/../../lora/narrow" -n 12 --ignore-end
expect "lines with adapters of their own" 0
for name in wide half none other; do
    line "$name" "" >one.jsonl
    case $name in wide) use=$lora ;; half) use=$lora:0.5 ;; none) use=$lora:0 ;; other) use=$tiny/../../lora/narrow ;; esac
    try "$jeton" batch one.jsonl "$name.jsonl" "$tiny" --lora "$use" -n 12 --ignore-end
    [ -n "$(text_of "$name" many.jsonl)" ] && [ "$(text_of "$name" many.jsonl)" = "$(text_of "$name" "$name.jsonl")" ]
    [ $? = 0 ] && verdict "$name is what it is alone" "" || verdict "$name is what it is alone" "$(cat many.jsonl "$name.jsonl")"
done
[ "$(text_of wide many.jsonl)" != "$(text_of none many.jsonl)" ] && verdict "an adapter changes the text" "" || verdict "an adapter changes the text" "the same"
line x ', "adapter": "wyde"' >one.jsonl
try "$jeton" batch one.jsonl bad.jsonl "$tiny" --lora "wide=$lora"
expect "an unknown adapter" 1
grep -q 'adapter \\"wyde\\" is unknown; the nearest is \\"wide\\"' bad.jsonl && verdict "and its nearest" "" || verdict "and its nearest" "$(cat bad.jsonl)"
try "$jeton" batch one.jsonl bad2.jsonl "$tiny" --lora "$lora" --lora "$lora.gguf"
expect "two adapters without names" 2 "all but one must have names"
try "$jeton" batch one.jsonl bad.jsonl "$tiny" --lora "wide=$lora.gguf:0.25"
expect "results of another adapter are not taken over" 2 "other"

printf '1 2 3\n\n4,5,\t6\r\n' >ids.txt
try "$jeton" eval logits "$tiny" --ids ids.txt -o c.safetensors
expect "logits of lines of ids" 0
[ "$(wc -c <c.safetensors)" -gt $((2 * 3 * 320 * 4)) ] && [ "$(wc -c <c.safetensors)" -lt $((2 * 3 * 320 * 4 + 200)) ]
[ $? = 0 ] && verdict "two rows of three" "" || verdict "two rows of three" "$(wc -c <c.safetensors) bytes"
printf '1 2 3\n4 5\n' >ragged.txt
try "$jeton" eval logits "$tiny" --ids ragged.txt -o d.safetensors
expect "ragged lines" 2 "line 2 has 2 ids"
[ ! -e d.safetensors ] && verdict "nothing is left of a refused file" "" || verdict "nothing is left of a refused file" "d.safetensors"
printf '1 320\n' >outside.txt
try "$jeton" eval logits "$tiny" --ids outside.txt -o d.safetensors
expect "an id outside the vocabulary" 2 "id 320 at place 2 of row 1"
printf '1 x\n' >word.txt
try "$jeton" eval logits "$tiny" --ids word.txt -o d.safetensors
expect "a word among ids" 3 "line 1: 'x'"
try "$jeton" eval logits "$tiny" --ids "$ids" --tensor nothing -o d.safetensors
expect "a tensor that is not there" 3 "no tensor nothing"
try "$jeton" eval logits "$tiny" --ids "$ids" --tensor logits -o d.safetensors
expect "a tensor that holds no ids" 3 "integers"
try "$jeton" eval logits "$tiny" --ids ids.txt
expect "no name for the result" 2 "-o"
try "$jeton" eval logits "$tiny" --ids ids.txt -o nowhere/d.safetensors
expect "no folder for the result" 4 "nowhere"
if [ -c /dev/full ]; then
    try "$jeton" eval logits "$tiny" --ids ids.txt -o /dev/full
    expect "a full disk" 4 "/dev/full"
fi

# ---- texts ----
echo "some text" >text
try "$jeton" eval ppl "$tiny" text
expect "a model without a tokenizer" 3 "no tokenizer"
try "$jeton" eval ppl "$tiny" text --chunk 1
expect "a chunk of one token" 2 "--chunk"
try "$jeton" eval kl "$tiny:activations=floaty" "$tiny" text
expect "a mode that is not there" 2 "activations=floaty" "activations=float" "activations=bf16"

# ---- speed ----
try "$jeton" bench "$tiny" -p 8,16 -n 4 -r 2 --no-limits --json --first-token
expect "speed as JSON" 0 '"results"' '"test": "pp8"' '"test": "pp16"' '"test": "tg4"' '"tokens_per_second"' '"format": "f32"' '"first_token_seconds"'
valid_json "the JSON of bench" out
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --no-limits
expect "speed as a table" 0 "| test" "pp8"
try "$jeton" bench "$tiny" -p 8 -n 4 -d 0,40 --batch 1,3 -r 2 --no-limits --json
expect "depths and batches" 0 '"test": "pp8 @ d40 x3"' '"test": "tg4 x3"' '"n_depth": 40, "n_batch": 3'
try "$jeton" bench "$tiny" -p 8 -n 4 -r 1 --no-limits --operators
expect "time by operator" 0 "pp8: " "tg4: " "matmul " "head " " %, of "
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --no-limits --operators --json
expect "time by operator as JSON" 0 '"operators": {' '"matmul": '
valid_json "the JSON of operators" out
try "$jeton" bench "$tiny" -p 8 -n 4 -d 0,40 --batch 1,3 -r 2 --no-limits --json
cp out then.json
try "$jeton" bench "$tiny" -p 8,16 -n 0 -r 1 --no-limits --json --baseline then.json
expect "beside an earlier run" 0 '"ratio_to_baseline": null' '"ratio_to_baseline": '
valid_json "the JSON beside an earlier run" out
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --no-limits --baseline then.json --activations float --threads 3
expect "an earlier run elsewhere" 0 "then.json" "another model, mode"
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --no-limits --threads 1000
expect "more threads than processors" 0 "--threads 1000: this process may use" "| pp8"
echo '{}' >none.json
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --no-limits --baseline none.json
expect "an earlier run without results" 3 "none.json holds no results"
try "$jeton" bench "$tiny" -p 8 -n 4 -r 1 --plot roof.svg
expect "a plot" 0 "limits at"
grep -q '</svg>' roof.svg && grep -q '>tg4<' roof.svg && verdict "the plot has its tests" "" || verdict "the plot has its tests" "none"
try "$jeton" bench "$tiny" -p 8 -n 0 -r 1 --plot nowhere/roof.svg
expect "no folder for the plot" 4 "nowhere"
try "$jeton" bench "$tiny" -p 8 --no-limits --plot roof.svg
expect "a plot without limits" 2 "--no-limits"
try "$jeton" bench "$tiny" --batch 65
expect "too large a batch" 2 "'65' in --batch"
try "$jeton" bench "$tiny" -p 0 -n 0
expect "nothing to measure" 2 "nothing to measure"
try "$jeton" bench "$tiny" -p 8,x
expect "a length that is no number" 2 "'x' in --prompt"
try "$jeton" bench "$tiny" --peer /bin/true
expect "a peer that cannot read the model" 3 "--peer"

if [ -n "$model" ] && [ -f "$model" ]; then
    # 90 distinct sentences: more than two chunks of 100 tokens.
    i=0
    while [ $i -lt 90 ]; do echo "Sentence number $i says that $((i * 7)) is less than $((i * 9 + 1))."; i=$((i + 1)); done >long.txt
    try "$jeton" eval ppl "$model" long.txt --chunk 100 --chunks 2 --json
    expect "perplexity as JSON" 0 '"perplexity": ' '"tokens": 98' '"chunks": 2' '"activations": "int8"'
    valid_json "the JSON of perplexity" out
    sed 's/.*"perplexity": \([^,]*\),.*/\1/' out >first
    try "$jeton" eval ppl "$model" long.txt --chunk 100 --chunks 2 --json --threads 1 --ubatch 17
    sed 's/.*"perplexity": \([^,]*\),.*/\1/' out >second
    same "the same perplexity in other batches" first second
    try "$jeton" eval kl "$model:activations=float" "$model" long.txt --chunk 100 --chunks 2 --json
    expect "divergence as JSON" 0 '"kl": 0.00' '"same_top": ' '"perplexity_ratio": ' '"activations": "float"' '"activations": "int8"'
    valid_json "the JSON of divergence" out
    try "$jeton" eval kl "$model" "$model" long.txt --chunk 100 --chunks 1
    expect "a model and itself" 0 "KL(A || B)        0.000000" "same top token    100.000 %"
    try "$jeton" eval kl "$model" "$tiny" long.txt --chunk 100
    expect "two vocabularies" 2 "49152 and 320"
    try "$jeton" eval ppl "$model" text
    expect "a text too short" 2 "fewer than one chunk of 512"
    printf '#!/bin/sh\n[ "$1" = -fa ] && shift 2\necho "[{\\"n_prompt\\": $4, \\"n_gen\\": $6, \\"avg_ts\\": 8}]"\n' >peer
    chmod +x peer
    try "$jeton" bench "$model" -p 8 -n 2 -r 1 --no-limits --peer ./peer --peer './peer -fa 1' --json
    expect "beside two peers" 0 '{"command": "./peer", "tokens_per_second": 8, "ratio": ' '{"command": "./peer -fa 1", '
    try "$jeton" bench "$model" -p 8 -n 0 -r 1 --no-limits --peer ./nothing
    expect "a peer that is not there" 3 "./nothing"
    try "$jeton" bench "$model" -p 8 -n 0 -r 1 --no-limits --peer /bin/false
    expect "a peer that fails" 3 "exit code 1"
    try "$jeton" bench "$model" -p 8 -n 0 -r 1 --no-limits --peer /bin/echo
    expect "a peer that is none" 3 "/bin/echo is no llama-bench"
else
    echo "without JETON_TEST_MODEL texts are not measured"
fi

[ $failed = 0 ] || echo "[  FAILED  ] $failed tests"
echo "[  PASSED  ] $passed tests"
[ $failed = 0 ]
