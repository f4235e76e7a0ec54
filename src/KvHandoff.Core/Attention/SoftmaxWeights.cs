namespace KvHandoff.Attention;

/// <summary>Precision of the softmax weights where they meet the values.</summary>
public enum SoftmaxWeights : byte
{
    /// <summary>fp32: the result is within 1e-5 of double precision at 64K tokens, relative to its largest element.</summary>
    Float32 = 0,

    /// <summary>
    /// BF16 where the processor multiplies BF16 (AVX512-BF16), which is faster there and within 1e-2; fp32 elsewhere. The sum of the
    /// weights is taken after rounding, so that no bias remains.
    /// </summary>
    BFloat16 = 1,
}
