#include "torch_baseline.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace {

std::string last_error;

// Threads take kv heads each, which scales; products of so few query rows do not when BLAS splits them. libtorch leaves OpenBLAS, where
// it calls it, at a number of threads of its own, and may call another BLAS: so the function is asked for at run time.
void set_threads(int threads) {
    at::set_num_threads(threads);
    using setter = void (*)(int);
    if (auto set = reinterpret_cast<setter>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(1);
}

std::string describe() {
    std::string text = std::string("libtorch ") + TORCH_VERSION;
    using getter = char *(*)();
    if (auto config = reinterpret_cast<getter>(dlsym(RTLD_DEFAULT, "openblas_get_config"))) {
        std::string words = config();
        // The text is "OpenBLAS 0.3.21 NO_LAPACKE ...": name and version suffice.
        text += ", " + words.substr(0, words.find(' ', words.find(' ') + 1));
    }
    return text;
}

void require(bool holds, const char *name, int value, const char *allowed) {
    if (!holds) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + "; allowed: " + allowed);
}

}  // namespace

struct kvhb_torch {
    kvhb_torch(const void *k, const void *v, int kv_heads, int q_heads, int dim, int tokens, at::ScalarType type, int form, int threads)
        : kv_heads(kv_heads), group(q_heads / kv_heads), dim(dim), tokens(tokens), form(form), threads(threads),
          type(form == KVHB_FORM_TILES ? at::kFloat : type) {
        keys = over(k, type);
        values = over(v, type);
        if (form == KVHB_FORM_TILES) {
            logits = at::empty({kv_heads, tokens, group}, at::kFloat);
            tiles = at::empty({threads, tile_tokens, dim}, at::kFloat);
        } else {
            keys = keys.transpose(1, 2);
            if (form == KVHB_FORM_TRANSPOSED_KEYS) keys = keys.contiguous();
            logits = at::empty({kv_heads, group, tokens}, type);
        }
        weights = at::empty_like(logits);
        attended = at::empty({kv_heads, group, dim}, this->type);
    }

    void attend(const float *q, float *out) {
        // The number belongs to the calling thread, which may be another than the creator's.
        if (at::get_num_threads() != threads) set_threads(threads);
        at::InferenceMode no_gradients;
        at::Tensor query = at::from_blob(const_cast<float *>(q), {kv_heads, group, dim}, at::kFloat);
        // The query is the smallest tensor to take the scale.
        at::Tensor scaled = (query * (1 / std::sqrt(static_cast<double>(dim)))).to(type);
        at::parallel_for(0, kv_heads, 1, [&](int64_t first, int64_t end) {
            at::InferenceMode no_gradients_here;
            if (form == KVHB_FORM_TILES) attend_tiles(scaled, first, end);
            else attend_heads(scaled, first, end - first);
        });
        at::from_blob(out, {kv_heads, group, dim}, at::kFloat).copy_(attended);
    }

private:
    static constexpr int64_t tile_tokens = 512;

    at::Tensor over(const void *rows, at::ScalarType stored) const {
        return at::from_blob(const_cast<void *>(rows), {kv_heads, tokens, dim}, at::TensorOptions(stored));
    }

    void attend_heads(const at::Tensor &query, int64_t first, int64_t heads) {
        at::Tensor raw = logits.narrow(0, first, heads), soft = weights.narrow(0, first, heads), sum = attended.narrow(0, first, heads);
        at::bmm_out(raw, query.narrow(0, first, heads), keys.narrow(0, first, heads));
        at::_softmax_out(soft, raw, 2, false);
        at::bmm_out(sum, soft, values.narrow(0, first, heads));
    }

    // Logits lie token by token here: a product with the tile on the left is the faster one.
    void attend_tiles(const at::Tensor &query, int64_t first, int64_t end) {
        at::Tensor tile = tiles[at::get_thread_num()];
        for (int64_t head = first; head < end; head++) {
            at::Tensor raw = logits[head], soft = weights[head], sum = attended[head], columns = query[head].t();
            for (int64_t start = 0; start < tokens; start += tile_tokens) {
                at::Tensor part = raw.narrow(0, start, tile_length(start));
                at::mm_out(part, widened(keys[head], start, tile), columns);
            }
            at::_softmax_out(soft, raw, 0, false);
            sum.zero_();
            for (int64_t start = 0; start < tokens; start += tile_tokens)
                sum.addmm_(soft.narrow(0, start, tile_length(start)).t(), widened(values[head], start, tile));
        }
    }

    int64_t tile_length(int64_t start) const { return std::min(tile_tokens, tokens - start); }

    at::Tensor widened(const at::Tensor &rows, int64_t start, const at::Tensor &tile) const {
        at::Tensor part = rows.narrow(0, start, tile_length(start));
        return part.scalar_type() == at::kFloat ? part : tile.narrow(0, 0, part.size(0)).copy_(part);
    }

    int64_t kv_heads, group, dim, tokens;
    int form, threads;
    at::ScalarType type;
    at::Tensor keys, values, logits, weights, attended, tiles;
};

int kvhb_torch_abi_version(void) { return KVHB_ABI_VERSION; }

const char *kvhb_torch_version(void) {
    static const std::string text = describe();
    return text.c_str();
}

const char *kvhb_torch_error(void) { return last_error.c_str(); }

kvhb_torch *kvhb_torch_create(const void *k, const void *v, int kv_heads, int q_heads, int dim, int tokens, int bf16,
                              int form, int threads) try {
    if (k == nullptr || v == nullptr) throw std::invalid_argument("k or v is null");
    require(kv_heads >= 1, "kv_heads", kv_heads, "1 or more");
    require(q_heads >= 1 && q_heads % kv_heads == 0, "q_heads", q_heads, "a positive multiple of kv_heads");
    require(dim >= 1, "dim", dim, "1 or more");
    require(tokens >= 1, "tokens", tokens, "1 or more");
    require(bf16 == 0 || bf16 == 1, "bf16", bf16, "0 or 1");
    require(form >= 0 && form < KVHB_FORMS, "form", form, "0 to 2");
    require(threads >= 1, "threads", threads, "1 or more");
    set_threads(threads);
    at::InferenceMode no_gradients;
    return new kvhb_torch(k, v, kv_heads, q_heads, dim, tokens, bf16 ? at::kBFloat16 : at::kFloat, form, threads);
} catch (const std::exception &e) {
    last_error = e.what();
    return nullptr;
}

int kvhb_torch_attend(kvhb_torch *handle, const float *q, float *out) try {
    if (handle == nullptr || q == nullptr || out == nullptr) throw std::invalid_argument("the handle, q or out is null");
    handle->attend(q, out);
    return 0;
} catch (const std::exception &e) {
    last_error = e.what();
    return -1;
}

void kvhb_torch_destroy(kvhb_torch *handle) { delete handle; }

int kvhb_torch_decode(const void *k, const void *v, const float *q, float *out, int kv_heads, int q_heads, int dim, int tokens,
                      int bf16, int threads) {
    kvhb_torch *handle = kvhb_torch_create(k, v, kv_heads, q_heads, dim, tokens, bf16, KVHB_FORM_BMM, threads);
    if (handle == nullptr) return -1;
    int result = kvhb_torch_attend(handle, q, out);
    kvhb_torch_destroy(handle);
    return result;
}
