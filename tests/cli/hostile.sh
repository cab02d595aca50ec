#!/bin/sh
# The program under bad arguments, files that are missing, empty, cut or something else, and outputs that cannot be written:
# each time one clear message, an exit code that is not 0, and nothing left behind.
# Usage: hostile.sh PROGRAM. Prints its counts as the other test programs do.
set -u
fixtures=$(realpath "$(dirname "$0")/../fixtures")
# shellcheck source=tests/program.sh
. "$(dirname "$0")/../program.sh"
model=$fixtures/moe/mixtral.gguf llama=$fixtures/hf-tiny/llama lora=$fixtures/lora/wide

mkdir folder
: >empty.gguf
printf 'once upon a time\n' >text
mkfifo pipe.gguf
head -c 20000 "$model" >cut.gguf
ln -s /dev/full full.gguf
find . | sort >before

refused() { # NAME CODE TEXT -- COMMAND...: as expect, with one message, within 10 s, and with no file made
    name=$1 want=$2 text=$3
    shift 4
    try timeout 10 "$jeton" "$@"
    wrong=
    [ "$code" = "$want" ] || wrong="exit code $code, not $want"
    grep -qF -- "$text" err || wrong="$wrong; no \"$text\""
    [ "$(grep -v 'gets no tokenizer' err | grep -c '^jeton: ')" = 1 ] || wrong="$wrong; not one message"
    [ -s out ] && wrong="$wrong; output"
    find . | sort | grep -vxE './(out|err|before|after)' >after
    grep -vxE './(out|err|before|after)' before | cmp -s - after || wrong="$wrong; left behind: $(tail -n 1 after)"
    verdict "$name" "$wrong"
}

# ---- arguments that are missing ----
for command in convert "adapter list" "adapter merge" "adapter convert" "eval imatrix" "eval ppl" "eval kl" info; do
    # shellcheck disable=SC2086
    refused "$command without arguments" 2 "$command needs" -- $command
done
refused "convert without an output" 2 "convert needs OUT" -- convert "$model"
refused "adapter merge without an adapter" 2 "adapter merge needs ADAPTER" -- adapter merge "$llama"
refused "eval imatrix without a file to write" 2 "-o FILE" -- eval imatrix "$model" text
refused "eval kl without a text" 2 "eval kl needs TEXT" -- eval kl "$model" "$model"

# ---- models that are none ----
every() { # FILE CODE CODE-WHERE-IT-IS-TO-RUN TEXT: every command that reads a model
    refused "convert of $1" "$2" "$4" -- convert "$1" o.gguf
    refused "info of $1" "$2" "$4" -- info "$1"
    refused "adapter merge of $1" "$2" "$4" -- adapter merge "$1" "$lora" o.gguf
    refused "adapter convert of $1" "$2" "$4" -- adapter convert "$1" "$lora" o.gguf
    refused "eval imatrix of $1" "$3" "$4" -- eval imatrix "$1" text -o o
    refused "eval ppl of $1" "$3" "$4" -- eval ppl "$1" text
    refused "eval kl of $1" "$3" "$4" -- eval kl "$1" "$1" text
    refused "run of $1" "$3" "$4" -- run "$1" -p x
    refused "bench of $1" "$3" "$4" -- bench "$1" -p 1 -n 1 -r 1 --no-limits
}
every ./missing.gguf 3 3 "./missing.gguf: cannot open"
every ./folder 3 3 "folder/config.json: cannot open"
every ./empty.gguf 3 3 "empty.gguf: byte 0: magic"
every ./cut.gguf 3 3 "cut.gguf: "
every ./pipe.gguf 2 3 "pipe.gguf: is a device or pipe, not an ordinary file"
every ./text 3 3 "this is no GGUF file"

# ---- adapters that are none ----
refused "listing a model" 3 'general.type is not "adapter"' -- adapter list "$model"
refused "listing a folder of a model" 3 "adapter_model.safetensors: cannot open" -- adapter list "$llama"
refused "listing an empty file" 3 "empty.gguf: byte 0: magic" -- adapter list empty.gguf
refused "merging a model into a model" 3 "mixtral.gguf: " -- adapter merge "$llama" "$model" o.gguf
refused "an adapter of other shapes" 3 "lora/wide" -- adapter merge "$fixtures/families/qwen2" "$lora" o.gguf
refused "merging as an unknown type" 2 'type "q9" is not known; this build writes' -- adapter merge "$llama" "$lora" o.gguf --type q9
refused "a scale out of range" 2 '--scale: "nan"' -- adapter merge "$llama" "$lora" o.gguf --scale nan
refused "an adapter at a model that it does not fit" 3 "is none that an adapter of this llama model can have" -- run "$model" --lora "$lora" -p x

# ---- options ----
refused "an unknown type" 2 'type "q9" is not known; this build writes f32' -- convert "$model" o.gguf --type q9
refused "an unknown type of a tensor" 2 'type "q9" is not known' -- convert "$model" o.gguf --tensor-type a=q9
refused "a choice of tensors without a format" 2 '"(" is not REGEX=FORMAT' -- convert "$model" o.gguf --tensor-type "("
refused "a choice of tensors that there are none of" 2 '"nonesuch=q8_0" matches the name of no tensor' -- convert "$model" o.gguf --tensor-type nonesuch=q8_0
refused "what is no regular expression" 2 '"(" is no regular expression' -- convert "$model" o.gguf --tensor-type "(=q8_0"
refused "few bits in a folder" 3 'needs a name that ends in .gguf' -- convert "$model" o --type q8_0
refused "parts of no bytes" 2 '--split-size: "0"' -- convert "$model" o.gguf --split-size 0
refused "an importance matrix that is missing" 3 "missing: cannot open" -- convert "$model" o.gguf --imatrix missing
refused "an importance matrix that is none" 3 "it is no importance matrix" -- convert "$model" o.gguf --imatrix "$model"
refused "nothing to measure" 2 "nothing to measure" -- bench "$model" -p 0 -n 0
refused "an earlier measurement that is none" 3 "text: JSON: line 1" -- bench "$model" -p 1 -n 1 -r 1 --no-limits --baseline text
refused "a model without a tokenizer" 3 "carry no tokenizer" -- eval imatrix "$model" text -o o

# ---- outputs ----
refused "an output without a name" 2 "the output has no name" -- convert "$model" ""
refused "an adapter without a name" 2 "the output has no name" -- adapter convert "$llama" "$lora" ""
refused "an output that is there" 2 "exists already" -- convert "$model" empty.gguf
refused "a folder that is there" 2 "exists already" -- convert "$model" folder --force
refused "an output below a file" 3 "text/o.gguf: cannot create" -- convert "$model" text/o.gguf
refused "a folder below a file" 3 "text" -- convert "$model" text/o
refused "an output in a folder that is missing" 3 "missing/o.gguf: cannot create" -- convert "$model" missing/o.gguf
refused "an adapter below a file" 3 "text/o.gguf: cannot create" -- adapter convert "$llama" "$lora" text/o.gguf
refused "a merged model below a file" 3 "text/o.gguf: cannot create" -- adapter merge "$llama" "$lora" text/o.gguf
if [ -e /dev/full ]; then
    refused "a full disk" 3 "full.gguf: cannot write (is the disk full?)" -- convert "$model" full.gguf --force
fi
if [ "$(id -u)" != 0 ]; then
    chmod 555 folder
    refused "a folder that cannot be written" 3 "folder/o.gguf: cannot create: Permission denied" -- convert "$model" folder/o.gguf
    chmod 755 folder
fi

# ---- Ctrl-C in the middle of one large tensor: 1 GiB of zeros, which take no room on the disk ----
if command -v truncate >/dev/null 2>&1; then
    little() { # NUMBER BYTES
        number=$1 bytes=$2
        while [ "$bytes" -gt 0 ]; do
            # shellcheck disable=SC2059
            printf "\\$(printf %03o $((number & 255)))"
            number=$((number >> 8)) bytes=$((bytes - 1))
        done
    }
    string() { little ${#1} 8; printf '%s' "$1"; }
    {
        printf GGUF; little 3 4; little 1 8; little 1 8
        string general.architecture; little 8 4; string none
        string blk.0.ffn_up.weight; little 2 4; little 65536 8; little 4096 8; little 0 4; little 0 8
    } >large.gguf
    truncate -s $((($(wc -c <large.gguf) + 31) / 32 * 32 + 65536 * 4096 * 4)) large.gguf
    find . | sort >before
    "$jeton" convert large.gguf small.gguf --type q3_k --pure --threads 1 >out 2>err </dev/null &
    pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.1
        [ "$(find . -name 'small.gguf*.part' -size +0)" ] && break
    done
    kill -INT $pid
    wait $pid
    code=$?
    find . | sort | grep -vxE './(out|err|before|after)' >after
    expect "Ctrl-C ends a conversion" 130 "cancelled"
    grep -vxE './(out|err|before|after)' before | cmp -s - after && verdict "and leaves nothing behind" "" || verdict "and leaves nothing behind" "$(tail -n 1 after)"
    rm large.gguf
fi

echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
