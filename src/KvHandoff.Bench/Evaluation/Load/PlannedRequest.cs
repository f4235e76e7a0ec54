using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>A request to come.</summary>
/// <param name="Request">What is sent.</param>
/// <param name="Iteration">Of its prompt type, or its line in the trace, from 0.</param>
/// <param name="DueSeconds">After the beginning of its turn; of a closed load null: as soon as a lane is free.</param>
internal sealed record PlannedRequest(ChatRequest Request, int Iteration, double? DueSeconds);

/// <summary>Which requests a load has, in which order and when. The same seed gives the same plan.</summary>
internal static class LoadPlan
{
    /// <summary>Iterations of all prompts, the types in another order each time: what drifts meets all types alike.</summary>
    internal static PlannedRequest[] Mixed(IReadOnlyList<ChatRequest> prompts, int iterations, ulong seed)
    {
        var random = new SimulationRandom(seed);
        var planned = new List<PlannedRequest>();
        for (int i = 0; i < iterations; i++)
        {
            ChatRequest[] order = [.. prompts];
            for (int k = order.Length - 1; k > 0; k--)
            {
                int other = random.Next(k + 1);
                (order[k], order[other]) = (order[other], order[k]);
            }

            planned.AddRange(order.Select(p => new PlannedRequest(p, i, null)));
        }

        return [.. planned];
    }

    /// <summary>All iterations of a type before those of the next, as the study had it.</summary>
    internal static PlannedRequest[] ByType(IReadOnlyList<ChatRequest> prompts, int iterations) => [.. prompts.SelectMany(p => Enumerable.Range(0, iterations).Select(i => new PlannedRequest(p, i, null)))];

    /// <summary>Gives requests arrival times that know nothing of each other.</summary>
    internal static PlannedRequest[] Poisson(IReadOnlyList<PlannedRequest> requests, double rate, ulong seed)
    {
        var random = new SimulationRandom(seed);
        double clock = 0;
        return [.. requests.Select((r, i) => r with { DueSeconds = i == 0 ? 0 : clock += random.Exponential(1 / rate) })];
    }

    /// <summary>Rows of a trace with texts cut to their lengths, <paramref name="speed"/> times as fast as written.</summary>
    internal static PlannedRequest[] Trace(IReadOnlyList<WorkloadRequest> rows, double speed, TraceTexts texts, ChatFormat format) =>
        [.. rows.Select((row, i) => new PlannedRequest(ChatRequest.Create(format, EvaluationPrompts.TraceType, texts.Text(row), row.OutputTokens), i, (row.ArrivalSeconds - rows[0].ArrivalSeconds) / speed))];

    /// <summary>Splits a plan into turns of whole iterations; times begin anew in each.</summary>
    internal static IReadOnlyList<PlannedRequest[]> Turns(PlannedRequest[] plan, int turns)
    {
        int iterations = plan.Length == 0 ? 0 : plan.Max(p => p.Iteration) + 1;
        return [.. plan.GroupBy(p => (long)p.Iteration * turns / Math.Max(1, iterations)).OrderBy(g => g.Key).Select(g =>
        {
            PlannedRequest[] turn = [.. g];
            double? first = turn.Min(p => p.DueSeconds);
            return (PlannedRequest[])[.. turn.Select(p => p with { DueSeconds = p.DueSeconds - first })];
        })];
    }
}
