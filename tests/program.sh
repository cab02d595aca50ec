# program.sh: read by the scripts that run the program: a folder of its own, counted checks. Sets jeton, model, dir.
jeton=$(realpath "$1")
model=${JETON_TEST_MODEL:-}
[ -z "$model" ] || model=$(realpath "$model")
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export HOME="$dir/home" XDG_CACHE_HOME="$dir/cache" XDG_CONFIG_HOME="$dir/config" XDG_STATE_HOME="$dir/state" NO_COLOR=1
mkdir home

try() { "$@" >out 2>err </dev/null; code=$?; }
verdict() { # NAME WRONG
    if [ -z "$2" ]; then
        passed=$((passed + 1))
        echo "[       OK ] $1"
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $1: $2"
        sed 's/^/    /' out err | cut -c 1-300 | head -n 20
    fi
}
expect() { # NAME CODE [TEXT...]: the last try ended with this code, and its output and messages hold each text
    name=$1 want=$2 wrong=
    shift 2
    [ "$code" = "$want" ] || wrong="exit code $code, not $want"
    for text; do
        cat out err | grep -qF -- "$text" || wrong="$wrong; no \"$text\""
    done
    verdict "$name" "$wrong"
}
same() { # NAME FILE FILE
    cmp "$2" "$3" >/dev/null 2>&1 && verdict "$1" "" || verdict "$1" "$2 and $3 differ"
}
