// Caches over memory of the host: engines' layouts, blocks that the host names, and what the library may touch.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

constexpr int blocks = 32;

// One tensor per layer, K and V apart, as vLLM has them: (2, blocks, block tokens, kv heads, head dim).
struct paged_engine {
    kvh::layout layout;
    std::vector<std::vector<std::uint16_t>> tensors;
    std::vector<void*> bases;
    kvh::cache cache;
    int released = 0;

    explicit paged_engine(unsigned flags) {
        kvh_preset preset = kvh::make<kvh_preset>();
        preset.engine = KVH_PRESET_VLLM_FLASH_ATTENTION;
        preset.layers = tiny::layers;
        preset.kv_heads = tiny::kv_heads;
        preset.head_dim = tiny::head_dim;
        layout = kvh::layout::preset(tiny::model(), preset);
        kvh_geometry geometry = layout.geometry();
        tensors.resize(tiny::layers);
        for (auto& tensor : tensors) {
            tensor.assign(static_cast<std::size_t>(2 * blocks * geometry.plane_bytes / 2), 0x7F7F);
            bases.push_back(tensor.data());
        }
        kvh_group_memory memory = kvh::make<kvh_group_memory>();
        memory.blocks = blocks;
        memory.layer_bases = bases.data();
        memory.base_count = tiny::layers;
        memory.length_bytes = 2 * blocks * geometry.plane_bytes;
        memory.values_offset_bytes = blocks * geometry.plane_bytes;
        kvh_cache_options options = kvh::make<kvh_cache_options>();
        options.flags = flags;
        options.released = [](void* user) { ++*static_cast<int*>(user); };
        options.released_user = &released;
        cache = kvh::cache::wrap(layout, {&memory, 1}, options);
    }

    // The engine writes a row by itself, as its own kernels do.
    void write(int layer, int plane, int block, int slot, int head, const float* row) {
        std::uint16_t* at = tensors[static_cast<std::size_t>(layer)].data() + plane * blocks * 16 * tiny::kv_heads * tiny::head_dim +
                            ((block * 16 + slot) * tiny::kv_heads + head) * tiny::head_dim;
        kvh_convert(row, KVH_FP32, at, KVH_BF16, tiny::head_dim);
    }
};

TEST(HostMemory, AnEnginesOwnBlocksTravelIntoAnotherLayout) {
    paged_engine engine(KVH_CACHE_HOST_BLOCKS);
    constexpr int tokens = 100;
    const std::vector<std::int32_t> table = {7, 3, 30, 1, 12, 9, 25};
    for (int layer = 0; layer < tiny::layers; layer++) {
        std::vector<float> k = tiny::keys(layer, tokens), v = tiny::values(layer, tokens);
        for (int t = 0; t < tokens; t++) {
            for (int h = 0; h < tiny::kv_heads; h++) {
                std::size_t row = static_cast<std::size_t>(t * tiny::kv_heads + h) * tiny::head_dim;
                engine.write(layer, KVH_KEY, table[static_cast<std::size_t>(t / 16)], t % 16, h, &k[row]);
                engine.write(layer, KVH_VALUE, table[static_cast<std::size_t>(t / 16)], t % 16, h, &v[row]);
            }
        }
    }
    kvh_block_span span = {table.data(), static_cast<std::int64_t>(table.size())};
    kvh::sequence adopted = kvh::sequence::adopt(engine.cache, {&span, 1}, tokens);
    EXPECT_EQ(adopted.blocks(), table);
    kvh::cache to = tiny::cache(tiny::layout(), 1024);
    kvh::receiver receiver = kvh::receiver::listen(tiny::address("unix"), to, kvh::make<kvh_receiver_options>());
    kvh::sender sender = kvh::sender::connect(receiver.endpoint(), engine.cache, kvh::make<kvh_sender_options>());
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    kvh::outgoing outgoing = sender.offer(adopted, offer);
    for (int layer = 0; layer < tiny::layers; layer++) outgoing.publish(layer, 0, tokens);
    outgoing.commit(tiny::manifest(tokens));
    kvh::incoming incoming = receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
    EXPECT_EQ(tiny::attended(incoming.take()), tiny::attended(tiny::filled(to, tokens)));
    EXPECT_EQ(engine.cache.describe().used_blocks, blocks);

    // In an adopted sequence a block cannot be given away; after it, it is still the host's.
    EXPECT_EQ(engine.cache.try_give_blocks(0, std::vector<std::int32_t>{7}), KVH_E_IN_USE);
    outgoing.wait(KVH_EVENT_COMMITTED, tiny::patience);
    outgoing.close();
    adopted.close();
    engine.cache.give_blocks(0, std::vector<std::int32_t>{7});
    EXPECT_EQ(engine.cache.try_give_blocks(0, std::vector<std::int32_t>{7}), KVH_E_ARGUMENT);
    EXPECT_EQ(engine.cache.describe().free_tokens, 16);
    std::vector<std::int32_t> taken(1), two(2);
    EXPECT_EQ(engine.cache.try_take_blocks(0, two), KVH_E_NO_SPACE);
    engine.cache.take_blocks(0, taken);
    EXPECT_EQ(taken[0], 7);
}

TEST(HostMemory, AHandoffLandsOnlyInBlocksThatWereGiven) {
    paged_engine engine(KVH_CACHE_HOST_BLOCKS);
    const std::vector<std::int32_t> given = {4, 5, 6, 17, 18, 19, 20};
    engine.cache.give_blocks(0, given);
    kvh::cache from = tiny::cache(tiny::layout(), 1024);
    kvh::receiver receiver = kvh::receiver::listen(tiny::address("tcp"), engine.cache, kvh::make<kvh_receiver_options>());
    kvh::sender sender = kvh::sender::connect(receiver.endpoint(), from, kvh::make<kvh_sender_options>());
    constexpr int tokens = 100;
    kvh::sequence sent = tiny::filled(from, tokens);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = tokens;
    kvh::outgoing outgoing = sender.offer(sent, offer);
    for (int layer = 0; layer < tiny::layers; layer++) outgoing.publish(layer, 0, tokens);
    outgoing.commit(tiny::manifest(tokens));
    kvh::incoming incoming = receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
    kvh::sequence landed = incoming.take();
    // Blocks of another size are walked in another order: the sums differ in their last bits.
    std::vector<float> there = tiny::attended(landed), here = tiny::attended(sent);
    for (std::size_t i = 0; i < here.size(); i++) ASSERT_NEAR(there[i], here[i], 1e-5);
    std::vector<std::int32_t> table = landed.blocks();
    ASSERT_EQ(table.size(), 7u);
    for (std::int32_t block : table) EXPECT_NE(std::find(given.begin(), given.end(), block), given.end()) << block;
    // No byte of a block that is the host's has changed.
    for (std::size_t b = 0; b < blocks; b++) {
        if (std::find(given.begin(), given.end(), static_cast<std::int32_t>(b)) != given.end()) continue;
        std::size_t elements = 16 * tiny::kv_heads * tiny::head_dim;
        for (const auto& tensor : engine.tensors)
            for (std::size_t i = 0; i < elements; i++) ASSERT_TRUE(tensor[b * elements + i] == 0x7F7F && tensor[(blocks + b) * elements + i] == 0x7F7F) << b;
    }
    landed.keep_blocks();
    landed.close();
    EXPECT_EQ(engine.cache.describe().used_blocks, blocks);
    engine.cache.give_blocks(0, table);
    EXPECT_EQ(engine.cache.describe().used_blocks, blocks - 7);
}

TEST(HostMemory, IsTheHostsAgainWhenTheCacheIsClosed) {
    paged_engine engine(0);
    {
        kvh::sequence sequence = tiny::filled(engine.cache, 64);
        EXPECT_EQ(engine.cache.try_close(), KVH_E_IN_USE);
        EXPECT_EQ(engine.released, 0);
    }
    engine.cache.close();
    EXPECT_EQ(engine.released, 1);
}

TEST(HostMemory, StridesThatLayOneBlockOverAnotherAreRefused) {
    kvh::layout layout = tiny::layout();
    kvh_geometry geometry = layout.geometry();
    std::vector<std::uint8_t> slab(static_cast<std::size_t>(tiny::layers * 4 * geometry.block_bytes));
    kvh_group_memory memory = kvh::make<kvh_group_memory>();
    memory.blocks = 4;
    memory.base = slab.data();
    memory.length_bytes = static_cast<std::int64_t>(slab.size());
    kvh_cache_options options = kvh::make<kvh_cache_options>();
    kvh::cache cache;
    const auto wrap = [&](std::int64_t layer_stride, std::int64_t block_stride) {
        memory.layer_stride_bytes = layer_stride;
        memory.block_stride_bytes = block_stride;
        return kvh::cache::try_wrap(layout, {&memory, 1}, options, cache);
    };
    EXPECT_EQ(wrap(4 * geometry.block_bytes, 0), KVH_OK);
    EXPECT_EQ(wrap(geometry.block_bytes, tiny::layers * geometry.block_bytes), KVH_OK);
    EXPECT_EQ(wrap(0, 0), KVH_E_ARGUMENT);
    EXPECT_EQ(wrap(geometry.block_bytes, geometry.block_bytes), KVH_E_ARGUMENT);
    EXPECT_EQ(wrap(4 * geometry.block_bytes, geometry.block_bytes - 1), KVH_E_ARGUMENT);
    EXPECT_EQ(wrap(4 * geometry.block_bytes + 1, 0), KVH_E_ARGUMENT);
    EXPECT_EQ(wrap(INT64_MAX, INT64_MAX), KVH_E_ARGUMENT);
    memory.base = nullptr;
    EXPECT_EQ(wrap(4 * geometry.block_bytes, 0), KVH_E_NULL);
}

}  // namespace
