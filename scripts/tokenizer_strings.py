"""Varied strings for comparing tokenizers: text as people write it, and text meant to break things."""

import random
import sys
import unicodedata

WORDS = """the of and to in is you that it he was for on are as with his they I at be this have from or one
had by word but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more write go see
number no way could people my than first water been call who oil its now find long down day did get come made
don't I'm you're they've we'll he'd it's DON'T I'M YOU'RE THEY'VE WE'LL HE'D IT'S '\u017f 'S'T rock'n'roll
antidisestablishmentarianism internationalization supercalifragilisticexpialidocious""".split()
CODE = ["def f(x):\n    return x**2 + 3.14\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
        "{\"key\": [1, 2.5e-3, null, true]}", "<div class=\"a\"><h1>Title</h1><br/></div>", "SELECT * FROM t WHERE id='7';",
        "#include <vector>\r\n#define X(a) ((a)+1)\r\n", "if x != y and not z: pass  # TODO\n", "\\frac{a}{b} \\sum_{i=0}^{n}",
        "https://example.org/a/b?c=d&e=%20#frag", "user.name+tag@mail.example.com", "0xDEADBEEF 0b1010 1_000_000 1,234,567.89"]
SCRIPTS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF),
           (0x900, 0x97F), (0x980, 0x9FF), (0xE00, 0xE7F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
           (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2100, 0x218F), (0x2200, 0x22FF), (0x2500, 0x25FF), (0x2E80, 0x303F),
           (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF),
           (0x1D400, 0x1D7FF), (0x1F100, 0x1F1FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0xE0100, 0xE01EF)]
EMOJI = ["\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", "\U0001F3F3\uFE0F\u200D\U0001F308", "\U0001F44D\U0001F3FD",
         "\U0001F1E9\U0001F1EA", "1\uFE0F\u20E3", "\u2764\uFE0F", "\U0001FAE9", "\U0001F926\U0001F3FC\u200D\u2642\uFE0F"]
SPACES = [" ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\u00A0", "\u2003", "\u3000", "\u2028", "\u0085",
          "\v", "\f", "\u200B", "\u180E", "\uFEFF", " \n", "\n ", " \n \n", "\u2581", "\u2581\u2581"]


def any_char(rng):
    while True:
        c = rng.randrange(0x110000)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def assigned_char(rng):
    while True:
        c = any_char(rng) if rng.random() < 0.5 else chr(rng.randrange(0x20000))
        if not 0xD800 <= ord(c) < 0xE000 and unicodedata.category(c) not in ("Cn", "Co"):
            return c


def script_text(rng, n):
    low, high = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(low, high)) if rng.random() < 0.85 else " " for _ in range(n))


def words(rng, n):
    out = []
    for _ in range(n):
        word = rng.choice(WORDS)
        out.append(rng.choice([word, word, word.capitalize(), word.upper(), word + rng.choice(".,;:!?)\"'…")]))
    return rng.choice([" ", " ", " ", "  ", "\n"]).join(out)


def numbers(rng):
    return rng.choice(["", " ", "-", "$", "a"]).join(str(rng.randrange(10 ** rng.randint(1, 12))) for _ in range(rng.randint(1, 6)))


def spaces(rng):
    return "".join(rng.choice(SPACES) * rng.randint(1, 3) for _ in range(rng.randint(1, 8)))


def combining(rng):
    return "".join(chr(rng.choice([rng.randint(0x61, 0x7A), rng.randint(0x3B1, 0x3C9)])) +
                   "".join(chr(rng.randint(0x300, 0x36F)) for _ in range(rng.randint(0, 4))) for _ in range(rng.randint(1, 12)))


def long_word(rng):
    unit = rng.choice(["a", "ab", "na", "\u4f60", "-", "=", "\u2581", " ", "\n", "\t", "x1", "\u0e01\u0e34", "ha", "'s", rng.choice(WORDS)])
    return unit * rng.randint(10, 400)


def special_text(rng, specials):
    if not specials:
        return ""
    pieces = []
    for _ in range(rng.randint(1, 5)):
        token = rng.choice(specials)
        pieces.append(rng.choice([token, token, token[:-1], token[1:], token + token, token.upper()]))
        pieces.append(rng.choice(["", " ", "\n", "user", rng.choice(WORDS), "  "]))
    return "".join(pieces)


def one(rng, specials):
    kind = rng.randrange(13)
    if kind == 0:
        return "".join(any_char(rng) for _ in range(rng.randint(1, 24)))
    if kind == 1:
        return "".join(assigned_char(rng) for _ in range(rng.randint(1, 24)))
    if kind == 2:
        return script_text(rng, rng.randint(1, 60))
    if kind == 3:
        return words(rng, rng.randint(1, 25))
    if kind == 4:
        return numbers(rng)
    if kind == 5:
        return spaces(rng)
    if kind == 6:
        return rng.choice(CODE) + rng.choice(CODE)
    if kind == 7:
        return "".join(rng.choice(EMOJI) + rng.choice(["", " ", "a"]) for _ in range(rng.randint(1, 8)))
    if kind == 8:
        return combining(rng)
    if kind == 9:
        return long_word(rng) if rng.random() < 0.3 else script_text(rng, 5) + spaces(rng) + words(rng, 2)
    if kind == 10:
        return special_text(rng, specials)
    if kind == 11:
        return "".join(chr(rng.randint(32, 126)) for _ in range(rng.randint(1, 80)))
    return "".join(one(rng, specials) for _ in range(rng.randint(2, 4)))


def strings(count, seed, specials):
    """`count` strings, the same for the same seed and list of special tokens."""
    sys.setrecursionlimit(10000)
    rng = random.Random(seed)
    fixed = ["", " ", "\n", "a", "\u2581", "\u017f", "'\u017f", "\0", "\uFFFD", "e\u0301", "\u1E9B\u0323", "Hello, world!", "\u0130"]
    return (fixed + [one(rng, specials) for _ in range(count)])[:count]
