#include "few_rows.h"
#include "kernel_table.h"
#include "ops_scalar.h"
#include "targets.h"

namespace kvhk {

namespace {

template <template <class> class Element>
using rows_of = few_rows<scalar_ops, Element<scalar_ops>>;

}  // namespace

bool find_scalar(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel) {
    switch (shape.element) {
        case KVHK_FP32: return offer<rows_of<fp32_element>>(shape, "scalar fp32", kernel);
        case KVHK_FP16: return offer<rows_of<fp16_element>>(shape, "scalar fp16", kernel);
        case KVHK_BF16: return offer<rows_of<bf16_element>>(shape, "scalar bf16", kernel);
        case KVHK_FP8_E4M3: return offer<rows_of<e4m3_element>>(shape, "scalar fp8-e4m3", kernel);
        case KVHK_FP8_E5M2: return offer<rows_of<e5m2_element>>(shape, "scalar fp8-e5m2", kernel);
        case KVHK_INT8: return offer<rows_of<int8_element>>(shape, "scalar int8", kernel);
        default: return false;
    }
}

}  // namespace kvhk
