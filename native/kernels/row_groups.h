// How query rows are taken together, and how a query is laid out for that.
#ifndef KVHK_ROW_GROUPS_H
#define KVHK_ROW_GROUPS_H

#include "elements.h"

namespace kvhk {
namespace {

constexpr int most_group_rows = 8;

// More rows than this are worth a tile that is widened beforehand.
constexpr int most_few_rows = 16;

// Eight rows, then four, two, one; three rows fill a group of four, seven one of eight.
KVHK_INLINE constexpr int group_width(int rows_left) { return rows_left >= 7 ? 8 : rows_left >= 3 ? 4 : rows_left; }

KVHK_INLINE constexpr int padded_rows(int rows) {
    int padded = rows / most_group_rows * most_group_rows;
    for (int left = rows % most_group_rows; left > 0; left -= group_width(left)) padded += group_width(left);
    return padded;
}

// Calls body(width constant, first row, rows) for each group.
template <int Width>
struct width_constant {
    static constexpr int value = Width;
};

template <class Body>
KVHK_INLINE void for_each_group(int rows, Body body) {
    int first = 0;
    for (; first + 7 <= rows; first += 8) body(width_constant<8>(), first, least(8, rows - first));
    if (first + 3 <= rows) {
        body(width_constant<4>(), first, least(4, rows - first));
        first += 4;
    }
    if (first + 2 <= rows) {
        body(width_constant<2>(), first, 2);
        first += 2;
    }
    if (first < rows) body(width_constant<1>(), first, 1);
}

KVHK_INLINE float largest_magnitude(const float* x, int count) {
    float largest = 0;
    for (int i = 0; i < count; i++) {
        const float magnitude = __builtin_fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

KVHK_INLINE float power_of_two(int exponent) {
    union {
        uint32_t bits;
        float number;
    } power = {(uint32_t)(exponent + 127) << 23};
    return power.number;
}

KVHK_INLINE int exponent_of(float x) {
    union {
        float number;
        uint32_t bits;
    } value = {x};
    return (int)(value.bits >> 23 & 255) - 127;
}

// The address of a token's row; behind the last token it is the last row again.
KVHK_INLINE const uint8_t* row_at(const uint8_t* rows, int64_t stride, int token, int tokens) {
    return rows + stride * least(token, tokens - 1);
}

constexpr int row_factor_lanes = 16;

// Per group of rows: a factor for the dot products of each row (16 numbers), then [load][vector][row][lane]: what a tile reads
// together lies together, which spares bank conflicts of the first-level cache.
template <class O, class E>
struct arranged_query {
    static int64_t bytes(int rows, int dim) {
        int64_t groups = 0;
        for_each_group(rows, [&](auto, int, int) { groups++; });
        return (int64_t)sizeof(float) * (groups * row_factor_lanes + (int64_t)padded_rows(rows) * dim);
    }

    static constexpr int64_t group_floats(int width, int dim) { return row_factor_lanes + (int64_t)width * dim; }

    static void arrange(const float* query, const float* channel_scales, int rows, int dim, float* out) {
        for_each_group(rows, [&](auto width, int first, int count) {
            constexpr int w = decltype(width)::value;
            for (int h = 0; h < row_factor_lanes; h++) out[h] = 0;
            for (int h = 0; h < w; h++) {
                const float* const q = query + (int64_t)(first + h) * dim;
                float up = 1;
                if (h < count) {
                    // Where the stored values are tiny, the query grows so that products do not become subnormal.
                    const int grow = E::exponent == 0 ? 0 : most(0, least(E::exponent, 100 - exponent_of(largest_magnitude(q, dim))));
                    up = power_of_two(grow);
                    out[h] = power_of_two(E::exponent - grow);
                }
                float* at = out + row_factor_lanes + h * O::lanes;
                for (int d = 0; d < dim; d += load_channels<O, E>) {
                    typename O::f x[E::vectors], scales[E::vectors];
                    if (h < count) load_ordered<O>(q + d, x);
                    if (channel_scales != nullptr) load_ordered<O>(channel_scales + d, scales);
                    KVHK_UNROLL
                    for (int v = 0; v < E::vectors; v++, at += w * O::lanes) {
                        if (h >= count) x[v] = O::zero();
                        else if (channel_scales != nullptr) x[v] = O::mul(x[v], scales[v]);
                        O::store(at, O::mul(x[v], O::set(up)));
                    }
                }
            }
            out += group_floats(w, dim);
        });
    }
};

}  // namespace
}  // namespace kvhk

#endif
