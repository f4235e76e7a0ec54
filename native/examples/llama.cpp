#include "llama.h"

#include "safetensors.h"

#include <algorithm>
#include <cmath>

namespace example {

namespace {

using rows = std::vector<float>;

// y[t][o] = sum over i of x[t][i] * w[o][i]
rows multiply(const rows& x, const rows& w, int inputs, int outputs) {
    const std::size_t tokens = x.size() / static_cast<std::size_t>(inputs);
    rows y(tokens * static_cast<std::size_t>(outputs));
    for (std::size_t t = 0; t < tokens; t++) {
        for (int o = 0; o < outputs; o++) {
            const float *a = &x[t * static_cast<std::size_t>(inputs)], *b = &w[static_cast<std::size_t>(o) * static_cast<std::size_t>(inputs)];
            float sums[8] = {};
            for (int i = 0; i < inputs; i += 8)
                for (int lane = 0; lane < 8; lane++) sums[lane] += a[i + lane] * b[i + lane];
            y[t * static_cast<std::size_t>(outputs) + static_cast<std::size_t>(o)] = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
        }
    }
    return y;
}

rows rms_norm(const rows& x, const rows& weight) {
    rows y(x.size());
    for (std::size_t t = 0; t < x.size(); t += weight.size()) {
        float sum = 0;
        for (std::size_t i = 0; i < weight.size(); i++) sum += x[t + i] * x[t + i];
        float factor = 1 / std::sqrt(sum / static_cast<float>(weight.size()) + llama::epsilon);
        for (std::size_t i = 0; i < weight.size(); i++) y[t + i] = x[t + i] * factor * weight[i];
    }
    return y;
}

// Rotates the halves of every head of every token.
void rotate(rows& x, int heads, int start) {
    constexpr int half = llama::head_dim / 2;
    const std::size_t width = static_cast<std::size_t>(heads * llama::head_dim);
    for (std::size_t t = 0; t * width < x.size(); t++) {
        for (int i = 0; i < half; i++) {
            double angle = (start + static_cast<double>(t)) / std::pow(llama::rope_theta, 2.0 * i / llama::head_dim);
            float cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
            for (int h = 0; h < heads; h++) {
                float& low = x[t * width + static_cast<std::size_t>(h * llama::head_dim + i)];
                float& high = x[t * width + static_cast<std::size_t>(h * llama::head_dim + i + half)];
                float a = low, b = high;
                low = a * cosine - b * sine;
                high = b * cosine + a * sine;
            }
        }
    }
}

void add(rows& x, const rows& y) {
    for (std::size_t i = 0; i < x.size(); i++) x[i] += y[i];
}

}  // namespace

llama::llama(const std::string& directory) {
    safetensors file(directory + "/model.safetensors");
    embedding_ = file.read("model.embed_tokens.weight", vocabulary * hidden);
    final_norm_ = file.read("model.norm.weight", hidden);
    constexpr int query_width = query_heads * head_dim, kv_width = kv_heads * head_dim;
    for (int i = 0; i < layers; i++) {
        const std::string layer = "model.layers." + std::to_string(i) + ".";
        layer_weights w;
        w.attention_norm = file.read(layer + "input_layernorm.weight", hidden);
        w.query = file.read(layer + "self_attn.q_proj.weight", query_width * hidden);
        w.key = file.read(layer + "self_attn.k_proj.weight", kv_width * hidden);
        w.value = file.read(layer + "self_attn.v_proj.weight", kv_width * hidden);
        w.output = file.read(layer + "self_attn.o_proj.weight", hidden * query_width);
        w.feed_forward_norm = file.read(layer + "post_attention_layernorm.weight", hidden);
        w.gate = file.read(layer + "mlp.gate_proj.weight", intermediate * hidden);
        w.up = file.read(layer + "mlp.up_proj.weight", intermediate * hidden);
        w.down = file.read(layer + "mlp.down_proj.weight", hidden * intermediate);
        layers_.push_back(std::move(w));
    }
}

kvh_model llama::identity(const std::string& revision) {
    kvh_model model = kvh::make<kvh_model>();
    model.name = "llama-bytes-5m";
    model.revision = revision.c_str();
    model.rope_theta = rope_theta;
    return model;
}

int llama::forward(const kvh::sequence& sequence, int start, const std::vector<int>& tokens, const store_rows& store, const layer_done& done) const {
    const int count = static_cast<int>(tokens.size());
    rows x(tokens.size() * hidden);
    for (std::size_t t = 0; t < tokens.size(); t++) std::copy_n(&embedding_[static_cast<std::size_t>(tokens[t]) * hidden], hidden, &x[t * hidden]);
    for (int layer = 0; layer < layers; layer++) {
        const layer_weights& w = layers_[static_cast<std::size_t>(layer)];
        rows normed = rms_norm(x, w.attention_norm);
        rows q = multiply(normed, w.query, hidden, query_heads * head_dim), k = multiply(normed, w.key, hidden, kv_heads * head_dim),
             v = multiply(normed, w.value, hidden, kv_heads * head_dim);
        rotate(q, query_heads, start);
        rotate(k, kv_heads, start);
        store(layer, start, count, k.data(), v.data());
        done(layer);
        rows attended(q.size()), sums(tokens.size() * query_heads);
        kvh_attention attention = kvh::make<kvh_attention>();
        attention.layer = layer;
        attention.tokens = start + count;
        attention.query_heads = query_heads;
        attention.query_tokens = count;
        sequence.attend(attention, q.data(), attended.data(), sums.data());
        add(x, multiply(attended, w.output, query_heads * head_dim, hidden));
        normed = rms_norm(x, w.feed_forward_norm);
        rows gate = multiply(normed, w.gate, hidden, intermediate), up = multiply(normed, w.up, hidden, intermediate);
        for (std::size_t i = 0; i < gate.size(); i++) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
        add(x, multiply(gate, w.down, intermediate, hidden));
    }
    rows last(x.end() - hidden, x.end());
    rows logits = multiply(rms_norm(last, final_norm_), embedding_, hidden, vocabulary);
    return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace example
