#include "targets.h"

namespace kvhk {

bool find_avx512bf16(const kvhk_attention_shape&, kvhk_attention_kernel&) { return false; }

}  // namespace kvhk
