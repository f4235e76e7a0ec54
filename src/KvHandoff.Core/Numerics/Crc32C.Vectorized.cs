using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arm = System.Runtime.Intrinsics.Arm;

namespace KvHandoff.Numerics;

public static partial class Crc32C
{
    // Bytes that each of three interleaved streams covers. Three long ones fit a page of 4 KiB.
    internal const int LongStream = 1344;
    internal const int ShortStream = 128;

    // x^(8 * stream - 33) and x^(16 * stream - 33): what brings a stream's state past one and past two streams.
    internal const uint PastOneLong = 0xC9C8_B782;
    internal const uint PastTwoLong = 0x8897_74E1;
    internal const uint PastOneShort = 0x0D3B_6092;
    internal const uint PastTwoShort = 0xB9E0_2B86;

    static bool HasInstruction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Sse42.X64.IsSupported || Arm.Crc32.Arm64.IsSupported;
    }

    /// <summary>Advances the uninverted state over the data.</summary>
    static uint Update(uint state, ReadOnlySpan<byte> data)
    {
        if (!HasInstruction)
            return UpdateScalar(state, data);

        ref byte source = ref MemoryMarshal.GetReference(data);
        nuint length = (nuint)data.Length;
        nuint done = 0;
#if NET10_0_OR_GREATER
        if (InstructionSet.VectorBits >= 512 && Pclmulqdq.V512.IsSupported && length >= 4 * Fold512.Bytes)
            done = FoldLoop<Fold512, Vector512<ulong>>(ref state, ref source, length);
        else if (InstructionSet.VectorBits >= 256 && Pclmulqdq.V256.IsSupported && length >= 4 * Fold256.Bytes)
            done = FoldLoop<Fold256, Vector256<ulong>>(ref state, ref source, length);
#else
        done = FoldNatively(ref state, ref source, length);
#endif
        if (Sse42.X64.IsSupported && Pclmulqdq.IsSupported && length - done >= 3 * ShortStream)
        {
            done = ThreeStreams(ref state, ref source, done, length, LongStream, PastOneLong, PastTwoLong);
            done = ThreeStreams(ref state, ref source, done, length, ShortStream, PastOneShort, PastTwoShort);
        }

        return OneStream(state, ref source, done, length);
    }

    static uint OneStream(uint state, ref byte source, nuint start, nuint end)
    {
        nuint i = start;
        for (; i + 8 <= end; i += 8)
            state = (uint)Step(state, Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, i)));
        for (; i < end; i++)
        {
            byte next = Unsafe.AddByteOffset(ref source, i);
            state = Sse42.IsSupported ? Sse42.Crc32(state, next) : Arm.Crc32.ComputeCrc32C(state, next);
        }

        return state;
    }

    /// <summary>
    /// Runs three streams side by side, because the instruction takes three cycles and one can start in each.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static nuint ThreeStreams(
        ref uint state, ref byte source, nuint start, nuint end, int stream, uint pastOne, uint pastTwo)
    {
        nuint i = start;
        nuint length = (nuint)stream;
        uint joined = state;
        for (; i + (3 * length) <= end; i += 3 * length)
        {
            ulong first = joined;
            ulong second = 0;
            ulong third = 0;
            for (nuint j = i; j < i + length; j += 8)
            {
                first = Step(first, Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, j)));
                second = Step(second, Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, j + length)));
                third = Step(third, Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, j + (2 * length))));
            }

            ulong moved = MultiplyCarryless((uint)first, pastTwo) ^ MultiplyCarryless((uint)second, pastOne);
            joined = (uint)(third ^ Step(0, moved));
        }

        state = joined;
        return i;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static ulong Step(ulong state, ulong data) =>
        Sse42.X64.IsSupported ? Sse42.X64.Crc32(state, data) : Arm.Crc32.Arm64.ComputeCrc32C((uint)state, data);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static ulong MultiplyCarryless(uint left, uint right) =>
        Pclmulqdq.CarrylessMultiply(
            Vector128.CreateScalar((ulong)left), Vector128.CreateScalar((ulong)right), 0x00).ToScalar();
}
