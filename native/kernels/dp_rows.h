// A step for few query rows in dot products of BF16 pairs. The keys are used as they are stored; pairs of values are formed in
// registers. The query is two BF16 numbers, the second of what the first one leaves; where it leaves nothing, one.
#ifndef KVHK_DP_ROWS_H
#define KVHK_DP_ROWS_H

#include "few_rows.h"

namespace kvhk {
namespace {

// words: BF16 numbers of a vector. key_vectors: vectors that one load of keys gives. value_vectors: fp32 vectors of the channels of a
// load of values.
template <class O>
struct bf16_words {
    static constexpr int bytes = 2, channels = O::bf16_words, key_vectors = 1, value_vectors = 2;
    using i = typename O::i;
    using f = typename O::f;
    KVHK_INLINE void load(const uint8_t* p, i (&x)[key_vectors]) const { x[0] = O::load_words(p); }
    static constexpr int channel_of(int, int word) { return word; }
    KVHK_INLINE void load_pairs(const uint8_t* p, const uint8_t* q, i (&x)[value_vectors]) const {
        O::pair_words(O::load_words(p), O::load_words(q), x[0], x[1]);
    }
    KVHK_INLINE static void load_output(const float* p, f (&x)[value_vectors]) { O::load_paired(p, x); }
    KVHK_INLINE static void store_output(float* p, f (&x)[value_vectors]) { O::store_paired(p, x); }
};

template <class O>
struct e4m3_words {
    static constexpr int bytes = 1, channels = 2 * O::bf16_words, key_vectors = 2, value_vectors = 4;
    using i = typename O::i;
    using f = typename O::f;
    typename O::e4m3_table table;
    KVHK_INLINE void load(const uint8_t* p, i (&x)[key_vectors]) const { table.widen(O::load_words(p), x[0], x[1]); }
    static constexpr int channel_of(int vector, int word) { return word / 8 * 16 + vector * 8 + word % 8; }
    KVHK_INLINE void load_pairs(const uint8_t* p, const uint8_t* q, i (&x)[value_vectors]) const {
        i low, high;
        O::pair_codes(O::load_words(p), O::load_words(q), low, high);
        table.widen(low, x[0], x[1]);
        table.widen(high, x[2], x[3]);
    }
    KVHK_INLINE static void load_output(const float* p, f (&x)[value_vectors]) {
        KVHK_UNROLL
        for (int v = 0; v < value_vectors; v++) x[v] = O::load(p + v * O::lanes);
        O::transpose_lanes(x);
    }
    KVHK_INLINE static void store_output(float* p, f (&x)[value_vectors]) {
        O::transpose_lanes(x);
        KVHK_UNROLL
        for (int v = 0; v < value_vectors; v++) O::store(p + v * O::lanes, x[v]);
    }
};

KVHK_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

KVHK_INLINE float float_of(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

// To the nearest BF16, ties to even; NaN stays NaN.
KVHK_INLINE uint16_t nearest_bf16(float x) {
    const uint32_t bits = bits_of(x);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// What the nearest BF16 leaves, as BF16. Nothing of what is not finite.
KVHK_INLINE uint16_t bf16_remainder(float x) {
    const float rest = x - float_of((uint32_t)nearest_bf16(x) << 16);
    return rest - rest == 0 ? nearest_bf16(rest) : 0;
}

// A query in BF16: the number of terms, then for each term all rows by order(term words, query row, first).
constexpr int64_t query_header_bytes = 64;

KVHK_INLINE int query_terms(const float* query, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
        if (bf16_remainder(query[k]) != 0) return 2;
    }
    return 1;
}

// Weights of two tokens in turn, BF16: [pair of tokens][row].
template <class O, int Width>
KVHK_INLINE void pair_weights(float* weights, int tokens, int32_t* pairs) {
    const int count = (int)round_up(tokens, O::lanes) * Width;
    for (int k = 0; k < count; k += O::lanes) O::store(weights + k, O::round_to_bf16(O::load(weights + k)));
    for (int t = 0; t < (tokens + 1) / 2; t++) {
        for (int h = 0; h < Width; h++) {
            const uint32_t low = bits_of(weights[2 * t * Width + h]), high = bits_of(weights[(2 * t + 1) * Width + h]);
            pairs[t * Width + h] = (int32_t)(low >> 16 | (high & 0xFFFF0000));
        }
    }
}

// Element is the one whose fp32 kernel takes over where there are channel scales or infinite values, and whose values are
// multiplied in fp32 where the weights stay fp32.
template <class O, class Words, class Element, bool Fp32Weights>
struct dp_rows {
    using f = typename O::f;
    using i = typename O::i;
    using fp32 = few_rows<O, Element>;
    static constexpr int channels = Words::channels, sums = O::sums;

    static constexpr bool fits(int key_dim, int value_dim) {
        return key_dim % channels == 0 && value_dim % channels == 0 && fp32::fits(key_dim, value_dim);
    }

    static int64_t prepared_bytes(const kvhk_attention_shape& shape) {
        return query_header_bytes + (int64_t)2 * 2 * padded_rows(shape.rows) * shape.key_dim;
    }

    // Per term and group: [load][vector][row][word].
    static void prepare(const kvhk_attention_shape* shape, const float* query, uint8_t* prepared) {
        const int dim = shape->key_dim;
        const int terms = query_terms(query, (int64_t)shape->rows * dim);
        *(int32_t*)prepared = terms;
        uint16_t* out = (uint16_t*)(prepared + query_header_bytes);
        for (int term = 0; term < terms; term++) {
            for_each_group(shape->rows, [&](auto width, int first, int rows) {
                constexpr int w = decltype(width)::value;
                for (int d = 0; d < dim; d += channels) {
                    for (int v = 0; v < Words::key_vectors; v++) {
                        for (int h = 0; h < w; h++) {
                            for (int word = 0; word < O::bf16_words; word++) {
                                const float q = h < rows ? query[(int64_t)(first + h) * dim + d + Words::channel_of(v, word)] : 0;
                                *out++ = term == 0 ? nearest_bf16(q) : bf16_remainder(q);
                            }
                        }
                    }
                }
            });
        }
    }

    template <int Width, int Terms>
    static void score(const kvhk_attend_tile& tile, const uint8_t* query, int64_t term_bytes, row_prefetch& next, float* scores) {
        constexpr int tokens = sums / Width;
        const Words words;
        for (int token = 0; token < tile.tokens; token += tokens) {
            next.step();
            const uint8_t* rows[tokens];
            KVHK_UNROLL
            for (int t = 0; t < tokens; t++) rows[t] = row_at(tile.keys, tile.key_stride, token + t, tile.tokens);
            f total[sums];
            KVHK_UNROLL
            for (int k = 0; k < sums; k++) total[k] = O::zero();
            const uint8_t* q = query;
            const int64_t end = (int64_t)tile.key_dim * Words::bytes;
            for (int64_t at = 0; at < end; at += channels * Words::bytes) {
                i x[tokens][Words::key_vectors];
                KVHK_UNROLL
                for (int t = 0; t < tokens; t++) words.load(rows[t] + at, x[t]);
                KVHK_UNROLL
                for (int v = 0; v < Words::key_vectors; v++) {
                    KVHK_UNROLL
                    for (int term = 0; term < Terms; term++) {
                        KVHK_UNROLL
                        for (int h = 0; h < Width; h++) {
                            const i factor = O::load_words(q + term * term_bytes + h * 2 * O::bf16_words);
                            KVHK_UNROLL
                            for (int t = 0; t < tokens; t++) total[t * Width + h] = O::dp(total[t * Width + h], x[t][v], factor);
                        }
                    }
                    q += Width * 2 * O::bf16_words;
                }
            }
            O::store_sums(scores + token * Width, total);
        }
    }

    template <int Width, int Rows, int Loads>
    KVHK_INLINE static void accumulate_tile(const kvhk_attend_tile& tile, int channel, const int32_t* pairs, const float* decay,
                                            float* const (&out)[Rows], row_prefetch& next) {
        const Words words;
        f total[Rows][Loads][Words::value_vectors];
        KVHK_UNROLL
        for (int h = 0; h < Rows; h++) {
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) {
                Words::load_output(out[h] + channel + l * channels, total[h][l]);
                KVHK_UNROLL
                for (int v = 0; v < Words::value_vectors; v++) total[h][l][v] = O::mul(total[h][l][v], O::set(decay[h]));
            }
        }
        const uint8_t* row = tile.values + (int64_t)channel * Words::bytes;
        const auto add_pair = [&](int pair, const uint8_t* second) {
            i x[Loads][Words::value_vectors];
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) words.load_pairs(row + l * channels * Words::bytes, second + l * channels * Words::bytes, x[l]);
            KVHK_UNROLL
            for (int h = 0; h < Rows; h++) {
                const i weight = O::broadcast_pair(pairs + pair * Width + h);
                KVHK_UNROLL
                for (int l = 0; l < Loads; l++) {
                    KVHK_UNROLL
                    for (int v = 0; v < Words::value_vectors; v++) total[h][l][v] = O::dp(total[h][l][v], x[l][v], weight);
                }
            }
            row += 2 * tile.value_stride;
        };
        int pair = 0;
        for (; 2 * pair + 4 <= tile.tokens; pair += 2) {
            next.step();
            add_pair(pair, row + tile.value_stride);
            add_pair(pair + 1, row + tile.value_stride);
        }
        // An odd last token is paired with itself and a weight of 0.
        for (; 2 * pair < tile.tokens; pair++) add_pair(pair, 2 * pair + 1 < tile.tokens ? row + tile.value_stride : row);
        KVHK_UNROLL
        for (int h = 0; h < Rows; h++) {
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) Words::store_output(out[h] + channel + l * channels, total[h][l]);
        }
    }

    template <int Width>
    static constexpr int tile_rows = least(Width, 4);
    template <int Width>
    static constexpr int tile_loads = most(1, sums / (tile_rows<Width> * Words::value_vectors));

    template <int Width>
    static void accumulate(const kvhk_attend_tile& tile, const int32_t* pairs, const float* decay, float* const (&out)[Width], int rows,
                           row_prefetch& next) {
        constexpr int tile_h = tile_rows<Width>, loads = tile_loads<Width>;
        const auto add_channels = [&](auto count, int c) {
            for (int h = 0; h < rows; h += tile_h) {
                float* tile_out[tile_h];
                KVHK_UNROLL
                for (int k = 0; k < tile_h; k++) tile_out[k] = out[h + k];
                accumulate_tile<Width, tile_h, decltype(count)::value>(tile, c, pairs + h, decay + h, tile_out, next);
            }
        };
        int c = 0;
        for (; c + loads * channels <= tile.value_dim; c += loads * channels) add_channels(width_constant<loads>(), c);
        if constexpr (loads > 1) {
            for (; c < tile.value_dim; c += channels) add_channels(width_constant<1>(), c);
        }
    }

    // scratch: [scores][a row of zeros]
    static void attend(const kvhk_attend_tile* given) {
        const kvhk_attend_tile& tile = *given;
        const bool masked = tile.visible_from != nullptr;
        if (tile.key_channel_scales != nullptr || tile.value_channel_scales != nullptr || (masked && fp32::any_not_finite(tile))) {
            return fp32::attend_natural(tile, tile.scratch);
        }
        float* const all_scores = (float*)tile.scratch;
        float* const spare_row = all_scores + (int64_t)padded_rows(tile.rows) * KVHK_MOST_TOKENS;
        const int terms = *(const int32_t*)tile.prepared;
        const int64_t term_bytes = (int64_t)2 * padded_rows(tile.rows) * tile.key_dim;
        int64_t steps = 0, value_steps = 0;
        for_each_group(tile.rows, [&](auto width, int, int rows) {
            constexpr int w = decltype(width)::value;
            steps += (tile.tokens * w + sums - 1) / sums;
            if constexpr (Fp32Weights) {
                value_steps += fp32::template value_steps<w>(tile, rows);
            } else {
                const int tiles = tile.value_dim / (channels * tile_loads<w>)+tile.value_dim / channels % tile_loads<w>;
                value_steps += (rows + tile_rows<w> - 1) / tile_rows<w> * tiles * ((tile.tokens + 3) / 4);
            }
        });
        const bool shared = tile.next_values == tile.next_keys;
        row_prefetch next_keys(tile.next_keys, tile.key_stride, (int64_t)tile.key_dim * Words::bytes, tile.next_tokens, steps);
        row_prefetch next_values(shared ? nullptr : tile.next_values, tile.value_stride, (int64_t)tile.value_dim * Words::bytes,
                                 tile.next_tokens, value_steps);
        const uint8_t* query = tile.prepared + query_header_bytes;
        float* scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int, int) {
            constexpr int w = decltype(width)::value;
            if (terms == 1) score<w, 1>(tile, query, term_bytes, next_keys, scores);
            else score<w, 2>(tile, query, term_bytes, next_keys, scores);
            scores += w * KVHK_MOST_TOKENS;
            query += (int64_t)2 * w * tile.key_dim;
        });
        for (int k = 0; k < tile.value_dim; k++) spare_row[k] = 0;
        scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int first, int rows) {
            constexpr int w = decltype(width)::value;
            float decay[w] = {}, ones[w];
            for (int h = 0; h < w; h++) ones[h] = 1;
            float* out[w];
            KVHK_UNROLL
            for (int h = 0; h < w; h++) out[h] = h < rows ? tile.output + (int64_t)(first + h) * tile.value_dim : spare_row;
            const row_group<w> group{tile, first, rows, scores};
            if constexpr (Fp32Weights) {
                softmax<O, w>(group, ones, 1.0f, decay);
                fp32::template accumulate<w>(tile, 0, tile.tokens, scores, decay, out, rows, next_values);
            } else {
                alignas(64) int32_t pairs[(KVHK_MOST_TOKENS + 1) / 2 * w];
                softmax<O, w, true>(group, ones, 1.0f, decay);
                pair_weights<O, w>(scores, tile.tokens, pairs);
                accumulate<w>(tile, pairs, decay, out, rows, next_values);
            }
            scores += w * KVHK_MOST_TOKENS;
        });
    }
};

}  // namespace
}  // namespace kvhk

#endif
