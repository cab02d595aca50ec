#!/usr/bin/env python3
"""Trains a byte-level BPE with jeton and with Hugging Face's tokenizers on the same text, checks that the merges are the
same, and prints both times.

usage: train-tokenizer.py FILE... [--jeton PATH] [--vocab N] [--megabytes N] [--threads N] [--pre gpt-2|llama-bpe]
needs: tokenizers

The text is the files one after the other, up to --megabytes in all, a part of each in proportion to its size; lines that
are no UTF-8 are left out, for the peer refuses them. The exit code is 1 when the merges differ."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

arg = argparse.ArgumentParser(usage=__doc__)
arg.add_argument("file", nargs="+")
arg.add_argument("--jeton", default="build/jeton")
arg.add_argument("--vocab", type=int, default=32000)
arg.add_argument("--megabytes", type=float, default=100)
arg.add_argument("--threads", type=int, default=os.cpu_count())
arg.add_argument("--pre", choices=["gpt-2", "llama-bpe"], default="gpt-2")
arg = arg.parse_args()
os.environ["RAYON_NUM_THREADS"] = str(arg.threads)
os.environ["TOKENIZERS_PARALLELISM"] = "true"

sys.path.pop(0)  # or "tokenizers" would be the script beside this one
import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def gather(path):
    sizes = [os.path.getsize(f) for f in arg.file]
    share = min(1, arg.megabytes * 1e6 / sum(sizes))
    done = 0
    with open(path, "wb") as out:
        for f, size in zip(arg.file, sizes):
            left = size * share
            for line in open(f, "rb"):
                if left < len(line):
                    break
                left -= len(line)
                try:
                    line.decode()
                except UnicodeDecodeError:
                    continue
                done += out.write(line)
    return done


def peer(path):
    t = Tokenizer(models.BPE())
    llama = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level(False)])
    t.pre_tokenizer = llama if arg.pre == "llama-bpe" else byte_level(True)
    trainer = trainers.BpeTrainer(
        vocab_size=arg.vocab,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    start = time.monotonic()
    t.train([path], trainer)
    return time.monotonic() - start, json.loads(t.to_str())["model"]


with tempfile.TemporaryDirectory() as folder:
    text, out = os.path.join(folder, "text"), os.path.join(folder, "tokenizer.json")
    size = gather(text)
    command = [arg.jeton, "tokenizer", "train", text, "--output", out, "--vocab", str(arg.vocab), "--pre", arg.pre]
    command += ["--special", "<|endoftext|>", "--threads", str(arg.threads), "--json"]
    open(text, "rb").read()
    start = time.monotonic()
    info = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    ours = time.monotonic() - start
    theirs, model = peer(text)
    mine = json.load(open(out))["model"]
    same = mine["merges"] == model["merges"] and mine["vocab"] == model["vocab"]

print(f"{size / 1e6:.1f} MB, {info['words']} different pieces, {arg.vocab} tokens, {arg.threads} threads, cut as {arg.pre}")
print(f"jeton: {ours:.1f} s (counting {info['seconds_count']:.1f} s)")
print(f"tokenizers {tokenizers.__version__}: {theirs:.1f} s, {theirs / ours:.1f} times as long")
print("the same merges and ids" if same else "the merges differ")
sys.exit(not same)
