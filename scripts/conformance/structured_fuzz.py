#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random schemas, each of whose answers must be valid: structured_fuzz.py PROGRAM [SECONDS [SEED]]"""

import json
import random
import sys
import time

import jsonschema

from server import TEMPLATE, Checks, serving

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 30
FIRST = int(sys.argv[3]) if len(sys.argv) > 3 else 0
LEAVES = ["integer", "number", "string", "boolean", "null", "const", "enum", "pattern", "format"]
PATTERNS = ["^[a-z]{1,4}$", r"^\d{3}-\d{2}$", "^(x|yy)+z$", "ab?", r'^[^"\\]{0,3}$']
VALUES = ["a", 'b\n"', "ü", 1, 2.5, None, True, [1, 2], {"k": "v"}]
checks = Checks()


def leaf(dice):
    kind = dice.choice(LEAVES)
    if kind == "integer":
        least = dice.randint(-50, 50)
        return dice.choice([{"type": kind}, {
            "type": kind, "minimum": least, "maximum": least + dice.randint(0, 500)}])
    if kind == "number":
        return {"type": kind, "minimum": 0, "exclusiveMaximum": dice.choice([1, 10, 2.5])}
    if kind == "string":
        least = dice.randint(0, 4)
        return {"type": kind, "minLength": least, "maxLength": least + dice.randint(0, 6)}
    if kind == "const":
        return {"const": dice.choice(VALUES)}
    if kind == "enum":
        return {"enum": dice.sample(VALUES, dice.randint(1, 5))}
    if kind == "pattern":
        return {"type": "string", "pattern": dice.choice(PATTERNS)}
    if kind == "format":
        return {"type": "string", "format": dice.choice(["date", "uuid", "ipv4", "time"])}
    return {"type": kind}


def schema(dice, depth=3):
    kind = dice.choice(["leaf", "leaf", "array", "tuple", "object", "any"])
    if depth == 0 or kind == "leaf":
        return leaf(dice)
    if kind == "array":
        least = dice.randint(0, 2)
        return {"type": "array", "items": schema(dice, depth - 1), "minItems": least,
                "maxItems": least + dice.randint(0, 2)}
    if kind == "tuple":
        return {"type": "array", "prefixItems": [schema(dice, depth - 1) for _ in range(2)],
                "items": False, "minItems": dice.randint(0, 2)}
    if kind == "any":
        return {"anyOf": [schema(dice, depth - 1) for _ in range(dice.randint(1, 3))]}
    names = dice.sample(["a", "b", "c", "a b", '"q"', "é"], dice.randint(0, 4))
    return {"type": "object", "properties": {name: schema(dice, depth - 1) for name in names},
            "required": [name for name in names if dice.random() < 0.7],
            "additionalProperties": dice.choice([False, False, {"type": "integer"}])}


with serving(sys.argv[1], "--chat-template", TEMPLATE) as server:
    end, seed, cut = time.time() + SECONDS, FIRST, 0
    while time.time() < end:
        dice = random.Random(seed)
        asked = schema(dice)
        status, body = server.call("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "Write it."}], "max_tokens": 200,
            "temperature": dice.choice([0, 1, 2]), "seed": seed, "response_format": {
                "type": "json_schema", "json_schema": {"name": "it", "schema": asked}}})
        seed += 1
        if not checks.equal(status, 200, f"schema {seed - 1}: {asked}"):
            continue
        choice = json.loads(body)["choices"][0]
        if choice["finish_reason"] == "length":
            cut += 1
            continue
        try:
            jsonschema.validate(json.loads(choice["message"]["content"]), asked)
            checks.that(True, "valid")
        except (ValueError, jsonschema.ValidationError) as error:
            checks.that(False, f"schema {seed - 1}: {asked}", (choice["message"]["content"], error))
    print(f"{seed - FIRST} schemas, {cut} answers cut by their length")
    checks.that(server.idle(), "gauges return to zero")
sys.exit(checks.close())
