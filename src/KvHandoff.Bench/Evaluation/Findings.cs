using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation;

/// <summary>What of a run is a failure, and what its reader has to be warned of.</summary>
internal static class Findings
{
    private const double NotableShare = 0.05, NotableTogether = 0.25;

    internal static IEnumerable<string> Failures(EvaluationSummary summary)
    {
        foreach (LoadSection load in summary.Loads)
        {
            string name = Name(load);
            if (load.Ok + load.Failed + load.Cancelled == 0 && !summary.Run.WasCancelled) yield return $"{name}: no request was sent";
            if (load.Ok == 0 && load.Failed > 0) yield return $"{name}: none of {load.Failed} requests succeeded; most frequent: {load.Errors[0].Label}: {load.Errors[0].Messages[0]}";
            if (load.Goodput is { Met: false } goodput) yield return string.Create(CultureInfo.InvariantCulture, $"{name}: {goodput.Share:P1} of requests met the objectives; wanted: {summary.Slo!.WantedShare:P1}");
        }

        foreach (TextDifference difference in summary.Baseline?.Texts.Differences ?? [])
            yield return $"{difference.PromptType} ({difference.PromptSha256[..12]}): the texts differ at temperature 0: disaggregated gave {Hashes(difference.Disaggregated)}, monolithic {Hashes(difference.Monolithic)}";
    }

    internal static IEnumerable<string> Warnings(EvaluationSummary summary)
    {
        RequestRecord[] ok = [.. summary.Requests.Where(r => r is { Phase: Outcomes.Measured, Outcome: Outcomes.Ok })];
        if (summary.Run.WasCancelled) yield return "The run was interrupted: figures are of the requests that had ended.";
        foreach (LoadSection load in summary.Loads)
        {
            if (load.Client.Saturated) yield return string.Create(CultureInfo.InvariantCulture, $"{Name(load)}: the client or its machine was busy (the client took {load.Client.CpuShare:P0} of all cores, own timers {(load.Client.TimerDelayP99Seconds ?? 0) * 1e3:0.0} ms late at the 99th percentile): stamps may be late by as much.");
            if (load.Failed > 0 && load.Ok > 0) yield return $"{Name(load)}: {load.Failed} of {load.Ok + load.Failed} requests failed; latencies are of those that succeeded.";
        }

        int uncounted = ok.Count(r => r.TokenSource != "usage");
        if (uncounted > 0) yield return $"{uncounted} of {ok.Length} replies have no usage: their tokens are not known, and speeds per token are left out.";
        int silent = ok.Count(r => r.Server?.TotalSeconds is null);
        if (silent > 0 && silent < ok.Length) yield return $"{silent} of {ok.Length} replies have no time_info.";
        if (silent == ok.Length && ok.Length > 0) yield return "The server reports no times (time_info): server metrics and network overhead are left out.";
        long cached = ok.Sum(r => r.CachedTokens ?? 0), prompt = ok.Sum(r => r.PromptTokens ?? 0);
        if (prompt > 0 && cached > prompt * NotableShare) yield return string.Create(CultureInfo.InvariantCulture, $"{cached / (double)prompt:P0} of prompt tokens came from the server's cache: the same texts had been sent before (--fresh-prompts sends other beginnings).");
        int many = ok.Count(r => r.CompletionTokens > r.ContentChunks && r.ContentChunks > 0);
        if (many > ok.Length * NotableShare) yield return $"{many} of {ok.Length} replies brought several tokens per chunk: times of single tokens are finer than the stream shows.";
        (long together, long gaps) = (0, 0);
        foreach (RequestRecord r in ok)
        {
            gaps += Math.Max(0, r.ContentChunkSeconds.Count - 1);
            for (int i = 1; i < r.ContentChunkSeconds.Count; i++)
            {
                if (r.ContentChunkSeconds[i] == r.ContentChunkSeconds[i - 1]) together++;
            }
        }

        if (together > gaps * NotableTogether) yield return string.Create(CultureInfo.InvariantCulture, $"{together / (double)gaps:P0} of chunks arrived together with the one before: gaps between tokens are those of packets, not of the server's steps.");
        string[] fingerprints = [.. ok.Select(r => r.SystemFingerprint).OfType<string>().Distinct()];
        if (fingerprints.Length > 1) yield return $"{fingerprints.Length} system fingerprints answered: {string.Join(", ", fingerprints.Take(5))}.";
    }

    internal static string Name(LoadSection load) => load.Route == "default" ? load.Name : $"{load.Name}, {load.Route}";

    private static string Hashes(IReadOnlyDictionary<string, int> hashes) => string.Join(", ", hashes.Select(h => $"{h.Key[..Math.Min(12, h.Key.Length)]} ({h.Value} times)"));
}
