using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>A validated query over one layer of one sequence: who sees what, and into which parts the tokens are split.</summary>
readonly struct AttentionPlan
{
    // Parts follow from the tokens alone, never from the number of threads: the order of additions is the same for any. A part is long
    // enough that joining it costs below one percent, and there are so few that the parts of two million tokens fit into a cache.
    const int LeastPartTokens = 512, MostParts = 64;

    // Longer than any position is far.
    const long NoWindow = 1L << 40;

    // Beyond these a factor and its inverse are not both finite.
    const float Smallest = 1e-30f, Largest = 1e30f;

    internal AttentionPlan(in KvLayerView view, int queryHeads, int queryTokens, int valueDim, long firstPosition, in AttentionOptions options)
    {
        LayerGroup group = view.Group;
        QueryHeads = queryHeads;
        QueryTokens = queryTokens;
        KvHeads = group.KvHeads;
        GroupHeads = queryHeads / KvHeads;
        KeyDim = group.HeadDim;
        ValueDim = valueDim;
        LogitFactor = (float)((options.SoftmaxScale != 0 ? options.SoftmaxScale : 1 / Math.Sqrt(KeyDim)) / Exponential.Ln2);
        Cap = options.LogitCap / (float)Exponential.Ln2;

        Window = options.WindowTokens == 0 ? NoWindow : options.WindowTokens;
        if (group.Kind == AttentionKind.SlidingWindow) Window = Math.Min(Window, group.WindowTokens);
        FirstPosition = firstPosition;
        EndToken = (int)Math.Clamp(FirstPosition + queryTokens, 0, options.EndToken ?? view.Tokens);
        StartToken = (int)Math.Min(EndToken, Math.Max(options.StartToken, FirstPosition - Window + 1));
        int first = StartToken / AttendTile.MostTokens * AttendTile.MostTokens;
        long tokens = EndToken - first;
        PartTokens = checked((int)((tokens + (long)LeastPartTokens * MostParts - 1) / ((long)LeastPartTokens * MostParts) * LeastPartTokens));
        Parts = StartToken == EndToken ? 0 : (int)((tokens + PartTokens - 1) / PartTokens);
    }

    internal int QueryHeads { get; }

    internal int QueryTokens { get; }

    internal int KvHeads { get; }

    /// <summary>Query heads that share one kv head.</summary>
    internal int GroupHeads { get; }

    /// <summary>Query rows that share one kv head.</summary>
    internal int Rows => GroupHeads * QueryTokens;

    internal int KeyDim { get; }

    internal int ValueDim { get; }

    /// <summary>Softmax scale over ln 2.</summary>
    internal float LogitFactor { get; }

    /// <summary>Bound of the logits over ln 2; 0 for none.</summary>
    internal float Cap { get; }

    /// <summary>Tokens that a query looks back on, its own included.</summary>
    internal long Window { get; }

    /// <summary>Position of the first query token; it may lie outside the view.</summary>
    internal long FirstPosition { get; }

    /// <summary>First token that any query sees.</summary>
    internal int StartToken { get; }

    /// <summary>Token behind the last that any query sees; equal to <see cref="StartToken"/> when there is none.</summary>
    internal int EndToken { get; }

    /// <summary>Tokens of one part but the first and the last.</summary>
    internal int PartTokens { get; }

    /// <summary>Parts whose results are joined in order.</summary>
    internal int Parts { get; }

    /// <summary>The tokens of a part.</summary>
    internal (int Start, int End) Part(int part)
    {
        long first = StartToken / AttendTile.MostTokens * AttendTile.MostTokens + (long)part * PartTokens;
        return ((int)Math.Max(StartToken, first), (int)Math.Min(EndToken, first + PartTokens));
    }

    /// <summary>Whether every query sees every token of a range.</summary>
    internal bool SeesAll(int start, int end) => end <= FirstPosition + 1 && start > FirstPosition + QueryTokens - 1 - Window;

    /// <summary>The tokens of a range that query token <paramref name="query"/> sees, as positions in the range.</summary>
    internal (int From, int To) Visible(int query, int start, int end)
    {
        long position = FirstPosition + query;
        return ((int)Math.Clamp(position - Window + 1 - start, 0, end - start), (int)Math.Clamp(position + 1 - start, 0, end - start));
    }

    static bool InRange(float factor) => factor == 0 || factor is >= Smallest and <= Largest;

    /// <summary>Throws unless a query fits a view.</summary>
    internal static int Validate(LayerGroup group, int tokens, int queryHeads, int queryLength, int valueDim, in AttentionOptions options, int outputLength, int logSumExpLength)
    {
        if (queryHeads <= 0 || queryHeads % group.KvHeads != 0)
            throw new ArgumentException($"{queryHeads} query heads are not a positive multiple of {group.KvHeads} kv heads.", nameof(queryHeads));
        long elements = (long)queryHeads * group.HeadDim;
        if (queryLength == 0 || queryLength % elements != 0)
            throw new ArgumentException($"The query has {queryLength} elements; {queryHeads} heads of {group.HeadDim} are {elements} for each token.", "query");
        int queryTokens = (int)(queryLength / elements);
        long outputs = (long)queryTokens * queryHeads * valueDim;
        if (outputLength != outputs)
            throw new ArgumentException($"The output has {outputLength} elements; {queryTokens} tokens of {queryHeads} heads of {valueDim} are {outputs}.", "output");
        if (logSumExpLength != (long)queryTokens * queryHeads)
            throw new ArgumentException($"The log-sum-exp has {logSumExpLength} elements; there are {queryTokens} tokens of {queryHeads} query heads.", "logSumExp");
        if (!InRange(options.SoftmaxScale))
            throw new ArgumentException($"The softmax scale is {options.SoftmaxScale}; allowed: 0 or a finite number, {Smallest} to {Largest}.", nameof(options));
        if (options.WindowTokens < 0)
            throw new ArgumentException($"The window is {options.WindowTokens} tokens; allowed: 0 or more.", nameof(options));
        if (!InRange(options.LogitCap))
            throw new ArgumentException($"The logit cap is {options.LogitCap}; allowed: 0 or a finite number, {Smallest} to {Largest}.", nameof(options));
        if (options.Sinks.Length != 0 && options.Sinks.Length != queryHeads)
            throw new ArgumentException($"There are {options.Sinks.Length} sinks for {queryHeads} query heads; allowed: none or one each.", nameof(options));
        if (options.Weights > SoftmaxWeights.BFloat16)
            throw new ArgumentException($"The precision of the weights is {options.Weights}; allowed: {SoftmaxWeights.Float32} and {SoftmaxWeights.BFloat16}.", nameof(options));
        if (options.QueryPosition < 0)
            throw new ArgumentException($"The first query's position is {options.QueryPosition}; allowed: 0 or more.", nameof(options));
        int end = options.EndToken ?? tokens;
        if (options.StartToken < 0 || end < options.StartToken || end > tokens)
            throw new ArgumentException($"Tokens {options.StartToken}..{end} are not a range of the view's {tokens}.", nameof(options));
        return queryTokens;
    }
}
