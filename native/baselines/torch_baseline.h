/* Decode attention by libtorch, for the benchmark to be compared with: product, softmax, product over one head-major copy of the cache.
 * C99. The benchmark loads the library at run time from the path in KVHANDOFF_TORCH_BASELINE.
 *
 * bf16 = 0: k and v are fp32; bf16 = 1: they are bfloat16, the upper half of an fp32.
 * Functions that return int return 0, or -1 after an error that kvhb_torch_error names. Not thread-safe: one thread at a time. */
#ifndef KVHB_TORCH_BASELINE_H
#define KVHB_TORCH_BASELINE_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KVHB_EXPORT __attribute__((visibility("default")))
#else
#define KVHB_EXPORT
#endif

#define KVHB_ABI_VERSION 1

/* How libtorch is asked. Which is fastest depends on the CPU, the version and the BLAS; a fair comparison takes the best of them.
 * BMM: bmm, softmax, bmm in the type of the rows. Without bfloat16 instructions libtorch multiplies bfloat16 one by one.
 * TRANSPOSED_KEYS: the same with the keys copied once, by create, to [kv_heads][dim][tokens].
 * TILES: 512 tokens at a time, bfloat16 rows first widened into an fp32 tile that stays in the cache; fp32 products and softmax. */
enum { KVHB_FORM_BMM = 0, KVHB_FORM_TRANSPOSED_KEYS = 1, KVHB_FORM_TILES = 2, KVHB_FORMS = 3 };

typedef struct kvhb_torch kvhb_torch;

KVHB_EXPORT int kvhb_torch_abi_version(void);

/* Version of libtorch and of the BLAS behind it, such as "libtorch 1.13.0, OpenBLAS 0.3.21". Static. */
KVHB_EXPORT const char *kvhb_torch_version(void);

/* What the last call that failed ran into. Valid until the next call. */
KVHB_EXPORT const char *kvhb_torch_error(void);

/* Makes tensors over k and v, both [kv_heads][tokens][dim], which are not copied: they must outlive the handle. q_heads is a multiple
 * of kv_heads; threads, 1 or more, split the kv heads. Null after an error. */
KVHB_EXPORT kvhb_torch *kvhb_torch_create(const void *k, const void *v, int kv_heads, int q_heads, int dim, int tokens,
                                          int bf16, int form, int threads);

/* The part to be timed. q and out: [q_heads][dim], fp32; the softmax scale is 1 / sqrt(dim). Allocates nothing large: logits and
 * weights were made by create. */
KVHB_EXPORT int kvhb_torch_attend(kvhb_torch *handle, const float *q, float *out);

KVHB_EXPORT void kvhb_torch_destroy(kvhb_torch *handle);

/* create with KVHB_FORM_BMM, attend and destroy in one, for a single result. */
KVHB_EXPORT int kvhb_torch_decode(const void *k, const void *v, const float *q, float *out, int kv_heads, int q_heads, int dim,
                                  int tokens, int bf16, int threads);

#ifdef __cplusplus
}
#endif
#endif
