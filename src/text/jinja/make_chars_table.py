#!/usr/bin/env python3
"""Writes chars_table.c: what Python 3.11's str methods know of characters (Unicode 14.0), as templates see it.

usage: make_chars_table.py > chars_table.c
"""
import sys, unicodedata

assert unicodedata.unidata_version == "14.0.0", "run with Python 3.11, whose Unicode is 14.0"
ALL = range(0x110000)


def ignorable(c):
    """Case-ignorable, asked of lower(): a capital sigma is final when a cased character stands before it, whatever is between."""
    return ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and not cased(c)


def cased(c):
    return c != "\u03a3" and ("." + c + "\u03a3").lower()[-1] == "\u03c2" or c == "\u03a3"


def bits(cp):
    if 0xD800 <= cp < 0xE000: return 0
    c = chr(cp)
    title = unicodedata.category(c) == "Lt"
    tests = [c.isprintable(), c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.isupper(), c.islower(), title, c.isspace(),
             cased(c), ignorable(c), c.isidentifier(), ("a" + c).isidentifier()]
    return sum(1 << i for i, t in enumerate(tests) if t)


print("/* chars_table.c: made by make_chars_table.py; see there. Do not edit. */")
print('#include "text/jinja/chars.h"\n\n/* clang-format off */')
runs, last = [], None
for cp in ALL:
    b = bits(cp)
    if b != last: runs.append((cp, b)); last = b


def table(kind, name, values, per=12):
    print(f"const {kind} {name}[] = {{")
    for i in range(0, len(values), per): print("    " + ",".join(values[i:i + per]) + ",")
    print("};")


table("uint32_t", "jt_char_begin", [str(r[0]) for r in runs], 16)
table("uint16_t", "jt_char_bits", [str(r[1]) for r in runs], 20)
maps = {"lower": str.lower, "upper": str.upper, "title": str.title, "fold": str.casefold}
sizes, multi = [len(runs)], []
for kind, f in maps.items():
    out = []
    for cp in ALL:
        if 0xD800 <= cp < 0xE000: continue
        to = f(chr(cp))
        if to == chr(cp): continue
        if len(to) > 1: multi.append((cp, list(maps).index(kind), [ord(c) for c in to])); continue
        by = ord(to) - cp
        if out and out[-1][3] == by and (cp - out[-1][1] == out[-1][2] or out[-1][0] == out[-1][1] and cp - out[-1][1] <= 2):
            out[-1] = (out[-1][0], cp, cp - out[-1][1], by)
        else:
            out.append((cp, cp, 1, by))
    table("jt_char_run", "jt_char_" + kind, ["{%d,%d,%d,%d}" % r for r in out], 6)
    sizes.append(len(out))
multi.sort()
table("jt_char_more", "jt_char_multi", ["{%d,%d,{%s}}" % (c, k, ",".join(map(str, t))) for c, k, t in multi], 5)
sizes.append(len(multi))
print("const size_t jt_char_sizes[6] = {%s};" % ", ".join(map(str, sizes)))
