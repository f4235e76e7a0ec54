using System.Runtime.Intrinsics;

namespace KvHandoff.Attention;

/// <summary>The arithmetic that attention needs beyond <see cref="Numerics.ISimdWidth{TVector}"/>; lanes are binary32 in raw bits.</summary>
/// <typeparam name="TVector"><c>Vector128</c>, <c>Vector256</c> or <c>Vector512</c> of <see cref="uint"/>.</typeparam>
interface ISingleMath<TVector>
    where TVector : struct
{
    static abstract TVector Broadcast(float value);

    /// <summary>a * b + c, fused where the processor can.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>The larger lanes; either, where one is NaN.</summary>
    static abstract TVector Maximum(TVector left, TVector right);

    /// <summary>The largest lane; NaN or not, where one is NaN.</summary>
    static abstract float Largest(TVector value);

    static abstract float Sum(TVector value);

    /// <summary>The sums of four vectors, in order.</summary>
    static abstract Vector128<float> Sum4(TVector a, TVector b, TVector c, TVector d);

    /// <summary>2^x for x up to 0: zero below -126, NaN for NaN.</summary>
    static abstract TVector PowerOf2(TVector x);
}
