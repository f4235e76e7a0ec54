// A step for few query rows: stored rows are widened in registers, once for up to eight query rows.
#ifndef KVHK_FEW_ROWS_H
#define KVHK_FEW_ROWS_H

#include "prefetch.h"
#include "row_groups.h"
#include "softmax.h"

namespace kvhk {
namespace {

template <class O, class E>
struct few_rows {
    using f = typename O::f;
    static constexpr int channels = load_channels<O, E>;

    static constexpr bool fits(int key_dim, int value_dim) { return key_dim % channels == 0 && value_dim % channels == 0; }

    // Width query rows times (sums / Width) tokens.
    template <int Width>
    KVHK_INLINE static void score_tile(const kvhk_attend_tile& tile, const float* query, int token, float* scores) {
        constexpr int tokens = O::sums / Width;
        const uint8_t* rows[tokens];
        KVHK_UNROLL
        for (int t = 0; t < tokens; t++) rows[t] = row_at(tile.keys, tile.key_stride, token + t, tile.tokens);
        f sums[O::sums];
        KVHK_UNROLL
        for (int i = 0; i < O::sums; i++) sums[i] = O::zero();
        const int64_t end = (int64_t)tile.key_dim * E::bytes;
        for (int64_t at = 0; at < end; at += channels * E::bytes, query += channels * Width) {
            f x[tokens][E::vectors];
            KVHK_UNROLL
            for (int t = 0; t < tokens; t++) E::load(rows[t] + at, x[t]);
            KVHK_UNROLL
            for (int v = 0; v < E::vectors; v++) {
                KVHK_UNROLL
                for (int h = 0; h < Width; h++) {
                    const f q = O::load(query + (v * Width + h) * O::lanes);
                    KVHK_UNROLL
                    for (int t = 0; t < tokens; t++) sums[t * Width + h] = O::fma(x[t][v], q, sums[t * Width + h]);
                }
            }
        }
        O::store_sums(scores + token * Width, sums);
    }

    template <int Width>
    static void score(const kvhk_attend_tile& tile, const float* query, row_prefetch& next, float* scores) {
        for (int t = 0; t < tile.tokens; t += O::sums / Width) {
            next.step();
            score_tile<Width>(tile, query, t, scores);
        }
    }

    // Rows times Loads loads of channels, over all tokens.
    template <int Width, int Rows, int Loads>
    KVHK_INLINE static void accumulate_tile(const kvhk_attend_tile& tile, int from, int to, int channel, const float* weights,
                                            const float* decay, float* const (&out)[Rows], row_prefetch& next) {
        constexpr float shrink = E::exponent == 0 ? 1.0f : 0x1p-40f, grow = E::exponent == 0 ? 1.0f : 0x1p40f;
        f sums[Rows][Loads][E::vectors];
        KVHK_UNROLL
        for (int h = 0; h < Rows; h++) {
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) {
                load_ordered<O>(out[h] + channel + l * channels, sums[h][l]);
                KVHK_UNROLL
                for (int v = 0; v < E::vectors; v++) {
                    const f start = O::mul(sums[h][l][v], O::set(decay[h] * shrink));
                    sums[h][l][v] = tile.value_channel_scales == nullptr ? start : O::zero();
                }
            }
        }
        const uint8_t* row = tile.values + (int64_t)channel * E::bytes + from * tile.value_stride;
        const auto add_token = [&](int t) {
            f x[Loads][E::vectors];
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) E::load(row + l * channels * E::bytes, x[l]);
            KVHK_UNROLL
            for (int h = 0; h < Rows; h++) {
                const f weight = O::broadcast(weights + t * Width + h);
                KVHK_UNROLL
                for (int l = 0; l < Loads; l++) {
                    KVHK_UNROLL
                    for (int v = 0; v < E::vectors; v++) sums[h][l][v] = O::fma(x[l][v], weight, sums[h][l][v]);
                }
            }
            row += tile.value_stride;
        };
        int t = from;
        for (; t + prefetch_tokens <= to; t += prefetch_tokens) {
            next.step();
            KVHK_UNROLL
            for (int i = 0; i < prefetch_tokens; i++) add_token(t + i);
        }
        for (; t < to; t++) add_token(t);
        KVHK_UNROLL
        for (int h = 0; h < Rows; h++) {
            KVHK_UNROLL
            for (int l = 0; l < Loads; l++) {
                const int c = channel + l * channels;
                f old[E::vectors], scales[E::vectors];
                if (tile.value_channel_scales != nullptr) {
                    load_ordered<O>(out[h] + c, old);
                    load_ordered<O>(tile.value_channel_scales + c, scales);
                }
                KVHK_UNROLL
                for (int v = 0; v < E::vectors; v++) {
                    if constexpr (E::exponent != 0) sums[h][l][v] = O::mul(sums[h][l][v], O::set(grow));
                    if (tile.value_channel_scales == nullptr) continue;
                    sums[h][l][v] = O::fma(sums[h][l][v], scales[v], O::mul(old[v], O::set(decay[h])));
                }
                store_ordered<O>(out[h] + c, sums[h][l]);
            }
        }
    }

    template <int Width>
    static constexpr int tile_rows = least(Width, E::heads);
    template <int Width>
    static constexpr int tile_loads = most(1, O::sums / (tile_rows<Width> * E::vectors));
    static constexpr int prefetch_tokens = 4;

    template <int Width>
    static void accumulate(const kvhk_attend_tile& tile, int from, int to, const float* weights, const float* decay,
                           float* const (&out)[Width], int rows, row_prefetch& next) {
        constexpr int tile_h = tile_rows<Width>, loads = tile_loads<Width>;
        // All rows of the query before the next channels: the values are still in the first-level cache.
        const auto add_channels = [&](auto count, int c) {
            for (int h = 0; h < rows; h += tile_h) {
                float* tile_out[tile_h];
                KVHK_UNROLL
                for (int i = 0; i < tile_h; i++) tile_out[i] = out[h + i];
                accumulate_tile<Width, tile_h, decltype(count)::value>(tile, from, to, c, weights + h, decay + h, tile_out, next);
            }
        };
        int c = 0;
        for (; c + loads * channels <= tile.value_dim; c += loads * channels) add_channels(width_constant<loads>(), c);
        if constexpr (loads > 1) {
            for (; c < tile.value_dim; c += channels) add_channels(width_constant<1>(), c);
        }
    }

    // Prefetching steps of accumulate.
    template <int Width>
    static int64_t value_steps(const kvhk_attend_tile& tile, int rows) {
        const int loads = tile.value_dim / channels, tiles = loads / tile_loads<Width> + loads % tile_loads<Width>;
        return (int64_t)((rows + tile_rows<Width> - 1) / tile_rows<Width>)*tiles * (tile.tokens / prefetch_tokens);
    }

    // Whether a value is infinite or NaN. Only tiles with masks ask: 0 times such a value is NaN.
    static bool any_not_finite(const kvhk_attend_tile& tile) {
        f zeros = O::zero();
        for (int t = 0; t < tile.tokens; t++) {
            const uint8_t* const row = tile.values + t * tile.value_stride;
            for (int c = 0; c < tile.value_dim; c += channels) {
                f x[E::vectors];
                E::load(row + (int64_t)c * E::bytes, x);
                KVHK_UNROLL
                for (int v = 0; v < E::vectors; v++) zeros = O::fma(x[v], O::zero(), zeros);
            }
        }
        return O::any_nan(zeros);
    }

    // Each row on its own, over the tokens that it sees.
    template <int Width>
    static void accumulate_seen(const kvhk_attend_tile& tile, int first, int rows, const float* weights, const float* decay,
                                row_prefetch& next) {
        for (int h = 0; h < rows; h++) {
            const int from = most(0, tile.visible_from[first + h]), to = least(tile.tokens, tile.visible_to[first + h]);
            float own[KVHK_MOST_TOKENS];
            for (int t = 0; t < tile.tokens; t++) own[t] = weights[t * Width + h];
            float* const out[1] = {tile.output + (int64_t)(first + h) * tile.value_dim};
            if (from < to) accumulate<1>(tile, from, to, own, decay + h, out, 1, next);
        }
    }

    // scratch: [scores][a row of zeros]
    static void attend_arranged(const kvhk_attend_tile& tile, const float* query, uint8_t* scratch) {
        constexpr float weight_factor = E::exponent == 0 ? 1.0f : 0x1p80f;
        float* const all_scores = (float*)scratch;
        float* const spare_row = all_scores + (int64_t)padded_rows(tile.rows) * KVHK_MOST_TOKENS;
        int64_t steps = 0, all_value_steps = 0;
        for_each_group(tile.rows, [&](auto width, int, int rows) {
            constexpr int w = decltype(width)::value;
            steps += (tile.tokens * w + O::sums - 1) / O::sums;
            all_value_steps += value_steps<w>(tile, rows);
        });
        row_prefetch next_keys(tile.next_keys, tile.key_stride, (int64_t)tile.key_dim * E::bytes, tile.next_tokens, steps);
        const bool shared = tile.next_values == tile.next_keys;
        row_prefetch next_values(shared ? nullptr : tile.next_values, tile.value_stride, (int64_t)tile.value_dim * E::bytes,
                                 tile.next_tokens, all_value_steps);

        float* scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int, int) {
            constexpr int w = decltype(width)::value;
            score<w>(tile, query + row_factor_lanes, next_keys, scores);
            scores += w * KVHK_MOST_TOKENS;
            query += arranged_query<O, E>::group_floats(w, tile.key_dim);
        });
        query -= arranged_query<O, E>::bytes(tile.rows, tile.key_dim) / (int64_t)sizeof(float);

        const bool alone = tile.visible_from != nullptr && any_not_finite(tile);
        for (int i = 0; i < tile.value_dim; i++) spare_row[i] = 0;
        scores = all_scores;
        for_each_group(tile.rows, [&](auto width, int first, int rows) {
            constexpr int w = decltype(width)::value;
            float decay[w] = {};
            softmax<O, w>(row_group<w>{tile, first, rows, scores}, query, weight_factor, decay);
            if (alone) {
                accumulate_seen<w>(tile, first, rows, scores, decay, next_values);
            } else {
                float* out[w];
                KVHK_UNROLL
                for (int h = 0; h < w; h++) out[h] = h < rows ? tile.output + (int64_t)(first + h) * tile.value_dim : spare_row;
                accumulate<w>(tile, 0, tile.tokens, scores, decay, out, rows, next_values);
            }
            scores += w * KVHK_MOST_TOKENS;
            query += arranged_query<O, E>::group_floats(w, tile.key_dim);
        });
    }

    static int64_t attend_scratch_bytes(const kvhk_attend_tile& tile) {
        return round_up((int64_t)sizeof(float) * (padded_rows(tile.rows) * KVHK_MOST_TOKENS + tile.value_dim), 64);
    }

    // As attend_arranged, with a query that is arranged here: channel scales change from tile to tile.
    static void attend_natural(const kvhk_attend_tile& tile, uint8_t* scratch) {
        float* const query = (float*)(scratch + attend_scratch_bytes(tile));
        arranged_query<O, E>::arrange(tile.query, tile.key_channel_scales, tile.rows, tile.key_dim, query);
        attend_arranged(tile, query, scratch);
    }

    static int64_t prepared_bytes(const kvhk_attention_shape& shape) { return arranged_query<O, E>::bytes(shape.rows, shape.key_dim); }

    static void prepare(const kvhk_attention_shape* shape, const float* query, uint8_t* prepared) {
        arranged_query<O, E>::arrange(query, nullptr, shape->rows, shape->key_dim, (float*)prepared);
    }

    static void attend(const kvhk_attend_tile* tile) {
        if (tile->key_channel_scales != nullptr) attend_natural(*tile, tile->scratch);
        else attend_arranged(*tile, (const float*)tile->prepared, tile->scratch);
    }
};

}  // namespace
}  // namespace kvhk

#endif
