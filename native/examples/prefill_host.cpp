// A C++ prefill worker: prefill_host MODEL-DIRECTORY REVISION ENDPOINT PROMPT-FILE
//
// Its cache is its own: one tensor per layer in the order of vLLM's FlashAttention backend, (2, blocks, 16, kv heads, head dim), with a block table of
// its own. It computes the prompt layer by layer, publishes each layer as soon as its rows are there, and commits with the first token. The decode
// process on the other side is .NET, with blocks of 64 tokens in another order; the library re-blocks and permutes on the way.
#include "llama.h"

#include <cstdio>
#include <fstream>
#include <iterator>

namespace {

constexpr int block_tokens = 16, blocks = 512;

// The engine's own paged memory.
struct paged_memory {
    static constexpr std::size_t plane = static_cast<std::size_t>(block_tokens) * example::llama::kv_heads * example::llama::head_dim;

    std::vector<std::vector<std::uint16_t>> tensors;
    std::vector<void*> bases;
    std::vector<std::int32_t> table;

    paged_memory() : tensors(example::llama::layers, std::vector<std::uint16_t>(2 * blocks * plane)) {
        for (auto& tensor : tensors) bases.push_back(tensor.data());
        // Any blocks in any order, as an engine has them after a while.
        for (std::int32_t b = 0; b < blocks - 1; b++) table.push_back(1 + b * 37 % (blocks - 1));
    }

    void write(int layer, int token, const float* keys, const float* values) {
        constexpr int row = example::llama::kv_heads * example::llama::head_dim;
        std::uint16_t* tensor = tensors[static_cast<std::size_t>(layer)].data();
        std::size_t at = static_cast<std::size_t>(table[static_cast<std::size_t>(token / block_tokens)]) * plane + static_cast<std::size_t>(token % block_tokens * row);
        kvh::check(kvh_convert(keys, KVH_FP32, tensor + at, KVH_BF16, row));
        kvh::check(kvh_convert(values, KVH_FP32, tensor + blocks * plane + at, KVH_BF16, row));
    }
};

int run(char** arguments) {
    const std::string directory = arguments[1], revision = arguments[2], endpoint = arguments[3];
    std::ifstream file(arguments[4], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<int> prompt;
    for (char c : text) prompt.push_back(static_cast<unsigned char>(c));
    const int tokens = static_cast<int>(prompt.size());

    example::llama model(directory);
    paged_memory memory;
    kvh_preset preset = kvh::make<kvh_preset>();
    preset.engine = KVH_PRESET_VLLM_FLASH_ATTENTION;
    preset.layers = example::llama::layers;
    preset.kv_heads = example::llama::kv_heads;
    preset.head_dim = example::llama::head_dim;
    preset.block_tokens = block_tokens;
    kvh::layout layout = kvh::layout::preset(example::llama::identity(revision), preset);
    kvh_group_memory described = kvh::make<kvh_group_memory>();
    described.blocks = blocks;
    described.layer_bases = memory.bases.data();
    described.base_count = example::llama::layers;
    described.length_bytes = static_cast<std::int64_t>(2 * blocks * paged_memory::plane * sizeof(std::uint16_t));
    described.values_offset_bytes = static_cast<std::int64_t>(blocks * paged_memory::plane * sizeof(std::uint16_t));
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    options.flags = KVH_CACHE_HOST_BLOCKS;
    kvh::cache cache = kvh::cache::wrap(layout, {&described, 1}, options);

    kvh_block_span span = {memory.table.data(), (tokens + block_tokens - 1) / block_tokens};
    kvh::sequence sequence = kvh::sequence::adopt(cache, {&span, 1}, tokens);
    kvh_sender_options sending = kvh::make<kvh_sender_options>();
    sending.name = "prefill host";
    kvh::sender sender = kvh::sender::connect(endpoint, cache, sending);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    offer.request_id = "example";
    kvh::outgoing outgoing = sender.offer(sequence, offer);
    constexpr int row = example::llama::kv_heads * example::llama::head_dim;
    int first = model.forward(
        sequence, 0, prompt,
        [&](int layer, int start, int count, const float* keys, const float* values) {
            for (int t = 0; t < count; t++) memory.write(layer, start + t, keys + t * row, values + t * row);
        },
        [&](int layer) { outgoing.publish(layer, 0, tokens); });
    std::vector<std::int32_t> ids(prompt.begin(), prompt.end());
    kvh_manifest manifest = kvh::make<kvh_manifest>();
    manifest.position = tokens;
    manifest.first_token = first;
    manifest.token_ids = ids.data();
    manifest.token_count = tokens;
    kvh_canary canary = kvh::make<kvh_canary>();
    canary.seeded = 8;
    outgoing.commit(manifest, &canary);
    outgoing.wait(KVH_EVENT_COMMITTED);
    kvh_cost cost = outgoing.cost();
    std::fprintf(stderr, "%s\n%s%d tokens, %lld bytes of cache in %.3f ms\n", kvh::version().c_str(), sender.path().c_str(), tokens, static_cast<long long>(cost.kv_bytes),
                 static_cast<double>(cost.elapsed_ns) / 1e6);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fprintf(stderr, "prefill_host MODEL-DIRECTORY REVISION ENDPOINT PROMPT-FILE\n");
        return 2;
    }
    try {
        return run(arguments);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
}
