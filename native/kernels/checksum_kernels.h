/* CRC-32C by carry-less multiplication on 256-bit vectors, for callers whose compiler has no such instruction. C99; internal to the project. */
#ifndef KVHK_CHECKSUM_KERNELS_H
#define KVHK_CHECKSUM_KERNELS_H

#include "attention_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fewest bytes that kvhk_crc32c_fold takes. */
#define KVHK_FOLD_BYTES 128

/* Advances the uninverted state over whole vectors of the data, at least KVHK_FOLD_BYTES of it, and says how many bytes it took. */
typedef uint32_t (*kvhk_crc32c_fold)(uint32_t state, const uint8_t* data, int64_t bytes, int64_t* taken);

/* Null where the processor lacks the instruction. */
KVHK_EXPORT kvhk_crc32c_fold kvhk_find_crc32c_fold(void);

#ifdef __cplusplus
}
#endif
#endif
