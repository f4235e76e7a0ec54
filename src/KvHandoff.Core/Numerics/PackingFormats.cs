namespace KvHandoff.Numerics;

/// <summary>Something to be done for one pair of formats, both of them known to the compiler.</summary>
interface IPackingJob
{
    void Run<TElement, TCode>()
        where TElement : IRowElement
        where TCode : IPackedCode;
}

/// <summary>From the formats' names to their operators: the single switch over them.</summary>
static class PackingFormats
{
    internal static void RequireCode(ElementType code)
    {
        if (code is not (ElementType.Fp8E4M3 or ElementType.Fp8E5M2 or ElementType.Int8))
        {
            throw new ArgumentOutOfRangeException(
                nameof(code), code, $"Element type {(byte)code} is no packed code; allowed are 4 (fp8-e4m3), 5 (fp8-e5m2) and 6 (int8).");
        }
    }

    internal static float LargestCode(ElementType code) => code switch
    {
        ElementType.Fp8E4M3 => Fp8E4M3Code.LargestCode,
        ElementType.Fp8E5M2 => Fp8E5M2Code.LargestCode,
        _ => Int8Code.LargestCode,
    };

    /// <summary>Runs a job for formats that have been checked.</summary>
    internal static void Run<TJob>(ref TJob job, ElementType element, ElementType code)
        where TJob : IPackingJob, allows ref struct
    {
        if (element == ElementType.BFloat16)
            RunElement<TJob, BFloat16Element>(ref job, code);
        else if (element == ElementType.Float16)
            RunElement<TJob, HalfElement>(ref job, code);
        else
            RunElement<TJob, SingleElement>(ref job, code);
    }

    static void RunElement<TJob, TElement>(ref TJob job, ElementType code)
        where TJob : IPackingJob, allows ref struct
        where TElement : IRowElement
    {
        if (code == ElementType.Fp8E4M3)
            job.Run<TElement, Fp8E4M3Code>();
        else if (code == ElementType.Fp8E5M2)
            job.Run<TElement, Fp8E5M2Code>();
        else
            job.Run<TElement, Int8Code>();
    }
}
