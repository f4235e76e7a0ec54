// What the C++ wrapper adds: ownership, exceptions, views.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace {

static_assert(!std::is_copy_constructible<kvh::cache>::value && std::is_nothrow_move_constructible<kvh::cache>::value, "handles are moved");
static_assert(std::is_nothrow_move_assignable<kvh::outgoing>::value, "handles are moved");

TEST(Wrapper, ClosesWhatItOwnsOnceAndInAnyOrderOfMoves) {
    std::int64_t before = kvh_open_handles();
    {
        kvh::cache first = tiny::cache(tiny::layout(), 64), second = tiny::cache(tiny::layout(), 64);
        EXPECT_EQ(kvh_open_handles(), before + 2);
        first = std::move(second);
        EXPECT_EQ(kvh_open_handles(), before + 1);
        EXPECT_FALSE(second);
        kvh::cache third(std::move(first));
        EXPECT_TRUE(third);
        EXPECT_EQ(third.try_close(), KVH_OK);
        EXPECT_EQ(third.try_close(), KVH_OK) << "an empty object has nothing to close";
    }
    EXPECT_EQ(kvh_open_handles(), before);
}

TEST(Wrapper, ThrowsTheStatusWithTheText) {
    kvh::cache cache = tiny::cache(tiny::layout(), 64);
    kvh::sequence sequence = kvh::sequence::create(cache);
    EXPECT_EQ(sequence.try_reserve(100), KVH_E_NO_SPACE);
    try {
        sequence.reserve(100);
        FAIL() << "100 tokens in room for 64";
    } catch (const kvh::error& failure) {
        EXPECT_EQ(failure.status(), KVH_E_NO_SPACE);
        EXPECT_NE(std::string(failure.what()).find("KVH_E_NO_SPACE: Room for 100 tokens"), std::string::npos) << failure.what();
    }
    EXPECT_THROW(kvh::sequence().reserve(1), kvh::error);
    EXPECT_THROW(kvh::parse_uuid("not a uuid"), std::invalid_argument);
}

TEST(Wrapper, HasAFormThatDoesNotThrowForWhatTellsAndTakesBack) {
    tiny::pair pair("unix");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh::outgoing outgoing = pair.send(sent, 64);
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_COMMITTED, tiny::patience));
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));

    kvh_cache_info cache = kvh::make<kvh_cache_info>();
    EXPECT_EQ(pair.to.try_describe(cache), KVH_OK);
    EXPECT_EQ(cache.used_blocks, pair.to.describe().used_blocks);
    std::vector<std::int32_t> blocks;
    EXPECT_EQ(sent.try_blocks(0, blocks), KVH_OK);
    EXPECT_EQ(blocks, sent.blocks(0));
    EXPECT_FALSE(blocks.empty());
    kvh_cost cost = kvh::make<kvh_cost>();
    EXPECT_EQ(incoming.try_cost(cost), KVH_OK);
    EXPECT_EQ(cost.kv_bytes, incoming.cost().kv_bytes);
    kvh::manifest_view manifest{};
    EXPECT_EQ(incoming.try_manifest(manifest), KVH_OK);
    EXPECT_EQ(manifest.position, 64);
    kvh::sequence taken;
    EXPECT_EQ(incoming.try_take(taken), KVH_OK);
    EXPECT_TRUE(taken);
    EXPECT_NE(incoming.try_take(taken), KVH_OK);
    EXPECT_FALSE(taken);

    // Of objects that own nothing, the throwing form throws what this one returns.
    kvh::sequence none;
    EXPECT_EQ(none.try_blocks(0, blocks), KVH_E_HANDLE);
    EXPECT_TRUE(blocks.empty());
    EXPECT_THROW(none.blocks(0), kvh::error);
    EXPECT_EQ(none.try_keep_blocks(), KVH_E_HANDLE);
    kvh::span<std::uint8_t> memory;
    EXPECT_EQ(kvh::cache().try_block(0, 0, KVH_KEY, memory), KVH_E_HANDLE);
    EXPECT_EQ(kvh::incoming().try_cancel(), KVH_E_HANDLE);
    EXPECT_EQ(kvh::incoming().try_target(taken), KVH_E_HANDLE);
    EXPECT_EQ(kvh::outgoing().try_cancel(), KVH_E_HANDLE);
    EXPECT_EQ(kvh::batch().try_clear(), KVH_E_HANDLE);
    EXPECT_EQ(kvh::keyring().try_remove(1), KVH_E_HANDLE);
    std::int64_t bytes = 0;
    EXPECT_EQ(kvh::layout().try_bytes(64, bytes), KVH_E_HANDLE);
    std::uint32_t steps = 0;
    EXPECT_EQ(kvh::plan().try_steps(steps), KVH_E_HANDLE);
}

TEST(Wrapper, TellsVersionAndKernels) {
    EXPECT_TRUE(kvh::is_compatible());
    std::string version = kvh::version();
    RecordProperty("version", version);
    std::printf("%s\n", version.c_str());
    EXPECT_NE(version.find("0.1.0, "), std::string::npos);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    // Sanitizers call dlopen() in the library's place, and so with another run path.
    EXPECT_NE(version.find("native "), std::string::npos) << "the kernels lie beside the library: " << version;
#endif
}

TEST(Plan, SaysWhatHappensOnTheWayAndWhatItCosts) {
    kvh::layout ours = tiny::layout(), packed = tiny::layout([] {
        kvh_group group = tiny::group(64, KVH_INT8);
        group.key_scales = KVH_SCALES_CHANNEL_TILE;
        group.value_scales = KVH_SCALES_TOKEN_HEAD;
        return group;
    }());
    kvh::plan same = kvh::plan::create(ours, ours), smaller = kvh::plan::create(ours, packed);
    EXPECT_EQ(same.steps(), 0u);
    EXPECT_EQ(smaller.steps(), static_cast<std::uint32_t>(KVH_STEP_TRANSCODE | KVH_STEP_LOSSY));
    EXPECT_NE(smaller.text().find("int8"), std::string::npos);
    kvh_link link = kvh::make<kvh_link>();
    link.latency_seconds = 1e-5;
    link.bytes_per_second = 1e9;
    link.prefill_tokens_per_second = 1000;
    kvh_estimate estimate = same.estimate(1000, link);
    EXPECT_EQ(estimate.kv_bytes, ours.bytes(1000));
    EXPECT_GT(estimate.expected_ms, estimate.kv_bytes / 1e9 * 1e3);
    EXPECT_EQ(estimate.transfer_pays, 1);
    EXPECT_EQ(estimate.recompute_ms, 1000);
    kvh::plan none;
    EXPECT_EQ(kvh::plan::try_create(ours, tiny::layout(tiny::group(), "other"), none), KVH_E_MISMATCH);
}

}  // namespace
