// Two threads, 10,000 small handoffs each, over one sender and one receiver: everything arrives, nothing is left.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace {

constexpr int threads = 2, handoffs = 10000, tokens = 16;

class Many : public testing::TestWithParam<const char*> {};

TEST_P(Many, HandoffsOfTwoThreads) {
    std::int64_t before = kvh_open_handles();
    {
        tiny::pair pair(GetParam());
        std::atomic<int> committed{0}, failed{0};
        std::vector<std::thread> senders;
        for (int i = 0; i < threads; i++) {
            senders.emplace_back([&, i] {
                kvh::sequence sent = tiny::filled(pair.from, tokens, i);
                for (int n = 0; n < handoffs; n++) {
                    kvh_offer offer = kvh::make<kvh_offer>();
                    offer.total_tokens = tokens;
                    offer.wait_for_room_ms = 20000;
                    offer.priority = i;
                    kvh::outgoing outgoing;
                    if (pair.sender.try_offer(sent, offer, outgoing) != KVH_OK) continue;
                    for (int layer = 0; layer < tiny::layers; layer++) outgoing.try_publish(layer, 0, tokens);
                    outgoing.try_commit(tiny::manifest(tokens));
                    ++(outgoing.try_wait(KVH_EVENT_COMMITTED, tiny::patience) == KVH_OK ? committed : failed);
                }
            });
        }
        int received = 0, wrong = 0;
        std::vector<std::vector<float>> expected;
        for (int i = 0; i < threads; i++) expected.push_back(tiny::attended(tiny::filled(pair.to, tokens, i)));
        while (received < threads * handoffs) {
            kvh::incoming incoming = pair.receiver.next(tiny::patience);
            if (!incoming) break;
            received++;
            if (incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience) != KVH_OK) continue;
            kvh::sequence landed = incoming.take();
            if (received % 50 == 0 && tiny::attended(landed) != expected[static_cast<std::size_t>(incoming.describe().priority)]) wrong++;
        }
        for (std::thread& sender : senders) sender.join();
        EXPECT_EQ(received, threads * handoffs);
        EXPECT_EQ(committed, threads * handoffs);
        EXPECT_EQ(failed, 0);
        EXPECT_EQ(wrong, 0);
        EXPECT_EQ(pair.to.describe().used_blocks, 0);
        EXPECT_EQ(pair.from.describe().used_blocks, 0);
    }
    EXPECT_EQ(kvh_open_handles(), before);
}

INSTANTIATE_TEST_SUITE_P(Transports, Many, testing::Values("loopback", "unix", "shm"), [](const auto& info) { return std::string(info.param); });

}  // namespace
