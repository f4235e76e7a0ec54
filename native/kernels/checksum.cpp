// Which checksum kernel runs here.
#include "checksum_kernels.h"
#include "cpu_features.h"

namespace kvhk {
uint32_t fold_crc32c(uint32_t state, const uint8_t* data, int64_t bytes, int64_t* taken);
}

kvhk_crc32c_fold kvhk_find_crc32c_fold(void) {
#if defined(__x86_64__)
    if (kvhk::detect_cpu_features().vpclmulqdq) return kvhk::fold_crc32c;
#endif
    return nullptr;
}
