namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>The client's figures of one exchange, from its stamps. What cannot be known is null: no 0 and no infinity stands for it.</summary>
internal static class ClientFigures
{
    internal static ClientTimes Of(ReplyObservation reply, long sent, long ended, long scheduled, long firstSent, TimeSpan waited)
    {
        IReadOnlyList<long> content = reply.ContentTicks;
        double latency = RunClock.Between(sent, ended);
        double? span = content.Count > 1 ? RunClock.Between(content[0], content[^1]) : null;
        // Tokens arrive in chunks of any size: the server's count says how many intervals there were.
        long? intervals = reply.CompletionTokens is > 1 and long tokens ? tokens - 1 : null;
        double? overhead = reply.Server?.TotalSeconds is { } total ? latency - total : null;
        return new ClientTimes
        {
            FirstChunkSeconds = reply.FirstChunkTicks is { } chunk ? RunClock.Between(sent, chunk) : null,
            FirstTokenSeconds = content.Count > 0 ? RunClock.Between(sent, content[0]) : null,
            SecondTokenSeconds = content.Count > 1 ? RunClock.Between(sent, content[1]) : null,
            InterTokenSeconds = span is > 0 ? span / intervals : null,
            LongestGapSeconds = content.Count > 1 ? content.Zip(content.Skip(1), RunClock.Between).Max() : null,
            LatencySeconds = latency,
            ResponseSeconds = RunClock.Between(scheduled, ended),
            ScheduleDelaySeconds = RunClock.Between(scheduled, firstSent),
            RetryWaitSeconds = waited.TotalSeconds,
            OutputSpeed = span is > 0 ? intervals / span : null,
            NetworkOverheadSeconds = overhead,
            NetworkOverheadPercent = overhead is not null && reply.Server?.TotalSeconds is > 0 and double server ? overhead / server * 100 : null,
        };
    }
}
