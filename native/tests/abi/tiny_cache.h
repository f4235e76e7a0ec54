// A small cache with rows that tell where they belong, for handoffs between the objects of one process.
#ifndef KVH_TINY_CACHE_H
#define KVH_TINY_CACHE_H

#include "kvhandoff/kvhandoff.hpp"

#include <string>
#include <vector>

namespace tiny {

constexpr int layers = 4, kv_heads = 2, head_dim = 64;
constexpr auto patience = kvh::milliseconds(20000);

kvh_model model(const char* name = "tiny");
kvh_group group(int block_tokens = 64, int element = KVH_BF16, int order = KVH_ORDER_HEAD_MAJOR);
kvh::layout layout(const kvh_group& group, const char* name = "tiny");
kvh::layout layout();
kvh::cache cache(const kvh::layout& layout, long tokens, unsigned flags = 0);

/// Rows of one layer, [token][kv head][dim], whole numbers that BF16 holds exactly.
std::vector<float> keys(int layer, int tokens, int seed = 0);
std::vector<float> values(int layer, int tokens, int seed = 0);

/// A sequence with all rows in it.
kvh::sequence filled(const kvh::cache& cache, int tokens, int seed = 0);

/// What attention over every layer gives: two sequences with the same rows give the same bits, however they lie.
std::vector<float> attended(const kvh::sequence& sequence, int tokens = 0);

/// A manifest of so many tokens; the struct points into static memory.
kvh_manifest manifest(int tokens);

/// An address that nobody uses: scheme is tcp, unix, shm or loopback.
std::string address(const std::string& scheme);

/// Two caches with a receiver and a sender between them.
struct pair {
    explicit pair(const std::string& scheme, long tokens = 4096, unsigned receiving_flags = 0, kvh_receiver_options receiving = kvh::make<kvh_receiver_options>(),
                  kvh_sender_options sending = kvh::make<kvh_sender_options>());

    kvh::cache from, to;
    kvh::receiver receiver;
    kvh::sender sender;

    /// Offers, publishes every layer and asks for the commit.
    kvh::outgoing send(const kvh::sequence& sequence, int tokens, const kvh_canary* canary = nullptr) const;
};

}  // namespace tiny

#endif
