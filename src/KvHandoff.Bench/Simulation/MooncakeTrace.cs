using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Simulation;

/// <summary>
/// Traces in Mooncake's format: one JSON object per line with <c>timestamp</c> in milliseconds, <c>input_length</c>, <c>output_length</c> and <c>hash_ids</c> of blocks of 512
/// tokens. And requests drawn with the statistics that Mooncake published of its own three traces, where no file is at hand.
/// </summary>
internal static class MooncakeTrace
{
    private const int MostTokens = 1 << 24, LeastPrompt = 16, MostPrompt = 200_000, MostOutput = 4000, Remembered = 512;
    private const double SharedAtMost = 0.95;

    /// <summary>What is published of a trace, and what the drawing needs besides.</summary>
    /// <param name="Requests">In one hour.</param>
    /// <param name="PromptTokens">Mean.</param>
    /// <param name="OutputTokens">Mean.</param>
    /// <param name="PromptVariation">Squared coefficient of variation of prompts before the longest are cut off, so that the trace's own is left (1.72, 1.44; not known of toolagent).</param>
    /// <param name="Rate">Requests per second.</param>
    /// <param name="Continues">Share of requests that go on with an earlier prompt, such that an endless cache hits as often as the trace's.</param>
    internal sealed record Statistics(string Name, int Requests, double PromptTokens, double OutputTokens, double PromptVariation, double Rate, double Continues);

    internal static IReadOnlyList<Statistics> Published { get; } =
    [
        new("conversation", 12_031, 12_035, 343, 1.95, 3.4015, 0.495),
        new("synthetic", 3993, 15_325, 149, 1.62, 3.9069, 0.84),
        new("toolagent", 23_608, 8596, 182, 1.55, 6.5578, 0.76),
    ];

    /// <exception cref="InvalidDataException">A line is wrong; the message names file, line, field, value and what is allowed.</exception>
    internal static WorkloadRequest[] Read(string file, IEnumerable<string> lines)
    {
        var requests = new List<WorkloadRequest>();
        int number = 0;
        double before = 0;
        foreach (string line in lines)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            try
            {
                using var document = JsonDocument.Parse(line);
                JsonElement root = document.RootElement;
                if (root.ValueKind != JsonValueKind.Object) throw Refused(file, number, "the line", line, "an object");
                double milliseconds = Number(root, "timestamp", 0, 1e12, file, number);
                if (milliseconds < before) throw Refused(file, number, "timestamp", milliseconds.ToString(CultureInfo.InvariantCulture), string.Create(CultureInfo.InvariantCulture, $"at least that of the line before, {before}"));
                before = milliseconds;
                int[] ids = root.TryGetProperty("hash_ids", out JsonElement hashes) ? Ids(hashes, file, number) : [];
                int prompt = (int)Number(root, "input_length", 1, MostTokens, file, number);
                if (ids.Length > (prompt + Workload.BlockTokens - 1) / Workload.BlockTokens) throw Refused(file, number, "hash_ids", $"{ids.Length} ids", $"one per {Workload.BlockTokens} tokens of input_length {prompt}");
                requests.Add(new WorkloadRequest(milliseconds / 1e3, prompt, (int)Number(root, "output_length", 1, MostTokens, file, number), ids));
            }
            catch (JsonException e)
            {
                throw new InvalidDataException($"{file}: line {number}: no JSON: {e.Message.ReplaceLineEndings(" ")}");
            }
        }

        if (requests.Count < 2) throw new InvalidDataException($"{file}: {requests.Count} requests; allowed: 2 or more lines with timestamp, input_length, output_length, hash_ids");
        return [.. requests];
    }

    /// <summary>As many requests as the trace has, or as wanted: lognormal lengths, Poisson arrivals, some of them going on with an earlier prompt.</summary>
    internal static WorkloadRequest[] Draw(Statistics statistics, int? count, ulong seed)
    {
        var random = new SimulationRandom(seed);
        var earlier = new List<int[]>();
        int ids = 0;
        double clock = 0;
        var requests = new WorkloadRequest[count ?? statistics.Requests];
        for (int i = 0; i < requests.Length; i++)
        {
            int prompt = (int)Math.Clamp(Math.Round(random.LogNormal(statistics.PromptTokens * 1.008, statistics.PromptVariation)), LeastPrompt, MostPrompt), output = (int)Math.Clamp(Math.Round(random.LogNormal(statistics.OutputTokens, 1)), 1, MostOutput);
            int[] blocks = new int[(prompt + Workload.BlockTokens - 1) / Workload.BlockTokens];
            int shared = 0;
            if (earlier.Count > 0 && random.Next() < statistics.Continues)
            {
                // Of a few candidates the longest: people go on with long conversations.
                int[] from = [];
                for (int candidate = 0; candidate < 6; candidate++)
                {
                    int[] other = earlier[random.Next(earlier.Count)];
                    if (other.Length > from.Length) from = other;
                }

                shared = Math.Min(from.Length, (int)(blocks.Length * SharedAtMost));
                Array.Copy(from, blocks, shared);
            }

            for (int b = shared; b < blocks.Length; b++) blocks[b] = ids++;
            if (earlier.Count < Remembered) earlier.Add(blocks);
            else earlier[random.Next(Remembered)] = blocks;
            clock += random.Exponential(1 / statistics.Rate);
            requests[i] = new WorkloadRequest(clock, prompt, output, blocks);
        }

        return requests;
    }

    private static int[] Ids(JsonElement hashes, string file, int line)
    {
        if (hashes.ValueKind != JsonValueKind.Array) throw Refused(file, line, "hash_ids", hashes.GetRawText(), "a list of whole numbers");
        return [.. hashes.EnumerateArray().Select(h => h.ValueKind == JsonValueKind.Number && h.TryGetInt32(out int id) && id >= 0 ? id : throw Refused(file, line, "hash_ids", h.GetRawText(), $"whole numbers from 0 to {int.MaxValue}"))];
    }

    private static double Number(JsonElement root, string field, double low, double high, string file, int line)
    {
        string allowed = string.Create(CultureInfo.InvariantCulture, $"a number from {low} to {high}");
        if (!root.TryGetProperty(field, out JsonElement value)) throw Refused(file, line, field, "missing", allowed);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= low && number <= high ? number : throw Refused(file, line, field, value.GetRawText(), allowed);
    }

    private static InvalidDataException Refused(string file, int line, string field, string value, string allowed) => new($"{file}: line {line}: field '{field}' is {value}; allowed: {allowed}");
}
