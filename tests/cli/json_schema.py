"""A checker for the part of JSON Schema (2020-12) that src/server/openapi.json uses. Standard library only."""

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
ANNOTATIONS = {"description", "$ref"}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and value.is_integer()
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)


class Schema:
    """document: what its references ("#/components/schemas/X") point into."""

    def __init__(self, document):
        self.document = document

    def find(self, reference):
        found = self.document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found

    def faults(self, schema, value, where="$"):
        """What is wrong with the value, as texts."""
        if isinstance(schema, bool):
            return [] if schema else [f"{where} may not be there"]
        found = self.faults(self.find(schema["$ref"]), value, where) if "$ref" in schema else []
        for keyword, wanted in schema.items():
            if keyword not in ANNOTATIONS:
                check = getattr(self, "check_" + keyword)  # an unknown keyword is an error of the document
                found += check(wanted, value, where, schema)
        return found

    def check_type(self, wanted, value, where, _):
        names = wanted if isinstance(wanted, list) else [wanted]
        return [] if any(is_type(value, name) for name in names) else [f"{where} is {value!r:.60}, not {wanted}"]

    def check_const(self, wanted, value, where, _):
        return [] if same(value, wanted) else [f"{where} is {value!r:.60}, not {wanted!r}"]

    def check_enum(self, wanted, value, where, _):
        return [] if any(same(value, one) for one in wanted) else [f"{where} is {value!r:.60}, none of {wanted}"]

    def check_required(self, wanted, value, where, _):
        return [f"{where} has no {name}" for name in wanted if isinstance(value, dict) and name not in value]

    def check_properties(self, wanted, value, where, _):
        if not isinstance(value, dict):
            return []
        return [fault for name, schema in wanted.items() if name in value
                for fault in self.faults(schema, value[name], f"{where}.{name}")]

    def check_additionalProperties(self, wanted, value, where, schema):
        if not isinstance(value, dict):
            return []
        others = set(value) - set(schema.get("properties", {}))
        return [fault for name in sorted(others) for fault in self.faults(wanted, value[name], f"{where}.{name}")]

    def check_propertyNames(self, wanted, value, where, _):
        names = value if isinstance(value, dict) else ()
        return [fault for name in names for fault in self.faults(wanted, name, f"{where}: {name}")]

    def check_items(self, wanted, value, where, _):
        items = value if isinstance(value, list) else ()
        return [fault for i, item in enumerate(items) for fault in self.faults(wanted, item, f"{where}[{i}]")]

    def check_anyOf(self, wanted, value, where, _):
        each = [self.faults(schema, value, where) for schema in wanted]
        return [] if [] in each else [f"{where}: none of {each}"]

    def check_allOf(self, wanted, value, where, _):
        return [fault for schema in wanted for fault in self.faults(schema, value, where)]

    def check_pattern(self, wanted, value, where, _):
        return [f"{where} is {value!r}"] if isinstance(value, str) and not re.search(wanted, value) else []

    def limit(self, is_good, kinds, value, where, what):
        number = not isinstance(value, bool)
        return [f"{where} is {value!r:.60}: {what}"] if isinstance(value, kinds) and number and not is_good else []

    def check_minimum(self, wanted, value, where, _):
        return self.limit(is_type(value, "number") and value >= wanted, (int, float), value, where, f"min {wanted}")

    def check_maximum(self, wanted, value, where, _):
        return self.limit(is_type(value, "number") and value <= wanted, (int, float), value, where, f"max {wanted}")

    def check_exclusiveMinimum(self, wanted, value, where, _):
        return self.limit(is_type(value, "number") and value > wanted, (int, float), value, where, f"above {wanted}")

    def check_minLength(self, wanted, value, where, _):
        return self.limit(isinstance(value, str) and len(value) >= wanted, str, value, where, f"min {wanted}")

    def check_maxLength(self, wanted, value, where, _):
        return self.limit(isinstance(value, str) and len(value) <= wanted, str, value, where, f"max {wanted}")

    def check_minItems(self, wanted, value, where, _):
        return self.limit(isinstance(value, list) and len(value) >= wanted, list, value, where, f"min {wanted}")

    def check_maxItems(self, wanted, value, where, _):
        return self.limit(isinstance(value, list) and len(value) <= wanted, list, value, where, f"max {wanted}")

    def check_minProperties(self, wanted, value, where, _):
        return self.limit(isinstance(value, dict) and len(value) >= wanted, dict, value, where, f"min {wanted}")

    def check_maxProperties(self, wanted, value, where, _):
        return self.limit(isinstance(value, dict) and len(value) <= wanted, dict, value, where, f"max {wanted}")
