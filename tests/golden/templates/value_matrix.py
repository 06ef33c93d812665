"""Every filter, test, operator and statement that takes a value, with values of every kind: what make_template_goldens.py renders
beside its snippets. Undefined, none and what is lazy differ most between implementations of Jinja."""

VALUES = ["missing", "none", "''", "'aB c'", "'é\\n x'", "0", "1", "-3", "2.5", "true", "false", "[]", "[3, 1, 2]", "['b', 'A', 'a']", "{}",
          "{'b': 1, 'A': 'x'}", "(1, 2)", "()", "range(3)", "m", "(l | map('string'))", "([] | select)", "d.items()", "d.keys()"]

FILTERS = ["abs", "attr('upper')", "attr('b')", "batch(2) | list", "batch(2, none) | list", "batch(2, 'x') | list", "capitalize", "center(7)", "count", "default('D')",
           "default('D', true)", "default(none)", "d", "dictsort", "dictsort(false, 'value')", "e", "first", "float", "float(none)", "format(1)", "groupby('k') | list | length",
           "indent", "indent(2, true)", "indent('>', true, true)", "int", "int(7)", "items | list", "join", "join('-')", "join(none)", "join(',', 'k')", "last", "length",
           "list", "lower", "map('upper') | list", "map('string') | join('|')", "map(attribute='k') | list", "map(attribute='k', default='Q') | list", "max", "min",
           "reject | list", "reject('odd') | list", "rejectattr('k') | list", "rejectattr('k', 'eq', 'v1') | list", "replace('a', 'b')", "replace('', '.')", "reverse | list",
           "round", "round(1)", "safe", "select | list", "select('string') | list", "select('none') | list", "selectattr('k') | list", "selectattr('k', 'defined') | list",
           "slice(2) | list", "sort", "sort(reverse=true)", "string", "string | length", "sum", "sum(start=10)", "title", "tojson", "tojson(indent=2)", "trim", "trim('a')",
           "trim('')", "unique | list", "upper", "wordcount"]
TESTS = ["boolean", "callable", "defined", "divisibleby(3)", "eq(1)", "eq(none)", "escaped", "even", "false", "float", "ge(1)", "gt('a')", "in([none, 1, 'aB c'])", "in('aB c')",
         "in(missing)", "integer", "iterable", "le(1)", "lower", "lt(1)", "mapping", "ne(none)", "none", "number", "odd", "sequence", "string", "true",
         "undefined", "upper"]
USES = ["{{ V }}", "{{ V ~ 'x' }}", "{{ V + 1 }}", "{{ V + 'x' }}", "{{ V + [1] }}", "{{ V * 2 }}", "{{ V % 2 }}", "{{ V / 2 }}", "{{ -V }}", "{{ not V }}", "{{ V and 'y' }}",
        "{{ V or 'y' }}", "{{ 'y' if V else 'n' }}", "{{ V == none }}", "{{ V == missing }}", "{{ V == V }}", "{{ V != [] }}", "{{ V < 2 }}", "{{ V < 'b' }}", "{{ V in [none, 1] }}",
        "{{ 'a' in V }}", "{{ 1 in V }}", "{{ none in V }}", "{{ V[0] }}", "{{ V['b'] }}", "{{ V.b }}", "{{ V.b.c }}", "{{ V[none] }}", "{{ V[missing] }}", "{{ V[1:] }}", "{{ V[:-1] }}",
        "{{ V[::-1] }}", "{{ V[none:1] }}", "{{ l[V] }}", "{{ l[V:] }}", "{{ d[V] }}", "{{ d.get(V) }}", "{{ {V: 1} }}", "{{ [V] }}", "{{ [V] | select | list }}", "{{ [V] | tojson }}", "{{ (V, 1) }}", "{{ 'a%s' % V }}",
        "{{ '%d' % V }}", "{{ '{}'.format(V) }}", "{{ '-'.join(V) }}", "{{ ['x'] | join(V) }}", "{{ 'abc'.split(V) }}", "{{ 'abc'.startswith(V) }}", "{{ 'abc'.strip(V) }}", "{{ 'abc' | replace(V, 'z') }}",
        "{% for x in V %}[{{ x }}{{ loop.index }}/{{ loop.length }}]{% else %}none{% endfor %}", "{% for a, b in V %}{{ a }}={{ b }},{% endfor %}", "{% for x in V if x %}{{ x }},{% endfor %}",
        "{% if V %}yes{% elif V is none %}none{% else %}no{% endif %}", "{% set a, b = V %}{{ a }}{{ b }}", "{% set q = V %}{{ q is defined }}{{ q }}", "{% set ns = namespace(v=V) %}{{ ns.v }}",
        "{% macro f(x) %}{{ x }}{{ x is defined }}{% endmacro %}{{ f(V) }}", "{% macro f(x=V) %}{{ x }}{% endmacro %}{{ f() }}", "{{ V() }}", "{{ range(V) | list }}", "{{ dict(V) }}", "{{ namespace(V) is defined }}",
        "{% set q = V %}{{ q | list }}{{ q | list }}", "{% set q = V %}{{ q | first }}{{ q | list }}", "{% with q = V %}{{ q }}{% endwith %}", "{{ V.items() | list }}", "{{ V.keys() | list }}", "{{ V.upper() }}", "{{ V.append }}",
        "{{ V | list | length }}", "{{ (V | list)[0] }}", "{{ V is in V }}", "{{ [[V]] == [[V]] }}", "{{ [V, 1] | sort }}", "{{ [V, none] | unique | list }}", "{{ {'k': V} | tojson }}", "{{ {'k': V} | items | list }}"]


def matrix():
    """The source of each case. The value is a variable: what jinja2 folds at compile time it may treat otherwise."""
    for value in VALUES:
        head = "" if value == "missing" else "{%% set v = %s %%}" % value
        name = "missing" if value == "missing" else "v"
        for use in ["{{ V | %s }}" % f for f in FILTERS] + ["{{ V is %s }}" % t for t in TESTS] + USES:
            yield head + use.replace("V", name)
