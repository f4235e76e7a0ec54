// What is infinite or not a number goes where it belongs, and nowhere else.
#include "targets_under_test.h"
#include "tile_case.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace kvhk_test;

namespace {

constexpr int all_rows[] = {1, 3, 8, 12, 40};

void put_nan(uint8_t* row, int index, int element, bool negative = false) {
    const uint32_t single = negative ? 0xFFC00001 : 0x7FC00000;
    const uint16_t half = negative ? 0xFFFF : 0x7E01, bfloat = negative ? 0xFFC1 : 0x7F81;
    switch (element) {
        case KVHK_FP32: std::memcpy(row + 4 * index, &single, 4); break;
        case KVHK_FP16: std::memcpy(row + 2 * index, &half, 2); break;
        case KVHK_BF16: std::memcpy(row + 2 * index, &bfloat, 2); break;
        default: row[index] = negative ? 0xFF : 0x7F; break;
    }
}

bool row_is_nan(const state& s, const problem& p, int row) {
    for (int d = 0; d < p.value_dim; d++) {
        if (!std::isnan(s.output[row * p.value_dim + d])) return false;
    }
    return std::isnan(s.sum[row]);
}

class NotFinite : public testing::TestWithParam<int> {
protected:
    problem with_rows(int rows) const {
        problem p;
        p.element = GetParam();
        p.rows = rows;
        p.tile_tokens = {64, 19};
        return p;
    }
    bool has_nan() const { return GetParam() != KVHK_INT8; }
};

TEST_P(NotFinite, NanInAKeyMakesEveryRowNan) {
    if (!has_nan()) GTEST_SKIP() << "every code of the element type is a number";
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            for (int at : {0, 63, 127}) {
                const problem p = with_rows(rows);
                const tile_case c(p);
                put_nan(c.key_row(1, 18), at, p.element, at == 63);
                const state s = c.run(kernel_for(target, p));
                for (int r = 0; r < rows; r++) EXPECT_TRUE(row_is_nan(s, p, r)) << describe(p) << " row " << r;
            }
        }
    }
}

TEST_P(NotFinite, NanInAValueMakesItsChannelNan) {
    if (!has_nan()) GTEST_SKIP() << "every code of the element type is a number";
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            for (int at : {0, 77, 127}) {
                const problem p = with_rows(rows);
                const tile_case c(p);
                put_nan(c.value_row(0, 63), at, p.element, at == 77);
                const state s = c.run(kernel_for(target, p));
                for (int r = 0; r < rows; r++) {
                    for (int d = 0; d < p.value_dim; d++)
                        EXPECT_EQ(std::isnan(s.output[r * p.value_dim + d]), d == at) << describe(p) << " " << r << " " << d;
                }
            }
        }
    }
}

TEST_P(NotFinite, NanInTheQueryMakesItsRowNan) {
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            const problem p = with_rows(rows);
            tile_case c(p);
            c.query[(rows / 2) * p.key_dim + 5] = NAN;
            const state s = c.run(kernel_for(target, p));
            for (int r = 0; r < rows; r++) EXPECT_EQ(row_is_nan(s, p, r), r == rows / 2) << describe(p) << " row " << r;
        }
    }
}

TEST_P(NotFinite, NanInAScaleComesOut) {
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            problem p = with_rows(rows);
            p.row_scales = p.channel_scales = true;
            const float nan = NAN;
            for (int which = 0; which < 4; which++) {
                const tile_case c(p);
                const tile_input& tile = c.tiles[1];
                const guarded_bytes* const scales[] = {&tile.key_scales, &tile.value_scales, &tile.key_channel_scales,
                                                       &tile.value_channel_scales};
                std::memcpy(scales[which]->data() + 4 * 18, &nan, 4);
                const state s = c.run(kernel_for(target, p));
                for (int r = 0; r < rows; r++) {
                    for (int d = 0; d < p.value_dim; d++) {
                        EXPECT_EQ(std::isnan(s.output[r * p.value_dim + d]), which < 3 || d == 18)
                            << describe(p) << " scale " << which << " row " << r;
                    }
                }
            }
        }
    }
}

TEST_P(NotFinite, UnseenTokensMayHoldAnything) {
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            problem p = with_rows(rows);
            p.visible = mask::causal;
            p.row_scales = true;
            tile_case c(p), same(p);
            const float nan = NAN;
            for (tile_case* which : {&c, &same}) {
                for (tile_input& tile : which->tiles) {
                    for (int& to : tile.to) to = std::min(to, tile.tokens - 1);
                }
            }
            for (int t = 0; t < 2; t++) {
                const int last = c.tiles[t].tokens - 1;
                if (has_nan()) put_nan(c.key_row(t, last), 3, p.element);
                if (has_nan()) put_nan(c.value_row(t, last), 3, p.element);
                std::memcpy(c.tiles[t].key_scales.data() + 4 * last, &nan, 4);
                std::memcpy(c.tiles[t].value_scales.data() + 4 * last, &nan, 4);
            }
            const kvhk_attention_kernel kernel = kernel_for(target, p);
            same.check(c.run(kernel), kernel);
            if (HasFatalFailure()) return;
        }
    }
}

TEST_P(NotFinite, ATileWithoutVisibleTokensChangesNothing) {
    for (int target : targets_under_test()) {
        for (int rows : all_rows) {
            problem p = with_rows(rows);
            p.tile_tokens = {64, 64};
            p.visible = mask::random;
            tile_case c(p), first(p);
            first.tiles.pop_back();
            for (int r = 0; r < rows; r++) c.tiles[1].from[r] = 9, c.tiles[1].to[r] = 9 - r % 2;
            const state s = c.run(kernel_for(target, p)), expected = first.run(kernel_for(target, p));
            EXPECT_EQ(s.maximum, expected.maximum) << describe(p);
            EXPECT_EQ(s.sum, expected.sum) << describe(p);
            EXPECT_EQ(s.output, expected.output) << describe(p);
        }
    }
}

TEST_P(NotFinite, VeryLargeAndSmallQueriesStayExact) {
    for (int target : targets_under_test()) {
        for (float size : {1e-30f, 1e30f}) {
            problem p = with_rows(8);
            tile_case c(p);
            for (float& x : c.query) x *= size;
            c.logit_factor /= size;
            const kvhk_attention_kernel kernel = kernel_for(target, p);
            c.check(c.run(kernel), kernel);
            if (HasFatalFailure()) return;
        }
    }
}

std::string element_name(const testing::TestParamInfo<int>& info) {
    static const char* const names[] = {"", "Fp32", "Fp16", "Bf16", "E4M3", "E5M2", "Int8"};
    return names[info.param];
}

INSTANTIATE_TEST_SUITE_P(Elements, NotFinite, testing::Range((int)KVHK_FP32, KVHK_INT8 + 1), element_name);

}  // namespace
