// Handoffs through the interface over every transport: what arrives is what was sent, with its manifest and its cost.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <cstring>

namespace {

struct way {
    const char* scheme;
    unsigned flags;
};

class Handoff : public testing::TestWithParam<way> {};

TEST_P(Handoff, GivesTheReceiverTheSameRowsAndManifest) {
    tiny::pair pair(GetParam().scheme, 4096, GetParam().flags);
    constexpr int tokens = 200;
    kvh::sequence sent = tiny::filled(pair.from, tokens);
    kvh::outgoing outgoing = pair.send(sent, tokens);
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    ASSERT_TRUE(incoming);
    EXPECT_EQ(incoming.request_id(), "request 7");
    for (int layer = 0; layer < tiny::layers; layer++) EXPECT_TRUE(incoming.wait_layer(layer, tiny::patience));
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_COMMITTED, tiny::patience));
    kvh::sequence landed = incoming.take();
    EXPECT_EQ(landed.describe().tokens, tokens);
    EXPECT_EQ(tiny::attended(landed), tiny::attended(sent));

    kvh::manifest_view manifest = incoming.manifest();
    kvh_manifest expected = tiny::manifest(tokens);
    EXPECT_EQ(manifest.position, tokens);
    EXPECT_EQ(manifest.first_token, 42);
    ASSERT_EQ(manifest.token_ids.size(), static_cast<std::size_t>(tokens));
    EXPECT_EQ(0, std::memcmp(manifest.token_ids.data(), expected.token_ids, tokens * sizeof(std::int32_t)));
    EXPECT_EQ(std::string(manifest.sampler_state.begin(), manifest.sampler_state.end()), "seed");
    EXPECT_EQ(std::string(manifest.host_metadata.begin(), manifest.host_metadata.end()), "request of a host");

    const long long kv_bytes = 2LL * 2 * tokens * tiny::layers * tiny::kv_heads * tiny::head_dim;
    EXPECT_EQ(outgoing.cost().kv_bytes, kv_bytes);
    EXPECT_EQ(incoming.cost().kv_bytes, kv_bytes);
    EXPECT_GT(outgoing.cost().elapsed_ns, 0);
    EXPECT_EQ(outgoing.describe().state, KVH_STATUS_COMMITTED);
    EXPECT_EQ(incoming.describe().layers_landed, tiny::layers);
    EXPECT_EQ(outgoing.describe().handoff_id, incoming.describe().handoff_id);
    EXPECT_EQ(pair.sender.query(outgoing.describe().handoff_id), KVH_OUTCOME_COMMITTED);
}

INSTANTIATE_TEST_SUITE_P(Transports, Handoff,
                         testing::Values(way{"loopback", 0}, way{"tcp", 0}, way{"unix", 0}, way{"shm", 0}, way{"shm", KVH_CACHE_SHARED}),
                         [](const auto& info) { return std::string(info.param.scheme) + (info.param.flags ? "_window" : ""); });

TEST(Publishing, MayComeBeforeTheGrantAndInAnyOrder) {
    tiny::pair pair("unix");
    constexpr int tokens = 150;
    kvh::sequence sent = tiny::filled(pair.from, tokens);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    for (int layer = tiny::layers - 1; layer >= 0; layer--) {
        outgoing.publish(layer, 100, 50);
        outgoing.publish(layer, 0, 100);
    }
    outgoing.commit(tiny::manifest(tokens));
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
    EXPECT_EQ(tiny::attended(incoming.take()), tiny::attended(sent));
}

TEST(Publishing, ACommitBeforeAllLayersIsRefusedAndLeavesTheHandoffOpen) {
    tiny::pair pair("loopback");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_GRANTED, tiny::patience));
    EXPECT_EQ(outgoing.try_commit(tiny::manifest(64)), KVH_E_STATE);
    for (int layer = 0; layer < tiny::layers; layer++) outgoing.publish(layer, 0, 64);
    outgoing.commit(tiny::manifest(64));
    EXPECT_TRUE(outgoing.wait(KVH_EVENT_COMMITTED, tiny::patience));
    EXPECT_EQ(outgoing.try_commit(tiny::manifest(64)), KVH_E_STATE);
}

TEST(InPlace, RowsAreWrittenIntoTheReceiversBlocks) {
    tiny::pair pair("shm", 4096, KVH_CACHE_SHARED);
    constexpr int tokens = 100;
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    kvh::outgoing outgoing = pair.sender.offer_in_place(offer);
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_GRANTED, tiny::patience));
    for (int layer = 0; layer < tiny::layers; layer++) {
        outgoing.write(layer, 0, tokens, tiny::keys(layer, tokens).data(), tiny::values(layer, tokens).data());
        outgoing.publish(layer, 0, tokens);
    }
    outgoing.commit(tiny::manifest(tokens));
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
    EXPECT_EQ(tiny::attended(incoming.take()), tiny::attended(tiny::filled(pair.from, tokens)));
}

TEST(Landing, TheTargetCanBeAttendedToLayerByLayer) {
    tiny::pair pair("tcp");
    constexpr int tokens = 128;
    kvh::sequence sent = tiny::filled(pair.from, tokens);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    outgoing.publish(0, 0, tokens);
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait_layer(0, tiny::patience));
    EXPECT_EQ(incoming.try_wait_layer(1, kvh::milliseconds(0)), KVH_PENDING);
    EXPECT_EQ(incoming.try_wait_layer(1, kvh::milliseconds(20)), KVH_TIMEOUT);
    kvh::sequence target = incoming.target();
    std::vector<float> query(4 * tiny::head_dim, 0.25f), early(query.size()), whole(query.size()), sums(4);
    kvh_attention attention = kvh::make<kvh_attention>();
    attention.tokens = tokens;
    attention.query_heads = 4;
    target.attend(attention, query.data(), early.data(), sums.data());
    sent.attend(attention, query.data(), whole.data(), sums.data());
    EXPECT_EQ(early, whole);
    EXPECT_EQ(target.try_reserve(1000), KVH_E_STATE);

    outgoing.cancel();
    EXPECT_EQ(incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_ABORTED);
    EXPECT_EQ(target.try_attend(attention, query.data(), early.data(), sums.data()), KVH_E_ABORTED);
    EXPECT_EQ(incoming.try_close(), KVH_E_IN_USE);
    target.close();
    incoming.close();
    EXPECT_EQ(pair.to.describe().used_blocks, 0);
}

TEST(Codecs, TravelUnderEveryCodecOfThisElementType) {
    tiny::pair pair("loopback");
    for (int codec : {KVH_CODEC_RAW, KVH_CODEC_FP8, KVH_CODEC_INT8, KVH_CODEC_MXFP8, KVH_CODEC_EXPONENT_WINDOW, KVH_CODEC_AUTO}) {
        kvh::sequence sent = tiny::filled(pair.from, 130);
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 130;
        offer.codec = codec;
        kvh::outgoing outgoing = pair.sender.offer(sent, offer);
        for (int layer = 0; layer < tiny::layers; layer++) outgoing.publish(layer, 0, 130);
        outgoing.commit(tiny::manifest(130));
        kvh::incoming incoming = pair.receiver.next(tiny::patience);
        ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience)) << codec;
        std::vector<float> there = tiny::attended(incoming.take()), here = tiny::attended(sent);
        bool lossless = codec == KVH_CODEC_RAW || codec == KVH_CODEC_EXPONENT_WINDOW || codec == KVH_CODEC_AUTO;
        if (lossless) {
            EXPECT_EQ(there, here) << codec;
        }
        for (std::size_t i = 0; i < here.size(); i++) ASSERT_NEAR(there[i], here[i], 0.15) << codec;
        if (!lossless) {
            EXPECT_LT(outgoing.cost().wire_bytes, outgoing.cost().kv_bytes * 6 / 10) << codec;
        }
    }
}

}  // namespace
