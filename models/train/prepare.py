#!/usr/bin/python3
"""Makes the corpus: King James text from the Debian packages bible-kjv and
bible-kjv-text, one line of running prose per chapter, verse numbers dropped.

Split rule: the 1,189 chapters are numbered 0.. in book order; chapter i is
held out when (i // 4) % 20 == 10, that is, four consecutive chapters out of
every eighty. The rest, in order, is the training text.

Writes DIR/train.txt, DIR/held-out-NN.txt (one per held-out run of chapters).
"""
import argparse
import os
import re
import subprocess

RANGE = "gen1:1-rev99:99"


def chapters():
    text = subprocess.run(["bible", "-l1000000", RANGE], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode("ascii")
    out = []
    for line in text.splitlines():
        line = line.rstrip()
        if not line:
            continue
        m = re.match(r"\s+(\d+) (.*)$", line)
        if m:
            out[-1][1].append(re.sub(r"\s+", " ", m.group(2)).strip())
        elif not line.startswith(" ") and re.match(r".* \d+$", line):
            out.append((line, []))
        else:
            raise SystemExit("unexpected line: " + line[:80])
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default="corpus", help="output directory (default: corpus)")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    chs = chapters()
    verses = sum(len(v) for _, v in chs)
    if len(chs) != 1189 or verses != 31102:
        raise SystemExit(f"expected 1189 chapters, 31102 verses; got {len(chs)}, {verses}")
    train, held = [], {}
    for i, (head, vs) in enumerate(chs):
        text = f"{head}\n\n{' '.join(vs)}\n\n"
        if (i // 4) % 20 == 10:
            held.setdefault(i // 80, []).append(text)
        else:
            train.append(text)
    train = "".join(train)
    with open(os.path.join(args.out, "train.txt"), "w", newline="\n") as f:
        f.write(train)
    total = 0
    for k, parts in sorted(held.items()):
        t = "".join(parts)
        total += len(t)
        with open(os.path.join(args.out, f"held-out-{k:02d}.txt"), "w", newline="\n") as f:
            f.write(t)
        print(f"held-out-{k:02d}: {len(t):6d} bytes, starts {parts[0].splitlines()[0]}")
    print(f"train {len(train)} bytes, held out {total} bytes in {len(held)} runs "
          f"({100 * total / (total + len(train)):.2f} %)")


if __name__ == "__main__":
    main()
