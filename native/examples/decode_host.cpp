// A C++ decode worker: decode_host MODEL-DIRECTORY REVISION ENDPOINT TOKENS
//
// Listens, prints its endpoint, takes one handoff from the .NET prefill process, and goes on with the text: attention over the landed cache is the
// library's (kvh_attend), new rows are appended with kvh_sequence_write. The prompt is never told to it. Prints the tokens on one line.
#include "llama.h"

#include <cstdio>
#include <cstdlib>

namespace {

int run(char** arguments) {
    const std::string directory = arguments[1], revision = arguments[2], endpoint = arguments[3];
    const int wanted = std::atoi(arguments[4]);
    example::llama model(directory);
    kvh_group group = kvh::make<kvh_group>();
    group.layer_count = example::llama::layers;
    group.kv_heads = example::llama::kv_heads;
    group.head_dim = example::llama::head_dim;
    kvh::layout layout = kvh::layout::create(example::llama::identity(revision), {&group, 1});
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    options.tokens = 8192;
    options.flags = KVH_CACHE_SHARED;
    kvh::cache cache = kvh::cache::create(layout, options);
    kvh_receiver_options receiving = kvh::make<kvh_receiver_options>();
    receiving.name = "decode host";
    kvh::receiver receiver = kvh::receiver::listen(endpoint, cache, receiving);
    std::printf("%s\n", receiver.endpoint().c_str());
    std::fflush(stdout);

    kvh::incoming incoming = receiver.next(kvh::milliseconds(60000));
    if (!incoming) throw std::runtime_error("no handoff came within 60 s");
    incoming.wait(KVH_EVENT_COMMITTED);
    kvh::sequence sequence = incoming.take();
    kvh::manifest_view manifest = incoming.manifest();
    std::vector<int> generated = {manifest.first_token};
    int position = manifest.position;
    sequence.reserve(position + wanted);
    auto started = std::chrono::steady_clock::now();
    while (static_cast<int>(generated.size()) < wanted) {
        int next = model.forward(
            sequence, position, {generated.back()},
            [&](int layer, int start, int count, const float* keys, const float* values) { sequence.write(layer, start, count, keys, values); }, [](int) {});
        sequence.advance(1);
        position++;
        if (generated.size() == 1) incoming.first_attend(std::chrono::steady_clock::now() - started);
        generated.push_back(next);
    }
    for (std::size_t i = 0; i < generated.size(); i++) std::printf(i == 0 ? "tokens %d" : " %d", generated[i]);
    std::printf("\n");
    std::fflush(stdout);
    kvh_cost cost = incoming.cost();
    std::fprintf(stderr, "%s\n%d tokens, %lld bytes of cache in %.3f ms\n", kvh::version().c_str(), manifest.position, static_cast<long long>(cost.kv_bytes),
                 static_cast<double>(cost.elapsed_ns) / 1e6);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fprintf(stderr, "decode_host MODEL-DIRECTORY REVISION ENDPOINT TOKENS\n");
        return 2;
    }
    try {
        return run(arguments);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
}
