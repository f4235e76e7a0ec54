// Hands 100 tokens over within one process and says which level of the library the loader took.
#include <kvhandoff/kvhandoff.hpp>

#include <dlfcn.h>

#include <cstdio>

int main() {
    try {
        // <readme>
        kvh_model model = kvh::make<kvh_model>();
        model.name = "host";
        model.revision = "1";
        kvh_group group = kvh::make<kvh_group>();
        group.layer_count = 2;
        group.kv_heads = 2;
        group.head_dim = 32;
        kvh::layout layout = kvh::layout::create(model, {&group, 1});
        kvh_cache_options options = kvh::make<kvh_cache_options>();
        options.tokens = 256;
        kvh::cache from = kvh::cache::create(layout, options), to = kvh::cache::create(layout, options);
        kvh::receiver receiver = kvh::receiver::listen("loopback://host", to, kvh::make<kvh_receiver_options>());
        kvh::sender sender = kvh::sender::connect("loopback://host", from, kvh::make<kvh_sender_options>());
        kvh::sequence sequence = kvh::sequence::create(from);
        sequence.reserve(100);
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 100;
        kvh::outgoing outgoing = sender.offer(sequence, offer);
        outgoing.publish(0, 0, 100);
        outgoing.publish(1, 0, 100);
        kvh_manifest manifest = kvh::make<kvh_manifest>();
        manifest.position = 100;
        manifest.first_token = -1;
        outgoing.commit(manifest);
        if (!outgoing.wait(KVH_EVENT_COMMITTED, kvh::milliseconds(10000))) return 1;
        // </readme>
        Dl_info where;
        dladdr(reinterpret_cast<void*>(&kvh_abi_version), &where);
        std::printf("%s\n%s\n", kvh::version().c_str(), where.dli_fname);
        return 0;
    } catch (const kvh::error& failure) {
        std::printf("%s\n", failure.what());
        return 1;
    }
}
