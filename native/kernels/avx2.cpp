#include "e4m3_rows.h"
#include "int8_rows.h"
#include "kernel_table.h"
#include "many_rows.h"
#include "targets.h"

namespace kvhk {

namespace {

using ops = avx2_ops;

template <template <class> class Element>
using few = few_rows<ops, Element<ops>>;

struct few_e4m3 : few<tiny_e4m3_element> {
    static void attend(const kvhk_attend_tile* tile) { e4m3_rows<ops>::attend(tile); }
};

template <template <class> class Element>
using many = many_rows<ops, Element>;

bool find_few(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel) {
    switch (shape.element) {
        case KVHK_FP32: return offer<few<fp32_element>>(shape, "avx2 fp32", kernel);
        case KVHK_FP16: return offer<few<fp16_element>>(shape, "avx2 fp16", kernel);
        case KVHK_BF16: return offer<few<bf16_element>>(shape, "avx2 bf16", kernel);
        case KVHK_FP8_E4M3: return offer<few_e4m3>(shape, "avx2 fp8-e4m3", kernel);
        case KVHK_FP8_E5M2: return offer<few<e5m2_element>>(shape, "avx2 fp8-e5m2", kernel);
        case KVHK_INT8:
            return offer<int8_rows<ops>>(shape, "avx2 int8", kernel) || offer<few<int8_element>>(shape, "avx2 int8 as fp32", kernel);
        default: return false;
    }
}

bool find_many(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel) {
    switch (shape.element) {
        case KVHK_FP32: return offer_unprepared<many<fp32_element>>(shape, "avx2 fp32 many", kernel);
        case KVHK_FP16: return offer_unprepared<many<fp16_element>>(shape, "avx2 fp16 many", kernel);
        case KVHK_BF16: return offer_unprepared<many<bf16_element>>(shape, "avx2 bf16 many", kernel);
        case KVHK_FP8_E4M3: return offer_unprepared<many<e4m3_element>>(shape, "avx2 fp8-e4m3 many", kernel);
        case KVHK_FP8_E5M2: return offer_unprepared<many<e5m2_element>>(shape, "avx2 fp8-e5m2 many", kernel);
        case KVHK_INT8: return offer_unprepared<many<int8_element>>(shape, "avx2 int8 many", kernel);
        default: return false;
    }
}

}  // namespace

bool find_avx2(const kvhk_attention_shape& shape, kvhk_attention_kernel& kernel) {
    return (shape.rows > most_few_rows && find_many(shape, kernel)) || find_few(shape, kernel);
}

}  // namespace kvhk
