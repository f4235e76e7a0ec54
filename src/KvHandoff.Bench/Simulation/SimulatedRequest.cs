namespace KvHandoff.Bench.Simulation;

/// <summary>Where a request is.</summary>
internal enum RequestState
{
    /// <summary>Not arrived, or waiting for a prefill node.</summary>
    Waiting,

    /// <summary>With a prefill node; its handoff may have begun.</summary>
    Prefilling,

    /// <summary>Prefilled; offered, granted or on the link.</summary>
    HandingOff,

    Decoding,

    Completed,

    /// <summary>Began again too often.</summary>
    Failed,

    /// <summary>Larger than a decode node's memory.</summary>
    Rejected,
}

/// <summary>One request on its way, and its handoff. Times are seconds from the beginning of the run; not yet: NaN.</summary>
internal sealed class SimulatedRequest(int id, in WorkloadRequest request)
{
    internal const int Nowhere = -1;

    internal readonly int Id = id;
    internal readonly double Arrival = request.ArrivalSeconds;
    internal readonly int[] Blocks = request.Blocks;

    /// <summary>Grows and shrinks when a failed decode node's tokens become prompt.</summary>
    internal int Prompt = request.PromptTokens, Output = request.OutputTokens;

    internal RequestState State;
    internal int Restarts, PrefillNode = Nowhere, DecodeNode = Nowhere;

    /// <summary>Where it stands in the lists of its nodes.</summary>
    internal int PrefillPlace = Nowhere, DecodePlace = Nowhere;

    /// <summary>Tokens found in the prefix cache, and computed so far with them.</summary>
    internal int Cached, Computed;

    internal bool HasBegun, IsOffered;

    /// <summary>Waits for a grant; for the link.</summary>
    internal bool IsInLine, IsInLinkLine;

    internal double Work, PrefillStart = double.NaN, PrefillEnd = double.NaN, Offered = double.NaN, Granted = double.NaN, LinkStart = double.NaN, Committed = double.NaN, FirstToken = double.NaN, Finished = double.NaN;

    /// <summary>Bytes reserved in the decode node, and kept in the prefill node until committed.</summary>
    internal double Reserved, Kept;

    // The handoff, in wire bytes. Production goes on at ProductionRate from ProductionFrom until the chunk ends, when it stands at ChunkEnd.
    internal int Flow = Nowhere;
    internal double Total, Produced, Sent, Rate, ProductionRate, ProductionFrom = double.PositiveInfinity, ChunkEnd, UpdatedAt, PathCap;

    /// <summary>All is produced; more was produced than sent.</summary>
    internal bool IsSealed, IsBehind;

    // Decoding: where it joined and ends on the node's count of tokens, and what each token adds to the caches.
    internal double JoinedAt, FinishAt, BytesPerToken, PromptBytes;
}
