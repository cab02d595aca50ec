#!/usr/bin/env python3
"""Writes sums.jsonl: sums and differences of small numbers by a seeded rule. Run in this folder."""
import json
import random

random.seed(20250608)
with open("sums.jsonl", "w") as out:
    for i in range(100):
        a, b = random.randint(2, 12), random.randint(1, 9)
        a, b = max(a, b), min(a, b)
        question, answer = (f"What is {a} minus {b}?", a - b) if i % 2 else (f"What is {a} plus {b}?", a + b)
        out.write(json.dumps({"id": f"n{i + 1:03}", "question": question, "answer": str(answer)}) + "\n")
