// Folding by carry-less multiplication (Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009): the twin of
// Crc32C.Folding.Vectorized.cs, bit for bit.
#include <immintrin.h>
#include <stdint.h>

namespace kvhk {

namespace {

// x^(8n + 31) and x^(8n - 33) modulo the polynomial, for n bytes: four vectors, and one.
const uint64_t past_four[2] = {0x6992CEA2, 0x0D3B6092}, past_one[2] = {0x3DA6D0CB, 0xBA4FC28E};

inline __m256i load(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

inline __m256i multipliers(const uint64_t* pair) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pair))); }

// Carries a value forward and joins it with what lies there.
inline __m256i fold(__m256i value, __m256i by, __m256i next) {
    return _mm256_xor_si256(_mm256_xor_si256(_mm256_clmulepi64_epi128(value, by, 0x00), _mm256_clmulepi64_epi128(value, by, 0x11)), next);
}

}  // namespace

uint32_t fold_crc32c(uint32_t state, const uint8_t* data, int64_t bytes, int64_t* taken) {
    const __m256i four = multipliers(past_four), one = multipliers(past_one);
    __m256i a = _mm256_xor_si256(load(data), _mm256_set_epi64x(0, 0, 0, state)), b = load(data + 32), c = load(data + 64), d = load(data + 96);
    int64_t i = 128;
    for (; i + 128 <= bytes; i += 128) {
        a = fold(a, four, load(data + i));
        b = fold(b, four, load(data + i + 32));
        c = fold(c, four, load(data + i + 64));
        d = fold(d, four, load(data + i + 96));
    }
    __m256i joined = fold(fold(fold(a, one, b), one, c), one, d);
    for (; i + 32 <= bytes; i += 32) joined = fold(joined, one, load(data + i));
    alignas(32) uint64_t words[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(words), joined);
    uint64_t reduced = 0;
    for (uint64_t word : words) reduced = _mm_crc32_u64(reduced, word);
    *taken = i;
    return static_cast<uint32_t>(reduced);
}

}  // namespace kvhk
