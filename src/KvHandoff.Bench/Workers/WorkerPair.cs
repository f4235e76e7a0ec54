using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Workers;

/// <summary>A prefill process and a decode process, connected: what every handoff of this program runs between.</summary>
internal sealed class WorkerPair : IAsyncDisposable
{
    // After one side failed the other is given this long to say why it failed too, or to be seen to have ended.
    private static readonly TimeSpan SecondOpinion = TimeSpan.FromSeconds(3), EndGrace = TimeSpan.FromSeconds(2);

    private readonly TimeSpan _limit;

    private WorkerPair(WorkerProcess prefill, WorkerProcess decode, TimeSpan limit)
    {
        Prefill = prefill;
        Decode = decode;
        _limit = limit;
    }

    internal WorkerProcess Prefill { get; }

    internal WorkerProcess Decode { get; }

    /// <summary>Starts both processes, lets the decode side listen and the prefill side connect.</summary>
    internal static async Task<WorkerPair> StartAsync(string model, int senderTokens, int receiverTokens, int streams, string codec, string transport, TimeSpan limit, IJobDisplay display, CancellationToken cancellationToken, bool sameHostTrust = false)
    {
        WorkerProcess decode = WorkerProcess.Start("decode"), prefill = WorkerProcess.Start("prefill");
        var pair = new WorkerPair(prefill, decode, limit);
        try
        {
            display.Note($"prefill process {prefill.Id}, decode process {decode.Id} ({model}, codec {codec}, {transport})");
            string? certificate = WorkerTransport.NewCertificate(transport);
            OpenedReply listening = await decode.ExchangeAsync<OpenedReply>(new OpenDecodeRequest(model, receiverTokens, streams, transport, certificate, sameHostTrust), cancellationToken);
            await prefill.ExchangeAsync<OpenedReply>(new OpenPrefillRequest(model, senderTokens, streams, listening.Endpoint, codec, certificate), cancellationToken);
            return pair;
        }
        catch (Exception e)
        {
            WorkerException? cause = e is WorkerException failure ? await pair.CauseAsync(failure) : null;
            await pair.DisposeAsync();
            if (cause is not null) throw cause;
            throw;
        }
    }

    /// <summary>Lets the decode side get ready, then the prefill side send, and waits for both.</summary>
    /// <exception cref="WorkerException">One side failed; the message has both sides' words when both did.</exception>
    internal Task<(SentReply Sent, TReply Received, long RequestedAt)> HandOffAsync<TReply>(WorkerMessage receive, WorkerMessage send, CancellationToken cancellationToken)
        where TReply : WorkerMessage => ExchangeAsync<SentReply, TReply>(receive, send, cancellationToken);

    /// <summary>Lets so many handoffs of a synthesised sequence run one after the other.</summary>
    /// <exception cref="WorkerException">One side failed, or the last one landed wrongly.</exception>
    internal async Task<(ManySentReply Sent, ManyLandedReply Landed)> HandManyOffAsync(ulong seed, int tokens, int handoffs, CancellationToken cancellationToken)
    {
        return await HandManyOffAsync(new ReceiveManyRequest(seed, tokens, handoffs), new SendManyRequest(seed, tokens, handoffs), cancellationToken);
    }

    /// <summary>The same for a sequence that is written straight into the receiver's blocks.</summary>
    /// <exception cref="WorkerException">One side failed, or the last one landed wrongly.</exception>
    internal Task<(ManySentReply Sent, ManyLandedReply Landed)> HandPrefilledOffAsync(ulong seed, int tokens, int handoffs, CancellationToken cancellationToken) =>
        HandManyOffAsync(new ReceiveManyRequest(seed, tokens, handoffs), new SendPrefilledRequest(seed, tokens, handoffs), cancellationToken);

    private async Task<(ManySentReply Sent, ManyLandedReply Landed)> HandManyOffAsync(WorkerMessage receive, WorkerMessage send, CancellationToken cancellationToken)
    {
        (ManySentReply sent, ManyLandedReply landed, _) = await ExchangeAsync<ManySentReply, ManyLandedReply>(receive, send, cancellationToken);
        if (landed.DifferentBytes > 0) throw new WorkerException(Decode.Role, $"Of {landed.BytesCompared} landed bytes {landed.DifferentBytes} differ; first: {landed.FirstDifference}.", isGone: false);
        return (sent, landed);
    }

    private async Task<(TSent Sent, TReceived Received, long RequestedAt)> ExchangeAsync<TSent, TReceived>(WorkerMessage receive, WorkerMessage send, CancellationToken cancellationToken)
        where TSent : WorkerMessage where TReceived : WorkerMessage
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_limit);
        try
        {
            await Decode.ExchangeAsync<ReadyReply>(receive, limit.Token);
            long requestedAt = System.Diagnostics.Stopwatch.GetTimestamp();
            await Prefill.SendAsync(send, limit.Token);
            Task<TSent> sent = Prefill.ReceiveAsync<TSent>(limit.Token);
            Task<TReceived> received = Decode.ReceiveAsync<TReceived>(limit.Token);
            await JoinAsync(sent, received);
            return (await sent, await received, requestedAt);
        }
        catch (WorkerException failure)
        {
            throw await CauseAsync(failure);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new WorkerException("prefill and decode", $"The handoff did not end within {_limit.TotalSeconds:0} s.", isGone: false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Prefill.DisposeAsync();
        await Decode.DisposeAsync();
    }

    // A process that dies takes its connections with it, and the other's report of that is often the quicker one: the dead one is the cause.
    private async Task<WorkerException> CauseAsync(WorkerException failure)
    {
        if (failure.IsGone) return failure;
        using var grace = new CancellationTokenSource(EndGrace);
        Task<WorkerException?> prefill = Prefill.EndedAsync(grace.Token), decode = Decode.EndedAsync(grace.Token);
        Task<WorkerException?> first = await Task.WhenAny(prefill, decode);
        WorkerException? gone = await first ?? await (first == prefill ? decode : prefill);
        return gone is null ? failure : new WorkerException(gone.Role, $"{gone.Message} {failure.Message}", isGone: true);
    }

    private static async Task JoinAsync(Task sent, Task received)
    {
        Task first = await Task.WhenAny(sent, received);
        Task second = first == sent ? received : sent;
        if (first.IsCompletedSuccessfully)
        {
            await second;
            return;
        }

        try
        {
            await second.WaitAsync(SecondOpinion);
        }
        catch (Exception e) when (e is WorkerException or TimeoutException or OperationCanceledException)
        {
        }

        WorkerException[] failures = [.. new[] { first, second }.Where(t => t.IsFaulted).Select(t => t.Exception!.InnerException).OfType<WorkerException>().OrderByDescending(e => e.IsGone)];
        if (failures.Length == 2) throw new WorkerException("prefill and decode", $"{failures[0].Message} {failures[1].Message}", failures[0].IsGone);
        await first;
    }
}
