using System.Globalization;
using System.Text;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>
/// Prompts for a trace, which has lengths and no texts. Each block id has its own stretch of the shipped text, so that requests that share ids in the trace
/// share the beginnings of their prompts, and a server's prefix cache sees what the trace's did.
/// </summary>
/// <param name="corpus">The text that is cut; ASCII.</param>
/// <param name="bytesPerToken">How long a token of the endpoint's is.</param>
internal sealed class TraceTexts(string corpus, double bytesPerToken)
{
    /// <summary>Of a usual tokenizer on English text, where the endpoint tells nothing.</summary>
    internal const double UsualBytesPerToken = 4;

    internal double BytesPerToken => bytesPerToken;

    /// <summary>Text of one request.</summary>
    internal string Text(WorkloadRequest row)
    {
        int wanted = (int)Math.Max(1, Math.Round(row.PromptTokens * bytesPerToken)), blockBytes = (int)Math.Max(1, Math.Round(Workload.BlockTokens * bytesPerToken));
        var text = new StringBuilder(wanted);
        for (int block = 0; text.Length < wanted; block++)
        {
            // What the trace has no id for is told apart by arrival and place.
            string name = block < row.Blocks.Length ? row.Blocks[block].ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{row.ArrivalSeconds * 1e3:0}.{block}");
            AppendBlock(text, name, Math.Min(blockBytes, wanted - text.Length));
        }

        return text.ToString();
    }

    /// <summary>Bytes per token from requests of different lengths: their difference, so that a chat template's own tokens do not count. Null where usage is missing.</summary>
    internal static double? Measure(IEnumerable<(int Bytes, long? Tokens)> requests)
    {
        (int Bytes, long Tokens)[] known = [.. requests.Where(r => r.Tokens is > 0).Select(r => (r.Bytes, r.Tokens!.Value))];
        if (known.Length < 2) return null;
        (int Bytes, long Tokens) least = known.MinBy(r => r.Bytes), most = known.MaxBy(r => r.Bytes);
        return most.Tokens > least.Tokens && most.Bytes > least.Bytes ? (most.Bytes - least.Bytes) / (double)(most.Tokens - least.Tokens) : null;
    }

    private void AppendBlock(StringBuilder text, string name, int length)
    {
        string head = $"[{name}] ";
        int from = (int)(Statistics.SampleStatistics.SeedOf(0, name) % (ulong)corpus.Length), end = text.Length + length;
        text.Append(head.AsSpan(0, Math.Min(head.Length, length)));
        while (text.Length < end)
        {
            int part = Math.Min(end - text.Length, corpus.Length - from);
            text.Append(corpus.AsSpan(from, part));
            from = 0;
        }
    }
}
