using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Attention;

/// <summary>512-bit vectors.</summary>
readonly struct SingleMath512 : ISingleMath<Vector512<uint>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Broadcast(float value) => Vector512.Create(value).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> MultiplyAdd(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c) =>
        Vector512.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Maximum(Vector512<uint> left, Vector512<uint> right) =>
        Vector512.MaxNative(left.AsSingle(), right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector512<uint> value) =>
        SingleMath256.Largest(SingleMath256.Maximum(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<uint> value) => Vector512.Sum(value.AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d) =>
        SingleMath256.Sum4(Halve(a), Halve(b), Halve(c), Halve(d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<uint> Halve(Vector512<uint> value) => (value.GetLower().AsSingle() + value.GetUpper().AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> PowerOf2(Vector512<uint> x)
    {
        Vector512<float> power = x.AsSingle();
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits; what is below -126 is masked at the end.
        Vector512<float> shifted = power + Vector512.Create(Exponential.Shift);
        Vector512<float> fraction = power - (shifted - Vector512.Create(Exponential.Shift));
        Vector512<float> value = Vector512.Create(Exponential.C6);
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512.Create(Exponential.C5));
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512.Create(Exponential.C4));
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512.Create(Exponential.C3));
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512.Create(Exponential.C2));
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512.Create(Exponential.C1));
        value = Vector512.MultiplyAddEstimate(value, fraction, Vector512<float>.One);
        Vector512<int> exponent = Vector512.ShiftLeft(shifted.AsInt32() + Vector512.Create(127), 23);
        // Multiplying, not adding to the exponent field, keeps a NaN a NaN.
        Vector512<float> tooSmall = Vector512.LessThan(power, Vector512.Create(-126f));
        return Vector512.AndNot(value * exponent.AsSingle(), tooSmall).AsUInt32();
    }
}
