namespace KvHandoff.Bench.Simulation;

/// <summary>What happened in a run; the requests carry their own times.</summary>
internal sealed record SimulationResult
{
    internal required SimulationSettings Settings { get; init; }

    internal required IReadOnlyList<SimulatedRequest> Requests { get; init; }

    /// <summary>When the last event was.</summary>
    internal double Seconds { get; init; }

    internal int Completed { get; init; }

    internal int Failed { get; init; }

    internal int Rejected { get; init; }

    internal int InFlight { get; init; }

    internal int NotArrived { get; init; }

    internal long Events { get; init; }

    /// <summary>Requests in the system, integrated over time: by Little's law the sum of their times in it.</summary>
    internal double InSystemSeconds { get; init; }

    internal double PrefillBusySeconds { get; init; }

    internal double DecodeBusySeconds { get; init; }

    internal double DecodeWorkSeconds { get; init; }

    internal double DecodedTokens { get; init; }

    internal double ReservedByteSeconds { get; init; }

    /// <summary>For caches, of one decode node.</summary>
    internal double MemoryBytes { get; init; }

    internal double LinkBytesPerSecond { get; init; }

    /// <summary>Wire bytes per second that the codec's cores of one node bear.</summary>
    internal double EncodeBytesPerSecond { get; init; }

    internal double DecodeBytesPerSecond { get; init; }

    internal double CommittedBytes { get; init; }

    /// <summary>Sent by handoffs that were taken back.</summary>
    internal double AbortedBytes { get; init; }

    internal double SentBytes { get; init; }

    internal int Restarts { get; init; }

    internal int Failures { get; init; }

    internal double CachedTokens { get; init; }

    internal double PromptTokens { get; init; }

    internal IEnumerable<SimulatedRequest> Done => Requests.Where(r => r.State == RequestState.Completed);

    /// <summary>Seconds between the first and the last arrival: what rates are measured over.</summary>
    internal double ArrivalSpan => Math.Max(1e-9, Requests.Count < 2 ? Seconds : Requests[Math.Max(1, Requests.Count - NotArrived) - 1].Arrival - Requests[0].Arrival);

    /// <summary>Requests per second that were completed in the later part of the arrivals, when the queues had filled.</summary>
    internal double CompletedPerSecond
    {
        get
        {
            double end = Requests[Math.Max(1, Requests.Count - NotArrived) - 1].Arrival, begin = Requests[0].Arrival + 0.4 * (end - Requests[0].Arrival);
            int completed = Requests.Count(r => r.State == RequestState.Completed && r.Finished > begin && r.Finished <= end);
            return end > begin ? completed / (end - begin) : Completed / Math.Max(Seconds, 1e-9);
        }
    }

    /// <summary>Share of all requests that were completed within both objectives.</summary>
    internal double WithinObjectives => Requests.Count == 0 ? 0 : (double)Done.Count(r => r.FirstToken - r.Arrival <= Settings.FirstTokenSlo && (r.Finished - r.Committed) / r.Output <= Settings.TokenSlo) / Requests.Count;

    /// <summary>Shares of what there is that were used, from the first arrival to the last: of prefill time, of the links, of memory, of decode time beyond the floor, of the codec's cores on the busier side, of the fabric.</summary>
    internal (double Prefill, double Link, double Memory, double Decode, double Codec, double Fabric) Utilisation
    {
        get
        {
            double span = Math.Max(Seconds - Requests[0].Arrival, 1e-9);
            return (Settings.IsPrefillInstant ? 0 : PrefillBusySeconds / (span * Settings.PrefillNodes), SentBytes / (span * LinkBytesPerSecond * Settings.DecodeNodes),
                double.IsInfinity(MemoryBytes) ? 0 : ReservedByteSeconds / (span * MemoryBytes * Settings.DecodeNodes), DecodeWorkSeconds / (span * Settings.DecodeNodes),
                SentBytes / span * Math.Max(1 / (EncodeBytesPerSecond * Settings.PrefillNodes), 1 / (DecodeBytesPerSecond * Settings.DecodeNodes)), SentBytes / (span * Settings.FabricBytesPerSecond));
        }
    }

    /// <summary>The resource that was used most.</summary>
    internal string Limit
    {
        get
        {
            (double prefill, double link, double memory, double decode, double codec, double fabric) = Utilisation;
            return new[] { (prefill, "prefill"), (link, "link"), (memory, "memory"), (decode, "decode"), (codec, "codec"), (fabric, "fabric") }.MaxBy(u => u.Item1).Item2;
        }
    }
}
