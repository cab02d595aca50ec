#!/usr/bin/env python3
"""Writes regex_unicode.c: the characters that Unicode 15.0 to 16.0 added, with their general categories.

PCRE2 of many systems knows Unicode 14.0, the reference tokenizers know 16.0.

usage: make_regex_unicode.py UCD16 > regex_unicode.c    (UCD16 as for make_unicode_table.py; Python's own tables are 14.0)
"""
import subprocess, sys, unicodedata

assert unicodedata.unidata_version == "14.0.0"
ASK = "import unicodedata2 as u; assert u.unidata_version == '16.0.0'; print(','.join(u.category(chr(c)) for c in range(0x110000)))"
new = subprocess.run([sys.executable, "-c", ASK], env={"PYTHONPATH": sys.argv[1]}, capture_output=True, text=True, check=True).stdout.split(",")
new[-1] = new[-1].strip()
runs = []
for c in range(0x110000):
    kind = new[c]
    if unicodedata.category(chr(c)) != "Cn" or kind == "Cn": continue
    if runs and runs[-1][1] == c - 1 and runs[-1][2] == kind: runs[-1][1] = c
    else: runs.append([c, c, kind])
print("/* regex_unicode.c: made by make_regex_unicode.py; see there. Do not edit. */")
print('#include "text/regex_unicode.h"\n\n/* clang-format off */')
print("const jt_regex_new_chars jt_regex_new_table[%d] = {" % len(runs))
for a, b, k in runs: print("    {0x%x, 0x%x, \"%s\"}," % (a, b, k))
print("};\nconst size_t jt_regex_new_count = %d;" % len(runs))
