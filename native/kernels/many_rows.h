// A step for many query rows (MLA, prefill): the tile is widened to fp32 once, in the order in which blocks of rows read it.
#ifndef KVHK_MANY_ROWS_H
#define KVHK_MANY_ROWS_H

#include "ops_avx2.h"
#include "prefetch.h"
#include "row_groups.h"
#include "softmax.h"

namespace kvhk {
namespace {

// Rows of a widening load, transposed eight by eight: U are the operations that widen (AVX2 in every target).
template <class O, template <class> class Element>
struct many_rows {
    using f = typename O::f;
    using U = avx2_ops;
    using E = Element<U>;
    static constexpr int panel = 2 * O::lanes;     // tokens or channels of a panel
    static constexpr int block = O::product_rows;  // query rows of a block
    // Blocks of nearly equal size, since small ones leave the multipliers waiting: of more than most_few_rows never below this.
    static constexpr int least_rows = block * 2 / 3;
    static constexpr int channels = load_channels<U, E>;

    static constexpr bool fits(int key_dim, int value_dim) { return key_dim % channels == 0 && value_dim % most(channels, panel) == 0; }

    // Keys to [panel of tokens][channel][token]; behind the last token it is the last row again.
    static void pack_keys(const kvhk_attend_tile& tile, float* out) {
        const int dim = tile.key_dim;
        for (int t = 0; t < tile.tokens; t += U::lanes) {
            float* const to = out + (int64_t)(t / panel) * panel * dim + t % panel;
            for (int d = 0; d < dim; d += channels) {
                __m256 x[E::vectors][8];
                KVHK_UNROLL
                for (int k = 0; k < 8; k++) {
                    __m256 row[E::vectors];
                    E::load(row_at(tile.keys, tile.key_stride, t + k, tile.tokens) + (int64_t)d * E::bytes, row);
                    KVHK_UNROLL
                    for (int v = 0; v < E::vectors; v++) x[v][k] = row[v];
                }
                KVHK_UNROLL
                for (int v = 0; v < E::vectors; v++) {
                    transpose(x[v]);
                    KVHK_UNROLL
                    for (int k = 0; k < 8; k++) {
                        const int channel = d + k * E::vectors + v;
                        if (tile.key_channel_scales != nullptr) x[v][k] = U::mul(x[v][k], U::broadcast(tile.key_channel_scales + channel));
                        U::store(to + (int64_t)channel * panel, x[v][k]);
                    }
                }
            }
        }
    }

    // Values to [panel of channels][token][channel]. Returns whether all are finite.
    static bool pack_values(const kvhk_attend_tile& tile, float* out) {
        __m256 zeros = U::zero();
        for (int t = 0; t < tile.tokens; t++) {
            const uint8_t* const row = tile.values + t * tile.value_stride;
            for (int c = 0; c < tile.value_dim; c += channels) {
                __m256 x[E::vectors];
                E::load(row + (int64_t)c * E::bytes, x);
                float* const to = out + ((int64_t)(c / panel) * tile.tokens + t) * panel + c % panel;
                store_ordered<U>(to, x);
                KVHK_UNROLL
                for (int v = 0; v < E::vectors; v++) zeros = U::fma(x[v], U::zero(), zeros);
                if (tile.value_channel_scales == nullptr) continue;
                for (int k = 0; k < channels; k += U::lanes) {
                    const __m256 scaled = U::mul(U::load(to + k), U::load(tile.value_channel_scales + c + k));
                    U::store(to + k, scaled);
                    zeros = U::fma(scaled, U::zero(), zeros);
                }
            }
        }
        return !U::any_nan(zeros);
    }

    template <int Rows>
    KVHK_INLINE static void score_block(const float* query, int dim, const float* keys, float* scores) {
        f sums[Rows][2];
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) sums[r][0] = sums[r][1] = O::zero();
        for (int d = 0; d < dim; d++, keys += panel, query++) {
            const f a = O::load(keys), b = O::load(keys + O::lanes);
            KVHK_UNROLL
            for (int r = 0; r < Rows; r++) {
                const f q = O::broadcast(query + (int64_t)r * dim);
                sums[r][0] = O::fma(a, q, sums[r][0]);
                sums[r][1] = O::fma(b, q, sums[r][1]);
            }
        }
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            O::store(scores + r * KVHK_MOST_TOKENS, sums[r][0]);
            O::store(scores + r * KVHK_MOST_TOKENS + O::lanes, sums[r][1]);
        }
    }

    template <int Rows>
    KVHK_INLINE static void accumulate_block(const float* weights, int from, int to, const float* values, const float* decay, float* out,
                                             int dim) {
        f sums[Rows][2];
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            const f scale = O::set(decay[r]);
            sums[r][0] = O::mul(O::load(out + (int64_t)r * dim), scale);
            sums[r][1] = O::mul(O::load(out + (int64_t)r * dim + O::lanes), scale);
        }
        values += from * panel;
        for (int t = from; t < to; t++, values += panel) {
            const f a = O::load(values), b = O::load(values + O::lanes);
            KVHK_UNROLL
            for (int r = 0; r < Rows; r++) {
                const f w = O::broadcast(weights + r * KVHK_MOST_TOKENS + t);
                sums[r][0] = O::fma(a, w, sums[r][0]);
                sums[r][1] = O::fma(b, w, sums[r][1]);
            }
        }
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            O::store(out + (int64_t)r * dim, sums[r][0]);
            O::store(out + (int64_t)r * dim + O::lanes, sums[r][1]);
        }
    }

    template <int Rows>
    static void attend_block(const kvhk_attend_tile& tile, int first, const float* keys, const float* values, bool alone, float* scores,
                             row_prefetch& next_keys, row_prefetch& next_values) {
        const float one = 1;
        float decay[Rows];
        for (int t = 0; t < tile.tokens; t += panel) {
            next_keys.step();
            score_block<Rows>(tile.query + (int64_t)first * tile.key_dim, tile.key_dim, keys + (int64_t)t * tile.key_dim, scores + t);
        }
        for (int r = 0; r < Rows; r++) {
            softmax<O, 1>(row_group<1>{tile, first + r, 1, scores + r * KVHK_MOST_TOKENS}, &one, 1.0f, decay + r);
        }
        for (int c = 0; c < tile.value_dim; c += panel, values += (int64_t)panel * tile.tokens) {
            next_values.step();
            float* const out = tile.output + (int64_t)first * tile.value_dim + c;
            if (!alone) {
                accumulate_block<Rows>(scores, 0, tile.tokens, values, decay, out, tile.value_dim);
                continue;
            }
            for (int r = 0; r < Rows; r++) {
                const int from = most(0, tile.visible_from[first + r]), to = least(tile.tokens, tile.visible_to[first + r]);
                if (from < to)
                    accumulate_block<1>(scores + r * KVHK_MOST_TOKENS, from, to, values, decay + r, out + (int64_t)r * tile.value_dim,
                                        tile.value_dim);
            }
        }
    }

    // Fewer rows than a block has at least, as of a prompt of one token, one by one: a row has the same bits in any block.
    template <int Rows, class... Rest>
    KVHK_INLINE static void attend_rows(int rows, const kvhk_attend_tile& tile, int first, Rest&... rest) {
        if (rows == Rows) attend_block<Rows>(tile, first, rest...);
        else if constexpr (Rows > least_rows) attend_rows<Rows - 1>(rows, tile, first, rest...);
        else
            for (int r = 0; r < rows; r++) attend_block<1>(tile, first + r, rest...);
    }

    // scratch: [scores of a block][keys][values]
    static void attend(const kvhk_attend_tile* given) {
        const kvhk_attend_tile& tile = *given;
        float* scores = (float*)tile.scratch;
        const float* const keys = scores + 16 * KVHK_MOST_TOKENS;
        const float* const values = keys + (int64_t)KVHK_MOST_TOKENS * tile.key_dim;
        pack_keys(tile, (float*)keys);
        const bool finite = pack_values(tile, (float*)values);
        bool alone = tile.visible_from != nullptr && !finite;

        const int blocks = (tile.rows + block - 1) / block;
        const bool shared = tile.next_values == tile.next_keys;
        row_prefetch next_keys(tile.next_keys, tile.key_stride, (int64_t)tile.key_dim * E::bytes, tile.next_tokens,
                               (int64_t)blocks * ((tile.tokens + panel - 1) / panel));
        row_prefetch next_values(shared ? nullptr : tile.next_values, tile.value_stride, (int64_t)tile.value_dim * E::bytes,
                                 tile.next_tokens, (int64_t)blocks * (tile.value_dim / panel));
        for (int b = 0, first = 0; b < blocks; b++) {
            const int rows = (tile.rows - first) / (blocks - b);
            attend_rows<block>(rows, tile, first, keys, values, alone, scores, next_keys, next_values);
            first += rows;
        }
    }
};

}  // namespace
}  // namespace kvhk

#endif
