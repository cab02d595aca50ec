#!/usr/bin/env python3
"""Speed of encoding, one thread, the same documents: jeton beside Hugging Face tokenizers and tiktoken, in turn, best of the rounds.

usage: tokenizers.py [--program build/tokenizers] [--rounds N] [--tiktoken NAME] TOKENIZER.json... -- TEXT...

Documents are 60 lines of TEXT. Hugging Face: Tokenizer.encode(document, add_special_tokens=False) of the package `tokenizers`; jeton: jt_encode.
tiktoken (--tiktoken gives the tokenizer.json's folder or file by a part of its name) gets its ranks and its pattern from tokenizer.json, since
their ids are the same, and does encode_ordinary(document).
"""
import argparse, json, os, subprocess, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


def alphabet():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in plain}
    for k, b in enumerate(b for b in range(256) if b not in plain): table[chr(256 + k)] = b
    return table


def tiktoken_of(path):
    import tiktoken
    j, table = json.load(open(path)), alphabet()
    ranks = {bytes(table[c] for c in token): rank for token, rank in j["model"]["vocab"].items()}
    pattern = next(s["pattern"]["Regex"] for s in j["pre_tokenizer"]["pretokenizers"] if s["type"] == "Split")
    return tiktoken.Encoding("made", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def timed(encode, docs):
    begin = time.perf_counter()
    n = sum(len(encode(d)) for d in docs)
    return time.perf_counter() - begin, n


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("--program", default="build/tokenizers")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--tiktoken")
    a.add_argument("files", nargs="+")
    o = a.parse_args([x for x in sys.argv[1:] if x != "--"])
    tokenizers = [f for f in o.files if f.endswith(".json")]
    texts = [f for f in o.files if not f.endswith(".json")]
    lines = "".join(open(f, encoding="utf-8", newline="").read() for f in texts).split("\n")
    lines = [x + "\n" for x in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    docs = ["".join(lines[i:i + 60]) for i in range(0, len(lines), 60)]
    size = sum(len(d.encode()) for d in docs)
    from tokenizers import Tokenizer
    print(f"{len(docs)} documents, {size} bytes, best of {o.rounds}; MB/s")
    for path in tokenizers:
        reference = Tokenizer.from_file(path)
        peers = {"tokenizers": lambda d: reference.encode(d, add_special_tokens=False).ids}
        if o.tiktoken and o.tiktoken in path: peers["tiktoken"] = tiktoken_of(path).encode_ordinary
        best = {name: (1e9, 0) for name in [*peers, "jeton"]}
        for _ in range(o.rounds):
            for name, encode in peers.items(): best[name] = min(best[name], timed(encode, docs))
            out = subprocess.run([o.program, path, "3", *texts], capture_output=True, text=True, check=True).stdout.split()
            best["jeton"] = min(best["jeton"], (float(out[3]), int(out[2])))
        if len({n for _, n in best.values()}) != 1: print(f"  ids differ: {({k: n for k, (_, n) in best.items()})}")
        speed = {k: size / s / 1e6 for k, (s, _) in best.items()}
        row = ", ".join(f"{k} {v:.1f}" for k, v in speed.items())
        print(f"{path}: {row}; " + ", ".join(f"{speed['jeton'] / v:.1f} x {k}" for k, v in speed.items() if k != "jeton"), flush=True)


main()
