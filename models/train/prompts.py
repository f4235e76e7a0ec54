#!/usr/bin/python3
"""Writes the fixed prompt texts, cut from the held-out chapters of prepare.py.

Every prompt begins at the start of a sentence and ends at the end of one (of a
clause, where the length is exact), so that a continuation is natural;
held-out.txt is a longer piece for measuring perplexity.
"""
import argparse
import os
import re

# file, held-out run, lengths allowed (bytes), which match to take
PROMPTS = [
    ("short-short.txt", 12, 44, 56, 0),
    ("short-long.txt", 10, 66, 66, 0),
    ("long-short.txt", 0, 2380, 2420, 0),
    ("long-long.txt", 12, 3100, 3100, 0),
]
HELD_OUT = ("held-out.txt", 3, 16000, 16800)


def cut(text, low, high, nth):
    starts = [m.start() + 1 for m in re.finditer(r"(?<=[.?!]) (?=[A-Z])", text)]
    stop = r"(?<=[.?!])(?= )" if low < high else r"(?<=[.?!,;:])(?= )"
    ends = {m.start() for m in re.finditer(stop, text)}
    for a in starts:
        for n in range(high, low - 1, -1):
            if a + n in ends and (n > 100 or "\n" not in text[a:a + n]):
                if nth == 0:
                    return text[a:a + n]
                nth -= 1
    raise SystemExit("no such piece of text")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--corpus", default="corpus")
    ap.add_argument("--out", default="../prompts")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)

    def run(k):
        with open(os.path.join(args.corpus, f"held-out-{k:02d}.txt")) as f:
            return f.read()

    for name, k, low, high, nth in PROMPTS:
        t = cut(run(k), low, high, nth)
        with open(os.path.join(args.out, name), "w", newline="\n") as f:
            f.write(t)
        print(name, len(t), repr(t[:60]), "...", repr(t[-60:]))
    name, k, low, high = HELD_OUT
    t = run(k)
    end = max(m.start() for m in re.finditer(r"(?<=[.?!])(?= )", t[:high]))
    with open(os.path.join(args.out, name), "w", newline="\n") as f:
        f.write(t[:end])
    print(name, end, repr(t[:60]), "...", repr(t[end - 60:end]))


if __name__ == "__main__":
    main()
