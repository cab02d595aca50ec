#!/bin/sh
# `jeton pull` and `jeton models` against a hub of our own (hub_server.py), with the faults that networks have.
# Usage: pull.sh PROGRAM. Prints its counts as the other test programs do.
set -u
here=$(realpath "$(dirname "$0")")
fixtures=$(realpath "$here/../fixtures")
# shellcheck source=tests/program.sh
. "$here/../program.sh"
python=
for p in /usr/bin/python3 python3; do
    "$p" -c 'import http.server' 2>/dev/null && { python=$p; break; }
done
[ -n "$python" ] || { echo "no python3: left out"; exit 77; }

mkfifo hold
: >log
"$python" "$here/hub_server.py" log ports "$fixtures/encoders/bert" <hold 2>server.err &
server=$!
exec 9>hold
i=0
while [ ! -s ports ] && [ $i -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
[ -s ports ] || { echo "the server does not start"; cat server.err; exit 1; }
read -r hub_port cdn_port <ports
export HF_ENDPOINT="http://127.0.0.1:$hub_port" HF_HUB_CACHE="$dir/hub" JETON_RETRY_WAIT=0 HF_HUB_DOWNLOAD_TIMEOUT=10
unset HF_TOKEN HF_HOME HF_TOKEN_PATH HF_HUB_OFFLINE HUGGING_FACE_HUB_TOKEN http_proxy https_proxy all_proxy no_proxy HTTPS_PROXY ALL_PROXY \
    NO_PROXY LLAMA_CACHE OLLAMA_MODELS

fresh() { rm -rf hub && : >log; }
logged() { # NAME COUNT PATTERN: that many lines of the log match
    n=$(grep -cE -e "$3" log)
    [ "$n" = "$2" ] && verdict "$1" "" || { cp log out; verdict "$1" "$n lines match $3, not $2"; }
}
holds() { # NAME: the file whose path the last try printed is the one the server has
    got=$(sha256sum <"$(tail -n 1 out)" | cut -d' ' -f1)
    [ "$(basename "$(readlink "$(tail -n 1 out)")")" = "$got" ] && verdict "$1" "" || verdict "$1" "another sum: $got"
}
absent() { # NAME PATTERN: no file below hub or above it is called so
    found=$(find "$dir" -name "$2" | head -n 3)
    [ -z "$found" ] && verdict "$1" "" || verdict "$1" "there is $found"
}
pull() { try "$jeton" pull "$@"; }

# What to bring.
pull good/one
expect "the only GGUF file" 0 "m-Q4_0.gguf" "snapshots" "300.0 kB"
holds "whole"
logged "no token, no range" 1 "cdn GET /good/one/[0-9a-f]*/m-Q4_0.gguf auth=- range=- "
grep -qx '[0-9a-f]*' hub/models--good--one/refs/main && [ "$(wc -c <hub/models--good--one/refs/main)" = 40 ] && verdict "a ref" "" || verdict "a ref" "none"
: >log
pull good/one
expect "nothing is brought twice" 0 "m-Q4_0.gguf"
logged "only the list is asked for" 0 "cdn|resolve"
pull good/many-GGUF
expect "Q4_K_M of many" 0 "/model-Q4_K_M.gguf"
pull good/many-GGUF:q8_0
expect "a kind, in small letters" 0 "/model-Q8_0.gguf"
pull good/many-GGUF:UD-Q4_K_M
expect "a kind with a prefix" 0 "/model-UD-Q4_K_M.gguf"
pull good/many-GGUF:Q2_K
expect "all parts" 0 "/Q2_K/model-Q2_K-00001-of-00002.gguf" "(2 of 2)"
[ -e hub/models--good--many-GGUF/snapshots/*/Q2_K/model-Q2_K-00002-of-00002.gguf ] && verdict "the second part" "" || verdict "the second part" "missing"
pull good/many-GGUF:mmproj-model-f16.gguf
expect "a file by its name" 0 "/mmproj-model-f16.gguf"
pull good/many-GGUF:Q5_0
expect "a kind that is not there" 2 "no file and no kind \"Q5_0\"" "Q8_0"
pull good/many-GGUF:model-Q8.gguf
expect "the nearest file" 2 'did you mean "model-Q8_0.gguf"?'
pull holes/one
expect "a part that is missing" 3 "part 2 of 3"
pull pickle/one
expect "neither GGUF nor safetensors" 3 "neither GGUF files nor safetensors"
pull good/folder
expect "a folder" 0 "bringing 3 files" "snapshots"
absent "nothing that is not needed" "pytorch_model.bin"
try "$jeton" info good/folder
expect "a command finds it by its name" 0 "bert"
pull "https://huggingface.co/good/many-GGUF/blob/main/model-Q8_0.gguf"
expect "an address of a page" 0 "/model-Q8_0.gguf"
pull good/one@other
expect "a branch" 0 "m-Q4_0.gguf"
[ -e hub/models--good--one/refs/other ] && verdict "its ref" "" || verdict "its ref" "missing"
pull moved/one
expect "a repository with a new name" 0 "m-Q4_0.gguf"
fresh
pull bare/one
expect "a list without sizes" 0 "m-Q4_0.gguf"
logged "asks for the headers" 1 "hub HEAD /bare/one/resolve/"
holds "whole, by its ETag"
pull bare/folder
expect "small files by their ETags" 0 "snapshots"
pull tree/many-GGUF:Q8_0
expect "a hub that has trees alone, in pages" 0 "/model-Q8_0.gguf"
pull badetag/one
expect "a good list counts" 0 "m-Q4_0.gguf"

# Tokens.
fresh
HF_TOKEN=secret pull good/one
expect "with a token" 0 "m-Q4_0.gguf"
logged "the hub gets it" 2 "^hub .* auth=secret"
logged "the other host does not" 1 "^cdn .* auth=- "
fresh
printf ' accepted\n' >token
HF_TOKEN_PATH="$dir/token" pull private/one
expect "a token from a file" 0 "m-Q4_0.gguf"
mkdir -p hfhome && cp token hfhome/token
fresh
HF_HOME="$dir/hfhome" pull private/one
expect "a token from HF_HOME" 0 "m-Q4_0.gguf"
HF_TOKEN="a
X-Evil: 1" pull good/one
expect "a token that would break a header" 2 "HF_TOKEN"
fresh
pull private/one
expect "401 without a token" 3 "private/one: no such model" "set HF_TOKEN"
HF_TOKEN=bad pull private/one
expect "401 with a token" 3 "is not valid (status 401)"
pull gated/one
expect "gated, without a token" 3 "gated/one" "HF_TOKEN" "settings/tokens"
HF_TOKEN=other pull gated/one
expect "gated, with a token" 3 "may not read it" "/gated/one"
HF_TOKEN=accepted pull gated/one
expect "gated, consented" 0 "m-Q4_0.gguf"
pull asking/one
expect "gated, though its list is not" 3 "ask for a consent" "/asking/one"
pull good/foldr
expect "404 with a near name" 3 'did you mean "good/folder"?'
pull good/one@othr
expect "a revision that is not there" 3 'did you mean "other"?'

# Troubles of the network.
fresh
pull drop/one
expect "a connection that breaks off twice" 0 "m-Q4_0.gguf" "trying again"
holds "goes on and is whole"
logged "from where it stopped" 1 'cdn GET .* range=bytes=100000- if-range="[0-9a-f]{32}"'
fresh
pull norange/one
expect "a server without ranges" 0 "begins anew"
holds "is brought whole"
fresh
pull shift/one
expect "another part than asked for" 0 "m-Q4_0.gguf"
holds "is noticed"
fresh
pull wrong/one
expect "a wrong sum" 3 "damaged on its way"
absent "a damaged file gets no name" "m-Q4_0.gguf"
absent "and is not kept" "*.incomplete"
pull longer/one
expect "more bytes than told" 3 "m-Q4_0.gguf"
pull never/one
expect "a server that never sends anything" 3 "given up after 5 attempts"
pull busy/one
expect "429 with Retry-After" 0 "m-Q4_0.gguf"
pull patience/one
expect "429 with a long Retry-After" 3 "asks to wait for 1667 minutes"
pull date/one
expect "503 with a date" 0 "m-Q4_0.gguf"
pull sick/one
expect "500 and 502, then fine" 0 "m-Q4_0.gguf"
pull flood/one
expect "a refusal without end" 3 "flood/one: no such model"
pull dead/one
expect "500 for ever" 3 "status 500"
pull expired/one
expect "503 of the other host" 0 "m-Q4_0.gguf"
pull chunked/one
expect "an answer in chunks" 0 "m-Q4_0.gguf"
HF_HUB_DOWNLOAD_TIMEOUT=1 pull stall/one
expect "a connection that stalls" 0 "nothing came for 1 seconds"
holds "is begun again"
pull headers/one
expect "huge headers" 3 "127.0.0.1"
pull loop/one
expect "a circle of redirects" 3 "more than 10 times"
pull elsewhere/one
expect "a redirect to no web address" 2 "no address of HTTP"
pull silent/one
expect "no answer" 3 "127.0.0.1"
pull json/one
expect "a list that is cut" 3 "list of files"
pull escape/one
expect "a name that leads out" 3 "leads out of its folder"
absent "nothing is written there" "outside*"
pull good/one:../../x
expect "such a name on the command line" 2 "leads out"
HF_ENDPOINT=http://127.0.0.1:1 pull good/none
expect "nobody there" 3 "cannot be reached"
HF_ENDPOINT=ftp://x pull good/one
expect "an endpoint of another kind" 2 "HF_ENDPOINT"
HF_HUB_DOWNLOAD_TIMEOUT=soon pull good/one
expect "a number that is none" 2 "HF_HUB_DOWNLOAD_TIMEOUT"

# Resuming what an earlier call, or another program, left.
blob() { curl_name=$(ls hub/models--"$1"/blobs | grep -v incomplete | head -n 1); }
fresh
pull good/one
blob good--one
whole=hub/models--good--one/blobs/$curl_name
cp "$whole" copy
head -c 123456 copy >"$whole.incomplete" && rm "$whole"
: >log
pull good/one
expect "an unfinished file" 0 "m-Q4_0.gguf"
logged "is gone on with" 1 "cdn GET .* range=bytes=123456- "
same "and is whole" copy "$whole"
head -c 100000 /dev/zero >"$whole.incomplete" && rm "$whole"
pull good/one
expect "an unfinished file of other bytes" 0 "brought again as a whole"
same "is replaced" copy "$whole"
cp copy "$whole.incomplete" && rm "$whole" && : >log
pull good/one
expect "a finished file without its name" 0 "m-Q4_0.gguf"
logged "is not asked for" 0 "^cdn"
(cat copy; echo more) >"$whole.incomplete" && rm "$whole"
pull good/one
expect "an unfinished file that is too long" 0 "m-Q4_0.gguf"
same "is begun again" copy "$whole"
printf x | dd of="$whole" bs=1 seek=1000 conv=notrunc 2>dd.err
pull good/one --check
expect "a damaged file, with --check" 0 "is damaged; bringing it again"
same "is mended" copy "$whole"
pull changed/one
cp "$(tail -n 1 out)" first
mv "$(readlink -f "$(tail -n 1 out)")" hub/models--changed--one/blobs/"$(basename "$(readlink "$(tail -n 1 out)")")".incomplete
pull changed/one
expect "a file that changed since" 0 "m-Q4_0.gguf"
holds "is the new one"
ls hub/models--changed--one/snapshots | wc -l >out
expect "as a second snapshot" 0 "2"

pull huge/one
expect "no room for it" 3 "needs 1152921.5 TB of disk" "make room"
absent "nothing of it is brought" "*huge*incomplete"

# Full disks, two at once, Ctrl-C.
fresh
(ulimit -f 200 && "$jeton" pull good/one >out 2>err </dev/null)
code=$?
expect "a full disk" 3 "the disk is full" "make room"
[ -s hub/models--good--one/blobs/*.incomplete ] && verdict "what came is kept" "" || verdict "what came is kept" "no"
pull good/one
expect "and goes on with room" 0 "m-Q4_0.gguf"
holds "to the end"
fresh
"$jeton" pull slow/one >out1 2>err1 </dev/null &
one=$!
"$jeton" pull slow/one >out2 2>err2 </dev/null &
two=$!
wait $one
code=$?
wait $two
code=$((code + $?))
cat out1 out2 >out && cat err1 err2 >err
expect "two at once" 0 "waiting for another process"
same "find one file" out1 out2
logged "that is brought once" 1 "^cdn GET /slow"
fresh
"$jeton" pull slow/one >out 2>err </dev/null &
one=$!
i=0
while [ ! -s "$(echo hub/models--slow--one/blobs/*.incomplete)" ] && [ $i -lt 100 ]; do
    sleep 0.05
    i=$((i + 1))
done
kill -INT $one
wait $one
code=$?
expect "Ctrl-C" 130 "what came is kept"
[ -s hub/models--slow--one/blobs/*.incomplete ] && verdict "leaves a part" "" || verdict "leaves a part" "no"
: >log
pull slow/one
expect "that the next call takes" 0 "m-Q4_0.gguf"
logged "with a range" 1 "^cdn GET .* range=bytes=[1-9]"
holds "to the end of it"

# Proxies, and no network at all.
fresh
http_proxy="http://127.0.0.1:$hub_port" pull good/one
expect "a proxy" 0 "m-Q4_0.gguf"
logged "is asked" 1 "^hub GET /api/models/good/one/revision/main .*proxy=1"
fresh
http_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1 pull good/one
expect "no_proxy" 0 "m-Q4_0.gguf"
: >log
HF_HUB_OFFLINE=1 pull good/one
expect "offline, and here" 0 "m-Q4_0.gguf"
HF_HUB_OFFLINE=1 pull good/folder
expect "offline, and not here" 3 "HF_HUB_OFFLINE is set"
logged "nobody is asked" 0 "."
HF_ENDPOINT=http://127.0.0.1:1 pull good/one
expect "no network, and here" 0 "taking what is here"

# Models that are here.
pull good/many-GGUF:Q8_0
pull good/many-GGUF:Q2_K
pull good/folder
mkdir -p llama lms/org/repo home/.lmstudio/models/publisher/Thing-GGUF ollama/manifests/registry.ollama.ai/library/tiny ollama/manifests/hf.co/bartowski/Z-GGUF ollama/blobs
export LLAMA_CACHE="$dir/llama" OLLAMA_MODELS="$dir/ollama"
head -c 2000 copy >llama/ggml-org_Small-GGUF_small-Q8_0.gguf
echo '{"ggufFile": {"rfilename": "small-Q8_0.gguf"}}' >"llama/manifest=ggml-org=Small-GGUF=latest.json"
head -c 1000 copy >llama/alone.gguf
head -c 3000 copy >home/.lmstudio/models/publisher/Thing-GGUF/Thing-Q6_K.gguf
head -c 4000 copy >ollama/layer
hex=$(sha256sum <ollama/layer | cut -d' ' -f1)
mv ollama/layer "ollama/blobs/sha256-$hex"
echo '{"file_type": "Q4_K_M"}' >ollama/settings
config=$(sha256sum <ollama/settings | cut -d' ' -f1)
mv ollama/settings "ollama/blobs/sha256-$config"
printf '{"config": {"digest": "sha256:%s"}, "layers": [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:%s"}, {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:%s"}]}' \
    "$config" "$config" "$hex" >ollama/manifests/registry.ollama.ai/library/tiny/1b
cp ollama/manifests/registry.ollama.ai/library/tiny/1b ollama/manifests/hf.co/bartowski/Z-GGUF/Q4_K_M
echo '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../../etc/passwd"}]}' >ollama/manifests/registry.ollama.ai/library/tiny/bad
try "$jeton" models
expect "the list" 0 "good/one:Q4_0" "good/many-GGUF:Q8_0" "good/many-GGUF:Q2_K" "safetensors" "ggml-org/Small-GGUF:Q8_0" "alone" \
    "publisher/Thing-GGUF:Q6_K" "tiny:1b" "Ollama" "9 models"
try "$jeton" models list thing --json
expect "as JSON" 0 '"name": "publisher/Thing-GGUF:Q6_K"' '"bytes": 3000' '"of": "LM Studio"'
"$python" -c 'import json, sys; sys.exit(len(json.load(open("out"))) != 1)' && verdict "which parses" "" || verdict "which parses" "no"
try "$jeton" models --json
expect "without the word list" 0 '"bartowski/Z-GGUF:Q4_K_M"'
for name in good/folder GOOD/Folder hf.co/good/folder folder; do
    try "$jeton" info $name
    expect "a model called $name" 0 "bert"
done
try "$jeton" info ggml-org/Small-GGUF
expect "a file of llama.cpp is found" 3 "llama/ggml-org_Small-GGUF_small-Q8_0.gguf"
try "$jeton" info tiny:1b
expect "a file of Ollama is found" 3 "blobs/sha256-"
try "$jeton" info Thing-Q6_K.gguf
expect "a file of LM Studio is found" 3 "Thing-GGUF/Thing-Q6_K.gguf"
try "$jeton" info good/many-GGUF
expect "a name that is not clear" 3 "name one of them" "good/many-GGUF:Q2_K"
try "$jeton" run good/foldr -p x
expect "the nearest model" 3 'did you mean "good/folder"?'
try "$jeton" run some/thing -p x
expect "a model that is not here" 3 "jeton pull some/thing"
try "$jeton" run some/file.gguf -p x
expect "a path stays a path" 3 "some/file.gguf: cannot open"
try "$jeton" models remove good/one
expect "removing asks" 2 "--yes"
try "$jeton" models remove nothing/here -y
expect "what is not there cannot be removed" 2 "nothing/here"
try "$jeton" models remove tiny:1b -y
expect "models of Ollama stay" 3 "ollama rm tiny:1b"
try "$jeton" models remove good/many-GGUF:Q2_K -y
expect "removing one of two" 0 "8.0 kB freed"
[ "$(ls hub/models--good--many-GGUF/blobs | wc -l)" = 1 ] && verdict "frees its blobs alone" "" || verdict "frees its blobs alone" "no"
try "$jeton" models remove good/many-GGUF:Q8_0 good/folder -y
expect "removing the rest" 0 "removed good/folder"
[ ! -e hub/models--good--many-GGUF ] && [ ! -e hub/models--good--folder ] && verdict "leaves nothing" "" || verdict "leaves nothing" "something"
try "$jeton" models remove ggml-org/Small-GGUF:Q8_0 publisher/Thing-GGUF -y
expect "removing files of others" 0 "3.0 kB freed"
mkdir -p hub/models--good--one/snapshots/1111111111111111111111111111111111111111
cp -P hub/models--good--one/snapshots/*/m-Q4_0.gguf hub/models--good--one/snapshots/1111111111111111111111111111111111111111/second-Q4_0.gguf
try "$jeton" models remove good/one:Q4_0 -y
expect "a blob that another snapshot uses" 0 "0 bytes freed"
try "$jeton" models
expect "stays with it" 0 "good/one:Q4_0"
pull good/many-GGUF:Q4_K_M
pull good/many-GGUF:Q8_0
try "$jeton" models remove good/many-GGUF -y
expect "one name of two models removes none" 2 "2 models here are called so" "name one of them"
try "$jeton" info good/many-GGUF
expect "though it means one where it is read" 3 "/model-Q4_K_M.gguf"

kill $server 2>/dev/null
exec 9>&-
wait $server 2>/dev/null
echo "[  PASSED  ] $passed tests."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed tests."
[ "$failed" = 0 ]
