// Decode attention and canary pairs against plain double-precision softmax attention.
#include "tiny_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace {

constexpr int query_heads = 6;

// Tokens [from, to) of layer 0; rows are exact in BF16.
std::vector<double> plain(const std::vector<float>& query, int from, int to, int tokens) {
    std::vector<float> k = tiny::keys(0, tokens), v = tiny::values(0, tokens);
    std::vector<double> result(query_heads * tiny::head_dim);
    for (int h = 0; h < query_heads; h++) {
        int head = h / (query_heads / tiny::kv_heads);
        double sum = 0;
        for (int t = from; t < to; t++) {
            double logit = 0;
            for (int d = 0; d < tiny::head_dim; d++)
                logit += static_cast<double>(query[static_cast<std::size_t>(h * tiny::head_dim + d)]) * k[static_cast<std::size_t>((t * tiny::kv_heads + head) * tiny::head_dim + d)];
            double weight = std::exp(logit / std::sqrt(static_cast<double>(tiny::head_dim)));
            sum += weight;
            for (int d = 0; d < tiny::head_dim; d++)
                result[static_cast<std::size_t>(h * tiny::head_dim + d)] += weight * v[static_cast<std::size_t>((t * tiny::kv_heads + head) * tiny::head_dim + d)];
        }
        for (int d = 0; d < tiny::head_dim; d++) result[static_cast<std::size_t>(h * tiny::head_dim + d)] /= sum;
    }
    return result;
}

std::vector<float> query_of(int seed) {
    std::vector<float> query(query_heads * tiny::head_dim);
    for (std::size_t i = 0; i < query.size(); i++) query[i] = static_cast<float>((i * 29 + static_cast<std::size_t>(seed) * 17) % 61) / 61 - 0.5f;
    return query;
}

kvh_attention options() {
    kvh_attention attention = kvh::make<kvh_attention>();
    attention.query_heads = query_heads;
    return attention;
}

TEST(Attention, IsSoftmaxAttentionOverTheWholeAndOverParts) {
    kvh::cache cache = tiny::cache(tiny::layout(tiny::group(16, KVH_BF16, KVH_ORDER_TOKEN_MAJOR)), 1024);
    constexpr int tokens = 300;
    kvh::sequence sequence = tiny::filled(cache, tokens);
    std::vector<float> query = query_of(1), output(query.size()), sums(query_heads);
    kvh_attention attention = options();
    sequence.attend(attention, query.data(), output.data(), sums.data());
    std::vector<double> expected = plain(query, 0, tokens, tokens);
    for (std::size_t i = 0; i < output.size(); i++) ASSERT_NEAR(output[i], expected[i], 2e-5) << i;
    attention.start_token = 64;
    attention.end_token = 200;
    sequence.attend(attention, query.data(), output.data(), sums.data());
    expected = plain(query, 64, 200, tokens);
    for (std::size_t i = 0; i < output.size(); i++) ASSERT_NEAR(output[i], expected[i], 2e-5) << i;
    attention = options();
    attention.window_tokens = 100;
    sequence.attend(attention, query.data(), output.data(), sums.data());
    expected = plain(query, tokens - 100, tokens, tokens);
    for (std::size_t i = 0; i < output.size(); i++) ASSERT_NEAR(output[i], expected[i], 2e-5) << i;
    attention = options();
    attention.query_heads = 5;
    EXPECT_EQ(sequence.try_attend(attention, query.data(), output.data(), sums.data()), KVH_E_ARGUMENT);
    attention = options();
    attention.layer = 4;
    EXPECT_EQ(sequence.try_attend(attention, query.data(), output.data(), sums.data()), KVH_E_ARGUMENT);
    attention = options();
    attention.flags = 2;
    EXPECT_EQ(sequence.try_attend(attention, query.data(), output.data(), sums.data()), KVH_E_ENUM);
}

TEST(Attention, OfABatchIsThatOfItsSequences) {
    kvh::cache cache = tiny::cache(tiny::layout(), 4096);
    std::vector<kvh::sequence> sequences;
    kvh::batch batch = kvh::batch::create(2);
    std::vector<float> query, one(query_heads * tiny::head_dim), sums(query_heads);
    for (int i = 0; i < 4; i++) {
        sequences.push_back(tiny::filled(cache, 70 + 333 * i, i));
        batch.add(sequences.back());
        std::vector<float> of = query_of(i);
        query.insert(query.end(), of.begin(), of.end());
    }
    std::vector<float> output(query.size()), all_sums(4 * query_heads);
    for (int layer : {0, 3}) {
        kvh_attention attention = options();
        attention.layer = layer;
        batch.attend(attention, query.data(), output.data(), all_sums.data());
        for (std::size_t i = 0; i < 4; i++) {
            sequences[i].attend(attention, query.data() + i * one.size(), one.data(), sums.data());
            EXPECT_EQ(0, std::memcmp(one.data(), output.data() + i * one.size(), one.size() * sizeof(float))) << layer << " " << i;
        }
    }
    kvh::cache other = tiny::cache(tiny::layout(tiny::group(16)), 64);
    kvh::sequence stranger = kvh::sequence::create(other);
    EXPECT_EQ(batch.try_add(stranger), KVH_E_ARGUMENT);
    batch.clear();
    EXPECT_EQ(batch.try_attend(options(), query.data(), output.data(), all_sums.data()), KVH_E_STATE);
}

struct engine_pairs {
    std::vector<float> query, output, sums;
    kvh_canary_pair pairs[2];
    kvh_canary canary;

    engine_pairs(const kvh::sequence& sequence) : query(query_of(3)), output(query.size()), sums(query_heads) {
        sequence.attend(options(), query.data(), output.data(), sums.data());
        for (int i = 0; i < 2; i++) {
            pairs[i] = kvh::make<kvh_canary_pair>();
            pairs[i].head = i == 0 ? 1 : 5;
            pairs[i].query = query.data() + pairs[i].head * tiny::head_dim;
            pairs[i].output = output.data() + pairs[i].head * tiny::head_dim;
        }
        canary = kvh::make<kvh_canary>();
        canary.pairs = pairs;
        canary.pair_count = 2;
        canary.query_heads = query_heads;
    }
};

TEST(Canary, PassesForWhatWasSentAndCatchesWhatWasNot) {
    tiny::pair pair("unix");
    constexpr int tokens = 200;
    kvh::sequence sent = tiny::filled(pair.from, tokens);
    engine_pairs engine(sent);
    EXPECT_LT(sent.verify(engine.canary, KVH_PRECISION_EXACT), 1e-4);
    kvh::outgoing good = pair.send(sent, tokens, &engine.canary);
    EXPECT_EQ(good.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_OK) << good.last_error();

    // The engine says that head 5 gave what head 1 gave.
    engine.pairs[1].output = engine.pairs[0].output;
    float error = 0;
    EXPECT_EQ(sent.try_verify(engine.canary, KVH_PRECISION_EXACT, error), KVH_E_CORRUPT);
    EXPECT_GT(error, 0.01f);
    kvh::outgoing bad = pair.send(sent, tokens, &engine.canary);
    EXPECT_EQ(bad.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_CORRUPT);
    EXPECT_NE(bad.last_error().find("layer 0, head 5"), std::string::npos) << bad.last_error();

    kvh_canary seeded = kvh::make<kvh_canary>();
    seeded.seeded = 8;
    EXPECT_EQ(pair.send(sent, tokens, &seeded).try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_OK);
}

}  // namespace
