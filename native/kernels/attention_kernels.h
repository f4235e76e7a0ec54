/* The border between the native attention kernels and whoever binds them. C99; internal to the project: both sides are built together,
 * and kvhk_abi_version tells them apart when they are not. Thread-safe: no function keeps state between calls. */
#ifndef KVHK_ATTENTION_KERNELS_H
#define KVHK_ATTENTION_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KVHK_EXPORT __attribute__((visibility("default")))
#else
#define KVHK_EXPORT
#endif

#define KVHK_ABI_VERSION 1
#define KVHK_MOST_TOKENS 64

/* Values of KvHandoff.Numerics.ElementType. */
enum { KVHK_FP32 = 1, KVHK_FP16 = 2, KVHK_BF16 = 3, KVHK_FP8_E4M3 = 4, KVHK_FP8_E5M2 = 5, KVHK_INT8 = 6 };

/* Precision of the softmax weights where they meet the values. */
enum { KVHK_WEIGHTS_FP32 = 0, KVHK_WEIGHTS_BF16 = 1 };

/* One step of attention: up to KVHK_MOST_TOKENS stored rows of one kv head against the query rows that share the head.
 * For every query row r and visible token t, in units of ln 2:
 *   s = logit_factor * key_scales[t] * sum_d(q[d] * k[d] * key_channel_scales[d]);  s = cap * tanh(s / cap) where cap != 0;
 *   m' = max(m, s);  sum = sum * 2^(m - m') + sum_t 2^(s - m');
 *   output[d] = output[d] * 2^(m - m') + sum_t 2^(s - m') * value_scales[t] * v[d] * value_channel_scales[d].
 * A row without a visible token keeps its state. No byte behind the last row is read; a NaN among what is read comes out as NaN. */
typedef struct kvhk_attend_tile {
    const uint8_t *keys, *values;                           /* first stored rows; not aligned; MLA: the same address */
    int64_t key_stride, value_stride;                       /* bytes between rows */
    const uint8_t *next_keys, *next_values;                 /* rows of the next step, to be prefetched; null at the end */
    const float *key_scales, *value_scales;                 /* per token, or null for 1; not aligned */
    const float *key_channel_scales, *value_channel_scales; /* per channel, or null for 1; not aligned */
    const float* query;                                     /* [rows][key_dim], unscaled; 64-byte aligned at row 0 */
    const uint8_t* prepared;                                /* what prepare() made of the query, 64-byte aligned */
    const int32_t *visible_from, *visible_to;               /* [rows]: the tokens [from, to) of the tile are seen; both null: all */
    float *maximum, *sum;                                   /* [rows]; minus infinity and 0 at first */
    float* output;                                          /* [rows][value_dim], 0 at first; 64-byte aligned at row 0 */
    uint8_t* scratch;                                       /* kvhk_scratch_bytes(), 64-byte aligned */
    int32_t rows, key_dim, value_dim, tokens, next_tokens;
    float logit_factor, cap;
} kvhk_attend_tile;

typedef struct kvhk_attention_shape {
    int32_t element; /* KVHK_FP32 ... */
    int32_t weights; /* KVHK_WEIGHTS_... */
    int32_t rows, key_dim, value_dim;
} kvhk_attention_shape;

typedef struct kvhk_attention_kernel {
    int64_t prepared_bytes;                                                                    /* 0: prepare is null and not called */
    void (*prepare)(const kvhk_attention_shape* shape, const float* query, uint8_t* prepared); /* once per query */
    void (*attend)(const kvhk_attend_tile* tile);
    const char* name; /* such as "avx512bf16 bf16", static */
} kvhk_attention_kernel;

KVHK_EXPORT int32_t kvhk_abi_version(void);

/* Targets that were compiled in, ascending: "scalar", "avx2", "avx512", "avx512bf16". */
KVHK_EXPORT int32_t kvhk_target_count(void);
KVHK_EXPORT const char* kvhk_target_name(int32_t target);
/* Whether this processor and system can run a target. */
KVHK_EXPORT int32_t kvhk_target_supported(int32_t target);
/* The best supported target, or the one that KVHANDOFF_KERNELS names; -1 when it names none that is supported. */
KVHK_EXPORT int32_t kvhk_chosen_target(void);
/* 0 and the kernel, or 1 when the target has none for the shape. */
KVHK_EXPORT int32_t kvhk_find_attention_kernel(int32_t target, const kvhk_attention_shape* shape, kvhk_attention_kernel* kernel);

static inline int64_t kvhk_scratch_bytes(int64_t rows, int64_t key_dim, int64_t value_dim) {
    return 4096 + rows * 1024 + 4 * rows * (key_dim + value_dim) + 4 * (KVHK_MOST_TOKENS + 16) * (key_dim + value_dim + 32);
}

#ifdef __cplusplus
}
#endif
#endif
