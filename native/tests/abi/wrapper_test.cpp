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
