// FP8 E4M3 for few query rows. Bits are shifted to their places in fp32, which leaves the values 2^120 too small and NaN codes as
// numbers; the factor goes into the query and the weights, and a tile with NaN codes is widened to fp32 first.
#ifndef KVHK_E4M3_ROWS_H
#define KVHK_E4M3_ROWS_H

#include "few_rows.h"

namespace kvhk {
namespace {

template <class O>
struct e4m3_rows {
    using fast = few_rows<O, tiny_e4m3_element<O>>;
    using exact = few_rows<O, fp32_element<O>>;

    static bool any_nan(const uint8_t* rows, int64_t stride, int dim, int tokens) {
        typename O::e4m3_check check;
        bool found = false;
        for (int t = 0; t < tokens; t++, rows += stride) {
            int d = 0;
            for (; d + O::e4m3_check::bytes <= dim; d += O::e4m3_check::bytes) check.take(rows + d);
            for (; d < dim; d++) found |= (rows[d] & 0x7F) == 0x7F;
        }
        return found || check.found();
    }

    static void widen(const uint8_t* rows, int64_t stride, int dim, int tokens, float* out) {
        for (int t = 0; t < tokens; t++, rows += stride, out += dim) {
            for (int d = 0; d < dim; d += O::lanes) {
                typename O::f x[1];
                O::load_e4m3(rows + d, x);
                O::store(out + d, x[0]);
            }
        }
    }

    static __attribute__((noinline)) void attend_widened(const kvhk_attend_tile& tile) {
        kvhk_attend_tile wide = tile;
        float* const keys = (float*)tile.scratch;
        float* const values = keys + (int64_t)tile.tokens * tile.key_dim;
        uint8_t* const rest = (uint8_t*)(values + (int64_t)tile.tokens * tile.value_dim);
        widen(tile.keys, tile.key_stride, tile.key_dim, tile.tokens, keys);
        widen(tile.values, tile.value_stride, tile.value_dim, tile.tokens, values);
        wide.keys = (const uint8_t*)keys;
        wide.values = (const uint8_t*)values;
        wide.key_stride = (int64_t)sizeof(float) * tile.key_dim;
        wide.value_stride = (int64_t)sizeof(float) * tile.value_dim;
        wide.next_keys = wide.next_values = nullptr;
        exact::attend_natural(wide, (uint8_t*)round_up((int64_t)rest, 64));
    }

    static void attend(const kvhk_attend_tile* tile) {
        const bool latent = tile->values == tile->keys && tile->value_stride == tile->key_stride && tile->value_dim <= tile->key_dim;
        const bool nan = any_nan(tile->keys, tile->key_stride, tile->key_dim, tile->tokens) ||
                         (!latent && any_nan(tile->values, tile->value_stride, tile->value_dim, tile->tokens));
        if (nan) attend_widened(*tile);
        else fast::attend(tile);
    }
};

}  // namespace
}  // namespace kvhk

#endif
