// A seeded attention problem of a few tiles, its result in double precision, and how far a kernel may be off.
#ifndef KVHK_TILE_CASE_H
#define KVHK_TILE_CASE_H

#include "attention_kernels.h"

#include <cstdint>
#include <string>
#include <vector>

namespace kvhk_test {

enum class mask { none, causal, window, random, nothing };

struct problem {
    int element = KVHK_BF16;
    int weights = KVHK_WEIGHTS_FP32;
    int rows = 8, key_dim = 128, value_dim = 128;
    std::vector<int> tile_tokens = {64, 64, 17};
    mask visible = mask::none;
    float cap = 0;
    bool row_scales = false, channel_scales = false;
    bool shared_rows = false;    // MLA: the values are the head of the keys
    int stride_gap_bytes = 0;    // between rows
    int misalignment_bytes = 0;  // of the first row and of the scales
    float spread = 1;            // of the query; larger: a sharper softmax
    uint32_t seed = 1;
};

std::string describe(const problem& p);

// Memory that ends where a page without access begins, so that reading behind it stops the program.
class guarded_bytes {
public:
    guarded_bytes() = default;
    // As many bytes are left before the page as make the memory misaligned.
    explicit guarded_bytes(size_t bytes, size_t behind = 0);
    ~guarded_bytes();
    guarded_bytes(guarded_bytes&& other) noexcept;
    guarded_bytes& operator=(guarded_bytes&& other) noexcept;
    uint8_t* data() const { return data_; }

private:
    uint8_t *base_ = nullptr, *data_ = nullptr;
    size_t mapped_ = 0;
};

// One step's inputs, each behind its own guard page.
struct tile_input {
    int tokens;
    guarded_bytes keys, values, key_scales, value_scales, key_channel_scales, value_channel_scales;
    std::vector<int32_t> from, to;
};

struct state {
    std::vector<float> maximum, sum, output;
};

class tile_case {
public:
    explicit tile_case(const problem& p);

    // Runs all tiles on one kernel.
    state run(const kvhk_attention_kernel& kernel) const;

    // Fails the current test unless the state is as near to the exact one as fp32 arithmetic and the element type allow.
    void check(const state& s, const kvhk_attention_kernel& kernel) const;

    const problem p;
    std::vector<tile_input> tiles;
    std::vector<float> query;
    float logit_factor;

    uint8_t* key_row(int tile, int token) const;
    uint8_t* value_row(int tile, int token) const;
    bool sees(int tile, int row, int token) const;
    int64_t key_stride() const;
    int64_t value_stride() const;
};

int element_bytes(int element);
double decode(const uint8_t* row, int index, int element);
void encode(double x, uint8_t* row, int index, int element);
kvhk_attention_kernel kernel_for(int target, const problem& p);

}  // namespace kvhk_test

#endif
