using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Model;

namespace KvHandoff.Bench.Accuracy;

/// <summary>What every codec and every stored 8-bit form does to the reference model's predictions, as trained and with key outliers.</summary>
internal sealed class AccuracyRun(IJobDisplay display)
{
    // Logits span about 30; what two orders of fp32 roundings make of them stays far below this, a wrong scale far above.
    private const double MostLogitDifference = 5e-3;

    internal async Task<AccuracySummary> RunAsync(TextWindows windows, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        var failures = new List<string>();
        string directory = Path.Combine(AppContext.BaseDirectory, "models", ReferenceModel.FullName);
        using LlamaModel model = LlamaModel.Load(directory);
        using OutlierCheckpoint checkpoint = OutlierCheckpoint.Create(directory, model.Config);
        using LlamaModel outliers = LlamaModel.Load(checkpoint.Path);

        display.Begin("the model with key outliers, against the model as trained, fp32 caches");
        double difference = await Task.Run(() => ModelAccuracy.LogitDifference(model, outliers, windows), cancellationToken);
        if (!(difference <= MostLogitDifference))
            failures.Add(string.Create(CultureInfo.InvariantCulture, $"The outliers change a logit by {difference:g3}; allowed: {MostLogitDifference:g3}. They have to preserve the function."));
        display.End(string.Create(CultureInfo.InvariantCulture, $"largest difference of a logit {difference:0.0e+0}"));

        (AccuracyRow[] trained, double perplexity) = await MeasureAsync("as trained", model, windows, failures, cancellationToken);
        (AccuracyRow[] injected, _) = await MeasureAsync("key outliers", outliers, windows, failures, cancellationToken);
        return new AccuracySummary
        {
            Environment = MachineDescription.Describe(),
            Model = ReferenceModel.FullName,
            PrefixTokens = TextWindows.PrefixTokens,
            DecodedTokens = TextWindows.DecodedTokens,
            Windows = windows.Count,
            Predictions = windows.Predictions,
            Perplexity = perplexity,
            OutlierPairsPerHead = OutlierCheckpoint.PairsPerHead,
            OutlierFactors = [OutlierCheckpoint.LowestFactor, OutlierCheckpoint.HighestFactor],
            OutlierLogitDifference = difference,
            Accuracy = [.. trained.Zip(injected, (t, i) => t with { WithOutliers = i.AsTrained })],
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Failures = failures,
        };
    }

    private async Task<(AccuracyRow[] Rows, double Perplexity)> MeasureAsync(string name, LlamaModel model, TextWindows windows, List<string> failures, CancellationToken cancellationToken)
    {
        display.Begin($"{name}: {windows.Count} windows, {TextWindows.PrefixTokens} tokens prefilled, {TextWindows.DecodedTokens} decoded, BF16 in one process");
        using ModelAccuracy accuracy = await Task.Run(() => new ModelAccuracy(model, windows, cancellationToken), cancellationToken);
        display.End(string.Create(CultureInfo.InvariantCulture, $"perplexity {accuracy.Perplexity:0.0000} per byte"));
        var rows = new List<AccuracyRow>();
        foreach (AccuracyForm form in AccuracyForm.All)
        {
            display.Begin($"{name}: {form.Kind} {form.Name}");
            (AccuracyFigures figures, double wireShare) = await accuracy.MeasureAsync(form, cancellationToken);
            if (form.IsExact && (figures.MeanKl != 0 || figures.Top1Agreement != 1))
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"Codec {form.Name} is lossless, but {name} its mean KL is {figures.MeanKl:g3} and its top-1 agreement {figures.Top1Agreement}; expected 0 and 1."));
            if (!double.IsFinite(figures.MeanKl)) failures.Add($"{form.Kind} {form.Name}, {name}: the mean KL is {figures.MeanKl}.");
            rows.Add(new AccuracyRow { Name = form.Name, Kind = form.Kind, IsExact = form.IsExact, WireShare = wireShare, AsTrained = figures, WithOutliers = figures });
            display.End(string.Create(CultureInfo.InvariantCulture, $"KL {figures.MeanKl:0.0e+0}, top-1 {figures.Top1Agreement:P2}, perplexity {figures.PerplexityChangePercent:+0.000;-0.000} %, {wireShare:0.000} of the bytes"));
        }

        return ([.. rows], accuracy.Perplexity);
    }
}
