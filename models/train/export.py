#!/usr/bin/python3
"""Exports a checkpoint of train.py: config.json, model.safetensors (BF16) and
golden/reference-logits.json.

The golden values come from the weights as read back from model.safetensors
(so rounded to BF16), with all arithmetic in FP64 and the results rounded to
FP32.
"""
import argparse
import json
import os

import torch

import model

TEXTS = [
    "In the beginning",
    "And it came to pass in those days, that the king said unto ",
    "The LORD is my shepherd; I shall not want. He maketh me to lie down in green pastures: "
    "he leadeth me beside the still waters.",
]


def greedy(params, ids, count):
    """(last-position logits, continuation, smallest gap between best and second)."""
    cache = [None] * model.L
    dtype = params["model.norm.weight"].dtype
    with torch.no_grad():
        h = model.forward(params, torch.tensor([ids]), cache=cache)
        first = lg = model.logits(params, h[:, -1])[0]
        out, gap = [], float("inf")
        for i in range(count):
            top = torch.topk(lg, 2)
            gap = min(gap, float(top.values[0] - top.values[1]))
            out.append(int(top.indices[0]))
            if i + 1 < count:
                h = model.forward(params, torch.tensor([[out[-1]]]), cache=cache, start=len(ids) + i)
                lg = model.logits(params, h[:, -1])[0]
    return first, out, gap


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--checkpoint", default="run/checkpoint.pt")
    ap.add_argument("--prompts", default="../prompts")
    ap.add_argument("--out", default="../llama-bytes-5m")
    ap.add_argument("--golden", default="../golden/reference-logits.json")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    os.makedirs(os.path.dirname(args.golden), exist_ok=True)

    c = torch.load(args.checkpoint, map_location="cpu")
    print("checkpoint", c["counters"])
    path = os.path.join(args.out, "model.safetensors")
    model.save_safetensors(path + ".tmp", {n: c["params"][n] for n in model.shapes()})
    os.replace(path + ".tmp", path)
    with open(os.path.join(args.out, "config.json"), "w") as f:
        json.dump(model.CONFIG, f, indent=2)
        f.write("\n")

    params = model.load_safetensors(path, torch.float64)
    for n, shape in model.shapes().items():
        assert tuple(params[n].shape) == shape and torch.isfinite(params[n]).all(), n
        assert torch.equal(params[n], c["params"][n].to(torch.bfloat16).double()), n
    with open(os.path.join(args.prompts, "held-out.txt")) as f:
        held = f.read()
    texts = TEXTS + [held[:600]]
    cases = []
    for t in texts:
        ids = list(t.encode("ascii"))
        lg, out, gap = greedy(params, ids, 32)
        lg32 = lg.float()
        cases.append({
            "prompt": t,
            "prompt_ids": ids,
            "last_logits": [float(f"{float(x):.9g}") for x in lg32],
            "greedy_ids": out,
            "greedy_text": bytes(out).decode("latin-1"),
            "smallest_top2_gap": round(gap, 6),
        })
        print(len(ids), repr(bytes(out).decode("latin-1")), f"gap {gap:.4f}")
    doc = {
        "model": "llama-bytes-5m",
        "arithmetic": "weights rounded to BF16, computed in FP64, logits rounded to FP32",
        "cases": cases,
    }
    with open(args.golden, "w") as f:
        text = json.dumps(doc, indent=1)
        # number lists on one line each
        import re
        text = re.sub(r"\[\s+([-0-9.e,\s]+?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)
        f.write(text + "\n")
    print(path, os.path.getsize(path), "bytes;", args.golden, os.path.getsize(args.golden), "bytes")


if __name__ == "__main__":
    main()
