#include "dp_many_rows.h"
#include "dp_rows.h"
#include "int8_rows.h"
#include "kernel_table.h"
#include "ops_avx512bf16.h"
#include "targets.h"

namespace kvhk {

namespace {

using ops = avx512bf16_ops;

using bf16_dp = dp_rows<ops, bf16_words<ops>, bf16_element<ops>, false>;
using bf16_dp_exact = dp_rows<ops, bf16_words<ops>, bf16_element<ops>, true>;
using e4m3_dp = dp_rows<ops, e4m3_words<ops>, e4m3_element<ops>, false>;

}  // namespace

// FP16 and FP32 have no better kernel than that of AVX-512.
bool find_avx512bf16(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel) {
    const bool rounded = shape.weights == KVHK_WEIGHTS_BF16;
    if (shape.rows > most_few_rows) {
        if (!rounded) return false;
        switch (shape.element) {
            case KVHK_BF16: return offer<dp_many_rows<ops, bf16_element>>(shape, "avx512bf16 bf16 dp many", kernel);
            case KVHK_FP8_E4M3: return offer<dp_many_rows<ops, e4m3_element>>(shape, "avx512bf16 fp8-e4m3 dp many", kernel);
            case KVHK_FP8_E5M2: return offer<dp_many_rows<ops, e5m2_element>>(shape, "avx512bf16 fp8-e5m2 dp many", kernel);
            default: return false;
        }
    }
    switch (shape.element) {
        case KVHK_BF16:
            return rounded ? offer<bf16_dp>(shape, "avx512bf16 bf16 dp", kernel)
                           : offer<bf16_dp_exact>(shape, "avx512bf16 bf16 dp, fp32 weights", kernel);
        case KVHK_FP8_E4M3: return rounded && offer<e4m3_dp>(shape, "avx512bf16 fp8-e4m3 dp", kernel);
        case KVHK_INT8: return offer<int8_rows<ops>>(shape, "avx512bf16 int8", kernel);
        default: return false;
    }
}

}  // namespace kvhk
