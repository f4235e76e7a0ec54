// The small Llama of models/llama-bytes-5m in plain C++: a stand-in for an inference engine. Its KV cache and its attention are the library's;
// norms, rotary embedding, projections and SwiGLU are here.
#ifndef KVH_EXAMPLE_LLAMA_H
#define KVH_EXAMPLE_LLAMA_H

#include "kvhandoff/kvhandoff.hpp"

#include <functional>
#include <string>
#include <vector>

namespace example {

class llama {
   public:
    static constexpr int layers = 6, hidden = 256, query_heads = 8, kv_heads = 4, head_dim = 64, intermediate = 640, vocabulary = 256;
    static constexpr double rope_theta = 100000;
    static constexpr float epsilon = 1e-5f;

    explicit llama(const std::string& directory);

    /// What the two sides must agree in; the revision is the SHA-256 of the weights file.
    static kvh_model identity(const std::string& revision);

    /// Called with the rows of a layer, [token][kv head][dim], keys rotated, before the layer's attention: puts them into the cache.
    using store_rows = std::function<void(int layer, int start, int tokens, const float* keys, const float* values)>;
    /// Called when the rows of a layer are in the cache.
    using layer_done = std::function<void(int layer)>;

    /// Computes tokens behind the first `start` ones of a sequence and gives the most probable next token. The caller advances the sequence.
    int forward(const kvh::sequence& sequence, int start, const std::vector<int>& tokens, const store_rows& store, const layer_done& done) const;

   private:
    struct layer_weights {
        std::vector<float> attention_norm, query, key, value, output, feed_forward_norm, gate, up, down;
    };
    std::vector<float> embedding_, final_norm_;
    std::vector<layer_weights> layers_;
};

}  // namespace example

#endif
