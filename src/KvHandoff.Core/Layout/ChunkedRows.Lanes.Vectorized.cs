using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Layout;

public static partial class ChunkedRows
{
    /// <summary>A vector as independent lanes of 16 bytes.</summary>
    internal interface ILanes<TVector>
        where TVector : struct
    {
        /// <summary>Lanes of the vector.</summary>
        static abstract int Count { get; }

        /// <summary>Lane l from <c>l * distanceBytes</c>.</summary>
        static abstract TVector Load(ref byte source, nuint distanceBytes);

        static abstract void Store(TVector vector, ref byte destination);

        /// <summary>The lower halves of both lanes, an element of each in turn.</summary>
        static abstract TVector ZipLow8(TVector a, TVector b);

        static abstract TVector ZipHigh8(TVector a, TVector b);

        static abstract TVector ZipLow16(TVector a, TVector b);

        static abstract TVector ZipHigh16(TVector a, TVector b);

        static abstract TVector ZipLow32(TVector a, TVector b);

        static abstract TVector ZipHigh32(TVector a, TVector b);
    }

    internal readonly struct Lanes128 : ILanes<Vector128<byte>>
    {
        public static bool IsSupported => Sse2.IsSupported || AdvSimd.Arm64.IsSupported;

        public static int Count => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> Load(ref byte source, nuint distanceBytes) => Vector128.LoadUnsafe(ref source);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector128<byte> vector, ref byte destination) => vector.StoreUnsafe(ref destination);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipLow8(Vector128<byte> a, Vector128<byte> b) =>
            Sse2.IsSupported ? Sse2.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipHigh8(Vector128<byte> a, Vector128<byte> b) =>
            Sse2.IsSupported ? Sse2.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipLow16(Vector128<byte> a, Vector128<byte> b) => Sse2.IsSupported
            ? Sse2.UnpackLow(a.AsUInt16(), b.AsUInt16()).AsByte()
            : AdvSimd.Arm64.ZipLow(a.AsUInt16(), b.AsUInt16()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipHigh16(Vector128<byte> a, Vector128<byte> b) => Sse2.IsSupported
            ? Sse2.UnpackHigh(a.AsUInt16(), b.AsUInt16()).AsByte()
            : AdvSimd.Arm64.ZipHigh(a.AsUInt16(), b.AsUInt16()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipLow32(Vector128<byte> a, Vector128<byte> b) => Sse2.IsSupported
            ? Sse2.UnpackLow(a.AsUInt32(), b.AsUInt32()).AsByte()
            : AdvSimd.Arm64.ZipLow(a.AsUInt32(), b.AsUInt32()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> ZipHigh32(Vector128<byte> a, Vector128<byte> b) => Sse2.IsSupported
            ? Sse2.UnpackHigh(a.AsUInt32(), b.AsUInt32()).AsByte()
            : AdvSimd.Arm64.ZipHigh(a.AsUInt32(), b.AsUInt32()).AsByte();
    }

    internal readonly struct Lanes256 : ILanes<Vector256<byte>>
    {
        public static int Count => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> Load(ref byte source, nuint distanceBytes) =>
            Vector256.Create(Vector128.LoadUnsafe(ref source), Vector128.LoadUnsafe(ref source, distanceBytes));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector256<byte> vector, ref byte destination) => vector.StoreUnsafe(ref destination);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipLow8(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackLow(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipHigh8(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackHigh(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipLow16(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackLow(a.AsUInt16(), b.AsUInt16()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipHigh16(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackHigh(a.AsUInt16(), b.AsUInt16()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipLow32(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackLow(a.AsUInt32(), b.AsUInt32()).AsByte();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> ZipHigh32(Vector256<byte> a, Vector256<byte> b) => Avx2.UnpackHigh(a.AsUInt32(), b.AsUInt32()).AsByte();
    }
}
