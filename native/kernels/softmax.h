// One step of the running softmax for a group of query rows.
#ifndef KVHK_SOFTMAX_H
#define KVHK_SOFTMAX_H

#include "attention_kernels.h"
#include "exponential.h"
#include "ops.h"

namespace kvhk {
namespace {

// Scores and weights of Width query rows: [token][row], so that neither maximum nor sum needs an operation across lanes until the
// end. Rows of the group beyond `rows` are there to fill vectors, and are ignored.
template <int Width>
struct row_group {
    const kvhk_attend_tile& tile;
    int first, rows;
    float* scores;  // [round_up(tokens, lanes)][Width]
};

template <class O, int Width>
constexpr int pattern_vectors = most(1, Width / O::lanes);

// Repeats one number per row until whole vectors are full.
template <class O, int Width>
KVHK_INLINE void load_pattern(const float* numbers, int rows, typename O::f (&pattern)[pattern_vectors<O, Width>]) {
    alignas(64) float lanes[most(Width, O::lanes)];
    for (int i = 0; i < most(Width, O::lanes); i++) lanes[i] = i % Width < rows ? numbers[i % Width] : 0;
    KVHK_UNROLL
    for (int i = 0; i < pattern_vectors<O, Width>; i++) pattern[i] = O::load(lanes + i * O::lanes);
}

// Folds vector v and the lanes of equal rows, v and v + n/2 first, so that the order is the same whatever the width.
template <class O, int Width, int Vectors, class Join>
KVHK_INLINE void fold(typename O::f (&x)[Vectors], Join join) {
    constexpr int period = pattern_vectors<O, Width>;
    for (int n = Vectors; n > period; n /= 2) {
        for (int i = 0; i < n / 2; i++) x[i] = join(x[i], x[i + n / 2]);
    }
    KVHK_UNROLL
    for (int i = 0; i < period; i++) {
        if constexpr (O::lanes >= 16 && Width <= 8) x[i] = join(x[i], O::template swap<8>(x[i]));
        if constexpr (O::lanes >= 8 && Width <= 4) x[i] = join(x[i], O::template swap<4>(x[i]));
        if constexpr (O::lanes >= 4 && Width <= 2) x[i] = join(x[i], O::template swap<2>(x[i]));
        if constexpr (O::lanes >= 2 && Width <= 1) x[i] = join(x[i], O::template swap<1>(x[i]));
    }
}

// Writes a number where a row does not see the token, and behind the last token.
template <class O, int Width>
KVHK_INLINE void fill_unseen(const row_group<Width>& group, float number) {
    const kvhk_attend_tile& tile = group.tile;
    const int padded = (int)round_up(tile.tokens, O::lanes);
    for (int i = tile.tokens * Width; i < padded * Width; i++) group.scores[i] = number;
    if (tile.visible_from == nullptr) return;
    for (int h = 0; h < group.rows; h++) {
        const int from = tile.visible_from[group.first + h], to = tile.visible_to[group.first + h];
        for (int t = 0; t < tile.tokens; t++) {
            if (t < from || t >= to) group.scores[t * Width + h] = number;
        }
    }
}

// [token][row] from one number per token.
template <int Width>
KVHK_INLINE void spread(const float* numbers, int tokens, float factor, float* out) {
    for (int t = 0; t < tokens; t++) {
        float number;
        __builtin_memcpy(&number, numbers + t, sizeof number);  // not aligned
        number *= factor;
        KVHK_UNROLL
        for (int h = 0; h < Width; h++) out[t * Width + h] = number;
    }
}

// Dot products in, weights out: 2^(s - m') * value scale * weight_factor. decay[row] is what earlier sums are multiplied by.
// Rounded: the weights are BF16, and their sum is that of what they were rounded to.
template <class O, int Width, bool Rounded = false>
__attribute__((noinline)) void softmax(const row_group<Width>& group, const float* row_factors, float weight_factor, float* decay) {
    using f = typename O::f;
    constexpr int period = pattern_vectors<O, Width>, lanes = O::lanes;
    const kvhk_attend_tile& tile = group.tile;
    float* const s = group.scores;
    const int vectors = (int)round_up(tile.tokens, lanes) * Width / lanes;  // a multiple of Width
    alignas(64) float factors[KVHK_MOST_TOKENS * Width];

    f row_factor[period];
    load_pattern<O, Width>(row_factors, group.rows, row_factor);
    if (tile.key_scales != nullptr) {
        for (int i = tile.tokens * Width; i < vectors * lanes; i++) factors[i] = 0;
        spread<Width>(tile.key_scales, tile.tokens, tile.logit_factor, factors);
        for (int v = 0; v < vectors; v++) {
            O::store(s + v * lanes, O::mul(O::mul(O::load(s + v * lanes), row_factor[v % period]), O::load(factors + v * lanes)));
        }
    } else {
        const f factor = O::set(tile.logit_factor);
        for (int v = 0; v < vectors; v++) {
            O::store(s + v * lanes, O::mul(O::mul(O::load(s + v * lanes), row_factor[v % period]), factor));
        }
    }
    if (tile.cap != 0) {
        const f cap = O::set(tile.cap);
        for (int v = 0; v < vectors; v++) O::store(s + v * lanes, O::mul(cap, hyperbolic_tangent<O>(O::div(O::load(s + v * lanes), cap))));
    }
    fill_unseen<O, Width>(group, minus_infinity);

    f largest[period], old[period], reference[period], scale[period];
    load_pattern<O, Width>(tile.maximum + group.first, group.rows, old);
    KVHK_UNROLL
    for (int i = 0; i < period; i++) largest[i] = O::set(minus_infinity);
    for (int v = 0; v < vectors; v += period) {
        KVHK_UNROLL
        for (int i = 0; i < period; i++) largest[i] = O::max(largest[i], O::load(s + (v + i) * lanes));
    }
    fold<O, Width>(largest, [](f a, f b) { return O::max(a, b); });
    alignas(64) float numbers[most(Width, lanes)];
    KVHK_UNROLL
    for (int i = 0; i < period; i++) {
        largest[i] = O::max(largest[i], old[i]);
        O::store(numbers + i * lanes, largest[i]);
        // Only minus infinity so far: any finite reference makes all weights zero.
        const f lowest = O::set(-3.402823466e38f);
        reference[i] = O::select_less(largest[i], lowest, O::zero(), largest[i]);
        scale[i] = power_of_2<O>(O::sub(old[i], reference[i]));
    }
    for (int h = 0; h < group.rows; h++) tile.maximum[group.first + h] = numbers[h];
    KVHK_UNROLL
    for (int i = 0; i < period; i++) O::store(numbers + i * lanes, scale[i]);
    for (int h = 0; h < group.rows; h++) decay[h] = numbers[h];

    f total[Width];
    KVHK_UNROLL
    for (int i = 0; i < Width; i++) total[i] = O::zero();
    const bool scaled = tile.value_scales != nullptr;
    if (scaled) {
        for (int i = tile.tokens * Width; i < vectors * lanes; i++) factors[i] = 0;
        spread<Width>(tile.value_scales, tile.tokens, weight_factor, factors);
    }
    const f factor = O::set(weight_factor);
    for (int v = 0; v < vectors; v += Width) {
        KVHK_UNROLL
        for (int i = 0; i < Width; i++) {
            float* const at = s + (v + i) * lanes;
            f weight = power_of_2<O>(O::sub(O::load(at), reference[i % period]));
            // With scales the roundings are those of weight times scale, which no sum of weights can follow.
            if constexpr (Rounded) weight = scaled ? weight : O::round_to_bf16(weight);
            total[i] = O::add(total[i], weight);
            O::store(at, O::mul(weight, scaled ? O::load(factors + (v + i) * lanes) : factor));
        }
    }
    // A scale of an unseen token may be anything.
    if (scaled) fill_unseen<O, Width>(group, 0);
    fold<O, Width>(total, [](f a, f b) { return O::add(a, b); });
    KVHK_UNROLL
    for (int i = 0; i < period; i++) O::store(numbers + i * lanes, total[i]);
    for (int h = 0; h < group.rows; h++) tile.sum[group.first + h] = tile.sum[group.first + h] * decay[h] + numbers[h];
}

}  // namespace
}  // namespace kvhk

#endif
