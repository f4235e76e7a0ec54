// The baseline against a plain loop over doubles. It does not count as measured when it computes something else.
#include "torch_baseline.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

int failures = 0;

void check(bool holds, const std::string &what) {
    if (holds) return;
    std::printf("FAILED: %s\n", what.c_str());
    failures++;
}

uint16_t to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(uint16_t code) {
    uint32_t bits = static_cast<uint32_t>(code) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

std::vector<float> normal(std::mt19937 &random, size_t count) {
    std::normal_distribution<float> distribution;
    std::vector<float> numbers(count);
    for (float &x : numbers) x = distribution(random);
    return numbers;
}

std::vector<double> plain(const std::vector<float> &k, const std::vector<float> &v, const std::vector<float> &q, int kv_heads,
                          int q_heads, int dim, int tokens) {
    std::vector<double> out(static_cast<size_t>(q_heads) * dim);
    for (int head = 0; head < q_heads; head++) {
        size_t first = static_cast<size_t>(head / (q_heads / kv_heads)) * tokens * dim;
        double sum = 0;
        for (int t = 0; t < tokens; t++) {
            double dot = 0;
            for (int d = 0; d < dim; d++) dot += static_cast<double>(q[head * dim + d]) * k[first + static_cast<size_t>(t) * dim + d];
            double weight = std::exp(dot / std::sqrt(dim));
            sum += weight;
            for (int d = 0; d < dim; d++) out[head * dim + d] += weight * v[first + static_cast<size_t>(t) * dim + d];
        }
        for (int d = 0; d < dim; d++) out[head * dim + d] /= sum;
    }
    return out;
}

void compare(int kv_heads, int q_heads, int dim, int tokens, bool bf16, int form, int threads) {
    std::mt19937 random(static_cast<unsigned>(tokens));
    size_t rows = static_cast<size_t>(kv_heads) * tokens * dim;
    std::vector<float> k = normal(random, rows), v = normal(random, rows), q = normal(random, static_cast<size_t>(q_heads) * dim);
    std::vector<uint16_t> k16(rows), v16(rows);
    for (size_t i = 0; bf16 && i < rows; i++) {
        k[i] = from_bf16(k16[i] = to_bf16(k[i]));
        v[i] = from_bf16(v16[i] = to_bf16(v[i]));
    }
    std::vector<float> out(q.size(), NAN);
    const void *keys = k.data(), *values = v.data();
    if (bf16) {
        keys = k16.data();
        values = v16.data();
    }
    std::string what = std::to_string(q_heads) + "/" + std::to_string(kv_heads) + " heads, " + std::to_string(tokens) + " tokens, " +
                       (bf16 ? "bf16" : "fp32") + ", form " + std::to_string(form) + ", " + std::to_string(threads) + " threads";
    kvhb_torch *handle = kvhb_torch_create(keys, values, kv_heads, q_heads, dim, tokens, bf16, form, threads);
    check(handle != nullptr, what + ": " + kvhb_torch_error());
    // The second call finds the buffers of the first.
    for (int call = 0; call < 2; call++) check(kvhb_torch_attend(handle, q.data(), out.data()) == 0, what + ": " + kvhb_torch_error());
    kvhb_torch_destroy(handle);
    std::vector<double> expected = plain(k, v, q, kv_heads, q_heads, dim, tokens);
    // Outside tiles, query, logits and weights have 8 bits in BF16: logits up to 5 are off by 1/64, weights by 2 %, outputs of one heavy token by as much.
    double tolerance = bf16 && form != KVHB_FORM_TILES ? 0.05 : 1e-5, largest = 0;
    for (size_t i = 0; i < out.size(); i++) {
        double difference = std::fabs(out[i] - expected[i]);
        largest = std::isnan(difference) ? INFINITY : std::fmax(largest, difference);
    }
    check(largest <= tolerance, what + ": off by " + std::to_string(largest) + "; allowed: " + std::to_string(tolerance));
    std::printf("%s: off by %.3g\n", what.c_str(), largest);
}

}  // namespace

int main() {
    std::printf("%s\n", kvhb_torch_version());
    check(kvhb_torch_abi_version() == KVHB_ABI_VERSION, "the library is of another version than its header");
    for (bool bf16 : {false, true}) {
        for (int form = 0; form < KVHB_FORMS; form++) {
            for (int tokens : {1, 63, 1300}) compare(8, 64, 128, tokens, bf16, form, 1);
            compare(4, 4, 64, 300, bf16, form, 2);
            compare(8, 64, 128, 1300, bf16, form, 3);
            compare(1, 8, 80, 300, bf16, form, 1);
        }
    }
    // Handles with different numbers of threads beside each other.
    float rows[4] = {0, 0, 0, 0};
    float results[2] = {NAN, NAN}, more[4] = {2, 4, 6, 8};
    kvhb_torch *two = kvhb_torch_create(rows, more, 2, 2, 1, 2, 0, KVHB_FORM_TILES, 2);
    kvhb_torch *one = kvhb_torch_create(rows, more, 2, 2, 1, 2, 0, KVHB_FORM_TILES, 1);
    for (kvhb_torch *handle : {two, one, two}) {
        results[0] = results[1] = NAN;
        check(kvhb_torch_attend(handle, rows, results) == 0 && results[0] == 3 && results[1] == 7, "handles of one and two threads disturb each other");
    }
    kvhb_torch_destroy(one);
    kvhb_torch_destroy(two);
    check(kvhb_torch_create(rows, rows, 2, 3, 1, 1, 0, 0, 1) == nullptr, "3 query heads for 2 kv heads were taken");
    check(std::strstr(kvhb_torch_error(), "q_heads is 3") != nullptr, std::string("the error does not name the argument: ") + kvhb_torch_error());
    check(kvhb_torch_create(nullptr, rows, 1, 1, 1, 1, 0, 0, 1) == nullptr, "null was taken");
    check(kvhb_torch_create(rows, rows, 1, 1, 1, 1, 0, 3, 1) == nullptr, "form 3 was taken");
    float out = NAN, four[4] = {1, 2, 3, 4};
    check(kvhb_torch_decode(rows, four, rows, &out, 1, 1, 1, 4, 0, 1) == 0 && out == 2.5f, "equal weights do not give the average");
    check(kvhb_torch_attend(nullptr, rows, rows) == -1, "a null handle was taken");
    return failures == 0 ? 0 : 1;
}
