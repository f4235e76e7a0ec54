// The packing kernels and codecs against definitions that are written out here.
#include "kvhandoff/kvhandoff.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

namespace {

float from_e4m3(std::uint8_t code) {
    int exponent = code >> 3 & 15, mantissa = code & 7;
    if (exponent == 15 && mantissa == 7) return NAN;
    float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(1 + mantissa / 8.0f, exponent - 7);
    return code & 0x80 ? -magnitude : magnitude;
}

std::vector<float> numbers(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 2);
    std::vector<float> numbers(count);
    for (float& x : numbers) x = normal(random);
    return numbers;
}

kvh_rows shape(int rows, int length, int element, int code) {
    kvh_rows shape = kvh::make<kvh_rows>();
    shape.rows = rows;
    shape.row_length = length;
    shape.element = element;
    shape.code = code;
    return shape;
}

TEST(Packing, RowsToE4M3AreWithinHalfAStepAndTheScaleIsTheLargestOver448) {
    constexpr int rows = 37, length = 96, stride = length + 5;
    std::vector<float> source = numbers(rows * stride, 1), scales(rows), back(rows * length);
    std::vector<std::uint8_t> codes(rows * length);
    kvh_rows packed = shape(rows, length, KVH_FP32, KVH_FP8_E4M3);
    packed.stride_bytes = stride * 4;
    std::uint32_t flags = 9;
    ASSERT_EQ(kvh_pack_rows(&packed, source.data(), codes.data(), scales.data(), &flags), KVH_OK);
    EXPECT_EQ(flags, 0u);
    for (int r = 0; r < rows; r++) {
        float largest = 0;
        for (int i = 0; i < length; i++) largest = std::fmax(largest, std::fabs(source[static_cast<std::size_t>(r * stride + i)]));
        ASSERT_EQ(scales[static_cast<std::size_t>(r)], largest / 448);
        for (int i = 0; i < length; i++) {
            float x = source[static_cast<std::size_t>(r * stride + i)] / scales[static_cast<std::size_t>(r)], y = from_e4m3(codes[static_cast<std::size_t>(r * length + i)]);
            ASSERT_LE(std::fabs(x - y), std::fmax(std::ldexp(1.0f, -10), std::fabs(x) / 16) * 1.0001f);
        }
    }
    kvh_rows plain = shape(rows, length, KVH_FP32, KVH_FP8_E4M3);
    ASSERT_EQ(kvh_unpack_rows(&plain, codes.data(), scales.data(), back.data()), KVH_OK);
    for (std::size_t i = 0; i < back.size(); i++) ASSERT_EQ(back[i], from_e4m3(codes[i]) * scales[i / length]);
    source[3] = NAN;
    source[stride] = -INFINITY;
    ASSERT_EQ(kvh_pack_rows(&packed, source.data(), codes.data(), scales.data(), &flags), KVH_OK);
    EXPECT_EQ(flags, static_cast<std::uint32_t>(KVH_HAD_NAN | KVH_HAD_INFINITY));
}

TEST(Packing, ChannelsToInt8HaveTheColumnsLargestAs127) {
    constexpr int rows = 64, length = 40;
    std::vector<float> source = numbers(rows * length, 2), scales(length), back(rows * length);
    std::vector<std::uint8_t> codes(rows * length);
    kvh_rows packed = shape(rows, length, KVH_FP32, KVH_INT8);
    ASSERT_EQ(kvh_pack_channels(&packed, source.data(), codes.data(), scales.data(), nullptr), KVH_OK);
    for (std::size_t c = 0; c < length; c++) {
        float largest = 0;
        for (std::size_t r = 0; r < rows; r++) largest = std::fmax(largest, std::fabs(source[r * length + c]));
        ASSERT_EQ(scales[c], largest / 127);
        for (std::size_t r = 0; r < rows; r++) ASSERT_NEAR(source[r * length + c], static_cast<std::int8_t>(codes[r * length + c]) * scales[c], scales[c] * 0.5001f);
    }
    ASSERT_EQ(kvh_unpack_channels(&packed, codes.data(), scales.data(), back.data()), KVH_OK);
    for (std::size_t i = 0; i < back.size(); i++) ASSERT_EQ(back[i], static_cast<std::int8_t>(codes[i]) * scales[i % length]);
}

TEST(Packing, AFixedScaleSaturatesAndMicroscalingIsAPowerOfTwo) {
    std::vector<float> source = {1, -2, 1000, -1000, 0.5f, 0, 3, 4};
    std::vector<std::uint8_t> codes(8), scales(1);
    std::vector<float> back(8);
    kvh_rows packed = shape(1, 8, KVH_FP32, KVH_INT8);
    ASSERT_EQ(kvh_pack_fixed(&packed, source.data(), 0.5f, codes.data(), nullptr), KVH_OK);
    ASSERT_EQ(kvh_unpack_fixed(&packed, codes.data(), 0.5f, back.data()), KVH_OK);
    EXPECT_EQ(back, (std::vector<float>{1, -2, 63.5f, -63.5f, 0.5f, 0, 3, 4}));
    EXPECT_EQ(kvh_pack_fixed(&packed, source.data(), 0, codes.data(), nullptr), KVH_E_ARGUMENT);
    packed.code = KVH_FP8_E4M3;
    ASSERT_EQ(kvh_pack_mx(&packed, source.data(), codes.data(), scales.data(), nullptr), KVH_OK);
    ASSERT_EQ(kvh_unpack_mx(&packed, codes.data(), scales.data(), back.data()), KVH_OK);
    for (std::size_t i = 0; i < 8; i++) EXPECT_EQ(back[i], from_e4m3(codes[i]) * std::ldexp(1.0f, scales[0] - 127));
    packed.code = KVH_INT8;
    EXPECT_EQ(kvh_pack_mx(&packed, source.data(), codes.data(), scales.data(), nullptr), KVH_E_ENUM);
    packed.rows = -1;
    EXPECT_EQ(kvh_pack_rows(&packed, source.data(), codes.data(), back.data(), nullptr), KVH_E_ARGUMENT);
    packed.rows = 0;
    EXPECT_EQ(kvh_pack_rows(&packed, nullptr, nullptr, nullptr, nullptr), KVH_OK);
}

TEST(Conversion, ToBf16RoundsToNearestEven) {
    std::vector<float> source = numbers(1000, 3);
    std::vector<std::uint16_t> halves(1000);
    ASSERT_EQ(kvh_convert(source.data(), KVH_FP32, halves.data(), KVH_BF16, 1000), KVH_OK);
    for (std::size_t i = 0; i < source.size(); i++) {
        std::uint32_t bits;
        std::memcpy(&bits, &source[i], 4);
        ASSERT_EQ(halves[i], static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
    }
    EXPECT_EQ(kvh_convert(source.data(), KVH_FP32, halves.data(), KVH_BF16, -1), KVH_E_ARGUMENT);
}

TEST(Checksum, IsThatOfTheBitwiseDefinitionInAnyPieces) {
    std::vector<std::uint8_t> data(5001), copy(5001);
    std::mt19937 random(4);
    for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
    std::uint32_t expected = 0xFFFFFFFF;
    for (std::uint8_t byte : data) {
        expected ^= byte;
        for (int bit = 0; bit < 8; bit++) expected = expected >> 1 ^ (expected & 1 ? 0x82F63B78u : 0);
    }
    expected = ~expected;
    std::uint32_t whole = 0, pieces = 0, copied = 0;
    ASSERT_EQ(kvh_crc32c(data.data(), 5001, &whole), KVH_OK);
    ASSERT_EQ(kvh_crc32c(data.data(), 17, &pieces), KVH_OK);
    ASSERT_EQ(kvh_crc32c(data.data() + 17, 5001 - 17, &pieces), KVH_OK);
    ASSERT_EQ(kvh_copy_crc32c(data.data(), copy.data(), 5001, &copied), KVH_OK);
    EXPECT_EQ(whole, expected);
    EXPECT_EQ(pieces, expected);
    EXPECT_EQ(copied, expected);
    EXPECT_EQ(copy, data);
}

TEST(Codecs, LosslessOnesGiveTheSameBytesAndNoneTrustsWhatComes) {
    std::vector<float> wide = numbers(64 * 128, 5);
    std::vector<std::uint16_t> rows(wide.size()), back(wide.size());
    kvh_convert(wide.data(), KVH_FP32, rows.data(), KVH_BF16, static_cast<std::int64_t>(wide.size()));
    std::mt19937 random(6);
    for (int codec : {KVH_CODEC_RAW, KVH_CODEC_FP8, KVH_CODEC_INT8, KVH_CODEC_MXFP8, KVH_CODEC_EXPONENT_WINDOW}) {
        kvh_segment segment = kvh::make<kvh_segment>();
        segment.codec = codec;
        segment.tokens = 64;
        segment.head_dim = 128;
        segment.element = KVH_BF16;
        std::int64_t most = 0, bytes = 0;
        ASSERT_EQ(kvh_codec_max_bytes(&segment, &most), KVH_OK);
        std::vector<std::uint8_t> encoded(static_cast<std::size_t>(most));
        EXPECT_EQ(kvh_codec_encode(&segment, rows.data(), encoded.data(), most - 1, &bytes, nullptr), KVH_E_BUFFER);
        ASSERT_EQ(kvh_codec_encode(&segment, rows.data(), encoded.data(), most, &bytes, nullptr), KVH_OK);
        ASSERT_EQ(kvh_codec_decode(&segment, encoded.data(), bytes, back.data()), KVH_OK);
        if (codec == KVH_CODEC_RAW || codec == KVH_CODEC_EXPONENT_WINDOW) {
            EXPECT_EQ(back, rows) << codec;
        }
        EXPECT_EQ(kvh_codec_decode(&segment, encoded.data(), bytes - 1, back.data()), KVH_E_CORRUPT) << codec;
        EXPECT_EQ(kvh_codec_decode(&segment, encoded.data(), 0, back.data()), KVH_E_CORRUPT) << codec;
        for (int i = 0; i < 500; i++) {
            std::vector<std::uint8_t> damaged(encoded.begin(), encoded.begin() + bytes);
            for (int k = 0; k < 4; k++) damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
            kvh_status status = kvh_codec_decode(&segment, damaged.data(), bytes, back.data());
            ASSERT_TRUE(status == KVH_OK || status == KVH_E_CORRUPT) << status;
        }
    }
}

}  // namespace
