#if NET10_0_OR_GREATER
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Numerics;

public static partial class Crc32C
{
    /// <summary>
    /// Folding by carry-less multiplication (Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ",
    /// Intel 2009) on wide vectors.
    /// </summary>
    internal interface IFoldWidth<TVector>
        where TVector : struct
    {
        /// <summary>Bytes of one vector.</summary>
        static abstract nuint Bytes { get; }

        /// <summary>Multipliers that carry a vector's low and high quadwords past four vectors.</summary>
        static abstract TVector PastFour { get; }

        /// <summary>The same past one vector.</summary>
        static abstract TVector PastOne { get; }

        static abstract TVector Load(ref byte source, nuint offset);

        static abstract TVector WithState(TVector value, uint state);

        /// <summary>Carries the value forward and joins it with what lies there.</summary>
        static abstract TVector Fold(TVector value, TVector multipliers, TVector next);

        /// <summary>The state after the bytes of the vector, from a zero state.</summary>
        static abstract uint Reduce(TVector value);
    }

    /// <summary>Consumes whole groups of four vectors, at least one, and returns the bytes taken.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static nuint FoldLoop<TWidth, TVector>(ref uint state, ref byte source, nuint length)
        where TWidth : IFoldWidth<TVector>
        where TVector : struct
    {
        nuint bytes = TWidth.Bytes;
        TVector a = TWidth.WithState(TWidth.Load(ref source, 0), state);
        TVector b = TWidth.Load(ref source, bytes);
        TVector c = TWidth.Load(ref source, 2 * bytes);
        TVector d = TWidth.Load(ref source, 3 * bytes);
        TVector pastFour = TWidth.PastFour;
        nuint i = 4 * bytes;
        for (; i + (4 * bytes) <= length; i += 4 * bytes)
        {
            a = TWidth.Fold(a, pastFour, TWidth.Load(ref source, i));
            b = TWidth.Fold(b, pastFour, TWidth.Load(ref source, i + bytes));
            c = TWidth.Fold(c, pastFour, TWidth.Load(ref source, i + (2 * bytes)));
            d = TWidth.Fold(d, pastFour, TWidth.Load(ref source, i + (3 * bytes)));
        }

        TVector pastOne = TWidth.PastOne;
        TVector joined = TWidth.Fold(TWidth.Fold(TWidth.Fold(a, pastOne, b), pastOne, c), pastOne, d);
        for (; i + bytes <= length; i += bytes)
            joined = TWidth.Fold(joined, pastOne, TWidth.Load(ref source, i));
        state = TWidth.Reduce(joined);
        return i;
    }

    // Multipliers are x^(8n + 31) and x^(8n - 33) for n bytes; a test derives them again.
    internal readonly struct Fold256 : IFoldWidth<Vector256<ulong>>
    {
        public static nuint Bytes => 32;

        public static Vector256<ulong> PastFour => Vector256.Create(Vector128.Create(0x6992_CEA2ul, 0x0D3B_6092));

        public static Vector256<ulong> PastOne => Vector256.Create(Vector128.Create(0x3DA6_D0CBul, 0xBA4F_C28E));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<ulong> Load(ref byte source, nuint offset) => Vector256.LoadUnsafe(ref source, offset).AsUInt64();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<ulong> WithState(Vector256<ulong> value, uint state) =>
            value ^ Vector256.CreateScalar((ulong)state);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<ulong> Fold(Vector256<ulong> value, Vector256<ulong> multipliers, Vector256<ulong> next) =>
            Pclmulqdq.V256.CarrylessMultiply(value, multipliers, 0x00)
            ^ Pclmulqdq.V256.CarrylessMultiply(value, multipliers, 0x11)
            ^ next;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Reduce(Vector256<ulong> value) =>
            (uint)Step(Step(Step(Step(0, value[0]), value[1]), value[2]), value[3]);
    }

    internal readonly struct Fold512 : IFoldWidth<Vector512<ulong>>
    {
        public static nuint Bytes => 64;

        public static Vector512<ulong> PastFour =>
            Vector512.Create(Vector256.Create(Vector128.Create(0xDCB1_7AA4ul, 0xB9E0_2B86)));

        public static Vector512<ulong> PastOne =>
            Vector512.Create(Vector256.Create(Vector128.Create(0x740E_EF02ul, 0x9E4A_DDF8)));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<ulong> Load(ref byte source, nuint offset) => Vector512.LoadUnsafe(ref source, offset).AsUInt64();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<ulong> WithState(Vector512<ulong> value, uint state) =>
            value ^ Vector512.CreateScalar((ulong)state);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<ulong> Fold(Vector512<ulong> value, Vector512<ulong> multipliers, Vector512<ulong> next) =>
            Avx512F.TernaryLogic(
                Pclmulqdq.V512.CarrylessMultiply(value, multipliers, 0x00),
                Pclmulqdq.V512.CarrylessMultiply(value, multipliers, 0x11),
                next,
                0x96);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Reduce(Vector512<ulong> value)
        {
            // Carrying the lower half past the upper leaves a 256-bit value.
            Vector256<ulong> folded = Fold256.Fold(value.GetLower(), Fold256.PastOne, value.GetUpper());
            return Fold256.Reduce(folded);
        }
    }
}
#endif
