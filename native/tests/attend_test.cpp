// Every kernel of every target that runs here, against attention in double precision.
#include "targets_under_test.h"
#include "tile_case.h"

#include <gtest/gtest.h>

#include <random>

using namespace kvhk_test;

namespace {

struct dims {
    int key, value;
};

constexpr int all_elements[] = {KVHK_FP32, KVHK_FP16, KVHK_BF16, KVHK_FP8_E4M3, KVHK_FP8_E5M2, KVHK_INT8};
constexpr int all_rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 33, 128};
constexpr dims all_dims[] = {{64, 64}, {80, 80}, {96, 96}, {128, 128}, {192, 128}, {256, 256}, {576, 512}, {7, 7}, {20, 20}, {40, 24}};
constexpr int all_tokens[] = {1, 2, 3, 5, 7, 8, 15, 16, 31, 63, 64};

void check_everywhere(const problem& p) {
    const tile_case c(p);
    for (int target : targets_under_test()) {
        const kvhk_attention_kernel kernel = kernel_for(target, p);
        c.check(c.run(kernel), kernel);
    }
}

class Attend : public testing::TestWithParam<int> {};

TEST_P(Attend, IsWithinTheBoundForEveryShape) {
    std::mt19937 random(GetParam());
    for (int rows : all_rows) {
        for (dims d : all_dims) {
            problem p;
            p.element = GetParam();
            p.rows = rows;
            p.key_dim = d.key;
            p.value_dim = d.value;
            p.shared_rows = d.key == 576;
            // Several tiles of any size in a row; few where a case is large.
            p.tile_tokens.assign(rows * d.key > 20000 ? 2 : 3, 64);
            for (int& t : p.tile_tokens) t = random() % 2 ? 64 : all_tokens[random() % std::size(all_tokens)];
            p.weights = (int)(random() % 2);
            p.visible = random() % 2 ? mask::none : (mask)(1 + random() % 4);
            p.cap = random() % 4 ? 0.0f : random() % 2 ? 3.0f : 72.0f;
            p.row_scales = random() % 2;
            p.channel_scales = random() % 3 == 0;
            p.stride_gap_bytes = random() % 2 ? 0 : (int)(random() % 100) * (random() % 2 ? 1 : 64);
            p.misalignment_bytes = random() % 2 ? 0 : (int)(random() % 4);
            p.spread = random() % 3 ? 1.0f : 8.0f;
            p.seed = (uint32_t)random();
            check_everywhere(p);
            if (HasFatalFailure()) return;
        }
    }
}

TEST_P(Attend, TakesEveryNumberOfTokens) {
    for (int rows : {1, 2, 4, 8, 20}) {
        for (int tokens = 1; tokens <= KVHK_MOST_TOKENS; tokens++) {
            problem p;
            p.element = GetParam();
            p.rows = rows;
            p.key_dim = p.value_dim = 64;
            p.tile_tokens = {tokens, 64 - tokens / 2};
            p.row_scales = tokens % 2;
            p.seed = (uint32_t)tokens;
            check_everywhere(p);
            if (HasFatalFailure()) return;
        }
    }
}

TEST_P(Attend, ResultsOfARowDoNotDependOnTheOthers) {
    for (int target : targets_under_test()) {
        for (mask visible : {mask::none, mask::random}) {
            for (const std::vector<int>& strategy : {std::vector<int>{1, 2, 3, 4, 5, 7, 8, 13, 16}, std::vector<int>{17, 18, 23, 64}}) {
                problem p;
                p.element = GetParam();
                p.rows = strategy.back();
                p.row_scales = true;
                p.visible = visible;
                tile_case whole(p);
                const state expected = whole.run(kernel_for(target, p));
                for (int rows : strategy) {
                    problem part = p;
                    part.rows = rows;
                    tile_case c(part);
                    // The same tiles and the first rows of the query; seeds fill them in the same order only where rows are equal.
                    c.query.assign(whole.query.begin(), whole.query.begin() + rows * p.key_dim);
                    for (size_t i = 0; i < c.tiles.size(); i++) {
                        c.tiles[i] = {};
                        tile_input& to = c.tiles[i];
                        const tile_input& from = whole.tiles[i];
                        to.tokens = from.tokens;
                        const auto copy = [](const guarded_bytes& memory, size_t bytes) {
                            guarded_bytes same(bytes);
                            std::copy(memory.data(), memory.data() + bytes, same.data());
                            return same;
                        };
                        to.keys = copy(from.keys, to.tokens * c.key_stride());
                        to.values = copy(from.values, to.tokens * c.value_stride());
                        to.key_scales = copy(from.key_scales, to.tokens * sizeof(float));
                        to.value_scales = copy(from.value_scales, to.tokens * sizeof(float));
                        if (visible == mask::none) continue;
                        to.from.assign(from.from.begin(), from.from.begin() + rows);
                        to.to.assign(from.to.begin(), from.to.begin() + rows);
                    }
                    const state s = c.run(kernel_for(target, part));
                    for (int r = 0; r < rows; r++) {
                        ASSERT_EQ(s.maximum[r], expected.maximum[r]) << describe(part) << " row " << r;
                        ASSERT_EQ(s.sum[r], expected.sum[r]) << describe(part) << " row " << r;
                    }
                    for (int k = 0; k < rows * p.value_dim; k++)
                        ASSERT_EQ(s.output[k], expected.output[k]) << describe(part) << " output " << k;
                }
            }
        }
    }
}

std::string element_name(const testing::TestParamInfo<int>& info) {
    static const char* const names[] = {"", "Fp32", "Fp16", "Bf16", "E4M3", "E5M2", "Int8"};
    return names[info.param];
}

INSTANTIATE_TEST_SUITE_P(Elements, Attend, testing::ValuesIn(all_elements), element_name);

}  // namespace
