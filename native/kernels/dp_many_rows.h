// A step for many query rows in dot products of BF16 pairs. The tile is arranged once: pairs of channels of the keys and pairs of
// tokens of the values, in the order in which blocks of rows read them.
#ifndef KVHK_DP_MANY_ROWS_H
#define KVHK_DP_MANY_ROWS_H

#include "dp_rows.h"
#include "many_rows.h"

namespace kvhk {
namespace {

// Sixteen BF16 numbers in the order of the channels.
KVHK_INLINE __m256i load_16_words(const uint8_t* p, bf16_element<avx2_ops>) { return _mm256_loadu_si256((const __m256i*)p); }

// Every value of eight bits is exact in BF16.
template <class E>
KVHK_INLINE __m256i load_16_words(const uint8_t* p, E) {
    static_assert(E::bytes == 1 && E::vectors == 1, "exact in BF16");
    __m256 low[1], high[1];
    E::load(p, low);
    E::load(p + 8, high);
    const __m256i words =
        _mm256_packus_epi32(_mm256_srli_epi32(_mm256_castps_si256(low[0]), 16), _mm256_srli_epi32(_mm256_castps_si256(high[0]), 16));
    return _mm256_permute4x64_epi64(words, 0xD8);
}

template <class O, template <class> class Element>
struct dp_many_rows {
    using f = typename O::f;
    using i = typename O::i;
    using E = Element<avx2_ops>;
    using fp32 = many_rows<O, Element>;
    static constexpr int panel = 2 * O::lanes;
    static constexpr int block = O::product_rows, least_rows = fp32::least_rows;
    static constexpr int channels = 16;
    static constexpr int pairs_of_tokens = KVHK_MOST_TOKENS / 2;

    static constexpr bool fits(int key_dim, int value_dim) {
        return key_dim % channels == 0 && value_dim % panel == 0 && fp32::fits(key_dim, value_dim);
    }

    static int64_t prepared_bytes(const kvhk_attention_shape& shape) {
        return query_header_bytes + (int64_t)2 * 2 * shape.rows * shape.key_dim;
    }

    // Per term: [row][channel].
    static void prepare(const kvhk_attention_shape* shape, const float* query, uint8_t* prepared) {
        const int64_t count = (int64_t)shape->rows * shape->key_dim;
        const int terms = query_terms(query, count);
        *(int32_t*)prepared = terms;
        uint16_t* const out = (uint16_t*)(prepared + query_header_bytes);
        for (int64_t k = 0; k < count; k++) out[k] = nearest_bf16(query[k]);
        for (int64_t k = 0; k < count && terms == 2; k++) out[count + k] = bf16_remainder(query[k]);
    }

    // Keys to [panel of tokens][pair of channels][token]; behind the last token it is the last row again.
    static void pack_keys(const kvhk_attend_tile& tile, int32_t* out) {
        const int pairs = tile.key_dim / 2;
        for (int t = 0; t < tile.tokens; t += 8) {
            int32_t* const to = out + (int64_t)(t / panel) * panel * pairs + t % panel;
            for (int d = 0; d < tile.key_dim; d += channels) {
                __m256 x[8];
                KVHK_UNROLL
                for (int k = 0; k < 8; k++) {
                    x[k] = _mm256_castsi256_ps(
                        load_16_words(row_at(tile.keys, tile.key_stride, t + k, tile.tokens) + (int64_t)d * E::bytes, E()));
                }
                transpose(x);
                KVHK_UNROLL
                for (int k = 0; k < 8; k++) _mm256_storeu_ps((float*)(to + (int64_t)(d / 2 + k) * panel), x[k]);
            }
        }
    }

    // Values to [panel of channels][pair of tokens][channel]; an odd last token is paired with zeros.
    static void pack_values(const kvhk_attend_tile& tile, int32_t* out) {
        const int pairs = (tile.tokens + 1) / 2;
        for (int pair = 0; pair < pairs; pair++) {
            const uint8_t* const first = tile.values + 2 * pair * tile.value_stride;
            const bool both = 2 * pair + 1 < tile.tokens;
            for (int c = 0; c < tile.value_dim; c += channels) {
                const __m256i a = load_16_words(first + (int64_t)c * E::bytes, E());
                const __m256i b = both ? load_16_words(first + tile.value_stride + (int64_t)c * E::bytes, E()) : _mm256_setzero_si256();
                const __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
                int32_t* const to = out + ((int64_t)(c / panel) * pairs + pair) * panel + c % panel;
                _mm256_storeu_si256((__m256i*)to, _mm256_permute2x128_si256(low, high, 0x20));
                _mm256_storeu_si256((__m256i*)(to + 8), _mm256_permute2x128_si256(low, high, 0x31));
            }
        }
    }

    template <int Rows>
    KVHK_INLINE static void score_block(const int32_t* query, int64_t term_pairs, int terms, int pairs, const int32_t* keys,
                                        float* scores) {
        f sums[Rows][2];
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) sums[r][0] = sums[r][1] = O::zero();
        for (int term = 0; term < terms; term++) {
            const int32_t *q = query + term * term_pairs, *k = keys;
            for (int d = 0; d < pairs; d++, k += panel, q++) {
                const i a = O::load_words((const uint8_t*)k), b = O::load_words((const uint8_t*)(k + O::lanes));
                KVHK_UNROLL
                for (int r = 0; r < Rows; r++) {
                    const i factor = O::broadcast_pair(q + (int64_t)r * pairs);
                    sums[r][0] = O::dp(sums[r][0], a, factor);
                    sums[r][1] = O::dp(sums[r][1], b, factor);
                }
            }
        }
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            O::store(scores + r * KVHK_MOST_TOKENS, sums[r][0]);
            O::store(scores + r * KVHK_MOST_TOKENS + O::lanes, sums[r][1]);
        }
    }

    template <int Rows>
    KVHK_INLINE static void accumulate_block(const int32_t* weights, int pairs, const int32_t* values, const float* decay, float* out,
                                             int dim) {
        f sums[Rows][2];
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            sums[r][0] = O::mul(O::load(out + (int64_t)r * dim), O::set(decay[r]));
            sums[r][1] = O::mul(O::load(out + (int64_t)r * dim + O::lanes), O::set(decay[r]));
        }
        for (int t = 0; t < pairs; t++, values += panel) {
            const i a = O::load_words((const uint8_t*)values), b = O::load_words((const uint8_t*)(values + O::lanes));
            KVHK_UNROLL
            for (int r = 0; r < Rows; r++) {
                const i weight = O::broadcast_pair(weights + r * pairs_of_tokens + t);
                sums[r][0] = O::dp(sums[r][0], a, weight);
                sums[r][1] = O::dp(sums[r][1], b, weight);
            }
        }
        KVHK_UNROLL
        for (int r = 0; r < Rows; r++) {
            O::store(out + (int64_t)r * dim, sums[r][0]);
            O::store(out + (int64_t)r * dim + O::lanes, sums[r][1]);
        }
    }

    template <int Rows>
    static void attend_block(const kvhk_attend_tile& tile, int first, const int32_t* keys, const int32_t* values, float* scores,
                             row_prefetch& next_keys, row_prefetch& next_values) {
        const float one = 1;
        float decay[Rows];
        alignas(64) int32_t weights[Rows * pairs_of_tokens];
        const int pairs = tile.key_dim / 2, terms = *(const int32_t*)tile.prepared;
        const int32_t* const query = (const int32_t*)(tile.prepared + query_header_bytes) + (int64_t)first * pairs;
        for (int t = 0; t < tile.tokens; t += panel) {
            next_keys.step();
            score_block<Rows>(query, (int64_t)tile.rows * pairs, terms, pairs, keys + (int64_t)t * pairs, scores + t);
        }
        for (int r = 0; r < Rows; r++) {
            float* const row = scores + r * KVHK_MOST_TOKENS;
            softmax<O, 1, true>(row_group<1>{tile, first + r, 1, row}, &one, 1.0f, decay + r);
            pair_weights<O, 1>(row, tile.tokens, weights + r * pairs_of_tokens);
        }
        const int token_pairs = (tile.tokens + 1) / 2;
        for (int c = 0; c < tile.value_dim; c += panel, values += (int64_t)panel * token_pairs) {
            next_values.step();
            accumulate_block<Rows>(weights, token_pairs, values, decay, tile.output + (int64_t)first * tile.value_dim + c, tile.value_dim);
        }
    }

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
        const bool masked = tile.visible_from != nullptr;
        if (tile.key_channel_scales != nullptr || tile.value_channel_scales != nullptr ||
            (masked && few_rows<avx2_ops, E>::any_not_finite(tile))) {
            return fp32::attend(given);
        }
        float* scores = (float*)tile.scratch;
        const int32_t* const keys = (const int32_t*)(scores + 16 * KVHK_MOST_TOKENS);
        const int32_t* const values = keys + (int64_t)KVHK_MOST_TOKENS * tile.key_dim / 2;
        pack_keys(tile, (int32_t*)keys);
        pack_values(tile, (int32_t*)values);

        const int blocks = (tile.rows + block - 1) / block;
        const bool shared = tile.next_values == tile.next_keys;
        row_prefetch next_keys(tile.next_keys, tile.key_stride, (int64_t)tile.key_dim * E::bytes, tile.next_tokens,
                               (int64_t)blocks * ((tile.tokens + panel - 1) / panel));
        row_prefetch next_values(shared ? nullptr : tile.next_values, tile.value_stride, (int64_t)tile.value_dim * E::bytes,
                                 tile.next_tokens, (int64_t)blocks * (tile.value_dim / panel));
        for (int b = 0, first = 0; b < blocks; b++) {
            const int rows = (tile.rows - first) / (blocks - b);
            attend_rows<block>(rows, tile, first, keys, values, scores, next_keys, next_values);
            first += rows;
        }
    }
};

}  // namespace
}  // namespace kvhk

#endif
