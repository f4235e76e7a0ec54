using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

/// <summary>256-bit vectors.</summary>
readonly struct SingleMath256 : ISingleMath<Vector256<uint>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Broadcast(float value) => Vector256.Create(value).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> MultiplyAdd(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
        Vector256.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Maximum(Vector256<uint> left, Vector256<uint> right) =>
        Vector256.MaxNative(left.AsSingle(), right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector256<uint> value) =>
        SingleMath128.Largest(SingleMath128.Maximum(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<uint> value) => Vector256.Sum(value.AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d)
    {
        // Sums inside the halves: lane i of each half belongs to the i-th vector.
        Vector256<float> halves = Avx.HorizontalAdd(Avx.HorizontalAdd(a.AsSingle(), b.AsSingle()), Avx.HorizontalAdd(c.AsSingle(), d.AsSingle()));
        return halves.GetLower() + halves.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> PowerOf2(Vector256<uint> x)
    {
        Vector256<float> power = x.AsSingle();
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits; what is below -126 is masked at the end.
        Vector256<float> shifted = power + Vector256.Create(Exponential.Shift);
        Vector256<float> fraction = power - (shifted - Vector256.Create(Exponential.Shift));
        Vector256<float> value = Vector256.Create(Exponential.C6);
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256.Create(Exponential.C5));
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256.Create(Exponential.C4));
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256.Create(Exponential.C3));
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256.Create(Exponential.C2));
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256.Create(Exponential.C1));
        value = Vector256.MultiplyAddEstimate(value, fraction, Vector256<float>.One);
        Vector256<int> exponent = Vector256.ShiftLeft(shifted.AsInt32() + Vector256.Create(127), 23);
        // Multiplying, not adding to the exponent field, keeps a NaN a NaN.
        Vector256<float> tooSmall = Vector256.LessThan(power, Vector256.Create(-126f));
        return Vector256.AndNot(value * exponent.AsSingle(), tooSmall).AsUInt32();
    }
}
