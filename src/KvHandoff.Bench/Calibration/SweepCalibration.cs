using System.Text.Json;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Calibration;

/// <summary>
/// The model's alpha, B and R from measured handoffs: a line is fitted through every other size of a sweep and asked for the sizes between them, so that the error
/// that is reported is one of prediction, not of fitting.
/// </summary>
internal static class SweepCalibration
{
    private const int LeastSizes = 4;

    /// <summary>Fits what <c>handoff --sweep --json</c> or <c>plan --measure</c> wrote.</summary>
    /// <exception cref="InvalidDataException">It is no such file; the message says what is missing.</exception>
    internal static CalibrationSection Read(string file, string json)
    {
        SweepRow[]? rows;
        try
        {
            using var document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            string? schema = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("schema", out JsonElement s) && s.ValueKind == JsonValueKind.String ? s.GetString() : null;
            if (schema != Summary.CurrentSchema) throw new InvalidDataException($"{file}: field 'schema' is '{schema}'; allowed: {Summary.CurrentSchema}");
            rows = root.TryGetProperty("sweep", out JsonElement sweep) && sweep.ValueKind == JsonValueKind.Array ? sweep.Deserialize<SweepRow[]>(Summary.Options) : null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{file}: no JSON of a sweep: {e.Message.ReplaceLineEndings(" ")}");
        }

        if (rows is not { Length: > 0 }) throw new InvalidDataException($"{file}: field 'sweep' is missing or empty; allowed: rows as handoff --sweep --json writes them");
        if (rows.FirstOrDefault(r => r.Bytes <= 0 || !(r.P50Us > 0)) is { } wrong) throw new InvalidDataException($"{file}: a row of 'sweep' has {wrong.Bytes} bytes in {wrong.P50Us} us; allowed: both above 0");
        return Of(Path.GetFileName(file), rows);
    }

    /// <summary>A fitted transport as a link to plan with: large handoffs' bandwidth, and what each costs besides.</summary>
    internal static Link Link(CalibrationFitRow fit, string file)
    {
        string source = $"fitted to {file}";
        return new Link(fit.Transport, $"{fit.Transport} as measured", new Figure((fit.BytesPerSecondBeyond ?? fit.BytesPerSecond) * 8, source), new Figure(1, source), new Figure(fit.LatencySeconds, source), new Figure(double.PositiveInfinity, "not told by a sweep of whole handoffs"));
    }

    /// <exception cref="InvalidDataException">A transport has fewer than four sizes: two to fit, two to predict.</exception>
    internal static CalibrationSection Of(string file, IReadOnlyList<SweepRow> rows)
    {
        var fits = new List<CalibrationFitRow>();
        var all = new List<CalibrationRow>();
        foreach (IGrouping<string, SweepRow> group in rows.GroupBy(r => r.Transport))
        {
            SweepRow[] sizes = [.. group.OrderBy(r => r.Bytes)];
            if (sizes.Select(r => r.Bytes).Distinct().Count() < LeastSizes) throw new InvalidDataException($"{file}: {sizes.Length} sizes over {group.Key}; allowed: {LeastSizes} or more, half to fit and half to predict");
            LineFit fit = LineFit.Of([.. sizes.Where((_, i) => i % 2 == 0).Select(r => ((double)r.Bytes, r.P50Us / 1e6))]);
            CalibrationRow[] own = [.. sizes.Select((r, i) => new CalibrationRow
            {
                Transport = group.Key,
                Bytes = r.Bytes,
                HeldOut = i % 2 == 1,
                MeasuredSeconds = r.P50Us / 1e6,
                PredictedSeconds = fit.Seconds(r.Bytes),
                Error = fit.Seconds(r.Bytes) / (r.P50Us / 1e6) - 1,
            })];
            double[] heldOut = [.. own.Where(r => r.HeldOut).Select(r => Math.Abs(r.Error))];
            fits.Add(new CalibrationFitRow
            {
                Transport = group.Key,
                LatencySeconds = fit.LatencySeconds,
                BytesPerSecond = fit.BytesPerSecond,
                KneeBytes = double.IsFinite(fit.KneeBytes) ? fit.KneeBytes : null,
                BytesPerSecondBeyond = double.IsFinite(fit.KneeBytes) ? fit.BytesPerSecondBeyond : null,
                MessagesPerSecond = sizes.Max(r => r.MessagesPerSecond),
                FittedError = own.Where(r => !r.HeldOut).Average(r => Math.Abs(r.Error)),
                HeldOutMedianError = Median.Of(heldOut),
                HeldOutWorstError = heldOut.Max(),
            });
            all.AddRange(own);
        }

        return new CalibrationSection { File = file, Fits = fits, Rows = all };
    }
}
