#!/usr/bin/env python3
"""Makes tests/golden/json_schema/cases.json of the official JSON-Schema-Test-Suite (MIT licence,
https://github.com/json-schema-org/JSON-Schema-Test-Suite, commit 44401e0c0467): its cases for draft
2020-12, and for draft 7 where that says something else, of the keywords that grammars know.
  make_json_schema_cases.py SUITE_FOLDER
"""
import json
import pathlib
import sys

FILES = {
    "draft2020-12": """additionalProperties allOf anyOf boolean_schema const content default defs enum
        exclusiveMaximum exclusiveMinimum infinite-loop-detection items maxItems maxLength maximum minItems
        minLength minimum oneOf pattern prefixItems properties ref required type
        optional/bignum optional/ecmascript-regex optional/non-bmp-regex optional/float-overflow
        optional/format/date-time optional/format/date optional/format/time optional/format/duration
        optional/format/email optional/format/hostname optional/format/ipv4 optional/format/ipv6
        optional/format/uri optional/format/uuid""".split(),
    "draft7": ["additionalItems", "items", "definitions"],
}

suite = pathlib.Path(sys.argv[1]) / "tests"
groups = []
for draft, names in FILES.items():
    for name in names:
        for group in json.loads((suite / draft / f"{name}.json").read_text()):
            if isinstance(group["schema"], dict):
                group["schema"].pop("$schema", None)
            tests = [[t["description"], t["data"], t["valid"]] for t in group["tests"]]
            groups.append({"name": f"{draft}/{name}: {group['description']}", "schema": group["schema"],
                           "tests": tests})
out = pathlib.Path(__file__).parent / "json_schema" / "cases.json"
lines = [json.dumps(group, ensure_ascii=True, separators=(",", ":")) for group in groups]
out.write_text("[\n" + ",\n".join(lines) + "\n]\n")
print(f"{len(groups)} groups, {sum(len(g['tests']) for g in groups)} cases")
