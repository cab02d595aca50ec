#!/usr/bin/env python3
"""Checks jeton against a full float reference of a model: perplexity, the ln p of every token, whole rows of logits and
greedy continuations in the float mode; perplexity and divergence in the int8 mode.

usage: check-anchors.py REFERENCE_FOLDER MODEL [--jeton PATH] [--chunks N] [--threads N]
needs: numpy safetensors

The folder holds wikitext2-20x512.safetensors (ids [N, T], target_logprob [N, T - 1], full_position [R, 2] as chunk and
row, full_logits [R, V]), perplexity.json (perplexity_running) and greedy.json (prompt_ids, ids, gap). All numbers are
taken from files that `jeton eval logits` writes. The exit code is 1 when a bound is missed."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

arg = argparse.ArgumentParser(usage=__doc__)
arg.add_argument("folder")
arg.add_argument("model")
arg.add_argument("--jeton", default="build/jeton")
arg.add_argument("--chunks", type=int, default=0)
arg.add_argument("--threads", default="0")
arg = arg.parse_args()

ref = load_file(os.path.join(arg.folder, "wikitext2-20x512.safetensors"))
running = json.load(open(os.path.join(arg.folder, "perplexity.json")))["perplexity_running"]
greedy = json.load(open(os.path.join(arg.folder, "greedy.json")))
ids = ref["ids"]
chunks, length = ids.shape
chunks = min(arg.chunks, chunks) if arg.chunks else chunks
half = length // 2
temp = tempfile.TemporaryDirectory()
failed = False


def check(what, value, bound):
    global failed
    passed = bool(value <= bound)
    failed |= not passed
    print(f"{'ok  ' if passed else 'MISS'} {what}: {value:.6g} (bound {bound:g})", flush=True)


def logits(rows, mode):
    """Logits [len(rows)][T][V] in a numeric mode; rows are equally long."""
    source, target = (os.path.join(temp.name, n) for n in ("ids.safetensors", "logits.safetensors"))
    save_file({"input_ids": np.asarray(rows, np.int32)}, source)
    command = [arg.jeton, "eval", "logits", arg.model, "--ids", source, "-o", target, "--activations", mode, "--threads", arg.threads]
    subprocess.run(command, check=True)
    return load_file(target)["logits"]


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


nll = {"float": [], "int8": []}
worst_logprob, worst_row, divergence, same = 0.0, 0.0, [], []
for c in range(chunks):
    flt = log_softmax(logits(ids[c:c + 1], "float")[0])
    quant = log_softmax(logits(ids[c:c + 1], "int8")[0])
    target = ids[c, 1:, None].astype(np.int64)
    scored = np.take_along_axis(flt[:-1], target, 1)[:, 0]
    worst_logprob = max(worst_logprob, np.abs(scored - ref["target_logprob"][c]).max())
    nll["float"].append(-scored[half:])
    nll["int8"].append(-np.take_along_axis(quant[:-1], target, 1)[half:, 0])
    for (chunk, row), expected in zip(ref["full_position"], ref["full_logits"]):
        if chunk == c:
            a = log_softmax(expected)
            worst_row = max(worst_row, (np.exp(a) * (a - flt[row])).sum())
    a, b = flt[half:-1], quant[half:-1]
    divergence.append((np.exp(a) * (a - b)).sum(1))
    same.append(a.argmax(1) == b.argmax(1))
    print(f"chunk {c + 1} of {chunks}: perplexity {np.exp(np.mean(nll['float'])):.4f} float, {np.exp(np.mean(nll['int8'])):.4f} int8, "
          f"divergence {np.mean(divergence):.5f}", flush=True)

perplexity = {mode: float(np.exp(np.mean(x))) for mode, x in nll.items()}
divergence = np.concatenate(divergence)
print(f"perplexity: reference {running[chunks - 1]:.4f}, float {perplexity['float']:.4f}, int8 {perplexity['int8']:.4f}")
print(f"int8: divergence {divergence.mean():.5f} +/- {divergence.std() / len(divergence) ** 0.5:.5f}, same top token {100 * np.mean(same):.2f} %")
check("float: perplexity off by, %", abs(perplexity["float"] / running[chunks - 1] - 1) * 100, 0.01)
check("float: largest difference of a target's logprob", worst_logprob, 2e-4)
check("float: largest divergence of a whole row", worst_row, 1e-6)
check("int8: mean divergence over second halves", divergence.mean(), 0.0027)
check("int8: perplexity off by, %", abs(perplexity["int8"] / running[chunks - 1] - 1) * 100, 0.55)

wrong = 0
for g in greedy:
    # The reference's continuation as one sequence: each of its tokens must be the best one after those before it.
    best = logits([g["prompt_ids"] + g["ids"][:-1]], "float")[0, len(g["prompt_ids"]) - 1:].argmax(1)
    differs = np.flatnonzero(best != g["ids"])
    if len(differs) and g["gap"][differs[0]] >= 1e-3:
        wrong += 1
        print(f"     {g['prompt']!r}: token {differs[0]} is {best[differs[0]]}, not {g['ids'][differs[0]]}, gap {g['gap'][differs[0]]}")
check(f"float: greedy continuations that differ, of {len(greedy)}", wrong, 0)
sys.exit(failed)
