namespace KvHandoff.Bench.Simulation;

/// <summary>One request before anything happens to it.</summary>
/// <param name="ArrivalSeconds">From the beginning of the run.</param>
/// <param name="PromptTokens">At least 1.</param>
/// <param name="OutputTokens">At least 1.</param>
/// <param name="Blocks">Ids of the prompt's blocks of 512 tokens; requests that begin alike share ids. Empty where nothing is known.</param>
internal readonly record struct WorkloadRequest(double ArrivalSeconds, int PromptTokens, int OutputTokens, int[] Blocks);

/// <summary>When requests arrive.</summary>
internal enum ArrivalKind
{
    /// <summary>As the trace says.</summary>
    Trace,

    /// <summary>Independently.</summary>
    Poisson,

    /// <summary>In bursts: gamma-distributed gaps that vary more than Poisson's.</summary>
    Gamma,

    /// <summary>At equal distances.</summary>
    Even,
}

/// <summary>Requests in the order of their arrival.</summary>
internal static class Workload
{
    /// <summary>Tokens of one block of a trace.</summary>
    internal const int BlockTokens = 512;

    /// <summary>The sizes of some requests at new times.</summary>
    /// <param name="sizes">In their order; more requests than these begin again, with blocks of their own.</param>
    /// <param name="count">Requests wanted.</param>
    /// <param name="kind">How they arrive.</param>
    /// <param name="rate">Requests per second; of <see cref="ArrivalKind.Trace"/> null keeps the trace's own.</param>
    /// <param name="burstiness">Coefficient of variation of gaps, for <see cref="ArrivalKind.Gamma"/>.</param>
    /// <param name="isShuffled">Draw sizes independently, as closed forms assume, and forget what they share.</param>
    /// <param name="random">Of the run.</param>
    internal static WorkloadRequest[] Make(IReadOnlyList<WorkloadRequest> sizes, int count, ArrivalKind kind, double? rate, double burstiness, bool isShuffled, SimulationRandom random)
    {
        double span = Span(sizes), own = sizes.Count / span, scale = rate is { } wanted ? own / wanted : 1, gap = 1 / (rate ?? own), clock = 0;
        int blocks = sizes.Max(s => s.Blocks.Length == 0 ? 0 : s.Blocks.Max()) + 1;
        var requests = new WorkloadRequest[count];
        for (int i = 0; i < count; i++)
        {
            int turn = i / sizes.Count;
            WorkloadRequest size = isShuffled ? sizes[random.Next(sizes.Count)] : sizes[i % sizes.Count];
            clock += kind switch
            {
                ArrivalKind.Poisson => random.Exponential(gap),
                ArrivalKind.Gamma => random.Gamma(gap, burstiness),
                ArrivalKind.Even => gap,
                _ => 0,
            };
            double arrival = kind == ArrivalKind.Trace ? (sizes[i % sizes.Count].ArrivalSeconds + turn * span) * scale : clock;
            int[] ids = isShuffled ? [] : turn == 0 ? size.Blocks : [.. size.Blocks.Select(b => b + turn * blocks)];
            requests[i] = new WorkloadRequest(arrival, size.PromptTokens, size.OutputTokens, ids);
        }

        return requests;
    }

    /// <summary>Requests that are all alike.</summary>
    internal static WorkloadRequest[] Alike(int promptTokens, int outputTokens) => [new WorkloadRequest(0, promptTokens, outputTokens, []), new WorkloadRequest(1, promptTokens, outputTokens, [])];

    /// <summary>Tokens of prompts that an endless cache would have had already, as a share.</summary>
    internal static double CachedShare(IReadOnlyList<WorkloadRequest> requests)
    {
        var cache = new PrefixCache(long.MaxValue);
        double cached = 0, all = 0;
        foreach (WorkloadRequest request in requests)
        {
            cached += Math.Min((double)cache.Find(request.Blocks) * BlockTokens, request.PromptTokens);
            all += request.PromptTokens;
            cache.Add(request.Blocks);
        }

        return cached / all;
    }

    /// <summary>Seconds from the first arrival to the last; one gap more than there are counts as none.</summary>
    internal static double Span(IReadOnlyList<WorkloadRequest> requests) => Math.Max(1e-9, requests[^1].ArrivalSeconds - Math.Min(0, requests[0].ArrivalSeconds));
}
