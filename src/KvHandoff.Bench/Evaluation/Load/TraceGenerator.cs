using System.Globalization;
using System.Text;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>Writes traces in Mooncake's format: one JSON object a line with timestamp (ms), input_length, output_length, hash_ids. The same seed gives the same bytes.</summary>
internal static class TraceGenerator
{
    // Squared coefficient of variation of prompts, about that of the published traces.
    private const double PromptVariation = 1;

    internal static string Generate(int requests, double rate, int inputTokens, int outputTokens, double sharedShare, ulong seed)
    {
        WorkloadRequest[] rows = MooncakeTrace.Draw(new MooncakeTrace.Statistics("generated", requests, inputTokens, outputTokens, PromptVariation, rate, sharedShare), requests, seed);
        var text = new StringBuilder();
        double first = rows[0].ArrivalSeconds;
        foreach (WorkloadRequest row in rows)
            text.Append(CultureInfo.InvariantCulture, $"{{\"timestamp\": {Math.Round((row.ArrivalSeconds - first) * 1e3):0}, \"input_length\": {row.PromptTokens}, \"output_length\": {row.OutputTokens}, \"hash_ids\": [{string.Join(", ", row.Blocks)}]}}\n");
        return text.ToString();
    }
}
