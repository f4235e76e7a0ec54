// INT8 for few query rows, in integer products: the query as 16-bit words relative to its largest element, the weights as 15 bits
// relative to the largest of the tile, sums in 32 bits.
#ifndef KVHK_INT8_ROWS_H
#define KVHK_INT8_ROWS_H

#include "few_rows.h"

namespace kvhk {
namespace {

constexpr float largest_word = 32767.0f;

template <class O>
struct int8_rows {
    using f = typename O::f;
    using i = typename O::i;
    static constexpr int words = O::words;   // channels that one load covers
    static constexpr int value_vectors = 2;  // words of two tokens in turn
    static constexpr int sums = O::sums;

    // 128 * 32767 * dim has to stay below 2^31.
    static constexpr bool fits(int key_dim, int value_dim) { return key_dim <= 512 && key_dim % words == 0 && value_dim % words == 0; }

    // Per group: row factors (16 floats), then [load][row][word].
    static constexpr int64_t group_bytes(int width, int dim) { return 4 * row_factor_lanes + 2 * (int64_t)width * dim; }

    static int64_t query_bytes(int rows, int dim) {
        int64_t bytes = 0;
        for_each_group(rows, [&](auto width, int, int) { bytes += group_bytes(decltype(width)::value, dim); });
        return bytes;
    }

    static void arrange(const float* query, const float* channel_scales, int rows, int dim, uint8_t* out) {
        alignas(64) float scaled[512];
        alignas(64) int32_t rounded[512];
        for_each_group(rows, [&](auto width, int first, int count) {
            constexpr int w = decltype(width)::value;
            float* const factors = (float*)out;
            int16_t* const to = (int16_t*)(out + 4 * row_factor_lanes);
            for (int h = 0; h < row_factor_lanes; h++) factors[h] = 0;
            for (int h = 0; h < w; h++) {
                const float* const q = query + (int64_t)(first + h) * dim;
                f largest[1] = {O::zero()}, zeros = O::zero();
                for (int d = 0; d < dim; d += O::lanes) {
                    f x = h < count ? O::load(q + d) : O::zero();
                    if (h < count && channel_scales != nullptr) x = O::mul(x, O::load(channel_scales + d));
                    largest[0] = O::max(largest[0], O::abs(x));
                    zeros = O::fma(x, O::zero(), zeros);
                    O::store(scaled + d, x);
                }
                fold<O, 1>(largest, [](f a, f b) { return O::max(a, b); });
                alignas(64) float numbers[O::lanes];
                O::store(numbers, largest[0]);
                const float most_q = numbers[0];
                // What is not finite has no words: the factor makes every score NaN.
                factors[h] = O::any_nan(zeros) ? __builtin_nanf("") : most_q / largest_word;
                const f up = O::set(most_q >= 1e-30f ? largest_word / most_q : 0);
                for (int d = 0; d < dim; d += O::lanes) O::store_rounded(rounded + d, O::mul(O::load(scaled + d), up));
                for (int d = 0; d < dim; d++) to[(int64_t)d / words * words * w + h * words + d % words] = (int16_t)rounded[d];
            }
            out += group_bytes(w, dim);
        });
    }

    template <int Width>
    static void score(const kvhk_attend_tile& tile, const int16_t* query, row_prefetch& next, float* scores) {
        constexpr int tokens = sums / Width;
        for (int token = 0; token < tile.tokens; token += tokens) {
            next.step();
            const uint8_t* rows[tokens];
            KVHK_UNROLL
            for (int t = 0; t < tokens; t++) rows[t] = row_at(tile.keys, tile.key_stride, token + t, tile.tokens);
            i total[sums];
            KVHK_UNROLL
            for (int k = 0; k < sums; k++) total[k] = O::izero();
            const int16_t* q = query;
            for (int d = 0; d < tile.key_dim; d += words, q += words * Width) {
                i x[tokens];
                KVHK_UNROLL
                for (int t = 0; t < tokens; t++) x[t] = O::widen(rows[t] + d);
                KVHK_UNROLL
                for (int h = 0; h < Width; h++) {
                    KVHK_UNROLL
                    for (int t = 0; t < tokens; t++)
                        total[t * Width + h] = O::dot(total[t * Width + h], x[t], O::load_words(q + h * words));
                }
            }
            O::store_sums(scores + token * Width, total);
        }
    }

    // Weights to [pair of tokens][row] of two words; factors[row] undoes the scaling.
    template <int Width>
    static void quantize(const float* weights, int tokens, int32_t* pairs, float* factors) {
        constexpr int period = pattern_vectors<O, Width>, lanes = O::lanes;
        const int vectors = (int)round_up(tokens, lanes) * Width / lanes;
        f largest[period], zeros = O::zero();
        KVHK_UNROLL
        for (int k = 0; k < period; k++) largest[k] = O::zero();
        for (int v = 0; v < vectors; v += period) {
            KVHK_UNROLL
            for (int k = 0; k < period; k++) {
                const f weight = O::load(weights + (v + k) * lanes);
                largest[k] = O::max(largest[k], O::abs(weight));
                zeros = O::fma(weight, O::zero(), zeros);
            }
        }
        fold<O, Width>(largest, [](f a, f b) { return O::max(a, b); });
        alignas(64) float up[most(Width, O::lanes)];
        KVHK_UNROLL
        for (int k = 0; k < period; k++) O::store(up + k * lanes, largest[k]);
        const bool finite = !O::any_nan(zeros);
        for (int h = 0; h < Width; h++) {
            float sum = 0;
            if (!finite) {
                for (int t = 0; t < tokens; t++) sum += weights[t * Width + h] * 0;
            }
            factors[h] = up[h] / largest_word + sum;
        }
        for (int h = 0; h < most(Width, lanes); h++) up[h] = up[h] >= 1e-30f ? largest_word / up[h] : 0;
        f factor[period];
        KVHK_UNROLL
        for (int k = 0; k < period; k++) factor[k] = O::load(up + k * lanes);
        alignas(64) int32_t rounded[KVHK_MOST_TOKENS * Width];
        for (int v = 0; v < vectors; v++) O::store_rounded(rounded + v * lanes, O::mul(O::load(weights + v * lanes), factor[v % period]));
        // Up to the next even number of tokens, which is in the vectors.
        for (int t = 0; t < (tokens + 1) / 2; t++) {
            KVHK_UNROLL
            for (int h = 0; h < Width; h++) {
                pairs[t * Width + h] = (rounded[2 * t * Width + h] & 0xFFFF) | (int32_t)((uint32_t)rounded[(2 * t + 1) * Width + h] << 16);
            }
        }
    }

    template <int Width, int Rows, int Loads>
    KVHK_INLINE static void accumulate_tile(const kvhk_attend_tile& tile, int channel, const int32_t* pairs, const float* factors,
                                            const float* decay, float* const (&out)[Rows], row_prefetch& next) {
        i total[Rows][Loads][value_vectors];
        KVHK_UNROLL
        for (int h = 0; h < Rows; h++) {
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) {
                KVHK_UNROLL
                for (int v = 0; v < value_vectors; v++) total[h][l][v] = O::izero();
            }
        }
        const uint8_t* row = tile.values + channel;
        const auto add_pair = [&](int pair, const uint8_t* second) {
            i x[Loads][value_vectors];
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) O::widen_pairs(row + l * words, second + l * words, x[l]);
            KVHK_UNROLL
            for (int h = 0; h < Rows; h++) {
                const i weight = O::broadcast_pair(pairs + pair * Width + h);
                KVHK_UNROLL
                for (int l = 0; l < Loads; l++) {
                    KVHK_UNROLL
                    for (int v = 0; v < value_vectors; v++) total[h][l][v] = O::dot(total[h][l][v], x[l][v], weight);
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
            const f factor = O::set(factors[h]), scale = O::set(decay[h]);
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) {
                KVHK_UNROLL
                for (int v = 0; v < value_vectors; v++) {
                    const int c = channel + l * words + v * O::lanes;
                    f sum = O::mul(O::to_fp32(total[h][l][v]), factor);
                    if (tile.value_channel_scales != nullptr) sum = O::mul(sum, O::load(tile.value_channel_scales + c));
                    O::store(out[h] + c, O::fma(O::load(out[h] + c), scale, sum));
                }
            }
        }
    }

    template <int Width>
    static constexpr int tile_rows = least(Width, sums / value_vectors);
    template <int Width>
    static constexpr int tile_loads = most(1, sums / (tile_rows<Width> * value_vectors));

    template <int Width>
    static void accumulate(const kvhk_attend_tile& tile, const int32_t* pairs, const float* factors, const float* decay,
                           float* const (&out)[Width], int rows, row_prefetch& next) {
        constexpr int tile_h = tile_rows<Width>, loads = tile_loads<Width>;
        for (int h = 0; h < rows; h += tile_h) {
            float* tile_out[tile_h];
            KVHK_UNROLL
            for (int k = 0; k < tile_h; k++) tile_out[k] = out[h + k];
            int c = 0;
            for (; c + loads * words <= tile.value_dim; c += loads * words) {
                accumulate_tile<Width, tile_h, loads>(tile, c, pairs + h, factors + h, decay + h, tile_out, next);
            }
            if constexpr (loads > 1) {
                for (; c < tile.value_dim; c += words) {
                    accumulate_tile<Width, tile_h, 1>(tile, c, pairs + h, factors + h, decay + h, tile_out, next);
                }
            }
        }
    }

    // scratch: [scores][a row of zeros][arranged query]
    static void attend(const kvhk_attend_tile* given) {
        const kvhk_attend_tile& tile = *given;
        float* const all_scores = (float*)tile.scratch;
        float* const spare_row = all_scores + (int64_t)padded_rows(tile.rows) * KVHK_MOST_TOKENS;
        const uint8_t* query = tile.prepared;
        if (tile.key_channel_scales != nullptr) {
            uint8_t* const arranged =
                tile.scratch + round_up((int64_t)sizeof(float) * (padded_rows(tile.rows) * KVHK_MOST_TOKENS + tile.value_dim), 64);
            arrange(tile.query, tile.key_channel_scales, tile.rows, tile.key_dim, arranged);
            query = arranged;
        }
        int64_t steps = 0, value_steps = 0;
        for_each_group(tile.rows, [&](auto width, int, int rows) {
            constexpr int w = decltype(width)::value;
            steps += (tile.tokens * w + sums - 1) / sums;
            const int tiles = tile.value_dim / (words * tile_loads<w>)+tile.value_dim / words % tile_loads<w>;
            value_steps += (rows + tile_rows<w> - 1) / tile_rows<w> * tiles * ((tile.tokens + 3) / 4);
        });
        const bool shared = tile.next_values == tile.next_keys;
        row_prefetch next_keys(tile.next_keys, tile.key_stride, tile.key_dim, tile.next_tokens, steps);
        row_prefetch next_values(shared ? nullptr : tile.next_values, tile.value_stride, tile.value_dim, tile.next_tokens, value_steps);

        const uint8_t* q = query;
        float* scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int, int) {
            constexpr int w = decltype(width)::value;
            score<w>(tile, (const int16_t*)(q + 4 * row_factor_lanes), next_keys, scores);
            scores += w * KVHK_MOST_TOKENS;
            q += group_bytes(w, tile.key_dim);
        });
        for (int k = 0; k < tile.value_dim; k++) spare_row[k] = 0;
        q = query;
        scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int first, int rows) {
            constexpr int w = decltype(width)::value;
            float decay[w] = {}, factors[w];
            alignas(64) int32_t pairs[(KVHK_MOST_TOKENS + 1) / 2 * w];
            softmax<O, w>(row_group<w>{tile, first, rows, scores}, (const float*)q, 1.0f, decay);
            quantize<w>(scores, tile.tokens, pairs, factors);
            float* out[w];
            KVHK_UNROLL
            for (int h = 0; h < w; h++) out[h] = h < rows ? tile.output + (int64_t)(first + h) * tile.value_dim : spare_row;
            accumulate<w>(tile, pairs, factors, decay, out, rows, next_values);
            scores += w * KVHK_MOST_TOKENS;
            q += group_bytes(w, tile.key_dim);
        });
    }

    static int64_t prepared_bytes(const kvhk_attention_shape& shape) { return query_bytes(shape.rows, shape.key_dim); }

    static void prepare(const kvhk_attention_shape* shape, const float* query, uint8_t* prepared) {
        arrange(query, nullptr, shape->rows, shape->key_dim, prepared);
    }
};

}  // namespace
}  // namespace kvhk

#endif
