#include "tiny_cache.h"

#include <unistd.h>

#include <atomic>

namespace tiny {

namespace {

std::vector<float> rows(int layer, int tokens, int seed, int plane) {
    std::vector<float> rows(static_cast<std::size_t>(tokens) * kv_heads * head_dim);
    // Large enough to find its place by, small enough for BF16's 8 bits.
    for (std::size_t i = 0; i < rows.size(); i++) rows[i] = static_cast<float>(static_cast<int>((i * 31 + i / 977 + layer * 57 + plane * 101 + seed * 13) % 251) - 125) / 64;
    return rows;
}

}  // namespace

kvh_model model(const char* name) {
    kvh_model model = kvh::make<kvh_model>();
    model.name = name;
    model.revision = "1";
    model.rope_theta = 10000;
    return model;
}

kvh_group group(int block_tokens, int element, int order) {
    kvh_group group = kvh::make<kvh_group>();
    group.layer_count = layers;
    group.kv_heads = kv_heads;
    group.head_dim = head_dim;
    group.block_tokens = block_tokens;
    group.element = element;
    group.order = order;
    return group;
}

kvh::layout layout(const kvh_group& group, const char* name) { return kvh::layout::create(model(name), {&group, 1}); }
kvh::layout layout() { return layout(group()); }

kvh::cache cache(const kvh::layout& layout, long tokens, unsigned flags) {
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    options.tokens = tokens;
    options.flags = flags;
    return kvh::cache::create(layout, options);
}

std::vector<float> keys(int layer, int tokens, int seed) { return rows(layer, tokens, seed, 0); }
std::vector<float> values(int layer, int tokens, int seed) { return rows(layer, tokens, seed, 1); }

kvh::sequence filled(const kvh::cache& cache, int tokens, int seed) {
    kvh::sequence sequence = kvh::sequence::create(cache);
    sequence.reserve(tokens);
    for (int layer = 0; layer < layers; layer++) sequence.write(layer, 0, tokens, keys(layer, tokens, seed).data(), values(layer, tokens, seed).data());
    sequence.advance(tokens);
    return sequence;
}

std::vector<float> attended(const kvh::sequence& sequence, int tokens) {
    constexpr int query_heads = 4;
    std::vector<float> query(query_heads * head_dim), output(layers * query_heads * head_dim), sums(query_heads);
    for (std::size_t i = 0; i < query.size(); i++) query[i] = static_cast<float>(i % 7) / 8 - 0.3f;
    for (int layer = 0; layer < layers; layer++) {
        kvh_attention attention = kvh::make<kvh_attention>();
        attention.layer = layer;
        attention.query_heads = query_heads;
        attention.tokens = tokens;
        sequence.attend(attention, query.data(), output.data() + layer * query_heads * head_dim, sums.data());
    }
    return output;
}

kvh_manifest manifest(int tokens) {
    static const std::vector<std::int32_t> ids = [] {
        std::vector<std::int32_t> all(8192);
        for (std::size_t i = 0; i < all.size(); i++) all[i] = static_cast<std::int32_t>(i * 7 % 1000);
        return all;
    }();
    kvh_manifest manifest = kvh::make<kvh_manifest>();
    manifest.position = tokens;
    manifest.first_token = 42;
    manifest.token_ids = ids.data();
    manifest.token_count = tokens;
    manifest.sampler_state = "seed";
    manifest.sampler_state_bytes = 4;
    manifest.host_metadata = "request of a host";
    manifest.host_metadata_bytes = 17;
    return manifest;
}

std::string address(const std::string& scheme) {
    static std::atomic<int> number{0};
    if (scheme == "tcp") return "tcp://127.0.0.1:0";
    std::string name = "kvh-test-" + std::to_string(getpid()) + "-" + std::to_string(number++);
    return scheme == "loopback" ? "loopback://" + name : scheme + ":///tmp/" + name;
}

pair::pair(const std::string& scheme, long tokens, unsigned receiving_flags, kvh_receiver_options receiving, kvh_sender_options sending)
    : from(cache(layout(), tokens)),
      to(cache(layout(), tokens, receiving_flags)),
      receiver(kvh::receiver::listen(address(scheme), to, receiving)),
      sender(kvh::sender::connect(receiver.endpoint(), from, sending)) {}

kvh::outgoing pair::send(const kvh::sequence& sequence, int tokens, const kvh_canary* canary) const {
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    offer.request_id = "request 7";
    kvh::outgoing outgoing = sender.offer(sequence, offer);
    for (int layer = 0; layer < layers; layer++) outgoing.publish(layer, 0, tokens);
    outgoing.commit(manifest(tokens), canary);
    return outgoing;
}

}  // namespace tiny
