// Golden tables of the numeric formats, computed by LLVM's APFloat (llvm/ADT/APFloat.h of LLVM 19), so that the tests of the
// library have an oracle that shares no code with it.
//
// Build (packages llvm-19-dev and g++), run, compress:
//   g++ -std=c++17 -O2 $(llvm-config-19 --cppflags) generate.cpp $(llvm-config-19 --ldflags --libs support) -o generate
//   ./generate DIRECTORY && gzip -9n DIRECTORY/*.bin && sha256sum -c SHA256SUMS
// SHA256SUMS is of the tables before compression: it does not depend on a version of gzip.
//
// APFloat's conversions do not saturate: E4M3FN gives NaN and E5M2 infinity beyond the largest code. Here the rounding is
// APFloat's (nearest, ties to even), and a result that is NaN or infinite though the input is not NaN is replaced by the largest
// finite code of the input's sign. BF16 and FP16 do not saturate. A NaN is written as sign and all ones: NaN payloads are compared
// as a class. All 16- and 32-bit numbers are little-endian.
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/APInt.h"
#include "llvm/ADT/APSInt.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using llvm::APFloat;
using llvm::APInt;
using llvm::fltSemantics;

namespace
{
constexpr auto ToNearestEven = APFloat::rmNearestTiesToEven;

struct Format
{
    const fltSemantics &semantics;
    unsigned bits;
    bool saturates;
};

const Format Single{APFloat::IEEEsingle(), 32, false};
const Format Half{APFloat::IEEEhalf(), 16, false};
const Format Brain{APFloat::BFloat(), 16, false};
const Format E4M3{APFloat::Float8E4M3FN(), 8, true};
const Format E5M2{APFloat::Float8E5M2(), 8, true};

APFloat decode(const Format &format, uint32_t code) { return APFloat(format.semantics, APInt(format.bits, code)); }

uint32_t bitsOf(const APFloat &number) { return uint32_t(number.bitcastToAPInt().getZExtValue()); }

uint32_t encode(const Format &to, APFloat number)
{
    const uint32_t sign = number.isNegative() ? 1u << (to.bits - 1) : 0;
    const uint32_t allOnes = to.bits == 32 ? 0x7FFFFFFFu : (1u << (to.bits - 1)) - 1;
    if (number.isNaN())
        return sign | allOnes;
    bool losesInfo;
    number.convert(to.semantics, ToNearestEven, &losesInfo);
    if (to.saturates && !number.isFinite())
        number = APFloat::getLargest(to.semantics, sign != 0);
    return bitsOf(number);
}

using Table = std::vector<uint8_t>;

void append(Table &table, uint32_t number, unsigned bits)
{
    for (unsigned shift = 0; shift < bits; shift += 8)
        table.push_back(uint8_t(number >> shift));
}

// 16-bit entries as two planes, low bytes first: they compress to almost nothing.
Table planes(const std::vector<uint32_t> &codes, unsigned bits)
{
    Table table;
    for (unsigned shift = 0; shift < bits; shift += 8)
        for (uint32_t code : codes)
            table.push_back(uint8_t(code >> shift));
    return table;
}

void write(const std::string &directory, const std::string &name, const Table &table)
{
    const std::string path = directory + "/" + name + ".bin";
    FILE *file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(table.data(), 1, table.size(), file) != table.size() || std::fclose(file) != 0)
    {
        std::fprintf(stderr, "cannot write %s\n", path.c_str());
        std::exit(1);
    }
}

// Entry i: what code i of a 16-bit format becomes.
Table conversion(const Format &from, const Format &to)
{
    std::vector<uint32_t> codes;
    for (uint32_t code = 0; code < 65536; code++)
        codes.push_back(encode(to, decode(from, code)));
    return planes(codes, to.bits);
}

// Entry 65536 * l + i: what the binary32 with upper half i and lower half Lows[l] becomes: next to, and on, every tie of every format.
constexpr uint32_t Lows[] = {0x0000, 0x0001, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF};

Table conversionOfSingles(const Format &to)
{
    std::vector<uint32_t> codes;
    for (uint32_t low : Lows)
        for (uint32_t high = 0; high < 65536; high++)
            codes.push_back(encode(to, decode(Single, high << 16 | low)));
    return planes(codes, to.bits);
}

// Entry i: the binary32 value of code i.
Table values(const Format &format)
{
    Table table;
    for (uint32_t code = 0; code < 256; code++)
        append(table, encode(Single, decode(format, code)), 32);
    return table;
}

// E8M0 has no APFloat semantics in LLVM 19; its values are powers of two, made by APFloat's scalbn.
Table valuesOfE8M0()
{
    Table table;
    for (int code = 0; code < 255; code++)
        append(table, bitsOf(scalbn(APFloat(1.0f), code - 127, ToNearestEven)), 32);
    append(table, 0x7FFFFFFF, 32);
    return table;
}

// The E8M0 byte for a group with this largest magnitude. All in binary64, where every step is exact.
uint8_t scaleByte(const APFloat &single, const Format &code, bool ceiling)
{
    if (single.isZero())
        return 0;
    APFloat amax = single;
    APFloat largest = APFloat::getLargest(code.semantics);
    bool losesInfo;
    amax.convert(APFloat::IEEEdouble(), ToNearestEven, &losesInfo);
    largest.convert(APFloat::IEEEdouble(), ToNearestEven, &losesInfo);
    int exponent = ilogb(amax) - ilogb(largest);
    // OCP MX takes the exponent of amax less that of the largest code; whoever must not saturate goes one up where amax is beyond it.
    if (ceiling && amax.compare(scalbn(largest, exponent, ToNearestEven)) == APFloat::cmpGreaterThan)
        exponent++;
    return uint8_t(exponent < -127 ? 0 : exponent > 127 ? 254 : exponent + 127);
}

// Entry 32640 * l + i: for the finite binary32 with upper half i and lower half 0x0000, 0x0001 or 0xFFFF.
Table scaleBytes(const Format &code, bool ceiling)
{
    Table table;
    for (uint32_t low : {0x0000u, 0x0001u, 0xFFFFu})
        for (uint32_t high = 0; high < 0x7F80; high++)
            table.push_back(scaleByte(decode(Single, high << 16 | low), code, ceiling));
    return table;
}

// Rows packed by the pinned arithmetic of docs/numerics.md, each operation by APFloat in binary32.
constexpr unsigned Rows = 24, RowLength = 96;

std::vector<uint32_t> sourceRows()
{
    std::vector<uint32_t> rows;
    uint64_t state = 0x9E3779B97F4A7C15u;
    for (unsigned row = 0; row < Rows; row++)
        for (unsigned i = 0; i < RowLength; i++)
        {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const uint32_t random = uint32_t(state >> 40);
            // Sign and mantissa at random; exponents over eight binades around one that differs from row to row.
            const uint32_t exponent = row * 10 + (random >> 8 & 7);
            uint32_t code = (random >> 15 & 1) << 15 | exponent << 7 | (random & 0x7F);
            if (row % 5 == 1 && i % 17 == 3)
                code = (random & 0x80) << 8 | 0x7F80; // an infinity
            if (row % 7 == 2 && i % 23 == 5)
                code = (random & 0x80) << 8 | 0x7FC0; // a NaN
            if (row % 11 == 4)
                code &= 0x8000; // zeros of both signs
            rows.push_back(code & 0xFFFF);
        }
    return rows;
}

uint8_t packed(APFloat number, const APFloat &inverse, const Format *fp8)
{
    if (number.isNaN() && !fp8)
        return 0;
    number.multiply(inverse, ToNearestEven);
    if (fp8)
        return uint8_t(encode(*fp8, number));
    if (number.isInfinity())
        return number.isNegative() ? 129 : 127;
    number.roundToIntegral(ToNearestEven);
    const APFloat limit(number.isNegative() ? -127.0f : 127.0f);
    if (number.compare(limit) == (number.isNegative() ? APFloat::cmpLessThan : APFloat::cmpGreaterThan))
        number = limit;
    llvm::APSInt code(8, false);
    bool isExact;
    number.convertToInteger(code, APFloat::rmTowardZero, &isExact);
    return uint8_t(code.getSExtValue());
}

// Row by row: the binary32 scale, then the codes.
Table packedRows(const Format *fp8, bool brainScale)
{
    Table table;
    const std::vector<uint32_t> rows = sourceRows();
    for (unsigned row = 0; row < Rows; row++)
    {
        std::vector<APFloat> numbers;
        APFloat amax(0.0f);
        bool losesInfo;
        for (unsigned i = 0; i < RowLength; i++)
        {
            numbers.push_back(decode(Brain, rows[row * RowLength + i]));
            numbers.back().convert(Single.semantics, ToNearestEven, &losesInfo);
            if (numbers.back().isFinite())
                amax = maximum(amax, abs(numbers.back()));
        }

        APFloat scale(1.0f);
        if (!amax.isZero())
        {
            APFloat largest(127.0f);
            if (fp8)
            {
                largest = APFloat::getLargest(fp8->semantics);
                largest.convert(Single.semantics, ToNearestEven, &losesInfo);
            }

            scale = amax;
            scale.divide(largest, ToNearestEven);
            scale = maximum(scale, scalbn(APFloat(1.0f), -120, ToNearestEven));
        }

        if (brainScale)
        {
            scale.convert(Brain.semantics, ToNearestEven, &losesInfo);
            scale.convert(Single.semantics, ToNearestEven, &losesInfo);
        }

        APFloat inverse(1.0f);
        inverse.divide(scale, ToNearestEven);
        append(table, bitsOf(scale), 32);
        for (const APFloat &number : numbers)
            table.push_back(packed(number, inverse, fp8));
    }

    return table;
}
} // namespace

int main(int count, char **arguments)
{
    if (count != 2)
    {
        std::fprintf(stderr, "usage: generate DIRECTORY\n");
        return 2;
    }

    const std::string directory = arguments[1];
    write(directory, "bf16-to-e4m3", conversion(Brain, E4M3));
    write(directory, "bf16-to-e5m2", conversion(Brain, E5M2));
    write(directory, "bf16-to-fp16", conversion(Brain, Half));
    write(directory, "fp16-to-e4m3", conversion(Half, E4M3));
    write(directory, "fp16-to-e5m2", conversion(Half, E5M2));
    write(directory, "fp16-to-bf16", conversion(Half, Brain));
    write(directory, "fp32-to-e4m3", conversionOfSingles(E4M3));
    write(directory, "fp32-to-e5m2", conversionOfSingles(E5M2));
    write(directory, "fp32-to-fp16", conversionOfSingles(Half));
    write(directory, "fp32-to-bf16", conversionOfSingles(Brain));
    write(directory, "e4m3-values", values(E4M3));
    write(directory, "e5m2-values", values(E5M2));
    write(directory, "e8m0-values", valuesOfE8M0());
    write(directory, "e8m0-ceiling-e4m3", scaleBytes(E4M3, true));
    write(directory, "e8m0-floor-e4m3", scaleBytes(E4M3, false));
    write(directory, "e8m0-ceiling-e5m2", scaleBytes(E5M2, true));
    write(directory, "e8m0-floor-e5m2", scaleBytes(E5M2, false));
    Table source;
    for (uint32_t code : sourceRows())
        append(source, code, 16);
    write(directory, "rows-bf16", source);
    write(directory, "rows-e4m3-fp32", packedRows(&E4M3, false));
    write(directory, "rows-e4m3-bf16", packedRows(&E4M3, true));
    write(directory, "rows-e5m2-fp32", packedRows(&E5M2, false));
    write(directory, "rows-e5m2-bf16", packedRows(&E5M2, true));
    write(directory, "rows-int8-fp32", packedRows(nullptr, false));
    write(directory, "rows-int8-bf16", packedRows(nullptr, true));
    return 0;
}
