using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>Where the figures come from: everything that has to be equal before two runs are compared.</summary>
internal static class ProvenanceSection
{
    internal static void Add(HtmlPage page, EvaluationSummary s)
    {
        RequestRecord[] ok = [.. s.Requests.Where(r => r.Phase == "measured" && r.Outcome == "ok")];
        bool isSaturated = s.Loads.Any(l => l.Client.Saturated);
        page.Add("<dl class=\"facts-list\">\n");
        Fact("validity", isSaturated ? "INVALID as a measurement of the server: the client itself was saturated" : s.Run.WasCancelled ? "incomplete: interrupted" : "valid: the client was not saturated");
        Fact("run", $"{s.Run.Id}, begun {s.Run.StartedAt}, {ChartNumber.Seconds(s.ElapsedSeconds)}");
        Fact("command line", s.Run.CommandLine);
        Fact("endpoint", $"{s.Config.Endpoint}{(s.Config.ApiKeyVariable is { } key ? $", key from {key}" : ", without a key")}");
        Fact("model", $"{s.Config.Model} ({s.Config.ModelSource}); answered as {Distinct(ok.Select(r => r.ResponseModel))}; fingerprint {Distinct(ok.Select(r => r.SystemFingerprint))}");
        Fact("host", $"{s.Environment.Cpu}, {s.Environment.Cores} cores, {ChartNumber.Bytes(s.Environment.MemoryBytes)}, {s.Environment.Isa}, {s.Environment.Os}");
        Fact("versions", $"KvHandoff {s.Environment.Version}, {s.Environment.Dotnet}, schema {s.Schema}");
        Fact("seed", s.Run.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Fact("clock", $"monotonic, {s.Run.ClockTicksPerSecond:#,0} ticks per second");
        Fact("requests", $"{s.Config.Iterations} per prompt type and load, streaming {(s.Config.Stream ? "on" : "off")}, temperature {ChartNumber.Short(s.Config.Temperature)}, time limit {ChartNumber.Seconds(s.Config.TimeoutSeconds)}, {s.Config.MaxAttempts} attempts at most, {ChartNumber.Seconds(s.Config.MaxRetryWaitSeconds)} of waiting at most");
        Fact("warm-up", $"{s.Requests.Count(r => r.Phase == "warm_up")} requests sent first and left out of all figures ({s.Config.WarmUpPerType} per prompt type)");
        Fact("token counts", string.Join(", ", ok.GroupBy(r => r.TokenSource).OrderByDescending(g => g.Count()).Select(g => $"{(g.Key == "usage" ? "by the server (usage)" : g.Key == "none" ? "unknown" : g.Key)}: {g.Count()} requests")) is { Length: > 0 } counts ? counts : "no request succeeded");
        Fact("client's processor", string.Join("; ", s.Loads.Select(l => $"{l.Name}, {l.Route}: {ChartNumber.Share(l.Client.CpuShare)} of the machine{(l.Client.Saturated ? ", SATURATED" : "")}")) is { Length: > 0 } load ? load : ChartNumber.Unknown);
        Fact("workers", string.Join(", ", ok.SelectMany(r => r.Workers).GroupBy(w => (w.Key, w.Value)).OrderBy(g => g.Key.Key, StringComparer.Ordinal).ThenBy(g => g.Key.Value, StringComparer.Ordinal).Take(24).Select(g => $"{g.Key.Key} {g.Key.Value}: {g.Count()}")) is { Length: > 0 } workers ? workers : "not named by the endpoint");
        if (s.Config.PromptSetSha256 is { } set) Fact("prompt set", $"SHA-256 {set}");
        foreach (PromptSection prompt in s.Prompts) Fact(EvaluationSamples.Spoken(prompt.Type), $"{prompt.Bytes:#,0} bytes, SHA-256 {prompt.Sha256}{(prompt.MaxCompletionTokens is { } most ? $", at most {most} tokens out" : "")}");
        page.Add("</dl>\n");

        void Fact(string name, string value) => page.Add($"<dt>{HtmlPage.Text(name)}</dt><dd>{HtmlPage.Text(value)}</dd>\n");
    }

    private static string Distinct(IEnumerable<string?> values) => string.Join(", ", values.OfType<string>().Distinct().Take(5)) is { Length: > 0 } text ? text : "nothing";
}
