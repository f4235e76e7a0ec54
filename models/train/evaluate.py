#!/usr/bin/python3
"""Held-out loss of the exported BF16 weights, run in FP32: over all held-out
text, and by position in windows of 5,120 bytes; with --generate, a greedy
continuation of a prompt file."""
import argparse
import glob
import multiprocessing
import os
import sys

from train import ENV

if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in ENV.items()):
    os.environ.update(ENV)
    os.execv(sys.executable, [sys.executable] + sys.argv)

import numpy as np
import torch

import export
import model

EDGES = [0, 256, 512, 1024, 2048, 3072, 4096, 5120]
WINDOW = 5120


def init(params):
    torch.set_num_threads(1)
    loss.params = params


def loss(ids):
    params = loss.params
    return model.token_losses(params, torch.from_numpy(ids.astype(np.int64))[None])[0].numpy()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", default="../llama-bytes-5m/model.safetensors")
    ap.add_argument("--corpus", default="corpus")
    ap.add_argument("--workers", type=int, default=2, help="single-threaded processes")
    ap.add_argument("--every", type=int, default=1, help="only every N-th window (quicker)")
    ap.add_argument("--generate", metavar="FILE", help="prompt file to continue, and nothing else")
    ap.add_argument("--bytes", type=int, default=1780)
    args = ap.parse_args()
    torch.set_num_threads(1)
    params = model.load_safetensors(args.model)
    if args.generate:
        with open(args.generate, "rb") as f:
            ids = list(f.read())
        _, out, _ = export.greedy(params, ids, args.bytes)
        print(bytes(out).decode("latin-1"))
        return
    paths = sorted(glob.glob(os.path.join(args.corpus, "held-out-[0-9]*.txt")))
    texts = [np.fromfile(path, dtype=np.uint8) for path in paths]

    # Windows of WINDOW predicted bytes; the byte before them is the first input.
    with multiprocessing.get_context("fork").Pool(args.workers, init, (params,)) as pool:
        for size in (WINDOW, 512):
            windows = [t[a:a + size + 1] for t in texts for a in range(0, len(t) - 1, size)][::args.every]
            losses = pool.map(loss, windows, chunksize=1)
            joined = np.concatenate(losses)
            print(f"held-out nats/byte, windows of up to {size}: {joined.mean(dtype=np.float64):.4f} "
                  f"({len(joined)} bytes)", flush=True)
            if size == WINDOW:
                full = np.stack([ls for ls in losses if len(ls) == size])
    print(f"by position, mean over {len(full)} windows of {WINDOW}:")
    for a, b in zip(EDGES, EDGES[1:]):
        print(f"| {a}-{b} | {full[:, a:b].mean():.4f} |")


if __name__ == "__main__":
    main()
