#!/usr/bin/env python3
"""Writes grapheme_table.c: how characters join into grapheme clusters, for Hugging Face's Precompiled normalizer.

Which characters join the one before them is asked of the library itself; for the rest (controls, prepended marks, Hangul,
pictures) the package regex is asked.      usage: make_grapheme_table.py > grapheme_table.c     needs: tokenizers, regex
"""
import base64, struct, json
import regex
from tokenizers.normalizers import Normalizer, Precompiled

# A map of "a" to "X": a grapheme of "a" and what joins it is replaced as a whole.
unit = [0] * 512
unit[0] = 256 << 10                                  # the root: children at 256 ^ label
unit[256 ^ ord("a")] = ord("a") | 1 << 8 | (256 ^ ord("a") ^ 1) << 10
unit[1] = 1 << 31 | 0                                # its leaf, at 256 ^ 'a' ^ (256 ^ 'a' ^ 1)
blob = struct.pack("<I", 4 * len(unit)) + struct.pack("<512I", *unit) + b"X\0"
norm = Precompiled(blob).normalize_str
assert norm("ab") == "Xb" and norm("ae\u0301") == "Xe\u0301", norm("ab")

KINDS = ["", "Control", "Extend", "ZWJ", "Prepend", "L", "V", "T", "LV", "LVT", "Picture"]
of = {}
for i, k in enumerate(KINDS[1:], 1):
    if k in ("Extend", "LV", "LVT"): continue
    pattern = r"\p{Extended_Pictographic}" if k == "Picture" else r"\p{Grapheme_Cluster_Break=%s}" % k
    for c in range(0x300, 0x110000):
        if regex.match(pattern, chr(c)) and not 0xD800 <= c < 0xE000: of.setdefault(c, i)
for c in range(0x300, 0x110000):
    if 0xD800 <= c < 0xE000: continue
    joins = norm("a" + chr(c)) == "X"
    if joins and of.get(c) != 3: of[c] = 2
runs = []
for c in sorted(of):
    if runs and runs[-1][1] == c - 1 and runs[-1][2] == of[c]: runs[-1][1] = c
    else: runs.append([c, c, of[c]])
print("/* grapheme_table.c: made by make_grapheme_table.py; see there. Do not edit. */")
print('#include "text/charsmap.h"\n\n/* clang-format off */')
print("const jt_grapheme_run jt_grapheme_table[] = {")
for i in range(0, len(runs), 7): print("    " + ",".join("{0x%x,0x%x,%d}" % tuple(r) for r in runs[i:i + 7]) + ",")
print("};\nconst size_t jt_grapheme_runs = sizeof jt_grapheme_table / sizeof *jt_grapheme_table;")
