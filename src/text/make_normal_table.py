#!/usr/bin/env python3
"""Writes normal_table.c: decompositions, compositions, compatibility decompositions, combining classes, lower case and the classes of BERT's normaliser, as
Hugging Face tokenizers 0.23 has them. The library is asked about every code point; what it cannot be asked for (combining
classes, which decompositions compose again) is Unicode's 16.0, checked against the library where it answers.

usage: make_normal_table.py UCD16 > normal_table.c          needs: tokenizers
       make_normal_table.py UCD16 compat > normal_compat.c
where the folder holds the package unicodedata2, as put there by pip install --target UCD16 unicodedata2==16.0.0
"""
import sys
sys.path.insert(0, sys.argv[1])
import unicodedata2 as u
from tokenizers.normalizers import NFD, NFC, NFKD, BertNormalizer, StripAccents
from tokenizers.pre_tokenizers import BertPreTokenizer

assert u.unidata_version == "16.0.0"
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
nfd, nfc, nfkd, pre = NFD().normalize_str, NFC().normalize_str, NFKD().normalize_str, BertPreTokenizer().pre_tokenize_str
mark = StripAccents().normalize_str


def bert(**on):
    return BertNormalizer(**(dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False) | on)).normalize_str


clean, cjk, strip, lower = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True), bert(lowercase=True)
GONE, SPACE, WHITE, PUNCT, CJK, ACCENT, MARK = 1, 2, 4, 8, 16, 32, 64
kind, low, full, ccc, compat = {}, {}, {}, {}, {}
for c in ALL:
    s, k = chr(c), 0
    r = clean(s)
    if r == "": k |= GONE
    elif r == " " and s != " ": k |= SPACE
    else: assert r == s
    p = [x for x, _ in pre("a" + s + "a")]
    if p == ["a", "a"]: k |= WHITE
    elif p == ["a", s, "a"]: k |= PUNCT
    else: assert p == ["a" + s + "a"]
    if cjk(s) != s: k |= CJK
    d = nfd(s)
    if d != s and not 0xAC00 <= c < 0xD7A4: full[c] = d
    if d == s and strip(s) == "": k |= ACCENT
    if mark(s) == "": k |= MARK
    if nfkd(s) != d: compat[c] = nfkd(s)
    if lower(s) != s: low[c] = lower(s)
    kind[c] = k
    v = u.combining(s)
    if v and nfd("a" + s + "\u0334") == u.normalize("NFD", "a" + s + "\u0334"): ccc[c] = v
assert all(strip(chr(c)) == "".join(x for x in d if not kind[ord(x)] & ACCENT) for c, d in full.items())
assert {c: l for c, l in low.items() if len(l) > 1} == {0x130: "i\u0307"}

# One step: a character becomes a, or a and b; a goes on from there.
step = {}
for c, d in full.items():
    one = [int(x, 16) for x in u.decomposition(chr(c)).split()]
    assert nfd("".join(map(chr, one))) == d and len(one) in (1, 2), hex(c)
    step[c] = (one + [0])[:2]
rows = sorted(step)
pairs = sorted((step[c][0], step[c][1], i) for i, c in enumerate(rows) if step[c][1] and nfc(chr(step[c][0]) + chr(step[c][1])) == chr(c))


def borders(of):
    out, last = [], None
    for c in range(0x110000):
        v = of.get(c, 0)
        if v != last: out.append(c << 8 | v)
        last = v
    return out


runs = []  # first, last, step, difference
for c, d in sorted((c, ord(l[0]) - c) for c, l in low.items() if len(l) == 1):
    r = runs[-1] if runs else None
    if r and r[3] == d and (c - r[1] == r[2] or (r[0] == r[1] and c - r[1] <= 2)): r[2], r[1] = c - r[1], c
    else: runs.append([c, c, 1, d])


def lines(name, type, items, each):
    print(f"const {type} {name}[{len(items)}] = {{")
    for i in range(0, len(items), each): print("    " + ",".join(items[i:i + each]) + ",")
    print("};\n")


COMPAT = sys.argv[2:] == ["compat"]
print("/* normal_%s.c: made by make_normal_table.py; see there. Do not edit. */" % ("compat" if COMPAT else "table"))
print('#include "text/normal.h"\n\n/* clang-format off */')
if COMPAT:
    lines("jt_normal_compat", "uint32_t", [f"0x{c:x}" for c in compat], 16)
    ends = [sum(len(t) for t in list(compat.values())[:i]) for i in range(len(compat) + 1)]
    lines("jt_normal_compat_at", "uint16_t", [str(e) for e in ends], 24)
    lines("jt_normal_compat_to", "uint32_t", [f"0x{ord(x):x}" for t in compat.values() for x in t], 16)
    sys.exit()
lines("jt_normal_step", "uint64_t", [f"0x{c << 42 | step[c][0] << 21 | step[c][1]:x}" for c in rows], 8)
lines("jt_normal_pair", "uint16_t", [str(i) for _, _, i in pairs], 24)
lines("jt_normal_ccc", "uint32_t", [f"0x{x:x}" for x in borders(ccc)], 14)
lines("jt_normal_kind", "uint32_t", [f"0x{x:x}" for x in borders(kind)], 14)
lines("jt_normal_lower", "jt_normal_run", ["{0x%x,0x%x,%d,%d}" % tuple(r) for r in runs], 6)
print("const size_t jt_normal_sizes[6] = {%d, %d, %d, %d, %d, %d};" % (len(rows), len(pairs), len(borders(ccc)), len(borders(kind)), len(runs), len(compat)))
