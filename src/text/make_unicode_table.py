#!/usr/bin/env python3
"""Writes unicode_table.c: the class of every code point, as the reference tokenizers see it.

The regular expressions of Hugging Face tokenizers 0.23 (Oniguruma) know Unicode 16.0; its "digits"
pre-tokenizer (Rust's char::is_numeric) knows 17.0. Both were found by asking the library about every
code point. So: general categories of 16.0, and a class of its own for what only 17.0 calls a number.

usage: make_unicode_table.py UCD16 UCD17 > unicode_table.c
where each folder holds the package unicodedata2 of that version, as put there by
    pip install --target UCD16 unicodedata2==16.0.0
    pip install --target UCD17 unicodedata2==17.0.0
"""
import subprocess, sys

WHITE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
ASK = "import unicodedata2 as u; print(u.unidata_version); print(','.join(u.category(chr(c)) for c in range(0x110000)))"


def categories(folder, version):
    got, letters = subprocess.run([sys.executable, "-c", ASK], env={"PYTHONPATH": folder}, capture_output=True, text=True, check=True).stdout.split()
    assert got == version, f"{folder} holds Unicode {got}, not {version}"
    return letters.split(",")


old, new = categories(sys.argv[1], "16.0.0"), categories(sys.argv[2], "17.0.0")
NUMBER = {"O": 0, "L": 1, "M": 2, "N": 3, "P": 4, "S": 5, "W": 6, "D": 7, "Lu": 8, "Lt": 8, "Ll": 9}


def kind(c):
    if c in WHITE: return NUMBER["W"]
    if old[c][0] != "N" and new[c][0] == "N": return NUMBER["D"]
    return NUMBER.get(old[c], NUMBER.get(old[c][0], 0))


blocks, page = {}, []
for hi in range(0x1100):
    words = tuple(sum(kind(hi << 8 | w << 4 | i) << 4 * i for i in range(16)) for w in range(16))
    page.append(blocks.setdefault(words, len(blocks)))
assert len(blocks) < 256
print("/* unicode_table.c: made by make_unicode_table.py; see there. Do not edit. */")
print('#include "text/unicode.h"\n\n/* clang-format off */')
print("const uint8_t jt_unicode_page[0x1100] = {")
for i in range(0, 0x1100, 32): print("    " + ",".join(map(str, page[i:i + 32])) + ",")
print("};\n\nconst uint64_t jt_unicode_block[%d][16] = {" % len(blocks))
for words in blocks: print("    {" + ",".join(f"0x{w:x}" for w in words) + "},")
print("};\n\nconst uint16_t jt_unicode_first[256] = {")
for i in range(0, 128, 16): print("    " + ",".join(str(1 << kind(c)) for c in range(i, i + 16)) + ",")
print("};")
