#!/usr/bin/python3
"""Trains the byte-level reference model on the corpus of prepare.py.

The schedule follows the fraction of the wall-clock budget that is used up, so
the run always ends with the learning rate at zero, however fast the machine
is. Context grows in stages (--stages), ending with long sequences.
Muon for the 2-D matrices of the layers, AdamW for the embedding and norms.
"""
import argparse
import glob
import json
import math
import multiprocessing
import os
import sys
import time

# Two single-threaded workers beat one two-threaded process; and glibc must keep
# freed memory instead of giving it back to the system after every step.
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0",
       "MALLOC_TRIM_THRESHOLD_": "20000000000", "MALLOC_TOP_PAD_": "67108864"}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in ENV.items()):
    os.environ.update(ENV)
    os.execv(sys.executable, [sys.executable] + sys.argv)

import numpy as np
import torch
import torch.nn.functional as F

import model


def newton_schulz(g, steps):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t().contiguous()
    for _ in range(steps):
        s = x @ x.t()
        x = torch.addmm(x, torch.addmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


class Chunks:
    """Without-replacement windows of the training text, reshuffled per pass."""

    def __init__(self, data, seed):
        self.data, self.rng, self.queue, self.length = data, np.random.default_rng(seed), [], 0

    def next(self, bsz, t):
        if t != self.length:
            self.queue, self.length = [], t
        rows = []
        while len(rows) < bsz:
            if not self.queue:
                off = int(self.rng.integers(0, t))
                n = (len(self.data) - 1 - off) // t
                self.queue = [off + int(i) * t for i in self.rng.permutation(n)]
            a = self.queue.pop()
            rows.append(self.data[a:a + t + 1])
        return torch.from_numpy(np.stack(rows).astype(np.int64))


def parse_stages(text):
    out = []
    for part in text.split(","):
        frac, ctx, bsz = part.split(":")
        out.append((float(frac), int(ctx), int(bsz)))
    return out


def load_held(corpus):
    runs = []
    for path in sorted(glob.glob(os.path.join(corpus, "held-out-*.txt"))):
        runs.append(np.fromfile(path, dtype=np.uint8))
    return runs


def quick_windows(runs, t=512, count=24):
    rows = [r[a:a + t + 1] for r in runs for a in range(0, len(r) - t - 1, t)]
    pick = [rows[i * len(rows) // count] for i in range(count)]
    return torch.from_numpy(np.stack(pick).astype(np.int64))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--corpus", default="corpus", help="directory made by prepare.py")
    ap.add_argument("--out", default="run", help="directory for checkpoint.pt and log.txt")
    ap.add_argument("--budget", type=float, default=2010, help="wall-clock seconds for training")
    ap.add_argument("--stages", default="0:256:16,0.30:512:8,0.53:1024:4,0.60:2048:2,0.68:5120:2",
                    help="START:CONTEXT:BATCH,... START is a fraction of the budget")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--workers", type=int, default=2, help="processes; each batch is divided among them")
    ap.add_argument("--muon-lr", type=float, default=0.02)
    ap.add_argument("--adam-lr", type=float, default=0.004)
    ap.add_argument("--weight-decay", type=float, default=0.05, help="for the Muon matrices, times lr")
    ap.add_argument("--ns-steps", type=int, default=5)
    ap.add_argument("--warmup", type=float, default=0.01, help="fraction of the budget")
    ap.add_argument("--cooldown", type=float, default=0.75,
                    help="last fraction of the budget over which lr falls linearly to zero")
    ap.add_argument("--max-steps", type=int, default=0, help="stop early after this many steps (probe)")
    ap.add_argument("--save-every", type=float, default=60, help="seconds between checkpoints")
    ap.add_argument("--eval-every", type=float, default=240, help="seconds between quick held-out checks")
    ap.add_argument("--resume", action="store_true", help="continue from OUT/checkpoint.pt")
    args = ap.parse_args()

    os.makedirs(args.out, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    params = model.init_params(args.seed)
    muon = [n for n, p in params.items() if p.ndim == 2 and "embed" not in n]
    adam = [n for n in params if n not in muon]
    state = {
        "params": params,
        "mom": {n: torch.zeros_like(params[n]) for n in muon},
        "m1": {n: torch.zeros_like(params[n]) for n in adam},
        "m2": {n: torch.zeros_like(params[n]) for n in adam},
    }
    counters = {"step": 0, "tokens": 0, "used": 0.0}
    if args.resume:
        c = torch.load(os.path.join(args.out, "checkpoint.pt"))
        for part in state:
            for n in state[part]:
                state[part][n].data.copy_(c[part][n])
        counters = c["counters"]
    grads = [{n: torch.zeros_like(p) for n, p in params.items()} for _ in range(args.workers)]
    for part in list(state.values()) + grads:
        for n in part:
            part[n] = part[n].detach().share_memory_()
    control = torch.zeros(4, dtype=torch.float64).share_memory_()
    mp = multiprocessing.get_context("fork")
    barrier = mp.Barrier(args.workers, timeout=600)
    procs = [mp.Process(target=worker, args=(r, args, state, grads, control, barrier, counters))
             for r in range(args.workers)]
    for p in procs:
        p.start()
    for p in procs:
        p.join()
    sys.exit(max(abs(p.exitcode) for p in procs))


def worker(rank, args, state, grads, control, barrier, counters):
    chief = rank == 0
    torch.set_num_threads(1)
    params = state["params"]
    for p in params.values():
        p.requires_grad_(True)
    mom, m1, m2 = state["mom"], state["m1"], state["m2"]
    muon = [n for i, n in enumerate(mom) if i % args.workers == rank]
    adam = [n for i, n in enumerate(m1) if i % args.workers == rank]
    stages = parse_stages(args.stages)
    data = np.fromfile(os.path.join(args.corpus, "train.txt"), dtype=np.uint8)
    step, tokens, used = counters["step"], counters["tokens"], counters["used"]
    chunks = Chunks(data, args.seed + step)
    log_file = open(os.path.join(args.out, "log.txt"), "a" if args.resume else "w") if chief else None

    def log(text):
        print(text, flush=True)
        log_file.write(text + "\n")
        log_file.flush()

    def save():
        path = os.path.join(args.out, "checkpoint.pt")
        c = {part: {n: p.detach() for n, p in d.items()} for part, d in state.items()}
        c["counters"] = {"step": step, "tokens": tokens, "used": used}
        c["args"] = vars(args)
        torch.save(c, path + ".tmp")
        os.replace(path + ".tmp", path)

    if chief:
        runs = load_held(args.corpus)
        quick = quick_windows(runs)
        log(json.dumps(vars(args)))
        log(f"parameters {sum(p.numel() for p in params.values())}, train {len(data)} bytes, "
            f"held out {sum(len(r) for r in runs)} bytes")
    begin = time.time() - used
    last_save = last_eval = last_log = time.time()
    avg, log_tokens = None, tokens
    while True:
        if chief:
            used = time.time() - begin
            stop = used >= args.budget or args.max_steps and step >= args.max_steps
            control[0] = -1.0 if stop else used / args.budget
        barrier.wait()
        frac = float(control[0])
        if frac < 0:
            break
        _, ctx, bsz = [s for s in stages if frac >= s[0]][-1]
        lr = min(1.0, (frac + 0.002) / args.warmup, (1 - frac) / args.cooldown)
        batch = chunks.next(bsz, ctx)[rank::args.workers]
        hidden = model.forward(params, batch[:, :-1], block=128 if ctx <= 1024 else 64)
        loss = F.cross_entropy(model.logits(params, hidden).flatten(0, 1), batch[:, 1:].reshape(-1))
        loss.backward()
        with torch.no_grad():
            for n, p in params.items():
                grads[rank][n].copy_(p.grad)
                p.grad = None
            del hidden
            barrier.wait()
            step += 1
            mu = 0.95 if step > 100 else 0.85 + 0.001 * step
            for n in muon:
                p = params[n]
                grad = sum(g[n] for g in grads) / args.workers
                mom[n].lerp_(grad, 1 - mu)
                u = newton_schulz(grad.lerp(mom[n], mu), args.ns_steps)
                scale = max(1.0, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - lr * args.muon_lr * args.weight_decay)
                p.add_(u, alpha=-lr * args.muon_lr * scale)
            for n in adam:
                p = params[n]
                grad = sum(g[n] for g in grads) / args.workers
                m1[n].lerp_(grad, 0.1)
                m2[n].mul_(0.98).addcmul_(grad, grad, value=0.02)
                den = (m2[n] / (1 - 0.98 ** step)).sqrt_().add_(1e-10)
                p.addcdiv_(m1[n], den, value=-lr * args.adam_lr / (1 - 0.9 ** step))
            barrier.wait()
        tokens += bsz * ctx
        if not chief:
            continue
        value = float(loss)
        if not math.isfinite(value):
            raise SystemExit("loss is not finite")
        avg = value if avg is None else avg + (value - avg) * 0.05
        now = time.time()
        used = now - begin
        if now - last_log >= 10:
            log(f"step {step} t {used:.0f}s ctx {ctx} lr {lr:.3f} loss {value:.3f} avg {avg:.3f} "
                f"tokens {tokens} {(tokens - log_tokens) / (now - last_log):.0f}/s")
            last_log, log_tokens = now, tokens
        if now - last_save >= args.save_every:
            save()
            last_save = now
        if now - last_eval >= args.eval_every:
            held = float(model.token_losses(params, quick).mean())
            log(f"held-out (24 windows of 512) {held:.4f} at {now - begin:.0f}s")
            last_eval = time.time()
    if chief:
        save()
        log(f"done: steps {step} tokens {tokens} seconds {used:.0f}")


if __name__ == "__main__":
    main()
