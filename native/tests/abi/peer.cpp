// The other process of the fault tests: begins a handoff, says so, and waits to be killed.
#include "kvhandoff/kvhandoff.hpp"

#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string role = argv[1];
    try {
        kvh_model model = kvh::make<kvh_model>();
        model.name = "tiny";
        model.revision = "1";
        model.rope_theta = 10000;
        kvh_group group = kvh::make<kvh_group>();
        group.layer_count = 4;
        group.kv_heads = 2;
        group.head_dim = 64;
        kvh::layout layout = kvh::layout::create(model, {&group, 1});
        kvh_cache_options options = kvh::make<kvh_cache_options>();
        options.tokens = 1024;
        kvh::cache cache = kvh::cache::create(layout, options);
        if (role == "receiver") {
            kvh::receiver receiver = kvh::receiver::listen(argv[2], cache, kvh::make<kvh_receiver_options>());
            std::printf("%s\n", receiver.endpoint().c_str());
            std::fflush(stdout);
            for (;;) pause();
        }
        kvh::sender sender = kvh::sender::connect(argv[2], cache, kvh::make<kvh_sender_options>());
        kvh::sequence sequence = kvh::sequence::create(cache);
        sequence.reserve(640);
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 640;
        kvh::outgoing outgoing = sender.offer(sequence, offer);
        outgoing.wait(KVH_EVENT_GRANTED);
        for (int layer = 0; layer < 3; layer++) outgoing.publish(layer, 0, 640);
        std::printf("published\n");
        std::fflush(stdout);
        for (;;) pause();
    } catch (const kvh::error& failure) {
        std::printf("%s\n", failure.what());
        return 1;
    }
}
