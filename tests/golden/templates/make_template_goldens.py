#!/usr/bin/env python3
"""Writes cases.json: templates, variables and what python jinja2 renders (or that it raises);
<family>.cases.json: conversations of family_cases.py in <family>.jinja; and value_matrix.json: the
expressions of value_matrix.py.

Needs jinja2; the environment is the one Hugging Face transformers renders chat templates in.
    python3 tests/golden/templates/make_template_goldens.py
"""
import copy
import datetime
import json
import pathlib
import re

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from family_cases import CONVERSATIONS as FAMILY_CONVERSATIONS
from family_cases import FAMILIES, TOOLS as FAMILY_TOOLS, family_cases
from value_matrix import matrix

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1700000000  # 2023-11-14 22:13:20 UTC


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise TemplateError(message)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(f)
    return env


SYSTEM = {"role": "system", "content": "Be brief.\nUse \"quotes\" & <tags>."}
USER = {"role": "user", "content": "  Hello, wörld! 你好 🙂\n"}
ANSWER = {"role": "assistant", "content": "Hi there."}
MORE = {"role": "user", "content": "And\tthen?"}
CONVERSATIONS = [
    [USER],
    [SYSTEM, USER],
    [USER, ANSWER, MORE],
    [SYSTEM, USER, ANSWER, MORE],
    [USER, USER],
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what is this? "}]}],
    [{"role": "system", "content": [{"type": "text", "text": "sys"}]}, {"role": "user", "content": "q"}],
]
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"type": "function", "function": {"name": "weather", "arguments": {
        "city": "Köln", "days": 3, "units": ["c", "f"], "exact": True, "at": None, "w": 1.5, "deep": {"b": {}, "a": []}}}},
    {"type": "function", "function": {"name": "now", "arguments": {}}}]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "It's <b>nice</b>\n", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number", "minimum": 0.5}}, "required": ["city"]}}}]
TOOL_TALKS = [
    [SYSTEM, USER, CALL, {"role": "tool", "content": "12"}, {"role": "tool", "content": "13"},
     {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is 12."}, MORE],
    [USER, CALL, {"role": "tool", "content": "{\"a\": 1}"}],
    [USER, {"role": "assistant", "content": "ok", "reasoning_content": " because "}],
]

VARS = {
    "x": 7, "y": -3, "f": 2.5, "s": "Hello World", "u": "äÖß 漢字 é", "e": "", "n": None, "t": True,
    "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": 2, "C": 3},
    "m": [{"k": "v1", "n": 2, "o": {"p": 1}}, {"k": "v2", "n": 1, "o": {"p": 5}}, {"k": "V1", "n": 3, "z": 0, "o": {"p": 3}}],
    "text": "  line one\nline two  \n\n  line four\n",
}

SNIPPETS = r"""
{{ x + y }} {{ x - y }} {{ x * y }} {{ x / 2 }} {{ x // 2 }} {{ y // 2 }} {{ x % 3 }} {{ y % 5 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -x ** 2 }}
{{ f + 1 }} {{ f // 1 }} {{ -f % 2 }} {{ 1e3 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1/3 }} {{ 100000.0 * 3 }} {{ 1_000 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ undefined_name }} {{ 'a' 'b' "c" }} {{ 'ab' * 3 }} {{ 2 * [1, 2] }} {{ [1] + [2] }} {{ (1, 2) + (3,) }} {{ (1,) }} {{ () }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ none == none }} {{ [1, 2] < [1, 3] }} {{ 'a' == 1 }} {{ 1 != 2 }}
{{ not x }} {{ not e }} {{ x and e }} {{ e or 'z' }} {{ x or y }} {{ not x in l }} {{ 3 in l }} {{ 9 not in l }} {{ 'b' in d }} {{ 'World' in s }} {{ not (1 in l) and true }}
{{ 'yes' if x > 3 else 'no' }} {{ 'yes' if x > 30 }} {{ 1 if e else 2 if n else 3 }} {{ (1 if t) + 1 }}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ s[0] }} {{ s[-5:] }} {{ u[3] }} {{ u[::-1] }} {{ s[2:8:3] }} {{ l[5:] }} {{ s[100:] }} {{ l[-100:2] }}
{{ d.b }} {{ d['a'] }} {{ d.missing }} {{ d['missing'] is defined }} {{ m[0].k }} {{ m[0]['o'].p }} {{ m.0.k }} {{ l.5 is defined }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ 'hello WORLD'.capitalize() }} {{ u.upper() }} {{ u.lower() }} {{ "it's a-b c".title() }} {{ "it's a-b (c) d" | title }} {{ u | capitalize }}
[{{ text.strip() }}] [{{ text.lstrip() }}] [{{ text.rstrip() }}] [{{ 'xxaxx'.strip('x') }}] [{{ 'xyzaxy'.lstrip('yx') }}] [{{ 'abc'.rstrip('bc') }}] [{{ text | trim }}] [{{ '--a--' | trim('-') }}]
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c d'.split(' ', 2) }} {{ 'a b c d'.rsplit(' ', 1) }} {{ ' a b  c '.split(none, 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a<br>b'.split('<br>')[-1] }} {{ 'aXbXc'.rsplit('X') }}
{{ text.splitlines() }} {{ 'a\r\nb\rc'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }}
{{ s.startswith('Hell') }} {{ s.endswith(('x', 'ld')) }} {{ s.find('o') }} {{ s.rfind('o') }} {{ u.find('漢') }} {{ s.find('q') }} {{ s.index('W') }} {{ s.count('l') }} {{ ''.count('') }} {{ s.replace('l', 'L', 2) }} {{ 'ab'.replace('', '-') }} {{ s.replace('o', '') }}
{{ '1a'.isdigit() }} {{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'é'.isalpha() }} {{ ' '.isspace() }} {{ 'AB1'.isupper() }} {{ 'aB'.islower() }} {{ 'a1'.isalnum() }} {{ '-'.join(['a', 'b']) }} {{ 'pre-x'.removeprefix('pre-') }} {{ 'x.py'.removesuffix('.py') }}
{{ '{} and {}'.format(1, 'b') }} {{ '{1}{0}{{}}'.format('a', 'b') }} {{ '{k}'.format(k=3) }} {{ '%s-%d-%.2f-%5.1f-%%' % ('a', 3, 1.005, 2.25) }} {{ '%s' % 'one' }} {{ '%s is %s' | format('a', 1) }} {{ '%05d|%x|%r' % (42, 255, 'q') }}
{{ s | length }} {{ u | length }} {{ l | count }} {{ d | length }} {{ undefined_name | length }} {{ l | first }} {{ l | last }} {{ [] | first }} {{ s | first }} {{ s | last }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ m | sum(attribute='n') }} {{ m | map(attribute='n') | max }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ m | sort(attribute='n') | map(attribute='k') | list }} {{ d | dictsort }} {{ d | dictsort(true) }} {{ d | dictsort(false, 'value') }} {{ d | dictsort(reverse=true) }} {{ m | sort(attribute='o.p') | map(attribute='n') | join(',') }}
{{ l | join }} {{ l | join(', ') }} {{ m | join('|', attribute='k') }} {{ l | reverse | list }} {{ s | reverse }} {{ 'abc' | list }} {{ d | list }} {{ ['a', 'A', 'b', 'a'] | unique | list }} {{ m | unique(attribute='k') | map(attribute='n') | list }} {{ ['a','A'] | unique(true) | list }}
{{ l | map('string') | join('+') }} {{ w | map('upper') | list }} {{ m | map(attribute='z', default='-') | list }} {{ w | map('replace', 'a', 'x') | list }} {{ l | select('odd') | list }} {{ l | reject('odd') | list }} {{ l | select('gt', 1) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ m | selectattr('k', 'equalto', 'v1') | map(attribute='n') | list }} {{ m | rejectattr('n', 'in', [1, 3]) | list | length }} {{ m | selectattr('z', 'defined') | list | length }} {{ m | selectattr('n') | list | length }}
{{ undefined_name | default('dflt') }} {{ e | default('x') }} {{ e | default('x', true) }} {{ none | d('q') }} {{ none | d('q', boolean=true) }} {{ d.missing | default }} {{ '42' | int }} {{ '4.7' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ 'ff' | int(0, 16) }} {{ 3.9 | int }} {{ true | int }} {{ '2.5' | float }} {{ 'x' | float }} {{ 7 | float }} {{ -3 | abs }} {{ -2.5 | abs }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 42.55 | round(1, 'ceil') }} {{ 1234 | round(-2) }} {{ 7 | round }}
{{ text | indent }} | {{ text | indent(2, true) }} | {{ text | indent(2, blank=true) }} | {{ 'a\nb' | indent('> ') }} {{ 'one' | indent }} {{ '' | indent(2, true) }}
{{ 'a b-c d_e' | wordcount }} {{ '<a href="x">\'&' | e }} {{ s | upper }} {{ s | lower }} {{ 5 | string ~ 'x' }} {{ s | replace('World', 'You') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ d | items | list }} {{ d | attr('x') is defined }} {{ s | safe }}
{{ d | tojson }} {{ m | tojson }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {'a': [], 'b': {}, 'c': [1, {'d': none}]} | tojson(indent=4) }} {{ d | tojson(sort_keys=true) }} {{ [1.0, 0.1, 1e20, 1e-7, true, none] | tojson }} {{ d | tojson(separators=(',', ':')) }} {{ '"\\/\b\f\n\r\t\x01<>&\'' | tojson }} {{ (1, 2) | tojson }}
{{ x is defined }} {{ q is defined }} {{ q is undefined }} {{ n is none }} {{ s is string }} {{ x is number }} {{ x is integer }} {{ f is float }} {{ t is boolean }} {{ t is true }} {{ t is false }} {{ t is number }} {{ t is integer }} {{ d is mapping }} {{ l is iterable }} {{ s is iterable }} {{ x is iterable }} {{ l is sequence }} {{ d is sequence }} {{ range is callable }} {{ x is odd }} {{ x is even }} {{ x is divisibleby 7 }} {{ x is divisibleby(2) }} {{ 1 is in l }} {{ x is eq 7 }} {{ x is ne(7) }} {{ x is gt 3 }} {{ 'a' is lower }} {{ 'A' is upper }} {{ n is sameas none }} {{ x is not none }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ x is not defined or false }}
{% for i in l %}{{ i }}{{ ',' if not loop.last }}{% endfor %} {% for i in [] %}x{% else %}none{% endfor %} {% for i in range(3) %}{{ loop.index }}/{{ loop.length }}:{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }} {% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'héy' %}[{{ c }}]{% endfor %}
{% for i in range(10) if i is odd %}{{ i }}:{{ loop.index }} {% endfor %}{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for (a, b) in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %} {{ range(3) | list }} {% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %} {% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %} {% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}
{% set a = 1 %}{% for i in l %}{% set a = i %}{{ a }}{% endfor %}{{ a }} {% set ns = namespace(v=0) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }} {% set p, q = 1, 2 %}{{ p }}{{ q }} {% set b %}block {{ x }}{% endset %}{{ b }} {% set c | upper %}up{% endset %}{{ c }} {% if true %}{% set z = 5 %}{% endif %}{{ z }} {% set ns2 = namespace({'k': 1}, j=2) %}{{ ns2.k }}{{ ns2.j }}
{% macro m1(a, b='B', c=none) %}[{{ a }}|{{ b }}|{{ c }}]{% endmacro %}{{ m1(1) }}{{ m1(1, 2) }}{{ m1(1, c=3) }}{{ m1(b=1, a=2) }}{{ m1() }} {% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(3) }} {{ m1(m1(0)) | length }} {% set outer = 'O' %}{% macro sees() %}{{ outer }}{% endmacro %}{{ sees() }}
{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('p') %}in {{ x }}{% endcall %} {% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each([1, 2]) %}({{ i }}){% endcall %} {% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('a', 'b') | upper %}banana{% endfilter %} {% with a = 1, b = 2 %}{{ a + b }}{% endwith %} {% raw %}{{ not }} {% parsed %}{% endraw %} {# comment #}end
a  {%- if true -%}  b  {%- endif -%}  c {{- x -}} d {%+ if true +%} e {% endif %}
{{ {'a': {'b': 1}} }} {{ {'a': 1, 2: 'x', none: 3.5} }} {{ [1, 'a', none, true, 1.0, [2], ('t', 1)] }} {{ "it's" }} {{ ["it's", 'say "x"', 'both \' "', 'tab\t', 'nl\n', 'é', '\\'] }} {{ {}  }} {{ dict(a=1, b='c') }}
{{ 'esc \n \t \\ \' \" \x41 \u00e9 \101 \q' }} {{ "a\
b" }} {{ '' }} {{ 'üñí' ~ '🙂' }} {{ '🙂x'[1] }}
{{ x if x is defined and x > 5 and x is odd else 'none' }} {{ (x > 5) ~ (y < 0) }} {{ x | string | length }} {{ -5 | abs + 1 }} {{ not x is none }} {{ 5 - 3 - 1 }} {{ 2 ** 3 ** 2 }} {{ 10 - 2 * 3 }} {{ 'a' ~ 1 + 2 }} {{ 7 // 2 * 2 }} {{ (1, 2)[1] }} {{ [1, 2][0] }} {{ 'abc'[1] }} {{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ "x".join(['1', '2']).upper() }}
{{ none is none and none == none }} {{ undefined_a == undefined_b }} {{ undefined_a is none }} {{ [] == [] }} {{ {'a': 1} == {'a': 1.0} }} {{ 'a' in ['a'] }} {{ none in [none] }} {{ '' in 'abc' }} {{ undefined_a or 'u' }} {{ (undefined_a, 1) | length }} {{ [undefined_a, 2] | select | list }}
{%- for r in ['user', 'assistant'] %}
  {%- if loop.first %}
first {{ r }}
  {%- else %}
other {{ r }}
  {%- endif %}
{%- endfor %}
"""

MULTILINE = [
    "{% if x %}\nyes\n{% else %}\nno\n{% endif %}\nend\n",
    "  {% for i in l %}\n  * {{ i }}\n  {% endfor %}\nafter\n\n",
    "line\n   {# comment #}\n next {# c #} same\n{#- strip -#}\n x",
    "{% set a = 1 %}\n{% set b = 2 -%}\n\n  {{ a + b }}\n\n",
    "a\r\nb\r\n{% if true %}\r\nc\r\n{% endif %}\r\n",
    "{% raw %}\n {{ x }} {% if %}\n{% endraw %}\nz",
    "\n\n{%- if true %}\n\n  x\n\n{%- endif %}\n\n",
    "{{ x }}\n{{ y }}\n\n",
    "   {%+ if true %}keep{% endif %}   \n\t{% if true %}\tdrop\n\t{% endif %}z",
]

ERRORS = [
    "{{ undefined_name.attr }}", "{{ undefined_name['k'] }}", "{{ undefined_name + 1 }}", "{{ undefined_name() }}",
    "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ 1 < 'a' }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 1 // 0 }}", "{{ x() }}", "{{ x.foo.bar }}",
    "{% for i in 5 %}{% endfor %}", "{{ 5 | length }}", "{{ 'abc' | nofilter }}", "{{ 1 is notest }}", "{{ raise_exception('no') }}",
    "{{ l.append(4) }}", "{{ d.update({'a': 1}) }}", "{{ 'x' in 5 }}", "{% set x.y = 1 %}", "{{ range(1000000) }}", "{{ none + 1 }}",
    "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "{% for a, b in [1] %}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{{ l['a'].b }}", "{{ {[1]: 2} }}", "{{ [3, 'a'] | sort }}", "{{ 'a'.split('') }}",
    "{{ '%d' % 'x' }}", "{{ '%s %s' % ('a',) }}", "{{ '%s' % ('a', 'b') }}", "{{ '{}'.format() }}", "{{ 'abc'.index('z') }}", "{{ range | tojson }}",
]
SYNTAX = [
    "{{ x", "{% if x %}", "{% endif %}", "{{ 'abc }}", "{% for x %}{% endfor %}", "{{ (1 }}", "{{ 1 + }}", "{% unknown %}", "{{ [1, 2 }}", "{# open",
    "{{ x y }}", "{% if %}{% endif %}", "{% set %}", "{% macro %}{% endmacro %}", "{{ }}", "{{ {'a' 1} }}", "{% else %}", "{{ x | }}", "{{ x. }}",
    "{% for i in l %}{% endif %}", "{% break %}", "{% raw %}x", "{{ ) }}", "{{ a b=1 }}", "{% macro f(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{{ 1 ! 2 }}",
]


def render(source, variables):
    try:
        return {"expected": environment().from_string(source).render(**variables)}
    except Exception as error:  # noqa: BLE001: any failure of the oracle is an expected failure
        return {"error": type(error).__name__}


def write_family(name):
    source = (HERE / f"{name}.jinja").read_text()
    family = FAMILIES[name]
    cases = []
    for conversation, tools, prompt, extra in family_cases(name):
        variables = {"messages": FAMILY_CONVERSATIONS[conversation], "tools": FAMILY_TOOLS if tools else None, "documents": None,
                     "bos_token": family["bos"], "eos_token": family["eos"], "add_generation_prompt": prompt, **extra}
        cases.append({"conversation": conversation, "tools": tools, "add_generation_prompt": prompt, "extra": extra, **render(source, variables)})
    document = {"bos": family["bos"], "eos": family["eos"], "tools": FAMILY_TOOLS, "conversations": FAMILY_CONVERSATIONS, "cases": cases}
    lines = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace('{"conversation":', '\n{"conversation":')
    (HERE / f"{name}.cases.json").write_text(lines + "\n")
    print(name, len(cases), "cases,", sum("error" in case for case in cases), "of them errors")


def write_matrix():
    """[source, expected or null for an error] a line; left out where jinja2 prints addresses or its own type names, or counts in them."""
    variables = {key: VARS[key] for key in ("l", "d", "m")}
    lines = []
    for source in matrix():
        result = render(source, copy.deepcopy(variables))  # indent changes lists
        lazy = re.search(r"v = (\(|d\.)[^%]*%.*v \| (string \| length|wordcount|replace)|d.keys\(\) %.*v is in v", source)
        if not lazy and not re.search(r"(?i) at 0x|dict_\w+\(|<function", result.get("expected", "")):
            lines.append(json.dumps([source, result.get("expected")], ensure_ascii=False))
    head = json.dumps(variables, separators=(",", ":"))
    (HERE / "value_matrix.json").write_text('{"variables":%s,"cases":[\n%s\n]}\n' % (head, ",\n".join(lines)))
    print("matrix", len(lines), "cases")


# Generators fail where they are read, not where they are made.
LAZY = ["{% set x = [1, 'a'] | map('abs') %}ok", "{{ [1, 'a'] | map('abs') | first }}", "{{ [1, 'a'] | map('abs') | select | first }}",
        "{{ [1, 'a'] | map('abs') | reject('odd') | first }}", "{{ 1 in ([1, 'a'] | map('abs')) }}", "{{ 2 in ([1, 'a'] | map('abs')) }}",
        "{{ [1, 'a'] | map('abs') | list }}", "{{ [1, 'a'] | map('abs') | join }}", "{{ [] | map('nosuch') | list }}", "{{ [1] | map('nosuch') | list }}",
        "{% if [1] | map('nosuch') %}yes{% endif %}", "{{ [1] | select('nosuch') | list }}", "{% set y = [1] | select('nosuch') %}ok",
        "{{ [1, [], 2] | unique | first }}", "{{ [1, [], 2] | unique | list }}", "{{ [1, 2, 'a'] | map('abs') | batch(1) | first }}",
        "{{ [1, 'a'] | map('abs') | batch(1) | first }}", "{% set z = 5 | items %}ok", "{{ 5 | items | list }}", "{% set z = [1] | slice('a') %}ok",
        "{% for x in [1, 'a'] | map('abs') %}{{ x }}{% endfor %}", "{{ [{'a': {'b': 1}}, {}] | map(attribute='a.b') | first }}",
        "{{ [{'a': {'b': 1}}, {}] | map(attribute='a.b') | list }}",
        "{% set it = [1, 'a', 2] | map('abs') %}{{ it | first }}{{ it is iterable }}", "{% set it = [1, 'a', 2] | map('abs') %}{{ it | first }}{{ it | first }}"]


def main():
    write_matrix()
    for name in FAMILIES:
        write_family(name)
    cases = []

    def chat(name, messages, **extra):
        variables = {"messages": messages, "bos_token": "<bos>", "eos_token": "<eos>", "tools": None,
                     "documents": None, "add_generation_prompt": True, **extra}
        source = (HERE / name).read_text()
        cases.append({"file": name, "variables": variables, **render(source, variables)})

    for name in ("smollm2.jinja", "gemma3.jinja"):
        for messages in CONVERSATIONS:
            chat(name, messages)
            chat(name, messages, add_generation_prompt=False)
    for messages in CONVERSATIONS[:4] + TOOL_TALKS:
        chat("tools.jinja", messages)
        chat("tools.jinja", messages, tools=TOOLS, enable_thinking=False)
    head, tail = SNIPPETS.strip("\n").split("\n{%- for r in", 1)
    for source in [s for s in head.replace("\\\nb", "\\\rb").split("\n")] + ["\n{%- for r in" + tail]:
        source = source.replace("\\\rb", "\\\nb")
        # One case an expression: a failure names what failed.
        parts = [source]
        if source.startswith("{{") and "{%" not in source:
            parts = [("{{" + p) for p in source.split("{{")[1:]] if "'{{" not in source and "{{}}" not in source else [source]
        for part in parts:
            cases.append({"source": part, "variables": VARS, **render(part, VARS)})
    for source in MULTILINE + ERRORS:
        cases.append({"source": source, "variables": VARS, **render(source, VARS)})
    for source in LAZY:
        cases.append({"source": source, "variables": VARS, **render(source, VARS)})
    for source in SYNTAX:
        result = render(source, VARS)
        assert "error" in result, source
        cases.append({"source": source, "variables": VARS, **result})
    for case in cases:
        if case["variables"] is VARS:
            case["variables"] = "VARS"
    document = {"now": NOW, "VARS": VARS, "cases": cases}
    (HERE / "cases.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    failures = [c for c in cases if "error" in c]
    print(len(cases), "cases,", len(failures), "of them errors")
    for c in failures:
        if "source" in c and c["source"] not in ERRORS + LAZY + SYNTAX:
            print("unexpected error in", c["source"], c["error"])


if __name__ == "__main__":
    main()
