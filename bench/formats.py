#!/usr/bin/env python3
"""Writes the table of every block format: products, one row from memory, and a model beside other engines.

usage: formats.py [--build FOLDER] [--formats NAME,...] [--peer COMMAND]... [--through COMMAND] [--kernels NAME] [--keep FOLDER] [--only-write]
needs: numpy gguf

For each format a Llama of 190 million random weights, all matrices in the format, is written to a temporary folder: speed
depends on shapes and formats, not on values. moe-NAME stands for a Qwen3 mixture of 0.9 billion weights, 32 experts of which
8 are used. check-kernels gives the first columns, `jeton bench` with the peers (each a llama-bench with its flags) the others;
a peer that does not load the file has a dash. --through stands before every command that is measured; with --keep files stay
and are used again, with --only-write nothing is measured."""
import argparse
import os
import re
import shlex
import subprocess
import tempfile

import gguf
import numpy as np

ALL = ("q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs iq3_s iq3_xxs iq2_s iq2_xs iq2_xxs iq1_m iq1_s tq1_0 tq2_0 "
       "mxfp4 nvfp4 f16 bf16 moe-q4_0 moe-q4_k moe-q8_0")
# Where the halfs of a block lie; 0 in the others.
HALFS = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,),
         "TQ1_0": (52,), "TQ2_0": (64,)}
SMALL = {"hidden": 2048, "ffn": 5632, "layers": 4, "heads": 32, "kv": 8, "dim": 64}
SPARSE = {"hidden": 1024, "ffn": 1024, "layers": 8, "heads": 16, "kv": 4, "dim": 64, "experts": 32, "used": 8}
VOCABULARY = 2048

arg = argparse.ArgumentParser(usage=__doc__)
arg.add_argument("--build", default="build")
arg.add_argument("--formats", default=",".join(ALL.split()))
arg.add_argument("--peer", action="append", default=[])
arg.add_argument("--through", default="")
arg.add_argument("--keep")
arg.add_argument("--only-write", action="store_true")
arg.add_argument("--kernels", default="avx512")
arg.add_argument("--threads", default="2")
arg.add_argument("--rounds", default="3")
arg = arg.parse_args()
rng = np.random.default_rng(1)


def matrix(kind, *shape):
    """Random blocks whose scales are ordinary numbers."""
    t = gguf.GGMLQuantizationType[kind]
    if kind == "F16":
        return (rng.random(shape, dtype=np.float32) - 0.5).astype(np.float16) * np.float16(0.05)
    if kind == "BF16":
        return ((rng.random(shape, dtype=np.float32) - 0.5) * 0.05).view(np.uint32).__rshift__(16).astype(np.uint16).view(np.uint8)
    block, size = gguf.GGML_QUANT_SIZES[t]
    b = rng.integers(0, 256, (int(np.prod(shape)) // block, size), dtype=np.uint8)
    d = np.array([0.002], np.float16).view(np.uint8)
    if kind == "MXFP4":
        b[:, 0] = 116
    elif kind == "NVFP4":
        b[:, :4] &= 0x3F
    elif kind == "IQ1_M":
        whole = int(d.view(np.uint16)[0])
        for i in range(4):
            b[:, 49 + 2 * i] = b[:, 49 + 2 * i] & 15 | (whole >> 4 * i & 15) << 4
    else:
        for at in HALFS.get(kind, (0,)):
            b[:, at:at + 2] = d
    return b.reshape(*shape[:-1], shape[-1] // block * size)


def write(path, kind, s, experts):
    w = gguf.GGUFWriter(path, "qwen3moe" if experts else "llama")
    w.add_block_count(s["layers"]), w.add_context_length(4096), w.add_embedding_length(s["hidden"])
    w.add_feed_forward_length(s["ffn"]), w.add_head_count(s["heads"]), w.add_head_count_kv(s["kv"])
    w.add_key_length(s["dim"]), w.add_value_length(s["dim"]), w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0), w.add_rope_dimension_count(s["dim"]), w.add_vocab_size(VOCABULARY)
    if experts:
        w.add_expert_count(s["experts"]), w.add_expert_used_count(s["used"]), w.add_expert_feed_forward_length(s["ffn"])
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printed]
    pieces = [chr(b) if b in printed else chr(256 + others.index(b)) for b in range(256)]
    w.add_tokenizer_model("gpt2"), w.add_tokenizer_pre("llama-bpe")
    w.add_token_list(pieces + [f"<|{i}|>" for i in range(VOCABULARY - 256)])
    w.add_token_types([1] * 256 + [4] * (VOCABULARY - 256)), w.add_token_merges([f"{pieces[101]} {pieces[32]}"])
    w.add_bos_token_id(256), w.add_eos_token_id(257)

    def t(name, *shape):
        w.add_tensor(name + ".weight", matrix(kind, *shape), raw_dtype=gguf.GGMLQuantizationType[kind])

    def ones(name, n):
        w.add_tensor(name + ".weight", np.ones(n, np.float32))

    h, f, q, kv = s["hidden"], s["ffn"], s["heads"] * s["dim"], s["kv"] * s["dim"]
    t("token_embd", VOCABULARY, h), t("output", VOCABULARY, h), ones("output_norm", h)
    for i in range(s["layers"]):
        b = f"blk.{i}."
        ones(b + "attn_norm", h), ones(b + "ffn_norm", h)
        t(b + "attn_q", q, h), t(b + "attn_k", kv, h), t(b + "attn_v", kv, h), t(b + "attn_output", h, q)
        if experts:
            n = s["experts"]
            ones(b + "attn_q_norm", s["dim"]), ones(b + "attn_k_norm", s["dim"])
            w.add_tensor(b + "ffn_gate_inp.weight", rng.standard_normal((n, h), dtype=np.float32))
            t(b + "ffn_gate_exps", n, f, h), t(b + "ffn_up_exps", n, f, h), t(b + "ffn_down_exps", n, h, f)
        else:
            t(b + "ffn_gate", f, h), t(b + "ffn_up", f, h), t(b + "ffn_down", h, f)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


def run(command):
    p = subprocess.run(shlex.split(arg.through) + command, capture_output=True, text=True, check=False)
    return p.stdout if p.returncode == 0 else ""


def kernels(name):
    out = run([os.path.join(arg.build, "check-kernels"), "--formats", name, arg.kernels])
    kind = "float" if name in ("f16", "bf16") else "int8"
    rows = re.findall(rf"{kind} +{name} +K.* 64: +([\d.]+) \( *(\d+)%\)  256", out)
    one = re.search(rf"{name} +one row from memory +([\d.]+) GB/s, plain reading +[\d.]+ \( *(\d+)%\)", out)
    if not rows or not one:
        return ["-"] * 4
    return [rows[-1][0], rows[-1][1] + " %", one[1], one[2] + " %"]


def model(path):
    """Tokens a second, ratios and share of the limit: of prompts, then of generation."""
    loads = [subprocess.run(shlex.split(p) + ["-m", path, "-p", "1", "-n", "0", "-r", "1"], capture_output=True, check=False).returncode == 0
             for p in arg.peer]
    command = [os.path.join(arg.build, "jeton"), "bench", path, "-p", "128", "-n", "16", "-r", arg.rounds, "--threads", arg.threads]
    for p, ok in zip(arg.peer, loads):
        command += ["--peer", p] if ok else []
    text, cells = run(command), []
    for test in ("pp128", "tg16"):
        m = re.search(rf"\| {test} +\|(.*)\|", text)
        part = [c.strip() for c in m[1].split("|")] if m else ["-", "-"]
        ratios = iter(part[3::2])
        cells += [part[0].split(" ")[0]] + [next(ratios, "-") if ok else "-" for ok in loads] + [part[1]]
    return cells


peers = "".join(f" to peer {i + 1} |" for i in range(len(arg.peer)))
print("| format | 64 rows, GOP/s | of peak | one row, GB/s | of reading | prompts |" + peers + " of limit | generation |" + peers + " of limit |")
print("| --- |" + " ---: |" * (8 + 2 * len(arg.peer)))
for name in arg.formats.split(","):
    with tempfile.TemporaryDirectory() as folder:
        plain = name.removeprefix("moe-")
        path = os.path.join(arg.keep or folder, f"random-{name}.gguf")
        if not os.path.exists(path):
            write(path, plain.upper(), SPARSE if name != plain else SMALL, name != plain)
        if arg.only_write:
            continue
        first = kernels(plain) if name == plain else ["", "", "", ""]
        print("| " + " | ".join([name, *first, *model(path)]) + " |", flush=True)
