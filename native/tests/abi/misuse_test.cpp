// What a host may do wrong: a status each time, nothing changed, the process alive.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

namespace {

TEST(Misuse, NullPointersAreAStatus) {
    kvh::layout layout = tiny::layout();
    kvh::cache cache = tiny::cache(layout, 256);
    kvh::sequence sequence = kvh::sequence::create(cache);
    kvh_handle made = 0;
    kvh_model model = tiny::model();
    kvh_group group = tiny::group();
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    kvh_attention attention = kvh::make<kvh_attention>();
    kvh_segment segment = kvh::make<kvh_segment>();
    kvh_rows rows = kvh::make<kvh_rows>();
    rows.rows = 1;
    rows.row_length = 8;
    rows.code = KVH_INT8;
    const auto expect_null = [](kvh_status status, const char* call) { EXPECT_EQ(status, KVH_E_NULL) << call << ": " << kvh_status_name(status); };
#define EXPECT_NULL(call) expect_null(call, #call)
    EXPECT_NULL(kvh_layout_create(nullptr, &group, 1, &made));
    EXPECT_NULL(kvh_layout_create(&model, nullptr, 1, &made));
    EXPECT_NULL(kvh_layout_create(&model, &group, 1, nullptr));
    EXPECT_NULL(kvh_layout_preset(&model, nullptr, &made));
    EXPECT_NULL(kvh_layout_describe(layout.get(), nullptr));
    EXPECT_NULL(kvh_layout_bytes(layout.get(), 1, nullptr));
    EXPECT_NULL(kvh_layout_geometry(layout.get(), 0, nullptr));
    EXPECT_NULL(kvh_plan_create(layout.get(), layout.get(), nullptr));
    EXPECT_NULL(kvh_cache_create(layout.get(), nullptr, &made));
    EXPECT_NULL(kvh_cache_create(layout.get(), &options, nullptr));
    EXPECT_NULL(kvh_cache_wrap(layout.get(), nullptr, 1, nullptr, &made));
    EXPECT_NULL(kvh_cache_describe(cache.get(), nullptr));
    EXPECT_NULL(kvh_cache_block(cache.get(), 0, 0, 0, nullptr, nullptr));
    EXPECT_NULL(kvh_sequence_create(cache.get(), nullptr));
    EXPECT_NULL(kvh_sequence_adopt(cache.get(), nullptr, 1, 1, &made));
    EXPECT_NULL(kvh_sequence_write(sequence.get(), 0, 0, 1, nullptr, nullptr));
    EXPECT_NULL(kvh_sequence_describe(sequence.get(), nullptr));
    EXPECT_NULL(kvh_sequence_blocks(sequence.get(), 0, nullptr, 0, nullptr));
    EXPECT_NULL(kvh_codec_max_bytes(nullptr, nullptr));
    EXPECT_NULL(kvh_codec_encode(&segment, nullptr, nullptr, 0, nullptr, nullptr));
    EXPECT_NULL(kvh_codec_decode(&segment, nullptr, 1, nullptr));
    EXPECT_NULL(kvh_pack_rows(nullptr, nullptr, nullptr, nullptr, nullptr));
    EXPECT_NULL(kvh_pack_rows(&rows, nullptr, nullptr, nullptr, nullptr));
    EXPECT_NULL(kvh_unpack_mx(&rows, nullptr, nullptr, nullptr));
    EXPECT_NULL(kvh_convert(nullptr, KVH_FP32, nullptr, KVH_BF16, 4));
    EXPECT_NULL(kvh_crc32c(nullptr, 4, nullptr));
    EXPECT_NULL(kvh_attend(sequence.get(), nullptr, nullptr, nullptr, nullptr));
    EXPECT_NULL(kvh_attend(sequence.get(), &attention, nullptr, nullptr, nullptr));
    EXPECT_NULL(kvh_batch_create(1, nullptr));
    EXPECT_NULL(kvh_canary_verify(sequence.get(), nullptr, 1, nullptr));
    EXPECT_NULL(kvh_keyring_create(1, nullptr, 32, &made));
    EXPECT_NULL(kvh_tls_create(nullptr, &made));
    EXPECT_NULL(kvh_sender_connect(nullptr, cache.get(), nullptr, &made));
    EXPECT_NULL(kvh_sender_connect("tcp://127.0.0.1:1", cache.get(), nullptr, nullptr));
    EXPECT_NULL(kvh_receiver_listen(nullptr, cache.get(), nullptr, &made));
    EXPECT_NULL(kvh_poll(1, nullptr));
    EXPECT_NULL(kvh_last_error_info(0, nullptr));
    EXPECT_NULL(kvh_struct_layout("kvh_offer", nullptr, nullptr));
    EXPECT_NULL(kvh_version(nullptr, 0, nullptr));
#undef EXPECT_NULL
    EXPECT_EQ(made, 0u);
    tiny::pair pair("loopback");
    EXPECT_EQ(kvh_sender_offer(pair.sender.get(), sequence.get(), nullptr, &made), KVH_E_NULL);
    EXPECT_EQ(kvh_receiver_next(pair.receiver.get(), 0, nullptr), KVH_E_NULL);
}

TEST(Misuse, HandlesThatAreStaleForeignOrNoneAreAStatus) {
    kvh::layout layout = tiny::layout();
    kvh::cache cache = tiny::cache(layout, 256);
    kvh::sequence sequence = kvh::sequence::create(cache);
    kvh_sequence stale = sequence.get();
    sequence.close();
    kvh_sequence_info info = kvh::make<kvh_sequence_info>();
    EXPECT_EQ(kvh_sequence_describe(stale, &info), KVH_E_HANDLE);
    EXPECT_EQ(kvh_close(stale), KVH_E_HANDLE);
    kvh::sequence reborn = kvh::sequence::create(cache);
    EXPECT_EQ(reborn.get() & 0xFFFFFF, stale & 0xFFFFFF) << "the slot is taken again";
    EXPECT_EQ(kvh_sequence_describe(stale, &info), KVH_E_HANDLE);
    EXPECT_EQ(kvh_sequence_describe(cache.get(), &info), KVH_E_HANDLE);
    EXPECT_NE(kvh::last_error().find("Cache"), std::string::npos) << kvh::last_error();
    EXPECT_EQ(kvh_poll(cache.get(), &info.struct_size), KVH_E_HANDLE);
    EXPECT_EQ(kvh_close(0), KVH_E_HANDLE);
    std::mt19937_64 random(7);
    for (int i = 0; i < 100000; i++) {
        kvh_handle guess = random() >> (i % 60);
        if (guess == cache.get() || guess == layout.get() || guess == reborn.get()) continue;
        ASSERT_EQ(kvh_close(guess), KVH_E_HANDLE) << guess;
        ASSERT_EQ(kvh_sequence_reserve(guess, 1), KVH_E_HANDLE) << guess;
    }
}

TEST(Misuse, StructsOfAnotherSizeAreAStatusUnlessTheRestIsZero) {
    kvh::layout layout = tiny::layout();
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    options.tokens = 64;
    kvh_handle made = 0;
    for (std::uint32_t size : {0u, 1u, 4u, static_cast<std::uint32_t>(sizeof options) - 1, 4097u, 0xFFFFFFFFu}) {
        options.struct_size = size;
        EXPECT_EQ(kvh_cache_create(layout.get(), &options, &made), KVH_E_STRUCT_SIZE) << size;
    }
    struct {
        kvh_cache_options known;
        std::uint64_t later;
    } newer;
    std::memset(&newer, 0, sizeof newer);
    newer.known.struct_size = sizeof newer;
    newer.known.tokens = 64;
    ASSERT_EQ(kvh_cache_create(layout.get(), &newer.known, &made), KVH_OK);
    kvh_close(made);
    newer.later = 1;
    EXPECT_EQ(kvh_cache_create(layout.get(), &newer.known, &made), KVH_E_STRUCT_SIZE);
    kvh_geometry geometry = kvh::make<kvh_geometry>();
    geometry.struct_size = 8;
    EXPECT_EQ(kvh_layout_geometry(layout.get(), 0, &geometry), KVH_E_STRUCT_SIZE);
}

TEST(Misuse, NumbersThatAreNoConstantOrOutOfRangeAreAStatus) {
    const auto layout_with = [](auto change) {
        kvh_group group = tiny::group();
        change(group);
        kvh_model model = tiny::model();
        kvh_layout made = 0;
        kvh_status status = kvh_layout_create(&model, &group, 1, &made);
        if (made != 0) kvh_close(made);
        return status;
    };
    EXPECT_EQ(layout_with([](kvh_group&) {}), KVH_OK);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.kind = 4; }), KVH_E_ENUM);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.element = 77; }), KVH_E_ENUM);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.order = -1; }), KVH_E_ENUM);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.element = KVH_INT8; }), KVH_E_LAYOUT);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.head_dim = 0; }), KVH_E_LAYOUT);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.block_tokens = INT32_MAX; }), KVH_E_LAYOUT);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.layer_count = 0; }), KVH_E_ARGUMENT);
    EXPECT_EQ(layout_with([](kvh_group& g) { g.layer_count = INT32_MAX; }), KVH_E_ARGUMENT);
    EXPECT_EQ(kvh_convert("", 9, nullptr, 1, 0), KVH_E_ENUM);

    tiny::pair pair("loopback");
    kvh::sequence sequence = tiny::filled(pair.from, 64);
    const auto offer_with = [&](auto change) {
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 64;
        change(offer);
        kvh::outgoing made;
        return pair.sender.try_offer(sequence, offer, made);
    };
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.codec = 99; }), KVH_E_ENUM);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.intent = 9; }), KVH_E_ENUM);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.priority = 256; }), KVH_E_ARGUMENT);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.total_tokens = 0; }), KVH_E_ARGUMENT);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.total_tokens = 65 + 64; }), KVH_E_ARGUMENT);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.deadline_ms = -1; }), KVH_E_ARGUMENT);
    EXPECT_EQ(offer_with([](kvh_offer& o) { o.ticket_bytes = 100; }), KVH_E_NULL);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sequence, offer);
    EXPECT_EQ(outgoing.try_publish(99, 0, 1), KVH_E_ARGUMENT);
    EXPECT_EQ(outgoing.try_publish(-1, 0, 1), KVH_E_ARGUMENT);
    EXPECT_EQ(outgoing.try_publish(0, 1, INT32_MAX), KVH_E_ARGUMENT);
    EXPECT_EQ(outgoing.try_write(0, 0, 1, nullptr, nullptr) < 0, true);
    EXPECT_EQ(outgoing.try_commit(tiny::manifest(63)), KVH_E_ARGUMENT);
    EXPECT_EQ(kvh_poll(outgoing.get(), nullptr), KVH_E_NULL);
    EXPECT_EQ(kvh_wait(outgoing.get(), 0, 0, nullptr), KVH_E_ENUM);
    EXPECT_EQ(kvh_wait(outgoing.get(), 1u << 31, 0, nullptr), KVH_E_ENUM);
    kvh_cost cost = kvh::make<kvh_cost>();
    EXPECT_EQ(kvh_handoff_cost(outgoing.get(), &cost), KVH_E_STATE);
    EXPECT_EQ(kvh_handoff_cost(pair.sender.get(), &cost), KVH_E_HANDLE);
}

TEST(Misuse, WhatOthersDependOnStaysOpen) {
    tiny::pair pair("loopback");
    kvh::sequence sequence = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sequence, offer);
    EXPECT_EQ(sequence.try_close(), KVH_E_IN_USE);
    EXPECT_EQ(pair.sender.try_close(), KVH_E_IN_USE);
    EXPECT_EQ(pair.from.try_close(), KVH_E_IN_USE);
    EXPECT_EQ(pair.to.try_close(), KVH_E_IN_USE);
    kvh::batch batch = kvh::batch::create(2);
    batch.add(sequence);
    outgoing.close();
    EXPECT_EQ(sequence.try_close(), KVH_E_IN_USE);
    batch.clear();
    EXPECT_EQ(sequence.try_close(), KVH_OK);
}

TEST(Misuse, ManyThreadsOnOneHandleThatIsClosed) {
    kvh::layout layout = tiny::layout();
    for (int round = 0; round < 200; round++) {
        kvh::cache cache = tiny::cache(layout, 256);
        kvh_cache handle = cache.get();
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; i++) {
            threads.emplace_back([handle] {
                kvh_cache_info info = kvh::make<kvh_cache_info>();
                kvh_status status;
                while ((status = kvh_cache_describe(handle, &info)) == KVH_OK) EXPECT_EQ(info.free_tokens, 256);
                EXPECT_EQ(status, KVH_E_HANDLE);
            });
        }
        cache.close();
        for (std::thread& thread : threads) thread.join();
    }
}

TEST(Texts, AreCutAndTerminatedInASmallBuffer) {
    kvh::layout layout = tiny::layout();
    std::string whole = layout.text();
    char buffer[12];
    std::memset(buffer, 'x', sizeof buffer);
    std::size_t needed = 0;
    EXPECT_EQ(kvh_layout_text(layout.get(), buffer, 10, &needed), KVH_E_BUFFER);
    EXPECT_EQ(needed, whole.size() + 1);
    EXPECT_EQ(std::string(buffer), whole.substr(0, 9));
    EXPECT_EQ(buffer[10], 'x');
    EXPECT_EQ(kvh_layout_text(layout.get(), nullptr, 0, &needed), KVH_E_BUFFER);
    EXPECT_EQ(kvh_layout_text(layout.get(), buffer, 1, &needed), KVH_E_BUFFER) << "room for the end alone";
    EXPECT_EQ(buffer[0], 0);
}

}  // namespace
