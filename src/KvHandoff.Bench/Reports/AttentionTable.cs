using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>The attention rows of a summary as a table.</summary>
internal static class AttentionTable
{
    // The title says it.
    private const string Prefix = "attention ";

    internal static ReportTable Of(KernelSummary summary)
    {
        string kernels = summary.Attention is { } section ? section.Describe() : "kernels not named";
        return new ReportTable("attention", $"Decode attention; {kernels}", Note(summary.Attention?.Baseline),
            [new("step", false), new("code", false), new("GB/s"), new("ns/token"), new("limit", false), new("of it"), new("of read"), new("of fma"), new("x bf16"), new("max error"), new("quantised"), new("allocated")],
            [.. summary.Kernels.Where(k => k.Attention is not null).Select(k => Cells(k, k.Attention!))]);
    }

    private static string Note(BaselineSection? baseline)
    {
        const string Reading = "GB/s: bytes of K and V as stored, scales included. Limits were measured in turns with the step, on as many threads: read = the same bytes, "
            + "fma = nothing but fp32 multiply-adds; the nearer one is named. x bf16: tokens per second over the native kernel's on BF16 rows. Max error: against double precision over the rows "
            + "as stored, relative to the largest output; quantised: against the rows before they were rounded to 8 bits. ";
        return Reading + baseline switch
        {
            null => "",
            { Absent: { } reason } => $"libtorch: {reason}.",
            _ => string.Create(CultureInfo.InvariantCulture, $"{baseline.Library}: its best form over BF16 rows is {baseline.BestForm}; the kernels in use give {baseline.OursOverBest:0.00} times its tokens per second."),
        };
    }

    private static string[] Cells(KernelRow row, AttentionFigures figures) =>
    [
        row.Name.StartsWith(Prefix, StringComparison.Ordinal) ? row.Name[Prefix.Length..] : row.Name, row.Implementation, F(row.Gbps), figures.NanosecondsPerToken.ToString("0.0", CultureInfo.InvariantCulture), row.Limit, F(row.Ratio), F(figures.OfRead),
        F(figures.OfPeak), F(figures.OfNativeBf16), E(figures.MaxError), E(figures.MaxErrorWithQuantisation), row.AllocatedBytes.ToString("#,0", CultureInfo.InvariantCulture),
    ];

    private static string F(double? value) => value?.ToString("0.00", CultureInfo.InvariantCulture) ?? "";

    private static string E(double? value) => value?.ToString("0.0e+0", CultureInfo.InvariantCulture) ?? "";
}
