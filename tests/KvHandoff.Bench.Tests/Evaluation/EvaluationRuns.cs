using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Whole evaluations within this process.</summary>
internal static class EvaluationRuns
{
    internal static EvaluationSettings Settings(ScriptedServer server, params LoadSpec[] loads) => new()
    {
        Endpoint = EndpointAddress.Parse(server.Address),
        Loads = loads.Length == 0 ? [LoadSpec.OfConcurrency(1)] : loads,
        Iterations = 3,
        WarmUp = 0,
        OutputDirectory = "",
    };

    internal static Task<EvaluationSummary> RunAsync(EvaluationSettings settings, RunClock? clock = null, CancellationToken cancellationToken = default, IEvaluationProgress? progress = null) =>
        new EvaluationJob(settings, progress ?? new SilentProgress(), clock ?? new RunClock()).RunAsync(cancellationToken);
}
