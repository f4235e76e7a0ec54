using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of <c>accuracy</c>, in the schema and the units of <see cref="Summary"/>.</summary>
internal sealed record AccuracySummary : IJobSummary
{
    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "accuracy";

    public required EnvironmentSection Environment { get; init; }

    public required string Model { get; init; }

    /// <summary>Tokens of a window that were handed over.</summary>
    public int PrefixTokens { get; init; }

    /// <summary>Tokens of a window that were decoded on them, the true text fed at every step.</summary>
    public int DecodedTokens { get; init; }

    public int Windows { get; init; }

    public int Predictions { get; init; }

    /// <summary>Without any handoff, BF16.</summary>
    public double Perplexity { get; init; }

    public int OutlierPairsPerHead { get; init; }

    /// <summary>Lowest and highest factor.</summary>
    public IReadOnlyList<double> OutlierFactors { get; init; } = [];

    /// <summary>Largest change of a logit by the outliers themselves, fp32.</summary>
    public double OutlierLogitDifference { get; init; }

    public IReadOnlyList<AccuracyRow> Accuracy { get; init; } = [];

    public double ElapsedSeconds { get; init; }

    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => [Table()];

    internal ReportTable Table() => new("accuracy", "Accuracy on the reference model",
        string.Create(CultureInfo.InvariantCulture,
            $"{Model}, held-out text: {Windows} windows of {PrefixTokens} tokens handed over and {DecodedTokens} decoded on them, {Predictions} predictions, against BF16 without a handoff (perplexity {Perplexity:0.0000} per byte). ")
        + string.Create(CultureInfo.InvariantCulture,
            $"Outliers: {OutlierPairsPerHead} slow RoPE pairs per kv head, K times {OutlierFactors[0]:0} to {OutlierFactors[1]:0} and Q by the inverse (logits move by {OutlierLogitDifference:0.0e+0} at most). Perplexity changes below 0.1 % are noise."),
        [new("form", false), new("kind", false), new("wire bytes"), new("PPL %"), new("top-1 %"), new("mean KL"), new("outliers: PPL %"), new("top-1 %"), new("mean KL")],
        [.. Accuracy.Select(a => (string[])[a.Name, a.Kind, a.WireShare.ToString("0.000", CultureInfo.InvariantCulture), .. Cells(a.AsTrained), .. Cells(a.WithOutliers)])]);

    private static string[] Cells(AccuracyFigures figures) =>
    [
        figures.PerplexityChangePercent.ToString("+0.000;-0.000;0.000", CultureInfo.InvariantCulture),
        (figures.Top1Agreement * 100).ToString("0.00", CultureInfo.InvariantCulture),
        figures.MeanKl == 0 ? "0" : figures.MeanKl.ToString("0.0e+0", CultureInfo.InvariantCulture),
    ];
}

internal sealed record AccuracyRow
{
    public required string Name { get; init; }

    /// <summary>"codec": on the wire, into a BF16 cache; "stored": the decode worker's cache holds it.</summary>
    public required string Kind { get; init; }

    /// <summary>Lossless: nothing may change.</summary>
    public bool IsExact { get; init; }

    /// <summary>Bytes on the wire, frames included, over BF16 cache bytes.</summary>
    public double WireShare { get; init; }

    public required AccuracyFigures AsTrained { get; init; }

    /// <summary>The same function with outliers in the keys.</summary>
    public required AccuracyFigures WithOutliers { get; init; }
}

/// <summary>Against the same model's BF16 predictions.</summary>
internal sealed record AccuracyFigures
{
    /// <summary>Mean KL divergence, in nats.</summary>
    public double MeanKl { get; init; }

    /// <summary>Share of predictions whose most probable token is the same, 0 to 1.</summary>
    public double Top1Agreement { get; init; }

    /// <summary>Relative change in percent.</summary>
    public double PerplexityChangePercent { get; init; }
}
