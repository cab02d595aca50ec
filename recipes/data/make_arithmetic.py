#!/usr/bin/env python3
"""Writes arithmetic.jsonl: one-step word problems by a seeded rule. Run in this folder."""
import json
import random

random.seed(20250703)
NAMES = ["Ann", "Ben", "Cora", "Dan", "Eva", "Finn", "Gwen", "Hugo"]
THINGS = ["apples", "pens", "books", "coins", "shells", "cards", "marbles", "stamps"]
with open("arithmetic.jsonl", "w") as out:
    for i in range(100):
        name, thing = random.choice(NAMES), random.choice(THINGS)
        a, b = random.randint(11, 60), random.randint(2, 10)
        if i % 2:
            question, answer = f"{name} has {a} {thing} and gives away {b} of them. How many {thing} are left?", a - b
        else:
            question, answer = f"{name} has {a} {thing} and gets {b} more. How many {thing} are there now?", a + b
        out.write(json.dumps({"id": f"a{i + 1:03}", "question": question, "answer": str(answer)}) + "\n")
