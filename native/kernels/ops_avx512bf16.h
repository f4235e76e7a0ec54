// AVX-512 with dot products of BF16 pairs (vdpbf16ps) and of 16-bit words (vpdpwssd).
#ifndef KVHK_OPS_AVX512BF16_H
#define KVHK_OPS_AVX512BF16_H

#include "ops_avx512.h"

namespace kvhk {
namespace {

// Bytes of the BF16 numbers of all magnitudes of E4M3.
struct e4m3_byte_tables {
    uint8_t low[128], high[128];
};
constexpr e4m3_byte_tables make_e4m3_bytes() {
    e4m3_byte_tables tables = {};
    for (int code = 0; code < 128; code++) {
        const int exponent = code >> 3, mantissa = code & 7;
        int word = (exponent + 120) << 7 | mantissa << 4;
        if (exponent == 0) {
            // mantissa * 2^-9: its leading bit becomes the implicit one.
            const int leading = mantissa >= 4 ? 2 : mantissa >= 2 ? 1 : 0;
            word = mantissa == 0 ? 0 : (127 - 9 + leading) << 7 | (mantissa << (7 - leading) & 0x7F);
        }
        if (code == 127) word = 0x7FC0;
        tables.low[code] = (uint8_t)(word & 0xFF);
        tables.high[code] = (uint8_t)(word >> 8);
    }
    return tables;
}
constexpr e4m3_byte_tables e4m3_bytes = make_e4m3_bytes();

struct avx512bf16_ops : avx512_ops {
    KVHK_INLINE static i dot(i sum, i a, i b) { return _mm512_dpwssd_epi32(sum, a, b); }

    static constexpr int bf16_words = 32;
    KVHK_INLINE static i load_words(const uint8_t* p) { return _mm512_loadu_si512(p); }
    using avx512_ops::load_words;
    KVHK_INLINE static f dp(f sum, i a, i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
    KVHK_INLINE static f round_to_bf16(f x) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16));
    }

    // Pairs of words of two rows: in lane k of 128 bits, channels 8k to 8k + 3 and 8k + 4 to 8k + 7.
    KVHK_INLINE static void pair_words(i a, i b, i& low, i& high) {
        low = _mm512_unpacklo_epi16(a, b);
        high = _mm512_unpackhi_epi16(a, b);
    }
    KVHK_INLINE static void load_paired(const float* p, f (&x)[2]) {
        const f low = load(p), high = load(p + 16);
        x[0] = _mm512_permutex2var_ps(low, paired(), high);
        x[1] = _mm512_permutex2var_ps(low, _mm512_add_epi32(paired(), _mm512_set1_epi32(4)), high);
    }
    KVHK_INLINE static void store_paired(float* p, const f (&x)[2]) {
        const i first = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
        store(p, _mm512_permutex2var_ps(x[0], first, x[1]));
        store(p + 16, _mm512_permutex2var_ps(x[0], _mm512_add_epi32(first, _mm512_set1_epi32(8)), x[1]));
    }

    // Pairs of codes of two rows: in lane k of 128 bits, channels 16k to 16k + 7 and 16k + 8 to 16k + 15.
    KVHK_INLINE static void pair_codes(i a, i b, i& low, i& high) {
        low = _mm512_unpacklo_epi8(a, b);
        high = _mm512_unpackhi_epi8(a, b);
    }
    // Four vectors, each with four of the sixteen channels of every lane: a transposition of lanes, its own inverse.
    KVHK_INLINE static void transpose_lanes(f (&x)[4]) {
        const f a = _mm512_shuffle_f32x4(x[0], x[1], 0x44), b = _mm512_shuffle_f32x4(x[0], x[1], 0xEE);
        const f c = _mm512_shuffle_f32x4(x[2], x[3], 0x44), d = _mm512_shuffle_f32x4(x[2], x[3], 0xEE);
        x[0] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[1] = _mm512_shuffle_f32x4(a, c, 0xDD);
        x[2] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[3] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }

    // E4M3 to BF16 by tables of the upper and the lower byte of every magnitude: subnormals and NaN come out exact, which a mere
    // permutation of bits would not give here, since vdpbf16ps takes subnormal BF16 for 0.
    struct e4m3_table {
        i low[2], high[2];
        KVHK_INLINE e4m3_table() {
            for (int part = 0; part < 2; part++) {
                low[part] = _mm512_loadu_si512(e4m3_bytes.low + 64 * part);
                high[part] = _mm512_loadu_si512(e4m3_bytes.high + 64 * part);
            }
        }
        // In every lane of 128 bits the first eight codes, and the last eight.
        KVHK_INLINE void widen(i codes, i& first, i& last) const {
            const i lower = _mm512_permutex2var_epi8(low[0], codes, low[1]);
            // The table's upper bytes and the codes' signs: (table & 0x7F) | (codes & 0x80).
            const i upper =
                _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0x80), codes, _mm512_permutex2var_epi8(high[0], codes, high[1]), 0xCA);
            first = _mm512_unpacklo_epi8(lower, upper);
            last = _mm512_unpackhi_epi8(lower, upper);
        }
    };

private:
    KVHK_INLINE static i paired() { return _mm512_set_epi32(27, 26, 25, 24, 19, 18, 17, 16, 11, 10, 9, 8, 3, 2, 1, 0); }
};

}  // namespace
}  // namespace kvhk

#endif
