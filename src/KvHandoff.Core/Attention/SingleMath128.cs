using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

/// <summary>128-bit vectors.</summary>
readonly struct SingleMath128 : ISingleMath<Vector128<uint>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Broadcast(float value) => Vector128.Create(value).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> MultiplyAdd(Vector128<uint> a, Vector128<uint> b, Vector128<uint> c) =>
        Vector128.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Maximum(Vector128<uint> left, Vector128<uint> right) =>
        Vector128.MaxNative(left.AsSingle(), right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector128<uint> value)
    {
        Vector128<float> lanes = value.AsSingle();
        lanes = Vector128.MaxNative(lanes, Vector128.Shuffle(lanes, Vector128.Create(2, 3, 0, 1)));
        lanes = Vector128.MaxNative(lanes, Vector128.Shuffle(lanes, Vector128.Create(1, 0, 3, 2)));
        return lanes.ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector128<uint> value) => Vector128.Sum(value.AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector128<uint> a, Vector128<uint> b, Vector128<uint> c, Vector128<uint> d)
    {
        if (Sse3.IsSupported)
            return Sse3.HorizontalAdd(Sse3.HorizontalAdd(a.AsSingle(), b.AsSingle()), Sse3.HorizontalAdd(c.AsSingle(), d.AsSingle()));
        if (AdvSimd.Arm64.IsSupported)
            return AdvSimd.Arm64.AddPairwise(AdvSimd.Arm64.AddPairwise(a.AsSingle(), b.AsSingle()), AdvSimd.Arm64.AddPairwise(c.AsSingle(), d.AsSingle()));
        return Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));
    }

    /// <summary>Makes rows of the columns of four vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Transpose(ref Vector128<float> a, ref Vector128<float> b, ref Vector128<float> c, ref Vector128<float> d)
    {
        if (Sse.IsSupported)
        {
            Vector128<float> ab = Sse.UnpackLow(a, b), cd = Sse.UnpackLow(c, d), abHigh = Sse.UnpackHigh(a, b), cdHigh = Sse.UnpackHigh(c, d);
            (a, b) = (Sse.MoveLowToHigh(ab, cd), Sse.MoveHighToLow(cd, ab));
            (c, d) = (Sse.MoveLowToHigh(abHigh, cdHigh), Sse.MoveHighToLow(cdHigh, abHigh));
            return;
        }

        Vector128<float> first = Vector128.Create(a[0], b[0], c[0], d[0]), second = Vector128.Create(a[1], b[1], c[1], d[1]);
        (c, d) = (Vector128.Create(a[2], b[2], c[2], d[2]), Vector128.Create(a[3], b[3], c[3], d[3]));
        (a, b) = (first, second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> PowerOf2(Vector128<uint> x)
    {
        Vector128<float> power = x.AsSingle();
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits; what is below -126 is masked at the end.
        Vector128<float> shifted = power + Vector128.Create(Exponential.Shift);
        Vector128<float> fraction = power - (shifted - Vector128.Create(Exponential.Shift));
        Vector128<float> value = Vector128.Create(Exponential.C6);
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128.Create(Exponential.C5));
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128.Create(Exponential.C4));
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128.Create(Exponential.C3));
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128.Create(Exponential.C2));
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128.Create(Exponential.C1));
        value = Vector128.MultiplyAddEstimate(value, fraction, Vector128<float>.One);
        Vector128<int> exponent = Vector128.ShiftLeft(shifted.AsInt32() + Vector128.Create(127), 23);
        // Multiplying, not adding to the exponent field, keeps a NaN a NaN.
        Vector128<float> tooSmall = Vector128.LessThan(power, Vector128.Create(-126f));
        return Vector128.AndNot(value * exponent.AsSingle(), tooSmall).AsUInt32();
    }
}
