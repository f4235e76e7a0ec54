#include "tile_case.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>
#include <utility>

namespace kvhk_test {

namespace {

// Unit roundoffs.
constexpr double u_fp32 = 0x1p-24, u_bf16 = 0x1p-9;

double fp16_value(int code) {
    const int exponent = code >> 10 & 31, mantissa = code & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    return code & 0x8000 ? -magnitude : magnitude;
}

double e4m3_value(int code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double magnitude = (code & 127) == 127 ? NAN : exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    return code & 0x80 ? -magnitude : magnitude;
}

// The code of the nearest finite value.
template <class Value>
int nearest(double x, int codes, Value value) {
    int best = 0;
    for (int c = 1; c < codes; c++) {
        if (std::isfinite(value(c)) && std::abs(value(c) - x) < std::abs(value(best) - x)) best = c;
    }
    return best;
}

size_t page() { return (size_t)sysconf(_SC_PAGESIZE); }

}  // namespace

guarded_bytes::guarded_bytes(size_t bytes, size_t behind) {
    const size_t inside = (bytes + behind + page() - 1) / page() * page();
    mapped_ = inside + page();
    base_ = (uint8_t*)mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(base_ + inside, page(), PROT_NONE);
    data_ = base_ + inside - bytes - behind;
}

guarded_bytes::~guarded_bytes() {
    if (base_ != nullptr) munmap(base_, mapped_);
}

guarded_bytes::guarded_bytes(guarded_bytes&& other) noexcept { *this = std::move(other); }

guarded_bytes& guarded_bytes::operator=(guarded_bytes&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
    return *this;
}

int element_bytes(int element) { return element == KVHK_FP32 ? 4 : element == KVHK_FP16 || element == KVHK_BF16 ? 2 : 1; }

double decode(const uint8_t* row, int index, int element) {
    uint16_t half;
    float single;
    switch (element) {
        case KVHK_FP32: std::memcpy(&single, row + 4 * index, 4); return single;
        case KVHK_FP16: std::memcpy(&half, row + 2 * index, 2); return fp16_value(half);
        case KVHK_BF16: {
            std::memcpy(&half, row + 2 * index, 2);
            const uint32_t bits = (uint32_t)half << 16;
            std::memcpy(&single, &bits, 4);
            return single;
        }
        case KVHK_FP8_E4M3: return e4m3_value(row[index]);
        case KVHK_FP8_E5M2: return fp16_value(row[index] << 8);
        default: return (int8_t)row[index];
    }
}

void encode(double x, uint8_t* row, int index, int element) {
    const float single = (float)x;
    uint32_t bits;
    uint16_t half;
    std::memcpy(&bits, &single, 4);
    switch (element) {
        case KVHK_FP32: std::memcpy(row + 4 * index, &single, 4); break;
        case KVHK_FP16: {
            // Truncated: any value will do. Small ones become subnormal, of which there should be some.
            const double magnitude = std::min(std::abs(x), 65504.0);
            int exponent;
            std::frexp(magnitude, &exponent);
            const int step = std::max(exponent - 11, -24);
            const int units = (int)std::ldexp(magnitude, -step);
            half = (uint16_t)(units < 1024 ? units : ((step + 25) << 10) + (units - 1024));
            half |= x < 0 ? 0x8000 : 0;
            std::memcpy(row + 2 * index, &half, 2);
            break;
        }
        case KVHK_BF16:
            half = (uint16_t)(bits >> 16);
            std::memcpy(row + 2 * index, &half, 2);
            break;
        case KVHK_FP8_E4M3: row[index] = (uint8_t)nearest(x, 256, e4m3_value); break;
        case KVHK_FP8_E5M2: row[index] = (uint8_t)nearest(x, 256, [](int c) { return fp16_value(c << 8); }); break;
        default: row[index] = (uint8_t)(int8_t)std::lround(std::max(-128.0, std::min(127.0, x * 40))); break;
    }
}

std::string describe(const problem& p) {
    static const char* const elements[] = {"", "fp32", "fp16", "bf16", "e4m3", "e5m2", "int8"};
    static const char* const masks[] = {"all seen", "causal", "window", "random mask", "nothing seen"};
    std::string text = std::string(elements[p.element]) + (p.weights ? " bf16 weights" : "") + " rows " + std::to_string(p.rows) +
                       " dims " + std::to_string(p.key_dim) + "/" + std::to_string(p.value_dim) + " tokens";
    for (int t : p.tile_tokens) text += " " + std::to_string(t);
    text += std::string(" ") + masks[(int)p.visible];
    if (p.cap != 0) text += " cap " + std::to_string(p.cap);
    if (p.row_scales) text += " row scales";
    if (p.channel_scales) text += " channel scales";
    if (p.shared_rows) text += " shared rows";
    return text + " gap " + std::to_string(p.stride_gap_bytes) + " misalignment " + std::to_string(p.misalignment_bytes) + " seed " +
           std::to_string(p.seed);
}

kvhk_attention_kernel kernel_for(int target, const problem& p) {
    const kvhk_attention_shape shape = {p.element, p.weights, p.rows, p.key_dim, p.value_dim};
    kvhk_attention_kernel kernel;
    EXPECT_EQ(kvhk_find_attention_kernel(target, &shape, &kernel), 0) << describe(p);
    return kernel;
}

int64_t tile_case::key_stride() const { return (int64_t)p.key_dim * element_bytes(p.element) + p.stride_gap_bytes; }

int64_t tile_case::value_stride() const {
    return p.shared_rows ? key_stride() : (int64_t)p.value_dim * element_bytes(p.element) + p.stride_gap_bytes;
}

uint8_t* tile_case::key_row(int tile, int token) const { return tiles[tile].keys.data() + token * key_stride(); }

uint8_t* tile_case::value_row(int tile, int token) const {
    return p.shared_rows ? key_row(tile, token) : tiles[tile].values.data() + token * value_stride();
}

bool tile_case::sees(int tile, int row, int token) const {
    const tile_input& t = tiles[tile];
    return t.from.empty() || (token >= t.from[row] && token < t.to[row]);
}

tile_case::tile_case(const problem& given) : p(given) {
    std::mt19937 random(p.seed);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
    const int bytes = element_bytes(p.element);
    // Encoded once: searching for the nearest code is slow.
    const int pool = 1024;
    std::vector<uint8_t> codes(pool * bytes);
    for (int i = 0; i < pool; i++) encode(normal(random) * (i % 16 ? 1 : 0.01f), codes.data(), i, p.element);
    const auto fill = [&](uint8_t* row, int dim) {
        for (int d = 0; d < dim; d++) std::memcpy(row + d * bytes, codes.data() + random() % pool * bytes, bytes);
    };
    const auto factors = [&](int count, float around) {
        guarded_bytes memory(count * sizeof(float), p.misalignment_bytes);
        for (int i = 0; i < count; i++) {
            const float x = uniform(random) * around;
            std::memcpy(memory.data() + i * sizeof x, &x, sizeof x);
        }
        return memory;
    };

    query.resize((size_t)p.rows * p.key_dim);
    for (float& x : query) x = normal(random) * p.spread;
    const float unit = p.element == KVHK_INT8 ? 1 / 40.0f : 1;
    logit_factor = 1.44269504f / std::sqrt((float)p.key_dim) * unit;
    for (size_t i = 0; i < p.tile_tokens.size(); i++) {
        tile_input tile;
        const int n = tile.tokens = p.tile_tokens[i];
        // The gap belongs to no row: the last row ends at the guard page.
        tile.keys = guarded_bytes(n * key_stride() - p.stride_gap_bytes, p.misalignment_bytes);
        for (int t = 0; t < n; t++) fill(tile.keys.data() + t * key_stride(), p.key_dim);
        if (!p.shared_rows) {
            tile.values = guarded_bytes(n * value_stride() - p.stride_gap_bytes, p.misalignment_bytes);
            for (int t = 0; t < n; t++) fill(tile.values.data() + t * value_stride(), p.value_dim);
        }
        if (p.row_scales) {
            tile.key_scales = factors(n, 1);
            tile.value_scales = factors(n, unit);
        }
        if (p.channel_scales) {
            tile.key_channel_scales = factors(p.key_dim, 1);
            tile.value_channel_scales = factors(p.value_dim, unit);
        }
        for (int r = 0; r < p.rows && p.visible != mask::none; r++) {
            int from = 0, to = n;
            switch (p.visible) {
                case mask::causal: to = n * (r + 1) / p.rows; break;
                case mask::window: from = std::min(n - 1, r), to = std::min(n, r + 1 + n / 2); break;
                case mask::random: from = (int)(random() % (n + 4)) - 2, to = (int)(random() % (n + 4)) - 1; break;
                default: from = to = i % 2 ? n : 0; break;
            }
            tile.from.push_back(from);
            tile.to.push_back(to);
        }
        tiles.push_back(std::move(tile));
    }
}

state tile_case::run(const kvhk_attention_kernel& kernel) const {
    const kvhk_attention_shape shape = {p.element, p.weights, p.rows, p.key_dim, p.value_dim};
    const auto aligned = [](size_t bytes) { return (uint8_t*)std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); };
    const size_t query_bytes = query.size() * sizeof(float), output_count = (size_t)p.rows * p.value_dim;
    const size_t scratch_bytes = (size_t)kvhk_scratch_bytes(p.rows, p.key_dim, p.value_dim);
    // Exact sizes with a mark behind them.
    uint8_t *q = aligned(query_bytes), *prepared = aligned((size_t)kernel.prepared_bytes), *scratch = aligned(scratch_bytes);
    uint8_t* output = aligned(output_count * sizeof(float));
    std::memcpy(q, query.data(), query_bytes);
    std::memset(scratch, 0xFF, scratch_bytes);
    std::memset(output, 0, output_count * sizeof(float));
    std::memset(prepared + kernel.prepared_bytes, 0x5A, 64);
    std::memset(scratch + scratch_bytes, 0x5A, 64);
    std::memset(output + output_count * sizeof(float), 0x5A, 64);
    if (kernel.prepare != nullptr) kernel.prepare(&shape, (const float*)q, prepared);

    state s{std::vector<float>(p.rows, -INFINITY), std::vector<float>(p.rows, 0.0f), std::vector<float>(output_count)};
    for (size_t i = 0; i < tiles.size(); i++) {
        const tile_input& in = tiles[i];
        const bool last = i + 1 == tiles.size();
        kvhk_attend_tile tile = {};
        tile.keys = key_row((int)i, 0);
        tile.values = value_row((int)i, 0);
        tile.key_stride = key_stride();
        tile.value_stride = value_stride();
        tile.next_keys = last ? nullptr : key_row((int)i + 1, 0);
        tile.next_values = last ? nullptr : value_row((int)i + 1, 0);
        tile.next_tokens = last ? 0 : tiles[i + 1].tokens;
        tile.key_scales = (const float*)in.key_scales.data();
        tile.value_scales = (const float*)in.value_scales.data();
        tile.key_channel_scales = (const float*)in.key_channel_scales.data();
        tile.value_channel_scales = (const float*)in.value_channel_scales.data();
        tile.query = (const float*)q;
        tile.prepared = kernel.prepare != nullptr ? prepared : nullptr;
        tile.visible_from = in.from.empty() ? nullptr : in.from.data();
        tile.visible_to = in.to.empty() ? nullptr : in.to.data();
        tile.maximum = s.maximum.data();
        tile.sum = s.sum.data();
        tile.output = (float*)output;
        tile.scratch = scratch;
        tile.rows = p.rows;
        tile.key_dim = p.key_dim;
        tile.value_dim = p.value_dim;
        tile.tokens = in.tokens;
        tile.logit_factor = logit_factor;
        tile.cap = p.cap;
        kernel.attend(&tile);
    }
    std::memcpy(s.output.data(), output, output_count * sizeof(float));
    for (int i = 0; i < 64; i++) {
        EXPECT_EQ(prepared[kernel.prepared_bytes + i], 0x5A) << "behind the prepared query: " << describe(p);
        EXPECT_EQ(scratch[scratch_bytes + i], 0x5A) << "behind the scratch: " << describe(p);
        EXPECT_EQ(output[output_count * sizeof(float) + i], 0x5A) << "behind the output: " << describe(p);
    }
    std::free(q);
    std::free(prepared);
    std::free(scratch);
    std::free(output);
    return s;
}

// The bound. Widening is exact. A score is a chain of at most key_dim products and sums and a few factors, off by at most
// e = (key_dim + 16) u S with S the largest sum of |q k| of a visible token, in units of ln 2; a cap adds 16 u cap. A weight is then off
// by a factor 2^e and 4 u of the exponential, and the sums are chains of at most one term per token and one rescaling per tile.
// INT8 words: a query element is off by half of its largest / 32767, a weight by half of the tile's largest / 32767.
// BF16 products: the query is two BF16 numbers (2^-17 of an element), weights are off by u_bf16 where they may be.
void tile_case::check(const state& s, const kvhk_attention_kernel& kernel) const {
    const bool words = p.element == KVHK_INT8 && p.rows <= 16;
    const bool dp = std::strstr(kernel.name, " dp") != nullptr;
    int tokens = 0;
    for (const tile_input& tile : tiles) tokens += tile.tokens;
    std::vector<double> scores(tokens), scale(tokens), values((size_t)tokens * p.value_dim);
    std::vector<double> keys((size_t)tokens * p.key_dim), row_factor(tokens);
    const auto number = [](const guarded_bytes& memory, int i) {
        float x = 1;
        if (memory.data() != nullptr) std::memcpy(&x, memory.data() + i * sizeof x, sizeof x);
        return (double)x;
    };
    int at = 0;
    for (size_t i = 0; i < tiles.size(); i++) {
        for (int t = 0; t < tiles[i].tokens; t++, at++) {
            for (int d = 0; d < p.key_dim; d++)
                keys[(size_t)at * p.key_dim + d] = decode(key_row((int)i, t), d, p.element) * number(tiles[i].key_channel_scales, d);
            for (int d = 0; d < p.value_dim; d++) {
                values[(size_t)at * p.value_dim + d] =
                    decode(value_row((int)i, t), d, p.element) * number(tiles[i].value_channel_scales, d);
            }
            row_factor[at] = (double)logit_factor * number(tiles[i].key_scales, t);
            scale[at] = number(tiles[i].value_scales, t);
        }
    }

    for (int r = 0; r < p.rows; r++) {
        const float* const q = query.data() + (size_t)r * p.key_dim;
        double largest = -INFINITY, terms = 0, quantum = 0;
        at = 0;
        for (size_t i = 0; i < tiles.size(); i++) {
            double largest_q = 0;
            for (int d = 0; d < p.key_dim; d++) largest_q = std::max(largest_q, std::abs(q[d] * number(tiles[i].key_channel_scales, d)));
            for (int t = 0; t < tiles[i].tokens; t++, at++) {
                double dot = 0, sum = 0, magnitude = 0;
                for (int d = 0; d < p.key_dim; d++) {
                    const double k = keys[(size_t)at * p.key_dim + d];
                    dot += q[d] * k;
                    sum += std::abs(q[d] * k);
                    magnitude += std::abs(k / number(tiles[i].key_channel_scales, d));
                }
                double score = dot * row_factor[at];
                if (p.cap != 0) score = p.cap * std::tanh(score / p.cap);
                scores[at] = sees((int)i, r, t) ? score : -INFINITY;
                if (!sees((int)i, r, t)) continue;
                largest = std::max(largest, score);
                terms = std::max(terms, sum * row_factor[at]);
                if (words) quantum = std::max(quantum, largest_q / 65534 * magnitude * row_factor[at]);
            }
        }
        double error = (p.key_dim + 16) * u_fp32 * terms + 16 * u_fp32 * std::abs((double)p.cap) + quantum * 1.01;
        if (dp) error += 0x1p-17 * terms;
        const double weight_error = std::exp2(error) - 1, chain = (2.0 * tokens + 16) * u_fp32 + (dp && p.weights ? 2 * u_bf16 : 0);

        double sum = 0;
        std::vector<double> output(p.value_dim), magnitude(p.value_dim), rounding(p.value_dim);
        at = 0;
        for (const tile_input& tile : tiles) {
            double largest_weight = 0;
            std::vector<double> column(p.value_dim);
            for (int t = 0; t < tile.tokens; t++, at++) {
                const double weight = std::isinf(scores[at]) ? 0 : std::exp2(scores[at] - largest);
                sum += weight;
                largest_weight = std::max(largest_weight, std::abs(weight * scale[at]));
                for (int d = 0; d < p.value_dim; d++) {
                    const double v = values[(size_t)at * p.value_dim + d];
                    output[d] += weight * scale[at] * v;
                    magnitude[d] += std::abs(weight * scale[at] * v);
                    column[d] += std::abs(v);
                }
            }
            for (int d = 0; d < p.value_dim; d++) rounding[d] += words ? column[d] * largest_weight / 65534 * 1.01 : 0;
        }
        if (sum == 0) {
            ASSERT_EQ(s.maximum[r], -INFINITY) << kernel.name << ": " << describe(p) << " row " << r;
            ASSERT_EQ(s.sum[r], 0) << kernel.name << ": " << describe(p) << " row " << r;
            for (int d = 0; d < p.value_dim; d++)
                ASSERT_EQ(s.output[(size_t)r * p.value_dim + d], 0) << kernel.name << ": " << describe(p) << " row " << r;
            continue;
        }
        const double logarithm = largest + std::log2(sum), got = s.maximum[r] + std::log2((double)s.sum[r]);
        ASSERT_LE(std::abs(got - logarithm), error + 2 * chain + 8 * u_fp32 * (1 + std::abs(logarithm)))
            << kernel.name << ": " << describe(p) << " row " << r << " log-sum " << got << ", expected " << logarithm;
        for (int d = 0; d < p.value_dim; d++) {
            const double x = s.output[(size_t)r * p.value_dim + d] / (double)s.sum[r], expected = output[d] / sum;
            const double bound = ((2 * weight_error + 2 * chain + 8 * u_fp32) * magnitude[d] + rounding[d]) / sum + 1e-37;
            // Written so that a NaN fails.
            ASSERT_TRUE(std::abs(x - expected) <= bound) << kernel.name << ": " << describe(p) << " row " << r << " output " << d << " is "
                                                         << x << ", expected " << expected << " +- " << bound;
        }
    }
}

}  // namespace kvhk_test
