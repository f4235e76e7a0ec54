"""The reference model: Llama architecture over bytes, plain PyTorch, FP32."""
import json
import math
import struct

import torch
import torch.nn.functional as F

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 640,
    "vocab_size": 256,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "torch_dtype": "bfloat16",
}

H = CONFIG["hidden_size"]
L = CONFIG["num_hidden_layers"]
NQ = CONFIG["num_attention_heads"]
NKV = CONFIG["num_key_value_heads"]
HD = CONFIG["head_dim"]
FF = CONFIG["intermediate_size"]
V = CONFIG["vocab_size"]
EPS = CONFIG["rms_norm_eps"]
GROUP = NQ // NKV


def shapes():
    """Tensor names (Hugging Face convention) and shapes, in file order."""
    out = {"model.embed_tokens.weight": (V, H)}
    for i in range(L):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = (H,)
        out[p + "self_attn.q_proj.weight"] = (NQ * HD, H)
        out[p + "self_attn.k_proj.weight"] = (NKV * HD, H)
        out[p + "self_attn.v_proj.weight"] = (NKV * HD, H)
        out[p + "self_attn.o_proj.weight"] = (H, NQ * HD)
        out[p + "post_attention_layernorm.weight"] = (H,)
        out[p + "mlp.gate_proj.weight"] = (FF, H)
        out[p + "mlp.up_proj.weight"] = (FF, H)
        out[p + "mlp.down_proj.weight"] = (H, FF)
    out["model.norm.weight"] = (H,)
    return out


def init_params(seed):
    g = torch.Generator().manual_seed(seed)
    params = {}
    for name, shape in shapes().items():
        if name.endswith("norm.weight"):
            w = torch.ones(shape)
        elif "embed" in name:
            w = torch.randn(shape, generator=g) * 0.02
        elif "o_proj" in name or "down_proj" in name:
            torch.randn(shape, generator=g)
            w = torch.zeros(shape)
        else:
            w = torch.randn(shape, generator=g) * (0.6 / math.sqrt(shape[1]))
        params[name] = w.requires_grad_(True)
    return params


def rope_tables(positions, dtype=torch.float32):
    inv = 1.0 / (CONFIG["rope_theta"] ** (torch.arange(0, HD, 2, dtype=torch.float64) / HD))
    ang = torch.outer(positions.double(), inv)
    ang = torch.cat([ang, ang], dim=-1)
    return ang.cos().to(dtype), ang.sin().to(dtype)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


def rms_norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * w


def causal_attention(q, k, v, block):
    """q (B*NKV, GROUP, T, HD); k, v (B*NKV, S, HD), S >= T, aligned at the end.

    Blockwise over the queries, so that work above the diagonal is skipped.
    """
    n, g, t, d = q.shape
    s = k.shape[1]
    past = s - t
    outs = []
    kt = k.transpose(1, 2)
    for a in range(0, t, block):
        b = min(t, a + block)
        end = past + b
        sc = torch.bmm(q[:, :, a:b].reshape(n, g * (b - a), d), kt[:, :, :end])
        if b - a > 1:
            m = b - a
            mask = torch.full((m, m), float("-inf"), dtype=q.dtype).triu(1)
            tail = sc.view(n, g, m, end)[..., end - m:]
            tail.add_(mask)
        o = torch.bmm(torch.softmax(sc, -1), v[:, :end])
        outs.append(o.view(n, g, b - a, d))
    return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


class CausalAttention(torch.autograd.Function):
    """causal_attention for FP32 without a cache: one head group at a time, in
    buffers that are used again; the backward pass computes the probabilities
    again instead of keeping them."""

    buffers = {}

    @classmethod
    def buffer(cls, name, rows, cols):
        b = cls.buffers.get(name)
        if b is None or b.numel() < rows * cols:
            b = cls.buffers[name] = torch.empty(rows * cols)
        return b[:rows * cols].view(rows, cols)

    @staticmethod
    def probs(q, k, m, end, mask):
        g = q.shape[0] // m
        s = torch.mm(q, k[:end].t(), out=CausalAttention.buffer("s", g * m, end))
        s.view(g, m, end)[..., end - m:].add_(mask)
        return torch._softmax(s, -1, False, out=CausalAttention.buffer("p", g * m, end))

    @staticmethod
    def forward(ctx, q, k, v, block):
        n, g, t, d = q.shape
        block = min(block, t)
        mask = torch.full((block, block), float("-inf")).triu(1)
        o = torch.empty_like(q)
        for i in range(n):
            for a in range(0, t, block):
                b = min(t, a + block)
                m = b - a
                p = CausalAttention.probs(q[i, :, a:b].reshape(g * m, d), k[i], m, b, mask[:m, :m])
                o[i, :, a:b] = torch.mm(p, v[i, :b]).view(g, m, d)
        ctx.save_for_backward(q, k, v, o)
        ctx.block = block
        return o

    @staticmethod
    def backward(ctx, do):
        q, k, v, o = ctx.saved_tensors
        n, g, t, d = q.shape
        block = ctx.block
        mask = torch.full((block, block), float("-inf")).triu(1)
        delta = (do * o).sum(-1)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for i in range(n):
            for a in range(0, t, block):
                b = min(t, a + block)
                m = b - a
                qb = q[i, :, a:b].reshape(g * m, d)
                dob = do[i, :, a:b].reshape(g * m, d)
                p = CausalAttention.probs(qb, k[i], m, b, mask[:m, :m])
                dv[i, :b].addmm_(p.t(), dob)
                ds = torch.mm(dob, v[i, :b].t(), out=CausalAttention.buffer("s", g * m, b))
                ds.sub_(delta[i, :, a:b].reshape(g * m, 1)).mul_(p)
                dq[i, :, a:b] = torch.mm(ds, k[i, :b]).view(g, m, d)
                dk[i, :b].addmm_(ds.t(), qb)
        return dq, dk, dv, None


def forward(params, ids, cache=None, start=0, block=256):
    """ids (B, T) -> hidden states after the final norm, (B, T, H).

    cache: None, or a list (per layer) of [k, v] that is extended in place.
    """
    bsz, t = ids.shape
    emb = params["model.embed_tokens.weight"]
    x = emb[ids] if not torch.is_grad_enabled() else F.embedding(ids, emb)
    cos, sin = rope_tables(torch.arange(start, start + t), x.dtype)
    scale = 1.0 / math.sqrt(HD)
    for i in range(L):
        p = f"model.layers.{i}."
        h = rms_norm(x, params[p + "input_layernorm.weight"])
        q = F.linear(h, params[p + "self_attn.q_proj.weight"]).view(bsz, t, NQ, HD).transpose(1, 2)
        k = F.linear(h, params[p + "self_attn.k_proj.weight"]).view(bsz, t, NKV, HD).transpose(1, 2)
        v = F.linear(h, params[p + "self_attn.v_proj.weight"]).view(bsz, t, NKV, HD).transpose(1, 2)
        q = rotate(q, cos, sin) * scale
        k = rotate(k, cos, sin)
        q = q.reshape(bsz * NKV, GROUP, t, HD)
        k = k.reshape(bsz * NKV, t, HD)
        v = v.reshape(bsz * NKV, t, HD)
        if cache is not None:
            if cache[i] is not None:
                k = torch.cat([cache[i][0], k], 1)
                v = torch.cat([cache[i][1], v], 1)
            cache[i] = [k, v]
        if cache is None and x.dtype == torch.float32:
            o = CausalAttention.apply(q, k, v, block)
        else:
            o = causal_attention(q, k, v, block)
        o = o.reshape(bsz, NQ, t, HD).transpose(1, 2).reshape(bsz, t, NQ * HD)
        x = x + F.linear(o, params[p + "self_attn.o_proj.weight"])
        h = rms_norm(x, params[p + "post_attention_layernorm.weight"])
        a = F.silu(F.linear(h, params[p + "mlp.gate_proj.weight"]))
        x = x + F.linear(a * F.linear(h, params[p + "mlp.up_proj.weight"]),
                         params[p + "mlp.down_proj.weight"])
    return rms_norm(x, params["model.norm.weight"])


def logits(params, hidden):
    return F.linear(hidden, params["model.embed_tokens.weight"])


def token_losses(params, ids, block=64):
    """Per-position loss (B, T-1) of predicting ids[:, 1:], no gradient."""
    with torch.no_grad():
        lg = logits(params, forward(params, ids[:, :-1], block=block))
        return F.cross_entropy(lg.flatten(0, 1), ids[:, 1:].reshape(-1),
                               reduction="none").view(ids.shape[0], -1)


def save_safetensors(path, tensors):
    """Writes BF16 tensors; data order = dict order, header padded to 8 bytes."""
    header, offset, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, w in tensors.items():
        blob = w.detach().to(torch.bfloat16).contiguous().view(torch.int16).numpy().astype("<i2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(w.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)))
        f.write(text)
        for blob in blobs:
            f.write(blob)


def load_safetensors(path, dtype=torch.float32):
    import numpy as np
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8:8 + n])
    out = {}
    for name, e in header.items():
        if name == "__metadata__":
            continue
        a, b = e["data_offsets"]
        arr = np.frombuffer(raw, dtype="<i2", count=(b - a) // 2, offset=8 + n + a).copy()
        out[name] = torch.from_numpy(arr).view(torch.bfloat16).view(e["shape"]).to(dtype)
    return out
